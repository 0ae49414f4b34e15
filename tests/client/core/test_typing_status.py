"""Typing indicators: what is sent and shown, and for how long."""

import pytest

from qscp import frames
from qscp_client.core.effects import Clock, Output
from qscp_client.core.typing_status import TypingStatus
from qscp_client.ui.render_rooms import describe_typing
from tests.support.engine_harness import EngineHarness, chat, room_message, welcome


def typing_harness(*features: str, wanted: bool = True) -> EngineHarness:
    """Return alice's engine in the chat with bob, on a server with these features."""
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


def test_typing_is_sent_every_five_seconds_at_most() -> None:
    """`typing` is sent at most every five seconds, and only after a key press."""
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
def test_commands_send_no_typing(text: str) -> None:
    """Commands and blank lines send no `typing`."""
    harness = typing_harness("typing")
    harness.engine.typing.edit_line("bob", text)
    assert harness.wait(1) == []


@pytest.mark.parametrize("text", ["//x", "/me waves", "x"])
def test_messages_send_typing(text: str) -> None:
    """Text that will be sent as a message sends `typing`."""
    harness = typing_harness("typing")
    harness.engine.typing.edit_line("bob", text)
    assert harness.wait(1) == [frames.SetTyping("bob")]


@pytest.mark.parametrize(("features", "wanted"), [((), True), (("typing",), False)])
def test_typing_needs_server_and_setting(features: tuple[str, ...], wanted: bool) -> None:
    """`typing` is sent only if the server supports it and the setting is on."""
    harness = typing_harness(*features, wanted=wanted)
    harness.engine.typing.edit_line("bob", "x")
    assert harness.wait(1) == []


def test_the_picker_sends_no_typing() -> None:
    """The picker sends no `typing`."""
    harness = typing_harness("typing")
    harness.engine.typing.edit_line(None, "carol")
    assert harness.wait(1) == []


def test_an_indicator_ends_with_the_message_or_timeout() -> None:
    """An indicator ends after six seconds, with the user's message, or with the connection."""
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


def test_typing_users_are_described() -> None:
    """Some typing users are named, without control characters; the rest are "others"."""
    assert describe_typing([], has_more=True) == ""
    assert describe_typing(["a\x1b\nb"], has_more=False) == "a<U+001B> b is typing"
    assert describe_typing(["a", "b"], has_more=False) == "a and b are typing"
    assert describe_typing(["a", "b"], has_more=True) == "a, b and others are typing"
    assert describe_typing(["a", "b", "c", "d"], has_more=False) == "a, b, c and others are typing"


def test_next_due_is_the_end_of_an_indicator() -> None:
    """`next_due` is when the first indicator ends."""
    now = 10.0
    out = Output()
    typing = TypingStatus("alice", out, Clock(lambda: now, lambda: 0), enabled=True)
    ack = welcome()
    ack.features = ["typing"]
    typing.connected(ack)
    assert typing.next_due() is None
    typing.receive(frames.Typing("alice", ["bob"], 1))
    assert typing.next_due() == 16.0
