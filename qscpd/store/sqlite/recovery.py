"""Lost journals: what the opening after a crash finds missing.

A store that ends cleanly has no journal. After a crash, everything since the last checkpoint is in the
journal only, and SQLite takes a missing or damaged one for an empty one. So a run leaves a marker in the
database file, and `check_journal` compares it with the journal before SQLite opens either for writing.

No crash looks like a loss, by the order of the writes: the marker reaches the database file only after the
journal has a header, and leaves it before the journal is emptied. The index (`-shm`) counts a commit
only after it was flushed.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from qscpd.errors import StoreError
from qscpd.files import sync
from qscpd.store.clock import boot_id
from qscpd.store.sqlite.marker import Marker, read_marker, read_meta
from qscpd.store.sqlite.migrations import schema_of
from qscpd.store.sqlite.uri import file_uri
from qscpd.store.sqlite.wal import (
    WalHeader,
    WalIndex,
    commits_behind,
    parse_index,
    read_header,
    read_index,
    wal_path,
)

_TORN: Final = 1
"""Commits that a crash can leave behind the end of the journal: the one that was being written."""

_KEPT_SUFFIX: Final = ".last"

_UNUSABLE_SUFFIX: Final = ".unusable"


def check_journal(store: Path) -> str | None:
    """Find out whether the journal of the last run is whole; set one aside that would do harm.

    The same is found again until `forget_index` is called.

    Args:
        store: The file, its symbolic links resolved; this process has it not open.

    Returns:
        What is missing and what to do, as one line; None if nothing is.

    Raises:
        StoreError: The journal is beside another name of the file.
        StoreDamagedError: The file and its journal belong to another program or to a newer version.
        OSError, sqlite3.Error: A file can't be read.
    """
    marker = read_marker(store, journal=False)
    problem = _find_problem(store, marker)
    if problem is None:
        return None
    return (
        f"{store}: acknowledged messages can be missing. The last run was cut off, and its journal "
        f"{wal_path(store)} {problem}. What was in the store is served, under a new epoch: clients load "
        "their history again. Look for the journal in case it was moved, and keep it. If a backup has more "
        "than the store, restore it (`qscpd restore`)"
    )


def forget_index(store: Path) -> None:
    """Delete what `check_journal` kept of the last run, once its findings are in the store."""
    _kept_index(store).unlink(missing_ok=True)


def refuse_without_journal(store: Path) -> None:
    """Check, before a store is only read, that its journal is there if the last run needs it.

    Raises:
        StoreError: It is not: newer messages are missing, or the file is used by another name.
    """
    if not _size(wal_path(store)) and read_marker(store, journal=False) is not None:
        raise StoreError(
            f"{store}: its journal {wal_path(store)} is missing, and newer messages with it. Name the store "
            "as the daemon does; if the journal is lost, start qscpd, which says what that means"
        )


def _find_problem(store: Path, marker: Marker | None) -> str | None:
    size = _size(wal_path(store))
    if not size:
        forget_index(store)
        return _without_journal(store, size) if marker else None
    header = read_header(store)
    if header is None:
        return f"is damaged at its beginning; {_set_aside(store)}" if marker else None
    index = _keep_index(store)
    fits = _fits(store, header, marker, index) if marker else not _is_of_another_store(store)
    if not fits:
        return f"is an older one or that of another store; {_set_aside(store)}"
    frames = _recover(store, header)
    if index is None or index.salts != header.salts:
        behind = commits_behind(store, header, frames)
        return f"is damaged: {behind} commits in it can't be read" if behind > _TORN else None
    if frames >= index.frames:
        return None
    problem = f"was cut or damaged: {index.frames - frames} of its {index.frames} pages are lost"
    if frames < index.backfilled:
        # The database file is newer than what is left of the journal.
        problem += f"; {_set_aside(store)}"
    return problem


def _without_journal(store: Path, size: int | None) -> str:
    links = store.stat().st_nlink
    if links > 1:
        raise StoreError(
            f"{store}: the last run was cut off, and its journal is not beside this name of the file, "
            f"which has {links} names (hard links). Write the name that was used then in store.path. "
            "If that was this one, and the journal is lost, delete the other names"
        )
    return "is missing" if size is None else "is empty"


def _keep_index(store: Path) -> WalIndex | None:
    """Return the index that the last run left, and keep its header: SQLite begins a new one."""
    kept = _kept_index(store)
    with contextlib.suppress(FileNotFoundError):
        return parse_index(kept.read_bytes())
    block = read_index(store)
    # On a full disk only a second crash, before the first start ends, would leave a loss unnoticed.
    try:
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(block)
    except OSError:
        forget_index(store)
    return parse_index(block)


def _kept_index(store: Path) -> Path:
    return Path(f"{store}-shm{_KEPT_SUFFIX}")


def _fits(store: Path, header: WalHeader, marker: Marker, index: WalIndex | None) -> bool:
    """Return whether a journal is the one that the last run wrote."""
    # An index of an earlier boot can be older than the journal. One without frames is written just
    # before the header of a new round.
    if (
        index is not None
        and index.frames
        and index.salts != header.salts
        and marker.boot
        and marker.boot == boot_id()
    ):
        return False
    if marker.round is None or marker.precedes(header):
        # The round of another store is a random number, of which one in 256 is as good as ours.
        return not _is_of_another_store(store)
    if marker.follows(header):
        return False
    # Of another store; or the crash was in the middle of a checkpoint, and the marker that we read is
    # one of an earlier run, in a page that is not in use any more. Then the journal has the newest one.
    newest = read_marker(store, journal=True)
    return newest is not None and newest.precedes(header) and not _is_of_another_store(store)


def _is_of_another_store(store: Path) -> bool:
    """Return whether the epoch changes with the journal: a file was put in the place of another one.

    A journal that renews the epoch of this file has it as the former one. Nearly every journal has the page
    with the epoch: each run begins one with its marker, which is beside it.
    """
    before, after = (read_meta(store, "epoch", journal=journal) for journal in (False, True))
    if before is None or after is None or before == after:
        return False
    return read_meta(store, "former_epoch", journal=True) != before


def _recover(store: Path, header: WalHeader) -> int:
    """Return the number of frames that SQLite can recover, without writing to the database file."""
    uri = file_uri(store, "mode=ro")
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)) as db:
        schema_of(db, str(store))
    index = parse_index(read_index(store))
    return index.frames if index is not None and index.salts == header.salts else 0


def _set_aside(store: Path) -> str:
    """Rename a journal that SQLite must not apply; say how."""
    aside = Path(f"{wal_path(store)}{_UNUSABLE_SUFFIX}")
    wal_path(store).rename(aside)
    forget_index(store)
    sync(store.parent)
    return f"it is kept as {aside}"


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
