"""Conversations that begin at their end: counted by the server's list, and loaded when they are opened."""

from qscp import frames
from qscp.features import LAZY_HISTORY
from qscp_client.core import events
from qscp_client.core.changes import Moved, Reported
from qscp_client.core.notices import Notice
from qscp_client.ui.render_notices import describe_notice
from tests.support.engine_harness import EngineHarness, chat, info, user, welcome


def bodies(shown: list[events.Event]) -> list[str]:
    """Return the texts of shown messages."""
    return [each.body for each in shown if isinstance(each, events.MessageReceived | events.OwnMessage)]


def notices(shown: list[events.Event]) -> list[str]:
    """Return the texts of shown notices."""
    return [describe_notice(each) for each in shown if isinstance(each, Notice)]


def skipped(last: int, name: str = "bob") -> frames.Gap:
    """Return the gap with which a conversation begins at its end."""
    return frames.Gap(f"c-{name}", 1, last, "older")


def page(*seqs: int, last_seq: int) -> frames.History:
    """Return bob's messages with these seqs, as a page of history."""
    messages = [frames.Message(seq, f"{seq:032x}", "bob", f"text {seq}", 1000 + seq) for seq in seqs]
    return frames.History(conversation="c-bob", messages=messages, first_seq=1, last_seq=last_seq)


def connected(*, shows_at_once: bool = False) -> EngineHarness:
    """Return alice's engine on a connection with the feature; nothing was received yet but who is online."""
    harness = EngineHarness(features=[LAZY_HISTORY], shows_at_once=shows_at_once)
    harness.engine.connected(welcome(features=[LAZY_HISTORY]))
    harness.receive(frames.OnlineUsers(1, [user("bob")]))
    harness.frames()
    return harness


def reconnect(harness: EngineHarness) -> None:
    """Lose the connection, and log in again."""
    harness.engine.disconnected()
    harness.engine.connected(welcome(features=[LAZY_HISTORY]))
    harness.receive(frames.OnlineUsers(1, [user("bob")]))
    harness.frames()
    harness.engine.events_to_show()


def test_a_chat_loads_what_is_unread_when_it_is_opened() -> None:
    """What a conversation has is asked for when it is opened, and newer messages come behind it."""
    harness = connected()
    harness.receive(skipped(40), frames.Resumed())
    assert Moved("c-bob", "", 40) in harness.engine.changes_to_save()
    harness.receive(frames.Conversations([info("bob", 40, read=38, unread=2)]))
    assert harness.engine.unread == {"bob": 2}
    assert bodies(harness.receive(chat(41, "text 41"))) == ["text 41"]  # a preview
    assert harness.engine.unread == {"bob": 3}
    harness.frames()
    harness.enter("bob")
    assert harness.frames() == [frames.HistoryRequest("c-bob", limit=3)]
    shown = harness.receive(page(39, 40, 41, last_seq=41))
    assert bodies(shown) == ["text 39", "text 40", "text 41"]
    assert harness.engine.unread == {}
    assert frames.ClientRead("c-bob", 41) in harness.wait(1)


def test_only_what_was_unread_is_reported_as_received() -> None:
    """What was read on another device was received there: nothing is sent for it, now or later."""
    harness = connected()
    harness.receive(skipped(40), skipped(7, "carol"), frames.Resumed())
    assert harness.wait(1) == []
    harness.engine.changes_to_save()
    harness.receive(
        frames.Conversations([info("bob", 40, read=38, unread=2), info("carol", 7, read=7)]),
    )
    assert Reported("c-carol", 7) in harness.engine.changes_to_save()
    assert harness.wait(1) == [frames.Received("c-bob", 40)]
    reconnect(harness)
    assert frames.Received("c-carol", 7) not in harness.wait(1)


def test_an_open_chat_shows_what_it_skipped_before_what_is_new() -> None:
    """A first message that came without a connection is shown in the open chat, before a live one."""
    harness = connected()
    harness.receive(frames.Resumed(), frames.Conversations([]))
    harness.enter("bob")
    reconnect(harness)
    shown = harness.receive(skipped(2), frames.Resumed(), chat(3, "text 3"))
    assert bodies(shown) == []
    assert harness.wait(1) == [frames.Received("c-bob", 3)]  # nothing is read
    shown = harness.receive(frames.Conversations([info("bob", 3, read=0, unread=3)]))
    assert bodies(shown) == []
    assert harness.frames() == [frames.HistoryRequest("c-bob", limit=3)]
    assert bodies(harness.receive(page(1, 2, 3, last_seq=3))) == ["text 1", "text 2", "text 3"]
    assert frames.ClientRead("c-bob", 3) in harness.wait(1)
    assert bodies(harness.receive(chat(4, "text 4"))) == ["text 4"]


def test_an_open_chat_loads_over_a_lost_connection() -> None:
    """If the connection is lost before the list comes, the next connection's list has the counts."""
    harness = connected()
    harness.receive(frames.Resumed(), frames.Conversations([]))
    harness.enter("bob")
    reconnect(harness)
    harness.receive(skipped(2), frames.Resumed())
    reconnect(harness)
    harness.receive(frames.Resumed(), frames.Conversations([info("bob", 2, read=0, unread=2)]))
    assert harness.frames() == [frames.HistoryRequest("c-bob", limit=2)]
    assert bodies(harness.receive(page(1, 2, last_seq=2))) == ["text 1", "text 2"]


def test_a_chat_that_is_opened_before_its_counts_come_waits_for_them() -> None:
    """A chat that is opened between the gap and the list loads when the list comes."""
    harness = connected()
    harness.receive(frames.Resumed(), frames.Conversations([]))
    reconnect(harness)
    harness.receive(skipped(2), frames.Resumed(), chat(3, "text 3"))
    assert bodies(harness.enter("bob")) == []
    harness.receive(frames.Conversations([info("bob", 3, read=0, unread=3)]))
    assert harness.frames() == [frames.HistoryRequest("c-bob", limit=3)]
    assert bodies(harness.receive(page(1, 2, 3, last_seq=3))) == ["text 1", "text 2", "text 3"]


def test_a_list_can_come_before_the_gaps() -> None:
    """While the replay waits for its peer, answers are sent: what they counted need not be counted again."""
    harness = connected()
    harness.receive(frames.Resumed(), frames.Conversations([]))
    harness.enter("bob")
    reconnect(harness)
    harness.receive(frames.Conversations([info("bob", 3, read=1, unread=2), info("carol", 7, read=7)]))
    harness.receive(skipped(3), skipped(7, "carol"), frames.Resumed())
    assert harness.frames() == [frames.HistoryRequest("c-bob", limit=2)]
    assert bodies(harness.receive(chat(4, "text 4"))) == []
    shown = harness.receive(page(2, 3, 4, last_seq=4))
    assert bodies(shown) == ["text 2", "text 3", "text 4"]


def test_a_list_that_came_too_early_is_asked_for_again() -> None:
    """A list from before the last message of a gap has not counted that."""
    harness = connected()
    harness.receive(frames.Resumed(), frames.Conversations([]))
    harness.enter("bob")
    reconnect(harness)
    harness.receive(frames.Conversations([info("bob", 2, read=1, unread=1)]), skipped(3), frames.Resumed())
    assert harness.frames() == [frames.ConversationsRequest()]
    harness.receive(frames.Conversations([info("bob", 3, read=1, unread=2)]))
    assert harness.frames() == [frames.HistoryRequest("c-bob", limit=2)]


def test_an_open_chat_without_unread_messages_goes_on() -> None:
    """If everything that was skipped was read elsewhere, what is new is shown as soon as that is known."""
    harness = connected()
    harness.receive(frames.Resumed(), frames.Conversations([]))
    harness.enter("bob")
    reconnect(harness)
    harness.receive(skipped(2), frames.Resumed(), chat(3, "text 3"))
    shown = harness.receive(frames.Conversations([info("bob", 2, read=2)]))
    assert bodies(shown) == ["text 3"]
    assert not any(isinstance(each, frames.HistoryRequest) for each in harness.frames())


def test_a_refused_list_keeps_no_message_back() -> None:
    """If the server can't make its list, an open chat shows what came."""
    harness = connected()
    harness.receive(frames.Resumed(), frames.Conversations([]))
    harness.enter("bob")
    reconnect(harness)
    harness.receive(skipped(2), frames.Resumed(), chat(3, "text 3"))
    shown = harness.receive(frames.Error("internal", "Something went wrong.", "conversations"))
    assert notices(shown)[0] == "Something went wrong."
    assert bodies(shown) == ["text 3"]


def test_a_pipe_shows_the_gap() -> None:
    """A pipe opens no chat that could load messages: a gap is a notice there."""
    harness = connected(shows_at_once=True)
    harness.receive(frames.Conversations([info("bob", 40, read=38, unread=2)]))
    assert notices(harness.receive(skipped(40)))[0].startswith("40 earlier unread messages")
