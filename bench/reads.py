"""Measure what history and searches of some sessions cost the messages of others.

A store with a million messages in ten rooms is made once and kept. Then one run of the daemon has phases in
turn: without readers, and with them. Each reader pages through history from random places and searches, one
request after the other: for rare words, for frequent ones, for two that are never together, and with a cursor
that is older than everything. Meanwhile others exchange messages, and the time to each acknowledgement is
measured. Everything is on this machine, on 127.0.0.1.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import shutil
import ssl
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from measured_daemon import cpu_s, daemon, free_port, make_certificates  # beside this file

from qscp import codec, frames
from qscp.rooms import HistoryFrom
from qscpd.accounts.passwords import PasswordHasher
from qscpd.config.model import Argon2Config
from qscpd.domain.model import Keep, NewMessage
from qscpd.domain.rooms import RoomChange
from qscpd.store import lock_store, open_store, store_url

_PASSWORD: Final = "secretpw"  # noqa: S105 - of a store that is made here
_ROOMS: Final = 10
_PAIRS: Final = 25
_BATCH: Final = 1000
_LOGINS: Final = 4
"""Logins at the same time; each is an argon2id hash."""

_CONFIG: Final = """
server:
  listen: ["127.0.0.1:{port}"]
  admin_socket: {folder}/admin.sock
tls:
  certificate: {folder}/certs/server.pem
  key: {folder}/certs/server.key
login:
  timeout: 60s
  argon2: {{memory: 8KiB, iterations: 1, parallelism: 1}}
store:
  path: {folder}/qscpd.db
log:
  level: warning
  session_log: {folder}/sessions.log
"""


class Server(NamedTuple):
    """Where the daemon listens, and the authority of its certificate."""

    port: int
    ca: Path


# --- the store


def fill(path: Path, messages: int, readers: int) -> None:
    """Make a store whose readers are members of rooms with that many messages."""
    password = PasswordHasher(Argon2Config(memory_kib=8, iterations=1, parallelism=1)).hash(_PASSWORD)
    dice = random.Random(1)  # noqa: S311 - texts
    vocabulary = [f"word{n}" for n in range(20_000)]
    url = store_url(path)
    with lock_store(url), contextlib.closing(open_store(url)) as store:
        names = [*(f"r{n}" for n in range(readers)), *(f"s{n}" for n in range(2 * _PAIRS))]
        ids = [store.add_account(name, password).id for name in names][:readers]
        rooms = []
        for n in range(_ROOMS):
            create = RoomChange(action="create", room=f"#r{n}", actor=ids[0], history=HistoryFrom.FULL)
            rooms.append(store.change_room(create).room.id)
            for each in ids[1:]:
                store.change_room(RoomChange(action="join", room=f"#r{n}", actor=each))
        for begin in range(0, messages, _BATCH):
            batch = []
            for n in range(begin, min(begin + _BATCH, messages)):
                words = dice.choices(vocabulary, k=8)
                body = " ".join(("alpha" if n % 2 else "beta", "the", *words))
                room = rooms[n // (_BATCH // _ROOMS) % _ROOMS]
                batch.append(NewMessage(ids[n % readers], -room, f"{n + 1:032x}", body))
            store.append(batch)
        while store.housekeeping.step(Keep()):
            pass


# --- the daemon


def make_once(made: Path, make: Callable[[Path], None]) -> None:
    """Make a store that is kept, unless it was made before.

    Args:
        made: Its file.
        make: Makes it at a path.
    """
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        print(f"making {made}; once, about 20 s for a million messages")
        make(made.with_suffix(".part"))
        made.with_suffix(".part").rename(made)


@contextlib.contextmanager
def serving_copy(made: Path, checkout: Path | None) -> Iterator[tuple[Server, int]]:
    """Run the daemon with a copy of a store; yield where it is, and its process id.

    Args:
        made: The store; the copy is in a folder beside it.
        checkout: Run that one's `qscpd`; None: this one's.
    """
    with tempfile.TemporaryDirectory(prefix="run-", dir=made.parent) as name:
        folder, port = Path(name), free_port()
        make_certificates(folder)
        shutil.copyfile(made, folder / "qscpd.db")
        (folder / "qscpd.db").chmod(0o600)
        (folder / "qscpd.yaml").write_text(_CONFIG.format(port=port, folder=folder))
        with daemon(folder, port, checkout) as process:
            yield Server(port, folder / "certs" / "ca.pem"), process


# --- clients


class Client:
    """A logged-in connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, server: Server) -> "Client":
        """Connect."""
        context = ssl.create_default_context(cafile=str(server.ca))
        context.set_alpn_protocols(["qscp/1"])
        return cls(*await asyncio.open_connection("localhost", server.port, ssl=context, limit=2**20))

    @classmethod
    async def login(cls, server: Server, user: str) -> "Client":
        """Connect and log in."""
        client = await cls.connect(server)
        await client.ask(frames.Auth(user=user, password=_PASSWORD), b'"auth_ack"')
        return client

    def send(self, frame: frames.ClientFrame) -> None:
        """Send a frame."""
        self.writer.write(codec.encode(frame))

    async def ask(self, frame: frames.ClientFrame, kind: bytes) -> bytes:
        """Send a frame, and return the answer: the first line of a type, or an error."""
        self.send(frame)
        while line := await self.reader.readline():
            if kind in line[:40] or b'"error"' in line[:40]:
                return line
        raise ConnectionError("the server has closed the connection")


def _requests(dice: random.Random, conversations: list[str]) -> Iterator[frames.ClientFrame]:
    while True:
        where = dice.choice(conversations)
        yield frames.SearchRequest("the", cursor="1.1.1")
        yield frames.HistoryRequest(where, before=dice.randint(1, 100_000), limit=200)
        yield frames.SearchRequest("alpha beta")
        yield frames.HistoryRequest(where, before=dice.randint(1, 100_000), limit=1)
        yield frames.SearchRequest(f"word{dice.randrange(20_000)}", limit=200)
        yield frames.ConversationsRequest()
        yield frames.SearchRequest("the alpha", limit=200)


async def _read(server: Server, number: int, until: float, answered: Counter[str]) -> None:
    client = await Client.login(server, f"r{number}")
    page = codec.decode_server_frame(await client.ask(frames.ConversationsRequest(), b'"conversations"'))
    if not isinstance(page, frames.Conversations):
        raise TypeError(f"no list of conversations: {page}")
    dice = random.Random(number)  # noqa: S311 - a load
    for request in _requests(dice, [each.conversation for each in page.conversations]):
        if time.monotonic() >= until:
            return
        await client.ask(request, f'"{request.type}"'.encode())
        answered[request.type] += 1


def _run_readers(server: Server, readers: int, until: float) -> None:
    answered: Counter[str] = Counter()

    async def run() -> None:
        await asyncio.gather(*(_read(server, number, until, answered) for number in range(readers)))

    asyncio.run(run())
    print("         answered:", ", ".join(f"{count} {kind}" for kind, count in sorted(answered.items())))


class Sender:
    """A session that sends at a steady rate, and times the acknowledgements."""

    def __init__(self, client: Client, to: str) -> None:
        self._client = client
        self._to = to
        self._sent: dict[str, float] = {}
        self._sending = False
        self.times: list[float] = []

    async def send(self, until: float, interval: float) -> None:
        """Send messages until a time."""
        answers = asyncio.create_task(self._receive())
        due = time.monotonic() + random.random() * interval  # noqa: S311 - spread evenly
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            message_id = f"{time.time_ns():032x}"
            self._sent[message_id] = time.monotonic()
            self._client.send(frames.SendChat(self._to, "x" * 64, message_id))
            due += interval
        self._sending = False
        self._client.send(frames.ClientPing())  # its answer ends the last wait
        await answers

    async def _receive(self) -> None:
        self._sending = True
        while self._sending or self._sent:
            line = await self._client.reader.readline()
            now = time.monotonic()
            if line.startswith(b'{"type":"chat_ack"'):
                self.times.append(now - self._sent.pop(line[25:57].decode()))


# --- the run


def _report(name: str, times: list[float], cpu: float) -> None:
    times.sort()
    p50, p95, p99 = (1000 * times[int(len(times) * share)] for share in (0.5, 0.95, 0.99))
    print(
        f"{name:8} {len(times):6} acks  p50 {p50:6.1f}  p95 {p95:6.1f}  p99 {p99:6.1f}  "
        f"max {1000 * times[-1]:6.1f} ms  daemon's CPU {100 * cpu:3.0f} %"
    )


async def _measure(server: Server, process: int, arguments: argparse.Namespace) -> None:
    clients = []
    for first in range(0, _PAIRS, _LOGINS):
        names = [f"s{n}" for n in range(first, min(first + _LOGINS, _PAIRS))]
        clients += await asyncio.gather(*(Client.login(server, name) for name in names))
    senders = [Sender(client, f"s{_PAIRS + n}") for n, client in enumerate(clients)]
    medians = []
    for phase in range(2 * arguments.rounds):
        until = time.monotonic() + arguments.seconds
        load = None
        if phase % 2:
            load = multiprocessing.get_context("spawn").Process(
                target=_run_readers, args=(server, arguments.readers, until)
            )
            load.start()
            await asyncio.sleep(1.0)  # it starts
        begin, cpu = time.monotonic(), cpu_s(process)
        await asyncio.gather(*(each.send(until, len(senders) / arguments.rate) for each in senders))
        used = (cpu_s(process) - cpu) / (time.monotonic() - begin)
        if load is not None:
            await asyncio.to_thread(load.join)
        times = [each for sender in senders for each in sender.times]
        for sender in senders:
            sender.times.clear()
        _report("readers" if phase % 2 else "quiet", times, used)
        medians.append(sorted(times)[int(0.99 * len(times))])
    quiet, busy = statistics.median(medians[::2]), statistics.median(medians[1::2])
    print(f"p99 with readers: {1000 * busy:.1f} ms, {busy / quiet:.1f} times that without")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages to search")
    parser.add_argument("--readers", type=int, default=8, help="sessions that page and search")
    parser.add_argument("--rate", type=int, default=1000, help="messages a second of the others")
    parser.add_argument("--seconds", type=int, default=10, help="length of a phase")
    parser.add_argument("--rounds", type=int, default=2, help="phases of each kind")
    parser.add_argument("--checkout", type=Path, help="run this checkout's daemon instead")
    default = Path(tempfile.gettempdir()) / "qscp-reads"
    parser.add_argument("--store", type=Path, default=default, help="where the made store is kept")
    arguments = parser.parse_args()
    made = arguments.store / f"{arguments.messages}-{arguments.readers}.db"
    make_once(made, lambda path: fill(path, arguments.messages, arguments.readers))
    with serving_copy(made, arguments.checkout) as (server, process):
        asyncio.run(_measure(server, process, arguments))


if __name__ == "__main__":
    main()
