"""Soak: thousands of sessions with mixed work, faults and abusers; `make soak`.

    python -m tests.durability.soak --seconds 600 --sessions 2000

1. Devices write in pairs and rooms, edit, react, search, come and go, and read slowly, in two processes.
2. In the first part of the time the daemon is killed and restarted at random moments.
3. All the time an attack of `tests.abuse` runs for two seconds, and then another one.
4. At the end every device catches up. Their records are compared with the history that a new device gets,
   and the daemon's memory with what it was before.

The seed decides what each device does; when it does that is up to the machine.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

from qscpd.setup.pki import AuthorityFiles
from tests.abuse.group import NO_ALLOWANCE
from tests.abuse.process import start_attacker
from tests.durability.population import Population, make_store
from tests.support.authority import make_local_authority
from tests.support.crash_test import LoadClient, check_histories, finish_load
from tests.support.daemon import Daemon, write_config
from tests.support.network_device import read_book
from tests.support.oracle import Book
from tests.support.ports import free_port
from tests.support.programs import print_line
from tests.support.wire import client_context

_PROCESSES: Final = 2

_FAULTS: Final = 0.4
"""Share of the time in which the daemon is killed; memory is observed in the rest."""

_ABUSES: Final = (
    "pongs",
    "pair_flood",
    "joins",
    "bad_logins",
    "marks",
    "garbage",
    "room_flood",
    "paging",
    "never_reading",
    "connects",
    "typing",
    "searching",
    "burst",
    "handshakes",
)
"""Attacks that need nothing special in the store."""

_ABUSE_S: Final = 2.0
_ABUSE_EVERY_S: Final = 10.0
_ABUSE_LIMIT_S: Final = 30.0
"""Time after which an attacker that could not even begin is ended."""

_GROWTH: Final = 1.15
_GROWTH_MIB: Final = 32
"""How much the daemon's memory may grow in the second half."""

_AT_ONCE: Final = 16
"""Histories that are read at the same time."""

_MIB: Final = 1 << 20


class MemoryGrewError(AssertionError):
    """The daemon's memory was not flat."""


class Soak:
    """A soak; `run` executes it.

    Args:
        folder: Where all files go.
        authority: Authority of the daemon's certificate.
        seed: Seed of all choices.
        sessions: Number of devices.
    """

    def __init__(self, folder: Path, authority: AuthorityFiles, seed: int, sessions: int) -> None:
        self._folder = folder
        self._authority = authority
        self._seed = seed
        self._sessions = sessions
        self._random = Random(seed)  # noqa: S311 - to be repeated
        self._port = free_port()
        self._population = Population(sessions)
        self._abuses = list(_ABUSES)
        self._random.shuffle(self._abuses)
        self._kills = 0
        self._attacks = 0
        self._memory: list[tuple[float, int]] = []
        make_store(folder / "qscpd.db", self._population)
        self._config = write_config(folder, authority, default_limits=True)
        self._config.write_text(self._config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{self._port}"))
        self._daemon = self._start()

    def _start(self) -> Daemon:
        daemon = Daemon(self._folder, self._config, (NO_ALLOWANCE,), debug=False)
        daemon.wait_until_ready()
        return daemon

    def run(self, seconds: float) -> str:
        """Run it, check everything, and return what was counted.

        Raises:
            BrokenPromiseError: Something that was acknowledged is lost, doubled or out of order.
            MemoryGrewError: The daemon's memory grew too much.
            AssertionError: A load client or a daemon did not end as it should.
        """
        logs = self._folder / "logs"
        logs.mkdir()
        ca = self._authority.ca_certificate
        crowd = [
            LoadClient(
                "tests.durability.crowd", logs, ca, self._port, self._seed, self._sessions, part, _PROCESSES
            )
            for part in range(_PROCESSES)
        ]
        try:
            for client in crowd:
                client.expect("ready")
            self._strain(crowd, seconds)
            finish_load(crowd)
            report = check_histories(logs, asyncio.run(self._read_books()), self._kills)
            assert self._daemon.stop() == 0, self._daemon.text
            self._daemon.check_log()
        finally:
            for client in crowd:
                client.close()
            self._daemon.kill()
        return f"{report}; {self._attacks} attacks; {self._check_memory(seconds)}"

    def _strain(self, crowd: list[LoadClient], seconds: float) -> None:
        """Kill the daemon, attack it, and observe its memory for some seconds."""
        begin = time.monotonic()
        next_kill = self._random.uniform(0.1, 0.2) * seconds * _FAULTS
        next_attack, attacker = 0.0, None
        while (now := time.monotonic() - begin) < seconds:
            if next_kill < now < seconds * _FAULTS:
                self._kill()
                next_kill = now + max(5.0, self._random.uniform(0.1, 0.3) * seconds * _FAULTS)
            if attacker is not None and (attacker.poll() is not None or now > next_attack + _ABUSE_LIMIT_S):
                attacker.kill()
                attacker.communicate()
                attacker = None
            if attacker is None and now >= next_attack:
                attacker = self._attack()
                next_attack = now + _ABUSE_EVERY_S
            self._memory.append((now, resident(self._daemon)))
            for client in crowd:
                client.check()
            time.sleep(0.5)
        if attacker is not None:
            attacker.kill()
            attacker.communicate()

    def _attack(self) -> "subprocess.Popen[str]":
        name = self._abuses[self._attacks % len(self._abuses)]
        self._attacks += 1
        return start_attacker(name, self._authority.ca_certificate, self._port, _ABUSE_S)

    def _kill(self) -> None:
        self._daemon.process.kill()
        self._daemon.wait()
        self._daemon.check_log()
        self._kills += 1
        self._daemon = self._start()

    async def _read_books(self) -> dict[str, Book]:
        """Return the histories that a new device of each user gets."""
        context = client_context(self._authority.ca_certificate)
        room = asyncio.Semaphore(_AT_ONCE)
        books: dict[str, Book] = {}

        async def read(user: str) -> None:
            async with room:
                books[user] = await read_book(user, self._port, context)

        async with asyncio.TaskGroup() as tasks:
            for user in self._population.users:
                tasks.create_task(read(user.name))
        return books

    def _check_memory(self, seconds: float) -> str:
        """Compare the memory after the warming up with that at the end."""

        def typical(first: float, last: float) -> float:
            return (
                statistics.median(size for at, size in self._memory if first <= at / seconds <= last) / _MIB
            )

        warm, end = typical(0.6, 0.7), typical(0.9, 1.0)
        figures = f"memory {warm:.0f} MiB after the warming up, {end:.0f} MiB at the end"
        if end > warm * _GROWTH + _GROWTH_MIB:
            raise MemoryGrewError(figures)
        return figures


def resident(daemon: Daemon) -> int:
    """Return the daemon's resident size in bytes."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024


def main() -> int:
    """Run a soak, and print its counts."""
    parser = argparse.ArgumentParser(description="Thousands of sessions with faults and abusers.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=SystemRandom().getrandbits(32))
    chosen = parser.parse_args()
    print_line(f"{chosen.sessions} sessions for {chosen.seconds:.0f} s, seed {chosen.seed} ...")
    with tempfile.TemporaryDirectory() as name:
        authority = make_local_authority(Path(name))
        folder = Path(name, "daemon")
        folder.mkdir()
        print_line(f"  {Soak(folder, authority, chosen.seed, chosen.sessions).run(chosen.seconds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
