"""Events that the store's writer publishes, on a real store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscpd.bus.local import LocalBus
from qscpd.domain.events import AccountChanged, MessagesStored, PositionMoved, RoomChanged
from qscpd.domain.model import Account, AccountState, Mark, NewMessage, PositionKind
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import NotFoundError
from qscpd.store.base import Store
from qscpd.store.items import PendingChat
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter

Chat = PendingChat[str]


class RealPeer:
    """A writer on a real store, and what is published.

    Attributes:
        heard: The events of each commit, and what the test adds.
        bus: Where they are published.
    """

    def __init__(self, path: Path) -> None:
        self.heard: list[object] = []
        self.store = SqliteStore(path)
        self.bus = LocalBus[str]()
        self.bus.subscribe_to_commits(lambda commit: self.heard.extend(commit.events))
        self.writer = StoreWriter[str](
            self.store,
            self.bus,
            on_refused=lambda _, code: self.heard.append(code),
            on_failed=self.heard.append,
        )

    def take(self) -> list[object]:
        """Return and forget what was heard."""
        heard, self.heard = self.heard, []
        return heard


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[RealPeer]:
    """A running writer, and a store that knows alice, bob and a room."""
    peer = RealPeer(tmp_path / "q.db")
    with contextlib.closing(peer.store):
        for name in ("alice", "bob"):
            peer.store.add_account(name, "x")
        peer.store.change_room(RoomChange(action="create", room="#dev", actor=1))
        with peer.writer:
            yield peer


async def test_events_are_published_before_the_caller_continues(real: RealPeer) -> None:
    """Also of a mutation that fails after its first transaction, or whose caller was cancelled."""
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
    account = await asyncio.wait_for(waiting, 20)
    assert (account.state, reported) == (AccountState.LOCKED, [bug])


async def test_what_changes_nothing_publishes_nothing(real: RealPeer) -> None:
    """A denied change, a read, and what is undone."""
    with pytest.raises(DeniedError):
        await real.writer.change_room(RoomChange(action="leave", room="#dev", actor=2))
    assert len(await real.writer.perform(lambda store: store.accounts())) == 2
    with pytest.raises(UnicodeEncodeError):
        await real.writer.change_room(RoomChange(action="topic", room="#dev", actor=1, text="\ud800"))
    real.writer.append([Mark(1, 99, PositionKind.READ, 1)])
    await real.writer.drained()
    assert real.take() == []


async def test_events_of_all_kinds_come_in_the_order_of_the_commits(real: RealPeer) -> None:
    """Messages and positions in front of a call that waited for them."""
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
    assert batches == [[hello], [again], [to_room]]  # the retry is none


async def test_a_writer_that_has_ended_does_not_listen(real: RealPeer) -> None:
    """Its owner may go on with the store."""
    real.writer.__exit__(None, None, None)
    real.store.set_locked("bob", locked=True)
    await asyncio.sleep(0)
    assert real.take() == []
