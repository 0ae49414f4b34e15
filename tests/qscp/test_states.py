import re
from pathlib import Path

import pytest

from qscp import codec, frames, states
from qscp.connection import ClientConnection, ServerConnection
from qscp.errors import ErrorCode, LocalProtocolError, RemoteProtocolError
from qscp.states import FATAL_ERROR, TRANSITIONS, Sender, State
from tests.support.pair import AUTH, AUTH_ACK, ConnectionPair
from tests.support.strategies import smallest

ROOT = Path(__file__).parents[2]

SAMPLES: dict[Sender, dict[str, frames.Frame]] = {
    Sender.CLIENT: {str(cls.__struct_config__.tag): smallest(cls) for cls in frames.CLIENT_FRAMES},
    Sender.SERVER: {
        **{str(cls.__struct_config__.tag): smallest(cls) for cls in frames.SERVER_FRAMES},
        "error": frames.Error("bad_status_text", "", ref="presence"),
        FATAL_ERROR: frames.Error("login_timeout", ""),
    },
}
TRIPLES = [(state, sender, kind) for state in State for sender in Sender for kind in SAMPLES[sender]]


def pair_in(state: State) -> ConnectionPair:
    """Return a pair of connections in a state."""
    pair = ConnectionPair()
    if state is not State.UNAUTHENTICATED:
        pair.client_sends(AUTH)
    if state in (State.READY, State.DRAINING, State.CLOSED):
        pair.server_sends(AUTH_ACK)
    if state is State.DRAINING:
        pair.client_sends(frames.ClientBye())
    if state is State.CLOSED:
        pair.server_sends(frames.ServerBye("shutdown", ""))
    assert pair.client.state is pair.server.state is state
    return pair


def test_the_table_is_complete() -> None:
    """Every state and sender has a row, and every frame is allowed somewhere."""
    assert set(TRANSITIONS) == {(state, sender) for state in State for sender in Sender}
    for sender in Sender:
        allowed = {kind for (_, who), row in TRANSITIONS.items() if who is sender for kind in row}
        assert allowed == set(SAMPLES[sender])


def drawn(picture: str) -> set[tuple[State, str, str, State]]:
    """Return the arrows of the picture: from, sender, frame, to."""
    u, a, r, d, c = State
    arrows = {
        r"UNAUTHENTICATED -+> AUTHENTICATING": (u, a),
        r"server: auth_nack": (a, u),
        r"server: auth_ack\n": (a, r),
        r"READY\n\s+\| client: bye": (r, d),
        r"any state\n\s+\| server: bye, error without ref\n\s+v\n\s+CLOSED": (None, c),
    }
    for arrow in arrows:
        assert re.search(arrow, picture), arrow
    lively = [state for state in State if state is not c]
    return {
        (u, "client", "auth", a),
        (a, "server", "auth_nack", u),
        (a, "server", "auth_ack", r),
        (r, "client", "bye", d),
        *((state, "server", kind, c) for state in lively for kind in ("bye", FATAL_ERROR)),
    }


def test_the_picture_shows_every_change_of_state() -> None:
    """The arrows in the docstring are exactly the changes of state in the table."""
    changes = {
        (state, sender.value, kind, following)
        for (state, sender), row in TRANSITIONS.items()
        for kind, following in row.items()
        if following is not state
    }
    assert drawn(states.__doc__ or "") == changes


def test_the_specification_has_the_same_picture() -> None:
    """The picture in docs/protocol.md is the one of the docstring."""
    picture = (states.__doc__ or "").split("\n\n")[2].split("\nIn READY")[0]
    assert picture in (ROOT / "docs/protocol.md").read_text()


@pytest.mark.parametrize(("state", "sender", "kind"), TRIPLES)
def test_a_side_can_send_what_the_table_allows_and_nothing_else(
    state: State, sender: Sender, kind: str
) -> None:
    """A legal frame changes the state; an illegal one raises, queues nothing and keeps the state."""
    pair = pair_in(state)
    us: ClientConnection | ServerConnection = pair.client if sender is Sender.CLIENT else pair.server
    following = TRANSITIONS[state, sender].get(kind)
    if following is None:
        with pytest.raises(LocalProtocolError, match=state.value):
            us.send(SAMPLES[sender][kind])  # type: ignore[arg-type]  # of the sender's side by construction
        assert us.data_to_send() == b""
        assert us.state is state
    else:
        us.send(SAMPLES[sender][kind])  # type: ignore[arg-type]
        assert us.data_to_send().endswith(b"}\n")
        assert us.state is following


@pytest.mark.parametrize(
    ("state", "kind"), [(state, kind) for state, who, kind in TRIPLES if who is Sender.CLIENT]
)
def test_a_server_accepts_what_the_table_allows_and_refuses_the_rest(state: State, kind: str) -> None:
    """A client frame changes the state or ends the connection with the right code; in a login it waits."""
    server = pair_in(state).server
    server.receive_data(encode_sample(Sender.CLIENT, kind))
    following = TRANSITIONS[state, Sender.CLIENT].get(kind)
    if following is not None:
        assert list(server.events()) == [SAMPLES[Sender.CLIENT][kind]]
        assert server.state is following
    elif state in (State.AUTHENTICATING, State.CLOSED):
        assert list(server.events()) == []
        assert server.state is state
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            list(server.events())
        assert server.state is State.CLOSED
        assert caught.value.code is {
            State.UNAUTHENTICATED: ErrorCode.NOT_LOGGED_IN,
            State.READY: ErrorCode.ALREADY_LOGGED_IN,
            State.DRAINING: ErrorCode.MISPLACED,
        }.get(state)


@pytest.mark.parametrize(
    ("state", "kind"), [(state, kind) for state, who, kind in TRIPLES if who is Sender.SERVER]
)
def test_a_client_accepts_what_the_table_allows_and_refuses_the_rest(state: State, kind: str) -> None:
    """A server frame changes the state or is a violation, to which the client sends nothing."""
    client = pair_in(state).client
    client.receive_data(encode_sample(Sender.SERVER, kind))
    following = TRANSITIONS[state, Sender.SERVER].get(kind)
    if following is not None:
        assert list(client.events()) == [SAMPLES[Sender.SERVER][kind]]
        assert client.state is following
    elif state is State.CLOSED:
        assert list(client.events()) == []
    else:
        with pytest.raises(RemoteProtocolError, match=f"in state {state.value}") as caught:
            list(client.events())
        assert caught.value.code is ErrorCode.MISPLACED
        assert client.state is State.CLOSED
    assert client.data_to_send() == b""


def encode_sample(sender: Sender, kind: str) -> bytes:
    """Return the line of a sample."""
    return codec.encode(SAMPLES[sender][kind])
