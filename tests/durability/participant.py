"""Participants in the load of a crash test: devices that check every promise, and their process."""

import asyncio
import contextlib
import ssl
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from qscp import frames
from tests.support.device import Device
from tests.support.devicelog import BrokenPromiseError, Kind
from tests.support.ids import IdMaker, device_id
from tests.support.network_device import NetworkDevice
from tests.support.waiting import PATIENCE_S, patiently
from tests.support.wire import client_context

__all__ = ["Participant", "run_load"]

_GHOST: Final = 0.1
"""Probability that a device never returns after it dropped its connection: a new one replaces it."""

_ALREADY: Final = {"join": "already_member", "leave": "not_a_member"}
"""Error codes of requests that change nothing."""

_AT_ONCE: Final = 20
"""Devices of a process that finish at the same time."""


class Participant(ABC):
    """A device, and the earlier ones that it replaced.

    Args:
        user: Name of the user.
        number: Number of the device, unique among all.
        seed: Seed of its choices.
        rooms: Rooms that the user is always in.
        club: Room that this device joins and leaves; empty for none.
    """

    def __init__(self, user: str, number: int, seed: int, rooms: Sequence[str], club: str) -> None:
        self.user = user
        self.rooms = rooms
        self.random = Random(f"{seed} {user} {number}")  # noqa: S311 - to be repeated
        self._number = number
        self.ghosts: list[Device] = []
        self.device = self._new_device()
        self.stopping = False
        self.seen = asyncio.Event()
        self._club = club
        self._asked: str | None = None
        self._is_in: bool | None = False
        """Whether the user is in the club; None if an answer was lost."""

    @abstractmethod
    async def chat(self, on_network: NetworkDevice) -> None:
        """Write and read on one connection, until `drained`, or for a while."""

    @property
    def retry_s(self) -> float:
        """Pause before the next attempt to connect."""
        return 0.03

    @property
    def address(self) -> str | None:
        """Address to connect from; None for any."""
        return None

    def _new_device(self) -> Device:
        number = self._number * 1000 + len(self.ghosts)
        return Device(self.user, device_id(number), IdMaker(number))

    @property
    def drained(self) -> bool:
        """Whether nothing more will be sent."""
        return self.stopping and not self.device.outbox and self._asked is None

    async def run(self, port: int, context: ssl.SSLContext) -> None:
        """Write, and log in again after every end, until stopped."""
        while not self.drained:
            try:
                on_network = await NetworkDevice.login(self.device, port, context, address=self.address)
            except (OSError, EOFError):
                await asyncio.sleep(self.retry_s)
                continue
            self.seen.set()
            try:
                await self.chat(on_network)
            except (OSError, EOFError):
                pass
            finally:
                on_network.drop()
                if self._asked is not None:
                    self._asked = self._is_in = None
                self.device.answers.clear()

    def change(self) -> list[frames.ClientFrame]:
        """Edit, redact or react to a recent own message, if its seq is known."""
        device, random = self.device, self.random
        if not device.log.sent:
            return []
        sent = random.choice(device.log.sent[-30:])
        ack = device.log.acked.get(sent.id)
        if ack is None or sent.kind != "chat":
            return []
        kinds: tuple[Kind, ...] = ("edit", "edit", "react", "react", "redact")
        kind = random.choice(kinds)
        body = f"edited {len(device.log.sent)}" if kind == "edit" else "+1" if kind == "react" else ""
        return device.change(kind, sent.to, ack.seq, body, removed=kind == "react" and random.random() < 0.3)

    def move(self, on_network: NetworkDevice, share: float) -> None:
        """Join or leave at random; an acknowledged membership must survive a crash."""
        answers, asked = self.device.answers, self._asked
        if asked is not None and answers:
            answer = answers.pop()
            joins = asked == "join"
            expected = "ok" if self._is_in is not joins else _ALREADY[asked]
            if answer not in ("ok", _ALREADY[asked]) or (self._is_in is not None and answer != expected):
                raise BrokenPromiseError(f"{self.user} was in the club: {self._is_in}; to {asked}: {answer}")
            self._is_in, self._asked = joins, None
        elif asked is None and self._club and not self.stopping and self.random.random() < share:
            self._asked = self.random.choice(("join", "leave"))
            on_network.send(frames.Join(self._club) if self._asked == "join" else frames.Leave(self._club))

    def lose(self) -> None:
        """Note that the device drops its connection; sometimes it never returns."""
        if self.random.random() < _GHOST:
            self.ghosts.append(self.device)
            self.device = self._new_device()

    async def finish(self, port: int, context: ssl.SSLContext) -> None:
        """Receive everything, and log out."""
        on_network = await NetworkDevice.login(self.device, port, context, address=self.address)
        await on_network.until(lambda: self.device.live)
        on_network.send(*self.device.receipts())
        await on_network.bye()
        self.device.log.finished = True
        self.device.log.memberships.update(dict.fromkeys(self.rooms, True))
        if self._club and self._is_in is not None:
            self.device.log.memberships[self._club] = self._is_in


def run_load(
    folder: Path, ca: Path, port: int, load: Sequence[Participant], start_limit_s: float = PATIENCE_S
) -> int:
    """Run the participants of a process, obey its commands, and return the exit code.

    It prints `ready` when every device has logged in once. Then it reads commands from standard input,
    answers them on standard output, and ends after the last one:

        stop     send nothing more; answered when every message has its answer
        finish   log every device in once more, to receive everything; its log goes to the folder
    """
    code = 0
    try:
        asyncio.run(_run(folder, ca, port, load, start_limit_s))
    except* BrokenPromiseError as broken:
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.write("".join(f"{each}\n" for each in broken.exceptions))
        code = 1
    return code


async def _run(folder: Path, ca: Path, port: int, load: Sequence[Participant], start_limit_s: float) -> None:
    context = client_context(ca)
    commands = await _open_stdin()
    async with asyncio.TaskGroup() as tasks:
        for participant in load:
            tasks.create_task(participant.run(port, context))
        async with asyncio.timeout(start_limit_s):
            for participant in load:
                await participant.seen.wait()
        _answer("ready")
        await _expect(commands, "stop")
        for participant in load:
            participant.stopping = True
    _answer("stopped")
    await _expect(commands, "finish")
    room = asyncio.Semaphore(_AT_ONCE)

    async def finish(participant: Participant) -> None:
        async with room, patiently():
            await participant.finish(port, context)

    async with asyncio.TaskGroup() as tasks:
        for participant in load:
            tasks.create_task(finish(participant))
    for participant in load:
        for device in (participant.device, *participant.ghosts):
            (folder / f"{device.log.device}.json").write_bytes(msgspec.json.encode(device.log))
    _answer("finished")


async def _open_stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def _expect(commands: asyncio.StreamReader, expected: str) -> None:
    line = await commands.readline()
    if line.decode().strip() != expected:
        raise EOFError(f"expected {expected}, got {line!r}")


def _answer(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
