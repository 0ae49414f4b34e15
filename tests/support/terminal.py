"""Real client on a pseudo-terminal, with an emulator that shows its screen."""

import asyncio
import contextlib
import fcntl
import os
import re
import struct
import termios
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import pyte
import pytest

from tests.support.waiting import patiently

__all__ = ["COLUMNS", "ROWS", "Screen", "Terminal", "on_terminal"]

REPOSITORY = Path(__file__).parents[2]
ROWS, COLUMNS = 40, 80


class Screen(pyte.Screen):
    """Screen that answers a client's queries, such as for the position of the cursor."""

    def __init__(self, master: int, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self._master = master

    def write_process_input(self, data: str) -> None:
        """Send the answer to a query, as if it was typed."""
        os.write(self._master, data.encode())


class Terminal:
    """A client on a pseudo-terminal.

    Attributes:
        seen: Everything that the client has written, as bytes.
        process: The client.
    """

    def __init__(self, master: int, process: asyncio.subprocess.Process, columns: int, rows: int) -> None:
        self.seen = b""
        self.process = process
        self._master = master
        self._changed = asyncio.Event()
        self._ended = False
        self._screen = Screen(master, columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            received = os.read(self._master, 65536)
        except OSError:  # how Linux reports that no process has the terminal open
            received = b""
        if not received:
            self._ended = True
            asyncio.get_running_loop().remove_reader(self._master)
        self.seen += received
        self._stream.feed(received)
        self._changed.set()

    @property
    def lines(self) -> list[str]:
        """The lines of the screen."""
        return [line.rstrip() for line in self._screen.display]

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def paste(self, text: str) -> None:
        """Paste as terminals do."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    async def change(self) -> None:
        """Wait until the client writes something; fail if it has ended, or writes nothing."""
        if self._ended:
            pytest.fail("the client has ended:\n" + "\n".join(filter(None, self.lines)))
        self._changed.clear()
        try:
            async with patiently():
                await self._changed.wait()
        except TimeoutError:
            pytest.fail("the client wrote nothing:\n" + "\n".join(filter(None, self.lines)))

    async def until(self, *wanted: str) -> None:
        """Wait until these lines are on the screen."""
        await self._until(lambda: set(wanted) <= set(self.lines))

    async def wait(self) -> int:
        """Wait until the client has ended, and return its exit code."""
        async with patiently():
            return await self.process.wait()

    async def until_like(self, *patterns: str) -> None:
        """Wait until lines that match these patterns are on the screen."""
        await self._until(
            lambda: all(any(re.fullmatch(pattern, line) for line in self.lines) for pattern in patterns)
        )

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition of the screen is true.

        The client redraws even when nothing changes, so `change` alone has no time limit.
        """
        try:
            async with patiently():
                while not condition():
                    await self.change()
        except TimeoutError:
            pytest.fail("the expected lines never came:\n" + "\n".join(filter(None, self.lines)))

    async def log_in(self, name: str = "alice", password: str = "wonderland") -> None:
        """Log in."""
        await self.until("User name:")
        self.type(f"{name}\r")
        await self.until("Password:")
        self.type(f"{password}\r")
        await self.until("Chat with:")

    def close(self) -> None:
        """Close the terminal."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)


@contextlib.asynccontextmanager
async def on_terminal(
    command: Sequence[str], environment: Mapping[str, str], columns: int = COLUMNS, rows: int = ROWS
) -> AsyncIterator[Terminal]:
    """Start a client on a terminal of its own; kill it at the end, if it still runs."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=REPOSITORY,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    screen = Terminal(master, process, columns, rows)
    yield screen
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    screen.close()
