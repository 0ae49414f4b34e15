"""Logins: one answer and one cost for everything that is wrong."""

import asyncio
import threading
from collections.abc import AsyncIterator
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
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.daemon import CHEAP_ARGON2, PASSWORD, hash_cheaply
from tests.support.doubles import FakeLink, StaffedRouter, staff
from tests.support.waiting import patiently, until


class CountingHasher(PasswordHasher):
    """Counts what it does, and waits if it is told to.

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


class Desk:
    """A router with a login desk, on a real store.

    Once its thread runs, the store is its alone: whoever wants something of it asks `real_writer`.
    """

    def __init__(self, path: Path, tasks: asyncio.TaskGroup) -> None:
        self.store = SqliteStore(path)
        for name in ("alice", "bob", "locked", "deleted"):
            self.store.add_account(name, hash_cheaply(PASSWORD))
        self.store.set_locked("locked", locked=True)
        self.store.delete_account("deleted")
        self.router = StaffedRouter(config=Config())
        for account in self.store.accounts():
            self.router.directory.update(account)
        self.hasher = CountingHasher(CHEAP_ARGON2)
        self.passwords = PasswordPool(self.hasher, workers=1, queue=1)
        self.real_writer = StoreWriter[Session](
            self.store,
            on_committed=self.router.delivery.committed,
            on_refused=self.router.delivery.refused,
            on_failed=print,
        )
        login = Login(
            self.router,
            self.real_writer,
            self.passwords,
            self.router.log,
            tasks,
            retention=frames.Retention(seconds=86400, messages=500),
            epoch="e1",
        )
        staff(self.router, self.real_writer, tasks, login.start)

    async def change(self, name: str, state: AccountState) -> None:
        """Do what the admin socket does, but for ending sessions."""
        if state is AccountState.LOCKED:
            account = await self.real_writer.call(lambda store: store.set_locked(name, locked=True))
        else:
            account = await self.real_writer.call(lambda store: store.delete_account(name))
        self.router.directory.update(account)

    async def set_hash(self, name: str, password_hash: str) -> None:
        """Replace somebody's hash."""
        await self.real_writer.call(lambda store: store.set_password(name, password_hash))

    async def hash_of(self, name: str) -> str:
        """Return somebody's hash."""
        found = await self.real_writer.call(lambda store: store.credentials(name))
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
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A login desk."""
    async with patiently(), asyncio.TaskGroup() as tasks:
        made = Desk(tmp_path / "qscpd.db", tasks)
        with made.real_writer:
            yield made
            made.hasher.gate.set()
        made.passwords.close()
        made.router.presence.close()
        made.store.close()


async def test_a_good_login(desk: Desk) -> None:
    """The answer tells who one is, and the snapshot follows; the name may be written otherwise."""
    session, link = desk.begin(" Alice ", client="test/1")
    ack = await desk.answer(link)
    assert isinstance(ack, frames.AuthAck)
    assert (ack.user, ack.account, ack.session, ack.protocol) == ("alice", "a1", session.id, 1)
    assert (ack.epoch, ack.retention) == ("e1", frames.Retention(seconds=86400, messages=500))
    assert ack.features == ["read_receipts", "typing"]
    assert isinstance(await desk.answer(link), frames.OnlineUsers)
    assert desk.router.sessions_of(1) == [session]
    assert not session.live
    logged = {"user": "alice", "device": None, "client": "test/1"}
    assert desk.router.log.entries[-1] == ("auth.ok", session.id, logged)
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
async def test_everything_wrong_gets_one_answer_at_one_cost(desk: Desk, user: str, password: str) -> None:
    """`bad_credentials`, after exactly one verification against a hash of the same parameters."""
    _, link = desk.begin(user, password)
    nack = await desk.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert (nack.code, nack.retry_after) == (ErrorCode.BAD_CREDENTIALS, None)
    (against,) = desk.hasher.verified
    assert against.split("$")[:4] == desk.hasher.dummy_hash.split("$")[:4]


async def test_only_the_right_password_hears_that_it_is_locked(desk: Desk) -> None:
    """At the same cost."""
    _, link = desk.begin("locked")
    nack = await desk.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == ErrorCode.ACCOUNT_LOCKED
    assert len(desk.hasher.verified) == 1


@pytest.mark.parametrize("client", ["x", "y" * 4000])
async def test_a_name_that_nobody_has_is_not_logged(desk: Desk, client: str) -> None:
    """People type their password into the wrong prompt."""
    del client
    session, link = desk.begin("hunter2-is-my-password", "x")
    await desk.answer(link)
    assert desk.router.log.entries[-1] == (
        "auth.fail",
        session.id,
        {"reason": ErrorCode.BAD_CREDENTIALS, "user": None},
    )


@pytest.mark.parametrize(
    ("state", "code"),
    [(AccountState.DELETED, ErrorCode.BAD_CREDENTIALS), (AccountState.LOCKED, ErrorCode.ACCOUNT_LOCKED)],
)
async def test_what_the_operator_does_meanwhile_counts(desk: Desk, state: AccountState, code: str) -> None:
    """An account that is locked or deleted while its password is checked does not get in."""
    desk.hasher.gate.clear()
    _, link = desk.begin("alice")
    await until(lambda: desk.hasher.verified)
    await desk.change("alice", state)
    desk.hasher.gate.set()
    nack = await desk.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == code


async def test_nothing_is_read_while_a_login_is_decided(desk: Desk) -> None:
    """What was sent behind a good `auth` is handled after it."""
    desk.hasher.gate.clear()
    session, link = desk.begin("alice")
    assert not link.reading
    session.receive(b'{"type":"ping"}\n')
    desk.hasher.gate.set()
    await until(lambda: len(link.written) >= 3)
    assert [frame.type for frame in link.written[:3]] == ["auth_ack", "pong", "online_users"]
    assert link.reading


@pytest.mark.parametrize("fate", ["lost", "shutdown", "eof"])
async def test_a_peer_that_goes_while_its_login_is_decided(desk: Desk, fate: str) -> None:
    """The verdict comes too late for it, and does no harm; after an end of the stream it is still sent."""
    desk.hasher.gate.clear()
    session, link = desk.begin("alice")
    await until(lambda: desk.hasher.verified)
    if fate == "lost":
        session.lost("lost")
    elif fate == "shutdown":
        session.finish(ErrorCode.SHUTDOWN)
    else:
        session.receive_eof()
    desk.hasher.gate.set()
    await until(lambda: desk.passwords.pending == 0)
    await until(lambda: link.ended or fate == "lost")
    await asyncio.sleep(0)
    written = [frame.type for frame in link.written]
    assert written == {"lost": [], "shutdown": ["bye"], "eof": ["auth_ack"]}[fate]
    assert desk.router.logged_in_count == 0


async def test_a_full_queue_says_when_to_come_back(desk: Desk) -> None:
    """One password is checked, one waits; the third hears `busy`, and that is no attempt of theirs."""
    desk.hasher.gate.clear()
    links = [desk.begin("alice")[1] for _ in range(2)]
    await until(lambda: desk.passwords.pending == 2)
    session, link = desk.begin("bob")
    for _ in range(4):
        nack = await desk.answer(link)
        assert isinstance(nack, frames.AuthNack)
        assert (nack.code, nack.retry_after) == (ErrorCode.BUSY, 2.0)
        again(session, "bob")
    desk.hasher.gate.set()
    for each in links:
        assert isinstance(await desk.answer(each), frames.AuthAck)


async def test_three_attempts_and_no_more(desk: Desk) -> None:
    """The third refusal is the last frame but the `error`."""
    session, link = desk.begin("alice", "wrong")
    for _ in range(2):
        assert isinstance(await desk.answer(link), frames.AuthNack)
        again(session, "alice", "wrong")
    assert isinstance(await desk.answer(link), frames.AuthNack)
    error = await desk.answer(link)
    assert isinstance(error, frames.Error)
    assert (error.code, link.ended) == (ErrorCode.TOO_MANY_ATTEMPTS, "too_many_attempts")


@pytest.mark.parametrize(
    ("versions", "good"), [((1, 1), True), ((0, 9), True), ((2, 9), False), ((3, 1), False)]
)
async def test_versions(desk: Desk, versions: tuple[int, int], good: bool) -> None:
    """Ours must be among those that the client speaks; else no password is looked at."""
    _, link = desk.begin("alice", protocol=versions)
    answer = await desk.answer(link)
    if good:
        assert isinstance(answer, frames.AuthAck)
    else:
        assert isinstance(answer, frames.AuthNack)
        assert answer.code == ErrorCode.PROTOCOL_VERSION
        assert desk.hasher.verified == []


async def test_a_hash_of_another_cost_is_upgraded(desk: Desk) -> None:
    """By a good login only."""
    old = PasswordHasher(Argon2Config(memory_kib=16, iterations=1, parallelism=1)).hash(PASSWORD)
    await desk.set_hash("alice", old)
    _, link = desk.begin("alice", "wrong")
    await desk.answer(link)
    assert await desk.hash_of("alice") == old
    _, link = desk.begin("alice")
    assert isinstance(await desk.answer(link), frames.AuthAck)
    upgraded = await desk.hash_of("alice")
    assert upgraded != old
    assert not desk.hasher.needs_rehash(upgraded)


async def test_a_broken_hash_is_told_as_internal_and_harms_nobody_else(desk: Desk) -> None:
    """Whose hash can't be read can't log in; the others can."""
    await desk.set_hash("alice", "no hash at all")
    _, link = desk.begin("alice")
    nack = await desk.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == ErrorCode.INTERNAL
    _, link = desk.begin("bob")
    assert isinstance(await desk.answer(link), frames.AuthAck)
