"""Copies of messages: own acks in the order of seq, late pages of history, and what is dropped."""

import pytest

from qscp import frames
from qscp.frames import Reaction
from qscp_client.core import events
from qscp_client.core.changes import Moved, Saved, SavedPosition
from qscp_client.core.message_cache import _AMENDMENTS
from qscp_client.core.messages import Message, Missing
from qscp_client.core.outbox import EntryKind
from tests.support.engine_harness import (
    EngineHarness,
    ack,
    chat,
    in_room,
    info,
    ready,
    room,
    room_changed,
    room_message,
    shown_texts,
    welcome,
)


def react(seq: int, target: int, count: int, *, sender: str = "bob", live: bool = False) -> frames.React:
    """Return a reaction of bob, or of alice, in their conversation."""
    to = "bob" if sender == "alice" else "alice"
    origin: frames.Origin = "live" if live else "replay"
    return frames.React("c-bob", seq, f"{seq:032x}", sender, to, target, "+1", 1, origin, count=count)


def acked(number: int, seq: int, *, count: int | None = None, repeated: bool = False) -> frames.ChatAck:
    """Return the ack of alice's message or amendment with a number."""
    return frames.ChatAck(f"{number:032x}", "c-bob", seq, 1000 + seq, count=count, repeated=repeated)


def copy(harness: EngineHarness, seq: int, name: str = "bob") -> Message | None:
    """Return the client's copy of a message."""
    conversation = harness.engine._sync.conversations.named(name)
    return conversation.known.get(seq) if conversation else None


def page(*messages: frames.Message, last_seq: int, first_seq: int = 1) -> frames.History:
    """Return a page of history with bob."""
    return frames.History(
        conversation="c-bob", messages=list(messages), first_seq=first_seq, last_seq=last_seq
    )


def reacting() -> EngineHarness:
    """Return alice's client, which reacted to message 1 of bob and is about to catch up."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1))
    harness.engine.disconnected()
    harness.enter("/react 1 +1")
    harness.connect("bob")
    return harness


@pytest.mark.parametrize(
    "arrived",
    [
        [acked(1, 2, count=1), react(3, 1, 2), frames.Resumed()],
        [acked(1, 3, count=2), react(2, 1, 2), frames.Resumed()],
        [acked(1, 2, count=1), react(3, 1, 2, live=True), frames.Resumed()],
        [react(2, 1, 2), acked(1, 3, count=2), frames.Resumed()],
        [
            acked(1, 2, count=2, repeated=True),
            react(2, 1, 2, sender="alice"),
            react(3, 1, 2),
            frames.Resumed(),
        ],
        [react(2, 1, 2), frames.Resumed(), acked(1, 3, count=2)],
    ],
)
def test_two_users_are_two(arrived: list[frames.ServerFrame]) -> None:
    """The reactions of two users are two, in whatever order the own ack and the replay come."""
    harness = reacting()
    for frame in arrived:
        if isinstance(frame, frames.React) and frame.sender == "alice":
            frame.id = f"{1:032x}"
    shown = harness.receive(*arrived)
    found = copy(harness, 1)
    assert found is not None
    assert found.reactions == (Reaction("+1", 2, mine=True),)
    amended = [each.reference.number for each in shown if isinstance(each, events.Amended) and each.here]
    assert amended == [1]


def test_the_last_reaction_is_removed() -> None:
    """The ack of a removed reaction can have the count 0: the message has no reaction then."""
    harness = reacting()
    harness.receive(acked(1, 2, count=1), frames.Resumed())
    harness.enter("/unreact 1 +1")
    harness.receive(acked(2, 3, count=0))
    found = copy(harness, 1)
    assert found is not None
    assert found.reactions == ()


def test_own_messages_and_edits_have_the_mentions_of_their_acks() -> None:
    """The server finds mentions; a redaction removes them, and that a text was edited."""
    harness = ready("bob", chat_with="bob")
    harness.enter("hello @bob")
    harness.receive(frames.ChatAck(f"{1:032x}", "c-bob", 1, 1, mentions=("bob",)))
    found = copy(harness, 1)
    assert found is not None
    assert found.mentions == ("bob",)
    harness.enter("/edit 1 hello @alice")
    harness.receive(frames.ChatAck(f"{2:032x}", "c-bob", 2, 2, mentions=("alice",)))
    found = copy(harness, 1)
    assert found is not None
    assert (found.body, found.mentions, found.edited) == ("hello @alice", ("alice",), True)
    harness.enter("/redact 1")
    harness.receive(ack(3, 3))
    found = copy(harness, 1)
    assert found is not None
    assert (found.body, found.mentions, found.edited, found.erased) == ("", (), False, True)


def test_an_own_message_comes_before_a_live_one_that_is_newer() -> None:
    """An early ack has its place before a live message that comes before `resumed`; the position follows."""
    harness = reacting()
    harness.receive(acked(1, 2, count=1))
    harness.enter("mine")
    harness.receive(acked(2, 3))
    harness.engine.changes_to_save()
    shown = harness.receive(chat(4, "live"))
    assert [type(each) for each in shown] == [events.Amended, events.OwnMessage, events.MessageReceived]
    assert [each.seq for each in harness.engine.changes_to_save() if isinstance(each, Moved)] == [2, 3, 4]
    assert harness.receive(frames.Resumed()) == []


def test_a_repeated_message_is_shown_and_not_kept() -> None:
    """What was stored earlier and is not replayed is shown as stored once, and is no target."""
    harness = ready("bob", chat_with="bob")
    harness.engine.disconnected()
    harness.enter("mine")
    harness.connect("bob")
    assert harness.receive(acked(1, 5, repeated=True)) == []
    shown = harness.receive(frames.Resumed())
    assert [type(each) for each in shown] == [events.OwnMessage]
    assert copy(harness, 5) is None
    assert harness.engine.pending == 0


def test_an_early_ack_waits_for_the_next_replay() -> None:
    """If the connection is lost before an early ack had its place, the replay of the next one shows it."""
    harness = reacting()
    harness.receive(acked(1, 2, count=1))
    harness.engine.disconnected()
    harness.connect("bob")
    mine = react(2, 1, 1, sender="alice")
    mine.id = f"{1:032x}"
    shown = harness.receive(mine, frames.Resumed())
    assert [each.here for each in shown if isinstance(each, events.Amended)] == [True]


def test_a_page_that_was_read_before_an_amendment_gets_it() -> None:
    """A page of history gets the amendments that came while it was on its way; older ones it has already."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(8))
    harness.enter("/last 5")
    harness.receive(
        frames.Edit("c-bob", 9, "9", "bob", "alice", 5, "included", 1, "live"),
        frames.Edit("c-bob", 10, "a", "bob", "alice", 5, "late", 1, "live", mentions=("alice",)),
        react(11, 5, 1, live=True),
        frames.Redact("c-bob", 12, "c", "bob", "alice", 6, 1, "live"),
    )
    older = frames.Message(5, "5", "bob", "included", 5, edited=1)
    shown = harness.receive(page(older, frames.Message(6, "6", "bob", "secret", 6), last_seq=9))
    texts = [(each.body, each.erased) for each in shown if isinstance(each, events.MessageReceived)]
    assert texts == [("late", False), ("", True)]
    found = copy(harness, 5)
    assert found is not None
    assert (found.mentions, found.reactions) == (("alice",), (Reaction("+1", 1),))


def test_a_page_older_than_all_that_is_remembered_is_asked_for_again() -> None:
    """If more amendments came than are remembered, the page is asked for again."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1))
    harness.enter("/last 5")
    asked = harness.frames()
    harness.receive(*(react(seq, 1, seq % 2, live=True) for seq in range(2, _AMENDMENTS + 4)))
    late = page(frames.Message(1, "1", "bob", "hi", 1), last_seq=1)
    assert harness.receive(late) == []
    assert [each for each in harness.frames() if isinstance(each, frames.HistoryRequest)] == asked
    late.last_seq = _AMENDMENTS + 3
    assert harness.receive(late)


def test_an_amendment_that_a_page_has_is_not_shown_again() -> None:
    """A page can have an amendment that comes after it: it was shown with its message."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(8))
    harness.enter("/last 5")
    newer = frames.Message(8, "8", "bob", "new", 5, edited=1)
    harness.receive(page(newer, last_seq=9))
    edit = frames.Edit("c-bob", 9, "9", "bob", "alice", 8, "new", 1, "live")
    assert harness.receive(edit) == []


# --- dropped copies


@pytest.mark.parametrize("reason", ["pruned", "older", "of a newer server"])
def test_copies_below_a_gap_are_dropped(reason: str) -> None:
    """Messages up to the end of a gap are dropped: they are no target, no reference, and not in /status."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1, "a secret"))
    harness.enter("mine")
    harness.receive(ack(1, 2))
    harness.engine.disconnected()
    harness.connect("bob")
    harness.receive(frames.Gap("c-bob", 3, 6, reason), chat(7, origin="replay"), frames.Resumed())
    assert copy(harness, 1) is copy(harness, 2) is None
    assert copy(harness, 7) is not None
    harness.frames()
    shown = harness.enter("/react 1 +1", "/edit 2 changed")
    assert harness.chats() == []
    assert shown_texts(shown) == [
        f"Message {seq} might have changed since it was shown; /last lists recent ones." for seq in (1, 2)
    ]
    [status] = [each for each in harness.enter("/status") if isinstance(each, events.StatusAsked)]
    assert status.lines == ()


def test_a_page_is_as_new_as_a_gap_or_not_kept() -> None:
    """A page that has the events of a gap stays; what an older one has of these messages is left out."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1), chat(3))
    harness.engine.disconnected()
    harness.connect("bob")
    harness.enter("/last 1", "/last 2")
    messages = [frames.Message(seq, f"{seq:032x}", "bob", "a secret", seq) for seq in (1, 3)]
    assert len(harness.receive(page(messages[0], last_seq=6))) == 3
    harness.receive(frames.Gap("c-bob", 4, 6, "older"))
    assert copy(harness, 1) is not None
    assert copy(harness, 3) is None
    shown = harness.receive(page(*messages, last_seq=5))
    assert len([each for each in shown if isinstance(each, events.MessageReceived)]) == 1
    assert copy(harness, 3) is None


def test_copies_before_the_first_seq_are_dropped() -> None:
    """A first seq that rises drops what is before it, from each frame that has one."""
    later = info("bob", 9, read=9)
    later.first_seq = 3
    for frame in (frames.Conversations([later]), page(last_seq=9, first_seq=3)):
        harness = ready("bob", chat_with="bob")
        harness.receive(chat(1), chat(2), chat(3))
        if isinstance(frame, frames.History):
            harness.enter("/last 5")
        harness.receive(frame)
        assert copy(harness, 2) is None
        assert copy(harness, 3) is not None
        assert shown_texts(harness.enter("/react 2 +1")) == ["Message 2 is no longer in your history."]


def test_copies_before_the_first_seq_of_a_room_are_dropped() -> None:
    """A room whose history begins later has no copies from before that."""
    harness = in_room()
    harness.receive(room_message(1), room_message(2))
    changed = room_changed(room(), last_seq=2)
    changed.first_seq = 2
    harness.receive(changed)
    assert copy(harness, 1, "#dev") is None
    assert copy(harness, 2, "#dev") is not None


def test_unread_messages_below_a_gap_are_missing() -> None:
    """Messages that wait to be shown are dropped too; the chat says how many are missing."""
    harness = ready("bob")
    harness.receive(chat(1, "a secret"), chat(2, "another"))
    harness.engine.disconnected()
    harness.connect("bob", infos=[info("bob", 6, unread=1)])
    harness.receive(frames.Gap("c-bob", 3, 5, "pruned"), chat(6, "kept", origin="replay"), frames.Resumed())
    assert shown_texts(harness.enter("bob"))[1:] == [
        "5 older messages with bob were removed by the server.",
        "bob: kept",
    ]


def test_copies_without_a_position_are_dropped_at_a_new_connection() -> None:
    """Amendments from before the replay do not come, so a conversation without a position keeps nothing."""
    harness = EngineHarness()
    harness.connect("bob", infos=[info("bob", 2, read=2)])
    harness.receive(frames.Resumed())
    harness.enter("bob", "/last 5")
    harness.receive(page(frames.Message(2, "2", "bob", "a secret", 2), last_seq=2))
    assert copy(harness, 2) is not None
    harness.engine.disconnected()
    harness.engine.connected(welcome())
    assert copy(harness, 2) is None


def test_an_own_message_that_waits_is_confirmed_although_it_is_dropped() -> None:
    """A pending line ends as stored, also if the message was dropped before it could be shown."""
    saved = Saved("e1", "a1", (SavedPosition("c-bob", "bob", 1),))
    harness = EngineHarness(saved)
    harness.connect("bob", infos=[info("bob", 9, unread=3)])
    harness.receive(frames.Resumed())
    harness.enter("bob")
    assert harness.engine._sync.conversations.get("c-bob").backlog.requested
    harness.engine._sender.say("bob", "mine", EntryKind.CHAT)
    harness.receive(acked(1, 10))
    later = info("bob", 10, read=10)
    later.first_seq = 11
    harness.receive(frames.Conversations([later]))
    shown = harness.receive(frames.Error("internal", "Something went wrong.", "history"))
    assert [each.here for each in shown if isinstance(each, events.OwnMessage)] == [True]
    assert copy(harness, 10) is None


def test_an_own_message_that_was_pruned_before_its_place_came() -> None:
    """It is shown as stored, and is no target of commands."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1))
    harness.engine.disconnected()
    harness.enter("mine")
    harness.connect("bob")
    harness.receive(acked(1, 9))
    harness.enter("/last 5")
    shown = harness.receive(
        page(frames.Message(11, "a", "bob", "newest", 1), first_seq=11, last_seq=11), frames.Resumed()
    )
    assert [each.id for each in shown if isinstance(each, events.OwnMessage) and each.here] == [f"{1:032x}"]
    conversation = harness.engine._sync.conversations.get("c-bob")
    assert [each.seq for each in conversation.known] == [11]


def test_messages_that_were_pruned_before_they_came_are_missing_once() -> None:
    """In a chat that is not open, a pruned message waits no more, whether it came before or after that."""
    harness = ready("bob")
    harness.receive(chat(1))
    conversation = harness.engine._sync.conversations.get("c-bob")
    conversation.prune(5)
    harness.receive(chat(2, origin="replay"), chat(4, origin="replay"), chat(5, origin="replay"))
    waiting = conversation.backlog.take()
    assert waiting[0] == Missing(1, 4, "pruned")
    assert [each.seq for each in waiting if isinstance(each, Message)] == [5]
    assert [each.seq for each in conversation.known] == [5]
