"""Upgraded stores, used: all that the program of the old schema could read is the same."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from qscpd.domain.model import Damage, Keep, MessageMeta, NewMessage, StoredMessage
from qscpd.store import inspect_copy, store_url
from qscpd.store.damage import DamagedPlace
from qscpd.store.sqlite.store import SqliteStore
from tests.support.old_stores import expected, make_old, query, read_stored
from tests.support.searches import search_page
from tests.support.stores import ManualClock

ACCOUNTS = range(1, 8)
FRANK = 6
"""The account that was erased."""

Json = Any
"""Values as JSON has them."""


class Upgraded(NamedTuple):
    """A store after its upgrade."""

    store: SqliteStore
    known: Json
    """What the old program read of it."""


@pytest.fixture(params=["schema4", "schema5"])
def upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Upgraded]:
    """A store of each schema that has rooms and everything else, upgraded."""
    known = expected(request.param)
    path = make_old(tmp_path / "q.db", request.param)
    with contextlib.closing(
        SqliteStore(path, clock=ManualClock(known["now_ms"]), edit_within_ms=60_000)
    ) as store:
        yield Upgraded(store, known)


def as_json(value: object) -> Json:
    """Return a value as the old program has written it down."""
    return msgspec.json.decode(msgspec.json.encode(value))


def messages_of(known: Json, conversation: int) -> list[Json]:
    """Return the readable messages of a conversation; a range of damage is two numbers."""
    return [each for each in known["items"][str(conversation)] if len(each) > 2]


def test_accounts_conversations_and_positions(upgraded: Upgraded) -> None:
    """Accounts are as they were; conversations have the same ends, positions and unread messages."""
    store, known = upgraded
    assert [[each.id, each.name, each.state] for each in store.accounts()] == known["accounts"]
    assert store.epoch() == known["epoch"]
    assert {str(each): as_json(store.conversations(each)) for each in ACCOUNTS} == known["conversations"]
    unread = {}
    for account in ACCOUNTS:
        page = store.conversation_list(account, 0, 100).conversations
        unread[str(account)] = [[each.conversation.id, each.unread, each.mentions] for each in page]
    assert unread == known["unread"]


def test_all_messages(upgraded: Upgraded) -> None:
    """Every message and every gap is where it was."""
    store, known = upgraded
    reader = store._chunk_reader
    for number, items in known["items"].items():
        with store.snapshot():
            scope = reader.scope(int(number))
            found = list(reader.after(scope, scope.first_seq - 1))
            backwards = list(reader.before(scope, scope.last_seq + 1, scope.first_seq))
        assert as_json(found) == items
        assert as_json(backwards)[::-1] == items


def test_exports(upgraded: Upgraded) -> None:
    """The exports of users and rooms have the same messages."""
    store, known = upgraded
    for account, lines in known["export"].items():
        assert as_json([[each.conversation, each.message] for each in store.export(int(account))]) == lines
    for room in store.rooms():
        assert as_json(list(store.export_room(room.id))) == messages_of(known, room.id)


def test_searches(upgraded: Upgraded) -> None:
    """Each search finds the same at once, and says that it is complete."""
    store, known = upgraded
    for key, hits in known["search"].items():
        account, words = key.split(" ", 1)
        page = search_page(store, int(account), words.split(), limit=100)
        assert sorted([each.conversation, each.message.seq] for each in page.found) == hits, key
        assert page.complete


def test_ids_are_known(upgraded: Upgraded) -> None:
    """A message that is sent again has the outcome that it had, as far back as the old program knew it."""
    store, known = upgraded
    messages, outcomes = [], []
    for (sender, recipient, number, body, meta), outcome in known["known"]:
        messages.append(NewMessage(sender, recipient, number, body, msgspec.convert(meta, MessageMeta)))
        outcomes.append(outcome)
    assert as_json(store.known(messages)) == outcomes
    for message, outcome in zip(messages, outcomes, strict=True):
        if outcome is not None:
            assert as_json(store.append([message])[0]) == [outcome]


def test_it_is_used_as_before(upgraded: Upgraded, tmp_path: Path) -> None:
    """Seqs continue, old messages are edited and pruned, and what was found is not found any more."""
    store, known = upgraded
    last = messages_of(known, 1)[-1][0]
    old = next(each for each in messages_of(known, 1) if each[4] == "fresh apple")
    number = f"{known['now_ms']:012x}7{0xFFF:03x}8{1:015x}"
    outcome = store.append(
        [NewMessage(2, 1, number, "an edited orange", MessageMeta(kind="edit", target=old[0]))]
    )[0][0]
    assert isinstance(outcome, StoredMessage)
    assert (outcome.seq, outcome.new) == (last + 1, True)
    while store.housekeeping.step(Keep()):
        pass
    assert [each.message.seq for each in search_page(store, 1, ["orange"], limit=5).found] == [old[0]]
    assert old[0] not in [each.message.seq for each in search_page(store, 1, ["apple"], limit=9).found]
    while store.housekeeping.step(Keep(messages=2)):
        pass
    assert [each.message.seq for each in search_page(store, 3, ["melon"], limit=9).found] == [35, 34]
    assert [row.seq for row in store.export_room(1)] == [last, last + 1]
    with contextlib.closing(SqliteStore(tmp_path / "again.db")):
        pass


@pytest.mark.parametrize("name", ["schema4", "schema5"])
def test_an_old_copy_is_inspected(tmp_path: Path, name: str) -> None:
    """Messages and damaged places of a backup with an old schema are counted as they are in the upgrade."""
    path = make_old(tmp_path / "q.db", name)
    contents = inspect_copy(store_url(path))
    items = [each for items in expected(name)["items"].values() for each in items]
    damaged = [each for each in items if len(each) == len(Damage._fields)]
    assert (contents.messages, contents.damaged) == (len(items) - len(damaged), len(damaged))
    assert (contents.schema, contents.epoch) == (int(name[-1]), expected(name)["epoch"])


@pytest.mark.parametrize("name", ["schema1", "schema2", "schema3_with_pair"])
def test_a_damaged_chunk_of_an_old_copy_is_counted(tmp_path: Path, name: str) -> None:
    """A chunk that can't be decoded is one damaged place, in each schema."""
    path = make_old(tmp_path / "q.db", name)
    whole = inspect_copy(store_url(path))
    assert whole.damaged == 0
    first = query(path, "SELECT min(id) FROM chunks")[0][0]
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE chunks SET messages = x'ff' WHERE id = ?", (first,))
        db.commit()
    damage: list[DamagedPlace] = []
    contents = inspect_copy(store_url(path), on_damage=damage.append)
    assert contents.damaged == len(damage) == 1
    assert (damage[0].conversation, damage[0].chunk) == (1, first)
    assert 0 < contents.messages < whole.messages
    SqliteStore(path).close()
    assert sum(map(len, read_stored(path).rows.values())) == contents.messages
