"""One QSCP connection, sans-I/O: bytes in, frames out; frames in, bytes out.

The shell around it (the daemon's session, the client's connection, a test) does this:

    connection.receive_data(plaintext)      # from TLS
    for frame in connection.events(): ...   # frames of the peer, in order
    connection.send(answer)
    transport.write(connection.data_to_send())
    if connection.state is State.CLOSED: transport.close()
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from qscp import codec, frames
from qscp.errors import ErrorCode, LocalProtocolError, RemoteProtocolError
from qscp.limits import LINE_LIMIT, LINE_LIMIT_BEFORE_LOGIN
from qscp.states import FATAL_ERROR, TRANSITIONS, Sender, State

__all__ = ["ClientConnection", "Connection", "LineSplitter", "ServerConnection"]

Incoming = TypeVar("Incoming", bound=frames.Frame)
Outgoing = TypeVar("Outgoing", bound=frames.Frame)

_OVERLONG: Final = b"\n"
"""Stands in `lines` for a line over the limit; no line has a newline in it."""

# Looking up an enum member is slow on Python 3.11, and this module would do it per frame.
_UNAUTHENTICATED, _AUTHENTICATING, _READY, _DRAINING, _CLOSED = State


def _rows(sender: Sender, classes: Iterable[type[frames.Frame]]) -> dict[State, dict[type, State]]:
    """Return the transitions of one side by the class of the frame, which is the fastest key.

    `error` is left out: its row depends on its `ref`.
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


class LineSplitter:
    r"""Splitter of a byte stream into lines.

    A line is refused as soon as more bytes than the limit have come without a newline,
    so a peer never makes us buffer more than the limit. After that everything is
    discarded: the tail of an overlong line is never parsed as a frame.
    Cost: linear in the input, however it is split.

    Attributes:
        limit: Most bytes in a line, without its `\n`; can be changed between calls.
        overlong: Whether a line went over the limit.
    """

    __slots__ = ("_partial", "limit", "overlong")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.overlong = False
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes and return the lines that they complete, without newlines.

        When `overlong` is true afterwards, the returned lines came before the bad one.
        """
        if self.overlong:
            return []
        partial = self._partial
        size = len(partial) + len(data)
        lines = data.split(b"\n")
        rest = lines.pop()
        if partial and lines:
            partial += lines[0]
            lines[0] = bytes(partial)
            partial.clear()
        partial += rest
        # No line can be longer than all of the input.
        if size > self.limit and (len(partial) > self.limit or max(map(len, lines), default=0) > self.limit):
            self._refuse(lines)
        return lines

    def _refuse(self, lines: list[bytes]) -> None:
        """Keep only the lines before the overlong one."""
        self.overlong = True
        self._partial.clear()
        for index, line in enumerate(lines):
            if len(line) > self.limit:
                del lines[index:]
                break


class Connection(Generic[Incoming, Outgoing]):
    """Base of both roles; use `ServerConnection` or `ClientConnection`.

    Attributes:
        state: State of the connection.
        frames_in: Number of received frames, without unknown ones, which a client ignores.
        eof: Whether the peer will send nothing more.
        lines: Lines that have come in and that `next_event` has not handled yet, the next one last. An empty
            deque would take 600 bytes more in each idle connection.
    """

    __slots__ = (
        "_may_receive",
        "_may_send",
        "_outgoing",
        "_parse",
        "_splitter",
        "eof",
        "frames_in",
        "lines",
        "state",
    )

    _us: Sender
    _them: Sender

    def __init__(self, line_limit: int, parse: Callable[[bytes], Incoming | None]) -> None:
        self.state = _UNAUTHENTICATED
        self.frames_in = 0
        self.eof = False
        self._parse = parse
        self._splitter = LineSplitter(line_limit)
        self.lines: list[bytes] = []
        self._outgoing: list[bytes] = []
        self._may_receive = _ROWS[self._them][self.state]
        self._may_send = _ROWS[self._us][self.state]

    def receive_data(self, data: bytes) -> None:
        """Add bytes from the peer; call `events` next.

        In state CLOSED they are discarded. Never raises.
        """
        if self.state is not _CLOSED:
            lines = self._splitter.feed(data)
            if self._splitter.overlong and (not self.lines or self.lines[0] is not _OVERLONG):
                lines.append(_OVERLONG)
            lines.reverse()
            self.lines = lines + self.lines if self.lines else lines

    def receive_eof(self) -> None:
        """Note that the peer will send nothing more; call `events` for earlier frames.

        A last line without its newline is not a frame and is discarded.
        """
        self.eof = True

    @property
    def paused(self) -> bool:
        """Whether the shell should stop reading: `events` yields nothing more until `send` was called."""
        return False

    def next_event(self) -> Incoming | None:
        """Return the next frame that has come in; None if there is none yet.

        The state is always the one after the frame just returned, and before the next one. It is safe
        to send or receive between two frames.

        A server's frames end early while a login is being decided (see `paused`): what the client
        sent behind its `auth` waits. Call again after sending `auth_ack` or `auth_nack`.

        Raises:
            RemoteProtocolError: The peer broke the protocol. The state is CLOSED then, and a
                server has its `error` frame in `data_to_send`: send it and close.
        """
        lines = self.lines
        while lines:
            line = lines.pop()
            if line is _OVERLONG:
                raise self._violation(RemoteProtocolError(ErrorCode.LINE_TOO_LONG))
            try:
                frame = self._parse(line)
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
            return frame
        return None

    def events(self) -> Iterator[Incoming]:
        """Yield the frames that have come in, in order, as `next_event` returns them.

        It is safe to stop halfway: the rest stays for the next call.

        Raises:
            RemoteProtocolError: As in `next_event`.
        """
        while (frame := self.next_event()) is not None:
            yield frame

    def _state_after_error(self, frame: Incoming) -> State:
        """Look up an incoming `error`; any other frame here is a violation."""
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
        """Return the queued bytes and clear the queue.

        In state CLOSED these are the last bytes: write them, then close the transport.
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
            self.lines.clear()

    def _misplaced(self, frame: Incoming) -> RemoteProtocolError:
        return RemoteProtocolError(ErrorCode.MISPLACED, f"Got {frame.type} in state {self.state.value}.")

    def _violation(self, error: RemoteProtocolError) -> RemoteProtocolError:
        self._enter(_CLOSED)
        return error


class ServerConnection(Connection[frames.ClientFrame, frames.ServerFrame]):
    """The server's side: strict, and with small buffers for an unauthenticated peer.

    Before the login only one line is parsed, under its small limit. Bytes behind the `auth`
    are buffered; when the login is decided, they are split into lines under the limit of
    the new state.
    """

    __slots__ = ("_buffered",)
    _us, _them = Sender.SERVER, Sender.CLIENT

    def __init__(self) -> None:
        super().__init__(LINE_LIMIT_BEFORE_LOGIN, codec.decode_client_frame)
        self._buffered = bytearray()

    @property
    def paused(self) -> bool:
        """Whether a login is being decided; the shell should not read more data then."""
        return self.state is _AUTHENTICATING

    def receive_data(self, data: bytes) -> None:
        """Add bytes from the peer; call `events` next.

        In state CLOSED they are discarded. While `paused` they are buffered without a limit:
        the shell has to stop reading. Never raises.
        """
        if self.state is not _UNAUTHENTICATED and self.state is not _AUTHENTICATING:
            super().receive_data(data)
        elif self.state is _AUTHENTICATING or self.lines:
            self._buffered += data
        else:
            line, newline, rest = data.partition(b"\n")
            super().receive_data(line + newline)
            self._buffered += rest

    def _enter(self, state: State) -> None:
        super()._enter(state)
        buffered = bytes(self._buffered)
        self._buffered.clear()
        if state is _READY:
            self._splitter.limit = LINE_LIMIT
        if buffered:
            self.receive_data(buffered)

    def _misplaced(self, frame: frames.ClientFrame) -> RemoteProtocolError:  # noqa: ARG002 - the code depends on the state only
        if self.state is _UNAUTHENTICATED:
            return RemoteProtocolError(ErrorCode.NOT_LOGGED_IN)
        if self.state is _READY:
            return RemoteProtocolError(ErrorCode.ALREADY_LOGGED_IN)
        return RemoteProtocolError(ErrorCode.MISPLACED)  # something behind `bye`

    def _violation(self, error: RemoteProtocolError) -> RemoteProtocolError:
        self.send(frames.Error(code=error.code, message=str(error)))
        return super()._violation(error)


class ClientConnection(Connection[frames.ServerFrame, frames.ClientFrame]):
    """The client's side: lenient with frames and fields of a newer server."""

    __slots__ = ()
    _us, _them = Sender.CLIENT, Sender.SERVER

    def __init__(self) -> None:
        super().__init__(LINE_LIMIT, codec.decode_server_frame)


def _error_row(row: dict[str, State], frame: frames.Frame) -> State | None:
    """Return the next state after an `error` frame; None if it is not allowed or is another frame."""
    if type(frame) is not frames.Error:
        return None
    return row.get(FATAL_ERROR if frame.ref is None else frame.type)
