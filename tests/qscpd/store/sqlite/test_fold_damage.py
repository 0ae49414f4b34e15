"""Folding around damage: everything else is folded, readable and can be added to; each place is reported."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from qscpd.domain.model import Keep, MessageMeta, NewMessage, StoredMessage
from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, DamageLog
from qscpd.store.sqlite import fold, piece_queue
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.searches import search_page
from tests.support.stores import close_killed, kill, rows_of

ALICE, BOB, CAROL = 1, 2, 3
PAIR, OTHER = 1, 2
make_id = IdMaker()


class Fixture:
    """A store that is killed, damaged and opened again.

    Attributes:
        told: Damaged places that were reported.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[DamagedPlace] = []
        self.log = DamageLog(self.told.append)
        self.store = self.open()
        for name in ("alice", "bob", "carol"):
            self.store.add_account(name, "x")

    def open(self) -> SqliteStore:
        """Open the store."""
        return SqliteStore(self.path, edit_within_ms=3_600_000, on_damage=self.log)

    def say(self, *texts: str, to: int = BOB) -> list[NewMessage]:
        """Send messages of alice in one commit."""
        messages = [NewMessage(ALICE, to, make_id(), text) for text in texts]
        outcomes, _ = self.store.append(messages)
        assert all(isinstance(each, StoredMessage) and each.new for each in outcomes)
        return messages

    def amend(self, seq: int, kind: str = "redact", text: str = "") -> None:
        """Amend a message of alice to bob."""
        meta = MessageMeta(kind=kind, target=seq)  # type: ignore[arg-type]
        outcomes, _ = self.store.append([NewMessage(ALICE, BOB, make_id(), text, meta)])
        assert isinstance(outcomes[0], StoredMessage)

    def damage(self, table: str, column: str, where: str = "TRUE") -> None:
        """Kill the store, damage the beginning of some values in its file, and open it again."""
        kill(self.store)
        close_killed(self.store)
        with contextlib.closing(sqlite3.connect(self.path)) as db, db:
            blob = f"CAST(zeroblob(4) || substr({column}, 5) AS BLOB)"
            assert db.execute(f"UPDATE {table} SET {column} = {blob} WHERE {where}").rowcount  # noqa: S608
        self.store = self.open()

    def fold(self) -> None:
        """Fold everything that can be folded, in a bounded number of steps."""
        self.store._fold.request()
        for _ in range(300):
            if not self.store.housekeeping.step(Keep()):
                return
        pytest.fail("housekeeping does not end")

    def shown(self, conversation: int = PAIR) -> dict[int, str | None]:
        """Return the texts of a conversation by seq, as the store and a reader have them."""
        found = {row.seq: row.body for row in rows_of(self.store, conversation) if not row.meta.kind}
        with contextlib.closing(SqliteReader(self.path, self.log)) as reader:
            assert found == {row.seq: row.body for row in rows_of(reader, conversation) if not row.meta.kind}
        return found

    def search(self, word: str) -> list[int]:
        """Return the seqs of messages with a word."""
        return [each.message.seq for each in search_page(self.store, ALICE, [word], limit=10).found]


@pytest.fixture
def damaged() -> Iterator[Fixture]:
    """A store in memory."""
    with memory_folder() as folder:
        fixture = Fixture(Path(folder) / "q.db")
        try:
            yield fixture
        finally:
            fixture.store.close()


def test_a_row_of_the_journal(damaged: Fixture) -> None:
    """Its messages are lost, and no others."""
    damaged.say("one")
    damaged.say("two", "three")
    damaged.say("four")
    damaged.say("beside", to=CAROL)
    damaged.damage("journal", "batch", "id = 2")
    assert damaged.shown() == {1: "one", 4: "four"}
    damaged.fold()
    damaged.say("five")
    damaged.fold()
    assert damaged.shown() == {1: "one", 4: "four", 5: "five"}
    assert damaged.shown(OTHER) == {1: "beside"}
    assert damaged.search("five") == [5]
    assert damaged.store._db.read("SELECT count(*) FROM journal") == [(0,)]
    assert len(damaged.told) == 2  # the row, and the gap


@pytest.mark.parametrize("folded", [True, False])
def test_an_amendment(damaged: Fixture, folded: bool) -> None:
    """Its message is not shown, because it can be redacted; others are, and are folded and found."""
    damaged.say("one", "two", "three")
    if folded:
        damaged.fold()
    damaged.amend(2)
    damaged.amend(3, "edit", "changed")
    damaged.damage("amendments", "change", "place & 0xffffffff = 2")
    assert damaged.shown() == {1: "one", 3: "changed"}
    damaged.fold()
    damaged.say("six")
    damaged.fold()
    assert damaged.shown() == {1: "one", 3: "changed", 6: "six"}
    assert (damaged.search("two"), damaged.search("changed"), damaged.search("six")) == ([], [3], [6])
    page = damaged.store.history_page(ALICE, PAIR, limit=10, max_bytes=10**6)
    assert page is not None
    assert [(each.first, each.last) for each in page.damage] == [(2, 2)]
    assert damaged.store._db.read("SELECT count(*) FROM journal") == [(0,)]
    assert len(damaged.told) == 1


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_an_amendment_at_any_place_of_a_page(damaged: Fixture, seq: int) -> None:
    """The gap has the one message, in both directions."""
    damaged.say("one", "two", "three")
    damaged.amend(seq)
    damaged.damage("amendments", "change")
    for after in (None, 0):
        page = damaged.store.history_page(ALICE, PAIR, after=after, limit=10, max_bytes=10**6)
        assert page is not None
        assert [row.seq for row in page.messages] == [each for each in (1, 2, 3) if each != seq]
        assert [(each.first, each.last) for each in page.damage] == [(seq, seq)]


def test_a_chunk_that_would_grow(damaged: Fixture) -> None:
    """New messages go into a chunk of their own."""
    damaged.say("one", "two")
    damaged.say("beside", to=CAROL)
    damaged.fold()
    damaged.damage("chunks", "messages", "place >> 32 = 1")
    damaged.say("three")
    damaged.fold()
    damaged.say("four")
    damaged.fold()
    assert damaged.shown() == {3: "three", 4: "four"}
    assert damaged.shown(OTHER) == {1: "beside"}
    assert len(damaged.told) == 1


@pytest.mark.parametrize("which", ["id = 10", "id > 10"])
def test_the_search_index(damaged: Fixture, which: str) -> None:
    """Messages are folded without their words."""
    for number in range(3):
        damaged.say(f"word{number} often", to=BOB if number != 1 else CAROL)
        damaged.fold()
    damaged.damage("words_data", "block", which)
    damaged.say("new often")
    damaged.fold()
    damaged.fold()
    assert damaged.shown() == {1: "word0 often", 2: "word2 often", 3: "new often"}
    assert damaged.store._db.read("SELECT count(*) FROM journal") == [(0,)]
    assert len(damaged.told) == len({str(each) for each in damaged.told})


def test_a_run_of_ids(damaged: Fixture) -> None:
    """It is reported when an id is looked up in it; ids that rise need no run."""
    (message,) = damaged.say("one")
    damaged.fold()
    damaged.damage("id_runs", "places")
    damaged.say("two")
    damaged.fold()
    assert damaged.shown() == {1: "one", 2: "two"}
    damaged.store.append([message])
    assert [str(each) for each in damaged.told if "a run of ids of account 1" in str(each)]
    damaged.store._ids._next_sweep_ms = 0
    damaged.fold()
    damaged.say("three")
    damaged.fold()
    assert len(damaged.told) == 1


def _break_chunks(path: Path) -> Callable[[], None]:
    """Damage the page that has all chunks; return a function that mends it."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'chunks'").fetchone()
    content = path.read_bytes()

    def write(flags: bytes) -> None:
        with path.open("r+b") as file:
            file.seek((root - 1) * 4096)
            file.write(flags)

    write(b"\xff")
    return lambda: write(content[(root - 1) * 4096 :][:1])


def test_a_page_that_nothing_can_be_folded_into(damaged: Fixture) -> None:
    """Messages stay in the journal, in order, and nothing waits for a fold that can't be done."""
    damaged.say("one")
    damaged.say("beside", to=CAROL)
    damaged.fold()
    expected = {number: f"text{number}" for number in range(2, 10)}
    for text in expected.values():
        damaged.say(text)
    damaged.store._db.run("PRAGMA shrink_memory")
    mend = _break_chunks(damaged.path)
    with mock.patch.object(fold, "DUE_MESSAGES", 3), mock.patch.object(piece_queue, "_STEP_MESSAGES", 2):
        for _ in range(3):
            damaged.fold()
            assert damaged.shown() == expected
            # Nobody knows which seqs were given, so no message is stored. It is refused at once.
            with pytest.raises(StoreDamagedError):
                damaged.say("refused")
    mend()
    damaged.store._db.run("PRAGMA shrink_memory")
    damaged.say("ten")
    damaged.fold()
    assert damaged.shown() == {1: "one", **expected, 10: "ten"}
    assert damaged.shown(OTHER) == {1: "beside"}
    assert damaged.search("text5") == [5]
    assert damaged.store._db.read("SELECT count(*) FROM journal") == [(0,)]
