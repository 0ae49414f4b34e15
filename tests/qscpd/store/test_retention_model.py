"""Random appends, prunes and erasures, compared with a model of plain dictionaries."""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from qscpd.domain.model import Keep, NewMessage, Outcome, Refused, StoredMessage
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import (
    StoreFactory,
    clock_of,
    conversation_of,
    housekeep,
    housekeeping_step,
    rows_of,
)

ACCOUNTS = (1, 2, 3)
WORDS = ("apple", "birch", "cedar")
NEWEST = (2**53, 0, 0)


class Kept(NamedTuple):
    """A message of the model."""

    seq: int
    time_ms: int
    sender: int
    id: str
    body: str | None


class Model:
    """Expected content of the store."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.gone: set[int] = set()
        self.kept: dict[frozenset[int], list[Kept]] = defaultdict(list)
        self.last: dict[frozenset[int], int] = defaultdict(int)
        self.numbers: dict[frozenset[int], int] = {}
        self.sent: list[NewMessage] = []
        self.stored: dict[tuple[int, str], StoredMessage] = {}

    def append(self, message: NewMessage) -> Outcome:
        """Store a new message; return the expected outcome."""
        known = self.stored.get((message.sender, message.id))
        if known is not None:
            original = next(
                each for each in self.sent if (each.sender, each.id) == (message.sender, message.id)
            )
            return known if original == message else Refused()
        pair = frozenset((message.sender, message.recipient))
        number = self.numbers.setdefault(pair, len(self.numbers) + 1)
        self.last[pair] += 1
        seq = self.last[pair]
        self.sent.append(message)
        self.stored[message.sender, message.id] = StoredMessage(number, seq, self.now, new=False)
        self.kept[pair].append(Kept(seq, self.now, message.sender, message.id, message.body))
        return StoredMessage(number, seq, self.now)

    def prune(self, keep: Keep) -> None:
        """Delete messages beyond the limits of count and age."""
        for pair, kept in self.kept.items():
            if keep.messages is not None:
                kept = [each for each in kept if each.seq > self.last[pair] - keep.messages]  # noqa: PLW2901
            if keep.age_ms is not None:
                kept = [each for each in kept if each.time_ms >= self.now - keep.age_ms]  # noqa: PLW2901
            self.kept[pair] = kept

    def erase(self, account: int) -> None:
        """Turn an account's messages into tombstones."""
        self.gone.add(account)
        for pair, kept in self.kept.items():
            self.kept[pair] = [each._replace(body=None) if each.sender == account else each for each in kept]


appends = st.tuples(st.permutations(ACCOUNTS), st.sampled_from(WORDS), st.integers(1, 6))
actions = st.one_of(
    st.tuples(st.just("append"), st.lists(appends, min_size=1, max_size=8)),
    st.tuples(st.just("again"), st.integers(0, 100)),
    st.tuples(st.just("wait"), st.integers(1, 50)),
    st.tuples(st.just("prune"), st.tuples(st.none() | st.integers(0, 60), st.none() | st.integers(1, 6))),
    st.tuples(st.just("do_housekeeping"), st.integers(1, 3)),
    st.tuples(st.just("erase"), st.sampled_from(ACCOUNTS)),
    st.tuples(st.just("reopen"), st.none()),
)


class Run:
    """A store and its model, to which the same is applied."""

    def __init__(self, factory: StoreFactory, folder: Path) -> None:
        self.factory = factory
        self.folder = folder
        self.model = Model()
        self.make_id = IdMaker()
        self.store = self._open()
        for name in ("alice", "bob", "carol"):
            self.store.add_account(name, "x")

    def _open(self) -> Store:
        return self.factory.open(self.folder, clock=clock_of(lambda: self.model.now))

    def append(self, sent: list[tuple[list[int], str, int]]) -> None:
        """Store messages in one transaction."""
        batch = [
            NewMessage(pair[0], pair[1], self.make_id(), f"{word} x{number}")
            for pair, word, count in sent
            for number in range(count)
            if not self.model.gone & set(pair[:2])
        ]
        expected = [self.model.append(message) for message in batch]
        assert list(self.store.append(batch)[0]) == expected

    def again(self, index: int) -> None:
        """Send a message again, and another one under its id."""
        if self.model.sent:
            sent = self.model.sent[index % len(self.model.sent)]
            other = NewMessage(sent.sender, sent.recipient, sent.id, "another")
            batch = [sent, other]
            assert list(self.store.append(batch)[0]) == [self.model.append(each) for each in batch]

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.model.now += milliseconds

    def prune(self, limits: tuple[int | None, int | None]) -> None:
        """Prune completely."""
        keep = Keep(*limits)
        housekeep(self.store, keep)
        self.model.prune(keep)

    def do_housekeeping(self, steps: int) -> None:
        """Do some housekeeping that deletes nothing."""
        for _ in range(steps):
            housekeeping_step(self.store)

    def erase(self, account: int) -> None:
        """Erase an account completely, with messages of others in between."""
        if account in self.model.gone:
            return
        self.store.delete_account(("alice", "bob", "carol")[account - 1])
        self.model.erase(account)
        others = [each for each in ACCOUNTS if each != account]
        while self.store.housekeeping.erase_step(account):
            self.append([(others, "dogwood", 1)])

    def reopen(self, _: None) -> None:
        """Close and open the store."""
        self.store.close()
        self.store = self._open()

    def check(self) -> None:
        """Compare all rows and seqs with the model."""
        for pair, number in self.model.numbers.items():
            kept = self.model.kept[pair]
            assert [each[:-1] for each in rows_of(self.store, number)] == kept
            last = self.model.last[pair]
            row = conversation_of(self.store, min(pair), number)
            assert row is not None
            assert (row.first_seq, row.last_seq) == (kept[0].seq if kept else last + 1, last)

    def check_search(self) -> None:
        """Check that a search finds exactly the words of the model."""
        housekeep(self.store)
        for word in (*WORDS, "dogwood"):
            places = {
                (self.model.numbers[pair], each.seq)
                for pair, kept in self.model.kept.items()
                for each in kept
                if 1 in pair and each.body is not None and each.body.startswith(word)
            }
            found, complete, _ = search_page(self.store, 1, [word], limit=10**6)
            assert complete
            assert {(each.conversation, each.message.seq) for each in found} == places


@settings(max_examples=60, deadline=None)
@given(st.lists(actions, max_size=14))
def test_any_appends_prunes_and_erasures_match_the_model(
    store_factory: StoreFactory, script: list[tuple[str, object]]
) -> None:
    """Rows, seqs, known ids and search results match the model after any sequence of actions."""
    with tempfile.TemporaryDirectory() as directory:
        run = Run(store_factory, Path(directory))
        try:
            for name, argument in script:
                getattr(run, name)(argument)
                run.check()
            run.check_search()
            store_factory.check(run.store)
        finally:
            run.store.close()
