"""Events of a store: one for each committed change, and no others."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.events import AccountChanged, Event, RoomChanged
from qscpd.domain.model import Account, AccountState, NewMessage
from qscpd.domain.rooms import NO_MEMBERSHIP, DeniedError, Membership, RoomChange, RoomRow, RoomState
from qscpd.errors import ExistsError, NotFoundError
from qscpd.store.base import Store
from tests.support.memory import memory_folder
from tests.support.stores import StoreFactory

ALICE, BOB, CAROL = 1, 2, 3
NAMES = ("alice", "bob", "carol")


class Listener:
    """Accounts and rooms, rebuilt from the events of a store.

    Attributes:
        commits: The events of each transaction.
        accounts: Accounts by id.
        rooms: Rooms that are not deleted, by conversation, with the seqs of their last event.
        memberships: Memberships of each room, by account id.
    """

    def __init__(self, store: Store) -> None:
        self.commits: list[Sequence[Event]] = []
        self.accounts: dict[int, Account] = {}
        self.rooms: dict[int, RoomRow] = {}
        self.memberships: dict[int, dict[int, Membership]] = {}
        store.listen(self.on_commit)

    def on_commit(self, events: Sequence[Event]) -> None:
        """Apply the events of a transaction."""
        assert events
        self.commits.append(tuple(events))
        for event in events:
            if isinstance(event, AccountChanged):
                self.accounts[event.account.id] = event.account
            elif isinstance(event, RoomChanged):
                self.apply(event)

    def apply(self, event: RoomChanged) -> None:
        """Apply a change of a room."""
        number = event.room.id
        memberships = self.memberships.setdefault(number, {})
        memberships.update(event.memberships)
        self.memberships[number] = {
            account: each for account, each in memberships.items() if each != NO_MEMBERSHIP
        }
        self.rooms[number] = event.room
        if event.room.state is RoomState.DELETED:
            assert self.memberships.pop(number) == {}
            del self.rooms[number]

    def check(self, store: Store) -> None:
        """Compare with the accounts, rooms and memberships that the store returns."""
        living = {each for each in self.accounts.values() if each.state is not AccountState.DELETED}
        assert living == set(store.accounts())
        assert {row.id: row for row in store.rooms()} == self.rooms
        for number, memberships in self.memberships.items():
            stored = store.memberships(number)
            assert {account: each for account, each in stored.items() if each != NO_MEMBERSHIP} == memberships

    def take(self) -> list[Sequence[Event]]:
        """Return the commits since the last call."""
        commits, self.commits = self.commits, []
        return commits


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path) -> Iterator[Store]:
    """A store with three accounts."""
    with contextlib.closing(store_factory.open(tmp_path)) as store:
        for name in NAMES:
            store.add_account(name, "x")
        yield store


def change(action: str, actor: int | None, target: int | None = None, **fields: object) -> RoomChange:
    """Return a change of `#dev`."""
    return RoomChange(action=action, room="#dev", actor=actor, target=target, **fields)  # type: ignore[arg-type]


def test_each_change_of_an_account_is_an_event(store: Store) -> None:
    """Each change of an account emits an event with the new account; a renewed hash emits none."""
    listener = Listener(store)
    done = [
        store.add_account("dan", "x"),
        store.set_password("dan", "y"),
        store.set_locked("dan", locked=True),
        store.set_locked("dan", locked=False),
        store.delete_account("dan"),
    ]
    assert listener.take() == [(AccountChanged(each),) for each in done]
    store.replace_hash(ALICE, "x", "y")
    assert listener.commits == []


def test_each_change_of_a_room_is_an_event(store: Store) -> None:
    """Each change of a room emits an event with the new room, the changed memberships and the change."""
    listener = Listener(store)
    for each in (change("create", ALICE), change("join", BOB), change("topic", ALICE, text="Tea")):
        result = store.change_room(each)
        assert listener.take() == [(RoomChanged(result.room, result.memberships, each),)]


def test_the_event_of_a_deleted_account_precedes_those_of_its_rooms(store: Store) -> None:
    """Deleting an account emits, in one commit, its own event and then those of its rooms."""
    for name in ("#attic", "#bath"):
        store.change_room(RoomChange(action="create", room=name, actor=ALICE))
    store.change_room(RoomChange(action="join", room="#bath", actor=BOB))
    listener = Listener(store)
    account = store.delete_account("alice")
    attic, bath = store.find_room("#attic"), store.find_room("#bath")
    owner = Membership(RoomRole.OWNER)
    assert listener.take() == [
        (
            AccountChanged(account),
            RoomChanged(attic, {ALICE: NO_MEMBERSHIP}),
            RoomChanged(bath, {ALICE: NO_MEMBERSHIP, BOB: owner}),
        )
    ]
    assert (attic.state, bath.owners) == (RoomState.ARCHIVED, 1)


def test_changes_of_one_transaction_are_one_commit(store: Store) -> None:
    """The changes of one transaction emit one commit; a denied change emits no event."""
    listener = Listener(store)
    made, denied, joined = store.change_rooms(
        [change("create", ALICE), change("topic", CAROL), change("join", BOB)]
    )
    assert isinstance(denied, DeniedError)
    ((first, second),) = listener.take()
    assert isinstance(first, RoomChanged)
    assert isinstance(second, RoomChanged)
    assert not isinstance(made, DeniedError)
    assert not isinstance(joined, DeniedError)
    assert ((first.room, first.memberships), (second.room, second.memberships)) == (made, joined)


def test_a_refused_or_undone_change_emits_no_event(store: Store) -> None:
    """A refused change and a transaction that is rolled back emit no events."""
    store.change_room(change("create", ALICE))
    listener = Listener(store)
    with pytest.raises(ExistsError):
        store.add_account("alice", "x")
    with pytest.raises(NotFoundError):
        store.set_locked("zoe", locked=True)
    with pytest.raises(DeniedError):
        store.change_room(change("leave", BOB))
    bad = change("topic", ALICE, text="\ud800")  # cannot be encoded
    with pytest.raises(UnicodeEncodeError):
        store.change_rooms([change("join", BOB), bad])
    assert listener.commits == []
    store.change_room(change("join", CAROL))
    assert len(listener.take()) == 1
    assert BOB not in store.memberships(1)


def test_events_without_a_listener_are_dropped(store: Store) -> None:
    """A store works without a listener; a listener gets only events after it was registered."""
    store.change_room(change("create", ALICE))
    listener = Listener(store)
    store.append([NewMessage(ALICE, -1, f"{1:032x}", "hi")])
    assert listener.commits == []
    store.change_room(change("join", BOB))
    assert len(listener.take()) == 1
    store.listen(None)
    store.change_room(change("leave", BOB))
    assert listener.commits == []


accounts = st.sampled_from([ALICE, BOB, CAROL])
actions = st.one_of(
    st.builds(
        RoomChange,
        action=st.sampled_from(
            ["join", "leave", "invite", "remove", "ban", "unban", "mute", "unmute", "archive"]
        ),
        room=st.sampled_from(["#attic", "#bath"]),
        actor=accounts,
        target=accounts,
    ),
    st.builds(
        RoomChange,
        action=st.sampled_from(["create", "role", "set", "topic", "unarchive"]),
        room=st.sampled_from(["#attic", "#bath"]),
        actor=accounts,
        target=accounts,
        role=st.sampled_from(list(RoomRole)),
        text=st.sampled_from(["", "tea"]),
        kind=st.sampled_from(list(RoomKind)),
        history=st.sampled_from(list(HistoryFrom)),
    ),
    st.builds(RoomChange, action=st.just("delete"), room=st.just("#bath"), actor=st.none()),
    st.tuples(st.sampled_from(["add", "lock", "unlock", "delete"]), st.sampled_from((*NAMES, "dan"))),
)


def _do(store: Store, action: tuple[str, str]) -> None:
    kind, name = action
    if kind == "add":
        store.add_account(name, "x", reuse_name=True)
    elif kind == "delete":
        store.delete_account(name)
    else:
        store.set_locked(name, locked=kind == "lock")


@settings(max_examples=60, deadline=None)
@given(script=st.lists(actions, max_size=25))
def test_the_events_rebuild_the_state_of_the_store(
    store_factory: StoreFactory, script: list[RoomChange | tuple[str, str]]
) -> None:
    """State rebuilt from the events equals the store's after any changes of accounts and rooms."""
    with memory_folder() as folder, contextlib.closing(store_factory.open(Path(folder))) as store:
        listener = Listener(store)
        for name in NAMES:
            store.add_account(name, "x")
        for action in script:
            with contextlib.suppress(DeniedError, ExistsError, NotFoundError):
                if isinstance(action, RoomChange):
                    store.change_room(action)
                else:
                    _do(store, action)
            listener.check(store)
