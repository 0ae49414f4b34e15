"""Sessions: handling of frames, throttling of input, and closing."""

import gc
from collections.abc import AsyncIterator, Iterator

import pytest

from qscp import codec, frames
from qscp.errors import ErrorCode
from qscp.frames import ServerFrame
from qscp.states import State
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session
from tests.support.doubles import FakeLink, RouterDouble

PENDING_LIMIT = 1000
"""Messages in flight at which a session stops reading."""

CHANGES_LIMIT = 32
"""The same for changes of stored messages, over all sessions of an account."""


@pytest.fixture
async def router() -> AsyncIterator[RouterDouble]:
    """A router that knows alice and bob."""
    made = RouterDouble("alice", "bob")
    yield made
    made.close()


def chat(number: int, to: str = "bob") -> bytes:
    """Return the line of a message."""
    return codec.encode(frames.SendChat(to, "hello", f"{number:032x}"))


def kinds(written: list[ServerFrame]) -> list[str]:
    """Return the types of frames, without those of login and presence."""
    return [frame.type for frame in written if frame.type not in ("presence", "online_users", "auth_ack")]


def both(router: RouterDouble) -> tuple[Session, FakeLink]:
    """Log bob and alice in; return alice's session and link."""
    router.login("bob")
    session, link = router.login("alice")
    router.flush()
    link.take()
    return session, link


async def test_output_is_written_once_a_tick(router: RouterDouble) -> None:
    """Frames sent during a tick are written at its end."""
    session, link = both(router)
    session.receive(b'{"type":"ping"}\n' * 3)
    assert link.written == []
    router.flush()
    assert kinds(link.take()) == ["pong"] * 3


async def test_too_many_messages_in_flight_stop_reading(router: RouterDouble) -> None:
    """At the limit a session stops reading; it resumes when half of its messages are answered."""
    session, link = both(router)
    session.receive(b"".join(map(chat, range(PENDING_LIMIT + 10))))
    router.run_turns()
    router.flush()
    assert (session.pending, link.reading, len(router.writer.waiting)) == (
        PENDING_LIMIT,
        False,
        PENDING_LIMIT,
    )
    router.writer.answer(router, PENDING_LIMIT // 2 - 1)
    assert (session.pending, link.reading) == (PENDING_LIMIT // 2 + 1, False)
    router.writer.answer(router, 1)
    assert link.reading
    router.flush()
    router.writer.answer(router)
    router.flush()
    acks = [frame.id for frame in link.take() if isinstance(frame, frames.ChatAck)]
    assert acks == [f"{number:032x}" for number in range(PENDING_LIMIT + 10)]


def changes(first: int, count: int) -> bytes:
    """Return the lines of edits, redactions and reactions."""
    ids = [f"{number:032x}" for number in range(first, first + count)]
    made = (frames.SendEdit("bob", 1, "a", ids[0]), frames.SendRedaction("bob", 1, ids[1]))
    return codec.encode_lines([*made, *(frames.SendReaction("bob", 1, "+1", each) for each in ids[2:])])


async def test_few_changes_in_flight_stop_reading(router: RouterDouble) -> None:
    """The store takes long for changes of stored messages, so fewer of them are on their way."""
    session, link = both(router)
    session.receive(changes(0, 3 * CHANGES_LIMIT))
    router.run_turns()
    router.flush()
    assert (session.pending, link.reading) == (CHANGES_LIMIT, False)
    router.writer.answer(router, CHANGES_LIMIT // 2 - 1)
    assert not link.reading
    router.writer.answer(router, 1)
    assert session.pending == CHANGES_LIMIT
    while session.pending:
        router.flush()
        router.writer.answer(router)
    router.flush()
    link.take()
    session.receive(b"".join(map(chat, range(1000, 1000 + PENDING_LIMIT))))
    router.run_turns()
    assert session.pending == PENDING_LIMIT


async def test_sessions_of_an_account_share_the_changes_in_flight(router: RouterDouble) -> None:
    """With more sessions an account has no more changes on their way."""
    sessions = [router.login("alice")[0] for _ in range(4)]
    for number, session in enumerate(sessions):
        session.receive(changes(100 * number, CHANGES_LIMIT))
    router.run_turns()
    assert [session.pending for session in sessions] == [CHANGES_LIMIT // 4] * 4


async def test_the_end_of_the_stream_does_not_lift_the_limit(router: RouterDouble) -> None:
    """The end of the stream does not lift the limit, and all messages are answered before the close."""
    session, link = both(router)
    session.receive(b"".join(map(chat, range(2 * PENDING_LIMIT))))
    router.run_turns()
    session.receive_eof()
    assert session.pending == PENDING_LIMIT
    rounds = 0
    while session.pending:
        router.flush()
        router.writer.answer(router)
        rounds += 1
    assert (rounds, link.ended) == (2, "lost")
    assert kinds(link.take()) == ["chat_ack"] * 2 * PENDING_LIMIT


@pytest.mark.parametrize("answered_at_once", [PENDING_LIMIT, 1])
async def test_a_throttled_session_shuts_down(router: RouterDouble, answered_at_once: int) -> None:
    """At shutdown a throttled session handles no more frames, and sends `bye` after its last ack."""
    session, link = both(router)
    session.receive(b"".join(map(chat, range(PENDING_LIMIT + 500))))
    router.run_turns()
    router.shut_down()
    assert not link.reading
    router.flush()
    while router.writer.waiting:
        router.writer.answer(router, answered_at_once)
    assert link.ended == "shutdown"
    assert kinds(link.take()) == ["chat_ack"] * PENDING_LIMIT + ["bye"]


async def test_bye_waits_for_the_answers(router: RouterDouble) -> None:
    """A leaving session is offline at once; its `bye` follows the acks, even during a shutdown."""
    session, link = both(router)
    session.receive(chat(1) + b'{"type":"bye"}\n')
    assert "alice" not in [each.identity and each.identity.name for each in router.sessions_of(1)]
    router.flush()
    router.shut_down()
    assert link.ended == ""
    router.writer.answer(router)
    assert link.ended == "bye"
    ack, bye = link.take()
    assert isinstance(ack, frames.ChatAck)
    assert isinstance(bye, frames.ServerBye)
    assert (bye.reason, bye.reconnect) == ("bye", False)


async def test_a_shutdown_ignores_a_closed_session(router: RouterDouble) -> None:
    """A shutdown leaves a closed session reading, so that it notices when its peer closes."""
    session, link = both(router)
    session.receive(b'{"type":"bye"}\n')
    link.take()
    router.shut_down()
    assert link.reading
    assert link.take() == []


async def test_a_failed_store_answers_no_message(router: RouterDouble) -> None:
    """A failed store sends neither acks nor nacks, but a `bye` with `reconnect`."""
    session, link = both(router)
    session.receive(chat(1) + b'{"type":"bye"}\n')
    leaving, left = router.login("bob")
    leaving.receive(b'{"type":"bye"}\n')
    router.flush()
    left.take()
    router.store_failed()
    assert left.take() == []
    (bye,) = link.take()
    assert isinstance(bye, frames.ServerBye)
    assert (bye.reason, bye.reconnect, link.ended) == ("internal", True, "store_failed")


async def test_answers_for_a_lost_session_are_dropped(router: RouterDouble) -> None:
    """The ack for a session whose link was lost is dropped."""
    session, link = both(router)
    session.receive(chat(1))
    router.flush()
    session.lost("lost")
    router.writer.answer(router)
    router.flush()
    assert link.take() == []
    assert session.pending == 0


async def test_a_lost_session_handles_nothing_more(router: RouterDouble) -> None:
    """Input beyond the limit is not handled after the link is lost."""
    session, _ = both(router)
    session.receive(b"".join(map(chat, range(2 * PENDING_LIMIT))))
    router.run_turns()
    router.flush()
    session.lost("lost")
    router.writer.answer(router)
    router.flush()
    assert router.writer.waiting == []


async def test_a_violation_ends_with_one_error(router: RouterDouble) -> None:
    """Frames before a violation are handled, later ones are not."""
    session, link = both(router)
    session.receive(b'{"type":"ping"}\nnonsense\n{"type":"ping"}\n')
    assert kinds(link.take()) == ["pong", "error"]
    assert (link.ended, session.closed) == ("not_json", True)
    session.lost("lost")
    assert router.log.entries[-1][2]["reason"] == "lost"


async def test_a_bug_ends_only_its_session(router: RouterDouble) -> None:
    """An exception in a handler ends only its own session, with `internal`."""

    def broken(_session: Session, _identity: Identity, _frame: frames.ClientFrame) -> None:
        raise ZeroDivisionError

    session, link = both(router)
    router.handlers.after_login[frames.ClientPing] = broken
    session.receive(b'{"type":"ping"}\n')
    (error,) = link.take()
    assert isinstance(error, frames.Error)
    assert (error.code, link.ended) == ("internal", "internal")
    assert not router.sessions_of(1)


async def test_nothing_is_sent_after_close(router: RouterDouble) -> None:
    """After `close` nothing more is sent, and nothing twice."""
    session, link = both(router)
    session.close(ErrorCode.LOCKED)
    session.close(ErrorCode.DELETED)
    session.close(ErrorCode.INTERNAL, error=True)
    session.close(ErrorCode.SHUTDOWN, graceful=True)
    session.send(frames.ServerPong())
    session.outbound.send_lines([b"x"])
    session.outbound.send_all([frames.ServerPong()])
    session.outbound.deliver(1, 1, b"x\n")
    session.outbound.deliver_all(1, [(1, b"x\n")], b"x\n")
    router.flush()
    assert kinds(link.take()) == ["bye"]
    assert (link.ended, session.connection.state) == ("locked", State.CLOSED)


# --- timers


def ticks(session: Session, link: FakeLink, seconds: int) -> None:
    """Let time pass, tick by tick."""
    for _ in range(seconds):
        link.clock += 1
        session.tick(link.clock)
    session.outbound.flush()


async def test_a_silent_peer_is_pinged_twice_and_dropped(router: RouterDouble) -> None:
    """A silent peer is pinged after 30 and 60 seconds, and dropped after 90."""
    session, link = both(router)
    ticks(session, link, 29)
    assert kinds(link.take()) == []
    ticks(session, link, 1)
    assert kinds(link.take()) == ["ping"]
    ticks(session, link, 59)
    assert kinds(link.take()) == ["ping"]
    assert link.ended == ""
    ticks(session, link, 1)
    assert link.ended == "ping_timeout"


async def test_any_byte_counts_as_an_answer(router: RouterDouble) -> None:
    """A peer is not timed out if any byte arrived after the ping."""
    session, link = both(router)
    for _ in range(5):
        ticks(session, link, 60)
        link.last_in = link.clock + 0.5
    assert link.ended == ""


async def test_a_peer_that_does_not_log_in_is_ended(router: RouterDouble) -> None:
    """A peer without a login is ended after 30 seconds, but not during a password check."""
    session, link = router.connect()
    ticks(session, link, 29)
    session.receive(codec.encode(frames.Auth(user="alice", password="x")))
    ticks(session, link, 10)
    assert link.ended == ""
    session.send(frames.AuthNack(ErrorCode.BAD_CREDENTIALS, "."))
    ticks(session, link, 1)
    assert kinds(link.take()) == ["auth_nack", "error"]
    assert link.ended == "login_timeout"


# --- pages


async def test_pages_wait_for_a_congested_peer(router: RouterDouble) -> None:
    """The next page is made when the peer has read the one before."""
    session, link = both(router)
    made: list[int] = []

    def pages() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            link.congested = True
            yield codec.encode(frames.OnlineUsers(number, []))

    session.outbound.stream(pages())
    router.flush()
    assert made == [0]
    link.congested = False
    session.writable()
    router.flush()
    assert made == [0, 1]
    session.lost("lost")
    link.congested = False
    session.writable()
    router.flush()
    assert made == [0, 1]


async def test_nothing_keeps_a_closed_session_alive(router: RouterDouble) -> None:
    """A closed session is freed by reference counting alone, however it ended."""
    gc.collect()
    gc.disable()
    others = {id(each) for each in gc.get_objects() if isinstance(each, Session)}  # of tests that failed
    try:
        for ending in (b'{"type":"bye"}\n', b"nonsense\n", b'{"type":"auth"}\n', b"x" * 70000, b""):
            session, link = router.login("alice")
            router.flush()
            session.receive(chat(1) + ending)
            router.flush()
            router.writer.answer(router)
            router.flush()
            session.lost("lost")
            router.flush()
            router.log.entries.clear()
            del session, link
            found = [each for each in gc.get_objects() if isinstance(each, Session)]
            assert not [each for each in found if id(each) not in others], ending
            del found
    finally:
        gc.enable()
