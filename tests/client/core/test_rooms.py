"""Rooms: messages, unread counts and changes."""

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp.rooms import RoomKind, RoomRole
from qscp_client.core.events import RoomLine
from qscp_client.text import describe_end
from tests.support.engine_harness import (
    WALL_MS,
    ack,
    chat,
    in_room,
    info,
    ready,
    room,
    room_changed,
    room_message,
    shown_texts,
)

# --- messages


def test_lines_of_a_room_have_numbers_and_senders() -> None:
    """Messages in a room have numbers and senders, also your own; those from elsewhere are marked."""
    harness = in_room(shows_at_once=True)
    harness.enter("one")
    shown = harness.receive(room_message(1), ack(1, 2, to="#dev"), chat(1, "psst"))
    shown += harness.receive(chat(1, "elsewhere", to="#ops", conversation="c-#ops"))
    assert shown_texts(shown) == [
        "(1) bob: hi",
        "(2) alice: one  \u2713 stored",
        "[bob] psst",
        "Reply with: back, then bob",
        "[#ops] bob: elsewhere",
        "Reply with: back, then #ops",
    ]


def test_an_unopened_room_shows_mentions_only() -> None:
    """A room that is not open shows mentions only; other messages wait until it is entered."""
    harness = ready("bob", chat_with="bob")
    harness.receive(room_changed(room()))
    assert harness.receive(room_message(1, "hi"), room_message(2, "more")) == []
    shown = harness.receive(room_message(3, "@alice look", mentions=("alice",)))
    assert shown_texts(shown) == ["[#dev] bob: @alice look", "Reply with: back, then #dev"]
    assert harness.engine.unread == {}
    assert harness.engine.rooms == (RoomLine("#dev", 3, 1),)
    [_, rooms] = shown_texts(harness.enter("/who"))
    assert rooms == "Rooms: #dev (3 unread, 1 mentions you)"
    shown = harness.enter("back", "#dev")
    assert shown_texts(shown)[-3:] == ["(1) bob: hi", "(2) bob: more", "(3) bob: @alice look"]
    assert harness.engine.rooms == (RoomLine("#dev"),)


def test_mentions_are_counted_over_a_login() -> None:
    """The mention count of the login goes on with live messages, until they are read."""
    harness = ready()
    harness.receive(frames.Conversations([info("#dev", 9, read=4, unread=5, mentions=2)]))
    harness.receive(room_message(10, "@alice", mentions=("alice",)))
    assert harness.engine.rooms == (RoomLine("#dev", 6, 3),)
    harness.receive(frames.ServerRead("c-#dev", "alice", 10))
    assert harness.engine.rooms == (RoomLine("#dev"),)


def test_me_is_shown_as_an_action() -> None:
    """`/me` is sent as an ordinary body and shown as an action."""
    harness = in_room()
    harness.enter("/me waves")
    assert harness.chats() == [("#dev", "/me waves", 1)]
    shown = harness.receive(room_message(1, "/me waves back"), ack(1, 2, to="#dev"))
    assert shown_texts(shown) == ["(1) * bob waves back", "(2) * alice waves  \u2713 stored"]


def test_a_reply_shows_its_target() -> None:
    """A reply shows the number of its target, and the text if it is known."""
    harness = in_room()
    shown = harness.receive(room_message(1, 'a "b": c'), room_message(2, "yes", sender="carol", reply_to=1))
    shown += harness.receive(room_message(9, "no", reply_to=5))
    assert shown_texts(shown) == [
        '(1) bob: a "b": c',
        "(2) carol, re (1) \"a 'b': c\": yes",
        "(9) bob, re (5): no",
    ]


def test_slow_mode_says_how_long_and_keeps_the_text() -> None:
    """A refusal by slow mode shows the wait and keeps the text for /retry."""
    harness = in_room()
    harness.enter("hello")
    code = ErrorCode.SLOW_MODE
    refused = frames.ChatNack(f"{1:032x}", code, ERROR_CODES[code].sentence, retry_after=12.5)
    shown = harness.receive(refused)
    assert shown_texts(shown) == [
        "Not sent to #dev: slow mode; wait 13 s. Your text: hello",
        "/retry sends it again, /drop discards it.",
    ]
    harness.frames()
    harness.enter("next", "/retry")
    assert harness.chats() == [("#dev", "next", 2), ("#dev", "hello", 3)]


def test_a_room_reports_only_read() -> None:
    """In a room, only `read` is sent to the server."""
    harness = in_room()
    harness.receive(room_message(1))
    assert harness.wait(0.3) == [frames.ClientRead("c-#dev", 1)]


# --- changes


def test_membership_changes_are_shown_in_the_room() -> None:
    """Membership changes are shown in the open room: a few by name, many as a number."""
    harness = in_room()
    change = frames.MemberChange
    few = [change("dave", RoomRole.MEMBER), change("erin"), change("alice", RoomRole.MEMBER)]
    assert shown_texts(harness.receive(frames.MembersChanged("c-#dev", 2, few))) == [
        "dave joined, erin left; 2 members in #dev now."
    ]
    promoted = [change("dave", RoomRole.MODERATOR), change("frank", RoomRole.OWNER)]
    assert shown_texts(harness.receive(frames.MembersChanged("c-#dev", 2, promoted))) == [
        "dave is now a moderator.",
        "frank is now an owner.",
    ]
    demoted = [change("grace", RoomRole.MEMBER)]
    assert shown_texts(harness.receive(frames.MembersChanged("c-#dev", 2, demoted))) == [
        "grace is now a member."
    ]
    many = [change(f"user{n}", RoomRole.MEMBER) for n in range(40)]
    assert shown_texts(harness.receive(frames.MembersChanged("c-#dev", 42, many))) == [
        "#dev: 40 joined, 0 left; now 42 members."
    ]
    assert shown_texts(harness.receive(frames.MembersChanged("c-#dev", 1042, many, others=960))) == [
        "#dev: +1000; now 1042 members."
    ]
    harness.enter("back")
    assert harness.receive(frames.MembersChanged("c-#dev", 4, few)) == []


def test_room_changes_are_shown() -> None:
    """A changed role, topic, setting or archive state is shown."""
    harness = in_room(topic="old")
    moderator = room(topic="new", role=RoomRole.MODERATOR)
    assert shown_texts(harness.receive(room_changed(moderator, by="carol"))) == [
        "carol made you a moderator of #dev.",
        "New topic of #dev: new",
    ]
    closed = room(role=RoomRole.MODERATOR)
    closed.kind, closed.slow, closed.archived = RoomKind.CLOSED, 30, True
    assert shown_texts(harness.receive(room_changed(closed))) == [
        "#dev is now archived (read-only).",
        "The topic of #dev was removed.",
        "#dev: closed; new members see all messages; slow mode 30 s.",
    ]


def test_a_mute_is_shown_once() -> None:
    """A mute is shown once, with its end and moderator, and so is its end."""
    harness = in_room()
    harness.enter("back")
    muted = room()
    muted.muted = WALL_MS + 3_600_000
    shown = harness.receive(room_changed(muted, by="carol"), room_changed(muted))
    assert shown_texts(shown) == [f"carol muted you in #dev {describe_end(muted.muted)}."]
    forever = room()
    forever.muted = 2**53 - 1
    assert shown_texts(harness.receive(room_changed(forever))) == ["You are muted in #dev."]
    assert shown_texts(harness.receive(room_changed(room(), by="carol"))) == ["carol unmuted you in #dev."]
    past = room()
    past.muted = WALL_MS - 1
    assert harness.receive(room_changed(past), room_changed(room())) == []


def test_joining_does_not_say_that_you_muted_yourself() -> None:
    """The server's frame names who joined, and an old mute is in it; the room that is opened says so."""
    muted = room()
    muted.muted = WALL_MS + 3_600_000
    until = describe_end(muted.muted)
    harness = ready("bob")
    harness.enter("/join #dev")
    shown = shown_texts(harness.receive(room_changed(muted, by="alice"), frames.RoomAck("join", "#dev")))
    assert shown == [f"#dev (2 members). You are muted {until}. back returns to the list; you stay a member."]
    elsewhere = ready("bob").receive(room_changed(muted, by="alice"))
    assert shown_texts(elsewhere)[0] == f"You are muted in #dev {until}."


def test_a_ban_shows_its_end() -> None:
    """A ban shows its end as sent by the server."""
    harness = in_room()
    until = WALL_MS + 3_600_000
    shown = harness.receive(frames.RoomLeft("c-#dev", "#dev", "banned", "carol", "spam", until))
    assert shown_texts(shown)[0] == f"carol banned you from #dev {describe_end(until)}: spam."


def test_older_messages_are_hinted_at_on_joining() -> None:
    """Joining hints at older messages if any are visible; entering later does not."""
    for first, last, is_hinted in ((1, 7, True), (8, 7, False), (1, 0, False)):
        harness = ready("bob")
        harness.enter("/join #dev")
        shown = harness.receive(frames.RoomChanged(room(), first, last), frames.RoomAck("join", "#dev"))
        assert ("There are older messages: /history shows them." in shown_texts(shown)) is is_hinted
        assert "older" not in "".join(shown_texts(harness.enter("back", "#dev")))
    harness = ready("bob")
    harness.receive(frames.Conversations([info("#dev", 7, read=7)]))
    harness.enter("#dev")
    assert len(harness.receive(frames.Rooms([room()]))) == 1


def test_your_own_change_is_shown_once() -> None:
    """Your own change is shown once, whether the notice or the ack comes first."""
    harness = in_room(topic="old")
    for topic, is_first in (("new", True), ("newer", False)):
        harness.enter(f"/topic {topic}")
        assert harness.frames() == [frames.RoomRequest("topic", "#dev", text=topic)]
        done: list[frames.ServerFrame] = [
            room_changed(room(topic=topic)),
            frames.RoomAck("room", "#dev", "topic"),
        ]
        shown = harness.receive(*(done if is_first else reversed(done)))
        assert shown_texts(shown) == [f"New topic of #dev: {topic}"]


def test_a_role_you_gave_is_shown_once() -> None:
    """A role you gave is shown once, whether the notice or the ack comes first."""
    done = frames.RoomAck("room", "#dev", "role")
    for is_first in (True, False):
        harness = in_room()
        harness.enter("/role bob moderator")
        notified = frames.MembersChanged("c-#dev", 2, [frames.MemberChange("bob", RoomRole.MODERATOR)])
        shown = harness.receive(*((notified, done) if is_first else (done, notified)))
        assert shown_texts(shown) == ["You made bob a moderator of #dev."]


def test_your_own_role_is_shown_once() -> None:
    """A role you gave yourself is shown once."""
    harness = in_room()
    harness.enter("/role alice moderator")
    shown = harness.receive(
        room_changed(room(role=RoomRole.MODERATOR), by="alice"), frames.RoomAck("room", "#dev", "role")
    )
    assert shown_texts(shown) == ["You are now a moderator of #dev."]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("typed", "says"),
    [("/remove bob", "You removed bob from #dev."), ("/ban bob", "You banned bob from #dev.")],
)
def test_a_member_you_removed_is_shown_once(typed: str, says: str, is_first: bool) -> None:
    """A member you removed is shown once; a later departure of theirs is shown again."""
    harness = in_room()
    harness.enter(typed)
    done = frames.RoomAck("room", "#dev", typed.split(maxsplit=1)[0][1:])
    gone = frames.MembersChanged("c-#dev", 1, [frames.MemberChange("bob")])
    shown = harness.receive(*((gone, done) if is_first else (done, gone)))
    assert shown_texts(shown) == [says]
    harness.receive(frames.MembersChanged("c-#dev", 2, [frames.MemberChange("bob", RoomRole.MEMBER)]))
    assert shown_texts(harness.receive(gone)) == ["bob left; 1 member in #dev now."]


def test_hostile_names_and_topics_are_harmless() -> None:
    """Names and topics with control characters reach the screen without them."""
    harness = in_room()
    shown = harness.receive(
        room_changed(room(topic="a\x1b[2J\nb")),
        frames.MembersChanged("c-#dev", 3, [frames.MemberChange("x\n15:06 bob: hi", RoomRole.MEMBER)]),
        frames.Invited(room("#\x1b]0;x\n", role=None), "\x07carol"),
        frames.RoomLeft("c-#dev", "#dev\n", "removed", "\x1b", "\n\n"),
    )
    lines = shown_texts(shown)
    assert not any(character in line for line in lines for character in "\x1b\n\x07")


def moderated(*actions: frames.ModerationAction) -> frames.Moderated:
    """Return an announcement of what was done in #dev."""
    return frames.Moderated("c-#dev", list(actions))


acted = frames.ModerationAction


def test_moderation_shows_who_and_why() -> None:
    """In the open room each action on a member is one line, with actor, end and reason."""
    harness = in_room()
    harness.receive(room_changed(room(members=7)))
    until = WALL_MS + 60_000
    shown = harness.receive(
        moderated(
            acted("bob", "remove", "dave", text="spam"),
            acted("bob", "ban", "erin", until, "more spam."),
            acted("", "ban", "frank"),
            acted("bob", "unban", "grace"),
            acted("carol", "mute", "dan", until, "chatting too much"),
            acted("carol", "unmute", "dan"),
            acted("bob", "role", "carol", text="moderator"),
            acted("judy", "role", "judy", text="member"),
        ),
        frames.MembersChanged(
            "c-#dev",
            4,
            [
                frames.MemberChange("dave"),
                frames.MemberChange("erin"),
                frames.MemberChange("frank"),
                frames.MemberChange("carol", RoomRole.MODERATOR),
                frames.MemberChange("heidi", RoomRole.MEMBER),
                frames.MemberChange("ivan"),
            ],
        ),
    )
    assert shown_texts(shown) == [
        "bob removed dave from #dev: spam.",
        f"bob banned erin from #dev {describe_end(until)}: more spam.",
        "The operator banned frank from #dev.",
        "bob unbanned grace from #dev.",
        f"carol muted dan in #dev {describe_end(until)}: chatting too much.",
        "carol unmuted dan in #dev.",
        "bob made carol a moderator.",
        "judy is now a member.",
        "heidi joined, ivan left; 4 members in #dev now.",
    ]


def test_moderation_of_a_room_shows_who() -> None:
    """A new topic, setting or state names the user who made it, once."""
    harness = in_room()
    changed = room(topic="news")
    changed.slow, changed.archived = 30, True
    actions = [acted("bob", "topic", text="news"), acted("carol", "set"), acted("", "archive")]
    shown = harness.receive(moderated(*actions), room_changed(changed))
    assert shown_texts(shown) == [
        "The operator archived #dev (read-only).",
        "bob set a new topic of #dev: news",
        "carol changed #dev: open; new members see all messages; slow mode 30 s.",
    ]
    # Without an announcement nobody is named, and never who made an earlier change.
    assert shown_texts(harness.receive(room_changed(room()))) == [
        "#dev is active again.",
        "The topic of #dev was removed.",
        "#dev: open; new members see all messages.",
    ]


def test_what_you_did_or_suffered_is_not_announced_twice() -> None:
    """Announced actions by you, on you, in another room or of an unknown kind show nothing."""
    harness = in_room()
    actions = [
        acted("alice", "mute", "bob", text="loud"),
        acted("bob", "mute", "alice", text="loud"),
        acted("bob", "paint", "dave"),
        acted("bob", "role", "dave", text="emperor"),
    ]
    assert harness.receive(moderated(*actions)) == []
    assert harness.receive(frames.Moderated("c-#ops", [acted("bob", "remove", "dave")])) == []
    harness.enter("back")
    assert harness.receive(moderated(acted("bob", "remove", "dave"))) == []


def test_a_blocked_moderator_is_shown() -> None:
    """What a user does whom you block is shown, and what is done to you by them."""
    harness = in_room()
    harness.receive(frames.Blocks([frames.BlockedUser("bob", "a2")]))
    assert shown_texts(harness.receive(moderated(acted("bob", "remove", "dave", text="spam")))) == [
        "bob removed dave from #dev: spam."
    ]
    muted = muted_room(text="loud")
    assert shown_texts(harness.receive(room_changed(muted, by="bob"))) == ["bob muted you in #dev: loud."]


def muted_room(until: int = 2**53 - 1, by: str = "bob", text: str = "") -> frames.Room:
    """Return #dev, in which you are muted."""
    muted = room()
    muted.muted, muted.muted_by, muted.muted_text = until, by, text
    return muted


def test_the_reason_of_a_mute_is_shown_and_kept() -> None:
    """A mute is shown with its reason, a new reason too, and both whenever the room is opened."""
    harness = in_room()
    shown = harness.receive(room_changed(muted_room(text="loud"), by="bob"))
    assert shown_texts(shown) == ["bob muted you in #dev: loud."]
    shown = harness.receive(room_changed(muted_room(by="carol", text="very loud"), by="carol"))
    assert shown_texts(shown) == ["carol muted you in #dev: very loud."]
    state = muted_room(by="")  # of a change that concerns all members
    assert harness.receive(room_changed(state)) == []
    harness.enter("back")
    [first, *_] = shown_texts(harness.enter("#dev"))
    assert "(2 members). carol muted you: very loud. back returns" in first


def test_a_mute_during_an_absence_is_shown_when_the_room_is_open_again() -> None:
    """After a reconnect the open room is asked about, and shows that you were muted or may write again."""
    harness = in_room()
    harness.engine.disconnected()
    harness.connect("bob", infos=[info("#dev", 0)])
    assert frames.RoomsRequest() in harness.frames()
    until = WALL_MS + 60_000
    shown = harness.receive(frames.Rooms([muted_room(until, text="loud")]))
    assert shown_texts(shown) == [f"bob muted you in #dev {describe_end(until)}: loud."]
    harness.engine.disconnected()
    harness.connect("bob", infos=[info("#dev", 0)])
    assert harness.receive(frames.Rooms([muted_room(until, text="loud")])) == []
    harness.engine.disconnected()
    harness.connect("bob", infos=[info("#dev", 0)])
    assert shown_texts(harness.receive(frames.Rooms([room()]))) == ["You are no longer muted in #dev."]


def test_hostile_reasons_are_harmless() -> None:
    """Names and reasons of a server without manners are shown in one line, without control characters."""
    harness = in_room()
    evil = "a\x1b[2J\n12:00 bob: b\u202e"
    shown = harness.receive(
        moderated(acted(evil, "mute", evil, text=evil)), room_changed(muted_room(by=evil, text=evil))
    )
    texts = shown_texts(shown)
    assert len(texts) == 2
    assert not any(character in text for text in texts for character in "\x1b\n\u202e")
