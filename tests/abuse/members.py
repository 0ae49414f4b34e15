"""Well-behaved group: accounts with a few messages a second, which measure what they get.

`python -m tests.abuse.members CA PORT`. It prints `ready` when all are logged in. Then it reads `measure
SECONDS` from standard input, any number of times, and answers each with a `Sample` in a line of JSON.
"""

import asyncio
import contextlib
import itertools
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from qscp import frames
from tests.abuse.figures import Logins, Sample, percentile, summarize
from tests.abuse.group import GUESTS, MEMBERS, READERS, ROOM
from tests.support.ids import IdMaker
from tests.support.light_client import LightClient, LoginRefusedError
from tests.support.programs import print_line
from tests.support.wire import client_context

_EVERY_S: Final = 1 / 80
"""Pause between two messages of the group."""

_ROOM_EVERY: Final = 20
"""One of so many messages is for the room, which copies it to 19 members."""

_LOGIN_EVERY_S: Final = 0.4

_IN_TIME_S: Final = 3.0
"""Longest login that counts as good."""

_LOGIN_LIMIT_S: Final = 10.0
"""Time after which a login is given up."""

_ANSWERS_LIMIT_S: Final = 10.0
"""Time after which answers and deliveries are given up."""


class Phase:
    """Measurements of a phase."""

    def __init__(self) -> None:
        self.acks: list[float] = []
        self.deliveries: list[float] = []
        self.logins: list[float] = []
        self.delays: list[float] = []
        self.cut: list[str] = []
        self.refused = 0
        self.unanswered: dict[str, float] = {}
        """Time of sending, by message id."""
        self.undelivered: dict[tuple[str, str], float] = {}
        """The same, by message id and recipient."""

    def sample(self) -> Sample:
        """Summarize it; what has not come by now counts with its age."""
        now = time.monotonic()
        ordered = sorted(self.logins)
        return Sample(
            acks=summarize(self.acks, (now - sent for sent in self.unanswered.values())),
            deliveries=summarize(self.deliveries, (now - sent for sent in self.undelivered.values())),
            logins=Logins(
                len(ordered),
                sum(each < _IN_TIME_S for each in ordered),
                round(1000 * percentile(ordered, 0.5), 1),
            ),
            cut=self.cut,
            refused=self.refused,
            own_delay=summarize(self.delays),
        )


class Group:
    """All sessions of the group."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context
        self._clients: dict[str, LightClient] = {}
        self._missing = {*MEMBERS, *READERS}
        self._complete = asyncio.Event()
        self._phase = Phase()
        self._make_id = IdMaker(1)
        self._recipients = _recipients()
        self._guests = _guests()

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Log in everyone, and wait until all are."""
        for user in (*MEMBERS, *READERS):
            tasks.create_task(self._stay(user))
        await self._complete.wait()

    async def _stay(self, user: str) -> None:
        """Keep a session, and count each end of it."""
        while True:
            client = None
            try:
                client = await LightClient.connect(self._port, self._context)
                await client.log_in(user)
                client.send(frames.Resume([]))
                self._clients[user] = client
                self._missing.discard(user)
                if not self._missing:
                    self._complete.set()
                await client.run(lambda frame, user=user: self._handle(user, frame))  # type: ignore[misc]  # no type can be written in a lambda
            except (OSError, EOFError, LoginRefusedError) as error:
                reason = (client.ended if client else "") or type(error).__name__
                if self._clients.pop(user, None) is not None:
                    self._phase.cut.append(f"{user}: {reason}")
                await asyncio.sleep(0.2)
            finally:
                if client is not None:
                    client.drop()

    def _handle(self, user: str, frame: frames.ServerFrame) -> None:
        phase, now = self._phase, time.monotonic()
        match frame:
            case frames.Chat(id=message_id):
                if (sent := phase.undelivered.pop((message_id, user), None)) is not None:
                    phase.deliveries.append(now - sent)
            case frames.ChatAck(id=message_id):
                if (sent := phase.unanswered.pop(message_id, None)) is not None:
                    phase.acks.append(now - sent)
            case frames.ChatNack(id=message_id):
                phase.unanswered.pop(message_id, None)
                phase.refused += 1
                for key in [key for key in phase.undelivered if key[0] == message_id]:
                    del phase.undelivered[key]
            case _:
                pass

    async def measure(self, seconds: float) -> Sample:
        """Write and log in for some seconds, wait for what is missing, and summarize."""
        self._phase = phase = Phase()
        logins: list[asyncio.Task[None]] = []
        begin = due = time.monotonic()
        next_login = begin
        while (now := time.monotonic()) < begin + seconds:
            phase.delays.append(max(0.0, now - due))
            self._write()
            if now >= next_login:
                next_login += _LOGIN_EVERY_S
                logins.append(asyncio.create_task(self._log_in(*next(self._guests))))
            due += _EVERY_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWERS_LIMIT_S):
                await asyncio.gather(*logins)
                while phase.unanswered or phase.undelivered:  # noqa: ASYNC110 - every frame can be the last one
                    await asyncio.sleep(0.05)
        return phase.sample()

    def _write(self) -> None:
        sender, to, recipients = next(self._recipients)
        client = self._clients.get(sender)
        if client is None:
            return  # cut, which is counted
        message_id = self._make_id()
        now = time.monotonic()
        self._phase.unanswered[message_id] = now
        for recipient in recipients:
            if recipient in self._clients:
                self._phase.undelivered[message_id, recipient] = now
        client.send(frames.SendChat(to, f"Message {message_id[-6:]}.", message_id))

    async def _log_in(self, user: str, address: str) -> None:
        """Log in as a careful client does: try again if the server is busy."""
        begin = time.monotonic()
        while (left := begin + _LOGIN_LIMIT_S - time.monotonic()) > 0:
            client = None
            pause = 0.5
            try:
                async with asyncio.timeout(left):
                    client = await LightClient.connect(self._port, self._context, address)
                    await client.log_in(user)
                    break
            except LoginRefusedError as refused:
                pause = refused.retry_after or pause
            except (OSError, EOFError, TimeoutError):
                pass
            finally:
                if client is not None:
                    client.drop()
            await asyncio.sleep(pause)
        self._phase.logins.append(time.monotonic() - begin)


def _recipients() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield senders, what they write to, and the recipients, without end."""
    pairs = list(zip(MEMBERS[::2], MEMBERS[1::2], strict=True))
    both = [*pairs, *(pair[::-1] for pair in pairs)]
    for number in itertools.count():
        if number % _ROOM_EVERY == 0:
            sender = MEMBERS[number // _ROOM_EVERY % len(MEMBERS)]
            yield sender, ROOM, tuple(each for each in MEMBERS if each != sender)
        else:
            sender, recipient = both[number % len(both)]
            yield sender, recipient, (recipient,)


def _guests() -> Iterator[tuple[str, str]]:
    """Yield guests and their addresses: in turns one of their own, and one that nobody has used before."""
    for number in itertools.count():
        guest = number // 2 % len(GUESTS)
        new = f"127.8.{number // 200 % 250}.{number % 200 + 1}"
        yield GUESTS[guest], f"127.7.0.{guest + 1}" if number % 2 else new


async def _main(ca: Path, port: int) -> None:
    group = Group(port, client_context(ca))
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    async with asyncio.TaskGroup() as tasks:
        await group.start(tasks)
        print_line("ready")
        while line := await commands.readline():
            word, _, seconds = line.decode().strip().partition(" ")
            if word != "measure":
                raise EOFError(f"expected measure, got {line!r}")
            print_line(msgspec.json.encode(await group.measure(float(seconds))).decode())
        raise asyncio.CancelledError


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))
