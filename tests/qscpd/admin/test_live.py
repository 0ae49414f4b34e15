"""Administration of accounts with live sessions."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscpd.admin import (
    Accounts,
    AddUser,
    DaemonStatus,
    DeleteUser,
    Done,
    Failed,
    ListUsers,
    LockUser,
    SetPassword,
    Status,
    UnlockUser,
)
from qscpd.admin.live import LiveAdmin
from qscpd.errors import ExitCode
from qscpd.sessions.session import Session
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.daemon import hash_cheaply
from tests.support.doubles import RouterDouble


class InProcessPeer:
    """A router, a store with the same accounts, and the admin between them."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(path)
        for name in ("alice", "bob"):
            self.store.add_account(name, "x")
        self.router = RouterDouble("alice", "bob")
        self.writer = StoreWriter[Session](
            self.store,
            self.router.bus,
            on_failed=print,
        )
        self.admin = LiveAdmin(self.router, self.writer)


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[InProcessPeer]:
    """A running admin."""
    made = InProcessPeer(tmp_path / "qscpd.db")
    with made.writer:
        yield made
    made.router.presence.close()
    made.store.close()


async def test_adding_makes_the_account_known(peer: InProcessPeer) -> None:
    """A new account can receive messages and log in at once."""
    reply = await peer.admin.handle(AddUser("Carol", hash_cheaply("password")))
    assert isinstance(reply, Done)
    account = peer.router.directory.by_name("carol")
    assert account is not None
    assert account.id == reply.account.id == 3


@pytest.mark.parametrize(("request_type", "reason"), [(LockUser, "locked"), (DeleteUser, "deleted")])
async def test_locking_and_deleting_end_sessions(
    peer: InProcessPeer, request_type: type[LockUser] | type[DeleteUser], reason: str
) -> None:
    """Only the account's sessions are closed, and all of them."""
    links = [peer.router.login("alice")[1] for _ in range(2)]
    _, other = peer.router.login("bob")
    await peer.admin.handle(request_type("alice"))
    assert [link.ended for link in (*links, other)] == [reason, reason, ""]
    assert (peer.router.directory.by_name("alice") is None) is (reason == "deleted")


async def test_unlocking_and_a_new_password_end_nothing(peer: InProcessPeer) -> None:
    """Open sessions go on."""
    _, link = peer.router.login("alice")
    await peer.admin.handle(UnlockUser("alice"))
    await peer.admin.handle(SetPassword("alice", hash_cheaply("another password")))
    assert link.ended == ""


async def test_what_fails_changes_nothing(peer: InProcessPeer) -> None:
    """An unknown account is a reply with its exit code."""
    reply = await peer.admin.handle(LockUser("nobody"))
    assert isinstance(reply, Failed)
    assert reply.exit_code == ExitCode.NOT_FOUND
    assert len(peer.router.directory) == 2


async def test_questions_are_answered(peer: InProcessPeer) -> None:
    """The list comes from the store, the status from memory."""
    peer.router.login("alice")
    peer.router.connect()
    accounts = await peer.admin.handle(ListUsers())
    assert isinstance(accounts, Accounts)
    assert [account.name for account in accounts.accounts] == ["alice", "bob"]
    status = await peer.admin.handle(Status())
    assert isinstance(status, DaemonStatus)
    assert (status.connections, status.sessions, status.users_online) == (2, 1, 1)
