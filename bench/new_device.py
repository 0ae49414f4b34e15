"""Measure what a new device of a user with very many conversations costs.

A store is made once and kept: one account in 2,000 conversations, of which a tenth are rooms. Then one run of
the daemon has logins of a new device in turns: with the feature `lazy_history`, and without it. Counted are
the CPU time of the daemon and the bytes that it sends, from `resume` on: until the first page of
conversations is there, until everything that a client asks for at a login is, and for the newest messages of
one conversation. The engine of the real client does the same, and its own CPU time is measured as well.
"""

import argparse
import asyncio
import contextlib
import itertools
import random
import statistics
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from measured_daemon import cpu_s  # beside this file
from reads import Client, Server, make_once, serving_copy

from qscp import codec, frames
from qscp.features import BLOCK, LAZY_HISTORY
from qscp.rooms import HistoryFrom
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.effects import Clock
from qscp_client.core.engine import Engine
from qscp_client.core.events import MessageReceived
from qscp_client.state.device import Device, Devices
from qscpd.accounts.passwords import PasswordHasher
from qscpd.config.model import Argon2Config
from qscpd.domain.model import Keep, Mark, NewMessage, PositionKind, StoredMessage
from qscpd.domain.rooms import RoomChange
from qscpd.store import lock_store, open_store, store_url

_PASSWORD: Final = "secretpw"  # noqa: S105 - of a store that is made here
_ME: Final = "alice"
_BATCH: Final = 1000
_NEWEST: Final = "c1"
"""The conversation that is opened: the first one that was made."""


class Shape(NamedTuple):
    """What the store has."""

    conversations: int
    messages: int
    unread: int
    """Percent of the conversations that the user has not read; the others are read to the end."""

    @property
    def rooms(self) -> int:
        """Number of rooms among the conversations."""
        return self.conversations // 10


class Cost(NamedTuple):
    """What was used up to a moment."""

    daemon_s: float
    sent: int

    def __sub__(self, other: "Cost") -> "Cost":
        """Return what was used between two moments."""
        return Cost(self.daemon_s - other.daemon_s, self.sent - other.sent)


# --- the store


def fill(path: Path, shape: Shape) -> None:
    """Make the store. Each commit has one message of each conversation, as if all were busy."""
    password = PasswordHasher(Argon2Config(memory_kib=8, iterations=1, parallelism=1)).hash(_PASSWORD)
    dice = random.Random(1)  # noqa: S311 - texts
    words = [f"word{n}" for n in range(20_000)]
    ids = (f"{n:032x}" for n in itertools.count(1))
    url = store_url(path)
    with lock_store(url), contextlib.closing(open_store(url)) as store:
        me = store.add_account(_ME, password).id
        peers = [store.add_account(f"u{n}", password).id for n in range(shape.conversations - shape.rooms)]
        ends = [(each, me) for each in peers]
        for n in range(shape.rooms):
            create = RoomChange(action="create", room=f"#r{n}", actor=peers[n], history=HistoryFrom.FULL)
            room = store.change_room(create).room.id
            store.change_room(RoomChange(action="join", room=f"#r{n}", actor=me))
            ends.append((peers[n], -room))
        placed = {}
        for _ in range(shape.messages):
            for begin in range(0, len(ends), _BATCH):
                some = ends[begin : begin + _BATCH]
                texts = [" ".join(dice.choices(words, k=8)) for _ in some]
                outcomes = store.append(
                    [
                        NewMessage(sender, to, next(ids), text)
                        for (sender, to), text in zip(some, texts, strict=True)
                    ]
                )
                placed.update(
                    {each.conversation: each.seq for each in outcomes[0] if isinstance(each, StoredMessage)}
                )
        read = [number for number in placed if dice.random() * 100 >= shape.unread]
        store.append((), [Mark(me, each, PositionKind.READ, placed[each]) for each in read])
        while store.housekeeping.step(Keep()):
            pass


# --- the daemon's cost


class Wire:
    """A new device on the wire.

    Args:
        client: A connection that is logged in.
        process: The daemon.
    """

    def __init__(self, client: Client, process: int) -> None:
        self._client = client
        self._process = process
        self.sent = 0

    async def receive(self) -> frames.ServerFrame:
        """Return the next frame."""
        line = await self._client.reader.readline()
        self.sent += len(line)
        frame = codec.decode_server_frame(line)
        if isinstance(frame, frames.ServerPing):
            self.send(frames.ClientPong())
        return frame

    def send(self, frame: frames.ClientFrame) -> None:
        """Send a frame."""
        self._client.send(frame)

    async def cost(self) -> Cost:
        """Return what was used until now, when the daemon has nothing left to do."""
        await asyncio.sleep(0.05)
        return Cost(cpu_s(self._process), self.sent)

    def close(self) -> None:
        """Close the connection."""
        self._client.writer.close()


async def _login(server: Server, process: int, features: list[str]) -> tuple[Wire, frames.AuthAck]:
    """Log in as a new device, and wait until the daemon is idle again."""
    client = await Client.connect(server)
    auth = frames.Auth(user=_ME, password=_PASSWORD, device=uuid.uuid4().hex, features=features)
    ack = codec.decode_server_frame(await client.ask(auth, b'"auth_ack"'))
    if not isinstance(ack, frames.AuthAck):
        raise TypeError(f"not logged in: {ack}")
    return Wire(client, process), ack


async def run_wire(server: Server, process: int, features: list[str]) -> dict[str, Cost]:
    """Log in as a new device that asks as a client does; return the cost of each part."""
    wire, _ = await _login(server, process, features)
    begin = await wire.cost()
    wire.send(frames.Resume([]))
    wire.send(frames.ConversationsRequest())
    costs: dict[str, Cost] = {}
    is_live = is_listed = False
    while not (is_live and is_listed):
        match await wire.receive():
            case frames.Resumed():
                is_live = True
            case frames.Conversations(cursor=cursor):
                if not costs:
                    # Not when it is idle: the rest is on its way.
                    costs["first page"] = Cost(cpu_s(process), wire.sent) - begin
                if cursor is not None:
                    wire.send(frames.ConversationsRequest(cursor))
                is_listed = cursor is None
    everything = await wire.cost()
    costs["everything"] = everything - begin
    wire.send(frames.HistoryRequest(_NEWEST))
    while not isinstance(await wire.receive(), frames.History):
        pass
    costs["one opened"] = await wire.cost() - everything
    wire.close()
    return costs


# --- the real client


class ClientRun:
    """The engine of the client on a new device, with its state on disk.

    Args:
        wire: Its connection.
        ack: Its login.
        device: Where it saves.
        lazy: Whether it loads a chat when that is opened.
    """

    def __init__(self, wire: Wire, ack: frames.AuthAck, device: Device, *, lazy: bool) -> None:
        self._wire = wire
        self._device = device
        self.shown: list[object] = []
        self.own_s = 0.0
        ids = (uuid.uuid4().hex for _ in itertools.count())
        clock = Clock(time.monotonic, lambda: time.time_ns() // 1_000_000)
        self.engine = Engine(_ME, lambda: next(ids), clock)
        if not lazy:
            ack.features[:] = [each for each in ack.features if each != LAZY_HISTORY]
        self.engine.connected(ack)
        self._flush()

    def _flush(self) -> None:
        self._device.save(self.engine.additions_to_save())
        self.shown += self.engine.events_to_show()
        self._device.save(self.engine.changes_to_save())
        for frame in self.engine.frames_to_send():
            self._wire.send(frame)

    async def until(self, done: "Iterator[bool]") -> None:
        """Receive until something is so."""
        while not next(done):
            frame = await self._wire.receive()
            begin = time.thread_time()
            self.engine.receive(frame)
            self.engine.tick()
            self._flush()
            self.own_s += time.thread_time() - begin

    def tick(self) -> None:
        """Send the receipts that are due."""
        self.engine.tick()
        self._flush()

    def enter(self, text: str) -> None:
        """Type a line."""
        self.engine.enter(TypedLine(text))
        self._flush()


async def run_client(server: Server, process: int, *, lazy: bool) -> dict[str, tuple[Cost, float]]:
    """Log in with the real client, and open a chat; return the costs, and its own CPU time."""
    wire, ack = await _login(server, process, [BLOCK] + [LAZY_HISTORY] * lazy)
    with tempfile.TemporaryDirectory() as folder:
        devices = Devices(Path(folder) / "state", lambda: uuid.uuid4().hex)
        with devices.acquire() as device:
            begin = await wire.cost()
            client = ClientRun(wire, ack, device, lazy=lazy)
            await client.until(client.engine.ready and not client.engine.busy for _ in itertools.count())
            ready = await wire.cost()
            costs = {"ready": (ready - begin, client.own_s)}
            client.enter(next(iter(client.engine.unread)))  # reading it makes it read for the next run
            await client.until(
                any(isinstance(each, MessageReceived) for each in client.shown) for _ in itertools.count()
            )
            costs["opened"] = (await wire.cost() - begin, client.own_s)
            await asyncio.sleep(0.3)
            client.tick()
            await asyncio.sleep(1.0)
            costs["reported"] = (await wire.cost() - begin, client.own_s)
    wire.close()
    return costs


# --- the run


def _report(name: str, costs: list[Cost], own: list[float] | None = None) -> None:
    daemon_ms = 1000 * statistics.median(each.daemon_s for each in costs)
    sent = statistics.median(each.sent for each in costs) / 1000
    mine = "" if own is None else f"  client's CPU {1000 * statistics.median(own):7.1f} ms"
    print(f"  {name:12} daemon's CPU {daemon_ms:7.1f} ms  sent {sent:9.1f} kB{mine}")


async def _measure(server: Server, process: int, rounds: int) -> None:
    wire: dict[tuple[bool, str], list[Cost]] = defaultdict(list)
    client: dict[tuple[bool, str], list[tuple[Cost, float]]] = defaultdict(list)
    for _ in range(rounds):
        for lazy in (False, True):
            for name, cost in (await run_wire(server, process, [LAZY_HISTORY] * lazy)).items():
                wire[lazy, name].append(cost)
            for name, both in (await run_client(server, process, lazy=lazy)).items():
                client[lazy, name].append(both)
    for lazy in (False, True):
        print(f"{'with' if lazy else 'without'} {LAZY_HISTORY}, from resume on:")
        for (is_lazy, name), costs in wire.items():
            if is_lazy == lazy:
                _report(name, costs)
        for (is_lazy, name), pairs in client.items():
            if is_lazy == lazy:
                _report(f"client {name}", [cost for cost, _ in pairs], [own for _, own in pairs])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=2000, help="conversations of the account")
    parser.add_argument("--messages", type=int, default=50, help="messages in each")
    parser.add_argument("--unread", type=int, default=100, help="percent of them that are unread as a whole")
    parser.add_argument("--rounds", type=int, default=5, help="logins of each kind")
    parser.add_argument("--checkout", type=Path, help="run this checkout's daemon instead")
    default = Path(tempfile.gettempdir()) / "qscp-new-device"
    parser.add_argument("--store", type=Path, default=default, help="where the made store is kept")
    arguments = parser.parse_args()
    shape = Shape(arguments.conversations, arguments.messages, arguments.unread)
    made: Path = arguments.store / f"{'-'.join(map(str, shape))}.db"
    make_once(made, lambda path: fill(path, shape))
    with serving_copy(made, arguments.checkout) as (server, process):
        asyncio.run(_measure(server, process, arguments.rounds))


if __name__ == "__main__":
    main()
