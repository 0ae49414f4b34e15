"""States of an outgoing message: pending, refused, failed, retried and discarded."""

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp_client.core import events
from qscp_client.core.changes import Added, Failed, Removed, Saved
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.outbox import LONGEST_TRY_MS, Entry
from tests.support.engine_harness import WALL_MS, EngineHarness, ack, chat, ready


def nack(number: int, code: ErrorCode) -> frames.ChatNack:
    """Return a refusal."""
    return frames.ChatNack(f"{number:032x}", code, ERROR_CODES[code].sentence)


def test_a_line_is_saved_before_it_is_shown() -> None:
    """A line is in the outbox before it is shown, and is removed when it is acked."""
    harness = ready("bob", chat_with="bob")
    harness.engine.changes_to_save()
    harness.enter("hi")
    [added] = harness.engine.additions_to_save()
    assert added == Added(Entry(f"{1:032x}", "bob", "hi", WALL_MS))
    assert harness.engine.changes_to_save() == []
    harness.receive(ack(1, 1))
    assert Removed(f"{1:032x}") in harness.engine.changes_to_save()


def test_the_outbox_goes_first_under_the_same_ids() -> None:
    """After a reconnect, unacked messages are sent first, in order, with the same ids."""
    harness = ready("bob", chat_with="bob")
    harness.enter("one", "two", "three")
    harness.receive(ack(2, 1))
    harness.engine.disconnected()
    harness.frames()
    harness.enter("four")
    assert harness.chats() == []
    harness.connect("bob")
    assert harness.chats() == [("bob", "one", 1), ("bob", "three", 3), ("bob", "four", 4)]


def test_a_pause_is_shown_once() -> None:
    """While the server repeats `throttled`, one notice is shown; the next pause has one of its own."""
    harness = ready("bob", chat_with="bob")
    harness.enter("one", "two")

    def notices() -> list[NoticeCode]:
        shown = harness.receive(frames.Throttled("messages", 0.5))
        return [each.code for each in shown if isinstance(each, Notice)]

    assert notices() == [NoticeCode.THROTTLED]
    for _ in range(5):
        harness.wait(5)
        assert notices() == []
    harness.receive(ack(1, 1), ack(2, 2))
    harness.wait(16)
    assert notices() == [NoticeCode.THROTTLED]
    assert harness.engine.pending == 0


def test_a_full_disk_is_waited_for_in_order() -> None:
    """While the disk is full, messages are retried in order with growing pauses; other chats go on."""
    harness = ready("bob", "carol", chat_with="bob")
    harness.enter("one", "two")
    shown = harness.receive(nack(1, ErrorCode.STORAGE_FULL), nack(2, ErrorCode.OUT_OF_ORDER))
    assert [each.code for each in shown if isinstance(each, Notice)] == [NoticeCode.WAITING_FOR_STORAGE]
    harness.frames()
    harness.enter("three", "back", "carol", "hi carol")
    assert harness.chats() == [("carol", "hi carol", 4)]
    assert harness.wait(0.9) == []
    sent = harness.wait(0.2)
    assert [frame.body for frame in sent if isinstance(frame, frames.SendChat)] == ["one", "two", "three"]
    harness.receive(*(nack(number, ErrorCode.STORAGE_FULL) for number in (1, 2, 3)))
    assert harness.wait(1.9) == []
    assert len(harness.wait(0.2)) == 3
    harness.receive(*(ack(number, number) for number in (1, 2, 3)))
    assert harness.engine.pending == 1
    harness.enter("back", "bob", "four")
    assert harness.chats() == [("bob", "four", 5)]


def test_retry_does_not_wait() -> None:
    """/retry sends a refused message at once, with the same id."""
    harness = ready("bob", chat_with="bob")
    harness.enter("one")
    harness.receive(nack(1, ErrorCode.STORAGE_FAILED))
    harness.frames()
    harness.enter("/retry")
    assert harness.chats() == [("bob", "one", 1)]


def test_drop_discards_and_skips() -> None:
    """/drop discards the messages and sends `skip`, so that later ones are accepted."""
    harness = ready("bob", chat_with="bob")
    harness.enter("one", "two")
    harness.receive(nack(1, ErrorCode.STORAGE_FULL), nack(2, ErrorCode.OUT_OF_ORDER))
    harness.enter("/drop")
    assert harness.frames()[-1] == frames.Skip(f"{1:032x}")
    assert harness.engine.pending == 0
    harness.enter("three")
    assert harness.chats() == [("bob", "three", 3)]


@pytest.mark.parametrize("code", [ErrorCode.UNKNOWN_RECIPIENT, ErrorCode.ID_CONFLICT])
def test_other_refusals_are_failures(code: ErrorCode) -> None:
    """Other refusals are failures: kept until /retry, which sends a new message."""
    harness = ready("bob", chat_with="bob")
    harness.enter("one", "two")
    harness.engine.changes_to_save()
    [failed] = harness.receive(nack(1, code))
    assert isinstance(failed, events.MessageFailed)
    assert failed.again
    assert (harness.engine.pending, harness.engine.failures, harness.engine.failed) == (1, 1, 1)
    assert Failed(f"{1:032x}", code) in harness.engine.changes_to_save()
    harness.frames()
    harness.enter("/retry all")
    assert harness.chats() == [("bob", "one", 3)]
    assert harness.engine.failures == 0


def test_in_a_pipe_failures_are_not_kept() -> None:
    """In a pipe a refused message is removed, as /retry can't follow."""
    harness = ready("bob", chat_with="bob", shows_at_once=True)
    harness.enter("one")
    harness.engine.changes_to_save()
    harness.receive(nack(1, ErrorCode.UNKNOWN_RECIPIENT))
    assert harness.engine.changes_to_save() == [Removed(f"{1:032x}")]


def test_an_expired_message_is_not_sent_again() -> None:
    """An expired message fails at login; only /retry sends it, as a new message."""
    old = Entry("f" * 32, "bob", "old", WALL_MS - LONGEST_TRY_MS - 1)
    new = Entry("e" * 32, "bob", "new", WALL_MS - LONGEST_TRY_MS + 1)
    harness = EngineHarness(Saved(outbox=(old, new)))
    shown = harness.connect("bob")
    assert [each.body for each in shown if isinstance(each, events.MessageFailed)] == ["old"]
    assert [body for _, body, _ in harness.chats()] == ["new"]
    harness.enter("/retry all")
    assert harness.chats() == [("bob", "old", 1)]


def test_a_message_that_expires_during_retries_is_skipped() -> None:
    """A message that expires between retries fails at once, and later ones go on."""
    old = Entry(f"{8:032x}", "bob", "old", WALL_MS - LONGEST_TRY_MS + 500)
    new = Entry(f"{9:032x}", "bob", "new", WALL_MS)
    harness = EngineHarness(Saved(outbox=(old, new)))
    harness.connect("bob")
    harness.receive(nack(8, ErrorCode.STORAGE_FULL), nack(9, ErrorCode.OUT_OF_ORDER))
    assert harness.wait(0.6) == [frames.Skip(old.id)]
    [failed] = harness.engine.events_to_show()
    assert isinstance(failed, events.MessageFailed)
    assert failed.body == "old"
    assert harness.wait(0.5) == [frames.SendChat("bob", "new", new.id)]


def test_a_message_expires_offline() -> None:
    """Offline, a message fails when it expires, before any reconnect."""
    harness = ready("bob", chat_with="bob")
    harness.engine.disconnected()
    harness.enter("one")
    assert harness.wait(LONGEST_TRY_MS / 1000) == []
    assert harness.engine.pending == 1
    assert harness.wait(1) == []
    [failed] = harness.engine.events_to_show()
    assert isinstance(failed, events.MessageFailed)
    assert failed.again
    assert (harness.engine.pending, harness.engine.failures) == (0, 1)


def test_a_replayed_message_is_skipped() -> None:
    """If a replay shows a refused message as stored, its retry is skipped."""
    harness = ready("bob", chat_with="bob")
    harness.enter("one", "two")
    harness.engine.disconnected()
    harness.connect("bob")
    harness.receive(nack(1, ErrorCode.STORAGE_FULL), nack(2, ErrorCode.OUT_OF_ORDER))
    harness.frames()
    harness.receive(chat(1, "one", sender="alice", to="bob", origin="replay", message_id=f"{1:032x}"))
    assert frames.Skip(f"{1:032x}") in harness.frames()
    assert harness.wait(1.1)[-1] == frames.SendChat("bob", "two", f"{2:032x}")
