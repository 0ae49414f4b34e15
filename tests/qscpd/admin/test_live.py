"""Administration of accounts with live sessions."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog.testing

from qscpd.admin import (
    Accounts,
    AddUser,
    ClockConfirmed,
    ConfirmClock,
    DaemonStatus,
    DeleteUser,
    Done,
    Failed,
    ListUsers,
    LockUser,
    SetPassword,
    Status,
    UnlockUser,
    perform,
)
from qscpd.admin.live import LiveAdmin
from qscpd.domain.model import Account
from qscpd.errors import ExitCode, StoreBusyError, StoreError, StoreFullError
from qscpd.net.bound_addresses import BoundAddresses
from qscpd.sessions.session import Session
from qscpd.store.damage import DamageLog
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.daemon import hash_cheaply
from tests.support.doubles import RouterDouble
from tests.support.stores import ManualClock


class LiveDaemon:
    """A router, a store with the same accounts, and their LiveAdmin."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.store = SqliteStore(path, clock=self.clock)
        for name in ("alice", "bob"):
            self.store.add_account(name, "x")
        self.router = RouterDouble("alice", "bob")
        self.writer = StoreWriter[Session](
            self.store,
            self.router.bus,
            on_failed=print,
        )
        self.admin = LiveAdmin(self.router, self.writer, DamageLog(), BoundAddresses())


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[LiveDaemon]:
    """A running daemon without a network, with accounts alice and bob."""
    made = LiveDaemon(tmp_path / "qscpd.db")
    with made.writer:
        yield made
    made.router.presence.close()
    made.store.close()


async def test_a_new_account_is_known_at_once(daemon: LiveDaemon) -> None:
    """A new account can receive messages and log in at once."""
    reply = await daemon.admin.handle(AddUser("Carol", hash_cheaply("password")))
    assert isinstance(reply, Done)
    account = daemon.router.directory.by_name("carol")
    assert account is not None
    assert account.id == reply.account.id == 3


@pytest.mark.parametrize(("request_type", "reason"), [(LockUser, "locked"), (DeleteUser, "deleted")])
async def test_locking_and_deleting_end_sessions(
    daemon: LiveDaemon, request_type: type[LockUser] | type[DeleteUser], reason: str
) -> None:
    """Only the account's sessions are closed, and all of them."""
    links = [daemon.router.login("alice")[1] for _ in range(2)]
    _, other = daemon.router.login("bob")
    await daemon.admin.handle(request_type("alice"))
    assert [link.ended for link in (*links, other)] == [reason, reason, ""]
    assert (daemon.router.directory.by_name("alice") is None) is (reason == "deleted")


async def test_unlocking_and_a_new_password_end_nothing(daemon: LiveDaemon) -> None:
    """Unlocking an account and changing its password leave its sessions open."""
    _, link = daemon.router.login("alice")
    await daemon.admin.handle(UnlockUser("alice"))
    await daemon.admin.handle(SetPassword("alice", hash_cheaply("another password")))
    assert link.ended == ""


async def test_a_failed_request_changes_nothing(daemon: LiveDaemon) -> None:
    """A request for an unknown account is answered with its exit code."""
    reply = await daemon.admin.handle(LockUser("zoe"))
    assert isinstance(reply, Failed)
    assert reply.exit_code == ExitCode.NOT_FOUND
    assert len(daemon.router.directory) == 2


async def test_lists_and_status(daemon: LiveDaemon) -> None:
    """The list and the status come from memory."""
    daemon.router.login("alice")
    daemon.router.connect()
    accounts = await daemon.admin.handle(ListUsers())
    assert isinstance(accounts, Accounts)
    assert [account.name for account in accounts.accounts] == ["alice", "bob"]
    status = await daemon.admin.handle(Status())
    assert isinstance(status, DaemonStatus)
    assert (status.connections, status.sessions, status.users_online) == (2, 1, 1)


async def test_the_list_follows_the_store(daemon: LiveDaemon) -> None:
    """After an account was added, locked and deleted, the daemon lists the accounts of the store."""
    for request in (AddUser("carol", hash_cheaply("password")), LockUser("bob"), DeleteUser("alice")):
        assert isinstance(await daemon.admin.handle(request), Done)
    listed = await daemon.admin.handle(ListUsers())
    assert listed == await daemon.writer.perform(lambda store: perform(ListUsers(), store))
    assert isinstance(listed, Accounts)
    assert [(each.name, each.state) for each in listed.accounts] == [("bob", "locked"), ("carol", "active")]


@pytest.mark.parametrize("error", [StoreFullError("no room on the disk"), StoreBusyError("locked")])
async def test_a_lock_that_can_not_be_stored(
    daemon: LiveDaemon, monkeypatch: pytest.MonkeyPatch, error: StoreError
) -> None:
    """If the store can't be changed, an account is locked in memory, and the command says so and fails."""

    def fail(*_: object, **__: object) -> Account:
        raise error

    _, link = daemon.router.login("alice")
    with monkeypatch.context() as patch:
        patch.setattr(daemon.store, "set_locked", fail)
        with pytest.raises(
            type(error), match=r"alice is locked only until qscpd ends.*`qscpd lock alice` again"
        ):
            await daemon.admin.handle(LockUser("Alice"))
        with pytest.raises(type(error), match=f"^{error}$"):
            await daemon.admin.handle(LockUser("zoe"))
    assert link.ended == "locked"
    assert states(daemon) == {"alice": "locked", "bob": "active"}
    await daemon.admin.handle(SetPassword("alice", hash_cheaply("another password")))
    assert states(daemon) == {"alice": "locked", "bob": "active"}
    await daemon.admin.handle(LockUser("alice"))
    assert await daemon.writer.perform(lambda store: store.find_account("alice", None).state) == "locked"
    await daemon.admin.handle(UnlockUser("alice"))
    assert states(daemon) == {"alice": "active", "bob": "active"}


async def test_unlocking_what_is_locked_in_memory(
    daemon: LiveDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that is locked in memory only can be unlocked, also if the store can't be changed still."""

    def fail(*_: object, **__: object) -> Account:
        raise StoreFullError("no room on the disk")

    monkeypatch.setattr(daemon.store, "set_locked", fail)
    with pytest.raises(StoreFullError):
        await daemon.admin.handle(LockUser("alice"))
    with pytest.raises(StoreFullError):
        await daemon.admin.handle(UnlockUser("alice"))
    assert states(daemon) == {"alice": "active", "bob": "active"}


def states(daemon: LiveDaemon) -> dict[str, str]:
    """Return the state of each account as logins see it."""
    return {name: account.state.value for name, account in daemon.router.directory.accounts.items()}


async def test_the_wall_clock_in_the_status(daemon: LiveDaemon) -> None:
    """The status shows a jump at once, and that the operator has confirmed it; both are logged at once."""

    async def status() -> tuple[bool, int | None, int | None]:
        reply = await daemon.admin.handle(Status())
        assert isinstance(reply, DaemonStatus)
        return reply.clock_confirmed, reply.clock_ahead_s, reply.clock_left_s

    assert await status() == (True, None, None)
    daemon.clock.jump(-8 * 3600)
    with structlog.testing.capture_logs() as log:
        assert await status() == (False, -8 * 3600, 86_400)
        reply = await daemon.admin.handle(ConfirmClock())
    assert reply == ClockConfirmed(daemon.clock.ms, was_confirmed=False)
    assert [each["event"] for each in log] == ["clock.unconfirmed", "clock.confirmed"]
    assert await status() == (True, None, None)
    assert await daemon.admin.handle(ConfirmClock()) == ClockConfirmed(daemon.clock.ms, was_confirmed=True)


async def test_the_status_of_a_daemon_whose_store_hangs(daemon: LiveDaemon) -> None:
    """A store that does not answer does not keep the operator from the status."""
    released = threading.Event()
    hanging = asyncio.ensure_future(daemon.writer.perform(lambda _: released.wait()))
    reply = await daemon.admin.handle(Status())
    released.set()
    assert await hanging
    assert isinstance(reply, DaemonStatus)
    assert reply.clock_confirmed
