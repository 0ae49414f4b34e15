"""Random commits between single steps of folding, compared with a model of plain dictionaries.

A reader on a connection of its own reads pages and snapshots while folds commit: it sees each message once,
and none is missing. The store is closed or killed at any moment.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from qscp.rooms import HistoryFrom
from qscpd.domain.model import (
    NO_META,
    Keep,
    Mark,
    MessageMeta,
    MessageRow,
    NewMessage,
    PositionKind,
    StoredMessage,
)
from qscpd.store.sqlite.fold import Phase
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.killed_fold import small_steps
from tests.support.memory import memory_folder
from tests.support.searches import search_page
from tests.support.stores import add_room, clock_of, close_killed, housekeep, kill, rows_of, unread_of

ALICE, BOB, CAROL = ACCOUNTS = 1, 2, 3
NAMES: Final = ("alice", "bob", "carol")
ROOM: Final = 1
MEMBERS: Final = {ROOM: (ALICE, BOB, CAROL), 2: (ALICE, BOB), 3: (ALICE, CAROL)}


@dataclass
class Entry:
    """A message or amendment of the model."""

    sender: int
    id: str
    body: str | None
    kind: str = ""
    target: int = 0
    reactions: set[int] = field(default_factory=set)


Shown = tuple[int, int, str, str | None, frozenset[int]]
"""Seq, sender, id, text, and who reacted."""


class Op(NamedTuple):
    """A message or amendment to send."""

    what: str
    conversation: int
    sender: int
    back: int
    """Number of the target, counted from the newest one."""


ops = st.builds(
    Op,
    st.sampled_from(["say", "say", "say", "edit", "redact", "react"]),
    st.sampled_from([ROOM, ROOM, 2, 3]),
    st.sampled_from(ACCOUNTS),
    st.integers(0, 20),
)


class FoldMachine(RuleBasedStateMachine):
    """A store and its model, to which the same is applied."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(small_steps())
        self.path = Path(self.stack.enter_context(memory_folder())) / "q.db"
        self.now = 1_700_000_000_000
        self.make_id = IdMaker()
        self.words = 0
        self.store = self.open()
        for name in NAMES:
            self.store.add_account(name, "x")
        add_room(self.store, "#dev", "alice", "bob", "carol", history=HistoryFrom.FULL)
        self.entries: dict[int, list[Entry]] = {number: [] for number in MEMBERS}
        self.first = dict.fromkeys(MEMBERS, 1)
        self.read: dict[tuple[int, int], int] = {}
        self.sent: list[tuple[NewMessage, StoredMessage]] = []
        self.gone: set[int] = set()
        for number in (2, 3):
            self.commit([Op("say", number, ALICE, 0)], [])
        self.reader = SqliteReader(self.path)
        self.holder = SqliteReader(self.path)
        self.held: contextlib.ExitStack | None = None
        self.expected: dict[int, list[Shown]] = {}
        self.killed: list[SqliteStore] = []

    def open(self) -> SqliteStore:
        """Open the store, which does not wait for the disk."""
        store = SqliteStore(self.path, clock=clock_of(lambda: self.now), edit_within_ms=10**9)
        store._db.run("PRAGMA synchronous = OFF")
        return store

    def teardown(self) -> None:
        """Fold everything, and check what is stored then."""
        try:
            self.release()
            housekeep(self.store)
            self.rows_match_the_model()
            self.look(0)
            assert self.store._db.read("SELECT count(*) FROM journal") == [(0,)]
            assert self.store._db.read("SELECT count(*) FROM amendments") == [(0,)]
            assert self.store._db.read("PRAGMA integrity_check") == [("ok",)]
            indexed = sorted(
                entry.body.split()[0]
                for number in MEMBERS
                for entry in self.entries[number][self.first[number] - 1 :]
                if entry.body and not entry.kind
            )
            self.store._db.run("CREATE VIRTUAL TABLE temp.terms USING fts5vocab (main, words, row)")
            terms = self.store._db.read("SELECT term, doc FROM terms WHERE term <> 'often' ORDER BY term")
            assert terms == [(word, 1) for word in indexed]
        finally:
            self.reader.close()
            self.holder.close()
            self.store.close()
            for each in self.killed:
                close_killed(each)
            self.stack.close()

    # --- the model

    def shown(self, number: int) -> list[Shown]:
        """Return a conversation as it is expected to be read."""
        entries, first = self.entries[number], self.first[number]
        found: list[Shown] = []
        for seq, entry in enumerate(entries[first - 1 :], first):
            body = entry.body
            if entry.kind == "edit":
                body = entries[entry.target - 1].body if entry.target >= first else None
            found.append((seq, entry.sender, entry.id, body, frozenset(entry.reactions)))
        return found

    def unread(self, account: int, number: int) -> int:
        """Return how many messages an account has not read."""
        first = max(self.read.get((account, number), 0) + 1, self.first[number])
        return sum(e.sender != account and not e.kind for e in self.entries[number][first - 1 :])

    def message(self, op: Op) -> NewMessage | None:
        """Apply a message or amendment to the model, and return it; None if it would be refused."""
        members, entries = MEMBERS[op.conversation], self.entries[op.conversation]
        if op.sender not in members or self.gone & ({op.sender} if op.conversation == ROOM else {*members}):
            return None
        to = -ROOM
        if op.conversation != ROOM:
            to = next(each for each in members if each != op.sender)
        self.words += 1
        text, meta = f"w{self.words} often", NO_META
        if op.what != "say":
            seqs = [
                seq
                for seq, entry in enumerate(entries, 1)
                if entry.body and not entry.kind and seq >= self.first[op.conversation]
                if op.what == "react" or entry.sender == op.sender
            ]
            if not seqs:
                return None
            seq = seqs[-1 - op.back % len(seqs)]
            text = self.amend(op, entries[seq - 1], text)
            removed = op.what == "react" and op.sender not in entries[seq - 1].reactions
            meta = MessageMeta(kind=op.what, target=seq, removed=removed)  # type: ignore[arg-type]
        message = NewMessage(op.sender, to, self.make_id(), text, meta)
        body = None if meta.kind in {"edit", "redact"} else text
        entries.append(Entry(op.sender, message.id, body, meta.kind, meta.target))
        self.sent.append((message, StoredMessage(op.conversation, len(entries), self.now)))
        return message

    def amend(self, op: Op, entry: Entry, text: str) -> str:
        """Apply an amendment to a message; return its own text."""
        if op.what == "react":
            entry.reactions ^= {op.sender}
            return "+1"
        if op.what == "edit":
            entry.body = text
            return text
        entry.body, entry.reactions = None, set()
        return ""

    # --- rules

    @rule(batch=st.lists(ops, min_size=1, max_size=7), again=st.lists(st.integers(0, 60), max_size=2))
    def commit(self, batch: list[Op], again: list[int]) -> None:
        """Store messages and amendments, and some that were stored before."""
        self.now += 1
        begin = len(self.sent)
        messages = [message for op in batch if (message := self.message(op)) is not None]
        expected = [stored for _, stored in self.sent[begin:]]
        for back in again:
            message, stored = self.sent[-1 - back % len(self.sent)] if self.sent else (None, None)
            if message is not None and stored is not None and message.sender not in self.gone:
                messages.append(message)
                expected.append(msgspec.structs.replace(stored, new=False))
        outcomes, _ = self.store.append(messages)
        assert [msgspec.structs.replace(each, count=0) for each in outcomes] == expected

    @rule(account=st.sampled_from([ALICE, BOB]), number=st.sampled_from([ROOM, 2]), back=st.integers(0, 5))
    def mark(self, account: int, number: int, back: int) -> None:
        """Move a position."""
        seq = max(len(self.entries[number]) - back, 1)
        self.store.append([], [Mark(account, number, PositionKind.READ, seq)])
        if self.entries[number]:
            self.read[account, number] = max(seq, self.read.get((account, number), 0))

    @rule(count=st.integers(1, 3))
    def step(self, count: int) -> None:
        """Do single steps of a fold, which is begun if none is running."""
        if self.store._fold.phase is Phase.IDLE:
            self.store._fold.request()
        for _ in range(count):
            self.store._fold.step()

    @rule(kept=st.integers(3, 9))
    def prune(self, kept: int) -> None:
        """Prune old messages."""
        for _ in range(3):
            while self.store.housekeeping.step(Keep(messages=kept)):
                pass
        for number, entries in self.entries.items():
            self.first[number] = max(self.first[number], len(entries) - kept + 1)

    @precondition(lambda self: CAROL not in self.gone)
    @rule(steps=st.integers(0, 40))
    def erase(self, steps: int) -> None:
        """Delete and erase an account, with a crash after some steps."""
        self.release()
        self.gone.add(CAROL)
        self.store.delete_account("carol")
        for _ in range(steps):
            if not self.store.housekeeping.erase_step(CAROL):
                break
        self.crash()
        while self.store.housekeeping.erase_step(CAROL):
            pass
        for entries in self.entries.values():
            for entry in entries:
                entry.reactions -= {CAROL}
                if entry.sender == CAROL:
                    entry.body, entry.reactions = None, set()

    @rule()
    def reopen(self) -> None:
        """Close the store and open it."""
        self.store.close()
        self.store = self.open()

    @rule()
    def crash(self) -> None:
        """Open the store again as after SIGKILL."""
        kill(self.store)
        self.killed.append(self.store)
        self.store = self.open()

    @rule()
    def hold(self) -> None:
        """Begin to read a snapshot, which stays over commits and folds."""
        if self.held is None:
            self.held = contextlib.ExitStack()
            self.held.enter_context(self.holder.snapshot())
            self.expected = {number: self.shown(number) for number in MEMBERS}

    @rule()
    def release(self) -> None:
        """Read the snapshot."""
        if self.held is not None:
            assert {number: shown(rows_of(self.holder, number)) for number in MEMBERS} == self.expected
            self.held.close()
            self.held = None

    @rule(number=st.sampled_from([ROOM, 2]), after=st.integers(0, 40), limit=st.integers(1, 5))
    def page(self, number: int, after: int, limit: int) -> None:
        """Read a page of history in each direction, and one of a replay."""
        expected, entries = self.shown(number), self.entries[number]
        after = min(after, len(entries))
        behind = [each for each in expected if each[0] > after]
        before = [each for each in expected if each[0] <= after and not entries[each[0] - 1].kind]
        newer = [each for each in behind if not entries[each[0] - 1].kind]
        for reader in (self.store, self.reader):
            replay = reader.replay_page(ALICE, number, after=after, limit=limit, max_bytes=10**6)
            assert replay is not None
            assert shown(replay.messages) == behind[:limit]
            back = reader.history_page(ALICE, number, before=after + 1, limit=limit, max_bytes=10**6)
            assert back is not None
            assert shown(back.messages) == before[-limit:]
            page = reader.history_page(ALICE, number, after=after, limit=limit, max_bytes=10**6)
            assert page is not None
            assert shown(page.messages) == newer[:limit]
            assert not [*replay.damage, *back.damage, *page.damage]

    @rule(back=st.integers(0, 60))
    def look(self, back: int) -> None:
        """Search for a word, and look at unread counts and known ids."""
        word = f"w{max(self.words - back, 1)}"
        found = {
            (number, seq)
            for number in MEMBERS
            for seq, _, _, body, _ in self.shown(number)
            if body and body.split()[0] == word and not self.entries[number][seq - 1].kind
        }
        for reader in (self.store, self.reader):
            page = search_page(reader, ALICE, [word], limit=10)
            assert {(each.conversation, each.message.seq) for each in page.found} == found
            assert len(page.found) == len(found)
            for account, number in ((ALICE, ROOM), (ALICE, 2), (BOB, 2)):
                if self.entries[number]:
                    assert unread_of(reader, account, number)[0] == self.unread(account, number)
        sent = [(message, stored) for message, stored in self.sent if message.sender not in self.gone]
        outcomes = self.store.known([message for message, _ in sent])
        assert [
            (each.conversation, each.seq) if isinstance(each, StoredMessage) else each for each in outcomes
        ] == [(stored.conversation, stored.seq) for _, stored in sent]

    @invariant()
    def rows_match_the_model(self) -> None:
        """Every message is there once, in order, as it is now; for the store and for a reader."""
        for number in MEMBERS:
            expected = self.shown(number)
            assert shown(rows_of(self.store, number)) == expected
            assert shown(rows_of(self.reader, number)) == expected


def shown(rows: Iterable[MessageRow]) -> list[Shown]:
    """Return stored rows as the model has them."""
    return [
        (
            row.seq,
            row.sender,
            row.id,
            row.body,
            frozenset(user for users in row.meta.reactions.values() for user in users),
        )
        for row in rows
    ]


def test_random_work_between_steps_of_folding() -> None:
    """Whatever is done between the steps of a fold, the store has what the model has."""
    run_state_machine_as_test(
        FoldMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
