"""Random messages, amendments and retries, compared with a model of plain lists."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from unittest import mock

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from qscp.rooms import RoomRole
from qscpd.domain.model import Keep, MessageMeta, MessageRow, NewMessage, Outcome, Refused, StoredMessage
from qscpd.domain.rooms import RoomChange
from qscpd.store.base import Store
from qscpd.store.sqlite import chunks
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.searches import search_page
from tests.support.stores import (
    StoreFactory,
    append_in_turns,
    clock_of,
    housekeep,
    housekeeping_step,
    rows_of,
)

ALICE, BOB, CAROL, DAN = ACCOUNTS = 1, 2, 3, 4
RANK: Final = {ALICE: 3, BOB: 2, CAROL: 1, DAN: 1}
NAMES: Final = ("alice", "bob", "carol", "dan")
PAIRS: Final = {2: {ALICE, BOB}, 3: {ALICE, CAROL}}
"""Pairs by their conversation; 1 is the room."""
REACTIONS: Final = ("+1", "ok", "own")
WITHIN: Final = 100
NEWEST: Final = (2**53, 0, 0)


@dataclass
class Entry:
    """A message or amendment of the model."""

    time_ms: int
    sender: int
    id: str
    body: str | None
    kind: str
    target: int = 0
    removed: bool = False
    reply_to: int = 0
    mentions: tuple[int, ...] = ()
    edited_ms: int = 0
    reactions: dict[str, set[int]] = field(default_factory=dict)


@dataclass
class ModelConversation:
    """A conversation of the model."""

    entries: list[Entry] = field(default_factory=list)
    first: int = 1

    def at(self, seq: int) -> Entry | None:
        """Return the entry with a seq, unless it was pruned."""
        return self.entries[seq - 1] if self.first <= seq <= len(self.entries) else None

    def message(self, seq: int) -> Entry | None:
        """Return the message with a seq, if it is one and has a text."""
        found = self.at(seq)
        return None if found is None or found.kind or found.body is None else found

    def row(self, seq: int) -> MessageRow:
        """Return the row that the store is expected to return."""
        entry = self.entries[seq - 1]
        about = self.at(entry.target) if entry.kind else None
        body, mentions, count = entry.body, entry.mentions, 0
        if entry.kind == "edit":
            body, mentions = (about.body, about.mentions) if about else (None, ())
        elif entry.kind == "react":
            count = len(about.reactions.get(entry.body or "", ())) if about else 0
        meta = MessageMeta(
            kind=entry.kind,  # type: ignore[arg-type]  # one of the kinds
            target=entry.target,
            reply_to=entry.reply_to,
            mentions=mentions,
            removed=entry.removed,
            count=count,
            edited_ms=entry.edited_ms,
            reactions={text: tuple(sorted(accounts)) for text, accounts in entry.reactions.items()},
        )
        return MessageRow(seq, entry.time_ms, entry.sender, entry.id, body, meta)


class Op(NamedTuple):
    """A message or amendment to send."""

    what: str
    sender: int
    conversation: int
    back: int
    """Index of the target, counted from the end."""
    number: int


ops = st.builds(
    Op,
    st.sampled_from(["say", "say", "reply", "edit", "edit", "redact", "react", "react", "unreact"]),
    st.sampled_from((*ACCOUNTS, DAN, DAN)),
    st.sampled_from([1, 1, 2, 3]),
    st.integers(0, 10),
    st.integers(0, 2),
)
again = st.tuples(st.integers(0, 30), st.sampled_from(["same", "same", "text", "target"]))


def visible(rows: Iterable[MessageRow]) -> list[MessageRow]:
    """Return rows without digests, and with sorted reactions."""
    return [
        row._replace(
            meta=msgspec.structs.replace(
                row.meta,
                digest=b"",
                reactions={text: tuple(sorted(accounts)) for text, accounts in row.meta.reactions.items()},
            )
        )
        for row in rows
    ]


class AmendmentMachine(RuleBasedStateMachine):
    """A store and its model, to which the same is applied."""

    factory: StoreFactory

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000_000
        self.make_id = IdMaker()
        self.words = 0
        self.folder = memory_folder()
        self.path = Path(self.folder.name)
        self.store = self.open()
        for name in NAMES:
            self.store.add_account(name, "x")
        self.change("create", ALICE)
        for each in (BOB, CAROL, DAN):
            self.change("join", each)
        self.change("role", ALICE, BOB)
        self.store.append([NewMessage(ALICE, BOB, self.make_id(), "begin")])
        self.store.append([NewMessage(ALICE, CAROL, self.make_id(), "begin")])
        self.conversations = {number: ModelConversation() for number in (1, 2, 3)}
        for number in PAIRS:
            row = rows_of(self.store, number)[0]
            self.conversations[number].entries.append(Entry(self.now, ALICE, row.id, "begin", ""))
        self.since = 1
        """The first seq that dan sees in the room."""
        self.gone: set[int] = set()
        self.patches = contextlib.ExitStack()
        self.sent: list[NewMessage] = []
        self.used: dict[tuple[int, str], tuple[NewMessage, StoredMessage]] = {}
        self.refused: dict[tuple[int, str], Refused] = {}
        self.redactions: list[tuple[int, int, int, str]] = []

    def open(self) -> Store:
        """Open the store."""
        return self.factory.open(self.path, clock=clock_of(lambda: self.now), edit_within_ms=WITHIN)

    def change(self, action: str, actor: int, target: int | None = None) -> None:
        """Apply an action to the room."""
        role = RoomRole.MODERATOR if target else None
        self.store.change_room(RoomChange(action=action, room="#dev", actor=actor, target=target, role=role))

    def teardown(self) -> None:
        """Check exports against the model, and the integrity of the store."""
        try:
            housekeep(self.store)
            for account in set(ACCOUNTS) - self.gone:
                exported = [(each.conversation, each.message.seq) for each in self.store.export(account)]
                assert exported == [
                    (number, seq)
                    for number, conversation in self.conversations.items()
                    for seq in range(self.first_visible(account, number), len(conversation.entries) + 1)
                ]
            assert visible(self.store.export_room(1)) == self.expected(1)
            self.factory.check(self.store)
        finally:
            self.store.close()
            self.folder.cleanup()
            self.patches.close()

    # --- the model

    def first_visible(self, account: int, number: int) -> int:
        """Return the first seq that a user sees; beyond the end if they are not a member."""
        conversation = self.conversations[number]
        if account not in PAIRS.get(number, ACCOUNTS):
            return len(conversation.entries) + 1
        return max(conversation.first, self.since if number == 1 and account == DAN else 1)

    def target(self, op: Op, conversation: ModelConversation) -> int:
        """Return the seq of a valid target, or occasionally an arbitrary one."""
        seqs = [
            seq
            for seq, entry in enumerate(conversation.entries, 1)
            if conversation.message(seq) and (op.what != "edit" or entry.sender == op.sender)
        ]
        return (
            seqs[-1 - op.back % len(seqs)]
            if seqs and op.back < 7
            else len(conversation.entries) + 9 - op.back
        )

    def message(self, op: Op) -> NewMessage:
        """Make a message or amendment with a unique text."""
        conversation = self.conversations[op.conversation]
        about = self.target(op, conversation)
        accounts = PAIRS.get(op.conversation)
        to = next(iter(accounts - {op.sender})) if accounts else -1
        self.words += 1
        text = f"{NAMES[op.sender - 1]}xyz{self.words}"
        mentions = ACCOUNTS[: op.number]
        match op.what:
            case "say":
                meta = MessageMeta(mentions=mentions)
            case "reply":
                meta = MessageMeta(mentions=mentions, reply_to=about)
            case "edit":
                meta = MessageMeta(kind="edit", target=about, mentions=mentions)
            case "redact":
                meta = MessageMeta(kind="redact", target=about)
            case _:
                meta = MessageMeta(kind="react", target=about, removed=op.what == "unreact")
                text = REACTIONS[op.number] if op.number < 2 else f"{NAMES[op.sender - 1]}xyz"
        return NewMessage(op.sender, to, self.make_id(), text, meta)

    def number(self, message: NewMessage) -> int:
        """Return the conversation of a message."""
        if message.recipient < 0:
            return 1
        return next(n for n, accounts in PAIRS.items() if accounts == {message.sender, message.recipient})

    def send(self, message: NewMessage) -> Outcome:
        """Apply a message to the model; return the expected outcome."""
        self.sent.append(message)
        known = self.known(message)
        if known is not None:
            return known
        number = self.number(message)
        conversation = self.conversations[number]
        code = self.apply(number, conversation, message)
        if code:
            refused = Refused(code)  # type: ignore[arg-type]  # compared as text
            return self.refused.setdefault((message.sender, message.id), refused)
        meta, seq = message.meta, len(conversation.entries) + 1
        body = None if meta.kind in {"edit", "redact"} else message.body
        mentions = () if meta.kind else meta.mentions
        conversation.entries.append(
            Entry(
                *(self.now, message.sender, message.id, body, meta.kind),
                *(meta.target, meta.removed, meta.reply_to, mentions),
            )
        )
        place = StoredMessage(number, seq, self.now, new=False)
        self.used[message.sender, message.id] = message, place
        return StoredMessage(number, seq, self.now, count=self.count(number, message))

    def known(self, message: NewMessage) -> Outcome | None:
        """Return the outcome of a message whose id was used before: of a reaction, with its count now."""
        known = self.used.get((message.sender, message.id))
        if known is None:
            return self.refused.get((message.sender, message.id))
        first, place = known
        if content(first) != content(message):
            return Refused()
        return msgspec.structs.replace(place, count=self.count(place.conversation, message))

    def reactions(self, conversation: ModelConversation, seq: int) -> dict[str, set[int]]:
        """Return the reactions to a message."""
        entry = conversation.message(seq)
        return entry.reactions if entry else {}

    def count(self, number: int, message: NewMessage) -> int:
        """Return how many users have a reaction on its target; 0 for anything else."""
        if message.meta.kind != "react":
            return 0
        about = self.conversations[number].at(message.meta.target)
        return len(about.reactions.get(message.body, ())) if about else 0

    def apply(self, number: int, conversation: ModelConversation, message: NewMessage) -> str:
        """Apply a message or amendment; return the code of the refusal, or an empty string."""
        meta, sender = message.meta, message.sender
        about = meta.target or meta.reply_to
        first = self.since if number == 1 and sender == DAN else 1
        if about and not first <= about <= len(conversation.entries):
            return "unknown_message"
        if not meta.kind:
            return ""
        entry = conversation.message(about)
        if entry is None:
            return "unknown_message"
        return getattr(self, f"_{meta.kind}")(number, entry, message) or ""

    def _edit(self, _: int, entry: Entry, message: NewMessage) -> str:
        if entry.sender != message.sender:
            return "not_allowed"
        if self.now - entry.time_ms >= WITHIN:
            return "too_late"
        entry.body, entry.mentions, entry.edited_ms = message.body, message.meta.mentions, self.now
        return ""

    def _redact(self, number: int, entry: Entry, message: NewMessage) -> str:
        if entry.sender != message.sender:
            rank = 0 if entry.sender in self.gone else RANK[entry.sender]
            if number != 1 or RANK[message.sender] < 2 or RANK[message.sender] <= rank:
                return "not_allowed"
            self.redactions.append((message.sender, entry.sender, message.meta.target, message.body))
        entry.body, entry.mentions, entry.edited_ms, entry.reactions = None, (), 0, {}
        return ""

    def _react(self, _: int, entry: Entry, message: NewMessage) -> str:
        accounts = entry.reactions.get(message.body, set())
        if (message.sender in accounts) is not message.meta.removed:
            return "unchanged"
        entry.reactions[message.body] = accounts ^ {message.sender}
        if not entry.reactions[message.body]:
            del entry.reactions[message.body]
        return ""

    def expected(self, number: int) -> list[MessageRow]:
        """Return the expected rows of a conversation."""
        conversation = self.conversations[number]
        return [conversation.row(seq) for seq in range(conversation.first, len(conversation.entries) + 1)]

    # --- rules

    @rule(batch=st.lists(ops, min_size=1, max_size=6), sent=st.lists(again, max_size=2))
    def commit_new(self, batch: list[Op], sent: list[tuple[int, str]]) -> None:
        """Store new messages, and a few retries."""
        self.commit([*batch, *sent])

    @rule(batch=st.lists(ops | again, min_size=1, max_size=9), in_turns=st.booleans())
    def commit(self, batch: list[Op | tuple[int, str]], in_turns: bool = False) -> None:
        """Store new messages, retries and conflicting messages, in one transaction or in turns."""
        messages, outcomes = [], []
        for each in batch:
            message = self.message(each) if isinstance(each, Op) and self.may(each) else None
            if not isinstance(each, Op) and self.sent:
                message = another(self.sent[-1 - each[0] % len(self.sent)], each[1])
            if message is not None and message.sender not in self.gone:
                outcomes.append(self.send(message))
                messages.append(message)
        found = append_in_turns(self.store, messages) if in_turns else list(self.store.append(messages)[0])
        assert found == outcomes

    @rule(bound=st.sampled_from([100, 300, chunks.BOUND]))
    def limit_chunks(self, bound: int) -> None:
        """Set the bound of chunks: those from before can be larger."""
        self.patches.enter_context(mock.patch.object(chunks, "BOUND", bound))

    def may(self, op: Op) -> bool:
        """Return whether the sender exists and is in the conversation."""
        return op.sender not in self.gone and op.sender in PAIRS.get(op.conversation, ACCOUNTS)

    @rule(milliseconds=st.sampled_from([1, WITHIN - 1, WITHIN]))
    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now += milliseconds

    @rule(steps=st.integers(1, 4))
    def do_housekeeping(self, steps: int) -> None:
        """Do some housekeeping."""
        for _ in range(steps):
            housekeeping_step(self.store)

    @rule(kept=st.integers(3, 12))
    def prune(self, kept: int) -> None:
        """Prune old messages."""
        housekeep(self.store, Keep(messages=kept))
        for conversation in self.conversations.values():
            conversation.first = max(conversation.first, len(conversation.entries) - kept + 1)

    @rule()
    def reopen(self) -> None:
        """Close and open the store."""
        self.store.close()
        self.store = self.open()

    @rule()
    def rejoin(self) -> None:
        """Dan leaves and rejoins: earlier messages are no longer visible to him."""
        if DAN not in self.gone:
            self.change("leave", DAN)
            self.change("join", DAN)
            self.since = len(self.conversations[1].entries) + 1

    @rule(account=st.sampled_from([CAROL, DAN]))
    def erase(self, account: int) -> None:
        """Delete and erase an account; check that no file contains its text."""
        if account in self.gone:
            return
        self.gone.add(account)
        self.store.delete_account(NAMES[account - 1])
        while self.store.housekeeping.erase_step(account):
            pass
        for conversation in self.conversations.values():
            for entry in conversation.entries:
                if entry.sender == account:
                    entry.body, entry.mentions, entry.reactions = None, (), {}
                entry.reactions = {
                    t: left for t, accounts in entry.reactions.items() if (left := accounts - {account})
                }
        assert not self.store.housekeeping.compaction_due()
        text = f"{NAMES[account - 1]}xyz".encode()
        assert not self.factory.has_trace(self.path, text)

    # --- invariants

    @invariant()
    def rows_match_the_model(self) -> None:
        """All rows and all known ids are those of the model."""
        for number in self.conversations:
            expected = self.expected(number)
            assert visible(rows_of(self.store, number)) == expected
        asked = [each for message in self.sent[-12:] for each in (message, another(message, "text"))]
        assert list(self.store.known(asked)) == [self.known(message) for message in asked]

    @invariant()
    def counts_match_the_model(self) -> None:
        """Unread and mention counts include messages of others with their current mentions, no amendments."""
        for account in set(ACCOUNTS) - self.gone:
            for row, counted, mentioning in self.store.conversation_list(account, 0, 9).conversations:
                conversation = self.conversations[row.id]
                seqs = range(max(conversation.first, row.read + 1), len(conversation.entries) + 1)
                unread = [
                    entry
                    for seq in seqs
                    if not (entry := conversation.entries[seq - 1]).kind and entry.sender != account
                ]
                mentions = sum(account in entry.mentions for entry in unread)
                assert (counted, mentioning) == (len(unread), mentions)
        log = [each for each in self.store.room_log(1) if each.action == "redact"][::-1]
        assert [(each.actor, each.target, each.seq, each.text) for each in log] == self.redactions

    @invariant()
    def searches_match_the_model(self) -> None:
        """A search finds the current texts of visible messages, and nothing else."""
        while self.words % 3 == 0 and housekeeping_step(self.store):
            pass
        for account in {ALICE, DAN} - self.gone:
            places: dict[str, tuple[int, int]] = {}
            for number, conversation in self.conversations.items():
                for seq in range(self.first_visible(account, number), len(conversation.entries) + 1):
                    entry = conversation.message(seq)
                    if entry is not None and entry.body:
                        places[entry.body] = number, seq
            for word in [each.body for each in self.sent[-6:] if each.body not in {"+1", "ok"}]:
                found, complete, _ = search_page(self.store, account, [word], limit=9)
                matches = [(each.conversation, each.message.seq) for each in found]
                right = [places[word]] if word in places else []
                assert matches == right or (not complete and not matches)


def content(message: NewMessage) -> tuple[object, ...]:
    """Return the fields that a retry must repeat."""
    meta = message.meta
    text = "" if meta.kind == "redact" else message.body
    return message.recipient, meta.kind, meta.target, meta.removed, text


def another(message: NewMessage, what: str) -> NewMessage:
    """Return a message with the same id and, if `what` says so, another text or target."""
    match what:
        case "text":
            return msgspec.structs.replace(message, body=message.body + "x")
        case "target":
            meta = msgspec.structs.replace(message.meta, target=message.meta.target + 1)
            return msgspec.structs.replace(message, meta=meta) if message.meta.kind else message
    return message


def test_any_amendments_match_the_model(store_factory: StoreFactory) -> None:
    """Amendments match the model in any order, with retries, restarts, pruning and erasing in between."""

    class Machine(AmendmentMachine):
        factory = store_factory

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )
