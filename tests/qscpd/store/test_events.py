"""Events of a store: they say what was committed, and nothing else."""

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
    """Accounts and rooms, as the events say.

    Attributes:
        commits: The events of each transaction.
        accounts: Accounts by id.
        rooms: Rooms that are not deleted, by conversation; seqs as of the last event.
        memberships: Of each of the rooms, by account id.
    """

    def __init__(self, store: Store) -> None:
        self.commits: list[Sequence[Event]] = []
        self.accounts: dict[int, Account] = {}
        self.rooms: dict[int, RoomRow] = {}
        self.memberships: dict[int, dict[int, Membership]] = {}
        store.listen(self.on_commit)

    def on_commit(self, events: Sequence[Event]) -> None:
        """Apply what was committed."""
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
        self.memberships[number] = {who: each for who, each in memberships.items() if each != NO_MEMBERSHIP}
        self.rooms[number] = event.room
        if event.room.state is RoomState.DELETED:
            assert self.memberships.pop(number) == {}
            del self.rooms[number]

    def check(self, store: Store) -> None:
        """Compare with what the store reads back."""
        living = {each for each in self.accounts.values() if each.state is not AccountState.DELETED}
        assert living == set(store.accounts())
        assert {row.id: row for row in store.rooms()} == self.rooms
        for number, memberships in self.memberships.items():
            stored = store.memberships(number)
            assert {who: each for who, each in stored.items() if each != NO_MEMBERSHIP} == memberships

    def take(self) -> list[Sequence[Event]]:
        """Return and forget the commits."""
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
    """With the account afterwards; a renewed hash of the same password is none."""
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
    """With the room and the memberships afterwards, and the change."""
    listener = Listener(store)
    for each in (change("create", ALICE), change("join", BOB), change("topic", ALICE, text="Tea")):
        result = store.change_room(each)
        assert listener.take() == [(RoomChanged(result.room, result.memberships, each),)]


def test_a_deleted_account_is_an_event_before_those_of_its_rooms(store: Store) -> None:
    """All are one commit: whoever applies them in order never sees a room of an unknown account."""
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
    """A denied one among them is no event."""
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


def test_what_is_undone_or_refused_is_no_event(store: Store) -> None:
    """Neither a refusal, nor a transaction that ends with an error after one of its changes."""
    store.change_room(change("create", ALICE))
    listener = Listener(store)
    with pytest.raises(ExistsError):
        store.add_account("alice", "x")
    with pytest.raises(NotFoundError):
        store.set_locked("zoe", locked=True)
    with pytest.raises(DeniedError):
        store.change_room(change("leave", BOB))
    bad = change("topic", ALICE, text="\ud800")  # can't be encoded
    with pytest.raises(UnicodeEncodeError):
        store.change_rooms([change("join", BOB), bad])
    assert listener.commits == []
    store.change_room(change("join", CAROL))
    assert len(listener.take()) == 1
    assert BOB not in store.memberships(1)


def test_no_one_has_to_listen(store: Store) -> None:
    """Without a listener events are dropped; one that comes later gets only those after it."""
    store.change_room(change("create", ALICE))
    listener = Listener(store)
    store.append([NewMessage(ALICE, -1, f"{1:032x}", "hi")])
    assert listener.commits == []
    store.change_room(change("join", BOB))
    assert len(listener.take()) == 1
    store.listen(None)
    store.change_room(change("leave", BOB))
    assert listener.commits == []


people = st.sampled_from([ALICE, BOB, CAROL])
actions = st.one_of(
    st.builds(
        RoomChange,
        action=st.sampled_from(
            ["join", "leave", "invite", "remove", "ban", "unban", "mute", "unmute", "archive"]
        ),
        room=st.sampled_from(["#attic", "#bath"]),
        actor=people,
        target=people,
    ),
    st.builds(
        RoomChange,
        action=st.sampled_from(["create", "role", "set", "topic", "unarchive"]),
        room=st.sampled_from(["#attic", "#bath"]),
        actor=people,
        target=people,
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
def test_the_events_give_what_the_store_reads_back(
    store_factory: StoreFactory, script: list[RoomChange | tuple[str, str]]
) -> None:
    """Whatever is done to accounts and rooms, in whatever order."""
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
