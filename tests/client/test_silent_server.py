"""Sessions on a server, or a link, that becomes silent."""

import asyncio
from pathlib import Path

import pytest

from qscp import frames
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.errors import ExitCode, UnreachableError
from qscp_client.net.silence import Patience
from tests.support.client_session import ClientSession, GivenLines
from tests.support.scripted_server import ScriptedServer
from tests.support.swallower import Swallower
from tests.support.waiting import until

SHORT = Patience(unanswered_s=0.1, dead_s=0.3, login_s=0.4)
WAITING = Notice(NoticeCode.WAITING_FOR_SERVER)
LOST, RECONNECTED = Notice(NoticeCode.CONNECTION_LOST), Notice(NoticeCode.RECONNECTED)
PAUSED = Notice(NoticeCode.THROTTLED)


def kinds(front: GivenLines) -> list[Notice]:
    """Return each notice once, by its first time: a busy machine makes more answers late than the test."""
    return list(dict.fromkeys(front.notices()))


@pytest.fixture
def peer(server: ScriptedServer, ca_file: Path, tmp_path: Path) -> ClientSession:
    """Return a client of the server."""
    server.come("dave")
    return ClientSession(server.port, ca_file, tmp_path / "devices")


async def test_a_link_that_swallows_everything_is_replaced(
    server: ScriptedServer, ca_file: Path, tmp_path: Path
) -> None:
    """When nothing comes through any more, the client shows it, reconnects, and sends the message once."""
    server.come("dave")
    front = GivenLines("dave", "one")
    async with Swallower(server.port) as link:
        session = ClientSession(link.port, ca_file, tmp_path / "devices")
        running = asyncio.create_task(session.run(front, patience=SHORT))
        await server.until(ScriptedServer.bodies)
        link.swallows = True
        front.type("two")
        await session.until_tried(1)
        link.swallows = False  # Before the new connection sends anything: its handshake would wait 10 s.
        await server.until(lambda script: len(script.stored("alice", "dave")) == 2)
        assert session.engine
        assert not session.engine.waiting
        front.type(None)
        assert await running is ExitCode.OK
    assert server.stored("alice", "dave") == ["one", "two"]
    assert kinds(front)[:3] == [WAITING, LOST, RECONNECTED]


async def test_a_slow_disk_is_waited_for(server: ScriptedServer, peer: ClientSession) -> None:
    """A server that answers pings, but no message, is waited for on the same connection."""
    server.holds_acks = True
    front = GivenLines("dave", "one")
    running = asyncio.create_task(peer.run(front, patience=SHORT))
    await server.until(lambda script: script.received.count(frames.ClientPing()) >= 8)
    assert peer.engine
    assert peer.engine.waiting
    [chat] = [frame for frame in server.received if isinstance(frame, frames.SendChat)]
    server.sessions["alice"].send(frames.ChatAck(chat.id, "c1", 1, 1000))
    await until(lambda: peer.engine and not peer.engine.waiting)
    front.type(None)
    assert await running is ExitCode.OK
    assert kinds(front) == [WAITING]
    assert server.logins == 1


async def test_a_pause_of_the_server_is_waited_out(server: ScriptedServer, peer: ClientSession) -> None:
    """After `throttled` a client waits for the announced time, without pings."""
    server.throttles_s, server.announces_s = 1, 3600
    server.ignores_ping = True
    front = GivenLines("dave", "one", None)
    assert await peer.run(front, patience=SHORT, leave_timeout_s=60) is ExitCode.OK
    notices = front.notices()
    assert notices[-1] == PAUSED
    # On a busy machine `throttled` can come late itself.
    assert server.received.count(frames.ClientPing()) <= notices.count(WAITING) <= 1
    assert server.logins == 1


async def test_a_request_without_an_answer_is_noticed(server: ScriptedServer, peer: ClientSession) -> None:
    """A request counts as a message does."""
    server.ignores_whois = server.ignores_ping = True
    front = GivenLines("bob")
    running = asyncio.create_task(peer.run(front, patience=SHORT))
    await server.until(lambda script: script.logins == 2)
    front.type("quit")
    assert await running is ExitCode.OK
    assert kinds(front)[:2] == [WAITING, LOST]


async def test_a_silent_server_during_the_login(
    server: ScriptedServer, ca_file: Path, tmp_path: Path
) -> None:
    """A login without an answer is shown as late, and ends with a sentence."""
    async with Swallower(server.port) as link:
        session = ClientSession(link.port, ca_file, tmp_path / "devices")
        session.prompts.on_password = lambda: setattr(link, "swallows", True)
        with pytest.raises(UnreachableError, match="does not answer the login"):
            await session.run(GivenLines(), patience=SHORT)
    assert kinds(session.prompts) == [WAITING]


async def test_a_silent_server_during_the_sync(server: ScriptedServer, peer: ClientSession) -> None:
    """Missing lists after the login are noticed, too."""
    server.ignores_lists = server.ignores_ping = True
    front = GivenLines()
    running = asyncio.create_task(peer.run(front, patience=SHORT))
    await server.until(lambda script: script.logins == 2)
    server.ignores_lists = False
    server.drop_all()
    await until(lambda: peer.engine and peer.engine.ready)
    front.type("quit")
    assert await running is ExitCode.OK
    assert kinds(front)[:2] == [WAITING, LOST]
