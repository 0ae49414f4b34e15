"""Client and server driven by random steps, legal and not, compared with a model."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qscp import codec, frames
from qscp.connection import ClientConnection, ServerConnection
from qscp.errors import LocalProtocolError
from qscp.states import FATAL_ERROR, TRANSITIONS, Sender, State
from tests.support.pair import AUTH_ACK, ConnectionPair
from tests.support.strategies import client_frames, server_frames


class ConnectionMachine(RuleBasedStateMachine):
    """Two connections and two wires with undelivered bytes, compared with the expected frames."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = ConnectionPair()
        self.to_server = b""
        self.to_client = b""
        self.sent_by_client: list[frames.ClientFrame] = []
        self.sent_by_server: list[frames.ServerFrame] = []

    def try_to_send(
        self, us: ClientConnection | ServerConnection, sender: Sender, frame: frames.Frame
    ) -> bool:
        """Send a frame, and compare the result with the table."""
        before = us.state
        kind = FATAL_ERROR if isinstance(frame, frames.Error) and frame.ref is None else frame.type
        following = TRANSITIONS[before, sender].get(kind)
        if following is None:
            with pytest.raises(LocalProtocolError):
                us.send(frame)  # type: ignore[arg-type]  # of the sender's side
            assert us.state is before
            return False
        us.send(frame)  # type: ignore[arg-type]
        assert us.state is following
        return True

    @rule(frame=client_frames())
    def client_sends(self, frame: frames.ClientFrame) -> None:
        """Let the client try to send any frame."""
        if self.try_to_send(self.pair.client, Sender.CLIENT, frame):
            self.sent_by_client.append(frame)
            self.to_server += self.pair.client.data_to_send()

    @rule(frame=server_frames())
    def server_sends(self, frame: frames.ServerFrame) -> None:
        """Let the server try to send any frame."""
        if self.try_to_send(self.pair.server, Sender.SERVER, frame):
            self.sent_by_server.append(frame)
            self.pair.at_server += self.pair.server.events()
            self.to_client += self.pair.server.data_to_send()

    @precondition(lambda self: self.pair.client.state is State.UNAUTHENTICATED)
    @rule()
    def log_in(self) -> None:
        """Log in, which random frames would seldom do."""
        self.client_sends(frames.Auth(user="alice", password="x"))

    @precondition(lambda self: self.pair.server.state is State.AUTHENTICATING)
    @rule(good=st.booleans())
    def decide(self, *, good: bool) -> None:
        """Let the server answer a login."""
        self.server_sends(AUTH_ACK if good else frames.AuthNack("bad_credentials", ""))

    @rule(part=st.floats(0, 1))
    def deliver_to_server(self, part: float) -> None:
        """Deliver some of the bytes on the wire to the server."""
        size = round(part * len(self.to_server))
        self.pair.server.receive_data(self.to_server[:size])
        self.to_server = self.to_server[size:]
        self.pair.at_server += self.pair.server.events()
        self.to_client += self.pair.server.data_to_send()

    @rule(part=st.floats(0, 1))
    def deliver_to_client(self, part: float) -> None:
        """Deliver some of the bytes on the wire to the client."""
        size = round(part * len(self.to_client))
        self.pair.client.receive_data(self.to_client[:size])
        self.to_client = self.to_client[size:]
        self.pair.at_client += self.pair.client.events()

    @invariant()
    def frames_arrive_once_in_order_and_unchanged(self) -> None:
        """The received frames are a prefix of the sent frames."""
        pair = self.pair
        assert pair.at_server == self.sent_by_client[: len(pair.at_server)]
        assert pair.at_client == self.sent_by_server[: len(pair.at_client)]
        assert pair.server.frames_in == len(pair.at_server)

    @invariant()
    def nothing_is_buffered_after_the_end(self) -> None:
        """A closed connection buffers no input."""
        server = self.pair.server
        if server.state is State.CLOSED:
            assert not server._lines
            assert not server._buffered

    def teardown(self) -> None:
        """After delivery of all bytes, an open connection has received all frames."""
        self.deliver_to_client(1.0)
        if self.pair.client.state is not State.CLOSED:
            assert self.pair.at_client == self.sent_by_server


TestConnectionMachine = ConnectionMachine.TestCase


def test_the_machine_speaks_the_codec() -> None:
    """The lines on the wire of the machine are those of the codec."""
    machine = ConnectionMachine()
    machine.log_in()
    assert machine.to_server == codec.encode(frames.Auth(user="alice", password="x"))
