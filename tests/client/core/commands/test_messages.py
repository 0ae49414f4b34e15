"""Edits, redactions, reactions and replies: target selection, and what is shown for them."""

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp_client.core import events
from qscp_client.core.changes import Added, Removed, Saved
from qscp_client.core.outbox import Entry, EntryKind
from tests.support.engine_harness import (
    WALL_MS,
    EngineHarness,
    ack,
    chat,
    in_room,
    info,
    ready,
    room,
    room_message,
    shown_texts,
)

DEV = "c-#dev"
"""The conversation of the room."""


def number(count: int) -> str:
    """Return the id of the engine's message with this number."""
    return f"{count:032x}"


def edit(
    seq: int, target: int, body: str, *, sender: str = "bob", origin: frames.Origin = "live"
) -> frames.Edit:
    """Return an edit in #dev."""
    return frames.Edit("c-#dev", seq, f"e{seq:031x}", sender, "#dev", target, body, 1000 + seq, origin)


def redact(seq: int, target: int, *, sender: str = "bob", origin: frames.Origin = "live") -> frames.Redact:
    """Return a redaction in #dev."""
    return frames.Redact("c-#dev", seq, f"e{seq:031x}", sender, "#dev", target, 1000 + seq, origin)


def react(
    seq: int, target: int, text: str, count: int, *, removed: bool = False, origin: frames.Origin = "live"
) -> frames.React:
    """Return a reaction by bob in #dev."""
    return frames.React(
        "c-#dev", seq, f"e{seq:031x}", "bob", "#dev", target, text, 1000 + seq, origin, removed, count
    )


def talk() -> EngineHarness:
    """Return alice's engine in #dev, where bob has written 1 and 3, and alice 2 and 4."""
    harness = in_room()
    harness.enter("two", "four")
    harness.receive(
        room_message(1, "one"), ack(1, 2, to="#dev"), room_message(3, "three"), ack(2, 4, to="#dev")
    )
    harness.frames()
    harness.engine.changes_to_save()
    return harness


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("/edit now", frames.SendEdit("#dev", 4, "now", number(3), conversation=DEV)),
        ("/edit 2 now  or never", frames.SendEdit("#dev", 2, "now  or never", number(3), conversation=DEV)),
        ("/edit (2) now", frames.SendEdit("#dev", 2, "now", number(3), conversation=DEV)),
        ("/reply #2 yes", frames.SendChat("#dev", "yes", number(3), 2, conversation=DEV)),
        ("/reply (#2) yes", frames.SendChat("#dev", "yes", number(3), 2, conversation=DEV)),
        ("/reply #2nd", frames.SendChat("#dev", "#2nd", number(3), 3, conversation=DEV)),
        ("/redact #1", frames.SendRedaction("#dev", 1, number(3), conversation=DEV)),
        ("/edit 2nd try", frames.SendEdit("#dev", 4, "2nd try", number(3), conversation=DEV)),
        ("/redact", frames.SendRedaction("#dev", 4, number(3), conversation=DEV)),
        ("/redact 2", frames.SendRedaction("#dev", 2, number(3), conversation=DEV)),
        ("/redact 1 a secret", frames.SendRedaction("#dev", 1, number(3), "a secret", conversation=DEV)),
        ("/react \U0001f44d", frames.SendReaction("#dev", 3, "\U0001f44d", number(3), conversation=DEV)),
        ("/react 2 +1", frames.SendReaction("#dev", 2, "+1", number(3), conversation=DEV)),
        ("/unreact 1 +1", frames.SendReaction("#dev", 1, "+1", number(3), remove=True, conversation=DEV)),
        ("/reply yes", frames.SendChat("#dev", "yes", number(3), 3, conversation=DEV)),
        ("/reply 2 yes", frames.SendChat("#dev", "yes", number(3), 2, conversation=DEV)),
    ],
)
def test_a_command_targets_a_message(typed: str, sent: frames.ClientFrame) -> None:
    """A number selects the target; the default is your last message, or the last of another user."""
    harness = talk()
    [pending] = harness.enter(typed)
    assert isinstance(pending, events.MessageSent)
    assert harness.frames() == [sent]
    assert harness.engine.pending == 1


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("/edit 1 mine now", "Message 1 is bob's; you can only edit your own."),
        ("/edit 9 text", "No message 9 was shown here"),
        ("/edit 2", "empty"),
        ("/reply 2 ", "empty"),
        ("/react 2", "one emoji or a short word"),
        ("/react two words", "one emoji or a short word"),
        ("/redact 2 " + "x" * 401, "too long"),
        ("/edit a\x1bb", "Not allowed: U+001B (character 2)."),
        ("/reply #510 text", "No message 510 was shown here"),
        ("/redact my secret", "a reason needs a number"),
        ("/redact 2nd", "a reason needs a number"),
    ],
)
def test_an_invalid_target_is_not_sent(typed: str, says: str) -> None:
    """An invalid target or argument shows a problem, sends nothing and counts as a failure."""
    harness = talk()
    [problem] = harness.enter(typed)
    assert says in shown_texts([problem])[0]
    assert harness.frames() == []
    assert harness.engine.failed == 1


@pytest.mark.parametrize("typed", ["/edit x", "/reply x", "/react x"])
def test_a_command_needs_a_message(typed: str) -> None:
    """A message command is refused in the picker, and in a chat that shows no messages."""
    assert "pick a person or room first" in shown_texts(ready("bob").enter(typed))[0]
    assert "/last lists recent ones" in shown_texts(in_room().enter(typed))[0]


def test_an_edit_of_a_pending_message_waits() -> None:
    """An edit waits for the ack of the pending message, so that it can't hit the one before."""
    harness = talk()
    harness.enter("five", "/edit six", "seven")
    assert harness.chats() == [("#dev", "five", 3)]
    harness.receive(ack(3, 5, to="#dev"))
    sent = harness.frames()
    assert sent[0] == frames.SendEdit("#dev", 5, "six", number(4), conversation=DEV)
    assert isinstance(sent[1], frames.SendChat)


def test_a_pending_message_can_not_be_edited_offline() -> None:
    """Offline, editing a pending message is refused: its seq is unknown."""
    harness = talk()
    harness.engine.disconnected()
    [_, problem] = harness.enter("five", "/edit six")
    assert "not stored yet" in shown_texts([problem])[0]


def test_a_command_waits_for_requested_messages() -> None:
    """A command waits for requested messages; without an answer it fails at the end."""
    harness = in_room(last_seq=3)
    harness.enter("/last 1", "/react 3 ok")
    assert harness.frames() == [frames.HistoryRequest("c-#dev", limit=1)]
    assert harness.engine.queues_lines
    page = [frames.Message(3, "3", "bob", "three", 3)]
    harness.receive(frames.History(conversation="c-#dev", messages=page, first_seq=1, last_seq=9, cursor=3))
    assert harness.frames() == [frames.SendReaction("#dev", 3, "ok", number(1), conversation=DEV)]
    harness.enter("/last 1", "/react 9 ok")
    harness.engine.show_unanswered(keeps=True)
    assert any("No message 9" in line for line in shown_texts(harness.engine.events_to_show()))
    assert harness.engine.failed == 1


def test_only_own_messages_can_be_redacted_in_a_pair() -> None:
    """In a conversation of two users, only your own messages can be redacted."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1))
    [problem] = harness.enter("/redact 1")
    assert shown_texts([problem])[0] == "Message 1 is bob's; you can only delete your own."
    assert harness.frames() == []


def test_message_actions_go_through_the_outbox() -> None:
    """Actions are saved before they are sent, in order, and keep their ids over restarts."""
    harness = talk()
    harness.enter("/edit 2 zwei", "/redact 4", "five")
    kept = [each.entry for each in harness.engine.additions_to_save() if isinstance(each, Added)]
    assert kept == [
        Entry(number(3), "#dev", "zwei", WALL_MS, kind=EntryKind.EDIT, target=2, conversation=DEV),
        Entry(number(4), "#dev", "", WALL_MS, kind=EntryKind.REDACT, target=4, conversation=DEV),
        Entry(number(5), "#dev", "five", WALL_MS, conversation=DEV),
    ]
    sent = harness.frames()
    again = EngineHarness(Saved("e1", "a1", outbox=tuple(kept)))
    again.connect(infos=[info("#dev", 4)])
    assert [
        each for each in again.frames() if isinstance(each, type(sent[0]) | type(sent[1]) | type(sent[2]))
    ] == sent
    again.receive(frames.Resumed(), ack(3, 5, to="#dev"))
    assert Removed(number(3)) in again.engine.changes_to_save()
    assert again.engine.pending == 2


def test_a_refused_edit_can_be_sent_again() -> None:
    """`/retry` sends a refused edit again, as an edit with a new id."""
    harness = talk()
    harness.enter("/edit 2 zwei")
    harness.frames()
    shown = harness.receive(
        frames.ChatNack(number(3), "muted", "You may not write in this room for a while.", 60)
    )
    assert shown_texts(shown)[0] == (
        "Not sent to #dev: you are muted for another 60 s. Your text: (edit of 2) zwei"
    )
    harness.enter("/retry")
    assert harness.frames() == [frames.SendEdit("#dev", 2, "zwei", number(4), conversation=DEV)]


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("/edit 2 zwei", ErrorCode.TOO_LATE, "the message is too old to be edited"),
        ("/redact 1", ErrorCode.NOT_ALLOWED, "your role in #dev does not allow that"),
        ("/react 1 +1", ErrorCode.UNCHANGED, "no change: it is already so"),
        ("/unreact 1 +1", ErrorCode.UNKNOWN_MESSAGE, "that message does not exist, or was deleted"),
    ],
)
def test_a_permanent_refusal_is_shown_once(typed: str, code: ErrorCode, says: str) -> None:
    """A permanent refusal is shown with its reason; nothing is kept for /retry."""
    harness = talk()
    harness.enter(typed)
    harness.engine.changes_to_save()
    [failure] = harness.receive(frames.ChatNack(number(3), code, ERROR_CODES[code].sentence))
    assert f"Not sent to #dev: {says}. Your text: " in shown_texts([failure])[0]
    assert harness.engine.failures == 0
    assert harness.engine.failed == 1
    assert harness.engine.changes_to_save() == [Removed(number(3))]
    assert "Nothing to send again" in shown_texts(harness.enter("/retry"))[0]


def test_an_unknown_refusal_can_be_retried() -> None:
    """An edit refused with an unknown code is kept as a failure for /retry."""
    harness = talk()
    harness.enter("/edit 2 zwei")
    harness.receive(frames.ChatNack(number(3), "moon_phase", "Not today."))
    assert harness.engine.failures == 1


def test_own_actions_are_shown_once_stored() -> None:
    """Your own actions are shown when they are acked, and update the messages they target."""
    harness = talk()
    harness.enter("/edit 2 zwei", "/react 1 +1", "/unreact 1 +1", "/redact 4")
    shown = harness.receive(*(ack(each, each + 2, to="#dev") for each in (3, 4, 5, 6)))
    assert shown_texts(shown) == [
        "alice edited (2): zwei",
        'alice reacted +1 to (1) "one"',
        'alice removed their +1 from (1) "one"',
        "alice deleted message 4.",
    ]
    assert shown_texts(
        harness.receive(room_message(9, "hm", reply_to=2), room_message(10, "hm", reply_to=4))
    ) == [
        '(9) bob, re (2) "zwei": hm',
        "(10) bob, re (4): hm",
    ]
    [problem] = harness.enter("/edit 4 x")
    assert "was deleted" in shown_texts([problem])[0]


def test_actions_of_others_are_shown() -> None:
    """Each action of another member is shown in one line."""
    harness = talk()
    shown = harness.receive(
        edit(5, 3, "drei"),
        react(6, 2, "+1", 1),
        react(7, 2, "+1", 0, removed=True),
        redact(8, 2, sender="carol"),
    )
    assert shown_texts(shown) == [
        "bob edited (3): drei",
        'bob reacted +1 to (2) "two"',
        'bob removed their +1 from (2) "two"',
        "carol deleted alice's message 2.",
    ]


def test_actions_on_invisible_messages_are_hidden() -> None:
    """Amendments of messages from before you joined, or of deleted ones, are not shown."""
    harness = ready("bob")
    harness.receive(frames.RoomChanged(room(), 10, 12))
    harness.enter("#dev")
    gone = edit(15, 11, "")
    gone.erased = True
    assert harness.receive(edit(13, 4, "x"), react(14, 4, "+1", 1), gone, redact(16, 9)) == []
    assert shown_texts(harness.receive(redact(17, 12), room_message(18), redact(19, 18))) == [
        "bob deleted message 12.",
        "(18) bob: hi",
        "bob deleted message 18.",
    ]


def test_actions_in_a_pair_have_no_numbers() -> None:
    """In a pair, an action quotes the previous text; a redaction has the message's time."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1, "helo"), chat(2, "secret"))
    shown = harness.receive(
        frames.Edit("c-bob", 3, "e3", "bob", "alice", 1, "hello", 1003, "live"),
        frames.React("c-bob", 4, "e4", "bob", "alice", 1, "+1", 1004, "live", count=1),
        frames.Redact("c-bob", 5, "e5", "bob", "alice", 2, 1005, "live"),
    )
    lines = shown_texts(shown)
    assert lines[:2] == ['bob edited "helo": hello', 'bob reacted +1 to "hello"']
    assert lines[2].startswith("bob deleted a message from 1970-")


def test_unread_messages_are_shown_amended() -> None:
    """A chat that is opened shows unread messages as amended, without lines for the amendments."""
    harness = ready("bob")
    harness.receive(frames.Conversations([info("#dev", 0)]))
    harness.receive(
        room_message(1, "helo"),
        room_message(2, "secret"),
        edit(3, 1, "hello"),
        redact(4, 2),
        react(5, 1, "+1", 2),
    )
    assert harness.engine.rooms[0].unread == 2
    harness.enter("#dev")
    shown = harness.receive(frames.Rooms([room()]))
    assert shown_texts(shown)[1:] == ["(1) bob: hello  (edited) [+1 2]", "(2) bob: (erased)"]
    assert harness.engine.rooms[0].unread == 0


def test_replayed_amendments_are_not_shown_twice() -> None:
    """A replayed message already has its amendments; those of earlier messages are shown."""
    harness = in_room(shows_at_once=True)
    harness.receive(room_message(1, "one"))
    harness.engine.disconnected()
    harness.connect("bob", infos=[info("#dev", 4)])
    replayed = room_message(2, "zwei", origin="replay")
    replayed.edited = 1003
    shown = harness.receive(
        replayed, edit(3, 2, "zwei", origin="replay"), edit(4, 1, "eins", origin="replay")
    )
    assert shown_texts(shown) == ["(2) bob: zwei  (edited)", "bob edited (1): eins"]


def test_history_marks_amended_messages() -> None:
    """Messages of /history have marks for edits, deletions and reactions."""
    harness = in_room(last_seq=9)
    harness.enter("/history 3")
    page = [
        frames.Message(1, "1", "bob", "one", 1, edited=5, reactions=(frames.Reaction("+1", 2, mine=True),)),
        frames.Message(2, "2", "bob", "", 2, erased=True),
        frames.Message(
            3, "3", "alice", "three", 3, reactions=(frames.Reaction("ok", 1, mine=True),), reply_to=1
        ),
    ]
    shown = harness.receive(frames.History(conversation="c-#dev", messages=page, first_seq=1, last_seq=9))
    assert shown_texts(shown) == [
        "Older messages in #dev:",
        "(1) bob: one  (edited) [+1 2 with you]",
        "(2) bob: (erased)",
        '(3) alice, re (1) "one": three  [ok 1 by you]  \u2713 stored',
        "(beginning of the conversation)",
    ]


def test_last_shows_numbers_in_a_pair() -> None:
    """/last shows numbers in a pair too, so that a message can be targeted."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1, "one"), chat(2, "two"))
    harness.frames()
    harness.enter("/last 2")
    assert harness.frames() == [frames.HistoryRequest("c-bob", limit=2)]
    page = [frames.Message(each, str(each), "bob", text, 1) for each, text in ((1, "one"), (2, "two"))]
    shown = harness.receive(frames.History(conversation="c-bob", messages=page, first_seq=1, last_seq=9))
    assert shown_texts(shown) == [
        "Last messages with bob:",
        "(1) bob: one",
        "(2) bob: two",
        "(end of the last messages)",
    ]
    harness.enter("/react 1 ok")
    assert harness.frames() == [frames.SendReaction("bob", 1, "ok", number(1), conversation="c-bob")]


def test_seqs_of_amendments_are_not_missing_messages() -> None:
    """A page of history has no amendments; their seqs are not reported as missing."""
    harness = EngineHarness()
    harness.connect(infos=[info("#dev", 9, read=3, unread=2)])
    harness.receive(frames.Resumed())
    harness.enter("#dev")
    harness.receive(frames.Rooms([room()]))
    page = [frames.Message(seq, str(seq), "bob", str(seq), seq) for seq in (2, 6, 8)]
    shown = harness.receive(
        frames.History(conversation="c-#dev", messages=page, first_seq=1, last_seq=9, cursor=2)
    )
    assert shown_texts(shown) == ["(6) bob: 6", "(8) bob: 8"]
