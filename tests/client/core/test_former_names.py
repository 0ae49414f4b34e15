"""A name that is given to another account, as the user of the client sees it."""

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp_client.core import events
from qscp_client.core.changes import Moved, Saved, SavedPosition
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.outbox import Entry
from tests.support.engine_harness import (
    WALL_MS,
    EngineHarness,
    ack,
    chat,
    in_room,
    info,
    ready,
    shown_texts,
    user,
    welcome,
)

OLD, NEW = "c-bob", "c-bob-2"


def listed(
    conversation: str, name: str, *, unread: int = 0, last: int = 5, deleted: bool = False
) -> frames.ConversationInfo:
    """Return an entry of the server's list."""
    return frames.ConversationInfo(conversation, name, "pair", 1, last, 0, 0, unread, 0, deleted)


BOTH = [listed(OLD, "bob~1", last=3, unread=3, deleted=True), listed(NEW, "bob", unread=2)]


def with_both(*online: str) -> EngineHarness:
    """Return an engine that knows both conversations from the list."""
    harness = EngineHarness()
    harness.connect(*online, infos=BOTH)
    harness.receive(frames.Resumed())
    harness.frames()
    return harness


def codes(shown: list[events.Event]) -> list[str]:
    """Return the codes of notices and problems."""
    return [each.code for each in shown if isinstance(each, Notice | Problem)]


def refused(number: int, code: ErrorCode = ErrorCode.UNKNOWN_RECIPIENT) -> frames.ChatNack:
    """Return the refusal of the message with this number."""
    return frames.ChatNack(f"{number:032x}", code, ERROR_CODES[code].sentence)


def page(*messages: str, sender: str) -> frames.History:
    """Return a page of history."""
    shown = [frames.Message(seq, f"{seq:032x}", sender, body, 1) for seq, body in enumerate(messages, 1)]
    return frames.History(conversation=OLD, messages=shown, last_seq=1_000, first_seq=1)


def test_both_holders_are_listed_apart() -> None:
    """Both have their own unread count; only the account that exists is completed."""
    harness = with_both("carol")
    assert harness.engine.unread == {"bob~1": 3, "bob": 2}
    assert harness.engine.names == ["bob", "carol"]


def test_the_former_holder_is_opened_for_reading() -> None:
    """`bob~1` opens the old conversation; nothing can be sent in it, with or without a connection."""
    harness = with_both("bob")
    shown = harness.enter(" Bob~1 ")
    assert shown == [events.ChatOpened("bob~1", "offline", deleted=True)]
    assert shown_texts(shown) == [
        "The account of bob~1 was deleted; you can only read here. Type back to pick someone else."
    ]
    assert harness.frames() == [frames.HistoryRequest(OLD, limit=3)]
    harness.receive(page("one", "two", "three", sender="bob~1"))
    assert harness.engine.unread == {"bob": 2}
    typed = ["hello", "/me waves", "/reply 1 yes", "/react 1 ok", "/redact 1", "/edit 1 no"]
    problems = harness.enter(*typed)
    assert problems == [Problem(ProblemCode.RECIPIENT_DELETED, name="bob~1")] * len(typed)
    assert shown_texts(problems)[0] == (
        "Not sent: the account of bob~1 was deleted. Type back to pick someone else."
    )
    assert (harness.engine.pending, harness.frames()) == (0, [])
    harness.engine.disconnected()
    assert codes(harness.enter("hello")) == [ProblemCode.RECIPIENT_DELETED]
    assert harness.engine.pending == 0


def test_the_plain_name_opens_the_present_holder() -> None:
    """`bob` opens the new conversation, and what is typed says which conversation it is for."""
    harness = with_both("bob")
    harness.enter("bob", "hello")
    assert [each for each in harness.frames() if isinstance(each, frames.SendChat)] == [
        frames.SendChat("bob", "hello", f"{1:032x}", conversation=NEW)
    ]


def test_an_unknown_former_holder_is_no_name() -> None:
    """A label that no conversation has is an invalid name."""
    harness = with_both()
    assert codes(harness.enter("bob~2")) == [ProblemCode.INVALID_NAME]
    assert harness.engine.pick_failed


def test_the_new_holder_writes_while_the_old_chat_is_open() -> None:
    """The open chat stays with the old conversation; the message is shown as one of another chat."""
    harness = ready("bob")
    harness.receive(chat(1, "the old one"))
    harness.enter("bob")
    harness.frames()
    shown = harness.receive(chat(1, "the new one", conversation=NEW))
    [message] = [each for each in shown if isinstance(each, events.MessageReceived)]
    assert (message.place, message.body) == (events.Place.OTHER_CHAT, "the new one")
    assert codes(shown) == [NoticeCode.NAME_GIVEN_AWAY]
    assert shown_texts(shown)[-1] == (
        "The name bob was given to another account. The one in this chat, now bob~1, was deleted. "
        "To write to the new one, type back, then bob."
    )
    assert harness.engine.partner == "bob~1"
    assert harness.frames() == [frames.ConversationsRequest()]
    assert codes(harness.enter("hello")) == [ProblemCode.RECIPIENT_DELETED]
    assert harness.receive(frames.Conversations(BOTH)) == []
    assert harness.frames() == []
    harness.enter("back", "bob", "hello")
    assert [each.conversation for each in harness.frames() if isinstance(each, frames.SendChat)] == [NEW]


def test_the_server_counts_the_former_holders() -> None:
    """The open chat follows its conversation to the number that the server's list has."""
    harness = ready("bob")
    harness.receive(chat(1, "the old one"))
    harness.enter("bob")
    harness.receive(chat(1, "the new one", conversation=NEW))
    named = [listed("c-first", "bob~1", deleted=True), listed(OLD, "bob~2", deleted=True), BOTH[1]]
    harness.receive(frames.Conversations(named))
    assert harness.engine.partner == "bob~2"


def test_a_message_to_the_former_holder_never_goes_to_the_new_one() -> None:
    """A message typed before the client knew is refused by the server, shown, and not sent again."""
    harness = ready("bob")
    harness.receive(chat(1))
    harness.enter("bob", "a secret for the first bob")
    [sent] = harness.frames()
    assert isinstance(sent, frames.SendChat)
    assert sent.conversation == OLD
    shown = harness.receive(refused(1))
    assert "the account was deleted" in shown_texts(shown)[0]
    assert harness.frames() == [frames.ConversationsRequest()]
    shown = harness.receive(frames.Conversations(BOTH))
    assert codes(shown) == [NoticeCode.NAME_GIVEN_AWAY]
    harness.enter("back", "bob", "/retry all")
    again = [each for each in harness.frames() if isinstance(each, frames.SendChat)]
    assert [(each.to, each.conversation) for each in again] == [("bob", OLD)]


def test_an_outbox_from_before_the_change() -> None:
    """Unsent messages of the last run keep their conversation; one of another history has none."""
    saved = Saved(
        "e1",
        "a1",
        (SavedPosition(OLD, "bob", 3, 3),),
        (Entry(f"{9:032x}", "bob", "hello", WALL_MS, conversation=OLD),),
    )
    for epoch, conversation in (("e1", OLD), ("e2", None)):
        harness = EngineHarness(saved)
        harness.engine.connected(welcome(epoch))
        [sent] = [each for each in harness.frames() if isinstance(each, frames.SendChat)]
        assert sent.conversation == conversation


def test_a_message_that_was_stored_for_the_former_holder() -> None:
    """Its late ack belongs to the old conversation, and takes no name from the new one."""
    saved = Saved("e1", "a1", (), (Entry(f"{9:032x}", "bob", "hello", WALL_MS, conversation=OLD),))
    harness = EngineHarness(saved)
    harness.connect("bob", infos=BOTH)
    harness.receive(frames.Resumed(), ack(9, 4))
    assert harness.engine.pending == 0
    assert harness.engine.names == ["bob"]
    assert harness.engine.unread == {"bob~1": 3, "bob": 2}


def test_an_account_is_deleted() -> None:
    """The chat says so once, and opens again for reading as long as the name is not given away."""
    harness = ready("bob")
    harness.receive(chat(1))
    harness.enter("bob")
    gone = frames.Conversations([listed(OLD, "bob", last=1, deleted=True)])
    # That the account is offline is sent a moment later.
    assert shown_texts(harness.receive(gone)) == [
        "The account of bob was deleted. You can still read here; type back to pick someone else."
    ]
    assert harness.receive(gone) == []
    assert harness.engine.is_read_only
    harness.receive(frames.PresenceChanges(2, [user("bob", "offline")]))
    harness.enter("back")
    harness.frames()
    harness.enter("bob")
    assert harness.frames() == [frames.WhoisRequest("bob")]
    shown = harness.receive(frames.Whois("bob", known=False))
    assert shown == [events.ChatOpened("bob", "offline", deleted=True)]
    shown = harness.receive(frames.PresenceChanges(3, [user("bob")]))
    assert codes(shown) == [NoticeCode.NAME_GIVEN_AWAY]
    assert harness.engine.partner == "bob~1"


def test_a_deleted_name_that_exists_again() -> None:
    """Who opens it is asked for, and is in a new chat if an account has the name again."""
    for is_online in (False, True):
        harness = EngineHarness()
        harness.connect(*["bob"] * is_online, infos=[listed(OLD, "bob", last=1, deleted=True)])
        harness.receive(frames.Resumed())
        harness.frames()
        harness.enter("bob")
        assert harness.frames() == [frames.WhoisRequest("bob")]
        shown = harness.receive(frames.Whois("bob", True, "online"))
        assert shown == [events.ChatOpened("bob")]
        harness.enter("hello")
        sent = harness.frames()
        assert frames.ConversationsRequest() in sent
        assert [each.conversation for each in sent if isinstance(each, frames.SendChat)] == [None]
        harness.receive(frames.ChatAck(f"{1:032x}", NEW, 1, 1000))
        assert harness.engine.names == ["bob"]


def test_the_chat_follows_the_list_after_an_absence() -> None:
    """A chat that was open when the connection was lost stays with its conversation."""
    harness = ready("bob")
    harness.receive(chat(3))
    harness.enter("bob")
    harness.engine.disconnected()
    harness.enter("typed while away")
    harness.engine.connected(welcome())
    sent = [each for each in harness.frames() if isinstance(each, frames.SendChat)]
    assert [each.conversation for each in sent] == [OLD]
    shown = harness.receive(frames.OnlineUsers(1, [user("bob")]), frames.Conversations(BOTH))
    assert NoticeCode.NAME_GIVEN_AWAY in codes(shown)
    assert harness.engine.partner == "bob~1"


def test_another_history_renames_nobody() -> None:
    """After a restore, ids can mean something else: the chat stays open by its name."""
    harness = ready("bob")
    harness.receive(chat(3))
    harness.enter("bob")
    harness.engine.disconnected()
    harness.engine.connected(welcome("e2"))
    shown = harness.receive(frames.OnlineUsers(1, [user("bob")]), frames.Conversations([info("carol", 1)]))
    assert NoticeCode.NAME_GIVEN_AWAY not in codes(shown)
    assert (harness.engine.partner, harness.engine.names) == ("bob", ["bob", "carol"])
    harness.receive(frames.Conversations([listed(NEW, "bob")]))
    assert harness.engine.partner == "bob"


def test_a_room_is_deleted_and_made_again_while_away() -> None:
    """The chat closes: the room with that name is another one."""
    harness = in_room(last_seq=5)
    harness.engine.disconnected()
    harness.engine.connected(welcome())
    harness.receive(frames.OnlineUsers(1, []))
    shown = harness.receive(
        frames.Conversations([frames.ConversationInfo("c-other", "#dev", "room", 1, 0, 0, 0, 0)], "more"),
        frames.Conversations([]),
    )
    assert codes(shown) == [NoticeCode.ROOM_GONE]
    assert shown_texts(shown)[0] == "You are no longer a member of #dev."
    assert harness.engine.partner is None
    assert [line.name for line in harness.engine.rooms] == ["#dev"]


def test_a_new_label_is_saved() -> None:
    """The next start knows which conversation has the name, without a connection."""
    harness = EngineHarness(Saved("e1", "a1", (SavedPosition(OLD, "bob", 3, 3),)))
    harness.connect(infos=BOTH)
    assert Moved(OLD, "bob~1", 3) in harness.engine.changes_to_save()
