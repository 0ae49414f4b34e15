"""Rooms: what is shown there, what is counted, and what changes."""

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
    said,
    told,
)

# --- what is written there


def test_lines_of_a_room_have_numbers_and_senders() -> None:
    """Your own, too; other rooms and people are marked."""
    harness = in_room(shows_at_once=True)
    harness.enter("one")
    shown = harness.receive(said(1), ack(1, 2, to="#dev"), chat(1, "psst"))
    shown += harness.receive(chat(1, "elsewhere", to="#ops", conversation="c-#ops"))
    assert told(shown) == [
        "(1) bob: hi",
        "(2) alice: one  \u2713 stored",
        "[bob] psst",
        "Reply with: back, then bob",
        "[#ops] bob: elsewhere",
        "Reply with: back, then #ops",
    ]


def test_a_room_that_is_not_open_counts_and_tells_mentions_only() -> None:
    """What is written there waits until it is entered."""
    harness = ready("bob", chat_with="bob")
    harness.receive(room_changed(room()))
    assert harness.receive(said(1, "hi"), said(2, "more")) == []
    shown = harness.receive(said(3, "@alice look", mentions=("alice",)))
    assert told(shown) == ["[#dev] bob: @alice look", "Reply with: back, then #dev"]
    assert harness.engine.unread == {}
    assert harness.engine.rooms == (RoomLine("#dev", 3, 1),)
    [_, rooms] = told(harness.enter("/who"))
    assert rooms == "Rooms: #dev (3 unread, 1 mentions you)"
    shown = harness.enter("back", "#dev")
    assert told(shown)[-3:] == ["(1) bob: hi", "(2) bob: more", "(3) bob: @alice look"]
    assert harness.engine.rooms == (RoomLine("#dev"),)


def test_mentions_are_counted_over_a_login() -> None:
    """As the server tells them, and what came since."""
    harness = ready()
    harness.receive(frames.Conversations([info("#dev", 9, read=4, unread=5, mentions=2)]))
    harness.receive(said(10, "@alice", mentions=("alice",)))
    assert harness.engine.rooms == (RoomLine("#dev", 6, 3),)
    harness.receive(frames.ServerRead("c-#dev", "alice", 10))
    assert harness.engine.rooms == (RoomLine("#dev"),)


def test_what_somebody_does_is_shown_so() -> None:
    """`/me` is a body like others."""
    harness = in_room()
    harness.enter("/me waves")
    assert harness.chats() == [("#dev", "/me waves", 1)]
    shown = harness.receive(said(1, "/me waves back"), ack(1, 2, to="#dev"))
    assert told(shown) == ["(1) * bob waves back", "(2) * alice waves  \u2713 stored"]


def test_answers_say_to_what() -> None:
    """With the number, and the text where it is known."""
    harness = in_room()
    shown = harness.receive(said(1, 'a "b": c'), said(2, "yes", sender="carol", reply_to=1))
    shown += harness.receive(said(9, "no", reply_to=5))
    assert told(shown) == [
        '(1) bob: a "b": c',
        "(2) carol, re (1) \"a 'b': c\": yes",
        "(9) bob, re (5): no",
    ]


def test_slow_mode_says_how_long_and_keeps_the_text() -> None:
    """The line has failed, and /retry sends it again."""
    harness = in_room()
    harness.enter("hello")
    code = ErrorCode.SLOW_MODE
    refused = frames.ChatNack(f"{1:032x}", code, ERROR_CODES[code].sentence, retry_after=12.5)
    shown = harness.receive(refused)
    assert told(shown) == [
        "Not sent to #dev: slow mode; wait 13 s. Your text: hello",
        "/retry sends it again, /drop discards it.",
    ]
    harness.frames()
    harness.enter("next", "/retry")
    assert harness.chats() == [("#dev", "next", 2), ("#dev", "hello", 3)]


def test_what_was_read_is_told_and_nothing_else() -> None:
    """In a room nobody is told who has what."""
    harness = in_room()
    harness.receive(said(1))
    assert harness.wait(0.3) == [frames.ClientRead("c-#dev", 1)]


# --- what changes


def test_who_comes_and_goes_is_told_in_the_room() -> None:
    """A few by name, more as a number; yourself never."""
    harness = in_room()
    change = frames.MemberChange
    few = [change("dave", RoomRole.MEMBER), change("erin"), change("alice", RoomRole.MEMBER)]
    assert told(harness.receive(frames.MembersChanged("c-#dev", 2, few))) == [
        "dave joined, erin left; 2 members in #dev now."
    ]
    promoted = [change("dave", RoomRole.MODERATOR), change("frank", RoomRole.OWNER)]
    assert told(harness.receive(frames.MembersChanged("c-#dev", 2, promoted))) == [
        "dave is now a moderator.",
        "frank is now an owner.",
    ]
    demoted = [change("grace", RoomRole.MEMBER)]
    assert told(harness.receive(frames.MembersChanged("c-#dev", 2, demoted))) == ["grace is now a member."]
    many = [change(f"user{n}", RoomRole.MEMBER) for n in range(40)]
    assert told(harness.receive(frames.MembersChanged("c-#dev", 42, many))) == [
        "#dev: 40 joined, 0 left; now 42 members."
    ]
    assert told(harness.receive(frames.MembersChanged("c-#dev", 1042, many, others=960))) == [
        "#dev: +1000; now 1042 members."
    ]
    harness.enter("back")
    assert harness.receive(frames.MembersChanged("c-#dev", 4, few)) == []


def test_what_becomes_of_the_room_is_told() -> None:
    """Your role wherever you are, the rest where it matters."""
    harness = in_room(topic="old")
    moderator = room(topic="new", role=RoomRole.MODERATOR)
    assert told(harness.receive(room_changed(moderator, by="carol"))) == [
        "carol made you a moderator of #dev.",
        "New topic of #dev: new",
    ]
    closed = room(role=RoomRole.MODERATOR)
    closed.kind, closed.slow, closed.archived = RoomKind.CLOSED, 30, True
    assert told(harness.receive(room_changed(closed))) == [
        "#dev is now archived (read-only).",
        "The topic of #dev was removed.",
        "#dev: closed; new members see all messages; slow mode 30 s.",
    ]


def test_who_may_not_write_is_told() -> None:
    """Until when and by whom, wherever one is, once; and when it ends."""
    harness = in_room()
    harness.enter("back")
    muted = room()
    muted.muted = WALL_MS + 3_600_000
    shown = harness.receive(room_changed(muted, by="carol"), room_changed(muted))
    assert told(shown) == [f"carol muted you in #dev {describe_end(muted.muted)}."]
    forever = room()
    forever.muted = 2**53 - 1
    assert told(harness.receive(room_changed(forever))) == ["You are muted in #dev."]
    assert told(harness.receive(room_changed(room(), by="carol"))) == ["carol unmuted you in #dev."]
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
    shown = told(harness.receive(room_changed(muted, by="alice"), frames.RoomAck("join", "#dev")))
    assert shown == [f"#dev (2 members). You are muted {until}. back returns to the list; you stay a member."]
    elsewhere = ready("bob").receive(room_changed(muted, by="alice"))
    assert told(elsewhere)[0] == f"You are muted in #dev {until}."


def test_a_ban_says_when_it_ends() -> None:
    """As the server has it."""
    harness = in_room()
    until = WALL_MS + 3_600_000
    shown = harness.receive(frames.RoomLeft("c-#dev", "#dev", "banned", "carol", "spam", until))
    assert told(shown)[0] == f"carol banned you from #dev {describe_end(until)}: spam."


def test_older_messages_are_hinted_at_on_joining() -> None:
    """Where there are some that one may see, and at no other time."""
    for first, last, is_hinted in ((1, 7, True), (8, 7, False), (1, 0, False)):
        harness = ready("bob")
        harness.enter("/join #dev")
        shown = harness.receive(frames.RoomChanged(room(), first, last), frames.RoomAck("join", "#dev"))
        assert ("There are older messages: /history shows them." in told(shown)) is is_hinted
        assert "older" not in "".join(told(harness.enter("back", "#dev")))
    harness = ready("bob")
    harness.receive(frames.Conversations([info("#dev", 7, read=7)]))
    harness.enter("#dev")
    assert len(harness.receive(frames.Rooms([room()]))) == 1


def test_your_own_change_is_told_once() -> None:
    """Whether the server tells everybody before or after it says that it is done."""
    harness = in_room(topic="old")
    for topic, is_first in (("new", True), ("newer", False)):
        harness.enter(f"/topic {topic}")
        assert harness.frames() == [frames.RoomRequest("topic", "#dev", text=topic)]
        done: list[frames.ServerFrame] = [
            room_changed(room(topic=topic)),
            frames.RoomAck("room", "#dev", "topic"),
        ]
        shown = harness.receive(*(done if is_first else reversed(done)))
        assert told(shown) == [f"New topic of #dev: {topic}"]


def test_a_role_that_you_gave_is_told_once() -> None:
    """Whether the summary for everybody comes later or before."""
    done = frames.RoomAck("room", "#dev", "role")
    for is_first in (True, False):
        harness = in_room()
        harness.enter("/role bob moderator")
        told_all = frames.MembersChanged("c-#dev", 2, [frames.MemberChange("bob", RoomRole.MODERATOR)])
        shown = harness.receive(*((told_all, done) if is_first else (done, told_all)))
        assert told(shown) == ["You made bob a moderator of #dev."]


def test_your_own_role_is_told_once() -> None:
    """Also if you gave it to yourself."""
    harness = in_room()
    harness.enter("/role alice moderator")
    shown = harness.receive(
        room_changed(room(role=RoomRole.MODERATOR), by="alice"), frames.RoomAck("room", "#dev", "role")
    )
    assert told(shown) == ["You are now a moderator of #dev."]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("typed", "says"),
    [("/remove bob", "You removed bob from #dev."), ("/ban bob", "You banned bob from #dev.")],
)
def test_whom_you_put_out_is_told_once(typed: str, says: str, is_first: bool) -> None:
    """The others who went are told; and bob, too, when he goes by himself later."""
    harness = in_room()
    harness.enter(typed)
    done = frames.RoomAck("room", "#dev", typed.split(maxsplit=1)[0][1:])
    gone = frames.MembersChanged("c-#dev", 1, [frames.MemberChange("bob")])
    shown = harness.receive(*((gone, done) if is_first else (done, gone)))
    assert told(shown) == [says]
    harness.receive(frames.MembersChanged("c-#dev", 2, [frames.MemberChange("bob", RoomRole.MEMBER)]))
    assert told(harness.receive(gone)) == ["bob left; 1 member in #dev now."]


def test_hostile_names_and_topics_are_harmless() -> None:
    """Nothing that a server sends drives the terminal or begins a line."""
    harness = in_room()
    shown = harness.receive(
        room_changed(room(topic="a\x1b[2J\nb")),
        frames.MembersChanged("c-#dev", 3, [frames.MemberChange("x\n15:06 bob: hi", RoomRole.MEMBER)]),
        frames.Invited(room("#\x1b]0;x\n", role=None), "\x07carol"),
        frames.RoomLeft("c-#dev", "#dev\n", "removed", "\x1b", "\n\n"),
    )
    lines = told(shown)
    assert not any(character in line for line in lines for character in "\x1b\n\x07")
