"""Logins: the same answer at the same cost for everything that is wrong."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import structlog
from argon2 import low_level

from qscp import codec, frames
from qscp.errors import ErrorCode
from qscp.frames import ServerFrame
from qscpd.accounts.password_pool import PasswordPool
from qscpd.accounts.passwords import PasswordHasher
from qscpd.config.model import Argon2Config, Config
from qscpd.domain.model import AccountState
from qscpd.handlers.login import Login
from qscpd.handlers.login_guard import LoginGuard
from qscpd.net.admission import Admission
from qscpd.sessions.session import Session
from qscpd.store.reads import StoreReads
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.address_space import HUGE_HASH, no_gigabytes
from tests.support.daemon import CHEAP_ARGON2, PASSWORD, hash_cheaply
from tests.support.doubles import FakeLink, RouterDouble, make_handlers
from tests.support.waiting import PATIENCE_S, patiently, until


class CountingHasher(PasswordHasher):
    """A hasher that records its verifications, and waits for a gate.

    Attributes:
        verified: The hashes that were verified against.
        gate: Event that verifications wait for.
    """

    def __init__(self, config: Argon2Config) -> None:
        super().__init__(config)
        self.verified: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def verify(self, password: str, password_hash: str) -> bool:
        """Record the hash, wait for the gate, and verify."""
        self.verified.append(password_hash)
        assert self.gate.wait(PATIENCE_S)
        return super().verify(password, password_hash)


class LoginServer:
    """A router with logins, on a real store.

    Once its threads run, only `real_writer` and `reads` can use the store.
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
        self.admission = Admission(self.router.config, time.monotonic, descriptors=1000)
        login = Login(
            self.router,
            self.real_writer,
            self.reads,
            self.passwords,
            LoginGuard(self.admission, time.monotonic),
            self.router.log,
            tasks,
            retention=frames.Retention(seconds=86400, messages=500),
            epoch="e1",
        )
        self.router.handlers = make_handlers(self.router, self.real_writer, self.reads, tasks, login.start)

    async def change(self, name: str, state: AccountState) -> None:
        """Lock or delete an account, as the admin socket does."""
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
async def server(tmp_path: Path) -> AsyncIterator[LoginServer]:
    """A running server for logins."""
    async with patiently(), asyncio.TaskGroup() as tasks:
        made = LoginServer(tmp_path / "qscpd.db", tasks)
        with made.real_writer, made.reads:
            yield made
            made.hasher.gate.set()
        made.passwords.close()
        made.router.presence.close()
        made.store.close()


async def test_a_valid_login(server: LoginServer) -> None:
    """A login with a name in any spelling gets `auth_ack`, then the presence snapshot, and is logged."""
    session, link = server.begin(" Alice ", client="test/1")
    ack = await server.answer(link)
    assert isinstance(ack, frames.AuthAck)
    assert (ack.user, ack.account, ack.session, ack.protocol) == ("alice", "a1", session.id, 1)
    assert (ack.epoch, ack.retention) == ("e1", frames.Retention(seconds=86400, messages=500))
    assert ack.features == ["block", "lazy_history", "login_presence", "read_receipts", "typing"]
    assert isinstance(await server.answer(link), frames.OnlineUsers)
    assert server.router.sessions_of(1) == [session]
    assert not session.outbound.live
    logged = {"user": "alice", "device": None, "client": "test/1"}
    assert server.router.log.entries[-1] == ("auth.ok", session.id, logged)
    assert link.reading


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("alice", "wrong password"),
        ("zoe", PASSWORD),
        ("no name!", PASSWORD),
        ("deleted", PASSWORD),
        ("locked", "wrong password"),
        ("alice", ""),
    ],
)
async def test_every_invalid_login_gets_the_same_answer_at_the_same_cost(
    server: LoginServer, user: str, password: str
) -> None:
    """An invalid login gets `bad_credentials` after one verification with the same parameters."""
    _, link = server.begin(user, password)
    nack = await server.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert (nack.code, nack.retry_after) == (ErrorCode.BAD_CREDENTIALS, None)
    (against,) = server.hasher.verified
    assert against.split("$")[:4] == server.hasher.dummy_hash.split("$")[:4]


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [
        ("alice", "wrong password", ErrorCode.BAD_CREDENTIALS),
        ("zoe", PASSWORD, ErrorCode.BAD_CREDENTIALS),
        ("no name!", PASSWORD, ErrorCode.BAD_CREDENTIALS),
        ("deleted", PASSWORD, ErrorCode.BAD_CREDENTIALS),
        ("locked", "wrong password", ErrorCode.BAD_CREDENTIALS),
        ("locked", PASSWORD, ErrorCode.ACCOUNT_LOCKED),
        ("alice", PASSWORD, None),
    ],
)
async def test_every_login_computes_one_hash(
    server: LoginServer, user: str, password: str, code: ErrorCode | None
) -> None:
    """Whatever is wrong, the threads compute exactly one argon2 hash, with the same parameters."""
    computed: list[bytes] = []

    def count(original: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **kwargs: object) -> object:
            computed.append(args[0] if args and isinstance(args[0], bytes) else b"")
            return original(*args, **kwargs)

        return run

    with contextlib.ExitStack() as stack:
        for name in ("hash_secret", "hash_secret_raw", "verify_secret"):
            counted = count(getattr(low_level, name))
            stack.enter_context(mock.patch.object(low_level, name, counted))
        _, link = server.begin(user, password)
        answer = await server.answer(link)
    assert (answer.code if isinstance(answer, frames.AuthNack) else None) == code
    parameters = server.hasher.dummy_hash.split("$")[:4]
    assert [each.decode().split("$")[:4] for each in computed] == [parameters]


async def test_only_the_right_password_reveals_that_an_account_is_locked(server: LoginServer) -> None:
    """The right password of a locked account gets `account_locked`, at the same cost."""
    _, link = server.begin("locked")
    nack = await server.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == ErrorCode.ACCOUNT_LOCKED
    assert len(server.hasher.verified) == 1


@pytest.mark.parametrize("client", ["x", "y" * 4000])
async def test_an_unknown_name_is_not_logged(server: LoginServer, client: str) -> None:
    """An unknown name is not logged, because it might be a password typed into the wrong prompt."""
    del client
    session, link = server.begin("hunter2-is-my-password", "x")
    await server.answer(link)
    assert server.router.log.entries[-1] == (
        "auth.fail",
        session.id,
        {"reason": ErrorCode.BAD_CREDENTIALS, "user": None},
    )


@pytest.mark.parametrize(
    ("state", "code"),
    [(AccountState.DELETED, ErrorCode.BAD_CREDENTIALS), (AccountState.LOCKED, ErrorCode.ACCOUNT_LOCKED)],
)
async def test_locking_or_deleting_during_a_login_refuses_it(
    server: LoginServer, state: AccountState, code: str
) -> None:
    """An account that is locked or deleted while its password is checked is refused."""
    server.hasher.gate.clear()
    _, link = server.begin("alice")
    await until(lambda: server.hasher.verified)
    await server.change("alice", state)
    server.hasher.gate.set()
    nack = await server.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == code


async def test_later_frames_wait_for_the_login(server: LoginServer) -> None:
    """The link is not read during a login, and frames after `auth` are handled after its answer."""
    server.hasher.gate.clear()
    session, link = server.begin("alice")
    assert not link.reading
    session.receive(b'{"type":"ping"}\n')
    server.hasher.gate.set()
    await until(lambda: len(link.written) >= 3)
    assert [frame.type for frame in link.written[:3]] == ["auth_ack", "pong", "online_users"]
    assert link.reading


@pytest.mark.parametrize("fate", ["lost", "shutdown", "eof"])
async def test_a_peer_that_disconnects_during_its_login(server: LoginServer, fate: str) -> None:
    """A login of a closed session is dropped; after the end of the stream it is still answered."""
    server.hasher.gate.clear()
    session, link = server.begin("alice")
    await until(lambda: server.hasher.verified)
    if fate == "lost":
        session.lost("lost")
    elif fate == "shutdown":
        session.close(ErrorCode.SHUTDOWN, graceful=True)
    else:
        session.receive_eof()
    server.hasher.gate.set()
    await until(lambda: server.passwords.pending == 0)
    await until(lambda: link.ended or fate == "lost")
    await asyncio.sleep(0)
    written = [frame.type for frame in link.written]
    assert written == {"lost": [], "shutdown": ["bye"], "eof": ["auth_ack"]}[fate]
    assert server.router.logged_in_count == 0


async def test_a_full_queue_refuses_with_a_time_to_retry(server: LoginServer) -> None:
    """A login beyond the queue gets `busy` with a time to retry; it does not count as an attempt."""
    server.hasher.gate.clear()
    links = [server.begin("alice")[1] for _ in range(2)]
    await until(lambda: server.passwords.pending == 2)
    session, link = server.begin("bob")
    for _ in range(4):
        nack = await server.answer(link)
        assert isinstance(nack, frames.AuthNack)
        assert (nack.code, nack.retry_after) == (ErrorCode.BUSY, 2.0)
        again(session, "bob")
    server.hasher.gate.set()
    for each in links:
        assert isinstance(await server.answer(each), frames.AuthAck)
    assert session.attempts == 0
    assert server.router.log.names().count("auth.fail") == 0
    deferred = [fields for event, _, fields in server.router.log.entries if event == "auth.deferred"]
    assert deferred[0] == {"reason": ErrorCode.BUSY, "user": "bob", "retry_after": 2.0}
    assert {fields["reason"] for fields in deferred} == {ErrorCode.BUSY}


async def test_a_penalised_address_gets_busy_without_a_hash(server: LoginServer) -> None:
    """After failures an address is refused with the rest of its penalty; a user known there is not."""
    session, link = server.begin("bob")
    assert isinstance(await server.answer(link), frames.AuthAck)
    server.hasher.verified.clear()
    for number in range(7):
        _, link = server.begin(f"zoe{number}", "wrong")
        nack = await server.answer(link)
        assert isinstance(nack, frames.AuthNack)
        assert nack.code == ErrorCode.BAD_CREDENTIALS
    _, link = server.begin("alice")
    nack = await server.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == ErrorCode.BUSY
    assert nack.retry_after is not None
    assert 2 < nack.retry_after <= 35
    assert len(server.hasher.verified) == 7
    session, link = server.begin("bob")
    assert isinstance(await server.answer(link), frames.AuthAck)
    assert not session.link.visitor.waiting


async def test_the_number_of_attempts_is_limited(server: LoginServer) -> None:
    """After the third refusal the session ends with `too_many_attempts`."""
    session, link = server.begin("alice", "wrong")
    for _ in range(2):
        assert isinstance(await server.answer(link), frames.AuthNack)
        again(session, "alice", "wrong")
    assert isinstance(await server.answer(link), frames.AuthNack)
    error = await server.answer(link)
    assert isinstance(error, frames.Error)
    assert (error.code, link.ended) == (ErrorCode.TOO_MANY_ATTEMPTS, "too_many_attempts")


@pytest.mark.parametrize(
    ("versions", "good"), [((1, 1), True), ((0, 9), True), ((2, 9), False), ((3, 1), False)]
)
async def test_protocol_versions(server: LoginServer, versions: tuple[int, int], good: bool) -> None:
    """A client that does not support our version is refused without checking the password."""
    _, link = server.begin("alice", protocol=versions)
    answer = await server.answer(link)
    if good:
        assert isinstance(answer, frames.AuthAck)
    else:
        assert isinstance(answer, frames.AuthNack)
        assert answer.code == ErrorCode.PROTOCOL_VERSION
        assert server.hasher.verified == []


async def test_a_hash_with_other_parameters_is_upgraded(server: LoginServer) -> None:
    """A hash with other parameters is upgraded by a valid login, not by an invalid one."""
    old = PasswordHasher(Argon2Config(memory_kib=16, iterations=1, parallelism=1)).hash(PASSWORD)
    await server.set_hash("alice", old)
    _, link = server.begin("alice", "wrong")
    await server.answer(link)
    assert await server.hash_of("alice") == old
    _, link = server.begin("alice")
    assert isinstance(await server.answer(link), frames.AuthAck)
    upgraded = await server.hash_of("alice")
    assert upgraded != old
    assert not server.hasher.needs_rehash(upgraded)


async def test_a_malformed_hash_is_an_internal_error(server: LoginServer) -> None:
    """A login of an account with a malformed hash gets `internal`; other accounts can log in."""
    await server.set_hash("alice", "no hash at all")
    _, link = server.begin("alice")
    nack = await server.answer(link)
    assert isinstance(nack, frames.AuthNack)
    assert nack.code == ErrorCode.INTERNAL
    assert server.router.log.names()[-1] == "auth.deferred"
    _, link = server.begin("bob")
    assert isinstance(await server.answer(link), frames.AuthAck)


async def test_no_memory_is_busy_and_no_failure(server: LoginServer) -> None:
    """Without memory to check a password the peer gets `busy`, no penalty, and one line is logged."""
    await server.set_hash("alice", HUGE_HASH)
    with no_gigabytes(), structlog.testing.capture_logs() as entries:
        for _ in range(5):
            session, link = server.begin("alice")
            nack = await server.answer(link)
            assert isinstance(nack, frames.AuthNack)
            assert (nack.code, session.attempts) == (ErrorCode.BUSY, 0)
            assert nack.retry_after
        assert {name for name in server.router.log.names() if name.startswith("auth")} == {"auth.deferred"}
        _, link = server.begin("bob")
        assert isinstance(await server.answer(link), frames.AuthAck)
    assert [entry["event"] for entry in entries] == ["login.hash_failed"]
    assert "not enough memory" in entries[0]["reason"]
