"""What an id was used for decides: stored once, or refused once, whatever changes meanwhile."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from qscp.errors import ErrorCode
from qscp.rooms import RoomKind
from qscpd.domain.messages import digest
from qscpd.domain.model import (
    NewMessage,
    Outcome,
    Refused,
    RefusedMessage,
    StoredMessage,
)
from qscpd.domain.retention import KEEP_IDS_MS
from qscpd.domain.rooms import RoomChange
from qscpd.store.base import Store
from tests.support.memory import memory_folder
from tests.support.stores import ManualClock, StoreFactory, clock_of, housekeep, housekeeping_step, rows_of

ALICE, BOB, CAROL = 1, 2, 3
DAY: Final = 24 * 3600 * 1000
ROOM: Final = "#dev"
NAMES: Final = ("alice", "bob", "carol")


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """A store with alice, bob and carol; carol owns #dev, which alice has joined."""
    with contextlib.closing(store_factory.open(tmp_path, clock=clock)) as opened:
        for name in NAMES:
            opened.add_account(name, "hash")
        opened.change_room(RoomChange(action="create", room=ROOM, actor=CAROL))
        opened.change_room(RoomChange(action="join", room=ROOM, actor=ALICE))
        yield opened


def message(number: int, recipient: int = BOB, body: str = "hello") -> NewMessage:
    """Return a message of alice whose id is made from a number."""
    return NewMessage(ALICE, recipient, f"{number:032x}", body)


def refused(number: int, code: ErrorCode, to: str = "nosuch", body: str = "hello") -> RefusedMessage:
    """Return a message of alice that breaks a rule."""
    return RefusedMessage(ALICE, 0, f"{number:032x}", body, code=code, to=to)


def append(store: Store, *messages: NewMessage) -> list[Outcome]:
    """Store messages in one transaction."""
    return list(store.append(messages)[0])


# --- refusals


def test_a_refusal_is_remembered(store_factory: StoreFactory, tmp_path: Path, store: Store) -> None:
    """A refused id gets its code again for any message: in its transaction, later, and after a restart."""
    sent = refused(1, ErrorCode.UNKNOWN_RECIPIENT)
    no = Refused(ErrorCode.UNKNOWN_RECIPIENT)
    others = [message(1), message(1, -1), refused(1, ErrorCode.BODY_EMPTY), sent]
    assert append(store, sent, *others) == [no] * 5
    assert append(store, *others) == store.known(others) == [no] * 4
    store.close()
    with contextlib.closing(store_factory.open(tmp_path)) as again:
        assert append(again, *others) == again.known(others) == [no] * 4
        assert isinstance(append(again, message(2))[0], StoredMessage)
        assert [row.id for row in rows_of(again, 2)] == [message(2).id]


@pytest.mark.parametrize("code", [code for code in ErrorCode if code is not ErrorCode.ID_CONFLICT])
def test_any_code_is_remembered(store: Store, code: ErrorCode) -> None:
    """Every code can be remembered."""
    assert append(store, refused(1, code)) == append(store, message(1)) == [Refused(code)]


def test_a_refusal_belongs_to_an_account(store: Store) -> None:
    """Another account can use an id that was refused."""
    append(store, refused(1, ErrorCode.BODY_EMPTY))
    theirs = NewMessage(BOB, ALICE, f"{1:032x}", "hello")
    assert store.known([theirs]) == [None]
    assert isinstance(append(store, theirs)[0], StoredMessage)


def test_a_repeated_refusal_has_no_wait(store: Store) -> None:
    """The first refusal of a muted member says how long to wait; its repetition does not."""
    mute = RoomChange(action="mute", room=ROOM, actor=CAROL, target=ALICE, seconds=60)
    store.change_room(mute)
    assert append(store, message(1, -1), message(1, -1)) == [
        Refused(ErrorCode.MUTED, 60.0),
        Refused(ErrorCode.MUTED),
    ]


def test_a_refusal_is_known_for_thirty_days(store: Store, clock: ManualClock) -> None:
    """A refusal is known for thirty days, and forgotten a day later."""
    append(store, refused(1, ErrorCode.BODY_EMPTY))
    clock.ms += KEEP_IDS_MS
    clean_up(store)
    assert append(store, message(1)) == [Refused(ErrorCode.BODY_EMPTY)]
    clock.ms += DAY
    clean_up(store)
    assert append(store, message(1)) == [StoredMessage(2, 1, clock.ms)]


def clean_up(store: Store) -> None:
    """Do all housekeeping."""
    housekeep(store)


def test_a_refusal_stores_no_text(store: Store, store_factory: StoreFactory, tmp_path: Path) -> None:
    """Neither text nor recipient of a refused message is kept."""
    append(store, refused(1, ErrorCode.UNKNOWN_RECIPIENT, to="heron-name", body="heron-text"))
    store.close()
    assert not store_factory.has_trace(tmp_path, b"heron")
    assert not store_factory.has_trace(tmp_path, digest("0\nheron-text"))


def test_refusals_make_no_conversation(store: Store) -> None:
    """A refused message makes no conversation, and leaves no hole in the seqs of others."""
    sent = [
        message(1),
        refused(2, ErrorCode.BODY_EMPTY, "bob", ""),
        message(3),
        refused(4, ErrorCode.BAD_TEXT),
    ]
    places = [each.seq for each in append(store, *sent) if isinstance(each, StoredMessage)]
    assert places == [1, 2]
    assert [row.id for row in store.conversations(ALICE)] == [1, 2]


def test_a_refused_message_of_a_room(store: Store) -> None:
    """A message to a room that breaks a rule is refused among others to the room, and remembered."""
    empty = RefusedMessage(ALICE, -1, f"{2:032x}", "", code=ErrorCode.BODY_EMPTY, to=ROOM)
    outcomes = append(store, message(1, -1), empty, message(3, -1), empty)
    assert [getattr(each, "code", getattr(each, "seq", None)) for each in outcomes] == [
        1,
        ErrorCode.BODY_EMPTY,
        2,
        ErrorCode.BODY_EMPTY,
    ]


# --- stored messages, sent again


@pytest.mark.parametrize("to", ["bob", "Bob", " BOB "])
def test_a_message_to_a_former_holder_of_a_name(store: Store, to: str) -> None:
    """A retry is recognised by the name, when no account has it, and when another one has."""
    place = append(store, message(1))[0]
    assert isinstance(place, StoredMessage)
    again = [msgspec.structs.replace(place, new=False)]
    store.delete_account("bob")
    assert append(store, refused(1, ErrorCode.UNKNOWN_RECIPIENT, to)) == again
    reused = store.add_account("bob", "hash", reuse_name=True)
    assert append(store, message(1, reused.id)) == again
    assert append(store, message(1, reused.id, "other")) == [Refused()]
    assert append(store, message(1, CAROL)) == [Refused()]
    assert append(store, refused(1, ErrorCode.UNKNOWN_RECIPIENT, "nosuch")) == [Refused()]
    assert append(store, refused(1, ErrorCode.UNKNOWN_RECIPIENT, "#bob")) == [Refused()]
    assert append(store, refused(1, ErrorCode.UNKNOWN_RECIPIENT, "not a name")) == [Refused()]
    assert append(store, message(2, reused.id)) != again


class Send(NamedTuple):
    """A message to send."""

    number: int
    """Makes its id."""
    to: str
    body: str


class Fate(NamedTuple):
    """What became of an id."""

    sent: Send
    outcome: Outcome
    """Of a repetition."""


sends: Final = st.builds(
    Send,
    st.integers(1, 14),
    st.sampled_from(["bob", "bob", "carol", ROOM, ROOM, "alice", "nosuch", "#nosuch"]),
    st.sampled_from(["one", "one", "two", ""]),
)


class IdMachine(RuleBasedStateMachine):
    """A store and a dictionary of what became of each id; every message is alice's."""

    factory: StoreFactory

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000_000
        self.folder = memory_folder()
        self.path = Path(self.folder.name)
        self.store = self.open()
        self.accounts = {name: self.store.add_account(name, "x").id for name in NAMES}
        self.fates: dict[int, Fate] = {}
        self.stored: dict[int, list[int]] = {}
        """Numbers of stored messages, by conversation, but for deleted rooms."""
        self.room = 0
        """Conversation of the room; 0 if it does not exist."""
        self.owner = 0
        self.member = self.muted = self.archived = False
        self.make_room()

    def open(self) -> Store:
        """Open the store."""
        return self.factory.open(self.path, clock=clock_of(lambda: self.now))

    def teardown(self) -> None:
        """Check that what was stored is all that there is, in order."""
        try:
            for conversation, numbers in self.stored.items():
                assert [int(row.id, 16) for row in rows_of(self.store, conversation)] == numbers
            self.factory.check(self.store)
        finally:
            self.store.close()
            self.folder.cleanup()

    # --- the model

    def resolve(self, sent: Send) -> NewMessage:
        """Return a message as the daemon submits it."""
        message_id = f"{sent.number:032x}"
        room = sent.to.startswith("#")
        recipient = (-self.room if sent.to == ROOM else 0) if room else self.accounts.get(sent.to, 0)
        code = None
        if not recipient:
            code = ErrorCode.UNKNOWN_ROOM if room else ErrorCode.UNKNOWN_RECIPIENT
        elif recipient == ALICE:
            code = ErrorCode.RECIPIENT_IS_SELF
        elif not sent.body:
            code = ErrorCode.BODY_EMPTY
        if code is None:
            return NewMessage(ALICE, recipient, message_id, sent.body)
        return RefusedMessage(ALICE, min(0, recipient), message_id, sent.body, code=code, to=sent.to)

    def refusal(self, message: NewMessage) -> ErrorCode | None:
        """Return why a message with a new id is refused; None if it is stored."""
        if isinstance(message, RefusedMessage):
            return message.code
        if message.recipient > 0:
            return None
        if not self.member:
            return ErrorCode.NOT_A_MEMBER
        if self.archived:
            return ErrorCode.ROOM_ARCHIVED
        return ErrorCode.MUTED if self.muted else None

    def known(self, sent: Send) -> Outcome | None:
        """Return the outcome of a message whose id was used; None if it is new."""
        fate = self.fates.get(sent.number)
        if fate is None:
            return None
        if isinstance(fate.outcome, StoredMessage) and fate.sent != sent:
            return Refused()
        return fate.outcome

    # --- rules

    @rule(batch=st.lists(sends, min_size=1, max_size=6))
    def commit(self, batch: list[Send]) -> None:
        """Store messages in one transaction, and compare each outcome."""
        messages = [self.resolve(each) for each in batch]
        for sent, message, outcome in zip(batch, messages, append(self.store, *messages), strict=True):
            expected = self.known(sent)
            if expected is not None:
                assert outcome == expected
                continue
            code = self.refusal(message)
            if code is not None:
                assert isinstance(outcome, Refused)
                assert outcome.code is code
                self.fates[sent.number] = Fate(sent, Refused(code))
                continue
            assert isinstance(outcome, StoredMessage)
            numbers = self.stored.setdefault(outcome.conversation, [])
            numbers.append(sent.number)
            assert (outcome.seq, outcome.time_ms, outcome.new) == (len(numbers), self.now, True)
            self.fates[sent.number] = Fate(sent, msgspec.structs.replace(outcome, new=False))
        self.now += 1

    @rule(name=st.sampled_from(["bob", "carol"]), erase=st.booleans())
    def delete_account(self, name: str, erase: bool) -> None:
        """Delete an account, and perhaps erase it."""
        account = self.accounts.pop(name, None)
        if account is None:
            return
        self.store.delete_account(name)
        while erase and self.store.housekeeping.erase_step(account):
            pass
        if account == self.owner:  # alice inherits the room; without her it is archived
            self.archived |= not self.member

    @rule(name=st.sampled_from(["bob", "carol", "nosuch"]))
    def add_account(self, name: str) -> None:
        """Make an account, perhaps with the name of a deleted one."""
        if name not in self.accounts:
            self.accounts[name] = self.store.add_account(name, "x", reuse_name=True).id

    @rule(joins=st.booleans())
    def replace_room(self, joins: bool) -> None:
        """Delete the room; with the next call make another one of that name."""
        if self.room:
            self.change("delete")
            self.stored.pop(self.room, None)  # housekeeping removes its messages
            self.room = self.owner = 0
        elif "carol" in self.accounts:
            self.make_room(joins=joins)

    def make_room(self, *, joins: bool = True) -> None:
        """Make the room, as carol's."""
        self.owner = self.accounts["carol"]
        create = RoomChange(action="create", room=ROOM, actor=None, target=self.owner, kind=RoomKind.OPEN)
        self.room = self.store.change_room(create).room.id
        self.muted = self.archived = False
        self.member = joins
        if joins:
            self.change("join", actor=ALICE)

    @rule(action=st.sampled_from(["mute", "unmute", "archive", "unarchive", "remove"]))
    def moderate(self, action: str) -> None:
        """Mute, unmute or remove alice; archive or unarchive the room."""
        if not self.room or self.archived != (action == "unarchive"):
            return
        if not self.member or self.owner not in self.accounts.values():
            return  # alice is the last owner, or the room has none
        if action in ("archive", "unarchive"):
            self.change(action)
            self.archived = action == "archive"
        elif action == "remove":
            self.change(action, target=ALICE)
            self.member = False
        elif self.muted != (action == "mute"):
            self.change(action, target=ALICE)
            self.muted = action == "mute"

    def change(self, action: str, *, actor: int | None = None, target: int | None = None) -> None:
        """Change the room; without an actor it is the operator."""
        self.store.change_room(RoomChange(action=action, room=ROOM, actor=actor, target=target))

    @rule(steps=st.integers(1, 4))
    def clean_up(self, steps: int) -> None:
        """Do some housekeeping."""
        for _ in range(steps):
            housekeeping_step(self.store)

    @rule()
    def reopen(self) -> None:
        """Close and open the store."""
        self.store.close()
        self.store = self.open()

    @invariant()
    def ids_are_known(self) -> None:
        """The store knows each id without writing, and no other."""
        asked = [fate.sent for fate in self.fates.values()]
        asked += [each._replace(body="other") for each in asked] + [Send(99, "bob", "one")]
        known = self.store.known([self.resolve(each) for each in asked])
        assert list(known) == [self.known(each) for each in asked]


def test_any_changes_between_a_message_and_its_retry(store_factory: StoreFactory) -> None:
    """Ids have one fate over any changes of accounts, rooms and memberships, restarts and housekeeping."""

    class Machine(IdMachine):
        factory = store_factory

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=100, stateful_step_count=30, deadline=None)
    )
