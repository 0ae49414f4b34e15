"""One QSCP connection, sans-I/O: bytes in, frames out; frames in, bytes out.

The shell around it (the daemon's session, the client's connection, a test) does this:

    connection.receive_data(plaintext)      # whatever TLS gave it
    for frame in connection.events(): ...   # frames of the peer, in order
    connection.send(answer)
    transport.write(connection.data_to_send())
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from qscp import codec, frames
from qscp.errors import ErrorCode, LocalProtocolError, RemoteProtocolError
from qscp.limits import LINE_LIMIT, LINE_LIMIT_BEFORE_LOGIN
from qscp.states import FATAL_ERROR, TRANSITIONS, Sender, State

__all__ = ["ClientConnection", "Connection", "ServerConnection"]

Incoming = TypeVar("Incoming", bound=frames.Frame)
Outgoing = TypeVar("Outgoing", bound=frames.Frame)


class Connection(Generic[Incoming, Outgoing]):
    """What both roles have in common; use `ServerConnection` or `ClientConnection`.

    Attributes:
        state: Where the connection is.
        frames_in: Frames received so far.
        eof: Whether the peer will send nothing more.
    """

    __slots__ = ("_incoming", "_lines", "_outgoing", "_splitter", "eof", "frames_in", "state")

    _us: Sender
    _them: Sender

    def __init__(self, line_limit: int) -> None:
        self.state = State.UNAUTHENTICATED
        self.frames_in = 0
        self.eof = False
        self._splitter = codec.LineSplitter(line_limit)
        self._lines: deque[bytes] = deque()
        self._outgoing: list[bytes] = []
        self._incoming = TRANSITIONS[self.state, self._them]

    def receive_data(self, data: bytes) -> None:
        """Take in bytes from the peer; call `events` next.

        In state CLOSED they are thrown away. Never raises.
        """
        if self.state is not State.CLOSED:
            self._lines.extend(self._splitter.feed(data))

    def receive_eof(self) -> None:
        """Note that the peer will send nothing more; call `events` for what came before."""
        self.eof = True

    @property
    def paused(self) -> bool:
        """Whether the shell should stop reading: `events` yields nothing more until `send` was called."""
        return self.state is State.AUTHENTICATING and self._them is Sender.CLIENT

    def events(self) -> Iterator[Incoming]:
        """Yield the frames that have come in, in order.

        It ends early while a login is being decided (see `paused`): what the client sent
        behind its `auth` waits, and is read when the answer is known.

        Raises:
            RemoteProtocolError: The peer broke the protocol. The state is CLOSED then, and a
                server has its `error` frame in `data_to_send`: send it and close.
        """
        lines = self._lines
        while lines and not self.paused:
            if self.state is State.CLOSED:
                lines.clear()
                return
            frame = self._decode(lines.popleft())
            if frame is not None:
                self.frames_in += 1
                yield frame
        if self._splitter.overlong and not lines and self.state is not State.CLOSED:
            raise self._violation(RemoteProtocolError(ErrorCode.LINE_TOO_LONG))

    def _decode(self, line: bytes) -> Incoming | None:
        try:
            frame = self._parse(line)
        except RemoteProtocolError as error:
            raise self._violation(error) from error.__cause__
        if frame is None:
            return None
        try:
            state = self._incoming[_kind(frame)]
        except KeyError:
            raise self._violation(self._misplaced()) from None
        if state is not self.state:
            self._enter(state)
        return frame

    def send(self, frame: Outgoing) -> None:
        """Queue a frame for `data_to_send`.

        Raises:
            LocalProtocolError: The frame is not allowed in this state; nothing is queued.
        """
        kind = _kind(frame)
        try:
            state = TRANSITIONS[self.state, self._us][kind]
        except KeyError:
            raise LocalProtocolError(
                f"{self._us.value} can't send {kind} in state {self.state.value}"
            ) from None
        self._outgoing.append(codec.encode(frame))
        if state is not self.state:
            self._enter(state)

    def data_to_send(self) -> bytes:
        """Return the queued bytes, and forget them; empty when there are none."""
        if not self._outgoing:
            return b""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def _parse(self, line: bytes) -> Incoming | None:
        raise NotImplementedError  # pragma: no cover - both roles have their own

    def _enter(self, state: State) -> None:
        self.state = state
        self._incoming = TRANSITIONS[state, self._them]

    def _misplaced(self) -> RemoteProtocolError:
        if self.state in (State.UNAUTHENTICATED, State.AUTHENTICATING):
            return RemoteProtocolError(ErrorCode.NOT_LOGGED_IN)
        if self.state is State.READY:
            return RemoteProtocolError(ErrorCode.ALREADY_LOGGED_IN)
        return RemoteProtocolError(ErrorCode.UNKNOWN_TYPE, "Nothing may follow bye.")

    def _violation(self, error: RemoteProtocolError) -> RemoteProtocolError:
        self._lines.clear()
        self._enter(State.CLOSED)
        return error


class ServerConnection(Connection[frames.ClientFrame, frames.ServerFrame]):
    """A connection as the server sees it: strict, with a small line limit before login."""

    __slots__ = ()
    _us, _them = Sender.SERVER, Sender.CLIENT

    def __init__(self) -> None:
        super().__init__(LINE_LIMIT_BEFORE_LOGIN)

    def send_encoded(self, lines: Iterable[bytes]) -> None:
        """Queue frames that were encoded once for many receivers.

        Args:
            lines: Encoded frames of a session (`chat`, `chat_ack`, `presence` ...), with their newlines.

        Raises:
            LocalProtocolError: The connection is not logged in, or closed; nothing is queued.
        """
        if self.state is not State.READY and self.state is not State.DRAINING:
            raise LocalProtocolError(f"server can't send session frames in state {self.state.value}")
        self._outgoing.extend(lines)

    def _parse(self, line: bytes) -> frames.ClientFrame:
        return codec.decode_client_frame(line)

    def _enter(self, state: State) -> None:
        super()._enter(state)
        if state is State.READY:
            self._splitter.limit = LINE_LIMIT

    def _violation(self, error: RemoteProtocolError) -> RemoteProtocolError:
        if self.state is not State.CLOSED:
            self.send(frames.Error(code=error.code, message=str(error)))
        return super()._violation(error)


class ClientConnection(Connection[frames.ServerFrame, frames.ClientFrame]):
    """A connection as the client sees it: lenient with what a newer server may send."""

    __slots__ = ()
    _us, _them = Sender.CLIENT, Sender.SERVER

    def __init__(self) -> None:
        super().__init__(LINE_LIMIT)

    def _parse(self, line: bytes) -> frames.ServerFrame | None:
        return codec.decode_server_frame(line)


def _kind(frame: frames.Frame) -> str:
    """The name of a frame in the table of transitions."""
    if type(frame) is frames.Error and frame.ref is None:
        return FATAL_ERROR
    return frame.__struct_config__.tag  # type: ignore[return-value]  # always a str here
