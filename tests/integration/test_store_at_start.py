"""Stores that can't be used when the daemon starts: one sentence, and an exit code."""

import contextlib
import sqlite3
import subprocess
from pathlib import Path

import pytest

from qscpd.errors import ExitCode, PermissionDeniedError
from qscpd.setup.pki import AuthorityFiles
from qscpd.store import open_store, store_url
from tests.support.daemon import Daemon, StartDaemon, add_accounts, write_config
from tests.support.logged_in import resume
from tests.support.smalldisk import fill, small_disk
from tests.support.users import as_user
from tests.support.wire import Wires


def refused(directory: Path, authority: AuthorityFiles, *settings: str) -> tuple[int, str]:
    """Start a daemon that can't start; return its exit code and its error."""
    daemon = Daemon(directory, write_config(directory, authority), settings)
    try:
        # asyncio's development mode might log slow callbacks.
        return daemon.wait(), "".join(line for line in daemon.text if not line.startswith("{"))
    finally:
        daemon.process.kill()


def test_locked_by_another_program(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A store that another program has locked, such as SQLite's shell, is refused after a wait."""
    add_accounts(tmp_path / "qscpd.db", {"alice": "correct horse"})
    with contextlib.closing(sqlite3.connect(tmp_path / "qscpd.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        code, text = refused(tmp_path, authority)
    assert (code, text) == (ExitCode.FAILED, f"qscpd: {tmp_path}/qscpd.db: locked by another program\n")


def test_a_read_only_file_system(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A read-only file system, as after a disk error, is reported."""
    with small_disk(tmp_path / "disk", 1024) as disk:
        add_accounts(disk / "qscpd.db", {"alice": "correct horse"})
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, text = refused(tmp_path, authority, f"store.path={disk}/qscpd.db")
    assert code == ExitCode.PERMISSION
    assert text.startswith(f"qscpd: {disk}/qscpd.db: read-only file system; see the kernel")
    assert text.count("\n") == 1


def test_a_read_only_file(tmp_path: Path) -> None:
    """A store that the user can't write raises the error for permissions."""
    add_accounts(tmp_path / "qscpd.db", {"alice": "correct horse"})
    (tmp_path / "qscpd.db").chmod(0o444)
    with (
        as_user(tmp_path),
        pytest.raises(PermissionDeniedError, match=r"qscpd\.db: this user has no permission to read"),
    ):
        open_store(store_url(tmp_path / "qscpd.db"))


def test_a_newer_store(tmp_path: Path, authority: AuthorityFiles) -> None:
    """The store of a newer version is refused, and left as it is."""
    add_accounts(tmp_path / "qscpd.db", {"alice": "correct horse"})
    with contextlib.closing(sqlite3.connect(tmp_path / "qscpd.db")) as db:
        db.execute("PRAGMA user_version = 99")
    content = (tmp_path / "qscpd.db").read_bytes()
    code, text = refused(tmp_path, authority)
    assert code == ExitCode.FAILED
    assert text.startswith(f"qscpd: {tmp_path}/qscpd.db: made by a newer qscpd (schema 99")
    assert text.count("\n") == 1
    assert (tmp_path / "qscpd.db").read_bytes() == content


async def test_messages_that_are_damaged(start_daemon: StartDaemon, wires: Wires) -> None:
    """Damaged messages in sound pages of SQLite are no hindrance to a start; each device gets a gap."""
    daemon = start_daemon()
    daemon.stop()
    with contextlib.closing(sqlite3.connect(daemon.store)) as db:
        db.execute("INSERT INTO conversations (low, high, last_seq, last_ms) VALUES (1, 2, 1, 1)")
        db.execute("INSERT INTO positions (account, conversation) VALUES (1, 1), (2, 1)")
        db.execute("INSERT INTO chunks (place, messages) VALUES (1 << 32 | 1, X'93')")
        db.commit()
    daemon = start_daemon()
    daemon.expected_errors.add("store.damaged")
    for user in ("alice", "bob"):
        _, _, missed = await resume(wires, daemon, user)
        assert missed == [{"type": "gap", "conversation": "c1", "from": 1, "to": 1, "reason": "damaged"}]
    (line,) = (each for each in daemon.log if each["event"] == "store.damaged")
    assert (line["conversation"], line["first"], line["last"], line["chunk"]) == ("c1", 1, 1, 1 << 32 | 1)


def test_a_full_disk(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A disk without room for the journal is reported."""
    with small_disk(tmp_path / "disk", 256) as disk:
        add_accounts(disk / "qscpd.db", {"alice": "correct horse"})
        fill(disk)
        code, text = refused(tmp_path, authority, f"store.path={disk}/qscpd.db")
    assert code == ExitCode.FAILED
    assert (
        text == f"qscpd: {disk}/qscpd.db: no room on the disk, or in its quota; free some, then try again\n"
    )
