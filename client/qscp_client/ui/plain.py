"""Front end for pipes and files: plain lines, no escapes, no prompts.

Messages go to standard output; notices (`* `) and problems (`! `) go to standard error. After the end of
input the answers to everything sent are awaited. What can't be written keeps no line from being sent, and
neither does an output that takes nothing for a while, such as a pager.
"""

import asyncio
import collections
import contextlib
import dataclasses
import getpass
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final

from qscp_client.core.chat_state import TypedLine
from qscp_client.core.engine import Engine
from qscp_client.core.events import Amended, Event, LineState, MessageSent, OwnMessage
from qscp_client.errors import InterruptedByUserError, OutputError, UsageError
from qscp_client.streams import explain_write_error, has_same_reader
from qscp_client.text import Kind, Line
from qscp_client.ui.echo import echo
from qscp_client.ui.render import describe, describe_lines, name_content
from qscp_client.ui.stream_writer import StreamWriter

_PASSWORD_TRIES: Final = 3
"""At a terminal."""

_PATIENCE_S: Final = 30.0
"""How long a lost connection is tried again: no user is there who could stop it."""

_LAST_INPUT_S: Final = 5.0
"""How long more input is waited for once messages can't be shown: a client that listens is of no use then."""
_INPUT: Final = 0
"""Descriptor of standard input."""

_READ_SIZE: Final = 64 * 1024
_AT_ONCE: Final = 200
"""Lines that are carried out, saved and sent together."""

_LINE_LIMIT: Final = 1024 * 1024
"""Bytes of a line that are kept: far more than a message can have, so that it is refused with a notice."""


_MESSAGES: Final = (Kind.MESSAGE, Kind.MENTION, Kind.OWN_MESSAGE)
"""What is written to standard output."""

_MARKS: Final = {Kind.NOTICE: "*", Kind.PROBLEM: "!"}
"""What precedes the lines of standard error."""


class PlainFrontEnd:
    """Lines from standard input, lines to standard output and standard error."""

    counts_failures = True
    shows_at_once = True
    patience_s = _PATIENCE_S

    def __init__(self) -> None:
        self._me = ""
        self._input = _LineReader()
        self._engine: Engine | None = None
        self._messages = StreamWriter(sys.stdout)
        # What goes to one terminal or pipe stays in order, also while it is stuck.
        self._notices = (
            self._messages if has_same_reader(sys.stdout, sys.stderr) else StreamWriter(sys.stderr)
        )
        self._shows_messages = True
        self._patience: asyncio.Timeout | None = None

    @property
    def password_tries(self) -> int:
        """More than one only at a terminal: a pipe goes on with what is typed after the password."""
        return _PASSWORD_TRIES if sys.stdin.isatty() else 1

    def private(self) -> AbstractContextManager[None]:
        """Switch the echo of a terminal off: a password can be typed before it is asked for."""
        return echo(_INPUT, on=False)

    async def ask_user(self) -> str:
        """Return the next line of the input; ask for it at a terminal."""
        if not sys.stdin.isatty():
            return await self._next("a user name")
        with echo(_INPUT, on=True):
            self._notices.write("User name: ")
            return await self._next("a user name")

    async def ask_password(self) -> str:
        """Return the next line of the input; ask at the terminal if the input is one.

        It is one in `qscp-client | tee`: the password must not be shown there either.
        """
        if sys.stdin.isatty():
            try:
                return getpass.getpass("Password: ")
            except (EOFError, KeyboardInterrupt) as error:
                raise InterruptedByUserError from error
        return await self._next("a password")

    def attached(self, engine: Engine, touched: Callable[[], None]) -> AbstractContextManager[None]:
        """Note the name of the user."""
        del touched
        self._me = engine.me
        self._engine = engine
        return contextlib.nullcontext()

    async def drain(self) -> None:
        """Wait until everything is written."""
        for writer in (self._messages, self._notices):
            await writer.drain()

    def check_output(self) -> None:
        """Check that everything could be written; raises as `FrontEnd`."""
        lost = self._messages.error or self._notices.error
        if isinstance(lost, BrokenPipeError):
            raise lost  # its reader left, which is no fault
        if lost is not None:
            raise OutputError(f"The output can't be written: {explain_write_error(lost)}.")

    def show(self, happened: Sequence[Event]) -> None:
        """Write events; what was typed is not repeated, only its state."""
        lines: list[Line] = []
        for event, stored in _grouped(happened):
            if stored:
                lines.append(_describe_stored(stored))
            elif isinstance(event, Amended) and event.here:
                text = describe_lines(
                    LineState.STORED, event.to, [name_content(event.body, event.kind, event.reference.number)]
                )
                lines.append(Line(Kind.NOTICE, "", text))
            elif event is not None:
                lines += describe(event, self._me)
        self._write(lines)

    async def read_lines(self) -> list[TypedLine]:
        """Return the next lines of the input; none if messages can't be shown and no more lines come.

        The end of the input is returned when messages are written: only then are they read.
        """
        try:
            async with asyncio.timeout(None if self._shows_messages else _LAST_INPUT_S) as self._patience:
                lines = [TypedLine(text) for text in await self._input.next_ones()]
                if not lines:
                    await self._messages.drain()
                return lines
        except TimeoutError:
            return []
        finally:
            self._patience = None

    async def _next(self, what: str) -> str:
        text = await self._input.next()
        if text is None:
            raise UsageError(
                f"The input ended where {what} was expected: the first line is the user name "
                "(left out with --user), the second the password."
            )
        return text

    def _write(self, lines: list[Line]) -> None:
        for is_message, run in itertools.groupby(lines, lambda line: line.kind in _MESSAGES):
            if is_message:
                self._messages.write("".join(f"{dataclasses.replace(line, mark='')}\n" for line in run))
            else:
                self._notices.write("".join(f"{_MARKS[line.kind]} {line}\n" for line in run))
        if self._messages.error is not None and self._shows_messages:
            self._leave_unread()
        if self._engine is not None:
            self._engine.set_shown(is_shown=self._shows_messages and not self._messages.is_stuck)

    def _leave_unread(self) -> None:
        """Leave messages unread from now on, and end when no more lines come."""
        self._shows_messages = False
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + _LAST_INPUT_S)


def _grouped(happened: Sequence[Event]) -> Iterator[tuple[Event | None, list[OwnMessage]]]:
    """Yield events without what was typed; messages to one recipient that were stored together as a list."""
    stored: list[OwnMessage] = []
    for event in happened:
        if isinstance(event, OwnMessage) and event.here:
            if stored and stored[-1].to != event.to:
                yield None, stored
                stored = []
            stored.append(event)
        elif not isinstance(event, MessageSent):
            if stored:
                yield None, stored
                stored = []
            yield event, []
    if stored:
        yield None, stored


def _describe_stored(stored: list[OwnMessage]) -> Line:
    last = stored[-1]
    bodies = [event.body for event in stored]
    return Line(Kind.NOTICE, "", describe_lines(LineState.STORED, last.to, bodies, last.details.number))


class _LineReader:
    """Reads lines from standard input in a thread, because not every system can poll a pipe or a file.

    The thread is a daemon and reads the descriptor itself: it can stay blocked in a read when the program
    ends, and holds no lock then. It reads only when a line is wanted: so the pipe has back-pressure, and what
    is typed for `getpass` is left to it.
    """

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[list[str] | None] = asyncio.Queue()
        self._wanted = threading.Semaphore(0)
        self._lines: collections.deque[str] = collections.deque()
        self._started = False
        self._ended = False

    async def next_ones(self) -> list[str]:
        """Return the next lines that were read already, at least one; none at the end of input."""
        first = await self.next()
        if first is None:
            return []
        count = min(len(self._lines), _AT_ONCE - 1)
        return [first, *(self._lines.popleft() for _ in range(count))]

    async def next(self) -> str | None:
        """Return the next line without its end; None at the end of input."""
        if not self._started:
            self._started = True
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._read, args=(loop,), name="input", daemon=True).start()
        while not self._lines and not self._ended:
            self._wanted.release()
            chunk = await self._chunks.get()
            self._ended = chunk is None
            self._lines.extend(chunk or ())
        return self._lines.popleft() if self._lines else None

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        splitter = _Splitter()
        try:
            while received := self._read_when_wanted():
                loop.call_soon_threadsafe(self._chunks.put_nowait, splitter.feed(received))
            for last in (splitter.feed_eof(), None):
                loop.call_soon_threadsafe(self._chunks.put_nowait, last)
        except RuntimeError:
            return  # the loop is closed: no more lines are wanted

    def _read_when_wanted(self) -> bytes:
        self._wanted.acquire()
        try:
            return os.read(_INPUT, _READ_SIZE)
        except OSError:
            return b""  # closed, or a terminal that went away


class _Splitter:
    """Cuts bytes into lines; of an endless line it keeps only as much as is needed to refuse it."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, received: bytes) -> list[str]:
        """Return the lines that the bytes complete."""
        first, *others = received.split(b"\n")
        self._partial += first[: _LINE_LIMIT - len(self._partial)]
        lines = []
        for other in others:
            lines.append(_decode(self._partial))
            self._partial = bytearray(other)
        return lines

    def feed_eof(self) -> list[str]:
        """Return the last line, if it has no newline."""
        return [_decode(self._partial)] if self._partial else []


def _decode(line: bytearray) -> str:
    # What is not UTF-8 stays recognizable, so that the engine can refuse to send it.
    return line.removesuffix(b"\r").decode("utf-8", errors="surrogateescape")
