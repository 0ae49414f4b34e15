"""A real `qscpd run` in a process of its own, with accounts, on a free port of the loopback."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from qscpd.accounts.passwords import PasswordHasher
from qscpd.config.model import Argon2Config
from qscpd.setup.pki import AuthorityFiles
from qscpd.store import open_store, store_url
from tests.support.limits import NO_RATES_YAML
from tests.support.waiting import PATIENCE_S, wait_for

__all__ = [
    "CHEAP_ARGON2",
    "PASSWORD",
    "Daemon",
    "StartDaemon",
    "add_accounts",
    "hash_cheaply",
    "running_daemon",
    "write_config",
]

PASSWORD: Final = "correct horse battery"
"""Password of all accounts, unless a test sets another."""

CHEAP_ARGON2: Final = Argon2Config(memory_kib=8, iterations=1, parallelism=1)
"""Lowest cost, so that tests spend little time on hashing."""

LogLine = dict[str, Any]


@functools.cache
def hash_cheaply(password: str) -> str:
    """Return a password's hash of the lowest cost, cached."""
    return PasswordHasher(CHEAP_ARGON2).hash(password)


def add_accounts(store: Path, accounts: Mapping[str, str]) -> None:
    """Make accounts, by name and password, in the store of a stopped daemon."""
    with contextlib.closing(open_store(store_url(store))) as opened:
        for name, password in accounts.items():
            opened.add_account(name, hash_cheaply(password))


def write_config(directory: Path, authority: AuthorityFiles, *, default_limits: bool = False) -> Path:
    """Write a configuration; everything but the certificates is in the directory.

    Args:
        directory: Where the files go.
        authority: Authority of the certificate.
        default_limits: Whether accounts have the limits of a real server; tests send faster than those.
    """
    path = directory / "qscpd.yaml"
    path.write_text(f"""\
server:
  listen: ["127.0.0.1:0"]
  admin_socket: {directory}/admin.sock
tls:
  certificate: {authority.certificate}
  key: {authority.key}
limits: {"{}" if default_limits else NO_RATES_YAML}
login:
  argon2: {{memory: 8KiB, iterations: 1, parallelism: 1}}
store:
  path: {directory}/qscpd.db
log:
  format: json
  session_log: {directory}/sessions.log
""")
    path.chmod(0o644)  # whatever the umask is
    return path


class Daemon:
    """Process of a daemon: starting, running or ended; `running_daemon` makes one.

    Args:
        directory: Where its files go.
        config: Its configuration.
        settings: `key=value`, as of `--set`.
        command: Program to run instead of `qscpd`, with the same arguments.
        debug: Whether it runs in Python's development mode: asyncio checks itself, and is slower.
        stderr: Its standard error; then its log is not read here.

    Attributes:
        directory: Where its store, its logs and its admin socket are.
        config: Its configuration.
        port: Where it listens.
        log: Log lines from its standard error, without asyncio's about slow steps.
    """

    def __init__(
        self,
        directory: Path,
        config: Path,
        settings: Sequence[str] = (),
        command: Sequence[str] = (sys.executable, "-m", "qscpd"),
        *,
        debug: bool = True,
        stderr: int = subprocess.PIPE,
    ) -> None:
        self.directory = directory
        self.config = config
        self.port = 0
        self.log: list[LogLine] = []
        self.expected_errors: set[str] = set()
        self.text: list[str] = []
        self._changed = threading.Condition()
        overrides = [argument for setting in settings for argument in ("--set", setting)]
        self.process = subprocess.Popen(
            [*command, "run", "-c", str(config), *overrides],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            env={
                **os.environ,
                "PYTHONWARNINGS": "error",
                "PYTHONDEVMODE": "1" if debug else "",
                "JOURNAL_STREAM": "",
            },
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def store(self) -> Path:
        """The file of its store."""
        return self.directory / "qscpd.db"

    def sessions(self) -> list[LogLine]:
        """Return the entries of the session log so far, without one that is half written."""
        whole, _, _ = (self.directory / "sessions.log").read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def wait_for_log(self, event: str, count: int = 1) -> LogLine:
        """Wait until it has logged an event that many times, and return the last of them."""

        def found() -> list[LogLine]:
            return [line for line in self.log if line["event"] == event]

        wait_for(
            self._changed,
            lambda: len(found()) >= count or not self._reader.is_alive(),
            f"{event} in the log, which is {self.text}",
        )
        lines = found()
        assert len(lines) >= count, f"the daemon ended without {event}: {self.text}"
        return lines[count - 1]

    def wait_until_ready(self) -> None:
        """Wait until it listens."""
        self.port = int(self.wait_for_log("daemon.ready")["listen"].rpartition(":")[2])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """Kill it if it runs, and wait for the end."""
        if self.process.poll() is None:
            self.process.kill()
            self.wait()

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def run(self, *arguments: str, password: str = "") -> "subprocess.CompletedProcess[str]":
        """Run another command of `qscpd` with the same configuration."""
        return subprocess.run(
            [sys.executable, "-m", "qscpd", *arguments, "-c", str(self.config)],
            input=password,
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE_S,
        )

    def check_log(self) -> None:
        """Fail if standard error has an error, or a line that is not of the log."""
        for line in self.text:
            assert line.startswith("{"), f"not a line of the log: {self.text}"
        for entry in self.log:
            bad = entry["level"] in ("error", "critical") or "exception" in entry
            assert not bad or entry["event"] in self.expected_errors, entry

    def _read(self) -> None:
        stderr = self.process.stderr
        if stderr is None:
            return
        with stderr:
            for line in stderr:
                with self._changed:
                    self.text.append(line)
                    if line.startswith("{") and not _is_slow_step(entry := json.loads(line)):
                        self.log.append(entry)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


def _is_slow_step(entry: LogLine) -> bool:
    """Return whether a line is of asyncio, about a step of the loop that took long, as any can."""
    return bool(entry["event"].startswith("Executing <"))


class StartDaemon(Protocol):
    """Type of the fixture `start_daemon`."""

    def __call__(self, *settings: str, accounts: tuple[str, ...] = ...) -> Daemon:
        """Start a daemon; settings are `key=value`, as of `--set`."""


@contextlib.contextmanager
def running_daemon(
    directory: Path,
    authority: AuthorityFiles,
    accounts: Mapping[str, str] | Sequence[str] = ("alice", "bob", "carol"),
    settings: Sequence[str] = (),
) -> Iterator[Daemon]:
    """Start a daemon, and stop it at the end.

    Args:
        directory: Where its files go; an existing store is kept.
        authority: Authority of its certificate.
        accounts: Passwords by name, or names only; made with a new store.
        settings: `key=value`, as of `--set`.

    Raises:
        AssertionError: It did not start or end properly, or logged an error.
    """
    config = write_config(directory, authority)
    if not (directory / "qscpd.db").exists():
        passwords = accounts if isinstance(accounts, Mapping) else dict.fromkeys(accounts, PASSWORD)
        add_accounts(directory / "qscpd.db", passwords)
    with supervised(Daemon(directory, config, settings)) as daemon:
        yield daemon


@contextlib.contextmanager
def supervised(daemon: Daemon) -> Iterator[Daemon]:
    """Wait until a daemon is ready, and stop it at the end, unless the test has ended it.

    Raises:
        AssertionError: It did not start or end properly, or logged an error.
    """
    try:
        daemon.wait_until_ready()
        yield daemon
        if daemon.process.poll() is None:
            assert daemon.stop() == 0, daemon.text
        daemon.check_log()
    finally:
        daemon.kill()
