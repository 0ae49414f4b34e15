"""Typing indicators: what is sent, what is shown, and for how long."""

import pytest

from qscp import frames
from qscp_client.core.effects import Clock, Output
from qscp_client.core.typing_status import TypingStatus
from qscp_client.ui.render_rooms import describe_typing
from tests.support.engine_harness import EngineHarness, chat, room_message, welcome


def typing_harness(*features: str, wanted: bool = True) -> EngineHarness:
    """Alice's engine in the chat with bob, at a server with these features."""
    harness = EngineHarness(sends_typing=wanted)
    ack = welcome()
    ack.features = list(features)
    harness.engine.connected(ack)
    harness.receive(
        frames.OnlineUsers(1, [frames.UserPresence("bob", "online")]),
        frames.Conversations([]),
        frames.Resumed(),
    )
    harness.enter("bob")
    harness.frames()
    return harness


def test_writing_is_told_every_five_seconds_at_most() -> None:
    """While keys are pressed, and not otherwise."""
    harness = typing_harness("typing")
    typing = harness.engine.typing
    typing.edit_line("bob", "h")
    assert harness.engine.next_due() is not None
    assert harness.wait(0.0) == [frames.SetTyping("bob")]
    typing.edit_line("bob", "he")
    assert harness.wait(4.9) == []
    assert harness.wait(0.2) == [frames.SetTyping("bob")]
    assert harness.wait(60) == []


@pytest.mark.parametrize("text", ["", "  ", "/", "/retry", "/edit x"])
def test_commands_are_no_writing(text: str) -> None:
    """Nor is an empty line."""
    harness = typing_harness("typing")
    harness.engine.typing.edit_line("bob", text)
    assert harness.wait(1) == []


@pytest.mark.parametrize("text", ["//x", "/me waves", "x"])
def test_messages_are(text: str) -> None:
    """Whatever they begin with."""
    harness = typing_harness("typing")
    harness.engine.typing.edit_line("bob", text)
    assert harness.wait(1) == [frames.SetTyping("bob")]


@pytest.mark.parametrize(("features", "wanted"), [((), True), (("typing",), False)])
def test_both_sides_have_to_want_it(features: tuple[str, ...], wanted: bool) -> None:
    """The server has to know it, and you not to have switched it off."""
    harness = typing_harness(*features, wanted=wanted)
    harness.engine.typing.edit_line("bob", "x")
    assert harness.wait(1) == []


def test_nobody_is_told_while_choosing() -> None:
    """There is nobody to tell."""
    harness = typing_harness("typing")
    harness.engine.typing.edit_line(None, "carol")
    assert harness.wait(1) == []


def test_others_write_until_they_are_done() -> None:
    """For six seconds, or until their message comes; never yourself."""
    harness = typing_harness("typing")
    typing = harness.engine.typing
    harness.receive(frames.Typing("alice", ["bob"], 1), frames.Typing("#dev", ["alice", "bob", "carol"], 9))
    assert typing.users_in("bob") == ["bob"]
    assert typing.users_in("#dev") == ["bob", "carol"]
    assert typing.has_more("#dev")
    assert not typing.has_more("bob")
    harness.receive(chat(1), room_message(1))
    assert not typing.users_in("bob")
    assert typing.users_in("#dev") == ["carol"]
    harness.receive(frames.Typing("#dev", ["bob"], 1), frames.Typing("alice", ["bob"], 1))
    assert typing.users_in("#dev") == ["carol"], "it is about the message that has just come"
    assert typing.users_in("bob") == ["bob"]
    harness.wait(6.1)
    assert typing.users_in("#dev") == []
    assert not typing.has_more("#dev")
    harness.receive(frames.Typing("alice", ["bob"], 1))
    harness.engine.disconnected()
    assert typing.users_in("bob") == []


def test_names_are_said_in_words() -> None:
    """A few of them, and made harmless."""
    assert describe_typing([], has_more=True) == ""
    assert describe_typing(["a\x1b\nb"], has_more=False) == "a b is typing"
    assert describe_typing(["a", "b"], has_more=False) == "a and b are typing"
    assert describe_typing(["a", "b"], has_more=True) == "a, b and others are typing"
    assert describe_typing(["a", "b", "c", "d"], has_more=False) == "a, b, c and others are typing"


def test_time_is_the_clock_s() -> None:
    """Nothing is due before it is."""
    now = 10.0
    out = Output()
    typing = TypingStatus("alice", out, Clock(lambda: now, lambda: 0), enabled=True)
    ack = welcome()
    ack.features = ["typing"]
    typing.connected(ack)
    assert typing.next_due() is None
    typing.receive(frames.Typing("alice", ["bob"], 1))
    assert typing.next_due() == 16.0
