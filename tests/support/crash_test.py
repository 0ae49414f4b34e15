"""Crash test: kill and restart a daemon under load, then check all histories."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import msgspec

from qscp.rooms import HistoryFrom
from qscpd.setup.pki import AuthorityFiles
from qscpd.store import open_store, store_url
from tests.support.daemon import PASSWORD, Daemon, add_accounts, write_config
from tests.support.devicelog import DeviceLog
from tests.support.network_device import read_book
from tests.support.oracle import Book, judge
from tests.support.ports import free_port
from tests.support.stores import add_room
from tests.support.waiting import PATIENCE_S
from tests.support.wire import client_context

__all__ = ["CrashTest", "LoadClient", "Report", "check_histories", "finish_load"]

_ROOT: Final = Path(__file__).parents[2]

USERS: Final = ("alice", "bob", "carol", "dave")


class Report(NamedTuple):
    """Counts of a crash test."""

    kills: int
    sessions: int
    devices: int
    sent: int
    acked: int
    unanswered: int
    stored: int
    live: int
    replayed: int
    moves: int

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.sessions} sessions of {self.devices} devices; "
            f"{self.sent} messages sent, {self.acked} acknowledged, {self.unanswered} unanswered; "
            f"{self.stored} stored, {self.live} received live, {self.replayed} replayed; "
            f"{self.moves} times a device saw its user leave a room"
        )


class LoadClient:
    """A process of participants; see `tests.durability.participant.run_load`.

    Args:
        module: Its main module.
        *arguments: What the module takes.
    """

    def __init__(self, module: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, word: str) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def expect(self, word: str) -> None:
        """Wait for an answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if line != word:
            _, errors = self.process.communicate(timeout=PATIENCE_S)
            raise AssertionError(f"expected {word} of a load client, got {line!r}; it ended: {errors}")

    def check(self) -> None:
        """Fail if the process has ended: a promise was broken."""
        if self.process.poll() is not None:
            self.expect("running")

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.communicate()


def finish_load(clients: Sequence[LoadClient]) -> None:
    """Let participants send nothing more, then wait until each has everything."""
    for word, answer in (("stop", "stopped"), ("finish", "finished")):
        for client in clients:
            client.send(word)
        for client in clients:
            client.expect(answer)


class CrashTest:
    """Crash test; `run` executes it.

    Args:
        folder: Where all files go.
        authority: Authority of the daemon's certificate.
        seed: Seed of all random choices; the scheduling of processes stays random.
        program: Module to run as the daemon.
    """

    def __init__(self, folder: Path, authority: AuthorityFiles, seed: int, *, program: str = "qscpd") -> None:
        self._folder = folder
        self._authority = authority
        self._random = Random(seed)  # noqa: S311 - to be repeated
        self._seed = seed
        self._command = (sys.executable, "-m", program)
        self._port = free_port()
        self._kills = 0
        add_accounts(folder / "qscpd.db", dict.fromkeys(USERS, PASSWORD))
        with contextlib.closing(open_store(store_url(folder / "qscpd.db"))) as store:
            add_room(store, "#all", *USERS, history=HistoryFrom.FULL)
            add_room(store, "#club", USERS[0], history=HistoryFrom.JOINING)
        self._config = write_config(folder, authority)
        self._config.write_text(self._config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{self._port}"))
        self._daemon = self._start()

    def _start(self) -> Daemon:
        daemon = Daemon(self._folder, self._config, (), self._command)
        daemon.wait_until_ready()
        return daemon

    def run(self, seconds: float, kill_every_s: tuple[float, float], *, least: int = 1) -> Report:
        """Kill and restart the daemon under load; then let all devices finish, and check them.

        Args:
            seconds: Duration of the load.
            kill_every_s: Shortest and longest time from a start to the next kill.
            least: Minimum number of kills, even on a slow machine.

        Raises:
            BrokenPromiseError: Something that was acknowledged is lost, doubled or out of order.
            AssertionError: A load client or a daemon did not end as it should.
        """
        logs = self._folder / "logs"
        logs.mkdir()
        halves = [[f"{user}:{n * 10 + m}" for m, user in enumerate(USERS)] for n in (1, 2)]
        ca = self._authority.ca_certificate
        load_clients = [
            LoadClient("tests.durability.load_client", logs, ca, self._port, self._seed, *half)
            for half in halves
        ]
        try:
            for client in load_clients:
                client.expect("ready")
            end = time.monotonic() + seconds
            kills = 0
            while kills < least or time.monotonic() < end:
                time.sleep(self._random.uniform(*kill_every_s))
                self._kill()
                kills += 1
                for client in load_clients:
                    client.check()
            finish_load(load_clients)
            report = self._judge(logs)
            assert self._daemon.stop() == 0, self._daemon.text
            self._daemon.check_log()
        finally:
            for client in load_clients:
                client.close()
            self._daemon.kill()
        return report

    def _kill(self) -> None:
        self._daemon.process.kill()
        self._daemon.wait()
        self._daemon.check_log()
        self._kills += 1
        self._daemon = self._start()

    def _judge(self, folder: Path) -> Report:
        context = client_context(self._authority.ca_certificate)
        books = {user: asyncio.run(read_book(user, self._port, context)) for user in USERS}
        return check_histories(folder, books, self._kills)


def check_histories(folder: Path, books: Mapping[str, Book], kills: int) -> Report:
    """Compare the records of all devices with what new devices receive.

    Args:
        folder: Where the load clients wrote the records.
        books: Histories by user.
        kills: How often the daemon was killed, for the report.

    Raises:
        BrokenPromiseError: Something that was acknowledged is lost, doubled or out of order.
    """
    logs = list(_read_logs(folder))
    judge([log for log in logs if log.finished], books)
    judge([log for log in logs if not log.finished], books, settled=False)
    stored: dict[str, int] = {}
    for book in books.values():
        for conversation, history in book.items():
            stored[conversation] = max(len(history.messages), stored.get(conversation, 0))
    sent = sum(len(log.sent) for log in logs)
    acked = sum(len(log.acked) for log in logs)
    return Report(
        kills=kills,
        sessions=sum(log.sessions for log in logs),
        devices=len(logs),
        sent=sent,
        acked=acked,
        unanswered=sent - acked,
        live=sum(log.live for log in logs),
        replayed=sum(log.replayed for log in logs),
        stored=sum(stored.values()),
        moves=sum(len(log.periods) for log in logs),
    )


def _read_logs(folder: Path) -> Iterator[DeviceLog]:
    for path in sorted(folder.glob("*.json")):
        yield msgspec.json.decode(path.read_bytes(), type=DeviceLog)
