"""SQLite's errors as ours."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from qscpd.errors import StoreDamagedError
from qscpd.store.sqlite.store import SqliteStore


def test_a_text_that_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    """It is reported with the way out, and without what was read."""
    path = tmp_path / "q.db"
    with contextlib.closing(SqliteStore(path)) as store:
        store.add_account("alice", "x")
        store._db.connection.execute("UPDATE accounts SET name = CAST(x'ff616c69' AS TEXT)")
        with pytest.raises(StoreDamagedError) as caught:
            store.account_names()
    assert str(caught.value) == (
        f"{path}: the store is damaged (text that is not UTF-8); restore it from a backup"
    )


def test_a_name_in_the_schema_that_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    """A store whose schema was overwritten is refused with the same sentence."""
    path = tmp_path / "q.db"
    with contextlib.closing(SqliteStore(path)):
        pass
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = CAST(x'ff' || sql AS TEXT) WHERE name = 'rooms'")
        db.commit()
    with pytest.raises(StoreDamagedError, match="restore it from a backup"):
        SqliteStore(path)
