"""Events that the writer publishes, on a real store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscpd.bus.base import Commit
from qscpd.bus.local import LocalBus
from qscpd.domain.events import AccountChanged, MessagesStored, PositionMoved, RoomChanged
from qscpd.domain.model import Account, AccountState, Mark, NewMessage, PositionKind, Refused
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import NotFoundError
from qscpd.store.base import Store
from qscpd.store.items import PendingChat
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.waiting import PATIENCE_S

Chat = PendingChat[str]


class RealPeer:
    """A writer on a real store, and its published events.

    Attributes:
        published: Events of all commits, and codes and errors of refusals.
        bus: Where they are published.
    """

    def __init__(self, path: Path) -> None:
        self.published: list[object] = []
        self.store = SqliteStore(path)
        self.bus = LocalBus[str]()
        self.bus.subscribe_to_commits(self._record)
        self.writer = StoreWriter[str](self.store, self.bus, on_failed=self.published.append)

    def _record(self, commit: Commit[str]) -> None:
        self.published += commit.events
        self.published += {each.code for each in commit.answers.outcomes if isinstance(each, Refused)}

    def take(self) -> list[object]:
        """Return the events since the last call."""
        published, self.published = self.published, []
        return published


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[RealPeer]:
    """A running writer on a store with alice, bob and a room."""
    peer = RealPeer(tmp_path / "q.db")
    with contextlib.closing(peer.store):
        for name in ("alice", "bob"):
            peer.store.add_account(name, "x")
        peer.store.change_room(RoomChange(action="create", room="#dev", actor=1))
        with peer.writer:
            yield peer


async def test_events_are_published_before_the_caller_continues(real: RealPeer) -> None:
    """Events of `perform` are published before its caller continues, also if it fails or is cancelled."""
    account = await real.writer.perform(lambda store: store.set_locked("bob", locked=True))
    assert real.take() == [AccountChanged(account)]

    def fail(store: Store) -> None:
        store.set_locked("bob", locked=False)
        store.set_locked("zoe", locked=False)

    with pytest.raises(NotFoundError):
        await real.writer.perform(fail)
    assert real.take() == [AccountChanged(Account(2, "bob", AccountState.ACTIVE, account.created_ms))]
    change = RoomChange(action="join", room="#dev", actor=2)
    await real.writer.change_room(change)
    (joined,) = real.take()
    assert isinstance(joined, RoomChanged)
    assert joined.change == change
    waiting = asyncio.ensure_future(real.writer.perform(lambda store: store.delete_account("bob")))
    await asyncio.sleep(0)
    waiting.cancel()
    await real.writer.drained()
    assert [type(each) for each in real.take()] == [AccountChanged, RoomChanged]


async def test_a_bug_of_a_subscriber_keeps_no_caller_waiting(real: RealPeer) -> None:
    """The loop reports it; who waits for the result of the mutation gets it."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    bug = ValueError("a bug")

    def fail(_: AccountChanged) -> None:
        raise bug

    real.bus.subscribe(AccountChanged, fail)
    waiting = real.writer.perform(lambda store: store.set_locked("bob", locked=True))
    account = await asyncio.wait_for(waiting, PATIENCE_S)
    assert (account.state, reported) == (AccountState.LOCKED, [bug])


async def test_no_change_publishes_no_event(real: RealPeer) -> None:
    """Denied changes, reads, rollbacks and marks that move nothing publish no event."""
    with pytest.raises(DeniedError):
        await real.writer.change_room(RoomChange(action="leave", room="#dev", actor=2))
    assert len(await real.writer.perform(lambda store: store.accounts())) == 2
    with pytest.raises(UnicodeEncodeError):
        await real.writer.change_room(RoomChange(action="topic", room="#dev", actor=1, text="\ud800"))
    real.writer.append([Mark(1, 99, PositionKind.READ, 1)])
    await real.writer.drained()
    assert real.take() == []


async def test_events_are_published_in_the_order_of_the_commits(real: RealPeer) -> None:
    """Messages and positions that were queued before a call are published before its events."""
    hello, again, to_room = (NewMessage(1, to, f"{n:032x}", "hello") for n, to in ((1, 2), (2, 2), (3, -1)))
    real.writer.append([Chat("s", hello)])
    await real.writer.change_room(RoomChange(action="topic", room="#dev", actor=1, text="tea"))
    real.writer.append([Chat("s", hello), Chat("s", again), Mark(2, 2, PositionKind.READ, 2, "t")])
    await real.writer.perform(lambda store: store.set_locked("bob", locked=True))
    real.writer.append([Chat("s", to_room)])
    await real.writer.drained()
    stored, changed, more, moved, account, last = real.take()
    assert isinstance(changed, RoomChanged)
    assert changed.room.topic == "tea"
    assert moved == PositionMoved(Mark(2, 2, PositionKind.READ, 2, "t"), 1)
    assert isinstance(account, AccountChanged)
    batches = [each.messages for each in (stored, more, last) if isinstance(each, MessagesStored)]
    assert batches == [[hello], [again], [to_room]]  # a retry is no event


async def test_a_closed_writer_publishes_nothing(real: RealPeer) -> None:
    """Changes of the store after its writer was closed are not published."""
    real.writer.__exit__(None, None, None)
    real.store.set_locked("bob", locked=True)
    await asyncio.sleep(0)
    assert real.take() == []
