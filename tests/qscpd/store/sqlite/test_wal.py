"""The headers of SQLite's journal: what SQLite writes is read, and anything else is not."""

import contextlib
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.sqlite.wal import (
    FRAME_HEADER,
    HEADER,
    commits_behind,
    parse_index,
    read_header,
    read_index,
    wal_path,
)
from tests.support.crashed_store import append, crash


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A store that was killed with a journal of some messages."""
    path = tmp_path / "q.db"
    crash(path, 5)
    return path


def test_the_headers_of_sqlite(crashed: Path) -> None:
    """Journal and index have the same salts, and the index counts the frames of the journal."""
    header = read_header(crashed)
    index = parse_index(read_index(crashed))
    assert header is not None
    assert index is not None
    assert (header.page_size, header.salts) == (index.page_size, index.salts)
    assert header.offset(0) == HEADER
    assert HEADER < header.offset(index.frames) <= wal_path(crashed).stat().st_size
    assert header.offset(1) - HEADER == FRAME_HEADER + 4096
    assert index.backfilled <= index.frames
    assert commits_behind(crashed, header, index.frames) == 0
    assert commits_behind(crashed, header, 0) > 0


def test_any_change_of_a_header_is_noticed(crashed: Path) -> None:
    """A header with one other byte is not valid."""
    wal, index = wal_path(crashed).read_bytes(), read_index(crashed)
    for place in range(HEADER):
        changed = bytearray(wal[:HEADER])
        changed[place] ^= 0x10
        wal_path(crashed).write_bytes(changed)
        assert read_header(crashed) is None, place
    for place in range(96):
        block = bytearray(index)
        block[place] ^= 0x10
        assert parse_index(bytes(block)) is None, place


@given(block=st.binary(max_size=120))
def test_any_bytes_are_no_index(block: bytes) -> None:
    """Bytes that SQLite did not write are no index, and no error."""
    assert parse_index(block) is None


def test_missing_and_short_files(tmp_path: Path) -> None:
    """Without files there are no headers; a part of one is none."""
    path = tmp_path / "q.db"
    assert read_header(path) is None
    assert parse_index(read_index(path)) is None
    for content in (b"", b"\x37\x7f\x06\x82", bytes(HEADER)):
        wal_path(path).write_bytes(content)
        assert read_header(path) is None


def test_what_is_cut_off_is_behind_the_last_commit(tmp_path: Path) -> None:
    """A cut removes what follows the last commit, and nothing that was stored."""
    path = tmp_path / "q.db"
    with contextlib.closing(SqliteStore(path)) as store:
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        append(store, 0)
        with wal_path(path).open("ab") as wal:
            wal.write(b"void" * 5000)
        assert store._db._cutter.cut()
        assert b"void" not in wal_path(path).read_bytes()
        assert append(store, 1) == 2
        copy = tmp_path / "copy"
        copy.mkdir()
        for each in (path, wal_path(path)):
            shutil.copy(each, copy / each.name)
    with contextlib.closing(SqliteStore(copy / "q.db")) as again:
        assert again.findings == ()
        assert again.conversations(1)[0].last_seq == 2
