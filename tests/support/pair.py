"""Connections of a client and a server, joined by a fake wire."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from qscp import frames
from qscp.connection import ClientConnection, ServerConnection

__all__ = ["AUTH", "AUTH_ACK", "ConnectionPair", "logged_in_pair", "whole"]

AUTH = frames.Auth(user="alice", password="correct horse")
AUTH_ACK = frames.AuthAck(
    user="alice",
    account="a12",
    session="s1",
    protocol=1,
    features=[],
    limits=frames.Limits(line=65536, body=16384),
    retention=frames.Retention(),
    epoch="e1",
)

Cut = Callable[[bytes], Iterable[bytes]]


def whole(data: bytes) -> list[bytes]:
    """Deliver bytes in one piece."""
    return [data]


@dataclass
class ConnectionPair:
    """Both connections; bytes move only when a method carries them.

    Attributes:
        cut: How the wire cuts what it carries.
        at_server: Frames that the server received.
        at_client: Frames that the client received.
    """

    cut: Cut = whole
    client: ClientConnection = field(default_factory=ClientConnection)
    server: ServerConnection = field(default_factory=ServerConnection)
    at_server: list[frames.ClientFrame] = field(default_factory=list)
    at_client: list[frames.ServerFrame] = field(default_factory=list)

    def to_server(self) -> None:
        """Carry what the client has sent."""
        for piece in self.cut(self.client.data_to_send()):
            self.server.receive_data(piece)
            self.at_server += self.server.events()

    def to_client(self) -> None:
        """Carry what the server has sent."""
        for piece in self.cut(self.server.data_to_send()):
            self.client.receive_data(piece)
            self.at_client += self.client.events()

    def client_sends(self, *sent: frames.ClientFrame) -> None:
        """Send and carry frames."""
        for frame in sent:
            self.client.send(frame)
        self.to_server()

    def server_sends(self, *sent: frames.ServerFrame) -> None:
        """Send and carry frames; then handle input that the server had held back for them."""
        for frame in sent:
            self.server.send(frame)
        self.at_server += self.server.events()
        self.to_client()


def logged_in_pair(cut: Cut = whole) -> ConnectionPair:
    """Return a pair after the login, with empty lists of frames."""
    pair = ConnectionPair(cut)
    pair.client_sends(AUTH)
    pair.server_sends(AUTH_ACK)
    pair.at_server.clear()
    pair.at_client.clear()
    return pair
