"""Timeline: items shown, and their effects on the conversation and its receipts."""

from qscp_client.core.chat_state import CurrentChat, Step
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Clock, Output
from qscp_client.core.messages import Missing
from qscp_client.core.receipts import Receipts
from qscp_client.core.timeline import Timeline
from tests.support.items import amendment, message


def chat_with(name: str) -> CurrentChat:
    """Return an open chat."""
    chat = CurrentChat()
    chat.change(Step.OPEN, name)
    return chat


def bench(chat: CurrentChat | None = None) -> tuple[Timeline, Receipts, Output, Conversation]:
    """Return a timeline, and bob's conversation with two applied messages."""
    out = Output()
    receipts = Receipts(out, Clock(lambda: 0.0, lambda: 0))
    timeline = Timeline("alice", out, chat or chat_with("bob"), receipts)
    bob = Conversation("alice", "c-bob", "bob")
    bob.apply_message(message(1))
    bob.apply_message(message(2))
    return timeline, receipts, out, bob


def test_a_displayed_message_is_read() -> None:
    """Displaying a message reads it and schedules one receipt."""
    timeline, receipts, out, bob = bench()
    timeline.display(bob, message(1))
    assert (bob.unread.messages, receipts.due, len(out.events)) == (1, 0.2, 1)
    receipts.send(at_once=True)
    timeline.display(bob, message(1), numbered=True)
    assert receipts.due is None


def test_a_preview_is_not_read() -> None:
    """A preview does not read the message."""
    timeline, receipts, out, bob = bench(chat_with("carol"))
    timeline.preview(bob, message(2))
    assert (bob.unread.messages, bob.cursors.shown, receipts.due, len(out.events)) == (2, 0, None, 1)


def test_a_missing_range_of_another_chat_is_not_read() -> None:
    """A missing range is read only when it is displayed in its own chat."""
    chat = chat_with("carol")
    timeline, receipts, out, bob = bench(chat)
    timeline.display(bob, Missing(1, 2, "older"))
    assert (bob.unread.messages, bob.cursors.shown, receipts.due, len(out.events)) == (2, 2, None, 1)
    chat.change(Step.CLOSE)
    chat.change(Step.OPEN, "bob")
    timeline.display(bob, Missing(1, 2, "older"))
    assert (bob.unread.messages, receipts.due) == (0, 0.2)


def test_a_folded_amendment_has_no_line() -> None:
    """A folded amendment has no line, but its seq counts as displayed."""
    timeline, _, out, bob = bench()
    edit = bob.apply_amendment(amendment(3, 9))
    timeline.display(bob, edit)
    assert len(out.events) == 1
    bob.backlog.add(message(2))
    timeline.display(bob, bob.apply_amendment(amendment(4, 2)))
    assert (len(out.events), bob.cursors.displayed) == (1, 4)


def test_delivery_is_shown_once() -> None:
    """Each delivery state of a message of this run is shown once."""
    timeline, _, out, bob = bench()
    timeline.display(bob, message(3, sender="alice"))
    out.events.clear()
    for seq in (3, 3, 4):
        timeline.deliver(bob, seq)
    timeline.mark_read(bob, 3)
    timeline.mark_read(bob, 3)
    assert len(out.events) == 2
