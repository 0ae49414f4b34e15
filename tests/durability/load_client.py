"""Load client: devices that write to each other and in rooms while the server is killed.

`python -m tests.durability.load_client FOLDER CA PORT SEED DEVICE...`, where a DEVICE is `user:number`.
It prints `ready` when every device has logged in once. Then it reads commands from standard input, answers
them on standard output, and ends after the last one:

    stop     send nothing more; answered when every message has its answer
    finish   log every device in once more, to receive everything; its log goes to the folder
"""

import asyncio
import contextlib
import ssl
import sys
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from qscp import frames
from tests.support.device import Device
from tests.support.devicelog import BrokenPromiseError, Kind
from tests.support.ids import IdMaker, device_id
from tests.support.network_device import NetworkDevice
from tests.support.waiting import patiently
from tests.support.wire import client_context

_WINDOW: Final = 40
"""Most messages without an answer of a device."""

_RETRY_S: Final = 0.03

_DROP: Final = 0.003
"""Probability that a device drops its connection after a message."""

_GHOST: Final = 0.1
"""Probability that it never returns after that: a new device replaces it."""

_ROOMS: Final = ("#all", "#club")
"""All users are in the first one; some devices join and leave the second one."""

_CHANGE: Final = 0.1
"""Probability that an event follows a message."""

_MOVE: Final = 0.05
"""Probability that a user joins or leaves, after any input."""

_ALREADY: Final = {"join": "already_member", "leave": "not_a_member"}
"""Error codes of requests that change nothing."""


class Participant:
    """Participant in the load: a device, and the earlier ones that it replaced."""

    def __init__(self, user: str, number: int, users: list[str], seed: int) -> None:
        self.user = user
        self._others = [each for each in users if each != user]
        self._random = Random(f"{seed} {user} {number}")  # noqa: S311 - to be repeated
        self._number = number
        self.ghosts: list[Device] = []
        self.device = self._new_device()
        self.stopping = False
        self.seen = asyncio.Event()
        # One device of each user joins and leaves; the owner of the club can't leave.
        self._moves = number < 20 and user != "alice"
        self._asked: str | None = None
        self.is_in: bool | None = False if self._moves else None

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
                on_network = await NetworkDevice.login(self.device, port, context)
            except (OSError, EOFError):
                await asyncio.sleep(_RETRY_S)
                continue
            self.seen.set()
            try:
                await self._chat(on_network)
            except (OSError, EOFError):
                pass
            finally:
                on_network.drop()
                if self._asked is not None:
                    self._asked = self.is_in = None
                self.device.answers.clear()

    async def _chat(self, on_network: NetworkDevice) -> None:
        device, random = self.device, self._random
        while not self.drained:
            while not self.stopping and len(device.flying) < random.randrange(1, _WINDOW):
                body = f"{self.user} {len(device.log.sent)} " + "x" * random.choice((0, 10, 10, 10, 3000))
                on_network.send(*device.send(random.choice((*self._others, *_ROOMS)), body))
                if random.random() < _CHANGE:
                    on_network.send(*self._change())
                if random.random() < _DROP:
                    self._drop()
                    return
            await on_network.receive()
            self._move(on_network)
            if random.random() < 0.2:
                on_network.send(*device.receipts())
            if random.random() < 0.02:
                on_network.send(*(frames.ClientRead(each, seq) for each, seq in device.positions.items()))

    def _change(self) -> list[frames.ClientFrame]:
        """Edit, redact or react to a recent own message, if its seq is known."""
        device, random = self.device, self._random
        sent = random.choice(device.log.sent[-30:])
        ack = device.log.acked.get(sent.id)
        if ack is None or sent.kind != "chat":
            return []
        kinds: tuple[Kind, ...] = ("edit", "edit", "react", "react", "redact")
        kind = random.choice(kinds)
        body = f"edited {len(device.log.sent)}" if kind == "edit" else "+1" if kind == "react" else ""
        return device.change(kind, sent.to, ack.seq, body, removed=kind == "react" and random.random() < 0.3)

    def _move(self, on_network: NetworkDevice) -> None:
        """Join or leave at random; an acknowledged membership must survive a crash."""
        answers, asked = self.device.answers, self._asked
        if asked is not None and answers:
            answer = answers.pop()
            joins = asked == "join"
            expected = "ok" if self.is_in is not joins else _ALREADY[asked]
            if answer not in ("ok", _ALREADY[asked]) or (self.is_in is not None and answer != expected):
                raise BrokenPromiseError(f"{self.user} was in the club: {self.is_in}; to {asked}: {answer}")
            self.is_in, self._asked = joins, None
        elif asked is None and self._moves and not self.stopping and self._random.random() < _MOVE:
            self._asked = self._random.choice(("join", "leave"))
            on_network.send(frames.Join("#club") if self._asked == "join" else frames.Leave("#club"))

    def _drop(self) -> None:
        """Drop the connection, and perhaps never return with this device."""
        if self._random.random() < _GHOST:
            self.ghosts.append(self.device)
            self.device = self._new_device()

    async def finish(self, port: int, context: ssl.SSLContext) -> None:
        """Receive everything, and log out."""
        on_network = await NetworkDevice.login(self.device, port, context)
        await on_network.until(lambda: self.device.live)
        on_network.send(*self.device.receipts())
        await on_network.bye()
        self.device.log.finished = True
        self.device.log.memberships["#all"] = True
        if self.is_in is not None:
            self.device.log.memberships["#club"] = self.is_in


async def _main(folder: Path, ca: Path, port: int, seed: int, devices: list[str]) -> None:
    context = client_context(ca)
    commands = await _open_stdin()
    names = [each.partition(":") for each in devices]
    users = sorted({name for name, _, _ in names})
    load = [Participant(name, int(number), users, seed) for name, _, number in names]
    async with asyncio.TaskGroup() as tasks:
        for participant in load:
            tasks.create_task(participant.run(port, context))
        async with patiently():
            for participant in load:
                await participant.seen.wait()
        _answer("ready")
        await _expect(commands, "stop")
        for participant in load:
            participant.stopping = True
    _answer("stopped")
    await _expect(commands, "finish")
    async with patiently():
        for participant in load:
            await participant.finish(port, context)
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


if __name__ == "__main__":
    try:
        asyncio.run(
            _main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
        )
    except* BrokenPromiseError as broken:
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.write("".join(f"{each}\n" for each in broken.exceptions))
        sys.exit(1)
