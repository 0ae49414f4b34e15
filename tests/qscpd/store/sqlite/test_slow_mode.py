"""Slow mode in the SQLite store: a full file, a small cache, and the bounds of what is remembered."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom
from qscpd.domain.model import NewMessage, Outcome, Refused, StoredMessage
from qscpd.domain.rooms import RoomChange
from qscpd.errors import StoreFullError
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.stores import ManualClock, add_room

ALICE, BOB, CAROL = 1, 2, 3
DEV, GARDEN = 1, 2
"""The conversations of the rooms."""
WAIT = Refused(ErrorCode.SLOW_MODE, 30.0)

make_id = IdMaker()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with two slow rooms; alice owns them, bob and carol are members."""
    with contextlib.closing(SqliteStore(tmp_path / "q.db", clock=ManualClock())) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        for room in ("#dev", "#garden"):
            add_room(store, room, "alice", "bob", "carol", history=HistoryFrom.FULL)
            store.change_room(RoomChange(action="set", room=room, actor=ALICE, seconds=30))
        yield store


def say(store: SqliteStore, sender: int, room: int = DEV, body: str = "hello") -> Outcome:
    """Send a message to a room."""
    return store.append([NewMessage(sender, -room, make_id(), body)])[0][0]


def test_a_full_file_ends_and_begins_no_wait(store: SqliteStore) -> None:
    """A message that finds no space begins no wait, and the members who waited still wait."""
    assert isinstance(say(store, BOB), StoredMessage)
    ((pages,),) = store._db.read("PRAGMA page_count")
    store._db.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFullError):
        say(store, CAROL, body=secrets.token_hex(100_000))
    store._db.read("PRAGMA max_page_count = 1000000")
    assert say(store, BOB) == WAIT
    assert isinstance(say(store, CAROL), StoredMessage)
    assert say(store, CAROL) == WAIT


def test_a_wait_outlives_the_cached_conversation(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A room that leaves the cache of conversations keeps its waits."""
    monkeypatch.setattr("qscpd.store.sqlite.conversation_cache._CACHED_CONVERSATIONS", 1)
    assert isinstance(say(store, BOB), StoredMessage)
    assert isinstance(say(store, BOB, GARDEN), StoredMessage)
    assert say(store, BOB) == say(store, BOB, GARDEN) == WAIT


def test_the_writer_who_wrote_first_is_forgotten(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound of a room, the oldest time goes, and no other."""
    monkeypatch.setattr("qscpd.store.sqlite.slow_mode._WRITERS", 2)
    for account in (ALICE, BOB, ALICE, CAROL):
        assert isinstance(say(store, account), StoredMessage)
    assert say(store, CAROL) == WAIT
    assert isinstance(say(store, BOB), StoredMessage)


def test_the_room_that_was_quiet_longest_is_forgotten(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound of rooms, the one without a message for the longest time goes."""
    monkeypatch.setattr("qscpd.store.sqlite.slow_mode._ROOMS", 1)
    assert isinstance(say(store, BOB, DEV), StoredMessage)
    assert isinstance(say(store, BOB, GARDEN), StoredMessage)
    assert say(store, BOB, GARDEN) == WAIT
    assert isinstance(say(store, BOB, DEV), StoredMessage)
