"""What others get while rooms are hot: `python -m tests.durability.hot_rooms`.

A daemon on the loopback serves members of some large rooms, a pair of users and a small room.
Acknowledgements of the pair and of the small room are timed without and with load, in phases:

- quiet: nothing else happens;
- messages: a sender in each large room keeps messages in flight;
- topics: the owner of all large rooms changes their topics without a pause;
- typing: members of all large rooms send typing indicators as often as they can;
- members: a member asks for the lists of members without a pause;
- changes: the owner mutes and unmutes a member without a pause.

The daemon has its default limits, so after a burst one account is slowed down; `--unlimited` is without.
Each phase prints p50, p95 and p99 in milliseconds. What loads the daemon runs in processes of its own, so
that only the daemon can delay an acknowledgement.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

from qscpd.domain.rooms import RoomChange
from qscpd.store import open_store, store_url
from tests.support.authority import make_local_authority
from tests.support.daemon import PASSWORD, add_accounts, write_config
from tests.support.programs import print_line
from tests.support.wire import chat, client_context

_PROBE_EVERY_S: Final = 0.02
_IN_FLIGHT: Final = 8
_LIMITS: Final = ("limits.message_burst=1000", "limits.byte_burst=8MiB", "limits.request_burst=200")
"""The default bursts, which the daemons of the tests do not have."""


class Client:
    """A logged-in client that sends what it is given and keeps what it waits for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def login(cls, port: int, context: ssl.SSLContext, user: str) -> "Client":
        """Connect, log in and resume."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost", limit=1 << 20
        )
        client = cls(reader, writer)
        client.send({"type": "auth", "user": user, "password": PASSWORD, "features": ["typing"]})
        await client.until("auth_ack")
        client.send({"type": "resume", "positions": []})
        await client.until("resumed")
        return client

    def send(self, *sent: dict[str, Any]) -> None:
        """Send frames."""
        self.writer.write(b"".join(json.dumps(each).encode() + b"\n" for each in sent))

    async def until(self, *kinds: str) -> dict[str, Any]:
        """Read up to a frame of a type."""
        while True:
            line = await self.reader.readline()
            if not line:
                raise ConnectionError("the server has closed the connection")
            frame: dict[str, Any] = json.loads(line)
            if frame["type"] in kinds:
                return frame


def read_rooms(port: int, ca: Path, users: Sequence[str], ready: Event) -> None:
    """Be members who only read, in a process of their own."""

    async def read() -> None:
        context = client_context(ca)
        clients = [await Client.login(port, context, user) for user in users]
        ready.set()

        await asyncio.gather(*map(drain, clients))

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(read())


async def drain(client: Client) -> None:
    """Read everything that a client is sent."""
    while await client.reader.read(1 << 16):
        pass


async def probe(client: Client, to: str, seconds: float) -> list[float]:
    """Return how long the acknowledgement of each of some spread messages took, in ms."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        client.send(chat(to, "probe"))
        answer = await client.until("chat_ack", "chat_nack")
        if answer["type"] != "chat_ack":
            raise RuntimeError(answer["code"])
        took.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(max(0.0, begun + _PROBE_EVERY_S - time.perf_counter()))
    return took


async def write_messages(client: Client, rooms: Sequence[str], done: Callable[[], None]) -> None:
    """Keep messages in flight in a room."""
    client.send(*[chat(rooms[0], "x" * 64) for _ in range(_IN_FLIGHT)])
    while True:
        await client.until("chat_ack")
        done()
        client.send(chat(rooms[0], "x" * 64))


async def change_topics(client: Client, rooms: Sequence[str], done: Callable[[], None]) -> None:
    """Change the topics of rooms one after the other."""
    number = 0
    while True:
        for room in rooms:
            number += 1
            client.send({"type": "room", "action": "topic", "room": room, "text": f"topic {number}"})
            await client.until("room_ack", "error")
            done()


async def type_everywhere(client: Client, rooms: Sequence[str], done: Callable[[], None]) -> None:
    """Send typing indicators as often as the server passes them on."""
    while True:
        for room in rooms:
            client.send({"type": "typing", "to": room})
            done()
            await asyncio.sleep(1.01)


async def list_members(client: Client, rooms: Sequence[str], done: Callable[[], None]) -> None:
    """Ask for the members of rooms."""
    while True:
        for room in rooms:
            client.send({"type": "room", "action": "members", "room": room})
            await client.until("room_members", "error")
            done()


async def mute_and_unmute(client: Client, rooms: Sequence[str], done: Callable[[], None]) -> None:
    """Mute and unmute a member."""
    while True:
        for action in ("mute", "unmute"):
            for room in rooms:
                client.send({"type": "room", "action": action, "room": room, "user": "m0"})
                await client.until("room_ack", "error")
                done()


Load = Callable[[Client, Sequence[str], Callable[[], None]], Awaitable[None]]
LoadOf = tuple[Load, str, Sequence[str]]
"""What a client does, its user, and in which rooms."""


def run_loads(port: int, ca: Path, loads: Sequence[LoadOf], ready: Event, done: "Synchronized[int]") -> None:
    """Run clients that load the daemon, in a process of its own; count what they did."""

    def count() -> None:
        done.value += 1

    async def run() -> None:
        context = client_context(ca)
        clients = [await Client.login(port, context, user) for _, user, _ in loads]
        ready.set()
        await asyncio.gather(
            *[load(client, rooms, count) for client, (load, _, rooms) in zip(clients, loads, strict=True)]
        )

    asyncio.run(run())
    signal.pause()  # without loads, until it is ended


class Measurement:
    """One daemon with its rooms, and the clients of the phases."""

    def __init__(self, port: int, ca: Path, rooms: Sequence[str], seconds: float) -> None:
        self._port = port
        self._ca = ca
        self._context = client_context(ca)
        self._rooms = rooms
        self._seconds = seconds
        self._quiet: dict[str, list[float]] = {}

    async def run(self) -> None:
        """Run all phases."""
        self._pair = await self._login("p0")
        self._small = await self._login("q0")
        idle = [asyncio.create_task(drain(await self._login(user))) for user in ("p1", "q1", "q2", "q3")]
        await self._phase("quiet")
        rooms, count = self._rooms, len(self._rooms)
        turned = [[*rooms[n:], *rooms[:n]] for n in range(count)]
        await self._phase("messages", *[(write_messages, "w", [room]) for room in rooms])
        await self._phase("topics", (change_topics, "w", rooms))
        await self._phase("typing", *[(type_everywhere, "m1", each) for each in turned])
        await self._phase("members", (list_members, "m2", rooms))
        await self._phase("changes", (mute_and_unmute, "w", rooms))
        await self._phase("quiet")
        for task in idle:
            task.cancel()

    async def _login(self, user: str) -> Client:
        return await Client.login(self._port, self._context, user)

    async def _phase(self, name: str, *loads: LoadOf) -> None:
        ready, done = multiprocessing.Event(), multiprocessing.Value("q", 0)
        arguments = (self._port, self._ca, loads, ready, done)
        process = multiprocessing.Process(target=run_loads, args=arguments, daemon=True)
        process.start()
        await asyncio.to_thread(ready.wait)
        await asyncio.sleep(0.5)
        before = done.value
        pair, small = await asyncio.gather(
            probe(self._pair, "p1", self._seconds), probe(self._small, "#small", self._seconds)
        )
        count = done.value - before
        process.terminate()
        await asyncio.to_thread(process.join)
        await asyncio.sleep(0.5)
        self._report(name, pair, small, count)

    def _report(self, name: str, pair: list[float], small: list[float], done: int) -> None:
        for what, took in (("pair", pair), ("small room", small)):
            took.sort()
            p50, p95, p99 = (took[int(len(took) * share)] for share in (0.5, 0.95, 0.99))
            base = self._quiet.setdefault(what, took)
            ratio = p95 / base[int(len(base) * 0.95)]
            print_line(
                f"{name:9} {what:10} p50 {p50:7.2f}  p95 {p95:7.2f}  p99 {p99:7.2f} ms, "
                f"p95 {ratio:5.2f} times quiet, {done / self._seconds:6.0f} a second"
            )


def make_rooms(store: Path, rooms: Sequence[str], members: Sequence[str]) -> None:
    """Create the rooms in the store of a stopped daemon."""
    with contextlib.closing(open_store(store_url(store))) as opened:
        ids = {each.name: each.id for each in opened.accounts()}
        for room in rooms:
            opened.change_room(RoomChange(action="create", room=room, actor=None, target=ids["w"]))
            opened.change_rooms([RoomChange(action="join", room=room, actor=ids[each]) for each in members])
        opened.change_room(RoomChange(action="create", room="#small", actor=ids["q0"]))
        for each in ("q1", "q2", "q3"):
            opened.change_room(RoomChange(action="join", room="#small", actor=ids[each]))


@contextlib.contextmanager
def serving(folder: Path, settings: Sequence[str]) -> Iterator[int]:
    """Run a daemon without the debugging aids of the tests; yield its port."""
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    config = folder / "qscpd.yaml"
    process = subprocess.Popen(
        [sys.executable, "-m", "qscpd", "run", "-c", str(config), *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            entry = json.loads(line)
            if entry["event"] == "daemon.ready":
                yield int(entry["listen"].rpartition(":")[2])
                break
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description="Time acknowledgements while rooms are hot.")
    parser.add_argument("--members", type=int, default=300)
    parser.add_argument("--rooms", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--unlimited", action="store_true", help="without the rates of accounts")
    parser.add_argument("--set", action="append", default=[], help="another setting of the daemon")
    chosen = parser.parse_args()
    rooms = [f"#hot{n}" for n in range(chosen.rooms)]
    members = [f"m{n}" for n in range(chosen.members)]
    with tempfile.TemporaryDirectory() as name:
        authority = make_local_authority(Path(name))
        folder = Path(name, "daemon")
        folder.mkdir()
        write_config(folder, authority)
        users = [*members, "w", "p0", "p1", "q0", "q1", "q2", "q3"]
        add_accounts(folder / "qscpd.db", dict.fromkeys(users, PASSWORD))
        make_rooms(folder / "qscpd.db", rooms, members)
        with serving(folder, (*(() if chosen.unlimited else _LIMITS), *chosen.set)) as port:
            ready = multiprocessing.Event()
            readers = multiprocessing.Process(
                target=read_rooms, args=(port, authority.ca_certificate, members, ready), daemon=True
            )
            readers.start()
            ready.wait()
            asyncio.run(Measurement(port, authority.ca_certificate, rooms, chosen.seconds).run())
            readers.terminate()
            readers.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
