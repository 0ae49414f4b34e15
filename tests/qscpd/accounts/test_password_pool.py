"""Queue of passwords: bounded, and fair between addresses and accounts."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from qscpd.accounts import password_pool
from qscpd.accounts.password_pool import PasswordPool, Place, PoolFullError
from qscpd.accounts.passwords import HashingError, MalformedHashError, PasswordHasher
from qscpd.config import Argon2Config
from qscpd.fairness import Lane
from tests.support.waiting import PATIENCE_S

CHEAP = Argon2Config(memory_kib=8, iterations=1, parallelism=1)


@pytest.fixture(scope="module")
def hasher() -> PasswordHasher:
    """A hasher that takes microseconds."""
    return PasswordHasher(CHEAP)


class _Gate(PasswordHasher):
    """A hasher whose threads wait until the test opens it, and that records the passwords."""

    def __init__(self) -> None:
        super().__init__(CHEAP)
        self.open = threading.Event()
        self.running = 0
        self.order: list[str] = []

    def verify(self, password: str, password_hash: str) -> bool:
        self.running += 1
        self.order.append(password)
        self.open.wait()
        return super().verify(password, password_hash)


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def _no_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


async def test_a_thread_that_can_not_be_started(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without memory for a thread the password is refused, and later ones are checked."""
    pool = PasswordPool(hasher, workers=2, queue=10)
    password_hash = hasher.hash("correct horse")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        for _ in range(3):
            with pytest.raises(HashingError, match="no thread to hash a password"):
                await pool.verify("correct horse", password_hash)
    assert pool.pending == 0
    assert await pool.verify("correct horse", password_hash)
    pool.close()


async def test_a_second_thread_that_can_not_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread runs, only the password that asked for another is refused."""
    gate = _Gate()
    pool = PasswordPool(gate, workers=2, queue=10)
    password_hash = gate.hash("correct horse")
    first = asyncio.create_task(pool.verify("correct horse", password_hash))
    await _until(lambda: gate.running == 1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        with pytest.raises(HashingError, match="no thread to hash a password"):
            await pool.verify("correct horse", password_hash)
    gate.open.set()
    assert await first
    assert await pool.verify("correct horse", password_hash)
    pool.close()


async def test_the_pool_verifies_and_hashes(hasher: PasswordHasher) -> None:
    """The pool verifies and hashes in a thread."""
    pool = PasswordPool(hasher, workers=1, queue=1)
    password_hash = await pool.hash("correct horse")
    assert await pool.verify("correct horse", password_hash)
    assert not await pool.verify("wrong horse", password_hash)
    assert not pool.needs_rehash(password_hash)
    with pytest.raises(MalformedHashError):
        await pool.verify("correct horse", "x")
    pool.close()


async def test_memory_is_released_after_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once no password is left, memory is released, once; not while one runs."""
    monkeypatch.setattr(password_pool, "_RELEASE_AFTER_S", 0.0)
    gate = _Gate()
    released: list[int] = []
    pool = PasswordPool(gate, workers=2, queue=10, release_memory=lambda: released.append(pool.pending))
    password_hash = gate.hash("correct horse")
    gate.open.set()
    await asyncio.gather(*(pool.verify("correct horse", password_hash) for _ in range(5)))
    await _until(lambda: bool(released))
    gate.open.clear()
    waiting = asyncio.create_task(pool.verify("correct horse", password_hash))
    await _until(lambda: gate.running == 6)
    assert released == [0]
    gate.open.set()
    await waiting
    await _until(lambda: len(released) > 1)
    assert released == [0, 0]
    pool.close()


async def test_a_closed_pool_releases_nothing(hasher: PasswordHasher) -> None:
    """The end of the pool cancels what was to be released later."""
    released: list[None] = []
    pool = PasswordPool(hasher, workers=1, queue=1, release_memory=lambda: released.append(None))
    await pool.hash("correct horse")
    pool.close()
    assert released == []
    assert pool._release is not None
    assert pool._release.cancelled()


async def test_an_unknown_user_takes_a_real_verification() -> None:
    """Without a hash the dummy is verified, and the result is False."""
    gate = _Gate()
    gate.open.set()
    pool = PasswordPool(gate, workers=1, queue=1)
    assert not await pool.verify("correct horse", None)
    assert gate.running == 1
    pool.close()


async def test_a_full_queue_refuses_at_once() -> None:
    """Workers plus queue are the limit, and every slot is released."""
    gate = _Gate()
    pool = PasswordPool(gate, workers=2, queue=3)
    password_hash = gate.hash("correct horse")
    waiting = [asyncio.create_task(pool.verify("correct horse", password_hash)) for _ in range(5)]
    await _until(lambda: gate.running == 2)
    assert pool.pending == 5
    with pytest.raises(PoolFullError):
        await pool.verify("correct horse", password_hash)
    assert gate.running == 2
    gate.open.set()
    assert await asyncio.gather(*waiting) == [True] * 5
    await _until(lambda: pool.pending == 0)
    assert await pool.verify("correct horse", password_hash)
    pool.close()


async def test_a_cancelled_login_counts_until_its_thread_is_done() -> None:
    """A cancelled login counts against the limit until its thread has finished."""
    gate = _Gate()
    pool = PasswordPool(gate, workers=1, queue=1)
    password_hash = gate.hash("correct horse")
    running = asyncio.create_task(pool.verify("correct horse", password_hash))
    queued = asyncio.create_task(pool.verify("correct horse", password_hash))
    await _until(lambda: gate.running == 1)
    for task in (running, queued):
        task.cancel()
    await asyncio.gather(running, queued, return_exceptions=True)
    await _until(lambda: pool.pending == 1)
    gate.open.set()
    await _until(lambda: pool.pending == 0)
    pool.close()


async def test_passwords_that_wait_are_refused_at_the_end() -> None:
    """When the pool is closed, the passwords in its queue are refused, and the one that runs ends."""
    gate = _Gate()
    pool = PasswordPool(gate, workers=1, queue=2)
    password_hash = gate.hash("correct horse")
    running, *waiting = [asyncio.create_task(pool.verify("correct horse", password_hash)) for _ in range(3)]
    await _until(lambda: gate.running == 1)
    pool.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in results] == [PoolFullError] * 2
    gate.open.set()
    assert await running
    assert gate.running == 1


async def test_a_password_that_no_thread_has_taken_is_refused_at_the_end() -> None:
    """A password on its way to a thread is refused as well when the pool is closed."""
    gate = _Gate()
    pool = PasswordPool(gate, workers=2, queue=1)
    pool._executor = ThreadPoolExecutor(1)  # the second thread does not begin in time
    password_hash = gate.hash("correct horse")
    running, late = [asyncio.create_task(pool.verify("correct horse", password_hash)) for _ in range(2)]
    await _until(lambda: gate.running == 1 and pool.pending == 2)
    pool.close()
    with pytest.raises(PoolFullError):
        await late
    gate.open.set()
    assert await running


async def test_a_closed_pool_refuses(hasher: PasswordHasher) -> None:
    """A login during shutdown is refused as busy."""
    pool = PasswordPool(hasher, workers=1, queue=1)
    pool.close()
    with pytest.raises(PoolFullError):
        await pool.verify("correct horse", None)


class _Queue:
    """A pool with one busy thread, in which logins wait.

    Attributes:
        gate: The hasher; opening it lets all of them run.
        pool: The pool.
        refused: Passwords that were refused, in order.
    """

    def __init__(self, queue: int = 1000) -> None:
        self.gate = _Gate()
        self.pool = PasswordPool(self.gate, workers=1, queue=queue)
        self.refused: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._hash = self.gate.hash("correct horse")

    async def add(self, password: str, place: Place | None = None) -> None:
        """Let a login wait; the first one runs."""
        self._tasks.append(asyncio.create_task(self._verify(password, place or Place())))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _verify(self, password: str, place: Place) -> None:
        try:
            await self.pool.verify(password, self._hash, place)
        except PoolFullError:
            self.refused.append(password)

    async def order(self) -> list[str]:
        """Let all run; return their passwords in order, without that of the first one."""
        self.gate.open.set()
        await asyncio.gather(*self._tasks)
        self.pool.close()
        return self.gate.order[1:]


def at(address: str, account: str = "", lane: Lane = Lane.CLEAN, network: str = "") -> Place:
    """Return a place."""
    return Place(lane, network or address, address, account)


async def test_each_of_k_addresses_gets_every_kth_hash() -> None:
    """A thousand guesses from one address delay a login from another by one hash."""
    queue = _Queue()
    await queue.add("running")
    for number in range(300):
        await queue.add(f"guess {number}", at("192.0.2.1", f"account {number}"))
    await queue.add("alice", at("192.0.2.2", "alice"))
    await queue.add("bob", at("192.0.2.3", "bob"))
    order = await queue.order()
    assert order[:4] == ["guess 0", "alice", "bob", "guess 1"]
    assert len(order) == 302


async def test_accounts_of_an_address_have_their_turns() -> None:
    """Within an address, guesses at one account delay a login of another by one hash."""
    queue = _Queue()
    await queue.add("running")
    for number in range(10):
        await queue.add(f"guess {number}", at("192.0.2.1", "bob"))
    await queue.add("alice", at("192.0.2.1", "alice"))
    assert (await queue.order())[:3] == ["guess 0", "alice", "guess 1"]


async def test_a_network_of_many_addresses_has_one_turn() -> None:
    """Two hundred /64s of one /48 delay a login from another network by one hash."""
    queue = _Queue()
    await queue.add("running")
    for number in range(200):
        await queue.add(
            f"guess {number}", at(f"2001:db8:1:{number:x}::/64", "bob", network="2001:db8:1::/48")
        )
    await queue.add("alice", at("2001:db8:2:1::/64", "alice", network="2001:db8:2::/48"))
    assert (await queue.order())[:2] == ["guess 0", "alice"]


async def test_a_full_queue_drops_the_newest_of_the_longest_share() -> None:
    """When the queue is full, the address with most logins loses one, and the newcomer waits."""
    queue = _Queue(queue=10)
    await queue.add("running")
    for number in range(10):
        await queue.add(f"guess {number}", at("192.0.2.1", f"account {number}"))
    await queue.add("alice", at("192.0.2.2", "alice"))
    await queue.add("guess 10", at("192.0.2.1", "account 10"))
    assert queue.refused == ["guess 9", "guess 10"]
    assert (await queue.order())[:2] == ["guess 0", "alice"]


async def test_known_places_come_first_but_leave_turns_to_others() -> None:
    """Known users come first; one of four turns is for clean addresses, one of 16 for those that failed."""
    queue = _Queue()
    await queue.add("running")
    for lane in (Lane.FAILED, Lane.CLEAN, Lane.KNOWN):
        for number in range(20):
            await queue.add(lane.name, at(f"192.0.2.{number}", "x", lane))
    order = await queue.order()
    assert order.count("KNOWN") == 20
    first = order[:16]
    assert (first.count("KNOWN"), first.count("CLEAN"), first.count("FAILED")) == (12, 3, 1)


async def test_peers_that_hung_up_come_last_and_peers_that_are_gone_cost_no_hash() -> None:
    """A login whose peer is gone is not hashed; one whose peer has closed its side is hashed last."""
    queue = _Queue()
    await queue.add("running")
    await queue.add("hung up", at("192.0.2.1")._replace(hung_up=lambda: True))
    await queue.add("gone", at("192.0.2.2")._replace(wanted=lambda: False))
    await queue.add("alice", at("192.0.2.3"))
    assert await queue.order() == ["alice", "hung up"]
    assert queue.refused == ["gone"]


async def test_shares_of_addresses_and_accounts_are_bounded() -> None:
    """An address has as many waiting logins as its place says, and an account twenty of them."""
    queue = _Queue()
    await queue.add("running")
    for number in range(6):
        await queue.add(f"a {number}", at("192.0.2.1", f"account {number}")._replace(most=5))
    for number in range(21):
        await queue.add(f"b {number}", at("192.0.2.2", "bob"))
    assert queue.refused == ["a 5", "b 20"]
    with pytest.raises(PoolFullError):
        queue.pool.check_room(at("192.0.2.2", "bob"))
    queue.pool.check_room(at("192.0.2.2", "alice"))
    assert len(await queue.order()) == 25


async def test_no_more_hashes_than_threads_at_once() -> None:
    """However many logins wait, as many hashes run as there are threads, upgrades of hashes included."""
    gate = _Gate()
    pool = PasswordPool(gate, workers=2, queue=100)
    password_hash = gate.hash("correct horse")
    waiting = [asyncio.create_task(pool.verify("x", password_hash, at(f"192.0.2.{n}"))) for n in range(50)]
    renewing = asyncio.create_task(pool.hash("correct horse", at("192.0.2.1")))
    await _until(lambda: gate.running == 2)
    assert pool.pending == 51
    assert gate.running == 2
    gate.open.set()
    assert await asyncio.gather(*waiting) == [False] * 50
    assert gate.verify("correct horse", await renewing)
    pool.close()


async def test_the_wait_grows_with_what_is_ahead() -> None:
    """The estimated wait counts the address's own logins and the turns of others."""
    queue = _Queue()
    await queue.add("running")
    empty = queue.pool.wait_s(at("192.0.2.1"))
    for number in range(10):
        await queue.add(f"guess {number}", at("192.0.2.1", f"account {number}"))
    alone, newcomer = queue.pool.wait_s(at("192.0.2.1")), queue.pool.wait_s(at("192.0.2.2"))
    assert empty <= newcomer < alone
    await queue.order()
