"""Snapshots: copies of a store's file, made while the store is in use, and their inspection."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from qscp.errors import InvalidNameError
from qscp.names import normalize_name
from qscp.rooms import normalize_room
from qscpd.domain.model import Damage
from qscpd.errors import StoreError, StoreFullError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.driver import Contents
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.access import check_journal_can_be_made, check_readable
from qscpd.store.sqlite.chunk_reader import ChunkReader
from qscpd.store.sqlite.database import DatabaseReader
from qscpd.store.sqlite.disk_space import lacks_space
from qscpd.store.sqlite.faults import READ_ERRORS, describe
from qscpd.store.sqlite.legacy_chunks import LegacyReader, scopes
from qscpd.store.sqlite.lock import resolve
from qscpd.store.sqlite.marker import remove_marker
from qscpd.store.sqlite.migrations import APPLICATION_ID
from qscpd.store.sqlite.recovery import refuse_without_journal
from qscpd.store.sqlite.schema_check import foreign_objects
from qscpd.store.sqlite.tail import ReadTail
from qscpd.store.sqlite.uri import file_uri

_PLACES: Final = 6
"""From this schema on, chunks are stored by the places of their messages, with a checksum."""

_SCOPES: Final = 2
"""From this schema on, a conversation says where its messages begin."""

_LONGEST: Final = 64 * 1024 * 1024
"""Bytes of a value at most. The largest chunks of any version have a few million."""

_PAGES: int = 1000
"""Pages (of 4 KiB) that are copied in one step."""


def copy_file(store: Path, target: Path, pause: Callable[[], None]) -> None:
    """Copy a store as it is now, also while another process writes to it.

    The daemon can write meanwhile; only its journal is not emptied before the end.

    Args:
        store: The store's file.
        target: An empty file.
        pause: Called after every few megabytes, to leave the disk to others for a moment.

    Raises:
        StoreFullError: There is no room for the copy.
        StoreError: Either can't be read or written.
        PermissionDeniedError: This user may not read the store.
    """
    store = resolve(store)
    try:
        check_readable(store)
        store.stat()
        refuse_without_journal(store)
        uri = file_uri(store, "mode=ro")
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)) as source,
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            # An open transaction keeps the source as it is: otherwise, each write would restart the copy.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            source.backup(copy, pages=_PAGES, progress=lambda *_: pause())
            remove_marker(copy)  # it has everything, without a journal
            # A single file, which can be read without making others beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
    except OSError as error:
        raise StoreError(f"{store}: {error.strerror}") from error
    except READ_ERRORS as error:
        if lacks_space(target, store.stat().st_size):  # a quota is an I/O error to SQLite
            raise StoreFullError(
                f"{store}: can't be copied to {target}: the disk is full, or its quota; free some room first"
            ) from error
        if isinstance(error, sqlite3.OperationalError):
            check_journal_can_be_made(store)
        raise StoreError(f"{store}: can't be copied to {target}: {describe(error)}") from error


def inspect_file(path: Path, on_damage: OnDamage) -> Contents:
    """Read a copy from the first to the last byte without changing anything.

    It may come from an attacker: nothing in its schema is used unless qscpd has made it.

    Args:
        path: The copy.
        on_damage: Called with each place whose messages can't be read.

    Raises:
        StoreError: The file is damaged, or is not a store.
    """
    try:
        # Nobody writes to a copy, so no lock and no journal is needed: `immutable`.
        uri = file_uri(path, "mode=ro", "immutable=1")
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            _distrust(db)
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StoreError(f"{path}: this is a database of another program")
            if strange := foreign_objects(db):
                raise StoreError(f"{path}: its schema is none of qscpd: {strange}")
            found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(3)")]
            if found != ["ok"]:
                raise StoreError(f"{path}: the store is damaged: {'; '.join(found)}")
            return _contents(path, db, on_damage)
    except READ_ERRORS as error:
        raise StoreError(f"{path}: the store is damaged: {describe(error)}") from error


def _distrust(db: sqlite3.Connection) -> None:
    """Let a connection believe nothing of a file that anybody may have made: https://sqlite.org/security.html."""
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA mmap_size = 0")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)


def _contents(path: Path, db: sqlite3.Connection, on_damage: OnDamage) -> Contents:
    schema: int = db.execute("PRAGMA user_version").fetchone()[0]
    epoch = ""
    if db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").fetchone()[0]:
        found = db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        epoch = str(found[0]) if found else ""
    accounts: int = db.execute("SELECT count(*) FROM accounts").fetchone()[0]
    _check_names(path, db)
    conversations: int = db.execute("SELECT count(*) FROM conversations").fetchone()[0]
    items = _items if schema >= _PLACES else _legacy_items if schema >= _SCOPES else _oldest_items
    messages, damaged = 0, 0
    for count in items(path, db, on_damage):
        messages += count
        damaged += not count
    return Contents(schema, epoch, accounts, conversations, messages, damaged)


def _items(path: Path, db: sqlite3.Connection, on_damage: OnDamage) -> Iterator[int]:
    """Yield numbers of messages; 0 for each place that can't be read."""
    read = DatabaseReader(path, db)
    reader = ChunkReader(read, ReadTail(read, on_damage), on_damage)
    with read.snapshot():
        for (conversation,) in db.execute("SELECT id FROM conversations"):
            for item in reader.after(reader.scope(conversation), 0):
                yield int(not isinstance(item, Damage))


def _legacy_items(_: Path, db: sqlite3.Connection, on_damage: OnDamage) -> Iterator[int]:
    """Yield numbers of messages of an older schema; 0 for each place that can't be read."""
    reader = LegacyReader(db, _SCOPES, on_damage)
    for scope in scopes(db):
        for item in reader.items(scope):
            yield 0 if isinstance(item, Damage) else len(item.rows)


def _oldest_items(_: Path, db: sqlite3.Connection, on_damage: OnDamage) -> Iterator[int]:
    """Yield numbers of messages of the oldest schema; 0 for each chunk that can't be read."""
    for chunk, conversation, last_seq, blob in db.execute(
        "SELECT id, conversation, last_seq, messages FROM chunks"
    ):
        count = chunks.count(blob)
        if not count:
            on_damage(DamagedPlace("can't be read", conversation, last_seq, last_seq, chunk))
        yield count


def _check_names(path: Path, db: sqlite3.Connection) -> None:
    """Refuse names that qscpd never gives: commands and clients show names as they are."""
    _check_column(path, db.execute("SELECT name FROM accounts"), "account", normalize_name)
    if db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'rooms'").fetchone()[0]:
        _check_column(path, db.execute("SELECT name FROM rooms"), "room", normalize_room)


def _check_column(
    path: Path, names: Iterable[tuple[str]], kind: str, normalize: Callable[[str], str]
) -> None:
    for (name,) in names:
        with contextlib.suppress(InvalidNameError):
            if normalize(name) == name:
                continue
        raise StoreError(f"{path}: it has a name that no {kind} can have: {name}")
