"""Logins: one answer and one cost for everything that is wrong."""

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from qscp import codec, frames
from qscp.errors import ErrorCode
from qscp.frames import ServerFrame
from qscpd.accounts.passwords import PasswordHasher, PasswordPool
from qscpd.config.model import Argon2Config, Config
from qscpd.domain.model import AccountState
from qscpd.handlers.login import Login
from qscpd.sessions.session import Session
from qscpd.store.reads import StoreReads
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.daemon import CHEAP_ARGON2, PASSWORD, hash_cheaply
from tests.support.doubles import FakeLink, RouterDouble, make_handlers
from tests.support.waiting import patiently, until


class CountingHasher(PasswordHasher):
    """Counts what it does, and waits for its gate.

    Attributes:
        verified: The hashes that were verified against.
        gate: Verifications wait for it.
    """

    def __init__(self, config: Argon2Config) -> None:
        super().__init__(config)
        self.verified: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def verify(self, password: str, password_hash: str) -> bool:
        """Count, wait, verify."""
        self.verified.append(password_hash)
        assert self.gate.wait(20)
        return super().verify(password, password_hash)


class InProcessPeer:
    """A router with a login peer, on a real store.

    Once its threads run, only `real_writer` and `reads` may use the store.
    """

    def __init__(self, path: Path, tasks: asyncio.TaskGroup) -> None:
        self.store = SqliteStore(path)
        for name in ("alice", "bob", "locked", "deleted"):
            self.store.add_account(name, hash_cheaply(PASSWORD))
        self.store.set_locked("locked", locked=True)
        self.store.delete_account("deleted")
        self.router = RouterDouble(config=Config())
        for account in self.store.accounts():
            self.router.directory.update(account)
        self.hasher = CountingHasher(CHEAP_ARGON2)
        self.passwords = PasswordPool(self.hasher, workers=1, queue=1)
        self.real_writer = StoreWriter[Session](
            self.store,
            self.router.bus,
            on_failed=print,
        )
        self.reads = StoreReads(partial(SqliteReader, path))
        login = Login(
            self.router,
            self.real_writer,
            self.reads,
            self.passwords,
            self.router.log,
            tasks,
            retention=frames.Retention(seconds=86400, messages=500),
            epoch="e1",
        )
        self.router.handlers = make_handlers(self.router, self.real_writer, self.reads, tasks, login.start)

    async def change(self, name: str, state: AccountState) -> None:
        """Do what the admin socket does."""
        if state is AccountState.LOCKED:
            await self.real_writer.perform(lambda store: store.set_locked(name, locked=True))
        else:
            await self.real_writer.perform(lambda store: store.delete_account(name))

    async def set_hash(self, name: str, password_hash: str) -> None:
        """Replace a user's hash."""
        await self.real_writer.perform(lambda store: store.set_password(name, password_hash))

    async def hash_of(self, name: str) -> str:
        """Return a user's hash."""
        found = await self.real_writer.perform(lambda store: store.credentials(name))
        assert found is not None
        return found.password_hash

    def begin(self, user: str, password: str = PASSWORD, **fields: object) -> tuple[Session, FakeLink]:
        """Connect and send `auth`."""
        session, link = self.router.connect()
        again(session, user, password, **fields)
        return session, link

    async def answer(self, link: FakeLink) -> ServerFrame:
        """Return the next frame."""
        await until(lambda: link.written)
        return link.written.pop(0)


def again(session: Session, user: str, password: str = PASSWORD, **fields: object) -> None:
    """Send another `auth`."""
    auth = frames.Auth(user=user, password=password)
    for name, value in fields.items():
        setattr(auth, name, value)
    session.receive(codec.encode(auth))


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[InProcessPeer]:
    """A login peer."""
    async with patiently(), asyncio.TaskGroup() as tasks:
        made = InProcessPeer(tmp_path / "qscpd.db", tasks)
        with made.real_writer, made.reads:
            yield made
            made.hasher.gate.set()
        made.passwords.close()
        made.router.presence.close()
        made.store.close()


async def test_a_good_login(peer: InProcessPeer) -> None:
    """The answer has the account, and the snapshot follows; the name is normalized."""
    session, link = peer.begin(" Alice ", client="test/1")
    ack = await peer.answer(link)
    assert isinstance(ack, frames.AuthAck)
    assert (ack.user, ack.account, ack.session, ack.protocol) == ("alice", "a1", session.id, 1)
    assert (ack.epoch, ack.retention) == ("e1", frames.Retention(seconds=86400, messages=500))
    assert ack.features == ["read_receipts", "typing"]
    assert isinstance(await peer.answer(link), frames.OnlineUsers)
    assert peer.router.sessions_of(1) == [session]
    assert not session.live
    logged = {"user": "alice", "device": None, "client": "test/1"}
    assert peer.router.log.entries[-1] == ("auth.ok", session.id, logged)
    assert link.reading


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("alice", "wrong password"),
        ("nobody", PASSWORD),
        ("no name!", PASSWORD),
        ("deleted", PASSWORD),
        ("locked", "wrong password"),
        ("alice", ""),
    ],
)
async def test_everything_wrong_gets_one_answer_at_one_cost(
    peer: InProcessPeer, user: str, password: str
) -> None:
    """`bad_credentials`, after exactly one verification against a hash of the same parameters."""
    _, link = peer.begin(user, password)
    nack = await peer.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert (nack.code, nack.retry_after) == (ErrorCode.BAD_CREDENTIALS, None)
    (against,) = peer.hasher.verified
    assert against.split("$")[:4] == peer.hasher.dummy_hash.split("$")[:4]


async def test_only_the_right_password_hears_that_it_is_locked(peer: InProcessPeer) -> None:
    """At the same cost."""
    _, link = peer.begin("locked")
    nack = await peer.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == ErrorCode.ACCOUNT_LOCKED
    assert len(peer.hasher.verified) == 1


@pytest.mark.parametrize("client", ["x", "y" * 4000])
async def test_a_name_that_nobody_has_is_not_logged(peer: InProcessPeer, client: str) -> None:
    """People type their password into the wrong prompt."""
    del client
    session, link = peer.begin("hunter2-is-my-password", "x")
    await peer.answer(link)
    assert peer.router.log.entries[-1] == (
        "auth.fail",
        session.id,
        {"reason": ErrorCode.BAD_CREDENTIALS, "user": None},
    )


@pytest.mark.parametrize(
    ("state", "code"),
    [(AccountState.DELETED, ErrorCode.BAD_CREDENTIALS), (AccountState.LOCKED, ErrorCode.ACCOUNT_LOCKED)],
)
async def test_what_the_operator_does_meanwhile_counts(
    peer: InProcessPeer, state: AccountState, code: str
) -> None:
    """An account that is locked or deleted while its password is checked does not get in."""
    peer.hasher.gate.clear()
    _, link = peer.begin("alice")
    await until(lambda: peer.hasher.verified)
    await peer.change("alice", state)
    peer.hasher.gate.set()
    nack = await peer.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == code


async def test_nothing_is_read_while_a_login_is_decided(peer: InProcessPeer) -> None:
    """What was sent after a good `auth` is handled after it."""
    peer.hasher.gate.clear()
    session, link = peer.begin("alice")
    assert not link.reading
    session.receive(b'{"type":"ping"}\n')
    peer.hasher.gate.set()
    await until(lambda: len(link.written) >= 3)
    assert [frame.type for frame in link.written[:3]] == ["auth_ack", "pong", "online_users"]
    assert link.reading


@pytest.mark.parametrize("fate", ["lost", "shutdown", "eof"])
async def test_a_peer_that_goes_while_its_login_is_decided(peer: InProcessPeer, fate: str) -> None:
    """The verdict comes too late for it, and does no harm; after an end of the stream it is still sent."""
    peer.hasher.gate.clear()
    session, link = peer.begin("alice")
    await until(lambda: peer.hasher.verified)
    if fate == "lost":
        session.lost("lost")
    elif fate == "shutdown":
        session.close(ErrorCode.SHUTDOWN, graceful=True)
    else:
        session.receive_eof()
    peer.hasher.gate.set()
    await until(lambda: peer.passwords.pending == 0)
    await until(lambda: link.ended or fate == "lost")
    await asyncio.sleep(0)
    written = [frame.type for frame in link.written]
    assert written == {"lost": [], "shutdown": ["bye"], "eof": ["auth_ack"]}[fate]
    assert peer.router.logged_in_count == 0


async def test_a_full_queue_says_when_to_come_back(peer: InProcessPeer) -> None:
    """One password is checked, one waits; the third gets `busy`, which does not count as an attempt."""
    peer.hasher.gate.clear()
    links = [peer.begin("alice")[1] for _ in range(2)]
    await until(lambda: peer.passwords.pending == 2)
    session, link = peer.begin("bob")
    for _ in range(4):
        nack = await peer.answer(link)
        assert isinstance(nack, frames.AuthNack)
        assert (nack.code, nack.retry_after) == (ErrorCode.BUSY, 2.0)
        again(session, "bob")
    peer.hasher.gate.set()
    for each in links:
        assert isinstance(await peer.answer(each), frames.AuthAck)


async def test_three_attempts_and_no_more(peer: InProcessPeer) -> None:
    """The third refusal is the last frame but the `error`."""
    session, link = peer.begin("alice", "wrong")
    for _ in range(2):
        assert isinstance(await peer.answer(link), frames.AuthNack)
        again(session, "alice", "wrong")
    assert isinstance(await peer.answer(link), frames.AuthNack)
    error = await peer.answer(link)
    assert isinstance(error, frames.Error)
    assert (error.code, link.ended) == (ErrorCode.TOO_MANY_ATTEMPTS, "too_many_attempts")


@pytest.mark.parametrize(
    ("versions", "good"), [((1, 1), True), ((0, 9), True), ((2, 9), False), ((3, 1), False)]
)
async def test_versions(peer: InProcessPeer, versions: tuple[int, int], good: bool) -> None:
    """Ours must be among those that the client supports; else no password is checked."""
    _, link = peer.begin("alice", protocol=versions)
    answer = await peer.answer(link)
    if good:
        assert isinstance(answer, frames.AuthAck)
    else:
        assert isinstance(answer, frames.AuthNack)
        assert answer.code == ErrorCode.PROTOCOL_VERSION
        assert peer.hasher.verified == []


async def test_a_hash_of_another_cost_is_upgraded(peer: InProcessPeer) -> None:
    """By a good login only."""
    old = PasswordHasher(Argon2Config(memory_kib=16, iterations=1, parallelism=1)).hash(PASSWORD)
    await peer.set_hash("alice", old)
    _, link = peer.begin("alice", "wrong")
    await peer.answer(link)
    assert await peer.hash_of("alice") == old
    _, link = peer.begin("alice")
    assert isinstance(await peer.answer(link), frames.AuthAck)
    upgraded = await peer.hash_of("alice")
    assert upgraded != old
    assert not peer.hasher.needs_rehash(upgraded)


async def test_a_broken_hash_is_told_as_internal_and_harms_nobody_else(peer: InProcessPeer) -> None:
    """Whose hash can't be read can't log in; the others can."""
    await peer.set_hash("alice", "no hash at all")
    _, link = peer.begin("alice")
    nack = await peer.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == ErrorCode.INTERNAL
    _, link = peer.begin("bob")
    assert isinstance(await peer.answer(link), frames.AuthAck)
