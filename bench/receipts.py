"""Measure what reading costs the daemon: the receipts of real clients, per message, everything counted.

Each pair of users has a chat open, with the client's own core at both ends. One of them writes at a steady
rate. Phases take turns: in the first the clients drop their receipts, in the second they send them. The
difference in CPU time of the daemon's process, over the messages read, is the cost of reading.

    PYTHONPATH=../old:../old/client .venv/bin/python bench/receipts.py    # daemon and clients of a checkout
"""

import argparse
import asyncio
import ssl
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final

import uvloop
from measured_daemon import cpu_s, daemon, free_port, make_certificates  # beside this file

from qscp import ALPN, codec, frames
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.effects import Clock
from qscp_client.core.engine import Engine
from qscp_client.core.events import MessageReceived
from qscpd.accounts.passwords import PasswordHasher
from qscpd.config.model import Argon2Config
from qscpd.store import open_store, store_url

_PASSWORD: Final = "secretpw"  # noqa: S105 - of a store that is made here

_CONFIG: Final = """
server:
  listen: ["127.0.0.1:{port}"]
  admin_socket: {folder}/admin.sock
tls:
  certificate: {folder}/certs/server.pem
  key: {folder}/certs/server.key
login:
  connections_per_address: 4000
  argon2: {{memory: 8KiB, iterations: 1, parallelism: 1}}
store:
  path: {folder}/qscpd.db
log:
  level: warning
  session_log: {folder}/sessions.log
"""

_SETTLE_S: Final = 2.0
"""Time for the last receipts of a phase."""


class Client:
    """The client's core on a connection.

    Attributes:
        sends_receipts: Whether receipts are sent, or dropped.
        shown: Messages that were shown.
    """

    sends_receipts = True

    def __init__(self, user: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._user = user
        self._reader, self._writer = reader, writer
        self._loop = asyncio.get_running_loop()
        clock = Clock(self._loop.time, lambda: time.time_ns() // 1_000_000)
        self._engine = Engine(user, lambda: uuid.uuid4().hex, clock)
        self._timer: asyncio.TimerHandle | None = None
        self.shown = 0

    async def run(self) -> None:
        """Log in, then apply what the server sends."""
        self._writer.write(codec.encode(frames.Auth(user=self._user, password=_PASSWORD)))
        rest = b""
        while data := await self._reader.read(65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                frame = codec.decode_server_frame(line)
                if isinstance(frame, frames.AuthAck):
                    self._engine.connected(frame)
                elif frame is not None:
                    self._engine.receive(frame)
            self._act()

    def enter(self, text: str) -> None:
        """Type a line."""
        self._engine.enter(TypedLine(text))
        self._act()

    def _tick(self) -> None:
        self._timer = None
        self._engine.tick()
        self._act()

    def _act(self) -> None:
        """Do what the core wants."""
        engine = self._engine
        engine.additions_to_save()
        self.shown += sum(isinstance(each, MessageReceived) for each in engine.events_to_show())
        engine.changes_to_save()
        for frame in engine.frames_to_send():
            if self.sends_receipts or not isinstance(frame, frames.Received | frames.ClientRead):
                self._writer.write(codec.encode(frame))
        if self._timer is not None:
            self._timer.cancel()
        due = engine.next_due()
        self._timer = None if due is None else self._loop.call_at(due, self._tick)


async def _phase(writers: list[Client], readers: list[Client], rate: float, seconds: float) -> int:
    """Let each writer write at a rate; return how many messages were shown."""
    before = sum(each.shown for each in readers)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    count = len(writers)
    for turn in range(int(rate * seconds * count)):
        await asyncio.sleep(max(0.0, begin + turn / rate / count - loop.time()))
        writers[turn % count].enter("x" * 64)
    await asyncio.sleep(_SETTLE_S)
    return sum(each.shown for each in readers) - before


async def _measure(folder: Path, port: int, process: int, arguments: argparse.Namespace) -> None:
    context = ssl.create_default_context(cafile=str(folder / "certs" / "ca.pem"))
    context.set_alpn_protocols([ALPN])
    pairs = arguments.pairs
    clients: list[Client] = []
    async with asyncio.TaskGroup() as tasks:
        for number in range(2 * pairs):
            streams = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            clients.append(Client(f"u{number}", *streams))
        running = [tasks.create_task(each.run()) for each in clients]
        await asyncio.sleep(_SETTLE_S)
        for number, client in enumerate(clients):
            client.enter(f"u{(number + pairs) % (2 * pairs)}")
        writers, readers = clients[:pairs], clients[pairs:]
        for rate in arguments.rates:
            await _phase(writers, readers, rate, 2.0)
            costs = []
            for _ in range(arguments.rounds):
                took = []
                for Client.sends_receipts in (False, True):
                    begin = cpu_s(process)
                    shown = await _phase(writers, readers, rate, arguments.seconds)
                    took.append(1e6 * (cpu_s(process) - begin) / max(shown, 1))
                costs.append((took[1] - took[0], took[0]))
            reading, rest = (statistics.median(each) for each in zip(*costs, strict=True))
            print(
                f"{rate:6g} messages/s in each of {pairs} chats: {reading:6.1f} us of the daemon's CPU for "
                f"reading a message, {rest:6.1f} for all else",
                flush=True,
            )
        for task in running:
            task.cancel()


def _make_store(folder: Path, users: int) -> None:
    cheap = PasswordHasher(Argon2Config(memory_kib=8, iterations=1, parallelism=1)).hash(_PASSWORD)
    store = open_store(store_url(folder / "qscpd.db"))
    try:
        for number in range(users):
            store.add_account(f"u{number}", cheap)
    finally:
        store.close()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=50, help="chats")
    parser.add_argument("--rates", type=float, nargs="+", default=[1, 10, 40], help="messages/s of a chat")
    parser.add_argument("--seconds", type=float, default=8, help="length of a phase")
    parser.add_argument("--rounds", type=int, default=3, help="phases of each kind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qscp-receipts-") as name:
        folder, port = Path(name), free_port()
        make_certificates(folder)
        (folder / "qscpd.yaml").write_text(_CONFIG.format(port=port, folder=folder))
        _make_store(folder, 2 * arguments.pairs)
        with daemon(folder, port) as process:
            uvloop.run(_measure(folder, port, process, arguments))


if __name__ == "__main__":
    main()
