"""A damaged store: what can't be read is reported and left out, and everything else goes on."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom
from qscpd.domain.model import Damage, Keep, MessageMeta, NewMessage, Outcome, Refused, StoredMessage
from qscpd.domain.rooms import RoomChange
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamageLog
from qscpd.store.sqlite import chunks, opening
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.snapshot import inspect_file
from qscpd.store.sqlite.store import SqliteStore
from tests.support.damage import (
    CONTENT_DAMAGE,
    chunk_places,
    corrupt_overflow,
    damage_chunk,
    damaged_by,
    delete_chunk,
)
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import TickingClock, add_room, close_killed, housekeep, kill, rows_of

ALICE, BOB, CAROL = 1, 2, 3
PAIR, ROOM = 1, 2
NEWEST = (2**53, 0, 0)

make_id = IdMaker()


class Made(NamedTuple):
    """A closed store, and where its chunks are."""

    path: Path
    chunks: dict[int, list[tuple[int, int, int]]]
    """Place, first and last seq of each, by conversation."""


def recipient(conversation: int) -> int:
    """Return whom bob writes to."""
    return ALICE if conversation == PAIR else -ROOM


def text(conversation: int, seq: int) -> str:
    """Return the text of a message."""
    return f"word c{conversation}s{seq}"


def message(conversation: int, seq: int) -> NewMessage:
    """Return a message of bob that gets a seq."""
    return NewMessage(BOB, recipient(conversation), make_id(), text(conversation, seq))


def make(path: Path, sizes: Iterable[int]) -> Made:
    """Make a store with a pair and a room, both with chunks of some sizes."""
    with mock.patch.object(chunks, "GROWING", 0), contextlib.closing(SqliteStore(path)) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        first = store.append([NewMessage(BOB, ALICE, make_id(), text(PAIR, 1))])[0][0]
        assert isinstance(first, StoredMessage)
        housekeep(store)
        add_room(store, "#dev", "bob", "alice", history=HistoryFrom.FULL)
        room_seq, pair_seq = 0, 1
        for size in sizes:
            store.append(
                [NewMessage(BOB, ALICE, make_id(), text(PAIR, pair_seq + n)) for n in range(1, size + 1)]
            )
            store.append(
                [NewMessage(BOB, -ROOM, make_id(), text(ROOM, room_seq + n)) for n in range(1, size + 1)]
            )
            housekeep(store)
            pair_seq, room_seq = pair_seq + size, room_seq + size
    return Made(path, {each: chunk_places(path, each) for each in (PAIR, ROOM)})


def joined(ranges: Iterable[tuple[int, int]]) -> list[Damage]:
    """Return ranges by seq, with those that touch joined."""
    found: list[Damage] = []
    for first, last in sorted(ranges):
        if found and found[-1].last + 1 == first:
            found[-1] = Damage(found[-1].first, last)
        else:
            found.append(Damage(first, last))
    return found


Shown = tuple[list[tuple[int, str | None]], list[Damage]]
"""Seqs and texts, and what can't be read."""


def replayed(store: SqliteStore | SqliteReader, conversation: int, last: int) -> Shown:
    """Return what a device gets, page by page."""
    found: list[tuple[int, str | None]] = []
    gaps: list[Damage] = []
    after = 0
    while after < last:
        page = store.replay_page(ALICE, conversation, after=after, limit=3, max_bytes=10**6)
        assert page is not None
        found += [(row.seq, row.body) for row in page.messages]
        gaps += page.damage
        end = max([each.last for each in page.damage] + [row.seq for row in page.messages])
        assert end > after
        after = end
    return found, joined(gaps)


def paged(store: SqliteStore | SqliteReader, conversation: int, limit: int, *, newer: bool) -> Shown:
    """Return all pages of history."""
    found: list[tuple[int, str | None]] = []
    gaps: list[Damage] = []
    cursor: int | None = 0 if newer else None
    while True:
        page = store.history_page(
            ALICE,
            conversation,
            before=None if newer else cursor,
            after=cursor if newer else None,
            limit=limit,
            max_bytes=10**6,
        )
        assert page is not None
        rows = [(row.seq, row.body) for row in page.messages]
        found = found + rows if newer else rows + found
        gaps += page.damage
        cursor = page.cursor
        if cursor is None:
            return found, joined(gaps)


def check(store: SqliteStore | SqliteReader, conversation: int, damaged: list[Damage], last: int) -> None:
    """Check everything that alice can read of a conversation with texts up to a seq."""
    bad = {seq for each in damaged for seq in range(each.first, each.last + 1)}
    good = [(seq, text(conversation, seq)) for seq in range(1, last + 1) if seq not in bad]

    assert replayed(store, conversation, last) == (good, damaged)
    for limit in (2, 100):
        assert paged(store, conversation, limit, newer=False) == (good, damaged)
        assert paged(store, conversation, limit, newer=True) == (good, damaged)

    assert [(row.seq, row.body) for row in store.export_room(conversation)] == good
    exported = [each.message for each in store.export(ALICE) if each.conversation == conversation]
    assert [(row.seq, row.body) for row in exported] == good
    matches = search_page(store, ALICE, ["word"], conversation=conversation, before=NEWEST, limit=1000).found
    assert sorted((each.message.seq, each.message.body) for each in matches) == good
    (summary,) = store.conversation_list(ALICE, conversation - 1, 1).conversations
    assert summary.unread == len(good)


def apply_damage(made: Made, plan: dict[tuple[int, int], str]) -> dict[int, list[Damage]]:
    """Damage chunks by conversation and index; return the damaged ranges."""
    ranges: dict[int, list[tuple[int, int]]] = {PAIR: [], ROOM: []}
    for (conversation, index), kind in plan.items():
        place, first, last = made.chunks[conversation][index]
        if kind == "a row that is missing":
            delete_chunk(made.path, place)
            ranges[conversation].append((first, last))
        else:
            damage_chunk(made.path, place, kind)
            ranges[conversation] += damaged_by(kind, first, last)
    return {conversation: joined(each) for conversation, each in ranges.items()}


KINDS = (*CONTENT_DAMAGE, "a row that is missing")

SIZES = (3, 1, 2, 4, 1)
LAST = {PAIR: 1 + sum(SIZES), ROOM: sum(SIZES)}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """An undamaged store."""
    return make(tmp_path_factory.mktemp("intact") / "q.db", SIZES)


@pytest.fixture
def made(intact: Made, tmp_path: Path) -> Made:
    """A store to damage."""
    path = tmp_path / "q.db"
    shutil.copy(intact.path, path)
    return Made(path, intact.chunks)


def places(log: list[str]) -> DamageLog:
    """Return a log that lists places."""
    return DamageLog(lambda place: log.append(str(place)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", [0, 2, -1], ids=["first", "middle", "last"])
def test_damage_of_any_kind_at_any_place(made: Made, kind: str, index: int) -> None:
    """What is damaged is left out by each read, and reported once; the seqs of all others are right."""
    damaged = apply_damage(made, {(PAIR, index): kind, (ROOM, index): kind})
    log: list[str] = []
    on_damage = places(log)
    with contextlib.closing(SqliteStore(made.path, on_damage=on_damage)) as store:
        with contextlib.closing(SqliteReader(made.path, on_damage)) as reader:
            for conversation in (PAIR, ROOM):
                check(store, conversation, damaged[conversation], LAST[conversation])
                check(reader, conversation, damaged[conversation], LAST[conversation])
        housekeep(store)
    assert sorted(line.partition(": ")[0] for line in log) == sorted(
        f"messages {first} to {last} of c{conversation}"
        for conversation in (PAIR, ROOM)
        for first, last in reported(made.chunks[conversation][index], kind)
    )


def reported(chunk: tuple[int, int, int], kind: str) -> list[tuple[int, int]]:
    """Return the ranges that are reported after damage to a chunk."""
    _, first, last = chunk
    return [(first, last)] if kind == "a row that is missing" else damaged_by(kind, first, last)


PLANS = st.dictionaries(
    st.tuples(st.sampled_from([PAIR, ROOM]), st.integers(0, len(SIZES) - 1)),
    # With too many entries, a chunk has messages at the places of damaged ones behind it.
    st.sampled_from([kind for kind in KINDS if kind != "too many entries"]),
)


@settings(deadline=None, max_examples=60)
@given(plan=PLANS, keep=st.integers(1, 8))
def test_any_damage_stops_nothing(
    intact: Made, tmp_path_factory: pytest.TempPathFactory, plan: dict[tuple[int, int], str], keep: int
) -> None:
    """After any damage, messages are stored and amended, and pruning and erasing come to an end."""
    path = tmp_path_factory.mktemp("any") / "q.db"
    shutil.copy(intact.path, path)
    made = Made(path, intact.chunks)
    damaged = apply_damage(made, plan)
    last = dict(LAST)
    with contextlib.closing(SqliteStore(path, edit_within_ms=10**12)) as store:
        for conversation in (PAIR, ROOM):
            for _ in range(3):
                (stored,), _ = store.append(
                    [
                        NewMessage(
                            BOB,
                            recipient(conversation),
                            make_id(),
                            text(conversation, last[conversation] + 1),
                        )
                    ]
                )
                assert isinstance(stored, StoredMessage)
                last[conversation] += 1
                assert stored.seq == last[conversation]
        for conversation in (PAIR, ROOM):
            check_replay(store, conversation, damaged[conversation], last[conversation])
        housekeep(store)
        for conversation in (PAIR, ROOM):
            check(store, conversation, damaged[conversation], last[conversation])
        kill(store)
        reopened = SqliteStore(path, edit_within_ms=10**12)
        with contextlib.closing(reopened):
            for conversation in (PAIR, ROOM):
                check(reopened, conversation, damaged[conversation], last[conversation])
                amend_all(reopened, conversation, damaged[conversation], LAST[conversation])
            housekeep(reopened)
            housekeep(reopened, Keep(messages=keep))
            for conversation in (PAIR, ROOM):
                history = reopened.history_page(ALICE, conversation, limit=100, max_bytes=10**6)
                assert history is not None
                assert history.conversation.first_seq == history.conversation.last_seq - keep + 1
            while reopened.housekeeping.erase_step(BOB):
                pass
            assert all(row.body is None for row in reopened.export_room(PAIR))
            assert all(row.body is None for row in reopened.export_room(ROOM))


def check_replay(store: SqliteStore, conversation: int, damaged: list[Damage], last: int) -> None:
    """Check what a new device gets."""
    page = store.replay_page(ALICE, conversation, after=0, limit=1000, max_bytes=10**6)
    assert page is not None
    bad = {seq for each in damaged for seq in range(each.first, each.last + 1)}
    assert [row.seq for row in page.messages] == [seq for seq in range(1, last + 1) if seq not in bad]
    assert list(page.damage) == damaged


def amend_all(store: SqliteStore, conversation: int, damaged: list[Damage], last: int) -> None:
    """Edit and react to each message: those that are damaged are unknown."""
    bad = {seq for each in damaged for seq in range(each.first, each.last + 1)}
    for seq in range(1, last + 1):
        for meta in (MessageMeta(kind="edit", target=seq), MessageMeta(kind="react", target=seq)):
            (outcome,), _ = store.append(
                [NewMessage(BOB, recipient(conversation), make_id(), "better", meta)]
            )
            assert (
                outcome == Refused(ErrorCode.UNKNOWN_MESSAGE)
                if seq in bad
                else isinstance(outcome, StoredMessage)
            )


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let damaged files be opened, as large ones are."""
    monkeypatch.setattr(opening, "_CHECKED_SIZE", 0)


LONG = "z" * 16_000


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("index", [0, 3, 6], ids=["first", "middle", "last"])
def test_a_damaged_page(tmp_path: Path, index: int) -> None:
    """A page that SQLite can't read takes only the messages that are in it."""
    path = tmp_path / "q.db"
    bodies = [f"word {n}" for n in range(1, 8)]
    with mock.patch.object(chunks, "GROWING", 0), contextlib.closing(SqliteStore(path)) as store:
        for name in ("alice", "bob"):
            store.add_account(name, "x")
        for n, body in enumerate(bodies):
            store.append([NewMessage(BOB, ALICE, make_id(), LONG if n == index else body)])
            housekeep(store)
    corrupt_overflow(path, b"z")
    log: list[str] = []
    on_damage = places(log)
    with contextlib.closing(SqliteStore(path, on_damage=on_damage)) as store:
        seqs = [seq for seq in range(1, 8) if seq != index + 1]
        damage = [Damage(index + 1, index + 1)]
        for _ in range(2):
            page = store.replay_page(ALICE, PAIR, after=0, limit=100, max_bytes=10**6)
            assert page is not None
            assert [row.seq for row in page.messages] == seqs
            assert page.damage == damage
            history = store.history_page(ALICE, PAIR, limit=100, max_bytes=10**6)
            assert history is not None
            assert [row.seq for row in history.messages] == seqs
            assert history.damage == damage
            (summary,) = store.conversation_list(ALICE, 0, 1).conversations
            assert summary.unread == len(seqs)
            (stored,), _ = store.append([NewMessage(BOB, ALICE, make_id(), "word again")])
            assert isinstance(stored, StoredMessage)
            seqs.append(stored.seq)
            housekeep(store)
        housekeep(store, Keep(messages=1))
        history = store.history_page(ALICE, PAIR, limit=100, max_bytes=10**6)
        assert history is not None
        assert [row.seq for row in history.messages] == [9]
        while store.housekeeping.erase_step(BOB):
            pass
    assert len(log) == len(set(log))
    assert any(f"messages {index + 1} to {index + 1} of c1: can't be read" in line for line in log)


@pytest.mark.usefixtures("unchecked")
def test_a_damaged_page_of_the_journal(tmp_path: Path) -> None:
    """Folding goes on behind a row of the journal that can't be read, or be deleted; it is reported once."""
    path = tmp_path / "q.db"
    store = SqliteStore(path)
    for name in ("alice", "bob"):
        store.add_account(name, "x")
    for body in ("word one", LONG, "word three"):
        store.append([NewMessage(BOB, ALICE, make_id(), body)])
    store._db.close()  # as by a kill, which folds nothing
    corrupt_overflow(path, b"z")
    log: list[str] = []
    on_damage = places(log)
    for seq in (4, 5):
        with (
            contextlib.closing(SqliteStore(path, on_damage=on_damage)) as store,
            contextlib.closing(SqliteReader(path, on_damage)) as reader,
        ):
            (stored,), _ = store.append([NewMessage(BOB, ALICE, make_id(), "word again")])
            assert isinstance(stored, StoredMessage)
            assert stored.seq == seq
            for _ in range(2):
                for each in (store, reader):
                    page = search_page(each, ALICE, ["word"], limit=100)
                    assert [found.message.seq for found in page.found] == [*range(seq, 2, -1), 1]
                    assert page.complete
                    replay = each.replay_page(ALICE, PAIR, after=0, limit=100, max_bytes=10**6)
                    assert replay is not None
                    assert [row.seq for row in replay.messages] == [1, *range(3, seq + 1)]
                    assert replay.damage == [Damage(2, 2)]
                housekeep(store)
            assert store._tail.count == 0
            with reader.snapshot():
                assert reader._history._tail.count == 0
    with contextlib.closing(SqliteStore(path, on_damage=on_damage)) as store:
        while store.housekeeping.erase_step(BOB):
            pass
        assert [row.body for row in store.export_room(PAIR)] == [None] * 4
    assert len(log) == len(set(log))
    assert {line.partition(": ")[0] for line in log} >= {
        "a row of the journal (id 2) can't be read",
        "messages 2 to 2 of c1",
    }


@pytest.mark.parametrize("kind", ["noise", "cut", "a wrong checksum"])
def test_a_damaged_row_of_the_journal(tmp_path: Path, kind: str) -> None:
    """A row whose content is damaged is missing from its conversations, and is deleted as any other."""
    path = tmp_path / "q.db"
    store = SqliteStore(path)
    for name in ("alice", "bob"):
        store.add_account(name, "x")
    for seq in range(1, 4):
        store.append([message(PAIR, seq), message(PAIR, 0)])
    store._db.close()
    execute(path, f"UPDATE journal SET batch = {DAMAGED_ROWS[kind]} WHERE id = 2")  # noqa: S608 - ours
    log: list[str] = []
    with contextlib.closing(SqliteStore(path, on_damage=places(log))) as store:
        for _ in range(2):
            assert [row.seq for row in store.export_room(PAIR)] == [1, 2, 5, 6]
            page = store.replay_page(ALICE, PAIR, after=0, limit=9, max_bytes=10**6)
            assert page is not None
            assert page.damage == [Damage(3, 4)]
            housekeep(store)
        assert store._db.read("SELECT count(*) FROM journal") == [(0,)]
    assert [line.partition(": ")[0] for line in log] == [
        "a row of the journal (id 2) can't be read",
        "messages 3 to 4 of c1",
    ]


def test_a_damaged_newest_row_renews_the_epoch(tmp_path: Path) -> None:
    """The seqs of a newest row are given again, so clients have to load their history again, once."""
    path = tmp_path / "q.db"
    store = SqliteStore(path)
    for name in ("alice", "bob"):
        store.add_account(name, "x")
    for seq in range(1, 4):
        store.append([message(PAIR, seq)])
    epochs = {store.epoch()}
    store._db.close()
    execute(path, "UPDATE journal SET batch = randomblob(99) WHERE id = 3")
    killed: list[SqliteStore] = []
    for count in (3, 4, 5):
        store = SqliteStore(path, on_damage=places([]))
        # The epoch is still another one in the file than in its journal: that must not look like a lost one.
        assert not store.findings
        store.append([message(PAIR, 0)])
        assert len(rows_of(store, PAIR)) == count
        epochs.add(store.epoch())
        if count == 4:
            housekeep(store)
        killed.append(store)
        kill(store)
    for each in killed:
        close_killed(each)
    assert len(epochs) == 3


@pytest.mark.parametrize("folded", ["zz", "", "-1", "99", "9" * 30, None])
def test_a_damaged_end_of_what_is_folded(tmp_path: Path, folded: str | None) -> None:
    """No row counts as folded that is not, now or later; the value is repaired and reported once."""
    path = tmp_path / "q.db"
    store = SqliteStore(path)
    for name in ("alice", "bob"):
        store.add_account(name, "x")
    for seq in range(1, 4):
        store.append([message(PAIR, seq)])
    epochs = {store.epoch()}
    store._db.close()  # as by a kill, which folds nothing
    execute(path, "DELETE FROM meta WHERE key = 'folded'")
    if folded is not None:
        execute(path, f"INSERT INTO meta VALUES ('folded', '{folded}')")  # noqa: S608 - ours
    with contextlib.closing(SqliteReader(path)) as reader:
        assert [row.seq for row in reader.export_room(PAIR)] == [1, 2, 3]
    log: list[str] = []
    for last in (4, 5, 6):
        store = SqliteStore(path, on_damage=places(log))
        store.append([message(PAIR, 0)])
        with contextlib.closing(SqliteReader(path)) as reader:
            for each in (store, reader):
                assert [row.seq for row in each.export_room(PAIR)] == [*range(1, last + 1)]
            if last == 5:  # folded once, killed otherwise
                housekeep(store)
                assert [row.seq for row in reader.export_room(PAIR)] == [*range(1, last + 1)]
        epochs.add(store.epoch())
        store._db.close()
    assert [line.partition(" can't")[0] for line in log] == ["the journal's last folded row"]
    assert len(epochs) == 2


def test_a_damaged_number_of_the_newest_row(tmp_path: Path) -> None:
    """Rows that get numbers below those of folded ones are read, once each."""
    path = tmp_path / "q.db"
    store = SqliteStore(path)
    for name in ("alice", "bob"):
        store.add_account(name, "x")
    for seq in range(1, 6):
        store.append([message(PAIR, seq)])
    store.close()
    execute(path, "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'journal'")
    for last in (6, 7):
        store = SqliteStore(path, on_damage=places([]))
        with contextlib.closing(SqliteReader(path)) as reader:
            store.append([message(PAIR, 0)])
            for _ in range(2):
                for each in (store, reader):
                    assert [row.seq for row in each.export_room(PAIR)] == [*range(1, last + 1)]
        store._db.close()


DAMAGED_ROWS = {
    "noise": "randomblob(99)",
    "cut": "substr(batch, 1, 20)",
    "a wrong checksum": "CAST(substr(batch, 1, length(batch) - 4) || X'00000000' AS BLOB)",
}


def test_a_damaged_amendment(made: Made) -> None:
    """A message whose amendment is damaged is not shown: it can be redacted. Others are, and are erased."""
    place, first, last = made.chunks[PAIR][4]
    log: list[str] = []
    with contextlib.closing(SqliteStore(made.path, edit_within_ms=10**12)) as store:
        store.append(
            [
                NewMessage(BOB, ALICE, make_id(), "", MessageMeta(kind="redact", target=first + 1)),
                NewMessage(BOB, ALICE, make_id(), "edited", MessageMeta(kind="edit", target=last)),
            ]
        )
        kill(store)
    execute(made.path, "UPDATE amendments SET change = X'00' WHERE place = ?", place + 1)
    with contextlib.closing(SqliteStore(made.path, on_damage=places(log))) as store:
        shown = [(seq, text(PAIR, seq)) for seq in range(1, LAST[PAIR] + 1) if seq not in (first + 1, last)]
        for _ in range(2):
            rows = [(row.seq, row.body) for row in store.export_room(PAIR) if not row.meta.kind]
            assert rows == sorted([*shown, (last, "edited")])
            found = search_page(store, ALICE, ["word"], conversation=PAIR, before=NEWEST, limit=1000).found
            assert sorted((each.message.seq, each.message.body) for each in found) == shown
            housekeep(store)
        assert store._db.read("SELECT place FROM amendments") == [(place + 1,)]
        while store.housekeeping.erase_step(BOB):
            pass
        assert store.housekeeping.erase_damaged(BOB) == 1
        assert {row.body for row in store.export_room(PAIR)} == {None}
        housekeep(store, Keep(messages=1))
        assert store._db.read("SELECT place FROM amendments") == []
    assert log == [f"messages {first + 1} to {first + 1} of c{PAIR}: its checksum is wrong"]


def execute(path: Path, sql: str, *values: object) -> None:
    """Change a closed store."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(sql, values)


def test_a_chunk_that_lost_a_message(made: Made) -> None:
    """Its checksum shows that the seqs of the others can be wrong: none is shown."""
    place, first, last = made.chunks[PAIR][1]
    with contextlib.closing(sqlite3.connect(made.path)) as db, db:
        (blob,) = db.execute("SELECT messages FROM chunks WHERE place = ?", (place,)).fetchone()
        packed = msgspec.msgpack.encode(msgspec.msgpack.decode(blob[: -chunks.CHECKSUM])[1:])
        new = packed + blob[-chunks.CHECKSUM :]
        db.execute("UPDATE chunks SET messages = ? WHERE place = ?", (new, place))
    with contextlib.closing(SqliteStore(made.path)) as store:
        check(store, PAIR, [Damage(first, last)], LAST[PAIR])


def test_a_chunk_at_two_places(made: Made) -> None:
    """A copy of a chunk at another place is not read; each message that fits its place is."""
    place, first, last = made.chunks[PAIR][4]  # four messages
    copy = "INSERT INTO chunks SELECT ?, messages FROM chunks WHERE place = ?"
    execute(made.path, copy, place + 2, place)
    with contextlib.closing(SqliteStore(made.path)) as store:
        check(store, PAIR, [], LAST[PAIR])
        assert first + 2 < last


def test_an_old_version_of_a_chunk(made: Made) -> None:
    """Of a chunk that reaches into the next one, as if it had not been divided, the next one's are shown."""
    place, first, last = made.chunks[PAIR][4]
    with contextlib.closing(sqlite3.connect(made.path)) as db, db:
        (blob,) = db.execute("SELECT messages FROM chunks WHERE place = ?", (place,)).fetchone()
        entries = msgspec.msgpack.decode(blob[: -chunks.CHECKSUM])
        old = [[*each[:3], "old"] for each in entries[2:]]
        db.execute(
            "UPDATE chunks SET messages = ? WHERE place = ?",
            (chunks.seal(place, chunks.pack(entries[:2] + old)), place),
        )
        new = chunks.seal(place + 2, chunks.pack(entries[2:]))
        db.execute("INSERT INTO chunks VALUES (?, ?)", (place + 2, new))
    with contextlib.closing(SqliteStore(made.path)) as store:
        check(store, PAIR, [], LAST[PAIR])
        assert first + 3 == last
        while store.housekeeping.erase_step(BOB):
            pass
        assert {row.body for row in store.export_room(PAIR)} == {None}
        assert len(list(store.export_room(PAIR))) == LAST[PAIR]


@pytest.mark.parametrize("seq", [2, 10_000, 2**31, 2**32 - 1])
def test_a_chunk_at_a_wrong_place(made: Made, seq: int) -> None:
    """A chunk whose place is damaged is not shown there, and no seq is given a second time."""
    place, first, last = made.chunks[PAIR][2]
    with contextlib.closing(sqlite3.connect(made.path)) as db, db:
        db.execute("DELETE FROM chunks WHERE place = ?", (PAIR << 32 | seq,))
        db.execute("UPDATE chunks SET place = ? WHERE place = ?", (PAIR << 32 | seq, place))
    taken = [(2, 4)] if seq == 2 else []  # the chunk that was there
    damaged = joined([*taken, (first, last)])
    with contextlib.closing(SqliteStore(made.path)) as store:
        check(store, PAIR, damaged, LAST[PAIR])
        (stored,), _ = store.append([NewMessage(BOB, ALICE, make_id(), "word")])
        assert isinstance(stored, StoredMessage)
        assert stored.seq == (10_001 if seq == 10_000 else LAST[PAIR] + 1)
        housekeep(store)
        page = store.replay_page(ALICE, PAIR, after=LAST[PAIR], limit=9, max_bytes=10**6)
        assert page is not None
        assert [row.seq for row in page.messages] == [stored.seq]


def test_what_is_missing_at_the_end_is_known_for_good(made: Made) -> None:
    """Messages behind what is missing are read also when no id of them is known any more."""
    place, first, last = made.chunks[PAIR][-1]
    delete_chunk(made.path, place)
    with contextlib.closing(SqliteStore(made.path)) as store:
        store.append([message(PAIR, LAST[PAIR] + 1)])
        housekeep(store)
    execute(made.path, "DELETE FROM id_runs")
    with contextlib.closing(SqliteStore(made.path)) as store:
        check(store, PAIR, [Damage(first, last)], LAST[PAIR] + 1)


def test_what_is_lost_while_the_store_is_open(made: Made) -> None:
    """A last message that goes missing under a running daemon does not take the next ones with it."""
    place, first, last = made.chunks[PAIR][-1]
    with contextlib.closing(SqliteStore(made.path)) as store:
        store.append([message(PAIR, LAST[PAIR] + 1)])
        housekeep(store)
        execute(made.path, "DELETE FROM chunks WHERE place BETWEEN ? AND ?", place, place + 100)
        store.append([message(PAIR, LAST[PAIR] + 2)])
        damage = [Damage(first, last + 1)]
        check_replay(store, PAIR, damage, LAST[PAIR] + 2)
        housekeep(store)
        check(store, PAIR, damage, LAST[PAIR] + 2)
    execute(made.path, "DELETE FROM id_runs")
    with contextlib.closing(SqliteStore(made.path)) as store:
        check(store, PAIR, damage, LAST[PAIR] + 2)


def test_an_edit_of_a_damaged_message(made: Made) -> None:
    """An edit whose text can't be read is damage, too; a reaction keeps the number that it had."""
    chunk, first, _ = made.chunks[PAIR][1]
    with contextlib.closing(SqliteStore(made.path, edit_within_ms=10**12)) as store:
        for meta in (MessageMeta(kind="edit", target=first), MessageMeta(kind="react", target=first)):
            store.append([NewMessage(BOB, ALICE, make_id(), "+1", meta)])
        housekeep(store)
    damage_chunk(made.path, chunk, "noise")
    with contextlib.closing(SqliteStore(made.path)) as store:
        page = store.replay_page(ALICE, PAIR, after=LAST[PAIR], limit=9, max_bytes=10**6)
        assert page is not None
        assert [(row.seq, row.meta.count) for row in page.messages] == [(LAST[PAIR] + 2, 1)]
        assert page.damage == [Damage(LAST[PAIR] + 1, LAST[PAIR] + 1)]


def test_a_damaged_message_that_is_sent_again_is_stored_again(made: Made) -> None:
    """Its id was in it. So a retry is a new message, as if it had not been stored; no text is lost."""
    with contextlib.closing(SqliteStore(made.path)) as store:
        sent = [message(PAIR, LAST[PAIR] + 1), message(PAIR, LAST[PAIR] + 2)]
        stored, _ = store.append(sent)
        housekeep(store)
    damage_chunk(made.path, chunk_places(made.path, PAIR)[-1][0], "a text too long")  # the last message only
    with contextlib.closing(SqliteStore(made.path)) as store:
        assert store.known(sent) == [again(stored[0]), None]
        outcomes, _ = store.append(sent)
        assert outcomes[0] == again(stored[0])
        assert isinstance(outcomes[1], StoredMessage)
        assert (outcomes[1].new, outcomes[1].seq) == (True, LAST[PAIR] + 3)
        housekeep(store)
        assert store.known(sent) == [again(each) for each in outcomes]


def test_the_id_of_a_damaged_message_that_is_an_exception_stays_known(made: Made) -> None:
    """A message whose id did not rise has a row for it."""
    with contextlib.closing(SqliteStore(made.path)) as store:
        newest, retried = message(PAIR, LAST[PAIR] + 1), message(PAIR, LAST[PAIR] + 2)
        late = msgspec.structs.replace(retried, id="0" * 31 + "1")
        _, stored = store.append([newest, late])[0]
        housekeep(store)
    damage_chunk(made.path, chunk_places(made.path, PAIR)[-1][0], "noise")
    with contextlib.closing(SqliteStore(made.path)) as store:
        assert store.append([late])[0] == [again(stored)]
        assert store.known([late]) == [again(stored)]


@pytest.mark.parametrize("change", ["X'00'", "X'91930101'", "X'c1'", "X'9193cfffffffffffffffff0101'"])
def test_a_damaged_run_of_ids(made: Made, change: str) -> None:
    """With a run that can't be read its ids are new; it is reported once, and deleted by the next sweep."""
    execute(made.path, f"UPDATE id_runs SET places = {change}")  # noqa: S608 - ours
    log: list[str] = []
    with contextlib.closing(SqliteStore(made.path, on_damage=places(log))) as store:
        (account, first), *_ = store._db.read("SELECT account, hex(first_id) FROM id_runs")
        sent = NewMessage(account, ALICE, first.lower(), text(PAIR, LAST[PAIR] + 1))
        (stored,), _ = store.append([sent])
        assert isinstance(stored, StoredMessage)
        assert stored.seq == LAST[PAIR] + 1
        housekeep(store)
        assert store.append([sent])[0] == [again(stored)]
        check(store, PAIR, [], LAST[PAIR] + 1)
        assert (bytes.fromhex(change[2:-1]),) not in store._db.read("SELECT places FROM id_runs")
    assert len(log) == len(set(log)) >= 1


def again(outcome: Outcome) -> StoredMessage:
    """Return the outcome of a retry."""
    assert isinstance(outcome, StoredMessage)
    return msgspec.structs.replace(outcome, new=False)


def test_a_copy_of_a_damaged_store_is_inspected(made: Made) -> None:
    """Inspecting counts what can be read, and reports what can't."""
    damaged = apply_damage(made, {(PAIR, 2): "noise", (ROOM, -1): "a row that is missing"})
    log: list[str] = []
    contents = inspect_file(made.path, places(log))
    lost = sum(each.last - each.first + 1 for ranges in damaged.values() for each in ranges)
    assert (contents.damaged, contents.messages) == (2, sum(LAST.values()) - lost)
    assert len(log) == 2


def test_erasing_reports_what_it_could_not_look_into(made: Made) -> None:
    """After erasing, the store says how many damaged places may have texts of the account, once."""
    apply_damage(made, {(PAIR, 2): "noise", (ROOM, 0): "noise"})
    with contextlib.closing(SqliteStore(made.path)) as store:
        while store.housekeeping.erase_step(BOB):
            pass
        assert store.housekeeping.erase_damaged(BOB) == 2
        assert store.housekeeping.erase_damaged(BOB) == 0


def test_a_deleted_room_with_damage_goes_to_the_end(made: Made) -> None:
    """Pruning a deleted room removes damaged messages, and does not wait for missing ones."""
    apply_damage(made, {(ROOM, 1): "noise", (ROOM, -1): "a row that is missing"})
    with contextlib.closing(SqliteStore(made.path)) as store:
        store.change_room(RoomChange(action="delete", room="#dev", actor=None))
        housekeep(store)
        assert store._db.read("SELECT count(*) FROM chunks WHERE place >> 32 = ?", ROOM) == [(0,)]


def test_pruning_by_age(made: Made) -> None:
    """A damaged chunk is pruned with the next readable message, and stays before one that is kept."""
    damaged = apply_damage(made, {(PAIR, 0): "noise", (PAIR, 1): "noise", (PAIR, 5): "noise"})
    clock = TickingClock()
    clock.ms = 10**14
    with contextlib.closing(SqliteStore(made.path, clock=clock)) as store:
        store.housekeeping.confirm_clock()
        store.append([message(PAIR, LAST[PAIR] + 1)])
        housekeep(store, Keep(age_ms=1_000_000))
        history = store.history_page(ALICE, PAIR, limit=9, max_bytes=10**6)
        assert history is not None
        assert [row.seq for row in history.messages] == [LAST[PAIR] + 1]
        assert history.conversation.first_seq == made.chunks[PAIR][5][1]
        assert history.damage == damaged[PAIR][1:]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE words_data SET block = X'00' WHERE id = 10",  # its structure
        "UPDATE words_data SET block = X'ffffffffffffffff' WHERE id = 10",
        "UPDATE words_data SET block = X'ff' WHERE id > 10",
        "DELETE FROM words_data",
    ],
)
def test_a_damaged_search_index_stops_nothing_else(made: Made, change: str) -> None:
    """With a damaged search index messages are stored and pruned; only searching fails or finds nothing."""
    execute(made.path, change)
    log: list[str] = []
    with contextlib.closing(SqliteStore(made.path, on_damage=places(log))) as store:
        (stored,), _ = store.append([message(PAIR, LAST[PAIR] + 1)])
        assert isinstance(stored, StoredMessage)
        housekeep(store, Keep(messages=2))
        housekeep(store, Keep(messages=2))
        history = store.history_page(ALICE, PAIR, limit=9, max_bytes=10**6)
        assert history is not None
        assert [row.seq for row in history.messages] == [LAST[PAIR], LAST[PAIR] + 1]
        with contextlib.suppress(StoreDamagedError):
            assert not search_page(store, ALICE, ["word"], limit=9).found
        while store.housekeeping.erase_step(BOB):
            pass
    assert len(log) == len(set(log))
