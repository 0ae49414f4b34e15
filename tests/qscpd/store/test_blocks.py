"""Random blocks, messages and deletions, compared with a model; and single cases."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from qscp.errors import ErrorCode
from qscp.limits import BLOCKS_LIMIT
from qscp.rooms import HistoryFrom
from qscpd.domain.events import BlockChanged, Event
from qscpd.domain.model import (
    NO_META,
    AccountState,
    MessageMeta,
    NewMessage,
    Outcome,
    Refused,
    RefusedMessage,
    StoredMessage,
)
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.stores import StoreFactory, add_room, unread_of

NAMES: Final = ("alice", "bob", "carol", "dan")
ALICE, BOB, CAROL, DAN = 1, 2, 3, 4

accounts = st.sampled_from((ALICE, BOB, CAROL, DAN))
metas = st.sampled_from(
    (
        NO_META,
        NO_META,
        MessageMeta(reply_to=1),
        MessageMeta(kind="edit", target=1),
        MessageMeta(kind="redact", target=1),
        MessageMeta(kind="react", target=1),
    )
)


class BlockMachine(RuleBasedStateMachine):
    """A store and the model: a set of pairs, and the outcome of each id."""

    factory: StoreFactory

    def __init__(self) -> None:
        super().__init__()
        self.folder = memory_folder()
        self.path = Path(self.folder.name)
        self.events: list[Event] = []
        self.store = self.open()
        for name in NAMES:
            self.store.add_account(name, "x")
        self.blocks: set[tuple[int, int]] = set()
        self.deleted: set[int] = set()
        self.known: dict[int, tuple[NewMessage, Outcome]] = {}
        self.seqs: dict[frozenset[int], int] = {}
        self.make_id = IdMaker()

    def open(self) -> Store:
        """Open the store, and collect its events."""
        store = self.factory.open(self.path, edit_within_ms=3_600_000)
        store.listen(self.events.extend)
        return store

    def teardown(self) -> None:
        """Check the integrity of the store."""
        try:
            self.factory.check(self.store)
        finally:
            self.store.close()
            self.folder.cleanup()

    @rule(account=accounts, other=accounts)
    def block(self, account: int, other: int) -> None:
        """Block, once."""
        self.events.clear()
        if account == other or account in self.deleted or (account, other) in self.blocks:
            with pytest.raises(DeniedError):
                self.store.block(account, other)
            assert self.events == []
            return
        self.store.block(account, other)
        self.blocks.add((account, other))
        assert self.events == [BlockChanged(account, other)]

    @rule(account=accounts, other=accounts)
    def unblock(self, account: int, other: int) -> None:
        """Unblock what is blocked."""
        self.events.clear()
        if (account, other) not in self.blocks:
            with pytest.raises(DeniedError, match="No change"):
                self.store.unblock(account, other)
            assert self.events == []
            return
        self.store.unblock(account, other)
        self.blocks.remove((account, other))
        assert self.events == [BlockChanged(account, other, removed=True)]

    @rule(messages=st.lists(st.tuples(accounts, accounts, metas), min_size=1, max_size=5))
    def send(self, messages: Sequence[tuple[int, int, MessageMeta]]) -> None:
        """Send some messages in one transaction."""
        sent = [
            NewMessage(sender, recipient, self.make_id(), "text", meta)
            for sender, recipient, meta in messages
            if sender != recipient and not {sender, recipient} & self.deleted
        ]
        if not sent:
            return
        outcomes, _ = self.store.append(sent)
        for message, outcome in zip(sent, outcomes, strict=True):
            self.check(message, outcome)
            self.known[len(self.known)] = message, outcome

    def check(self, message: NewMessage, outcome: Outcome) -> None:
        """Compare an outcome with the model."""
        sender, recipient = message.sender, message.recipient
        pair = frozenset((sender, recipient))
        if message.meta.kind != "redact":
            if (sender, recipient) in self.blocks:
                assert outcome == Refused(ErrorCode.USER_BLOCKED)
                return
            if (recipient, sender) in self.blocks:
                assert outcome == Refused(ErrorCode.NOT_ACCEPTED)
                return
        if isinstance(outcome, Refused):
            assert outcome.code not in (ErrorCode.USER_BLOCKED, ErrorCode.NOT_ACCEPTED)
            assert message.meta != NO_META
            return
        self.seqs[pair] = self.seqs.get(pair, 0) + 1
        assert (outcome.new, outcome.seq) == (True, self.seqs[pair])

    @rule(number=st.integers(0, 50))
    def repeat(self, number: int) -> None:
        """A message that is sent again gets its first outcome, whatever is blocked by now."""
        if number not in self.known:
            return
        message, first = self.known[number]
        (again,), _ = self.store.append([message])
        assert self.store.known([message]) == [again]
        if isinstance(first, StoredMessage):
            assert isinstance(again, StoredMessage)
            assert (again.conversation, again.seq, again.new) == (first.conversation, first.seq, False)
        else:
            assert again == first

    @rule(account=st.sampled_from((CAROL, DAN)))
    def delete(self, account: int) -> None:
        """A deleted account blocks nobody; blocks of it stay."""
        if account in self.deleted:
            return
        self.events.clear()
        self.store.delete_account(NAMES[account - 1])
        self.deleted.add(account)
        gone = sorted(each for each in self.blocks if each[0] == account)
        changes = [each for each in self.events if isinstance(each, BlockChanged)]
        assert changes == [BlockChanged(*each, removed=True) for each in gone]
        self.blocks.difference_update(gone)

    @rule()
    def reopen(self) -> None:
        """Open the store again."""
        self.store.close()
        self.store = self.open()

    @invariant()
    def same_blocks(self) -> None:
        """The store has the blocks of the model."""
        assert [(each.account, each.blocked) for each in self.store.blocks()] == sorted(self.blocks)
        assert [each.blocked for each in self.store.blocks(ALICE)] == sorted(
            blocked for account, blocked in self.blocks if account == ALICE
        )


def test_blocks_as_the_model(store_factory: StoreFactory) -> None:
    """Any order of blocks, messages, retries, deletions and restarts has the outcomes of the model."""

    class Machine(BlockMachine):
        factory = store_factory

    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=30))


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path) -> Iterator[Store]:
    """A store with alice, bob, carol and dan as 1 to 4."""
    with contextlib.closing(store_factory.open(tmp_path, edit_within_ms=3_600_000)) as opened:
        for name in NAMES:
            opened.add_account(name, "x")
        yield opened


def message(number: int, sender: int, recipient: int, text: str = "text") -> NewMessage:
    """Return a message with the id of a number."""
    return NewMessage(sender, recipient, f"{number:032x}", text)


def codes(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the codes of outcomes; of a stored message `new` or `again`."""
    return [
        str(each.code) if isinstance(each, Refused) else ("new" if each.new else "again") for each in outcomes
    ]


def test_a_refused_message_makes_no_conversation(store: Store) -> None:
    """A blocked user who never wrote before does not appear in the list of conversations."""
    store.block(BOB, ALICE)
    outcomes, _ = store.append([message(1, ALICE, BOB), message(2, ALICE, CAROL), message(3, ALICE, BOB)])
    assert codes(outcomes) == ["not_accepted", "new", "not_accepted"]
    assert store.conversations(BOB) == []
    assert [row.name for row in store.conversations(ALICE)] == ["carol"]
    store.unblock(BOB, ALICE)
    assert codes(store.append([message(1, ALICE, BOB), message(4, ALICE, BOB)])[0]) == ["not_accepted", "new"]


def test_the_id_decides_before_the_block(store: Store) -> None:
    """A stored message is acknowledged again after a block; one that breaks a rule keeps its own code."""
    store.append([message(1, ALICE, BOB)])
    store.block(BOB, ALICE)
    bad = RefusedMessage(ALICE, 0, f"{2:032x}", "", code=ErrorCode.BODY_EMPTY, to="bob")
    again, other, new = message(1, ALICE, BOB), message(1, ALICE, CAROL), message(3, ALICE, BOB)
    outcomes, _ = store.append([again, bad, new, other])
    assert codes(outcomes) == ["again", "body_empty", "not_accepted", "id_conflict"]


def test_own_messages_can_be_redacted_under_a_block(store: Store) -> None:
    """Both users can delete what they wrote, and nothing else."""
    store.append([message(1, ALICE, BOB), message(2, BOB, ALICE)])
    store.block(BOB, ALICE)
    events = [
        NewMessage(ALICE, BOB, f"{3:032x}", "", MessageMeta(kind="redact", target=2)),
        NewMessage(ALICE, BOB, f"{4:032x}", "", MessageMeta(kind="redact", target=1)),
        NewMessage(BOB, ALICE, f"{5:032x}", "", MessageMeta(kind="redact", target=2)),
    ]
    assert codes(store.append(events)[0]) == ["not_allowed", "new", "new"]


def test_the_limit_of_blocks(store: Store) -> None:
    """An account blocks at most so many others; unblocking one makes room."""
    others = [store.add_account(f"u{number}", "x").id for number in range(BLOCKS_LIMIT + 1)]
    for each in others[:-1]:
        store.block(ALICE, each)
    with pytest.raises(DeniedError) as denied:
        store.block(ALICE, others[-1])
    assert denied.value.code is ErrorCode.TOO_MANY_BLOCKS
    store.unblock(ALICE, others[0])
    store.block(ALICE, others[-1])
    store.block(BOB, others[-1])


def test_a_new_account_of_the_name_is_not_blocked(store: Store) -> None:
    """A block is for the account: the next holder of its name can write."""
    store.block(ALICE, BOB)
    store.delete_account("bob")
    second = store.add_account("bob", "x", reuse_name=True)
    assert codes(store.append([message(1, second.id, ALICE)])[0]) == ["new"]
    assert [each.blocked for each in store.blocks(ALICE)] == [BOB]
    with pytest.raises(DeniedError):
        store.block(BOB, ALICE)


def test_invitations_under_a_block(store: Store) -> None:
    """Neither can invite the other one to a room; the operator can, and others."""
    add_room(store, "#one", "alice", "carol", history=HistoryFrom.FULL)
    add_room(store, "#two", "bob", history=HistoryFrom.FULL)
    store.block(BOB, ALICE)

    def invite(room: str, actor: int | None, target: int) -> str:
        try:
            store.change_room(RoomChange(action="invite", room=room, actor=actor, target=target))
        except DeniedError as error:
            return str(error.code)
        return "ok"

    assert invite("#one", ALICE, BOB) == "not_accepted"
    assert invite("#two", BOB, ALICE) == "user_blocked"
    assert invite("#two", ALICE, BOB) == "not_a_member"
    assert invite("#one", CAROL, BOB) == "ok"
    assert invite("#two", None, ALICE) == "ok"


def test_mentions_by_blocked_users_are_not_counted(store: Store) -> None:
    """In a room, messages of a blocked user are unread, and their mentions are not."""
    add_room(store, "#one", "alice", "bob", "carol", history=HistoryFrom.FULL)
    room = store.find_room("#one").id
    meta = MessageMeta(mentions=(ALICE,))
    store.append([NewMessage(sender, -room, f"{sender:032x}", "@alice", meta) for sender in (BOB, CAROL)])
    assert unread_of(store, ALICE, room) == (2, 2)
    store.block(ALICE, BOB)
    assert unread_of(store, ALICE, room) == (2, 1)
    assert unread_of(store, BOB, room) == (1, 0)


def test_a_denied_block_keeps_the_caches(store: Store) -> None:
    """A block that is refused is no transaction that is undone."""
    undone: list[bool] = []
    store.block(ALICE, BOB)
    store._db.on_rollback(lambda: undone.append(True))  # type: ignore[attr-defined]  # of the SQLite driver
    for change in (store.block, store.unblock):
        with pytest.raises(DeniedError):
            change(ALICE, BOB if change == store.block else CAROL)
    assert undone == []
    assert store.find_account("bob").state is AccountState.ACTIVE
