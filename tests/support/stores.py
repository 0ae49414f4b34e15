"""Stores for tests: stores of any driver, a failing store, helpers to read them, and clocks."""

import contextlib
import math
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from unittest import mock

from qscp.rooms import HistoryFrom
from qscpd.domain.clock import Reading
from qscpd.domain.events import PositionMoved
from qscpd.domain.model import ConversationRow, Keep, Mark, MessageRow, NewMessage, Outcome, RoomResult
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreBusyError, StoreError, StoreFullError
from qscpd.store import writer
from qscpd.store.base import Store, StoreReader
from qscpd.store.clock import Clock
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore

__all__ = [
    "FailingStore",
    "ManualClock",
    "SqliteFactory",
    "StoreFactory",
    "TickingClock",
    "add_room",
    "append_in_turns",
    "clock_of",
    "close_killed",
    "conversation_of",
    "housekeep",
    "housekeeping_step",
    "kill",
    "rows_of",
    "tiny_transactions",
    "unread_of",
]


class ManualClock:
    """Clocks that stand still until `wind` moves them."""

    def __init__(self, ms: int = 1_700_000_000_000) -> None:
        self._wall_ms = ms
        self._boot_ms = 1_000_000
        self._boot = 1

    @property
    def ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC by the wall clock; setting a later time lets time pass."""
        return self._wall_ms

    @ms.setter
    def ms(self, ms: int) -> None:
        self.wind((ms - self._wall_ms) / 1000)

    def __call__(self) -> Reading:
        """Read the clocks."""
        return Reading(self._wall_ms, self._boot_ms, f"boot-{self._boot}")

    def wind(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0, "time never goes back; `jump` sets the wall clock back"
        self._wall_ms += round(seconds * 1000)
        self._boot_ms += round(seconds * 1000)

    def jump(self, seconds: float) -> None:
        """Set the wall clock ahead or back while no time passes."""
        self._wall_ms += round(seconds * 1000)

    def reboot(self, off_s: float) -> None:
        """Let the machine be off for a while, with a wall clock that goes on."""
        self._wall_ms += round(off_s * 1000)
        self._boot_ms = 0
        self._boot += 1


class TickingClock(ManualClock):
    """Clocks that advance a millisecond at each reading."""

    def __call__(self) -> Reading:
        """Read the clocks, a millisecond later than at the last call."""
        self.wind(0.001)
        return super().__call__()


def clock_of(now_ms: Callable[[], int]) -> Clock:
    """Return clocks that never jump, which follow a function."""

    def read() -> Reading:
        ms = now_ms()
        return Reading(ms, ms, "boot")

    return read


class StoreFactory(Protocol):
    """Stores of one driver, one in each folder."""

    def open(self, folder: Path, *, clock: Clock | None = None, edit_within_ms: int = 0) -> Store:
        """Open or create the store of a folder."""

    def open_reader(self, folder: Path) -> StoreReader:
        """Open the store of a folder for reading."""

    def check(self, store: Store) -> None:
        """Check the integrity of the stored form."""

    def dump(self, folder: Path) -> list[str]:
        """Return the whole content in a form that can be compared."""

    def has_trace(self, folder: Path, text: bytes) -> bool:
        """Return whether a text is anywhere in the stored bytes, even in unused pages."""


class SqliteFactory:
    """SQLite stores that do not wait for the disk."""

    def open(self, folder: Path, *, clock: Clock | None = None, edit_within_ms: int = 0) -> Store:
        """Open `q.db`."""
        store = SqliteStore(folder / "q.db", clock=clock, edit_within_ms=edit_within_ms)
        store._db.run("PRAGMA synchronous = OFF")  # these tests do not cut the power
        return store

    def open_reader(self, folder: Path) -> StoreReader:
        """Open `q.db`."""
        return SqliteReader(folder / "q.db")

    def check(self, store: Store) -> None:
        """Check pages, references and the search index."""
        assert isinstance(store, SqliteStore)
        assert store._db.read("PRAGMA integrity_check") == [("ok",)]
        assert store._db.read("PRAGMA foreign_key_check") == []
        store._db.run("INSERT INTO words (words) VALUES ('integrity-check')")

    def dump(self, folder: Path) -> list[str]:
        """Dump all tables; SQLite can't scan the search index itself, but the tables that it is kept in."""
        with contextlib.closing(sqlite3.connect(folder / "q.db")) as db:
            tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'words'")
            return [
                f"{table} {row}"
                for (table,) in tables.fetchall()
                for row in db.execute(f"SELECT * FROM {table}")  # noqa: S608 - a name of our schema
            ]

    def has_trace(self, folder: Path, text: bytes) -> bool:
        """Search every byte of the files."""
        return any(text in each.read_bytes() for each in folder.iterdir())


def kill(store: Store) -> None:
    """Release the locks of a store, as the kernel does when a process is killed."""
    assert isinstance(store, SqliteStore)
    place = store._db._place
    assert place is not None
    assert place._descriptor is not None
    os.close(place._descriptor)
    place._descriptor = None


def close_killed(store: Store) -> None:
    """Close the connections of a killed store, as its end does; nothing is written."""
    assert isinstance(store, SqliteStore)
    store._search.close()
    store._db.connection.close()


@contextlib.contextmanager
def tiny_transactions(bound: int = 300) -> Iterator[None]:
    """Lower the bound of chunks, and let each transaction end before its second message that takes long."""
    with mock.patch.object(chunks, "BOUND", bound), mock.patch.object(writer, "_TURN_S", -1.0):
        yield


def append_in_turns(store: Store, messages: Sequence[NewMessage]) -> list[Outcome]:
    """Store messages in transactions that end before the second message that takes long."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(messages):
        outcomes += store.append(messages[len(outcomes) :], deadline_s=0.0)[0]
    return outcomes


def add_room(store: Store, name: str, owner: str, *members: str, history: HistoryFrom) -> None:
    """Create a room with members."""
    ids = {account.name: account.id for account in store.accounts()}
    store.change_room(RoomChange(action="create", room=name, actor=ids[owner], history=history))
    for member in members:
        store.change_room(RoomChange(action="join", room=name, actor=ids[member]))


def rows_of(store: StoreReader, conversation: int) -> list[MessageRow]:
    """Return all rows of a conversation."""
    return list(store.export_room(conversation))


def conversation_of(store: StoreReader, account: int, conversation: int) -> ConversationRow | None:
    """Return an account's row of a conversation, or None if it is not a member."""
    return next((row for row in store.conversations(account) if row.id == conversation), None)


def unread_of(store: StoreReader, account: int, conversation: int) -> tuple[int, int]:
    """Return an account's counts of unread messages and mentions in a conversation."""
    (summary,) = store.conversation_list(account, conversation - 1, 1).conversations
    assert summary.conversation.id == conversation
    return summary.unread, summary.mentions


class FailingStore(SqliteStore):
    """Store that fails on demand.

    Attributes:
        full: Whether the disk is full.
        busy: Whether another program has locked the store.
        broken: Whether `append` stores its messages and then raises an error of unknown outcome.
        appended: Number of messages of each transaction.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self.full = self.busy = self.broken = False
        self.appended: list[int] = []
        super().__init__(path, clock=clock, edit_within_ms=3_600_000)

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark] = (), *, deadline_s: float = math.inf
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        """Append, or raise the error that the test set."""
        if self.full:
            raise StoreFullError("no room on the disk")
        if self.busy:
            raise StoreBusyError("locked by another program")
        result = super().append(messages, marks, deadline_s=deadline_s)
        if self.broken:
            raise StoreError("disk I/O error")
        self.appended.append(len(result[0]))
        return result

    def change_rooms(
        self, changes: Sequence[RoomChange], *, deadline_s: float = math.inf
    ) -> Sequence[RoomResult | DeniedError | StoreFullError]:
        """Change rooms, or raise the error that the test set."""
        if self.full:
            raise StoreFullError("no room on the disk")
        return super().change_rooms(changes, deadline_s=deadline_s)


def housekeep(store: Store, keep: Keep = Keep()) -> None:  # noqa: B008 - it is immutable
    """Fold everything, and do all other housekeeping, in two rounds: damage can end the first."""
    assert isinstance(store, SqliteStore)
    for _ in range(2):
        store._fold.request()
        while store.housekeeping.step(keep):
            pass


def housekeeping_step(store: Store, keep: Keep = Keep()) -> bool:  # noqa: B008 - it is immutable
    """Do one step of housekeeping, of a fold if anything is to be folded; return whether there is more."""
    assert isinstance(store, SqliteStore)
    if store._tail.count:
        store._fold.request()
    return store.housekeeping.step(keep)
