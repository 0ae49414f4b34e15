"""Erasure by the daemon: small steps on the store's thread, between messages of others."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd import admin
from qscpd.accounts.directory import Directory
from qscpd.admin import live as liveadmin
from qscpd.admin.live import LiveAdmin
from qscpd.bus.local import LocalBus
from qscpd.chat.router import Router
from qscpd.config import Config
from qscpd.domain.model import NewMessage
from qscpd.errors import ExitCode, StoreFullError
from qscpd.sessions.session import Session
from qscpd.store.base import Store
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.doubles import ListLog
from tests.support.ids import IdMaker
from tests.support.live_admin import live_admin
from tests.support.stores import rows_of
from tests.support.waiting import PATIENCE_S

ALICE, BOB, CAROL = 1, 2, 3

make_id = IdMaker()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with many messages of alice."""
    with contextlib.closing(SqliteStore(tmp_path / "q.db")) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        store.append([NewMessage(ALICE, BOB, make_id(), f"text{number}") for number in range(700)])
        yield store


@contextlib.contextmanager
def running(store: SqliteStore) -> Iterator[tuple[LiveAdmin, Router, StoreWriter[Session]]]:
    """Run a daemon's admin, router and writer, without a network."""
    bus: LocalBus[Session] = LocalBus()
    writer = StoreWriter[Session](store, bus, on_failed=lambda error: pytest.fail(str(error)))
    directory = Directory(store.accounts(), store.account_names())
    router = Router(Config(), directory, ListLog(), bus, writer)
    with writer:
        yield live_admin(router, writer), router, writer
    router.presence.close()


def texts(store: Store) -> int:
    """Return the number of messages with a text."""
    return sum(row.body is not None for row in rows_of(store, 1))


async def test_a_request_erases_for_a_limited_time(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reply says whether more is left; repeated requests by id finish the erasure."""
    monkeypatch.setattr(liveadmin, "_ERASING_S", 0.0)
    with running(store) as (live, router, writer):
        replies = [await live.handle(admin.EraseUser("alice"))]
        assert router.directory.by_name("alice") is None
        while isinstance(reply := replies[-1], admin.Erased) and not reply.done:
            # Between two requests, as between two steps, other messages can be stored.
            await writer.perform(lambda store: store.append([NewMessage(BOB, CAROL, make_id(), "hi")]))
            replies.append(await live.handle(admin.EraseUser("alice", ALICE)))
        last = replies[-1]
        assert isinstance(last, admin.Erased)
        assert (last.account.name, last.account.state, last.done) == ("alice", "deleted", True)
        assert not last.compaction_due
        assert len(replies) > 5
        assert await writer.perform(texts) == 0


async def test_a_failed_request_is_answered(store: SqliteStore) -> None:
    """An invalid or unknown name is a reply, and changes nothing."""
    with running(store) as (live, router, writer):
        for request, code in (
            (admin.EraseUser("zoe"), ExitCode.NOT_FOUND),
            (admin.EraseUser("no one"), ExitCode.USAGE),
            (admin.EraseUser("alice", 9), ExitCode.NOT_FOUND),
        ):
            reply = await live.handle(request)
            assert isinstance(reply, admin.Failed)
            assert reply.exit_code == code
        assert await writer.perform(texts) == 700
        assert router.directory.by_name("alice") is not None


async def test_a_large_store_is_compacted_later(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply says if a large store has yet to be compacted."""
    monkeypatch.setattr("qscpd.store.sqlite.compaction._COMPACT_AT_ONCE", 0)
    monkeypatch.setattr(liveadmin, "_ERASING_S", PATIENCE_S)
    with running(store) as (live, _, _):
        reply = await live.handle(admin.EraseUser("alice"))
        assert isinstance(reply, admin.Erased)
        assert (reply.done, reply.compaction_due) == (True, True)


async def test_a_step_that_fails_is_reported(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is reported; the account is deleted, and the request can be repeated."""

    def full(_: int) -> bool:
        raise StoreFullError("no room on the disk")

    monkeypatch.setattr(liveadmin, "_ERASING_S", PATIENCE_S)
    with running(store) as (live, router, _):
        with monkeypatch.context() as patch:
            patch.setattr(store.housekeeping, "erase_step", full)
            with pytest.raises(StoreFullError):
                await live.handle(admin.EraseUser("alice"))
        assert router.directory.by_name("alice") is None
        reply = await live.handle(admin.EraseUser("alice"))
        assert isinstance(reply, admin.Erased)
        assert reply.done


def test_without_a_daemon_the_store_is_erased_at_once(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a daemon a store of any size is compacted as well."""
    monkeypatch.setattr("qscpd.store.sqlite.compaction._COMPACT_AT_ONCE", 0)
    reply = admin.perform(admin.EraseUser("Alice"), store)
    assert isinstance(reply, admin.Erased)
    assert (reply.done, reply.compaction_due) == (True, False)
    assert not store.housekeeping.compaction_due()
    assert texts(store) == 0
