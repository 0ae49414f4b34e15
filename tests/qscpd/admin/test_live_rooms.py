"""Changes of rooms by the operator with live sessions, which are notified at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom, RoomKind
from qscpd import admin
from qscpd.admin.live import LiveAdmin
from qscpd.domain.model import NewMessage, Refused
from qscpd.domain.rooms import RoomChange
from qscpd.errors import ExitCode, StoreFullError
from qscpd.net.bound_addresses import BoundAddresses
from qscpd.sessions.session import Session
from qscpd.store.damage import DamageLog
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.doubles import FakeLink, RouterDouble

ALICE, BOB = 1, 2


class LiveDaemon:
    """A router, a store with the same accounts, and their LiveAdmin."""

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
        self.admin = LiveAdmin(self.router, self.writer, DamageLog(), BoundAddresses())

    async def join(self, account: int, room: str) -> None:
        """Let a user join a room."""
        change = RoomChange(action="join", room=room, actor=account)
        await self.writer.change_room(change)

    async def received(self, link: FakeLink) -> list[frames.ServerFrame]:
        """Return the new frames of a session, without those sent once a second."""
        await asyncio.sleep(0)  # the output of a tick is written at its end
        gathered = frames.PresenceChanges | frames.MembersChanged
        return [each for each in link.take() if not isinstance(each, gathered)]


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[LiveDaemon]:
    """A running daemon without a network, with accounts alice and bob."""
    made = LiveDaemon(tmp_path / "qscpd.db")
    with made.writer:
        yield made
    made.router.close()
    made.store.close()


async def test_a_new_room_is_sent_to_its_owner(daemon: LiveDaemon) -> None:
    """All sessions of the owner, and no others, get the new room with its settings."""
    links = [daemon.router.login("alice")[1] for _ in range(2)]
    _, other = daemon.router.login("bob")
    for link in (*links, other):
        await daemon.received(link)
    request = admin.CreateRoom("Dev", "ALICE", RoomKind.CLOSED, HistoryFrom.FULL, "Where we talk")
    reply = await daemon.admin.handle(request)
    assert reply == admin.RoomChanged(1, "#dev")
    room = daemon.router.rooms.by_name("#dev")
    assert room is not None
    expected = frames.RoomChanged(room.described(ALICE), 1, 0)
    assert [await daemon.received(link) for link in (*links, other)] == [[expected], [expected], []]
    assert (expected.room.kind, expected.room.history, expected.room.topic) == (
        "closed",
        "full",
        "Where we talk",
    )
    assert expected.room.role == "owner"


async def test_members_of_a_deleted_room_are_notified(daemon: LiveDaemon) -> None:
    """Each member is notified, without an actor; the name is free at once."""
    await daemon.admin.handle(admin.CreateRoom("dev", "alice"))
    await daemon.join(BOB, "#dev")
    links = [daemon.router.login(name)[1] for name in ("alice", "bob")]
    for link in links:
        await daemon.received(link)
    assert await daemon.admin.handle(admin.DeleteRoom("#dev")) == admin.RoomChanged(1, "#dev")
    for link in links:
        assert await daemon.received(link) == [frames.RoomLeft("c1", "#dev", "deleted")]
    assert daemon.router.rooms.by_name("#dev") is None
    assert await daemon.admin.handle(admin.CreateRoom("dev", "bob")) == admin.RoomChanged(2, "#dev")


async def test_a_late_message_to_a_deleted_room(daemon: LiveDaemon) -> None:
    """A late message to a deleted room is refused as for an unknown room."""
    await daemon.admin.handle(admin.CreateRoom("dev", "alice"))
    await daemon.admin.handle(admin.DeleteRoom("dev"))
    late = NewMessage(ALICE, -1, f"{1:032x}", "too late")
    outcomes, _ = await daemon.writer.perform(lambda store: store.append([late]))
    assert outcomes == [Refused(ErrorCode.UNKNOWN_ROOM)]


async def test_an_archived_room_is_archived_at_once(daemon: LiveDaemon) -> None:
    """The room is archived in memory and in the store."""
    await daemon.admin.handle(admin.CreateRoom("dev", "alice"))
    await daemon.admin.handle(admin.ArchiveRoom("dev"))
    room = daemon.router.rooms.by_name("#dev")
    assert room is not None
    assert room.described(ALICE).archived


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (admin.CreateRoom("dev", "bob"), ExitCode.EXISTS),
        (admin.CreateRoom("other", "zoe"), ExitCode.NOT_FOUND),
        (admin.CreateRoom("o t", "bob"), ExitCode.USAGE),
        (admin.ArchiveRoom("other"), ExitCode.NOT_FOUND),
        (admin.DeleteRoom("other"), ExitCode.NOT_FOUND),
    ],
)
async def test_a_failed_request_changes_nothing(
    daemon: LiveDaemon, request_: admin.RoomRequest, code: ExitCode
) -> None:
    """The reply has the exit code; no session is notified."""
    await daemon.admin.handle(admin.CreateRoom("dev", "alice"))
    _, link = daemon.router.login("alice")
    await daemon.received(link)
    reply = await daemon.admin.handle(request_)
    assert isinstance(reply, admin.Failed)
    assert reply.exit_code == code
    assert await daemon.received(link) == []
    assert len(daemon.router.rooms) == 1


async def test_a_full_disk_is_reported(daemon: LiveDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply is the error of the store, and no room is created."""

    def full(_: RoomChange) -> None:
        raise StoreFullError("no room on the disk")

    monkeypatch.setattr(daemon.store, "change_room", full)
    with pytest.raises(StoreFullError):
        await daemon.admin.handle(admin.CreateRoom("dev", "alice"))
    assert len(daemon.router.rooms) == 0
