"""The store in one SQLite file: WAL, `synchronous=FULL`, one writer.

FULL makes COMMIT return only after the WAL was flushed to the disk
(https://sqlite.org/pragma.html#pragma_synchronous); with NORMAL a power cut loses
the last commits although they were acknowledged.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from qscpd.errors import (
    ExistsError,
    NotFoundError,
    PermissionDeniedError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)
from qscpd.store.base import Account, AccountState, Credentials, NewMessage, StoredMessage
from qscpd.store.migrations import migrate

__all__ = ["SqliteStore"]

_CHECKED_SIZE: Final = 64 * 1024 * 1024
"""Files up to this many bytes are checked for damage when they are opened (0.2 s at most)."""

_CACHED_CONVERSATIONS: Final = 50_000
"""Conversations whose last seq is kept in memory: about 10 MiB."""

_ACCOUNT_COLUMNS: Final = "id, name, state, created_ms"

_pack: Final = msgspec.msgpack.Encoder().encode


class _Conversation:
    """The cached end of a conversation, and what the running transaction adds to it."""

    __slots__ = ("added", "id", "last_ms", "last_seq")

    def __init__(self, conversation: int, last_seq: int, last_ms: int) -> None:
        self.id = conversation
        self.last_seq = last_seq
        self.last_ms = last_ms
        self.added: list[tuple[int, int, str, str]] = []
        """Rows (time_ms, sender, message id, body); the seqs are dense up to `last_seq`."""


class SqliteStore:
    """A `qscpd.store.base.Store` in an SQLite file.

    Args:
        path: The file; it is made when it does not exist, readable by its owner only.
        clock_ms: Milliseconds since 1970-01-01 UTC.

    Raises:
        StoreError: The file can't be opened, is damaged, or is no store of ours.
        PermissionDeniedError: This user may not read and write it.
    """

    def __init__(
        self, path: Path, *, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._path = path
        self._clock_ms = clock_ms
        self._conversations: dict[tuple[int, int], _Conversation] = {}
        self._db = _open(path)

    def close(self) -> None:
        """Close the file; a WAL that is not needed any more is removed."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """COMMIT at the end, ROLLBACK on any exception, and our errors instead of SQLite's."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except BaseException as error:
            self._conversations.clear()
            rolled_back = self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise _explain(error, self._path, rolled_back=rolled_back) from error
            raise

    def _roll_back(self) -> bool:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return not self._db.in_transaction

    # --- accounts

    def add_account(self, name: str, password_hash: str, *, reuse_name: bool = False) -> Account:
        """See `Store.add_account`."""
        with self._transaction() as db:
            states = {row[0] for row in db.execute("SELECT state FROM accounts WHERE name = ?", (name,))}
            if states - {AccountState.DELETED}:
                raise ExistsError(f"there is an account {name} already; choose another name")
            if states and not reuse_name:
                raise ExistsError(
                    f"the name {name} belonged to a deleted account; add --reuse-name to give it away again"
                )
            now = self._clock_ms()
            row = db.execute(
                "INSERT INTO accounts (name, state, password_hash, created_ms) "
                "VALUES (?, ?, ?, ?) RETURNING id",
                (name, AccountState.ACTIVE, password_hash, now),
            ).fetchall()
        return Account(row[0][0], name, AccountState.ACTIVE, now)

    def set_password(self, name: str, password_hash: str) -> Account:
        """See `Store.set_password`."""
        return self._update_account(name, "password_hash = ?", password_hash)

    def set_locked(self, name: str, *, locked: bool) -> Account:
        """See `Store.set_locked`."""
        return self._update_account(name, "state = ?", AccountState.LOCKED if locked else AccountState.ACTIVE)

    def delete_account(self, name: str) -> Account:
        """See `Store.delete_account`."""
        return self._update_account(name, "state = ?, password_hash = ''", AccountState.DELETED)

    def _update_account(self, name: str, assignment: str, value: str) -> Account:
        with self._transaction() as db:
            rows = db.execute(
                f"UPDATE accounts SET {assignment} WHERE name = ? AND state <> 'deleted' "  # noqa: S608 - ours
                f"RETURNING {_ACCOUNT_COLUMNS}",
                (value, name),
            ).fetchall()
            if not rows:
                raise NotFoundError(f"there is no account {name}; `qscpd listusers` shows all")
        return _account(rows[0])

    def accounts(self) -> Sequence[Account]:
        """See `Store.accounts`."""
        sql = f"SELECT {_ACCOUNT_COLUMNS} FROM accounts WHERE state <> 'deleted' ORDER BY name"  # noqa: S608
        return [_account(row) for row in self._read(sql)]

    def credentials(self, name: str) -> Credentials | None:
        """See `Store.credentials`."""
        rows = self._read(
            f"SELECT {_ACCOUNT_COLUMNS}, password_hash FROM accounts WHERE name = ? AND state <> 'deleted'",  # noqa: S608
            name,
        )
        return Credentials(_account(rows[0][:4]), rows[0][4]) if rows else None

    def replace_hash(self, account: int, old_hash: str, new_hash: str) -> None:
        """See `Store.replace_hash`."""
        with self._transaction() as db:
            db.execute(
                "UPDATE accounts SET password_hash = ? WHERE id = ? AND password_hash = ?",
                (new_hash, account, old_hash),
            )

    def _read(self, sql: str, *values: str | int) -> list[tuple]:  # type: ignore[type-arg]  # rows of any shape
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _explain(error, self._path, rolled_back=True) from error

    # --- messages

    def append(self, messages: Sequence[NewMessage]) -> Sequence[StoredMessage]:
        """See `Store.append`."""
        now = self._clock_ms()
        stored: list[StoredMessage] = []
        touched: dict[int, _Conversation] = {}
        with self._transaction() as db:
            for sender, recipient, message_id, body in messages:
                conversation = self._conversation(sender, recipient)
                conversation.last_seq += 1
                # The clock may be set back; time never is, within a conversation.
                conversation.last_ms = max(conversation.last_ms, now)
                conversation.added.append((conversation.last_ms, sender, message_id, body))
                touched[conversation.id] = conversation
                stored.append(StoredMessage(conversation.id, conversation.last_seq, conversation.last_ms))
            ends = touched.values()
            db.executemany(
                "INSERT INTO chunks (conversation, last_seq, messages) VALUES (?, ?, ?)",
                [(end.id, end.last_seq, _pack(end.added)) for end in ends],
            )
            db.executemany(
                "UPDATE conversations SET last_seq = ?, last_ms = ? WHERE id = ?",
                [(end.last_seq, end.last_ms, end.id) for end in ends],
            )
        for end in ends:
            end.added.clear()
        return stored

    def _conversation(self, sender: int, recipient: int) -> _Conversation:
        pair = (sender, recipient) if sender < recipient else (recipient, sender)
        conversation = self._conversations.get(pair)
        if conversation is None:
            conversation = self._conversations[pair] = self._load_conversation(pair)
        return conversation

    def _load_conversation(self, pair: tuple[int, int]) -> _Conversation:
        """Read the end of a conversation, or make the conversation; inside a transaction."""
        if len(self._conversations) >= _CACHED_CONVERSATIONS:
            # Those that the transaction has touched must stay: their `added` is not written yet.
            kept = {key: each for key, each in self._conversations.items() if each.added}
            self._conversations = kept
        row = self._db.execute(
            "SELECT id, last_seq, last_ms FROM conversations WHERE low = ? AND high = ?", pair
        ).fetchone()
        if row is None:
            sql = "INSERT INTO conversations (low, high, last_seq, last_ms) VALUES (?, ?, 0, 0)"
            row = (self._db.execute(sql, pair).lastrowid, 0, 0)
        return _Conversation(*row)


def _account(row: tuple[int, str, str, int]) -> Account:
    return Account(row[0], row[1], AccountState(row[2]), row[3])


def _open(path: Path) -> sqlite3.Connection:
    db = None
    try:
        # SQLite would make the file with the umask's mode, and copies that mode to -wal and -shm.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        migrate(db, str(path))
        _check(db, path)
    except BaseException as error:
        if db is not None:
            db.close()
        if isinstance(error, PermissionError):
            raise PermissionDeniedError(f"{path}: may not be read and written by this user") from error
        if isinstance(error, OSError):
            raise StoreError(f"{path}: {error.strerror}") from error
        if isinstance(error, sqlite3.Error):
            raise _explain(error, path, rolled_back=True) from error
        raise
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size <= _CHECKED_SIZE:
        verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0].splitlines()[-1]
        if verdict != "ok":
            raise StoreDamagedError(f"{path}: the store is damaged ({verdict}); restore it from a backup")


def _explain(error: sqlite3.Error, path: Path, *, rolled_back: bool) -> StoreError:
    """Turn SQLite's error into ours."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamagedError(f"{path}: the store is damaged ({error}); restore it from a backup")
    if rolled_back and primary == sqlite3.SQLITE_FULL:
        return StoreFullError(f"{path}: no room on the disk")
    if rolled_back and primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(f"{path}: locked by another program")
    return StoreError(f"{path}: {error}")
