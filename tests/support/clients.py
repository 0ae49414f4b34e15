"""Real clients in pipes, a process each."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.daemon import PASSWORD, Daemon
from tests.support.waiting import patiently

__all__ = ["Client", "Clients"]

REPOSITORY = Path(__file__).parents[2]


class Client:
    """Client with pipes as its standard streams; its input stays open.

    Attributes:
        out: Its standard output so far, line by line.
        err: Its standard error so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = asyncio.Condition()
        assert process.stdout
        assert process.stderr
        self._readers = [
            asyncio.create_task(self._read(process.stdout, self.out)),
            asyncio.create_task(self._read(process.stderr, self.err)),
        ]

    async def _read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        async for line in stream:
            async with self._changed:
                lines.append(line.decode().rstrip("\n"))
                self._changed.notify_all()

    def type(self, *lines: str) -> None:
        """Type lines."""
        assert self.process.stdin
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())

    async def until(self, condition: Callable[["Client"], object]) -> None:
        """Wait until a condition of its output is true."""
        async with patiently(), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def ends(self, *last: str) -> int | None:
        """Type the last lines, close the input, and return the exit code."""
        self.type(*last)
        assert self.process.stdin
        self.process.stdin.close()
        async with patiently():
            await self.process.wait()
            await asyncio.gather(*self._readers)
        return self.process.returncode

    async def kill(self) -> None:
        """Kill the process, and read the rest of its output."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(*self._readers)

    def lines(self) -> list[str]:
        """Return the lines of its standard output, without time."""
        return [re.sub(r"^[\d -]*\d\d:\d\d ", "", line) for line in self.out]

    def texts(self) -> list[str]:
        """Return the messages of its standard output, without time and sender."""
        return [re.sub(r"^[\d -]*\d\d:\d\d (\S+:|\[.*?\]) ", "", line) for line in self.out]


class Clients:
    """Clients of a test; those of one name share a home directory."""

    def __init__(self, ca: Path, homes: Path) -> None:
        self._ca = ca
        self._homes = homes
        self._started: list[Client] = []

    async def start(self, daemon: Daemon, name: str, *lines: str, home: str = "") -> Client:
        """Start a client, log it in, and type lines."""
        directory = self._homes / (home or name)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "client", "--ca", str(self._ca), "--server", f"localhost:{daemon.port}", "--user", name),
            cwd=REPOSITORY,
            env=os.environ
            | {
                "XDG_STATE_HOME": str(directory),
                "XDG_CONFIG_HOME": str(directory),
                "PYTHONWARNINGS": "error",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        client = Client(process)
        self._started.append(client)
        client.type(PASSWORD, *lines)
        await client.until(lambda each: any("Welcome" in line for line in each.err))
        return client

    async def close(self) -> None:
        """Kill the clients that still run."""
        for client in self._started:
            await client.kill()


async def until_notice(client: Client, text: str) -> None:
    """Wait until a client prints a text on standard error."""
    await client.until(lambda each: any(text in line for line in each.err))


async def until_shown(client: Client, line: str) -> None:
    """Wait until a client prints a line on standard output."""
    await client.until(lambda each: line in each.lines())
