"""Slips in a pipe: what can't be opened ends it, so that no later line reaches another user."""

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp_client.core import events
from qscp_client.core.notices import Problem, ProblemCode
from tests.support.engine_harness import EngineHarness, in_room, info, ready, room, room_changed, shown_texts

AFTER = ("back", "bob", "secret")
"""Lines after a slip; taken one by one, they would reach bob."""


def has_stopped(harness: EngineHarness, shown: list[events.Event]) -> bool:
    """Whether the pipe has ended with a sentence, and nothing after the slip was sent."""
    codes = [each.code for each in shown if isinstance(each, Problem)]
    harness.enter(*AFTER)
    return harness.engine.leaving and codes[-1] is ProblemCode.PIPE_STOPPED and harness.chats() == []


@pytest.mark.parametrize("typed", ["alice", "hello there", "caf\u00e9", "@", "bob~1", "#", "#nowhere", "##x"])
def test_a_name_that_can_not_be_opened(typed: str) -> None:
    """Your own name, an invalid one, and a room that you are not in end a pipe; at a terminal they do not."""
    pipe = ready("bob", shows_at_once=True)
    assert has_stopped(pipe, pipe.enter(typed))
    assert pipe.engine.pick_failed
    terminal = ready("bob")
    terminal.enter(typed, "bob", "hello")
    assert not terminal.engine.leaving
    assert terminal.chats() == [("bob", "hello", 1)]


def test_an_invitation_is_no_membership() -> None:
    """A room that you are only invited to ends a pipe."""
    pipe = ready("bob", shows_at_once=True)
    pipe.receive(frames.Invited(room(role=None), "bob"))
    assert has_stopped(pipe, pipe.enter("#dev"))


def test_an_unknown_user_with_lines_that_wait() -> None:
    """Lines that were queued behind an unknown name are not carried out."""
    pipe = ready("bob", shows_at_once=True)
    pipe.enter("nobody", "bob", "secret")
    assert has_stopped(pipe, pipe.receive(frames.Whois("nobody", known=False)))


def test_a_second_name_that_is_unknown() -> None:
    """After `back` an unknown name ends a pipe; what was typed before is sent, and waited for."""
    pipe = ready("bob", shows_at_once=True)
    pipe.enter("bob", "hello", "back", "nobody", "carol", "secret")
    assert pipe.chats() == [("bob", "hello", 1)]
    pipe.receive(frames.Whois("nobody", known=False))
    assert pipe.engine.leaving
    assert pipe.engine.busy
    assert pipe.chats() == []


@pytest.mark.parametrize("line", ["/join #x", "/create #x"])
def test_a_room_that_can_not_be_entered(line: str) -> None:
    """A refused `/join` or `/create` ends a pipe."""
    pipe = ready("bob", shows_at_once=True)
    pipe.enter(line, *AFTER)
    ref, code = ("join", ErrorCode.UNKNOWN_ROOM) if "join" in line else ("room", ErrorCode.ROOM_EXISTS)
    assert has_stopped(pipe, pipe.receive(frames.Error(code, ERROR_CODES[code].sentence, ref)))


@pytest.mark.parametrize(
    "line",
    [
        "/join",
        "/join no room",
        "/create",
        "/create #x y",
        "/jion #x",
        "/bakc",
        "/back now",
        "/msg carol x",
        "/",
    ],
)
def test_a_line_that_might_have_changed_the_chat(line: str) -> None:
    """A mistyped command that could have changed the chat ends a pipe, in a chat too."""
    pipe = ready("bob", chat_with="bob", shows_at_once=True)
    assert has_stopped(pipe, pipe.enter(line))
    assert pipe.engine.failed


@pytest.mark.parametrize("line", ["/sya hello", "/topic", "/who now", "/edit", "/mute"])
def test_another_refused_command_is_no_slip(line: str) -> None:
    """A refused command that would not have changed the chat is counted, and the next line is sent."""
    pipe = ready("bob", chat_with="bob", shows_at_once=True)
    pipe.enter(line, "hello")
    assert pipe.chats() == [("bob", "hello", 1)]
    assert pipe.engine.failed


@pytest.mark.parametrize("reason", ["removed", "banned", "deleted", "left"])
@pytest.mark.parametrize("line", ["bob", "hello there", "#dev", "#ops"])
def test_a_room_that_is_closed_meanwhile(reason: str, line: str) -> None:
    """A room that you are removed from: the next line of a pipe was meant for it, and is no name."""
    pipe = in_room(shows_at_once=True)
    pipe.receive(room_changed(room("#ops")))
    pipe.receive(frames.RoomLeft("c-#dev", "#dev", reason, "carol", ""))
    assert not pipe.engine.leaving  # it can go on listening
    assert has_stopped(pipe, pipe.enter(line))


@pytest.mark.parametrize("line", ["back", "/back", "/join #dev"])
def test_a_command_after_a_room_was_closed(line: str) -> None:
    """A command means the same as in the room, and names can follow it."""
    pipe = in_room(shows_at_once=True)
    pipe.receive(frames.RoomLeft("c-#dev", "#dev", "removed", "carol", ""))
    pipe.enter(line)
    if "join" in line:
        pipe.receive(room_changed(room()), frames.RoomAck("join", "#dev"))
        pipe.enter("again", "back")
    pipe.enter("bob", "hello")
    texts = [body for _, body, _ in pipe.chats()]
    assert texts == (["again", "hello"] if "join" in line else ["hello"])


def test_lines_after_leave_wait() -> None:
    """Lines after `/leave` are for the list, however long the server takes."""
    pipe = in_room(shows_at_once=True)
    pipe.enter("/leave", "bob", "hello")
    assert pipe.chats() == []
    assert pipe.engine.busy
    pipe.receive(frames.RoomLeft("c-#dev", "#dev", "left"), frames.RoomAck("leave", "#dev"))
    assert pipe.chats() == [("bob", "hello", 1)]
    assert not pipe.engine.leaving


def test_a_leave_that_is_refused() -> None:
    """If you can't leave, the lines after it go neither to the room nor to others."""
    pipe = in_room(shows_at_once=True)
    pipe.enter("/leave", "bob", "hello")
    code = ErrorCode.LAST_OWNER
    assert has_stopped(pipe, pipe.receive(frames.Error(code, ERROR_CODES[code].sentence, "leave")))


def test_a_leave_without_an_answer() -> None:
    """If the answer to `/leave` is lost, it is not known where the lines after it would go."""
    pipe = in_room(shows_at_once=True)
    pipe.enter("/leave", "bob", "hello")
    pipe.engine.disconnected()
    assert has_stopped(pipe, pipe.engine.events_to_show())


def test_a_name_without_an_answer_is_asked_again() -> None:
    """A connection that is lost before the answer makes no name of it."""
    pipe = ready("bob", shows_at_once=True)
    pipe.enter("nobody", "bob", "secret")
    pipe.engine.disconnected()
    pipe.frames()
    pipe.connect("bob")
    assert frames.WhoisRequest("nobody") in pipe.frames()
    pipe.receive(frames.Resumed())
    assert has_stopped(pipe, pipe.receive(frames.Whois("nobody", known=False)))


def test_a_name_that_is_typed_without_a_connection() -> None:
    """A name typed without a connection is asked about over the next; known ones are opened at once."""
    pipe = EngineHarness(shows_at_once=True)
    pipe.connect("bob", infos=[info("bob", 1)])
    pipe.receive(frames.Resumed())
    pipe.engine.disconnected()
    pipe.enter("bob", "hello", "back", "carol", "hi", "back", "nobody", *AFTER)
    assert pipe.engine.pending == 1
    pipe.connect("bob", infos=[info("bob", 1)])
    pipe.receive(frames.Resumed(), frames.Whois("carol", known=True))
    assert pipe.engine.pending == 2
    pipe.receive(frames.Whois("nobody", known=False))
    assert (pipe.engine.leaving, pipe.engine.pending) == (True, 2)


def test_a_name_that_is_never_answered_keeps_its_lines() -> None:
    """At the end, lines for a name without an answer are kept for that name, and none for others."""
    pipe = ready(shows_at_once=True)
    pipe.enter("carol", "one", "two")
    pipe.engine.disconnected()
    pipe.engine.show_unanswered(keeps=True)
    texts = shown_texts(pipe.engine.events_to_show())
    assert next(text for text in texts if "sent again" in text).startswith("Not confirmed for carol")
    assert pipe.engine.pending == 2


def test_a_known_room_is_entered() -> None:
    """A room that you are a member of is opened, and described first."""
    pipe = EngineHarness(shows_at_once=True)
    pipe.connect("bob", infos=[info("#dev", 0)])
    pipe.receive(frames.Resumed())
    pipe.enter("#dev", "hello")
    pipe.receive(frames.Rooms([room()]), room_changed(room()))
    assert pipe.chats() == [("#dev", "hello", 1)]
    assert not pipe.engine.leaving
