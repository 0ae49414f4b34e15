"""A store that can't be used when the daemon starts: one sentence, and an exit code."""

import contextlib
import sqlite3
import subprocess
from pathlib import Path

import pytest

from qscpd.errors import ExitCode, PermissionDeniedError
from qscpd.setup.pki import AuthorityFiles
from qscpd.store import open_store, store_url
from tests.support.daemon import Daemon, add_accounts, write_config
from tests.support.smalldisk import fill, small_disk
from tests.support.users import as_user


def refused(directory: Path, authority: AuthorityFiles, *settings: str) -> tuple[int, str]:
    """Start a daemon that can't start; return its exit code and what it said."""
    daemon = Daemon(directory, write_config(directory, authority), settings)
    try:
        # asyncio's development mode may log how long it took.
        return daemon.wait(), "".join(line for line in daemon.text if not line.startswith("{"))
    finally:
        daemon.process.kill()


def test_locked_by_another_program(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A program that holds SQLite's own lock, such as its shell, is waited for, and then told of."""
    add_accounts(tmp_path / "qscpd.db", {"alice": "correct horse"})
    with contextlib.closing(sqlite3.connect(tmp_path / "qscpd.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        code, told = refused(tmp_path, authority)
    assert (code, told) == (ExitCode.FAILED, f"qscpd: {tmp_path}/qscpd.db: locked by another program\n")


def test_a_read_only_file_system(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A disk that the kernel has made read-only after an error."""
    with small_disk(tmp_path / "disk", 1024) as disk:
        add_accounts(disk / "qscpd.db", {"alice": "correct horse"})
        (disk / "qscpd.db.lock").touch()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, told = refused(tmp_path, authority, f"store.path={disk}/qscpd.db")
    assert code == ExitCode.FAILED
    assert told == f"qscpd: {disk}/qscpd.db.lock: Read-only file system\n"


def test_a_read_only_file(tmp_path: Path) -> None:
    """A store that belongs to somebody else is a matter of permissions, with that exit code."""
    add_accounts(tmp_path / "qscpd.db", {"alice": "correct horse"})
    (tmp_path / "qscpd.db").chmod(0o444)
    with (
        as_user(tmp_path),
        pytest.raises(PermissionDeniedError, match=r"qscpd.db: may not be read and written by this user"),
    ):
        open_store(store_url(tmp_path / "qscpd.db"))


def test_a_newer_store(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A downgrade is refused, and the store stays as it is."""
    add_accounts(tmp_path / "qscpd.db", {"alice": "correct horse"})
    with contextlib.closing(sqlite3.connect(tmp_path / "qscpd.db")) as db:
        db.execute("PRAGMA user_version = 99")
    content = (tmp_path / "qscpd.db").read_bytes()
    code, told = refused(tmp_path, authority)
    assert code == ExitCode.FAILED
    assert told.startswith(f"qscpd: {tmp_path}/qscpd.db: made by a newer qscpd (schema 99")
    assert told.count("\n") == 1
    assert (tmp_path / "qscpd.db").read_bytes() == content


def test_messages_that_are_damaged(tmp_path: Path, authority: AuthorityFiles) -> None:
    """SQLite's pages may be whole and our rows in them not."""
    add_accounts(tmp_path / "qscpd.db", {"alice": "correct horse", "bob": "battery staple"})
    with contextlib.closing(sqlite3.connect(tmp_path / "qscpd.db")) as db:
        db.execute("INSERT INTO conversations (low, high, last_seq, last_ms) VALUES (1, 2, 1, 1)")
        db.execute("INSERT INTO chunks (conversation, last_seq, messages) VALUES (1, 1, X'93')")
        db.commit()
    code, told = refused(tmp_path, authority)
    assert code == ExitCode.FAILED
    assert told.startswith("qscpd: messages in the store are damaged")
    assert told.count("\n") == 1


def test_a_full_disk(tmp_path: Path, authority: AuthorityFiles) -> None:
    """Without room for its journal a daemon can't start, and says that it is the disk."""
    with small_disk(tmp_path / "disk", 256) as disk:
        add_accounts(disk / "qscpd.db", {"alice": "correct horse"})
        fill(disk)
        code, told = refused(tmp_path, authority, f"store.path={disk}/qscpd.db")
    assert code == ExitCode.FAILED
    assert told == f"qscpd: {disk}/qscpd.db: no room on the disk\n"
