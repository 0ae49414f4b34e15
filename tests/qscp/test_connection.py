import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp import codec, frames
from qscp.connection import ServerConnection
from qscp.errors import ErrorCode, LocalProtocolError, RemoteProtocolError
from qscp.limits import LINE_LIMIT, LINE_LIMIT_BEFORE_LOGIN
from qscp.states import State
from tests.support.pair import AUTH, AUTH_ACK, ConnectionPair, logged_in_pair
from tests.support.strategies import splits

PING = codec.encode(frames.ClientPing())
CHAT = frames.SendChat(to="bob", body="hello", id="0" * 32)


def chat_line(size: int) -> bytes:
    """Return a chat frame of exactly that many bytes, and its newline."""
    empty = len(codec.encode(frames.SendChat(to="bob", body="", id="0" * 32))) - 1
    return codec.encode(frames.SendChat(to="bob", body="x" * (size - empty), id="0" * 32))


def state_of(server: ServerConnection) -> State:
    """Return the current state, so that a type checker does not narrow the attribute."""
    return server.state


def violation(server: ServerConnection) -> ErrorCode:
    """Assert that the next frame is a violation, and return its code."""
    with pytest.raises(RemoteProtocolError) as caught:
        list(server.events())
    return caught.value.code


# --- the whole way


@given(st.data())
def test_a_conversation_survives_every_cut_of_the_wire(data: st.DataObject) -> None:
    """Login, messages both ways and `bye` arrive complete and in order, however the wire cuts."""
    pair = ConnectionPair(lambda sent: data.draw(splits(sent)))
    chats = [frames.SendChat(to="bob", body=f"number {n}\n\u20ac", id=f"{n:032x}") for n in range(3)]
    acks = [frames.ChatAck(chat.id, "c1", n, 1764000000000 + n) for n, chat in enumerate(chats, 1)]
    pair.client_sends(AUTH)
    pair.server_sends(AUTH_ACK, frames.OnlineUsers(1, []))
    pair.client_sends(*chats, frames.ClientBye())
    pair.server_sends(*acks, frames.ServerBye("bye", "Good-bye."))
    assert pair.at_server == [AUTH, *chats, frames.ClientBye()]
    assert pair.at_client == [
        AUTH_ACK,
        frames.OnlineUsers(1, []),
        *acks,
        frames.ServerBye("bye", "Good-bye."),
    ]
    assert pair.client.state is pair.server.state is State.CLOSED
    assert (pair.server.frames_in, pair.client.frames_in) == (5, 6)


def test_data_to_send_is_given_once() -> None:
    """Queued frames come out together and in order, and only once."""
    pair = logged_in_pair()
    pair.client.send(frames.ClientPing())
    pair.client.send(CHAT)
    assert pair.client.data_to_send() == PING + codec.encode(CHAT)
    assert pair.client.data_to_send() == b""


def test_a_frame_that_can_not_be_encoded_changes_nothing() -> None:
    """A lone surrogate in a body raises to the caller, and the connection goes on."""
    pair = logged_in_pair()
    with pytest.raises(UnicodeEncodeError):
        pair.client.send(frames.SendChat(to="bob", body="\ud800", id="0" * 32))
    pair.client_sends(CHAT)
    assert pair.at_server == [CHAT]


def test_a_side_can_not_send_the_frames_of_the_other_one() -> None:
    """A frame of the wrong class is refused even if its type exists on both sides."""
    pair = logged_in_pair()
    with pytest.raises(LocalProtocolError):
        pair.server.send(frames.ClientPing())  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        pair.client.send(frames.ServerPing())  # type: ignore[arg-type]


# --- login


def test_what_comes_behind_auth_waits_for_the_answer() -> None:
    """The server is paused while it decides; afterwards the buffered frames come out."""
    pair = ConnectionPair()
    pair.server.receive_data(codec.encode(AUTH) + PING + codec.encode(CHAT)[:10])
    assert list(pair.server.events()) == [AUTH]
    paused = pair.server.paused
    pair.server.receive_data(codec.encode(CHAT)[10:])
    assert list(pair.server.events()) == []
    pair.server.send(AUTH_ACK)
    assert (paused, pair.server.paused) == (True, False)
    assert list(pair.server.events()) == [frames.ClientPing(), CHAT]


def test_a_login_decided_inside_the_loop_lets_the_loop_go_on() -> None:
    """A shell that answers inside the loop needs no second call of `events`."""
    server = ServerConnection()
    server.receive_data(codec.encode(AUTH) + PING * 2)
    received = []
    for frame in server.events():
        received.append(frame)
        if frame == AUTH:
            server.send(AUTH_ACK)
    assert received == [AUTH, frames.ClientPing(), frames.ClientPing()]


def test_attempts_can_be_pipelined() -> None:
    """Another `auth` behind a refused one is read after the refusal."""
    server = ServerConnection()
    server.receive_data(codec.encode(AUTH) * 2 + PING)
    assert list(server.events()) == [AUTH]
    server.send(frames.AuthNack("bad_credentials", ""))
    assert list(server.events()) == [AUTH]
    server.send(AUTH_ACK)
    assert list(server.events()) == [frames.ClientPing()]


def test_only_auth_may_follow_a_refused_login() -> None:
    """Frames sent ahead of a refused login are not processed."""
    server = ServerConnection()
    server.receive_data(codec.encode(AUTH) + codec.encode(CHAT))
    list(server.events())
    server.send(frames.AuthNack("bad_credentials", ""))
    assert violation(server) is ErrorCode.NOT_LOGGED_IN


@given(st.data())
def test_a_line_is_under_the_limit_of_its_own_state(data: st.DataObject) -> None:
    """A long line behind a successful `auth` is accepted, in the same read or a later one."""
    pair = ConnectionPair(lambda sent: data.draw(splits(sent)))
    pair.client.send(AUTH)
    pair.client.data_to_send()
    long = chat_line(LINE_LIMIT)
    for part in data.draw(splits(codec.encode(AUTH) + long + PING)):
        pair.server.receive_data(part)
        pair.at_server += pair.server.events()
    pair.server_sends(AUTH_ACK)
    assert [frame.type for frame in pair.at_server] == ["auth", "chat", "ping"]


def test_the_small_limit_holds_for_each_attempt() -> None:
    """Before the login a line of the limit is read and a longer one refused, at each attempt."""
    login = codec.encode(AUTH)[:-1]
    good = login.ljust(LINE_LIMIT_BEFORE_LOGIN) + b"\n"
    bad = login.ljust(LINE_LIMIT_BEFORE_LOGIN + 1) + b"\n"
    server = ServerConnection()
    server.receive_data(good + bad)
    assert list(server.events()) == [AUTH]
    server.send(frames.AuthNack("bad_credentials", ""))
    assert violation(server) is ErrorCode.LINE_TOO_LONG


def test_an_unauthenticated_peer_can_not_make_the_server_buffer_more_than_a_line() -> None:
    """Input without a newline is refused at the small limit."""
    server = ServerConnection()
    server.receive_data(b"x" * LINE_LIMIT_BEFORE_LOGIN)
    assert list(server.events()) == []
    server.receive_data(b"x")
    assert violation(server) is ErrorCode.LINE_TOO_LONG


def test_lines_behind_auth_are_not_split_before_the_login_is_decided() -> None:
    """During a login, many tiny lines cost only their own bytes, not an object each."""
    server = ServerConnection()
    server.receive_data(codec.encode(AUTH) + b"xy\n" * 80000)
    assert list(server.events()) == [AUTH]
    assert not server._lines
    assert len(server._buffered) == 240000


def test_data_that_comes_before_events_was_called_is_kept() -> None:
    """Reads are buffered until `events` is called, before the login too."""
    server = ServerConnection()
    for byte in codec.encode(AUTH) + PING:
        server.receive_data(bytes([byte]))
    assert list(server.events()) == [AUTH]
    server.send(AUTH_ACK)
    assert list(server.events()) == [frames.ClientPing()]


# --- violations


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"x" * (LINE_LIMIT + 1), ErrorCode.LINE_TOO_LONG),
        (b"x" * (LINE_LIMIT + 1) + b"\n", ErrorCode.LINE_TOO_LONG),
        (chat_line(LINE_LIMIT + 1), ErrorCode.LINE_TOO_LONG),
        (b"\xff\n", ErrorCode.NOT_UTF8),
        (b"\n", ErrorCode.NOT_JSON),
        (b"[]\n", ErrorCode.NOT_AN_OBJECT),
        (b'{"type":"nope"}\n', ErrorCode.UNKNOWN_TYPE),
        (b'{"type":"ping","x":1}\n', ErrorCode.UNKNOWN_FIELD),
        (b'{"type":"chat","to":1}\n', ErrorCode.BAD_FIELD),
        (codec.encode(AUTH), ErrorCode.ALREADY_LOGGED_IN),
    ],
)
def test_a_violation_is_answered_by_one_error_and_nothing_after_it_is_read(
    line: bytes, code: ErrorCode
) -> None:
    """Earlier frames come out; then one `error` without `ref`; later input is discarded."""
    server = logged_in_pair().server
    server.receive_data(PING + line + PING)
    events = server.events()
    assert next(events) == frames.ClientPing()
    with pytest.raises(RemoteProtocolError) as caught:
        next(events)
    assert caught.value.code is code
    assert server.state is State.CLOSED
    sent = codec.decode_server_frame(server.data_to_send().removesuffix(b"\n"))
    assert sent == frames.Error(code=code, message=str(caught.value))
    for more in (b"", PING, line, b"\n" + PING):
        server.receive_data(more)
        assert list(server.events()) == []
    assert server.data_to_send() == b""
    assert (len(server._lines), len(server._splitter._partial), len(server._buffered)) == (0, 0, 0)


def test_answers_queued_before_a_violation_leave_before_the_error() -> None:
    """The `error` is the last frame of the server, after queued answers."""
    server = logged_in_pair().server
    server.receive_data(PING + b"?\n")
    events = server.events()
    next(events)
    server.send(frames.ServerPong())
    with pytest.raises(RemoteProtocolError):
        next(events)
    types = [json.loads(line)["type"] for line in server.data_to_send().splitlines()]
    assert types == ["pong", "error"]


def test_a_client_sends_nothing_when_the_server_violates_the_protocol() -> None:
    """A violation by the server raises on the client, which sends nothing."""
    client = logged_in_pair().client
    client.receive_data(b'{"type":"pong"}\n{"type":"chat"}\n{"type":"pong"}\n')
    events = client.events()
    assert next(events) == frames.ServerPong()
    with pytest.raises(RemoteProtocolError):
        next(events)
    assert client.state is State.CLOSED
    assert client.data_to_send() == b""
    assert list(client.events()) == []


def test_a_client_ignores_unknown_frames() -> None:
    """Unknown frames are neither yielded nor counted, in any state."""
    client = ConnectionPair().client
    client.receive_data(b'{"type":"later"}\n')
    assert list(client.events()) == []
    assert client.frames_in == 0


def test_nothing_is_read_after_the_last_frame_of_the_server() -> None:
    """After the server ends the session, the rest of the input is discarded."""
    server = logged_in_pair().server
    server.receive_data(PING * 3)
    received = []
    for frame in server.events():
        received.append(frame)
        server.send(frames.ServerBye("shutdown", ""))
    assert received == [frames.ClientPing()]
    server.receive_data(b"x" * (LINE_LIMIT + 1))
    assert list(server.events()) == []
    assert server.state is State.CLOSED


def test_a_server_that_closes_while_it_decides_drops_what_waited() -> None:
    """A timeout during login leaves no buffered input."""
    server = ServerConnection()
    server.receive_data(codec.encode(AUTH) + PING)
    list(server.events())
    server.send(frames.Error("login_timeout", ""))
    assert list(server.events()) == []
    assert len(server._buffered) == 0
    with pytest.raises(LocalProtocolError):
        server.send(AUTH_ACK)


# --- using it


def test_events_can_be_left_halfway_and_taken_up_again() -> None:
    """Each frame is yielded once, and the state is the one after the last yielded frame."""
    server = logged_in_pair().server
    server.receive_data(codec.encode(CHAT) + codec.encode(frames.ClientBye()))
    assert next(server.events()) == CHAT
    assert state_of(server) is State.READY
    assert next(server.events()) == frames.ClientBye()
    assert state_of(server) is State.DRAINING
    assert list(server.events()) == []


def test_data_may_come_in_between_two_events() -> None:
    """Data received inside the loop is yielded by the same loop."""
    server = logged_in_pair().server
    server.receive_data(PING)
    events = server.events()
    next(events)
    server.receive_data(codec.encode(CHAT))
    assert list(events) == [CHAT]


def test_the_end_of_the_stream_ends_no_line() -> None:
    """A last line without its newline is not a frame; earlier lines are."""
    server = logged_in_pair().server
    server.receive_data(PING + codec.encode(CHAT)[:-1])
    server.receive_eof()
    assert server.eof
    assert list(server.events()) == [frames.ClientPing()]
    assert server.state is State.READY


def test_a_server_still_answers_after_the_end_of_the_stream() -> None:
    """A peer that closed its sending side still gets its acknowledgements."""
    pair = logged_in_pair()
    pair.client_sends(CHAT)
    pair.server.receive_eof()
    ack = frames.ChatAck(CHAT.id, "c1", 1, 0)
    pair.server_sends(ack)
    assert pair.at_client == [ack]


def test_encoded_frames_go_out_in_order_with_the_others() -> None:
    """Frames encoded for many receivers are queued in order with the others."""
    pair = logged_in_pair()
    changes = frames.PresenceChanges(2, [])
    pair.server.send(frames.ServerPing())
    pair.server.send_encoded([codec.encode(changes), codec.encode(changes)])
    pair.server.send(frames.ServerPong())
    pair.to_client()
    assert pair.at_client == [frames.ServerPing(), changes, changes, frames.ServerPong()]


@pytest.mark.parametrize("login", [None, AUTH])
def test_encoded_frames_are_refused_outside_a_session(login: frames.Auth | None) -> None:
    """Session frames can be sent neither before the login nor after the end."""
    pair = ConnectionPair()
    if login is not None:
        pair.client_sends(login)
    with pytest.raises(LocalProtocolError):
        pair.server.send_encoded([PING])
    pair.server.send(frames.ServerBye("shutdown", ""))
    with pytest.raises(LocalProtocolError):
        pair.server.send_encoded([PING])
    assert pair.server.data_to_send().count(b"\n") == 1


def test_a_client_is_never_paused() -> None:
    """Only a server is ever paused."""
    pair = ConnectionPair()
    pair.client_sends(AUTH)
    assert pair.server.paused
    assert not pair.client.paused
