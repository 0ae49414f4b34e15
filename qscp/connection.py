"""One QSCP connection, sans-I/O: bytes in, frames out; frames in, bytes out.

The shell around it (the daemon's session, the client's connection, a test) does this:

    connection.receive_data(plaintext)      # whatever TLS gave it
    for frame in connection.events(): ...   # frames of the peer, in order
    connection.send(answer)
    transport.write(connection.data_to_send())
    if connection.state is State.CLOSED: transport.close()
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from qscp import codec, frames
from qscp.errors import ErrorCode, LocalProtocolError, RemoteProtocolError
from qscp.limits import LINE_LIMIT, LINE_LIMIT_BEFORE_LOGIN
from qscp.states import FATAL_ERROR, TRANSITIONS, Sender, State

__all__ = ["ClientConnection", "Connection", "ServerConnection"]

Incoming = TypeVar("Incoming", bound=frames.Frame)
Outgoing = TypeVar("Outgoing", bound=frames.Frame)

# Looking a member up in its enum is slow on Python 3.11, and here it would be done per frame.
_UNAUTHENTICATED, _AUTHENTICATING, _READY, _DRAINING, _CLOSED = State


def _rows(sender: Sender, classes: Iterable[type[frames.Frame]]) -> dict[State, dict[type, State]]:
    """What one side may send, by the class of the frame: the quickest thing to look up.

    `error` is left out: its place in the table depends on its `ref`.
    """
    kinds = {cls: str(cls.__struct_config__.tag) for cls in classes if cls is not frames.Error}
    return {
        state: {cls: row[kind] for cls, kind in kinds.items() if kind in row}
        for state in State
        for row in [TRANSITIONS[state, sender]]
    }


_ROWS: Final = {
    Sender.CLIENT: _rows(Sender.CLIENT, frames.CLIENT_FRAMES),
    Sender.SERVER: _rows(Sender.SERVER, frames.SERVER_FRAMES),
}


class Connection(Generic[Incoming, Outgoing]):
    """What both roles have in common; use `ServerConnection` or `ClientConnection`.

    Attributes:
        state: Where the connection is.
        frames_in: Frames received so far; unknown ones, which a client ignores, don't count.
        eof: Whether the peer will send nothing more.
    """

    __slots__ = (
        "_lines",
        "_may_receive",
        "_may_send",
        "_outgoing",
        "_parse",
        "_splitter",
        "eof",
        "frames_in",
        "state",
    )

    _us: Sender
    _them: Sender

    def __init__(self, line_limit: int, parse: Callable[[bytes], Incoming | None]) -> None:
        self.state = _UNAUTHENTICATED
        self.frames_in = 0
        self.eof = False
        self._parse = parse
        self._splitter = codec.LineSplitter(line_limit)
        self._lines: deque[bytes] = deque()
        self._outgoing: list[bytes] = []
        self._may_receive = _ROWS[self._them][self.state]
        self._may_send = _ROWS[self._us][self.state]

    def receive_data(self, data: bytes) -> None:
        """Take in bytes from the peer; call `events` next.

        In state CLOSED they are thrown away. Never raises.
        """
        if self.state is not _CLOSED:
            self._lines.extend(self._splitter.feed(data))

    def receive_eof(self) -> None:
        """Note that the peer will send nothing more; call `events` for what came before.

        A last line without its newline is no frame and is thrown away.
        """
        self.eof = True

    @property
    def paused(self) -> bool:
        """Whether the shell should stop reading: `events` yields nothing more until `send` was called."""
        return False

    def events(self) -> Iterator[Incoming]:
        """Yield the frames that have come in, in order.

        The state is always the one after the frame just yielded, and before the next one. It is safe
        to stop halfway (the rest stays for the next call), and to send or receive between two frames.

        A server's events end early while a login is being decided (see `paused`): what the client
        sent behind its `auth` waits. Call `events` again after sending `auth_ack` or `auth_nack`.

        Raises:
            RemoteProtocolError: The peer broke the protocol. The state is CLOSED then, and a
                server has its `error` frame in `data_to_send`: send it and close.
        """
        lines = self._lines
        while lines:
            try:
                frame = self._parse(lines.popleft())
            except RemoteProtocolError as error:
                raise self._violation(error) from error.__cause__
            if frame is None:
                continue
            try:
                state = self._may_receive[type(frame)]
            except KeyError:
                state = self._state_after_error(frame)
            if state is not self.state:
                self._enter(state)
            self.frames_in += 1
            yield frame
        if self._splitter.overlong and self.state is not _CLOSED:
            raise self._violation(RemoteProtocolError(ErrorCode.LINE_TOO_LONG))

    def _state_after_error(self, frame: Incoming) -> State:
        """Look an incoming `error` up; every other frame that comes here is out of place."""
        state = _error_row(TRANSITIONS[self.state, self._them], frame)
        if state is None:
            raise self._violation(self._misplaced(frame))
        return state

    def send(self, frame: Outgoing) -> None:
        """Queue a frame for `data_to_send`.

        Raises:
            LocalProtocolError: The frame is not allowed in this state; nothing is queued.
        """
        state = self._may_send.get(type(frame)) or _error_row(TRANSITIONS[self.state, self._us], frame)
        if state is None:
            raise LocalProtocolError(f"{self._us.value} can't send {frame.type} in state {self.state.value}")
        self._outgoing.append(codec.encode(frame))
        if state is not self.state:
            self._enter(state)

    def data_to_send(self) -> bytes:
        """Return the queued bytes, and forget them; empty when there are none.

        In state CLOSED these are the last ones: write them, then close the transport.
        """
        if not self._outgoing:
            return b""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def _enter(self, state: State) -> None:
        self.state = state
        self._may_receive = _ROWS[self._them][state]
        self._may_send = _ROWS[self._us][state]
        if state is _CLOSED:
            self._lines.clear()

    def _misplaced(self, frame: Incoming) -> RemoteProtocolError:
        return RemoteProtocolError(ErrorCode.MISPLACED, f"Got {frame.type} in state {self.state.value}.")

    def _violation(self, error: RemoteProtocolError) -> RemoteProtocolError:
        self._enter(_CLOSED)
        return error


class ServerConnection(Connection[frames.ClientFrame, frames.ServerFrame]):
    """A connection as the server sees it: strict, and it holds little for a stranger.

    Before the login only one line is looked at, under its small limit. What the client sent
    behind its `auth` is kept as it came; it is cut into lines, under the limit of
    the state it belongs to, when the login is decided.
    """

    __slots__ = ("_held",)
    _us, _them = Sender.SERVER, Sender.CLIENT

    def __init__(self) -> None:
        super().__init__(LINE_LIMIT_BEFORE_LOGIN, codec.decode_client_frame)
        self._held = bytearray()

    @property
    def paused(self) -> bool:
        """Whether a login is being decided; more data than was read already should not be read then."""
        return self.state is _AUTHENTICATING

    def receive_data(self, data: bytes) -> None:
        """Take in bytes from the peer; call `events` next.

        In state CLOSED they are thrown away. While `paused` they are kept without a limit:
        it is the shell that has to stop reading. Never raises.
        """
        if self.state is not _UNAUTHENTICATED and self.state is not _AUTHENTICATING:
            super().receive_data(data)
        elif self.state is _AUTHENTICATING or self._lines:
            self._held += data
        else:
            line, newline, rest = data.partition(b"\n")
            super().receive_data(line + newline)
            self._held += rest

    def send_encoded(self, lines: Iterable[bytes]) -> None:
        """Queue frames that were encoded once for many receivers.

        Args:
            lines: Encoded frames of a session (`chat`, `chat_ack`, `presence` ...), with their newlines.

        Raises:
            LocalProtocolError: The connection is not logged in, or closed; nothing is queued.
        """
        if self.state is not _READY and self.state is not _DRAINING:
            raise LocalProtocolError(f"server can't send session frames in state {self.state.value}")
        self._outgoing.extend(lines)

    def _enter(self, state: State) -> None:
        super()._enter(state)
        held = bytes(self._held)
        self._held.clear()
        if state is _READY:
            self._splitter.limit = LINE_LIMIT
        if held:
            self.receive_data(held)

    def _misplaced(self, frame: frames.ClientFrame) -> RemoteProtocolError:  # noqa: ARG002 - the state says it all
        if self.state is _UNAUTHENTICATED:
            return RemoteProtocolError(ErrorCode.NOT_LOGGED_IN)
        if self.state is _READY:
            return RemoteProtocolError(ErrorCode.ALREADY_LOGGED_IN)
        return RemoteProtocolError(ErrorCode.MISPLACED)  # something behind `bye`

    def _violation(self, error: RemoteProtocolError) -> RemoteProtocolError:
        self.send(frames.Error(code=error.code, message=str(error)))
        return super()._violation(error)


class ClientConnection(Connection[frames.ServerFrame, frames.ClientFrame]):
    """A connection as the client sees it: lenient with what a newer server may send."""

    __slots__ = ()
    _us, _them = Sender.CLIENT, Sender.SERVER

    def __init__(self) -> None:
        super().__init__(LINE_LIMIT, codec.decode_server_frame)


def _error_row(row: dict[str, State], frame: frames.Frame) -> State | None:
    """The next state after an `error` frame, or None if it, or any other frame, is not allowed here."""
    if type(frame) is not frames.Error:
        return None
    return row.get(FATAL_ERROR if frame.ref is None else frame.type)
