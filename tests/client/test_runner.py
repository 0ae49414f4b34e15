"""Sessions between a scripted server and a scripted front end."""

import asyncio
import time
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp_client.core import events
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.outbox import LONGEST_TRY_MS
from qscp_client.errors import (
    EndedError,
    ExitCode,
    IncompatibleError,
    NotDeliveredError,
    UnreachableError,
)
from qscp_client.net.silence import Patience
from tests.support.client_session import ClientSession, GivenLines
from tests.support.scripted_server import ScriptedServer
from tests.support.waiting import patiently, until

LOST = Notice(NoticeCode.CONNECTION_LOST)


@pytest.fixture
def peer(server: ScriptedServer, ca_file: Path, tmp_path: Path) -> ClientSession:
    """Return a peer of the server."""
    server.come("dave")
    return ClientSession(server.port, ca_file, tmp_path / "devices")


@pytest.mark.parametrize("last", ["quit", None])
async def test_leaving_says_bye(last: str | None, server: ScriptedServer, peer: ClientSession) -> None:
    """`quit`, and the end of input, send `bye` after all acks."""
    code = await peer.run(GivenLines("dave", "hi", last))
    assert code is ExitCode.OK
    assert server.bodies() == [("dave", "hi")]
    assert isinstance(server.received[-1], frames.ClientBye)


async def test_leaving_has_a_deadline(server: ScriptedServer, peer: ClientSession) -> None:
    """Leaving stops waiting for acks at its deadline; unacked messages are shown and kept."""
    server.holds_acks = True
    front = GivenLines("dave", "hi", "quit")
    code = await peer.run(front, leave_timeout_s=0.1)
    assert code is ExitCode.NOT_DELIVERED
    assert isinstance(front.shown[-1], events.MessageFailed)
    assert peer.kept() == ["hi"]


async def test_leaving_waits_for_a_server_that_reads_slowly(
    server: ScriptedServer, peer: ClientSession
) -> None:
    """While the server reads no further, leaving waits longer; the user is notified once."""
    server.throttles_s = 0.4
    front = GivenLines("dave", "one", "two")

    def throttled() -> int:
        return [each.code for each in front.notices()].count(NoticeCode.THROTTLED)

    running = asyncio.create_task(peer.run(front, leave_timeout_s=0.2))
    await until(throttled)
    front.type("quit")
    assert await running is ExitCode.OK
    assert throttled() == 1
    assert peer.kept() == []


async def test_leaving_keeps_lines_that_wait_for_whois(server: ScriptedServer, peer: ClientSession) -> None:
    """Leaving keeps lines that wait for an answer to `whois`."""
    server.ignores_whois = True
    front = GivenLines("bob", "hi", None)
    code = await peer.run(front, leave_timeout_s=0.1)
    assert code is ExitCode.NOT_DELIVERED
    assert isinstance(front.shown[-1], events.MessageFailed)
    assert peer.kept() == ["hi"]


async def test_an_unanswered_bye_is_no_failure(server: ScriptedServer, peer: ClientSession) -> None:
    """A server that does not answer `bye` causes no failure."""
    server.ignores_bye = True
    assert await peer.run(GivenLines("quit"), leave_timeout_s=0.1) is ExitCode.OK


async def test_a_refusal_at_a_terminal_exits_with_ok(server: ScriptedServer, peer: ClientSession) -> None:
    """At a terminal, a refused message is shown and kept, and the exit code is 0."""
    server.delete("dave")
    front = GivenLines("dave", "hi")
    running = asyncio.create_task(peer.run(front))
    await server.until(ScriptedServer.bodies)
    front.type("quit")
    assert await running is ExitCode.OK
    assert any(isinstance(event, events.MessageFailed) for event in front.shown)
    assert peer.kept() == ["hi"]


async def test_ctrl_c_sends_bye(server: ScriptedServer, peer: ClientSession) -> None:
    """Ctrl-C waits for acks and sends `bye`, with its own exit code."""
    front = GivenLines("dave", "hi")
    front.interrupted = True
    assert await peer.run(front) is ExitCode.INTERRUPTED
    assert isinstance(server.received[-1], frames.ClientBye)
    assert isinstance(front.shown[-1], events.OwnMessage)


async def test_a_ping_is_answered(server: ScriptedServer, peer: ClientSession) -> None:
    """A ping is answered while no line is typed."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: "alice" in script.sessions)
    server.sessions["alice"].send(frames.ServerPing())
    await server.until(lambda script: frames.ClientPong() in script.received)
    front.type(None)
    assert await running is ExitCode.OK


async def test_a_silent_server_is_pinged(server: ScriptedServer, peer: ClientSession) -> None:
    """A silent server is pinged, and kept if it answers."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front, patience=Patience(quiet_s=0.3)))
    await server.until(lambda script: script.received.count(frames.ClientPing()) > 1)
    front.type(None)
    assert await running is ExitCode.OK


async def test_an_unanswered_ping_reconnects(server: ScriptedServer, peer: ClientSession) -> None:
    """After an unanswered ping, the client reconnects."""
    server.ignores_ping = True
    front = GivenLines()
    running = asyncio.create_task(peer.run(front, patience=Patience(quiet_s=0.05, dead_s=0.05)))
    await server.until(lambda script: script.logins > 2)
    front.type("quit")
    assert await running is ExitCode.OK
    assert front.notices()[:2] == [LOST, Notice(NoticeCode.RECONNECTED)]


async def test_reconnecting_is_tried_until_it_works(server: ScriptedServer, peer: ClientSession) -> None:
    """Reconnecting is repeated until it works; lines typed meanwhile are sent once, in order."""
    front = GivenLines("dave", "one")
    running = asyncio.create_task(peer.run(front))
    await server.until(ScriptedServer.bodies)
    server.closed = True
    server.drop_all()
    for line in ("two", "three"):
        front.type(line)
    await peer.until_tried(3)
    server.closed = False
    await server.until(lambda script: len(script.stored("alice", "dave")) == 3)
    front.type("quit")
    assert await running is ExitCode.OK
    assert server.stored("alice", "dave") == ["one", "two", "three"]


async def test_a_message_expires_during_a_pause(server: ScriptedServer, peer: ClientSession) -> None:
    """A message that expires during a pause fails before the next connection."""
    server.holds_acks = True
    front = GivenLines("dave", "one")
    running = asyncio.create_task(peer.run(front, pause_s=1000))
    await server.until(ScriptedServer.bodies)
    peer.later_ms = LONGEST_TRY_MS + 60_000
    server.drop_all()
    async with patiently():
        await front.failed.wait()
    assert peer.tries == 0
    front.type("quit")
    assert await running is ExitCode.OK


async def test_reconnecting_in_a_pipe_has_a_deadline(server: ScriptedServer, peer: ClientSession) -> None:
    """In a pipe, reconnecting ends with `NotDeliveredError` if messages are unacked."""
    server.holds_acks = True
    front = GivenLines("dave", "one", patience_s=0.2)
    front.counts_failures = True
    running = asyncio.create_task(peer.run(front))
    await server.until(ScriptedServer.bodies)
    server.closed = True
    server.drop_all()
    with pytest.raises(NotDeliveredError):
        await running
    assert peer.kept() == ["one"]


async def test_lines_for_a_name_without_an_answer_are_kept(
    server: ScriptedServer, peer: ClientSession
) -> None:
    """In a pipe, lines for a name that the server never answers are not delivered, and kept for that name."""
    server.ignores_whois = True
    front = GivenLines("carol", "one", "two", patience_s=0.2)
    front.counts_failures = front.shows_at_once = True
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: frames.WhoisRequest("carol") in script.received)
    server.closed = True
    server.drop_all()
    with pytest.raises(NotDeliveredError):
        await running
    assert peer.kept() == ["one", "two"]


async def test_a_listener_in_a_pipe_ends_as_unreachable(server: ScriptedServer, peer: ClientSession) -> None:
    """In a pipe without unacked messages, reconnecting ends with `UnreachableError`."""
    front = GivenLines(patience_s=0.2)
    front.counts_failures = True
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: "alice" in script.sessions)
    server.closed = True
    server.drop_all()
    with pytest.raises(UnreachableError):
        await running


@pytest.mark.parametrize("ending", ["replaced", "locked", "deleted", "kicked"])
async def test_some_endings_are_final(ending: str, server: ScriptedServer, peer: ClientSession) -> None:
    """After a final `bye`, the client does not reconnect."""
    running = asyncio.create_task(peer.run(GivenLines()))
    await server.until(lambda script: "alice" in script.sessions)
    server.sessions["alice"].send(frames.ServerBye(ending, "Over."))
    with pytest.raises(EndedError, match="Over"):
        await running
    assert peer.tries == 0


async def test_pauses_grow_until_a_connection_has_caught_up(
    server: ScriptedServer, peer: ClientSession
) -> None:
    """Pauses grow while each `resume` fails, and begin anew after one that works."""
    server.fails_resume = True
    front = GivenLines()
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: script.logins == 4)
    server.fails_resume = False
    await server.until(lambda script: any(each.live for each in script.sessions.values()))
    grown = len(peer.pauses)
    assert peer.pauses == [1.0, 5.0, 10.0, 20.0, 30.0, 30.0][:grown]
    assert grown >= 3
    server.end_all(ErrorCode.SHUTDOWN)
    await peer.until_tried(grown + 1)
    assert peer.pauses[grown] == 1.0
    front.type("quit")
    assert await running is ExitCode.OK


async def test_a_shutdown_is_waited_out(server: ScriptedServer, peer: ClientSession) -> None:
    """After a shutdown, the client reconnects."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: "alice" in script.sessions)
    server.end_all(ErrorCode.SHUTDOWN)
    await server.until(lambda script: script.logins == 2)
    front.type("quit")
    assert await running is ExitCode.OK
    assert front.notices()[0] == Notice(NoticeCode.CONNECTION_LOST, text="The server is shutting down.")


async def test_a_busy_server_is_left_alone_as_long_as_it_asks(
    server: ScriptedServer, peer: ClientSession
) -> None:
    """If the server refuses a new login as busy, the pause is at least as long as it asks for."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front))
    await server.until(lambda script: "alice" in script.sessions)
    server.refuses = [frames.AuthNack(ErrorCode.BUSY, "Busy.", 3000.0)]
    server.drop_all()
    await peer.until_tried(1)

    await until(lambda: not server.refuses and peer.engine and peer.engine.next_try)
    assert peer.engine
    assert (peer.engine.next_try or 0) > time.monotonic() + 1000
    running.cancel()  # Before it was ready it reads no lines.
    with pytest.raises(asyncio.CancelledError):
        await running
    assert peer.tries == 1


async def test_a_key_ends_the_pause(server: ScriptedServer, peer: ClientSession) -> None:
    """A key press ends the pause before reconnecting."""
    front = GivenLines()
    running = asyncio.create_task(peer.run(front, pause_s=1000))
    await server.until(lambda script: "alice" in script.sessions)
    server.drop_all()
    await front.notified.wait()
    front.touched()
    await server.until(lambda script: script.logins == 2)
    front.type("quit")
    assert await running is ExitCode.OK


async def test_receipts_are_batched(server: ScriptedServer, peer: ClientSession) -> None:
    """Many messages in the open chat cause one `received` and one `read`."""
    front = GivenLines("dave")
    running = asyncio.create_task(peer.run(front))
    await front.chat_opened.wait()
    server.write("dave", "alice", *map(str, range(100)))
    pair = server.archive.between("alice", "dave")
    await server.until(lambda _: pair.read["alice"] == 100)
    front.type("quit")
    assert await running is ExitCode.OK
    assert [frame for frame in server.received if isinstance(frame, frames.Received | frames.ClientRead)] == [
        frames.Received("c1", 100),
        frames.ClientRead("c1", 100),
    ]


async def test_a_protocol_violation_ends_the_session(server: ScriptedServer, peer: ClientSession) -> None:
    """A protocol violation ends the session with an explained error."""
    running = asyncio.create_task(peer.run(GivenLines()))
    await server.until(lambda script: "alice" in script.sessions)
    server.sessions["alice"].writer.write(b"nonsense\n")
    with pytest.raises(IncompatibleError, match="not QSCP/1"):
        await running
