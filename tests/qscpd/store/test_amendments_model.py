"""Random messages, edits, redactions, reactions and retries, against a model that is a few lists."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from qscp.rooms import RoomRole
from qscpd.domain.model import Keep, MessageMeta, MessageRow, NewMessage, Outcome, Refused, StoredMessage
from qscpd.domain.rooms import RoomChange
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.stores import StoreFactory, rows_of

ALICE, BOB, CAROL, DAN = PEOPLE = 1, 2, 3, 4
RANK: Final = {ALICE: 3, BOB: 2, CAROL: 1, DAN: 1}
NAMES: Final = ("alice", "bob", "carol", "dan")
PAIRS: Final = {2: {ALICE, BOB}, 3: {ALICE, CAROL}}
"""Conversations, by their number; 1 is the room."""
REACTIONS: Final = ("+1", "ok", "own")
WITHIN: Final = 100
NEWEST: Final = (2**53, 0, 0)


@dataclass
class Said:
    """A message or an event of the model."""

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
class Talk:
    """A conversation of the model."""

    said: list[Said] = field(default_factory=list)
    first: int = 1

    def at(self, seq: int) -> Said | None:
        """Return what is kept at a place."""
        return self.said[seq - 1] if self.first <= seq <= len(self.said) else None

    def message(self, seq: int) -> Said | None:
        """Return the message at a place, if it is one whose text is there."""
        found = self.at(seq)
        return None if found is None or found.kind or found.body is None else found

    def row(self, seq: int) -> MessageRow:
        """Return what the store must return."""
        said = self.said[seq - 1]
        about = self.at(said.target) if said.kind else None
        body, mentions, count = said.body, said.mentions, 0
        if said.kind == "edit":
            body, mentions = (about.body, about.mentions) if about else (None, ())
        elif said.kind == "react":
            count = len(about.reactions.get(said.body or "", ())) if about else 0
        meta = MessageMeta(
            kind=said.kind,  # type: ignore[arg-type]  # one of the kinds
            target=said.target,
            reply_to=said.reply_to,
            mentions=mentions,
            removed=said.removed,
            count=count,
            edited_ms=said.edited_ms,
            reactions={text: tuple(sorted(people)) for text, people in said.reactions.items()},
        )
        return MessageRow(seq, said.time_ms, said.sender, said.id, body, meta)


class Op(NamedTuple):
    """Something to be sent."""

    what: str
    sender: int
    conversation: int
    back: int
    """Which message it is about, counted from the end."""
    number: int


ops = st.builds(
    Op,
    st.sampled_from(["say", "say", "reply", "edit", "edit", "redact", "react", "react", "unreact"]),
    st.sampled_from((*PEOPLE, DAN, DAN)),
    st.sampled_from([1, 1, 2, 3]),
    st.integers(0, 10),
    st.integers(0, 2),
)
again = st.tuples(st.integers(0, 30), st.sampled_from(["same", "same", "text", "target"]))


def visible(rows: Iterable[MessageRow]) -> list[MessageRow]:
    """Return what can be seen of some rows."""
    return [
        row._replace(
            meta=msgspec.structs.replace(
                row.meta,
                digest=b"",
                reactions={text: tuple(sorted(people)) for text, people in row.meta.reactions.items()},
            )
        )
        for row in rows
    ]


class EventMachine(RuleBasedStateMachine):
    """A store and its model, doing the same."""

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
        self.talks = {number: Talk() for number in (1, 2, 3)}
        for number in PAIRS:
            row = rows_of(self.store, number)[0]
            self.talks[number].said.append(Said(self.now, ALICE, row.id, "begin", ""))
        self.since = 1
        """Of dan."""
        self.gone: set[int] = set()
        self.sent: list[NewMessage] = []
        self.used: dict[tuple[int, str], tuple[NewMessage, StoredMessage]] = {}
        self.redactions: list[tuple[int, int, int, str]] = []

    def open(self) -> Store:
        """Open the store."""
        return self.factory.open(self.path, clock_ms=lambda: self.now, edit_within_ms=WITHIN)

    def change(self, action: str, actor: int, target: int | None = None) -> None:
        """Change something in the room."""
        role = RoomRole.MODERATOR if target else None
        self.store.change_room(RoomChange(action=action, room="#dev", actor=actor, target=target, role=role))

    def teardown(self) -> None:
        """All that is exported is as it is read; the file and its index are sound."""
        try:
            while self.store.housekeeping.step(Keep()):
                pass
            for person in set(PEOPLE) - self.gone:
                exported = [(each.conversation, each.message.seq) for each in self.store.export(person)]
                assert exported == [
                    (number, seq)
                    for number, talk in self.talks.items()
                    for seq in range(self.begins(person, number), len(talk.said) + 1)
                ]
            assert visible(self.store.export_room(1)) == self.expected(1)
            self.factory.check(self.store)
        finally:
            self.store.close()
            self.folder.cleanup()

    # --- the model

    def begins(self, person: int, number: int) -> int:
        """Return the first seq that a user sees; beyond the end if they are not a member."""
        talk = self.talks[number]
        if person not in PAIRS.get(number, PEOPLE):
            return len(talk.said) + 1
        return max(talk.first, self.since if number == 1 and person == DAN else 1)

    def target(self, op: Op, talk: Talk) -> int:
        """Return a seq that makes sense, or once in a while just any."""
        seqs = [
            seq
            for seq, said in enumerate(talk.said, 1)
            if talk.message(seq) and (op.what != "edit" or said.sender == op.sender)
        ]
        return seqs[-1 - op.back % len(seqs)] if seqs and op.back < 7 else len(talk.said) + 9 - op.back

    def message(self, op: Op) -> NewMessage:
        """Make what is sent, with a unique text."""
        talk = self.talks[op.conversation]
        about = self.target(op, talk)
        people = PAIRS.get(op.conversation)
        to = next(iter(people - {op.sender})) if people else -1
        self.words += 1
        text = f"{NAMES[op.sender - 1]}xyz{self.words}"
        mentions = PEOPLE[: op.number]
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
        return next(n for n, people in PAIRS.items() if people == {message.sender, message.recipient})

    def send(self, message: NewMessage) -> Outcome:
        """Do to the model what the store must do."""
        self.sent.append(message)
        known = self.used.get((message.sender, message.id))
        if known is not None:
            return known[1] if content(known[0]) == content(message) else Refused()
        number = self.number(message)
        talk = self.talks[number]
        code = self.happen(number, talk, message)
        if code:
            return Refused(code)  # type: ignore[arg-type]  # compared as text
        meta, seq = message.meta, len(talk.said) + 1
        count = len(self.reactions(talk, meta.target).get(message.body, ())) if meta.kind == "react" else 0
        body = None if meta.kind in {"edit", "redact"} else message.body
        mentions = () if meta.kind else meta.mentions
        talk.said.append(
            Said(
                *(self.now, message.sender, message.id, body, meta.kind),
                *(meta.target, meta.removed, meta.reply_to, mentions),
            )
        )
        place = StoredMessage(number, seq, self.now, new=False)
        self.used[message.sender, message.id] = message, place
        return StoredMessage(number, seq, self.now, count=count)

    def reactions(self, talk: Talk, seq: int) -> dict[str, set[int]]:
        """Return those of a message."""
        said = talk.message(seq)
        return said.reactions if said else {}

    def happen(self, number: int, talk: Talk, message: NewMessage) -> str:
        """Let an event happen; return the code of the refusal, or nothing."""
        meta, sender = message.meta, message.sender
        about = meta.target or meta.reply_to
        first = self.since if number == 1 and sender == DAN else 1
        if about and not first <= about <= len(talk.said):
            return "unknown_message"
        if not meta.kind:
            return ""
        said = talk.message(about)
        if said is None:
            return "unknown_message"
        return getattr(self, f"_{meta.kind}")(number, said, message) or ""

    def _edit(self, _: int, said: Said, message: NewMessage) -> str:
        if said.sender != message.sender:
            return "not_allowed"
        if self.now - said.time_ms >= WITHIN:
            return "too_late"
        said.body, said.mentions, said.edited_ms = message.body, message.meta.mentions, self.now
        return ""

    def _redact(self, number: int, said: Said, message: NewMessage) -> str:
        if said.sender != message.sender:
            rank = 0 if said.sender in self.gone else RANK[said.sender]
            if number != 1 or RANK[message.sender] < 2 or RANK[message.sender] <= rank:
                return "not_allowed"
            self.redactions.append((message.sender, said.sender, message.meta.target, message.body))
        said.body, said.mentions, said.edited_ms, said.reactions = None, (), 0, {}
        return ""

    def _react(self, _: int, said: Said, message: NewMessage) -> str:
        people = said.reactions.get(message.body, set())
        if (message.sender in people) is not message.meta.removed:
            return "unchanged"
        said.reactions[message.body] = people ^ {message.sender}
        if not said.reactions[message.body]:
            del said.reactions[message.body]
        return ""

    def expected(self, number: int) -> list[MessageRow]:
        """Return what a conversation must be."""
        talk = self.talks[number]
        return [talk.row(seq) for seq in range(talk.first, len(talk.said) + 1)]

    # --- what is done

    @rule(batch=st.lists(ops, min_size=1, max_size=6), sent=st.lists(again, max_size=2))
    def commit_new(self, batch: list[Op], sent: list[tuple[int, str]]) -> None:
        """Mostly something new."""
        self.commit([*batch, *sent])

    @rule(batch=st.lists(ops | again, min_size=1, max_size=9))
    def commit(self, batch: list[Op | tuple[int, str]]) -> None:
        """Store something in one transaction; also what was sent before, and other things under its ids."""
        messages, outcomes = [], []
        for each in batch:
            message = self.message(each) if isinstance(each, Op) and self.may(each) else None
            if not isinstance(each, Op) and self.sent:
                message = another(self.sent[-1 - each[0] % len(self.sent)], each[1])
            if message is not None and message.sender not in self.gone:
                outcomes.append(self.send(message))
                messages.append(message)
        assert list(self.store.append(messages)[0]) == outcomes

    def may(self, op: Op) -> bool:
        """Return whether a user exists and is in the conversation."""
        return op.sender not in self.gone and op.sender in PAIRS.get(op.conversation, PEOPLE)

    @rule(milliseconds=st.sampled_from([1, WITHIN - 1, WITHIN]))
    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now += milliseconds

    @rule(steps=st.integers(1, 4))
    def keep_house(self, steps: int) -> None:
        """Do some housekeeping."""
        for _ in range(steps):
            self.store.housekeeping.step(Keep())

    @rule(kept=st.integers(3, 12))
    def prune(self, kept: int) -> None:
        """Forget what is old."""
        for _ in range(2):
            while self.store.housekeeping.step(Keep(messages=kept)):
                pass
        for talk in self.talks.values():
            talk.first = max(talk.first, len(talk.said) - kept + 1)

    @rule()
    def reopen(self) -> None:
        """Close and open the file."""
        self.store.close()
        self.store = self.open()

    @rule()
    def come_anew(self) -> None:
        """Dan leaves and comes back, so what was before is not there for him."""
        if DAN not in self.gone:
            self.change("leave", DAN)
            self.change("join", DAN)
            self.since = len(self.talks[1].said) + 1

    @rule(person=st.sampled_from([CAROL, DAN]))
    def erase(self, person: int) -> None:
        """Delete and erase an account: nothing that it wrote is in any file."""
        if person in self.gone:
            return
        self.gone.add(person)
        self.store.delete_account(NAMES[person - 1])
        while self.store.housekeeping.erase_step(person):
            pass
        for talk in self.talks.values():
            for said in talk.said:
                if said.sender == person:
                    said.body, said.mentions, said.reactions = None, (), {}
                said.reactions = {
                    t: left for t, people in said.reactions.items() if (left := people - {person})
                }
        assert not self.store.housekeeping.compaction_due()
        text = f"{NAMES[person - 1]}xyz".encode()
        assert not self.factory.has_trace(self.path, text)

    # --- what must be

    @invariant()
    def all_is_read_as_in_the_model(self) -> None:
        """And what is known of ids."""
        for number in self.talks:
            expected = self.expected(number)
            assert visible(rows_of(self.store, number)) == expected
        asked = [each for message in self.sent[-12:] for each in (message, another(message, "text"))]
        known = [self.used.get((each.sender, each.id)) for each in asked]
        assert list(self.store.known(asked)) == [
            each and (each[1] if content(each[0]) == content(message) else Refused())
            for each, message in zip(known, asked, strict=True)
        ]

    @invariant()
    def all_is_counted_as_in_the_model(self) -> None:
        """Messages of others are unread, and mention a user if they do now; amendments are neither."""
        for person in set(PEOPLE) - self.gone:
            for row, counted, mentioning in self.store.conversation_list(person, 0, 9):
                talk = self.talks[row.id]
                seqs = range(max(talk.first, row.read + 1), len(talk.said) + 1)
                unread = [
                    said for seq in seqs if not (said := talk.said[seq - 1]).kind and said.sender != person
                ]
                mentions = sum(person in said.mentions for said in unread)
                assert (counted, mentioning) == (len(unread), mentions)
        log = [each for each in self.store.room_log(1) if each.action == "redact"][::-1]
        assert [(each.actor, each.target, each.seq, each.text) for each in log] == self.redactions

    @invariant()
    def what_is_there_is_found(self) -> None:
        """And nothing else: not the texts of before, not events; not from before one joined."""
        while self.words % 3 == 0 and self.store.housekeeping.step(Keep()):
            pass
        for person in {ALICE, DAN} - self.gone:
            places: dict[str, tuple[int, int]] = {}
            for number, talk in self.talks.items():
                for seq in range(self.begins(person, number), len(talk.said) + 1):
                    said = talk.message(seq)
                    if said is not None and said.body:
                        places[said.body] = number, seq
            for word in [each.body for each in self.sent[-6:] if each.body not in {"+1", "ok"}]:
                found, complete = self.store.search(person, [word], conversation=None, before=NEWEST, limit=9)
                matches = [(each.conversation, each.message.seq) for each in found]
                right = [places[word]] if word in places else []
                assert matches == right or (not complete and not matches)


def content(message: NewMessage) -> tuple[object, ...]:
    """Return what must be the same in a retry."""
    meta = message.meta
    text = "" if meta.kind == "redact" else message.body
    return message.recipient, meta.kind, meta.target, meta.removed, text


def another(message: NewMessage, what: str) -> NewMessage:
    """Return a message with the same id and another text or target; or the same one."""
    match what:
        case "text":
            return msgspec.structs.replace(message, body=message.body + "x")
        case "target":
            meta = msgspec.structs.replace(message.meta, target=message.meta.target + 1)
            return msgspec.structs.replace(message, meta=meta) if message.meta.kind else message
    return message


def test_any_amendments_are_as_in_the_model(store_factory: StoreFactory) -> None:
    """In any order, with retries, restarts, pruning and erasing in between."""

    class Machine(EventMachine):
        factory = store_factory

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )
