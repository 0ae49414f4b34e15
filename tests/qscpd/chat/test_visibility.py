"""Presence as each account sees it: what others get, and how often, while users are blocked."""

import asyncio

from qscp import codec, frames
from qscp.features import BLOCK
from qscp.frames import UserPresence
from qscp.limits import BLOCKS_LIMIT
from qscpd.bus.base import Commit
from qscpd.domain.events import AccountChanged, BlockChanged
from qscpd.domain.model import Account, AccountState
from tests.support.clock import in_virtual_time
from tests.support.doubles import FakeLink, RouterDouble

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4


def router() -> RouterDouble:
    """Return a router with alice, bob, carol and dan."""
    return RouterDouble("alice", "bob", "carol", "dan")


def block(router: RouterDouble, account: int, blocked: int, *, removed: bool = False) -> None:
    """Commit a block."""
    router.bus.publish(Commit((BlockChanged(account, blocked, removed),)))


def changes(router: RouterDouble, link: FakeLink) -> list[list[tuple[str, str]]]:
    """Return names and status of each frame of changes since the last call."""
    router.flush()
    return [
        [(user.user, user.status) for user in frame.users]
        for frame in link.take()
        if isinstance(frame, frames.PresenceChanges)
    ]


def test_changes_leave_out_users_with_a_block() -> None:
    """A frame is the same for all who see the same of it; who sees nothing of it gets none."""

    async def test() -> None:
        double = router()
        links = [double.login(name)[1] for name in ("alice", "bob", "carol")]
        block(double, ALICE, DAN)
        block(double, DAN, BOB)
        await asyncio.sleep(2)
        for link in links:
            changes(double, link)
        double.login("dan")
        await asyncio.sleep(2)
        assert [changes(double, link) for link in links] == [[], [], [[("dan", "online")]]]
        double.close()

    in_virtual_time(test())


def test_toggling_a_block_costs_what_other_changes_cost() -> None:
    """A user who blocks and unblocks again and again causes at most one frame a second."""

    async def test() -> None:
        double = router()
        _, alice = double.login("alice")
        _, bob = double.login("bob")
        _, carol = double.login("carol")
        await asyncio.sleep(5)
        for link in (alice, bob, carol):
            changes(double, link)
        for _ in range(100):
            block(double, BOB, ALICE)
            block(double, BOB, ALICE, removed=True)
            await asyncio.sleep(0.03)
        await asyncio.sleep(2)
        assert 3 <= len(changes(double, alice)) <= 5
        assert 3 <= len(changes(double, bob)) <= 5
        assert changes(double, carol) == []
        double.close()

    in_virtual_time(test())


def test_an_answer_and_a_snapshot_leave_them_out() -> None:
    """`of` and the pages of a snapshot say offline, in both directions."""

    async def test() -> None:
        double = router()
        for name in ("alice", "bob", "carol"):
            double.login(name)
        block(double, ALICE, BOB)
        accounts = double.directory.accounts
        assert double.visibility.of(ALICE, accounts["bob"]) == UserPresence("bob", "offline")
        assert double.visibility.of(BOB, accounts["alice"]) == UserPresence("alice", "offline")
        assert double.visibility.of(CAROL, accounts["bob"]) == UserPresence("bob", "online")
        _, link = double.login("bob")
        double.flush()
        (page,) = [each for each in link.take() if isinstance(each, frames.OnlineUsers)]
        assert [user.user for user in page.users] == ["carol"]
        double.close()

    in_virtual_time(test())


def test_the_list_of_blocks_in_pages() -> None:
    """A session with the feature gets the list in pages that fit in a line, and each change."""

    async def test() -> None:
        double = router()
        for number in range(BLOCKS_LIMIT):
            name = f"{number:032}"
            double.directory.update(Account(10 + number, name, AccountState.ACTIVE, 0))
            double.blocks.load(ALICE, 10 + number)
        _, link = double.login("alice", BLOCK)
        _, old = double.login("alice")
        double.flush()
        pages = [each for each in link.take() if isinstance(each, frames.Blocks)]
        assert [len(each.users) for each in pages] == [200] * 5
        assert [each.more for each in pages] == [True] * 4 + [False]
        assert max(len(codec.encode(each)) for each in pages) < 20_000
        block(double, ALICE, BOB)
        double.flush()
        assert [each for each in link.take() if isinstance(each, frames.BlockChanged)] == [
            frames.BlockChanged("bob", "a2")
        ]
        assert not [each for each in old.take() if isinstance(each, frames.Blocks | frames.BlockChanged)]
        double.close()

    in_virtual_time(test())


def test_a_new_label_is_sent_to_those_who_block() -> None:
    """When the name of a blocked account goes to another one, only those who block it are notified."""

    async def test() -> None:
        double = router()
        _, alice = double.login("alice", BLOCK)
        _, carol = double.login("carol", BLOCK)
        block(double, ALICE, BOB)
        double.flush()
        alice.take()
        double.bus.publish(Commit((AccountChanged(Account(BOB, "bob", AccountState.DELETED, 0)),)))
        double.bus.publish(Commit((AccountChanged(Account(9, "bob", AccountState.ACTIVE, 0)),)))
        double.flush()
        found = [each for each in alice.take() if isinstance(each, frames.BlockChanged)]
        assert found == [frames.BlockChanged("bob~1", "a2")]
        assert not [each for each in carol.take() if isinstance(each, frames.BlockChanged)]
        assert double.blocks.between(ALICE, BOB)
        assert not double.blocks.between(ALICE, 9)
        double.close()

    in_virtual_time(test())
