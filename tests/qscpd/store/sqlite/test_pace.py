"""The pace of readers: rests after each stretch of work, and a share for each read."""

import contextlib
from pathlib import Path

import pytest

from qscpd.domain.model import Mark, NewMessage, PositionKind
from qscpd.store.sqlite.pace import Pace, PacedDatabaseReader
from qscpd.store.sqlite.reader import SqliteReads
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker

ALICE, BOB = 1, 2
MUCH = 10**9

make_id = IdMaker()


class Work:
    """CPU time that a test spends, and the rests after it.

    Attributes:
        now: CPU time so far.
        rests: Length of each rest.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.rests: list[float] = []
        self.pace = Pace(1000, clock=lambda: self.now, rest=self.rests.append)

    def do(self, seconds: float, size: int = 1) -> None:
        """Work, and count it."""
        self.now += seconds
        self.pace.spend(size)


def test_a_reader_rests_as_long_as_it_worked() -> None:
    """After half a millisecond of work follows a rest of the same length; less work gathers."""
    work = Work()
    for seconds in (0.0002, 0.0002, 0.0002, 0.003, 0.0001):
        work.do(seconds)
    assert work.rests == pytest.approx([0.0006, 0.003])


def test_each_read_has_a_share() -> None:
    """A read is over when it has taken its share; the next one has a new share."""
    work = Work()
    over = []
    for size in (0, 999, 1):
        if not size:
            work.pace.begin()
        work.do(0, size)
        over.append(work.pace.is_over)
    work.pace.begin()
    assert [*over, work.pace.is_over] == [False, False, True, False]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store in which alice wrote 60 messages to bob, and as many accounts one each, in commits of one."""
    with contextlib.closing(SqliteStore(tmp_path / "q.db")) as store:
        for name in ("alice", "bob", *(f"u{n}" for n in range(60))):
            store.add_account(name, "x")
        for n in range(60):
            store.append([NewMessage(ALICE, BOB, make_id(), f"number {n}")])
            store.append([NewMessage(3 + n, BOB, make_id(), "hello")])
        store.append([], [Mark(BOB, 1, PositionKind.READ, 0)])
    return tmp_path / "q.db"


@pytest.mark.parametrize("share", [1, 3000, 10_000, MUCH])
def test_pages_end_early_and_have_everything(path: Path, share: int) -> None:
    """However small its share, a page has something, and the pages together have everything once."""
    pace = Pace(share, rest=lambda _: None)
    with contextlib.closing(SqliteReads(PacedDatabaseReader(path, pace))) as reader:
        listed, after, pages = [], 0, 0
        while True:
            page = reader.conversation_list(BOB, after, 100)
            listed += [each.conversation.id for each in page.conversations]
            pages += 1
            if page.cursor is None:
                break
            after = page.cursor
        assert listed == list(range(1, 62))
        assert (pages == 1) == (share == MUCH)

        for backward in (True, False):
            seqs: list[int] = []
            cursor: int | None = 2**53 if backward else 0
            while cursor is not None:
                where = {"before": cursor} if backward else {"after": cursor}
                found = reader.history_page(BOB, 1, limit=200, max_bytes=MUCH, **where)
                assert found is not None
                assert found.messages
                seqs += [each.seq for each in found.messages][:: -1 if backward else 1]
                cursor = found.cursor
            assert seqs == list(range(60, 0, -1) if backward else range(1, 61))

        sent = 0
        while sent < 60:
            replay = reader.replay_page(BOB, 1, after=sent, limit=100, max_bytes=MUCH)
            assert replay is not None
            assert [each.seq for each in replay.messages][:1] == [sent + 1]
            sent = replay.messages[-1].seq


def test_own_messages_are_counted_up_to_a_bound(path: Path) -> None:
    """The list of conversations looks at a bounded number of messages behind the read position."""
    with contextlib.closing(SqliteStore(path)) as store:
        for _ in range(12):
            store.append([NewMessage(ALICE, BOB, make_id(), "x") for _ in range(1000)])
        store.append([NewMessage(BOB, ALICE, make_id(), "late")])
        pace = Pace(MUCH, rest=lambda _: None)
        with contextlib.closing(SqliteReads(PacedDatabaseReader(path, pace))) as reader:
            (mine,) = reader.conversation_list(ALICE, 0, 9).conversations
            assert mine.unread == 0
            read = Mark(ALICE, 1, PositionKind.READ, 12_000)
            store.append([], [read])
            assert reader.conversation_list(ALICE, 0, 9).conversations[0].unread == 1


def test_a_list_ends_early_behind_what_is_counted_no_further(path: Path) -> None:
    """Conversations with more unread messages than are counted take their share, too."""
    with contextlib.closing(SqliteStore(path)) as store:
        for n in range(8):
            store.append([NewMessage(3 + n, BOB, make_id(), "x") for _ in range(1200)])
    pace = Pace(2 * 64 * 1200, rest=lambda _: None)
    with contextlib.closing(SqliteReads(PacedDatabaseReader(path, pace))) as reader:
        pages, after = [], 1
        while True:
            page = reader.conversation_list(BOB, after, 8)
            pages.append([each.unread for each in page.conversations])
            if page.cursor is None:
                break
            after = page.cursor
    assert [each for page in pages for each in page][:8] == [1000] * 8
    assert max(map(len, pages[:3])) <= 3
