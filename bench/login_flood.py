"""Measure good logins and acknowledgements while others flood the daemon with bad logins.

    python bench/login_flood.py --flood 1000 --sources 1 --seconds 20

It starts a daemon of its own on a free port of the loopback, with accounts in a temporary folder. Sources
are addresses of 127.0.0.0/8, so it needs Linux. It prints one JSON object.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from qscpd.accounts.passwords import PasswordHasher
from qscpd.config.model import Argon2Config
from qscpd.setup.pki import AuthorityFiles, make_authority, make_server_certificate
from qscpd.store import open_store, store_url

PASSWORD = "correct horse battery"  # noqa: S105 - of throw-away accounts
GOAL_S = 3
USERS = 12


class Peer:
    """A connection that sends and receives frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext, source: str) -> "Peer":
        """Connect from an address of this machine."""
        return cls(
            *await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost", local_addr=(source, 0)
            )
        )

    def send(self, **frame: object) -> None:
        """Send a frame."""
        self.writer.write(json.dumps(frame).encode() + b"\n")

    async def receive(self, *kinds: str) -> dict[str, Any]:
        """Return the next frame of some types."""
        while True:
            line = await self.reader.readline()
            if not line:
                raise EOFError
            frame: dict[str, Any] = json.loads(line)
            if frame["type"] in kinds:
                return frame

    def close(self) -> None:
        """Close it at once."""
        self.writer.transport.abort()


def make_context(ca: Path) -> ssl.SSLContext:
    """Return the context of a client."""
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["qscp/1"])
    return context


async def flood(options: argparse.Namespace, port: int, ca: Path, counts: Any) -> None:  # noqa: ANN401
    """Send bad logins, as many a second as asked for and as connections take."""
    context = make_context(ca)
    tokens = asyncio.Semaphore(0)
    numbers = itertools.count()

    async def attack(number: int) -> None:
        source = f"127.{options.net}.{number % options.sources // 250}.{number % options.sources % 250 + 1}"
        while True:
            try:
                peer = await Peer.connect(port, context, source)
            except (OSError, EOFError, ssl.SSLError):
                counts[2] += 1
                await asyncio.sleep(0.05)
                continue
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                while True:
                    await tokens.acquire()
                    name = options.name or f"nobody{next(numbers)}"
                    peer.send(type="auth", user=name, password=PASSWORD[::-1])
                    counts[0] += 1
                    async with asyncio.timeout(options.patience):
                        answer = await peer.receive("auth_nack", "error")
                    counts[1] += answer.get("code") == "bad_credentials"
            peer.close()

    tasks = [asyncio.create_task(attack(number)) for number in range(options.connections)]
    while True:
        for _ in range(options.flood // 50):
            if tokens._value < options.flood:  # noqa: SLF001 - what was not used is not made up for
                tokens.release()
        await asyncio.sleep(0.02)
        del tasks[options.connections :]


def flood_process(options: argparse.Namespace, port: int, ca: Path, counts: Any) -> None:  # noqa: ANN401
    """Run the flood until the process is ended."""
    asyncio.run(flood(options, port, ca, counts))


async def log_in(
    port: int, context: ssl.SSLContext, user: str, source: str, *, patient_s: float = 60
) -> float:
    """Log in as the shipped client does, waiting when the server is busy; return how long it took."""
    begun = time.monotonic()
    while time.monotonic() - begun < patient_s:
        with contextlib.suppress(OSError, EOFError, ssl.SSLError):
            peer = await Peer.connect(port, context, source)
            try:
                while True:
                    peer.send(type="auth", user=user, password=PASSWORD, device="")
                    answer = await peer.receive("auth_nack", "auth_ack", "error")
                    if answer["type"] == "auth_ack":
                        return time.monotonic() - begun
                    await asyncio.sleep(min(answer.get("retry_after", 1), 30))
            finally:
                peer.close()
        await asyncio.sleep(0.5)
    return float("inf")


async def acks(port: int, context: ssl.SSLContext, source: str, delays: list[float]) -> None:
    """Send 20 messages a second from one user to another, and note when each is acknowledged."""
    peer = await Peer.connect(port, context, source)
    peer.send(type="auth", user="user0", password=PASSWORD)
    await peer.receive("auth_ack")
    for number in itertools.count(1):
        begun = time.monotonic()
        peer.send(type="chat", to="user1", body="hello", id=f"{number:032x}")
        await peer.receive("chat_ack")
        delays.append(time.monotonic() - begun)
        await asyncio.sleep(0.05)


async def measure(options: argparse.Namespace, port: int, ca: Path) -> dict[str, object]:
    """Return what good users got while the flood ran."""
    context = make_context(ca)
    good = [options.good.format(number=2 + number % 200) for number in range(USERS)]
    if options.known:
        for number in range(2, USERS):
            await log_in(port, context, f"user{number}", good[number])
    calm: list[float] = []
    delays = calm
    task = asyncio.create_task(acks(port, context, good[0], calm))
    await asyncio.sleep(3)
    calm_p95 = statistics.quantiles(calm, n=20)[-1]
    calm.clear()
    counts = multiprocessing.get_context("spawn").Array("l", 3)
    process = multiprocessing.get_context("spawn").Process(
        target=flood_process, args=(options, port, ca, counts), daemon=True
    )
    process.start()
    await asyncio.sleep(4)
    delays.clear()
    before = list(counts)
    logins: list[asyncio.Task[float]] = []
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        number = 2 + len(logins) % (USERS - 2)
        logins.append(asyncio.create_task(log_in(port, context, f"user{number}", good[number])))
        await asyncio.sleep(0.6)
    sent = [after - first for after, first in zip(counts, before, strict=True)]
    under = list(delays)
    took = sorted(await asyncio.gather(*logins))
    process.terminate()
    task.cancel()
    return {
        "bad_per_s": round(sent[0] / options.seconds),
        "bad_hashed_per_s": round(sent[1] / options.seconds, 1),
        "refused_connections_per_s": round(sent[2] / options.seconds),
        "good": len(took),
        "good_under_3_s": round(sum(each < GOAL_S for each in took) / len(took), 3),
        "good_p50_s": round(statistics.median(took), 2),
        "good_p95_s": round(took[int(len(took) * 0.95)], 2),
        "acks": len(under),
        "ack_p95_ms": round(1000 * statistics.quantiles(under, n=20)[-1], 1),
        "ack_p95_ms_calm": round(1000 * calm_p95, 1),
    }


def main() -> None:
    """Parse options, run a daemon, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--flood", type=int, default=1000, help="bad logins a second")
    parser.add_argument("--connections", type=int, default=200, help="connections of the flood")
    parser.add_argument("--patience", type=float, default=0.2, help="seconds before they connect anew")
    parser.add_argument("--sources", type=int, default=1, help="addresses of the flood")
    parser.add_argument("--net", type=int, default=1, help="second part of their addresses")
    parser.add_argument("--name", default="", help="the name that they try; else a new one each time")
    parser.add_argument("--good", default="127.0.1.{number}", help="addresses of good users")
    parser.add_argument("--known", action="store_true", help="good users logged in from there before")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], help="a setting of the daemon")
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        files = AuthorityFiles(where)
        make_authority(files)
        make_server_certificate(files, ["localhost"])
        password_hash = PasswordHasher(Argon2Config()).hash(PASSWORD)
        with contextlib.closing(open_store(store_url(where / "qscpd.db"))) as store:
            for number in range(USERS):
                store.add_account(f"user{number}", password_hash)
        config = where / "qscpd.yaml"
        config.write_text(
            f'server: {{listen: ["127.0.0.1:0"], admin_socket: {where}/admin.sock}}\n'
            f"tls: {{certificate: {files.certificate}, key: {files.key}}}\n"
            f"store: {{path: {where}/qscpd.db}}\n"
            f"log: {{session_log: {where}/sessions.log, format: json}}\n"
        )
        config.chmod(0o644)
        settings = [part for each in options.set for part in ("--set", each)]
        journal = where / "journal"
        with journal.open("w") as stderr:
            daemon = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "qscpd", "run", "-c", str(config), *settings], stderr=stderr
            )
        try:
            while "daemon.ready" not in journal.read_text():
                time.sleep(0.1)
            ready = next(line for line in journal.read_text().splitlines() if "daemon.ready" in line)
            port = int(json.loads(ready)["listen"].rpartition(":")[2])
            result = asyncio.run(measure(options, port, files.ca_certificate))
        finally:
            daemon.terminate()
            daemon.wait(30)
        result["log_kib"] = [
            round((where / name).stat().st_size / 1024) for name in ("sessions.log", "journal")
        ]
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
