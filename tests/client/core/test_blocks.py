"""Blocked users: the list, what is folded in rooms, what is refused here, and requests."""

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp.features import BLOCK
from qscp_client.core.blocks import Blocks
from qscp_client.core.events import RoomLine
from tests.support.engine_harness import (
    EngineHarness,
    chat,
    info,
    room,
    room_changed,
    room_message,
    shown_texts,
    user,
    welcome,
)

BOB = frames.BlockedUser("bob", "a2")
BLOCKED = frames.BlockChanged("bob", "a2")
UNBLOCKED = frames.BlockChanged("bob", "a2", removed=True)
NOTICE = (
    "You block bob: nothing they send you arrives, and in rooms their messages are folded "
    "(/show shows them). /unblock bob ends it."
)


def connect(harness: EngineHarness, *blocked: frames.BlockedUser, mentions: int = 0) -> None:
    """Log in to a server with blocks, where alice is a member of #dev."""
    ack = welcome()
    ack.features = [BLOCK]
    harness.engine.connected(ack)
    harness.receive(
        frames.Blocks(list(blocked)),
        frames.OnlineUsers(1, [user("carol")]),
        frames.Conversations([info("#dev", 0, mentions=mentions), info("bob", 0)]),
        frames.Resumed(),
    )
    harness.frames()


def blocking(*, chat_with: str = "", shows_at_once: bool = False) -> EngineHarness:
    """Return alice's engine, where bob is blocked."""
    harness = EngineHarness(shows_at_once=shows_at_once)
    connect(harness, BOB)
    if chat_with:
        harness.enter(chat_with)
    if chat_with.startswith("#"):
        harness.receive(frames.Rooms([room(chat_with)]))
    harness.frames()
    return harness


def by(sender: str, seq: int, body: str = "hi", mentions: tuple[str, ...] = ()) -> frames.Chat:
    """Return a message in #dev."""
    return room_message(seq, body, sender=sender, mentions=mentions)


# --- the list


def test_the_list_is_replaced_at_each_login() -> None:
    """The first page after a login replaces the list; further pages and changes add to it."""
    blocks = Blocks()
    ack = welcome()
    for features, supported in (([BLOCK], True), ([], False)):
        ack.features = features
        blocks.connected(ack)
        assert blocks.supported is supported
    blocks.learn(frames.Blocks([BOB], more=True))
    blocks.learn(frames.Blocks([frames.BlockedUser("dan", "a4")]))
    assert list(blocks) == ["bob", "dan"]
    assert "bob" in blocks
    blocks.connected(ack)
    assert list(blocks) == ["bob", "dan"]
    blocks.learn(frames.Blocks([frames.BlockedUser("dan", "a4")]))
    assert list(blocks) == ["dan"]


def test_an_account_keeps_its_block_under_another_name() -> None:
    """A new name of a blocked account is no news, and the next holder of the old one is not blocked."""
    harness = blocking()
    assert harness.receive(frames.BlockChanged("bob~1", "a2")) == []
    assert shown_texts(harness.enter("/blocks")) == ["You block: bob~1. /unblock NAME ends it."]
    harness.enter("#dev")
    harness.receive(frames.Rooms([room()]))
    assert shown_texts(harness.receive(by("bob", 1))) == ["(1) bob: hi"]
    assert shown_texts(harness.receive(by("bob~1", 2))) == ["[1 message from bob~1 (blocked)]"]


def test_a_change_on_another_device_is_shown() -> None:
    """A block from any device is shown, once; it removes the user from the roster without a notice."""
    harness = blocking(chat_with="#dev")
    harness.receive(UNBLOCKED, frames.PresenceChanges(2, [user("bob")]))
    assert "bob" in harness.engine.roster
    assert shown_texts(harness.receive(BLOCKED)) == [NOTICE]
    assert harness.receive(BLOCKED) == []
    assert "bob" not in harness.engine.roster
    assert harness.receive(frames.PresenceChanges(3, [user("bob", "offline")])) == []
    assert shown_texts(harness.receive(UNBLOCKED)) == ["You no longer block bob."]
    assert shown_texts(harness.enter("/blocks")) == ["You block no one."]


# --- rooms


def test_messages_that_come_together_are_one_line() -> None:
    """Consecutive messages of blocked users are one line with their number."""
    harness = blocking(chat_with="#dev")
    shown = harness.receive(by("carol", 1), by("bob", 2), by("bob", 3), by("bob", 4), by("carol", 5))
    assert shown_texts(shown) == ["(1) carol: hi", "[3 messages from bob (blocked)]", "(5) carol: hi"]


def test_messages_that_come_one_by_one_are_two_lines() -> None:
    """The first of a run is shown when it comes; the others are counted before what follows them."""
    harness = blocking(chat_with="#dev")
    assert shown_texts(harness.receive(by("bob", 1))) == ["[1 message from bob (blocked)]"]
    assert harness.receive(by("bob", 2)) == harness.receive(by("bob", 3)) == []
    shown = harness.receive(by("carol", 4))
    assert shown_texts(shown) == ["[2 more messages from bob (blocked)]", "(4) carol: hi"]
    assert shown_texts(harness.receive(by("bob", 5))) == ["[1 message from bob (blocked)]"]


def test_several_blocked_users_are_one_run() -> None:
    """A run can have several senders."""
    harness = blocking(chat_with="#dev")
    harness.receive(frames.BlockChanged("dan", "a4"))
    shown = harness.receive(by("bob", 1), by("dan", 2), by("bob", 3))
    assert shown_texts(shown) == ["[3 messages from bob, dan (blocked)]"]


def test_the_rest_of_a_run_ends_with_its_chat() -> None:
    """What was not counted yet is not shown in another chat."""
    harness = blocking(chat_with="#dev")
    harness.receive(by("bob", 1))
    harness.receive(by("bob", 2))
    harness.enter("back", "carol")
    harness.receive(frames.Whois("carol", known=True, status="online"))
    shown = harness.receive(chat(1, "psst", sender="carol"))
    assert shown_texts(shown) == ["carol: psst"]


def test_show_shows_folded_messages() -> None:
    """`/show` shows the newest folded messages that are known, with their numbers."""
    harness = blocking(chat_with="#dev")
    assert shown_texts(harness.enter("/show")) == ["No folded messages in #dev."]
    harness.receive(*(by("bob", seq, f"m{seq}") for seq in range(1, 4)), by("carol", 4))
    assert shown_texts(harness.enter("/show 2")) == [
        "Messages of users you block in #dev:",
        "(2) bob: m2",
        "(3) bob: m3",
        "(end of the folded messages)",
    ]
    assert len(harness.enter("/show")) == 5


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("/show 0", "Usage: /show [N] (N is 1 to 200)"),
        ("/show me", "Usage: /show [N] (N is 1 to 200)"),
        ("/show", "/show works in a chat. Type a name or #room first."),
    ],
)
def test_show_in_a_wrong_way(typed: str, text: str) -> None:
    """A wrong number, or no chat, is explained."""
    harness = blocking()
    assert shown_texts(harness.enter(typed)) == [text]


def test_mentions_by_blocked_users_do_not_count() -> None:
    """A mention by a blocked user is not shown where its room is not open, and is no unread mention."""
    harness = blocking(chat_with="carol")
    harness.receive(frames.Whois("carol", known=True, status="online"))
    assert harness.receive(by("bob", 1, "@alice", ("alice",))) == []
    assert harness.engine.rooms == (RoomLine("#dev", 1),)
    assert harness.receive(by("carol", 2, "@alice", ("alice",))) != []
    assert harness.engine.rooms == (RoomLine("#dev", 2, 1),)
    harness.enter("back")
    shown = harness.enter("#dev")
    shown += harness.receive(frames.Rooms([room()]))
    assert shown_texts(shown)[-2:] == ["[1 message from bob (blocked)]", "(2) carol: @alice"]
    assert harness.engine.rooms == (RoomLine("#dev"),)


def test_history_is_folded() -> None:
    """Pages of history are folded, too; what was folded can then be shown."""
    harness = blocking(chat_with="#dev")
    harness.enter("/history")
    messages = [
        frames.Message(seq, f"{seq:032x}", sender, f"m{seq}", 1000)
        for seq, sender in enumerate(("bob", "bob", "carol", "bob"), 1)
    ]
    shown = harness.receive(frames.History(conversation="c-#dev", messages=messages, first_seq=1, last_seq=4))
    assert shown_texts(shown) == [
        "Older messages in #dev:",
        "[2 messages from bob (blocked)]",
        "(3) carol: m3",
        "[1 message from bob (blocked)]",
        "(beginning of the conversation)",
    ]
    assert "(4) bob: m4" in shown_texts(harness.enter("/show"))


def test_unblocking_unfolds_what_comes() -> None:
    """After a block has ended messages are shown again, also those of history."""
    harness = blocking(chat_with="#dev")
    harness.receive(by("bob", 1))
    harness.receive(UNBLOCKED)
    assert shown_texts(harness.receive(by("bob", 2))) == ["(2) bob: hi"]


def test_changes_by_blocked_users() -> None:
    """Edits, reactions and redactions of their own messages are not shown; moderation is."""
    harness = blocking(chat_with="#dev")
    harness.receive(by("bob", 1), by("carol", 2))
    place = ("c-#dev", 3, "3" * 32, "bob", "#dev")
    assert harness.receive(frames.Edit(*place, 1, "other", 1000, "live")) == []
    place = ("c-#dev", 4, "4" * 32, "bob", "#dev")
    assert harness.receive(frames.React(*place, 2, "+1", 1000, "live", count=1)) == []
    place = ("c-#dev", 5, "5" * 32, "bob", "#dev")
    assert harness.receive(frames.Redact(*place, 1, 1000, "live")) == []
    place = ("c-#dev", 6, "6" * 32, "bob", "#dev")
    shown = harness.receive(frames.Redact(*place, 2, 1000, "live"))
    assert shown_texts(shown) == ["bob deleted carol's message 2."]


def test_an_answer_to_a_folded_message() -> None:
    """A reply to a message of a blocked user shows its number, and not its text."""
    harness = blocking(chat_with="#dev")
    shown = harness.receive(by("bob", 1, "secret"), room_message(2, "why?", sender="carol", reply_to=1))
    assert shown_texts(shown) == ["[1 message from bob (blocked)]", "(2) carol, re (1): why?"]


def test_found_messages_of_blocked_users() -> None:
    """A search names matches of blocked users in rooms without their text; those in a pair have it."""
    harness = blocking()
    harness.enter("/search tea")
    found = [
        frames.Match("c-#dev", "#dev", 2, "bob", "tea in the room", 1000),
        frames.Match("c-bob", "bob", 1, "bob", "tea for two", 1000),
    ]
    _, pair, folded = shown_texts(harness.receive(frames.SearchResults(found)))
    assert pair == "[bob] bob: tea for two"
    assert folded == "[#dev] bob: (blocked)"


def test_where_all_is_shown_at_once() -> None:
    """Piped output names the room of a folded message."""
    harness = blocking(shows_at_once=True)
    shown = harness.receive(by("bob", 1), by("bob", 2), by("carol", 3))
    assert shown_texts(shown)[:2] == ["[2 messages from bob (blocked) in #dev]", "[#dev] carol: hi"]


def test_typing_by_blocked_users() -> None:
    """Blocked users who type are not shown."""
    harness = EngineHarness(sends_typing=True)
    connect(harness, BOB)
    harness.receive(frames.Typing("#dev", ["bob", "carol"], 2))
    assert harness.engine.typing.users_in("#dev") == ["carol"]


def test_invitations_by_blocked_users() -> None:
    """An invitation is forgotten when its sender is blocked, and is news when it comes again."""
    harness = blocking()
    harness.receive(UNBLOCKED)
    invited = frames.Invited(room("#trap", role=None), "bob")
    invited.room.invited = True
    assert len(harness.receive(invited)) == 1
    harness.receive(BLOCKED)
    assert harness.engine.invitations == []
    harness.receive(UNBLOCKED)
    assert len(harness.receive(invited)) == 1


# --- pairs


def test_a_chat_with_a_blocked_user_is_read_only() -> None:
    """Its history is readable, nothing can be sent but redactions of own messages."""
    harness = blocking()
    harness.receive(chat(1, "old", origin="replay"))
    harness.receive(chat(2, "mine", sender="alice", to="bob", origin="replay"))
    shown = harness.enter("bob")
    assert shown_texts(shown) == [
        "You block bob; you can only read here. /unblock bob ends that.",
        "bob: old",
        "alice: mine  \u2713 stored",
    ]
    harness.frames()
    refused = ["Not sent: you block bob. /unblock bob ends it."]
    for typed in ("hello", "/reply 1 hello", "/edit 2 hello", "/react 1 +1"):
        assert shown_texts(harness.enter(typed)) == refused
    assert harness.frames() == []
    assert harness.engine.failed == 4
    harness.enter("/redact 2")
    (redaction,) = harness.frames()
    assert isinstance(redaction, frames.SendRedaction)
    harness.receive(UNBLOCKED)
    harness.enter("hello")
    assert harness.chats()[0][:2] == ("bob", "hello")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (ErrorCode.NOT_ACCEPTED, "Not sent to bob: bob does not accept messages from you. Your text: hello"),
        (ErrorCode.USER_BLOCKED, "Not sent to bob: you block bob. /unblock bob ends that. Your text: hello"),
    ],
)
def test_what_the_server_refuses(code: ErrorCode, text: str) -> None:
    """A message that the server refuses under a block is explained, with its text."""
    harness = blocking()
    harness.receive(UNBLOCKED)
    harness.enter("bob", "hello")
    shown = harness.receive(frames.ChatNack(f"{1:032x}", code, ERROR_CODES[code].sentence))
    assert shown_texts(shown)[0] == text


# --- requests


@pytest.mark.parametrize(
    ("typed", "frame"),
    [
        ("/block bob", frames.Block("bob")),
        ("/block @Bob ", frames.Block("bob")),
        ("/block Bob~1", frames.Block("bob~1")),
        ("/unblock bob", frames.Unblock("bob")),
    ],
)
def test_requests(typed: str, frame: frames.ClientFrame) -> None:
    """A request is sent, keeps the client busy until it is answered, and is shown when it is done."""
    harness = blocking()
    harness.receive(UNBLOCKED)
    assert harness.enter(typed) == []
    assert harness.frames() == [frame]
    assert harness.engine.busy
    assert harness.receive(frames.BlockAck(frame.type, "bob")) == []
    assert not harness.engine.busy


def test_the_list_waits_for_requests() -> None:
    """`/blocks` is shown with what was typed before it, or when the connection is lost."""
    for answer, names in ((frames.BlockAck("unblock", "bob"), "no one"), (None, ": bob")):
        harness = blocking()
        assert harness.enter("/unblock bob", "/blocks") == []
        if answer is not None:
            shown = harness.receive(UNBLOCKED, answer)
        else:
            harness.engine.disconnected()
            shown = harness.engine.events_to_show()
        assert any(f"You block{' ' if answer else ''}{names}" in each for each in shown_texts(shown))
        assert len(harness.enter("/blocks")) == 1


@pytest.mark.parametrize(
    ("typed", "code", "text"),
    [
        ("/block bob", ErrorCode.UNCHANGED, "You already block bob."),
        ("/unblock bob", ErrorCode.UNCHANGED, "You do not block bob."),
        ("/block nosuch", ErrorCode.UNKNOWN_USER, 'No user named "nosuch".'),
        ("/block alice", ErrorCode.RECIPIENT_IS_SELF, "That is your own name."),
        (
            "/block bob",
            ErrorCode.TOO_MANY_BLOCKS,
            "You have reached the limit of blocked users; unblock one first.",
        ),
        ("/block bob", ErrorCode.STORAGE_FULL, "The server's disk is full; nothing was stored."),
    ],
)
def test_refused_requests(typed: str, code: ErrorCode, text: str) -> None:
    """A refusal is explained, and counts as a failure."""
    harness = blocking()
    harness.enter(typed)
    ref = typed[1:].split(maxsplit=1)[0]
    shown = harness.receive(frames.Error(code, ERROR_CODES[code].sentence, ref))
    assert shown_texts(shown) == [text]
    assert harness.engine.failed == 1
    assert not harness.engine.busy


def test_requests_that_are_not_sent() -> None:
    """An invalid name, a server without blocks, and no connection are explained."""
    harness = blocking()
    assert "is not a" in shown_texts(harness.enter("/block no_n\u00e4me"))[0]
    harness.engine.connected(welcome())
    harness.frames()
    text = "This server can't block users; it is too old."
    assert shown_texts(harness.enter("/block bob")) == [text]
    harness.engine.disconnected()
    assert len(harness.enter("/unblock bob")) == 1
    assert harness.frames() == []


def test_a_request_without_an_answer() -> None:
    """A request that was lost with the connection is named; the list says whether it was done."""
    harness = blocking()
    harness.enter("/block carol")
    harness.engine.disconnected()
    text = "The connection was lost before the answer came; check whether it was done."
    assert text in shown_texts(harness.engine.events_to_show())
    assert not harness.engine.busy
    connect(harness, BOB, frames.BlockedUser("carol", "a3"))
    assert shown_texts(harness.enter("/blocks")) == ["You block: bob, carol. /unblock NAME ends it."]


def test_joining_a_room_with_blocked_users() -> None:
    """What blocked users write in a room that was just joined is folded from the first message on."""
    harness = blocking()
    joined = room_changed(room("#ops"))
    first = chat(1, sender="bob", to="#ops", conversation="c-#ops")
    assert shown_texts(harness.receive(joined, first))[1:] == []
    assert shown_texts(harness.enter("#ops") + harness.engine.events_to_show())[-1:] == [
        "[1 message from bob (blocked)]"
    ]


@pytest.mark.parametrize("command", ["block", "unblock"])
def test_a_block_of_several_names_is_a_usage_error(command: str) -> None:
    """One name is blocked at a time; what follows it is not part of a name."""
    harness = blocking()
    assert shown_texts(harness.enter(f"/{command} bob carol")) == [f"Usage: /{command} NAME"]
    assert harness.frames() == []
