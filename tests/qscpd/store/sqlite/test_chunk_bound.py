"""The bound of chunks in SQLite; larger ones of earlier versions are divided when they are rewritten."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal
from unittest import mock

import msgspec
import pytest

from qscpd.domain.model import (
    Keep,
    Mark,
    MessageMeta,
    MessageRow,
    NewMessage,
    Outcome,
    PositionKind,
    Refused,
    StoredMessage,
)
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import SqliteFactory, append_in_turns, housekeep, rows_of

ALICE, BOB, CAROL = 1, 2, 3

PAIR = 1
"""The conversation of alice and bob."""

Kind = Literal["edit", "redact", "react"]

make_id = IdMaker()


OLD = 100
"""Messages of the large chunk, numbered from 1 in their text."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store of alice, bob and carol."""
    with contextlib.closing(SqliteFactory().open(tmp_path, edit_within_ms=2**40)) as opened:
        assert isinstance(opened, SqliteStore)
        for name in ("alice", "bob", "carol"):
            opened.add_account(name, "x")
        yield opened


def text(number: int) -> str:
    """Return the text of a message: a kibibyte with a word of its own."""
    return f"word{number} ".ljust(1024, "\U0001f600")


def message(number: int, sender: int = ALICE) -> NewMessage:
    """Return a message between alice and bob."""
    return NewMessage(sender, ALICE + BOB - sender, make_id(), text(number))


def amendment(kind: Kind, target: int, body: str = "", *, sender: int = ALICE) -> NewMessage:
    """Return an amendment of a message between alice and bob."""
    return NewMessage(sender, ALICE + BOB - sender, make_id(), body, MessageMeta(kind=kind, target=target))


def sizes(store: SqliteStore) -> list[int]:
    """Return the sizes of the messages in all chunks, by place."""
    rows = store._db.read("SELECT length(messages) FROM chunks ORDER BY place")
    return [row[0] - chunks.CHECKSUM for row in rows]


def fill(store: SqliteStore) -> list[NewMessage]:
    """Store a chunk of an earlier version, which had no bound in bytes, and one of this version."""
    sent = [message(number, ALICE if number % 3 else BOB) for number in range(1, OLD + 1)]
    with mock.patch.object(chunks, "BOUND", 2**40):
        store.append(sent)
        housekeep(store)
    store.append([message(OLD + 1)])
    housekeep(store)
    assert len(sizes(store)) == 2
    assert sizes(store)[0] > 4 * chunks.BOUND
    return sent


def test_a_commit_is_stored_in_chunks_within_the_bound(store: SqliteStore) -> None:
    """The bound is one of bytes of UTF-8; only a single message has a chunk of its own that can be larger."""
    body = "\U0001f600" * 4096
    messages = [NewMessage(ALICE, BOB, make_id(), body) for _ in range(40)]
    outcomes, _ = store.append([*messages, *(message(number) for number in range(200))])
    assert [each.seq for each in outcomes if isinstance(each, StoredMessage)] == [*range(1, 241)]
    for (batch,) in store._db.read("SELECT batch FROM journal"):
        parts = msgspec.msgpack.decode(batch[: -chunks.CHECKSUM])
        assert len(parts) > 1
        assert max(len(packed) for *_, packed in parts) <= chunks.BOUND
    assert [row.seq for row in rows_of(store, PAIR)] == [*range(1, 241)]
    housekeep(store)
    assert max(sizes(store)) <= chunks.BOUND
    assert [row.seq for row in rows_of(store, PAIR)] == [*range(1, 241)]
    before = len(sizes(store))
    with mock.patch.object(chunks, "BOUND", 1000):
        store.append([message(1), message(2)])
        housekeep(store)
    assert len(sizes(store)) == before + 2
    assert [row.body for row in rows_of(store, PAIR)][-2:] == [text(1), text(2)]


def edit(store: SqliteStore) -> None:
    """Edit a message in the middle."""
    store.append([amendment("edit", 50, "word50 edited")])
    housekeep(store)


def redact(store: SqliteStore) -> None:
    """Redact the first message."""
    store.append([amendment("redact", 1)])
    housekeep(store)


def react(store: SqliteStore) -> None:
    """React to the last message."""
    store.append([amendment("react", OLD, "+1")])
    housekeep(store)


def prune(store: SqliteStore) -> None:
    """Remove the first ten messages."""
    housekeep(store, Keep(messages=OLD + 1 - 10))


def erase(store: SqliteStore) -> None:
    """Erase what alice wrote."""
    store.delete_account("alice")
    while store.housekeeping.erase_step(ALICE):
        pass


def plain(rows: Sequence[MessageRow]) -> dict[int, tuple[str, str | None]]:
    """Return id and text of messages that are no amendments, by seq."""
    return {row.seq: (row.id, row.body) for row in rows if not row.meta.kind}


@pytest.mark.parametrize("rewrite", [edit, redact, react, prune, erase])
def test_a_large_chunk_is_divided_when_it_is_rewritten(
    store: SqliteStore, tmp_path: Path, rewrite: Callable[[SqliteStore], None]
) -> None:
    """Whatever rewrites a chunk of an earlier version leaves its messages, ids and words as they were."""
    sent = fill(store)
    before = plain(rows_of(store, PAIR))
    rewrite(store)
    assert max(sizes(store)) <= chunks.BOUND
    assert store._db.read("SELECT count(*) FROM amendments") == [(0,)]
    after = plain(rows_of(store, PAIR))
    assert [*after] == [seq for seq in before if rewrite is not prune or seq > 10]
    changed = {seq for seq, row in after.items() if row != before[seq]}
    by_alice = {seq for seq in range(1, OLD + 2) if seq % 3 or seq > OLD}
    expected = {edit.__name__: {50}, redact.__name__: {1}, erase.__name__: by_alice}
    assert changed == expected.get(rewrite.__name__, set())
    check(store, sent, after)
    store.close()
    with contextlib.closing(SqliteFactory().open(tmp_path, edit_within_ms=2**40)) as again:
        assert isinstance(again, SqliteStore)
        assert plain(rows_of(again, PAIR)) == after
        check(again, sent, after)


def test_an_amendment_writes_no_chunk(store: SqliteStore) -> None:
    """Not even a large one, until it is folded; its messages, ids and words are as they are to be before."""
    sent = fill(store)
    before = sizes(store)
    store.append(
        [amendment("edit", 50, "word50 edited"), amendment("redact", 1), amendment("react", 99, "+1")]
    )
    assert sizes(store) == before
    assert store._db.read("SELECT count(*) FROM amendments") == [(3,)]
    check(store, sent, plain(rows_of(store, PAIR)))
    assert store._db.read("SELECT count(*) FROM amendments") == [(0,)]
    check(store, sent, plain(rows_of(store, PAIR)))


def check(store: SqliteStore, sent: Sequence[NewMessage], rows: dict[int, tuple[str, str | None]]) -> None:
    """Check that every id is known and every word is found once, before and after folding."""
    known = list(store.known(sent))
    assert [each.seq for each in known if isinstance(each, StoredMessage)] == [*range(1, OLD + 1)]
    check_words(store, rows)
    housekeep(store)
    assert list(store.known(sent)) == known
    check_words(store, rows)
    SqliteFactory().check(store)


def check_words(store: SqliteStore, rows: dict[int, tuple[str, str | None]]) -> None:
    """Check that every word is found once."""
    for seq, (_, body) in rows.items():
        words = [body.split()[0]] if body else [f"word{seq}"]
        page = search_page(store, BOB, words, conversation=PAIR, limit=9)
        assert [each.message.seq for each in page.found] == ([seq] if body else [])
        assert page.complete


def test_the_parts_of_a_chunk_are_found_by_every_look_up(store: SqliteStore) -> None:
    """Messages in the parts of a chunk can be amended again, and their pages have no hole."""
    fill(store)
    react(store)
    outcomes = append_in_turns(
        store, [amendment("react", seq, "ok", sender=BOB) for seq in range(1, OLD + 1)]
    )
    assert all(isinstance(each, StoredMessage) for each in outcomes)
    rows = rows_of(store, PAIR)
    assert [row.seq for row in rows] == [*range(1, 2 * OLD + 3)]
    assert all(row.meta.reactions["ok"] == (BOB,) for row in rows[:OLD])
    page = store.history_page(BOB, PAIR, before=OLD + 1, limit=OLD, max_bytes=2**30)
    assert page is not None
    assert [row.seq for row in page.messages] == [*range(1, OLD + 1)]


def test_a_chunk_that_grows_is_divided(store: SqliteStore) -> None:
    """Edits and reactions can make a chunk too large: it is divided, again and again."""
    with mock.patch.object(chunks, "BOUND", 2000):
        store.append([NewMessage(ALICE, BOB, make_id(), f"word{number}") for number in range(1, 21)])
        housekeep(store)
        assert len(sizes(store)) == 1
        for seq in range(1, 21):
            store.append([amendment("edit", seq, text(seq)[:300])])
            housekeep(store)
            assert max(sizes(store)) <= 2000
    assert [row.body for row in rows_of(store, PAIR)[:20]] == [text(seq)[:300] for seq in range(1, 21)]
    SqliteFactory().check(store)


def test_a_chunk_grows_up_to_a_size(store: SqliteStore) -> None:
    """Small commits that are folded one by one make few chunks; one that is large enough is not rewritten."""
    for number in range(30):
        store.append([message(number)])
        housekeep(store)
    assert all(chunks.GROWING - chunks.CHECKSUM <= size < 2 * chunks.GROWING for size in sizes(store)[:-1])
    assert [row.body for row in rows_of(store, PAIR)] == [text(number) for number in range(30)]


def test_a_chunk_over_a_damaged_copy(store: SqliteStore) -> None:
    """Where another chunk is at the place of a part, a large chunk is read and divided as any other."""
    fill(store)
    with store._db.transaction() as db:
        db.execute("INSERT INTO chunks VALUES (?, X'90')", (PAIR << 32 | 51,))
        db.execute(
            "INSERT INTO chunks SELECT ?, messages FROM chunks WHERE place & 0xffffffff = 1",
            (PAIR << 32 | 20,),
        )
    before = plain(rows_of(store, PAIR))
    assert [*before] == [*range(1, OLD + 2)]
    react(store)
    edit(store)
    after = plain(rows_of(store, PAIR))
    assert {seq for seq in after if after[seq] != before.get(seq)} == {50}
    assert len(after) == OLD + 1


# --- deadlines


def stored(outcomes: Sequence[Outcome]) -> list[int]:
    """Return the seqs of new messages."""
    assert not any(isinstance(each, Refused) for each in outcomes)
    return [each.seq for each in outcomes if isinstance(each, StoredMessage) and each.new]


def test_a_transaction_ends_before_what_takes_long(store: SqliteStore) -> None:
    """Behind the deadline only messages are stored that need no chunk and no conversation to be read."""
    store.append([message(1), message(2, BOB)])
    first = message(3)
    other = NewMessage(ALICE, CAROL, make_id(), "hi")
    for batch, seqs in (
        ([first, message(4, BOB), amendment("react", 1, "+1"), message(5)], [3, 4]),
        ([amendment("react", 1, "+1"), message(5), amendment("react", 2, "+1")], [5, 6]),
        ([message(6), other], [7]),
        ([message(7), first], [8]),
    ):
        assert stored(store.append(batch, deadline_s=0.0)[0]) == seqs


def test_what_a_deadline_leaves_is_new_in_the_next_transaction(store: SqliteStore) -> None:
    """A message that was left is stored once, also if it comes with another one under its id."""
    store.append([message(1), message(2)])
    reactions = [amendment("react", seq, "+1") for seq in (1, 2)]
    assert len(store.append(reactions, deadline_s=0.0)[0]) == 1
    assert list(store.known(reactions))[1] is None
    outcomes = append_in_turns(store, [reactions[1], reactions[1], reactions[0]])
    places = [(each.seq, each.new) for each in outcomes if isinstance(each, StoredMessage)]
    assert places == [(4, True), (4, False), (3, False)]


def test_marks_move_whatever_a_deadline_leaves(store: SqliteStore) -> None:
    """Positions move in the transaction that they are given to."""
    store.append([message(1), message(2)])
    reactions = [amendment("react", seq, "+1") for seq in (1, 2)]
    outcomes, moved = store.append(reactions, [Mark(BOB, PAIR, PositionKind.READ, 2)], deadline_s=0.0)
    assert len(outcomes) == 1
    assert [each.mark.seq for each in moved if each is not None] == [2]
