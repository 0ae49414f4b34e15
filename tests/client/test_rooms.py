"""Rooms: going in and out, what is shown there, and what is counted."""

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscp_client import events
from qscp_client.changes import Forgotten, Moved, Saved, SavedPosition
from qscp_client.events import RoomLine
from qscp_client.lines import describe_end
from tests.client.minds import (
    WALL_MS,
    Mind,
    ack,
    chat,
    in_room,
    info,
    ready,
    room,
    room_changed,
    said,
    told,
    welcome,
)


def refusal(ref: str, code: ErrorCode) -> frames.Error:
    """How the server says no."""
    return frames.Error(code, ERROR_CODES[code].sentence, ref)


# --- going in and out


def test_a_room_one_is_in_is_entered_by_its_name() -> None:
    """What it is is asked, and stands before what waits there; lines behind it wait."""
    mind = ready("bob")
    mind.receive(frames.Conversations([info("#dev", 0)]), said(1))
    assert mind.enter("#Dev", "hello") == []
    assert mind.frames() == [frames.RoomsRequest()]
    assert mind.receive(frames.Rooms([room("#ops")], "more")) == []
    assert mind.frames() == [frames.RoomsRequest("more")]
    shown = mind.receive(frames.Rooms([room(topic="Release\non Friday", role=RoomRole.OWNER)]))
    assert told(shown[:-1]) == [
        "In #dev (2 members, you are owner). Every line you type is sent; back leaves it for now.",
        "Topic of #dev: Release on Friday",
        "(1) bob: hi",
    ]
    assert mind.chats() == [("#dev", "hello", 1)]
    assert not mind.engine.choice_failed
    mind.receive(ack(1, 2, to="#dev"))
    assert not mind.engine.busy


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_room_is_entered_also_if_nobody_says_what_it_is(is_lost: bool) -> None:
    """It is one's own room all the same."""
    mind = ready("bob")
    mind.receive(frames.Conversations([info("#dev", 0)]), said(1))
    mind.enter("#dev", "hello")
    if is_lost:
        mind.engine.lost()
        shown = mind.engine.events_to_show()
    else:
        shown = mind.receive(frames.Error("internal", "Something went wrong.", "rooms"))
    assert told(shown)[0] == "In #dev. Every line you type is sent; back leaves it for now."
    assert "(1) bob: hi" in told(shown)
    assert mind.engine.pending == 1
    assert mind.engine.failed == 0


@pytest.mark.parametrize(
    ("kind", "archived", "role", "muted", "says"),
    [
        (RoomKind.OPEN, True, RoomRole.OWNER, 0, "It can be read, and nothing else"),
        (RoomKind.ANNOUNCEMENT, False, RoomRole.MEMBER, 0, "Only owners and moderators write here"),
        (RoomKind.ANNOUNCEMENT, False, RoomRole.MODERATOR, 0, "Every line you type is sent"),
        (RoomKind.OPEN, False, RoomRole.MEMBER, 5, "Every line you type is sent"),
        (RoomKind.OPEN, False, RoomRole.MEMBER, 2**53 - 1, "You are muted for ever and may only read"),
    ],
)
def test_what_may_be_written_is_said_when_a_room_is_entered(
    kind: RoomKind, archived: bool, role: RoomRole, muted: int, says: str
) -> None:
    """Whoever may only read is not told that their lines are sent."""
    mind = ready("bob")
    mind.receive(frames.Conversations([info("#dev", 0)]))
    mind.enter("#dev")
    dev = room(role=role)
    dev.kind, dev.archived, dev.muted = kind, archived, muted
    [opened] = told(mind.receive(frames.Rooms([dev])))
    assert opened.endswith(f"). {says}; back leaves it for now.")


@pytest.mark.parametrize(
    ("typed", "says"), [("#ops", "/join #ops"), ("#", "not a valid name"), ("#a b", "not a valid name")]
)
def test_another_room_is_not_entered(typed: str, says: str) -> None:
    """A sentence says what to do; nothing is asked, and it counts as not chosen."""
    mind = ready("bob")
    [problem] = mind.enter(typed)
    assert isinstance(problem, events.Problem)
    assert says in problem.sentence
    assert mind.engine.choice_failed
    assert mind.engine.partner is None
    assert mind.frames() == []


def test_join_enters_when_it_is_done() -> None:
    """What is typed behind it waits for that, so that it goes nowhere else."""
    mind = ready("bob", chat_with="bob")
    mind.enter("/join #dev", "hello")
    assert mind.frames() == [frames.Join("#dev")]
    assert mind.engine.choosing
    shown = mind.receive(room_changed(room(members=3), last_seq=7), frames.RoomAck("join", "#dev"))
    assert told(shown)[0] == "In #dev (3 members). Every line you type is sent; back leaves it for now."
    assert mind.chats() == [("#dev", "hello", 1)]
    assert not mind.engine.choice_failed
    assert Moved("c-#dev", "#dev", 7) in mind.engine.changes_to_save()


def test_a_join_that_is_refused_leaves_nobody_to_write_to() -> None:
    """What is typed behind it is for choosing."""
    mind = ready("bob", chat_with="bob")
    mind.enter("/join #dev", "hello")
    shown = mind.receive(refusal("join", ErrorCode.UNKNOWN_ROOM))
    assert ERROR_CODES[ErrorCode.UNKNOWN_ROOM].sentence in told(shown)
    assert mind.engine.partner is None
    assert mind.engine.failed == 1
    assert mind.frames()[-1] == frames.WhoisRequest("hello")


def test_joining_a_room_one_is_in_enters_it() -> None:
    """The server's code is no failure then."""
    mind = ready("bob")
    mind.receive(frames.Conversations([info("#dev", 0)]))
    mind.enter("/join dev")
    mind.receive(refusal("join", ErrorCode.ALREADY_MEMBER))
    assert mind.engine.partner == "#dev"
    assert mind.engine.failed == 0


def test_a_join_is_asked_again_over_a_new_connection() -> None:
    """The first one may have been done."""
    mind = ready("bob")
    mind.enter("/create #dev closed full", "hello")
    [asked] = mind.frames()
    assert asked == frames.RoomRequest("create", "#dev", kind=RoomKind.CLOSED, history=HistoryFrom.FULL)
    mind.engine.lost()
    mind.connect("bob", infos=[info("#dev", 0)])
    mind.receive(frames.Resumed())
    assert asked in mind.frames()
    mind.receive(refusal("room", ErrorCode.ROOM_EXISTS))
    assert mind.engine.partner == "#dev"
    assert mind.chats() == [("#dev", "hello", 1)]


@pytest.mark.parametrize(
    "typed",
    [
        "/join #news",
        "/create #news",
        "/create #news secret",
        "/join #a/b",
        "/create a/b",
        "/join",
        "/create  ",
    ],
)
@pytest.mark.parametrize("online", [False, True])
def test_what_is_typed_behind_a_room_goes_to_no_other(typed: str, online: bool) -> None:
    """Whatever was wrong with it: the room that was open is open no more."""
    mind = in_room()
    if not online:
        mind.engine.lost()
    mind.enter(typed, "hello")
    if not online:
        mind.connect("bob", infos=[info("#dev", 0)])
        mind.receive(frames.Resumed())
    elif asked := [each for each in mind.frames() if isinstance(each, frames.Join | frames.RoomRequest)]:
        mind.receive(refusal(asked[0].type, ErrorCode.UNKNOWN_ROOM))
    assert mind.chats() == []
    assert mind.engine.partner != "#dev"
    assert mind.engine.failed == 1


def test_create_never_enters_a_room_that_there_was() -> None:
    """Also one that you are in, and also when it was asked twice."""
    mind = in_room()
    mind.receive(room_changed(room("#open")))
    mind.enter("/create #open", "hello")
    shown = mind.receive(refusal("room", ErrorCode.ROOM_EXISTS))
    assert ERROR_CODES[ErrorCode.ROOM_EXISTS].sentence in told(shown)
    assert mind.engine.partner is None
    mind.enter("/create #open")
    mind.engine.lost()
    mind.connect("bob", infos=[info("#dev", 0), info("#open", 0)])
    mind.receive(frames.Resumed(), refusal("room", ErrorCode.ROOM_EXISTS))
    assert mind.engine.partner is None
    assert mind.chats() == []


def test_a_join_without_an_answer_at_the_end() -> None:
    """What was typed behind it goes to nobody, which is told."""
    mind = ready("bob")
    mind.enter("/join #dev", "hello", "world")
    mind.engine.give_up(keeps=True)
    [problem] = [each for each in mind.engine.events_to_show() if isinstance(each, events.Problem)]
    assert "2 lines behind it went to nobody" in problem.sentence
    assert mind.engine.choice_failed


def test_leaving_opens_the_picker_and_forgets_the_position() -> None:
    """A later join begins anew."""
    mind = in_room()
    mind.receive(said(1))
    mind.enter("/leave")
    assert mind.frames() == [frames.Leave("#dev")]
    shown = mind.receive(frames.RoomLeft("c-#dev", "#dev", "left"), frames.RoomAck("leave", "#dev"))
    assert told(shown) == ["You left #dev.", "Online: bob"]
    assert mind.engine.partner is None
    assert not mind.engine.names.count("#dev")
    assert Forgotten("c-#dev") in mind.engine.changes_to_save()
    mind.receive(room_changed(room(), last_seq=9))
    mind.receive(said(10, "new"))
    assert mind.engine.rooms == (RoomLine("#dev", 1),)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("banned", "You were banned from #dev for ever by carol: spam."),
        ("removed", "You were removed from #dev by carol: spam."),
        ("deleted", "#dev was deleted by carol: spam."),
        ("other", "You are not in #dev any more by carol: spam."),
    ],
)
def test_whoever_is_put_out_is_told_why(reason: str, says: str) -> None:
    """And can't write there by mistake."""
    mind = in_room()
    shown = mind.receive(frames.RoomLeft("c-#dev", "#dev", reason, "carol", "spam."))
    assert told(shown)[0] == says
    assert mind.engine.partner is None


def test_rooms_that_are_not_listed_any_more_are_forgotten() -> None:
    """They were left on another device, or deleted, while this one was away."""
    mind = Mind(
        Saved("e1", "a1", (SavedPosition("c-#dev", "#dev", 5, 5), SavedPosition("c-bob", "bob", 5, 5)))
    )
    mind.engine.connected(welcome())
    mind.receive(frames.Conversations([info("#ops", 3, read=3)], "more"))
    assert [line.name for line in mind.engine.rooms] == ["#dev", "#ops"]
    mind.receive(frames.Conversations([]))
    assert [line.name for line in mind.engine.rooms] == ["#ops"]
    assert mind.engine.names == ["#ops", "bob"]


def test_a_room_that_was_left_elsewhere_is_closed() -> None:
    """When the connection comes back, so that nothing more is written for it."""
    mind = in_room()
    mind.engine.lost()
    shown = mind.connect("bob")
    assert told(shown)[0] == "You are not in #dev any more."
    assert mind.engine.partner is None


def test_invitations_are_told_once_and_listed() -> None:
    """With what to type; they go when one has joined."""
    mind = ready("bob")
    invited = frames.Invited(room("#board", role=None), "carol")
    shown = mind.receive(invited, invited)
    assert told(shown) == ["carol invites you to #board: /join #board enters it."]
    [problem] = mind.enter("#board")
    assert "You are invited to #board" in told([problem])[0]
    [picker] = mind.enter("/who")
    assert told([picker]) == ["Online: bob", "You may join: #board (/join #board)"]
    mind.engine.lost()
    mind.connect("bob")
    assert mind.engine.invitations == []
    assert mind.receive(frames.Resumed(), invited) == []
    assert mind.engine.invitations == ["#board"]
    mind.receive(room_changed(room("#board")))
    assert not mind.engine.invitations


@pytest.mark.parametrize(
    ("reason", "by", "says"),
    [
        ("removed", "carol", "Your invitation to #board was withdrawn by carol."),
        ("left", "", "You declined the invitation to #board."),
        ("deleted", "", "#board, to which you were invited, was deleted."),
        ("banned", "carol", "You were banned from #board for ever by carol."),
    ],
)
def test_an_invitation_that_is_no_more_is_not_listed(reason: str, by: str, says: str) -> None:
    """Whoever is in another room stays there; the next one is news again."""
    mind = in_room()
    invited = frames.Invited(room("#board", role=None), "carol")
    mind.receive(invited)
    assert told(mind.receive(frames.RoomLeft("c-#board", "#board", reason, by))) == [says]
    assert mind.engine.invitations == []
    assert mind.engine.partner == "#dev"
    assert len(mind.receive(invited)) == 1


def test_invitations_to_archived_rooms_are_not_listed() -> None:
    """Nobody can join there; nor to rooms that are not told any more."""
    mind = ready("bob")
    names = ("#board", "#gone", "#old")
    mind.receive(*(frames.Invited(room(name, role=None), "carol") for name in names))
    assert mind.engine.invitations == list(names)
    mind.enter("/rooms")
    board, old = room("#board", role=None), room("#old", role=None)
    board.invited = old.invited = old.archived = True
    mind.receive(frames.Rooms([board], "more"))
    mind.receive(frames.Rooms([old]))
    assert mind.engine.invitations == ["#board"]
    assert mind.receive(frames.Invited(old, "carol")) == []
    assert mind.engine.invitations == ["#board"]


def test_invitations_that_came_before_are_in_the_first_list() -> None:
    """They are not told before the welcome."""
    mind = Mind()
    mind.engine.connected(welcome())
    shown = mind.receive(
        frames.Resumed(),
        frames.Invited(room("#board", role=None), "carol"),
        frames.OnlineUsers(1, []),
        frames.Conversations([]),
    )
    assert told(shown)[1:] == ["Nobody else is online.", "You may join: #board (/join #board)"]


def test_a_room_that_was_joined_elsewhere_is_told() -> None:
    """It is on the list, and messages in it are unread."""
    mind = ready("bob")
    assert told(mind.receive(room_changed(room(), last_seq=3))) == [
        "You are in #dev now: type #dev to enter it."
    ]
    assert mind.engine.rooms == (RoomLine("#dev"),)


# --- what is written there


def test_lines_of_a_room_have_numbers_and_senders() -> None:
    """Your own, too; other rooms and people are marked."""
    mind = in_room(shows_at_once=True)
    mind.enter("one")
    shown = mind.receive(said(1), ack(1, 2, to="#dev"), chat(1, "psst"))
    shown += mind.receive(chat(1, "elsewhere", to="#ops", conversation="c-#ops"))
    assert told(shown) == [
        "(1) bob: hi",
        "(2) alice: one  \u2713 stored",
        "[bob] psst",
        "To answer bob, type back, then bob.",
        "[#ops] bob: elsewhere",
        "To answer in #ops, type back, then #ops.",
    ]


def test_a_room_that_is_not_open_counts_and_tells_mentions_only() -> None:
    """What is written there waits until it is entered."""
    mind = ready("bob", chat_with="bob")
    mind.receive(room_changed(room()))
    assert mind.receive(said(1, "hi"), said(2, "more")) == []
    shown = mind.receive(said(3, "@alice look", mentions=("alice",)))
    assert told(shown) == ["[#dev] bob: @alice look", "To answer in #dev, type back, then #dev."]
    assert mind.engine.unread == {}
    assert mind.engine.rooms == (RoomLine("#dev", 3, 1),)
    [_, rooms] = told(mind.enter("/who"))
    assert rooms == "Rooms: #dev (3 new, 1 mentions you)"
    shown = mind.enter("back", "#dev")
    assert told(shown)[-3:] == ["(1) bob: hi", "(2) bob: more", "(3) bob: @alice look"]
    assert mind.engine.rooms == (RoomLine("#dev"),)


def test_mentions_are_counted_over_a_login() -> None:
    """As the server tells them, and what came since."""
    mind = ready()
    mind.receive(frames.Conversations([info("#dev", 9, read=4, unread=5, mentions=2)]))
    mind.receive(said(10, "@alice", mentions=("alice",)))
    assert mind.engine.rooms == (RoomLine("#dev", 6, 3),)
    mind.receive(frames.ServerRead("c-#dev", "alice", 10))
    assert mind.engine.rooms == (RoomLine("#dev"),)


def test_what_somebody_does_is_shown_so() -> None:
    """`/me` is a body like others."""
    mind = in_room()
    mind.enter("/me waves")
    assert mind.chats() == [("#dev", "/me waves", 1)]
    shown = mind.receive(said(1, "/me waves back"), ack(1, 2, to="#dev"))
    assert told(shown) == ["(1) * bob waves back", "(2) * alice waves  \u2713 stored"]


def test_answers_say_to_what() -> None:
    """With the number, and the text where it is known."""
    mind = in_room()
    shown = mind.receive(said(1, 'a "b": c'), said(2, "yes", sender="carol", reply_to=1))
    shown += mind.receive(said(9, "no", reply_to=5))
    assert told(shown) == [
        '(1) bob: a "b": c',
        "(2) carol, re (1) \"a 'b': c\": yes",
        "(9) bob, re (5): no",
    ]


def test_slow_mode_says_how_long_and_keeps_the_text() -> None:
    """The line has failed, and /retry sends it again."""
    mind = in_room()
    mind.enter("hello")
    code = ErrorCode.SLOW_MODE
    refused = frames.ChatNack(f"{1:032x}", code, ERROR_CODES[code].sentence, retry_after=12.5)
    shown = mind.receive(refused)
    assert told(shown) == [
        (
            "Not delivered to #dev: The room is in slow mode; wait a little before your next message. "
            "13 seconds to go. It was: hello"
        ),
        "/retry sends it again, /drop gives it up.",
    ]
    mind.frames()
    mind.enter("next", "/retry")
    assert mind.chats() == [("#dev", "next", 2), ("#dev", "hello", 3)]


def test_what_was_read_is_told_and_nothing_else() -> None:
    """In a room nobody is told who has what."""
    mind = in_room()
    mind.receive(said(1))
    assert mind.wait(0.3) == [frames.ClientRead("c-#dev", 1)]


# --- what changes


def test_who_comes_and_goes_is_told_in_the_room() -> None:
    """A few by name, more as a number; yourself never."""
    mind = in_room()
    change = frames.MemberChange
    few = [change("dave", RoomRole.MEMBER), change("erin"), change("alice", RoomRole.MEMBER)]
    assert told(mind.receive(frames.MembersChanged("c-#dev", 2, few))) == [
        "dave came in, erin left; 2 members in #dev now."
    ]
    promoted = [change("dave", RoomRole.MODERATOR), change("frank", RoomRole.OWNER)]
    assert told(mind.receive(frames.MembersChanged("c-#dev", 2, promoted))) == [
        "dave is moderator now.",
        "frank is owner now.",
    ]
    demoted = [change("grace", RoomRole.MEMBER)]
    assert told(mind.receive(frames.MembersChanged("c-#dev", 2, demoted))) == ["grace is member now."]
    many = [change(f"user{n}", RoomRole.MEMBER) for n in range(40)]
    assert told(mind.receive(frames.MembersChanged("c-#dev", 42, many))) == ["#dev: +40 -0, now 42 members."]
    assert told(mind.receive(frames.MembersChanged("c-#dev", 1042, many, others=960))) == [
        "#dev: +1000, now 1042 members."
    ]
    mind.enter("back")
    assert mind.receive(frames.MembersChanged("c-#dev", 4, few)) == []


def test_what_becomes_of_the_room_is_told() -> None:
    """Your role wherever you are, the rest where it matters."""
    mind = in_room(topic="old")
    moderator = room(topic="new", role=RoomRole.MODERATOR)
    assert told(mind.receive(room_changed(moderator, by="carol"))) == [
        "You are moderator in #dev now (carol).",
        "Topic of #dev now: new",
    ]
    closed = room(role=RoomRole.MODERATOR)
    closed.kind, closed.slow, closed.archived = RoomKind.CLOSED, 30, True
    assert told(mind.receive(room_changed(closed))) == [
        "#dev is archived: it can be read, and nothing else.",
        "#dev has no topic any more.",
        "#dev is now: closed, full history, 30 s between two messages of one person.",
    ]


def test_who_may_not_write_is_told() -> None:
    """Until when and by whom, wherever one is, once; and when it ends."""
    mind = in_room()
    mind.enter("back")
    muted = room()
    muted.muted = WALL_MS + 3_600_000
    shown = mind.receive(room_changed(muted, by="carol"), room_changed(muted))
    assert told(shown) == [f"You may not write in #dev {describe_end(muted.muted)} (carol)."]
    forever = room()
    forever.muted = 2**53 - 1
    assert told(mind.receive(room_changed(forever))) == ["You may not write in #dev for ever."]
    assert told(mind.receive(room_changed(room(), by="carol"))) == ["You may write in #dev again (carol)."]
    past = room()
    past.muted = WALL_MS - 1
    assert mind.receive(room_changed(past), room_changed(room())) == []


def test_a_ban_says_when_it_ends() -> None:
    """As the server has it."""
    mind = in_room()
    until = WALL_MS + 3_600_000
    shown = mind.receive(frames.RoomLeft("c-#dev", "#dev", "banned", "carol", "spam", until))
    assert told(shown)[0] == f"You were banned from #dev {describe_end(until)} by carol: spam."


def test_older_messages_are_hinted_at_on_joining() -> None:
    """Where there are some that one may see, and at no other time."""
    for first, last, is_hinted in ((1, 7, True), (8, 7, False), (1, 0, False)):
        mind = ready("bob")
        mind.enter("/join #dev")
        shown = mind.receive(frames.RoomChanged(room(), first, last), frames.RoomAck("join", "#dev"))
        assert ("There are older messages: /history shows them." in told(shown)) is is_hinted
        assert "older" not in "".join(told(mind.enter("back", "#dev")))


def test_your_own_change_is_told_once() -> None:
    """Whether the server tells everybody before or after it says that it is done."""
    mind = in_room(topic="old")
    for topic, is_first in (("new", True), ("newer", False)):
        mind.enter(f"/topic {topic}")
        assert mind.frames() == [frames.RoomRequest("topic", "#dev", text=topic)]
        done: list[frames.ServerFrame] = [
            room_changed(room(topic=topic)),
            frames.RoomAck("room", "#dev", "topic"),
        ]
        shown = mind.receive(*(done if is_first else reversed(done)))
        assert told(shown) == [f"Topic of #dev now: {topic}"]


def test_a_role_that_you_gave_is_told_once() -> None:
    """Whether the summary for everybody comes later or before."""
    done = frames.RoomAck("room", "#dev", "role")
    for is_first in (True, False):
        mind = in_room()
        mind.enter("/role bob moderator")
        told_all = frames.MembersChanged("c-#dev", 2, [frames.MemberChange("bob", RoomRole.MODERATOR)])
        shown = mind.receive(*((told_all, done) if is_first else (done, told_all)))
        assert told(shown) == ["bob is moderator in #dev now."]


def test_your_own_role_is_told_once() -> None:
    """Also if you gave it to yourself."""
    mind = in_room()
    mind.enter("/role alice moderator")
    shown = mind.receive(
        room_changed(room(role=RoomRole.MODERATOR), by="alice"), frames.RoomAck("room", "#dev", "role")
    )
    assert told(shown) == ["You are moderator in #dev now (alice)."]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("typed", "says"),
    [("/remove bob", "bob is not in #dev any more."), ("/ban bob", "bob is banned from #dev for ever.")],
)
def test_whom_you_put_out_is_told_once(typed: str, says: str, is_first: bool) -> None:
    """The others who went are told; and bob, too, when he goes by himself later."""
    mind = in_room()
    mind.enter(typed)
    done = frames.RoomAck("room", "#dev", typed.split(maxsplit=1)[0][1:])
    gone = frames.MembersChanged("c-#dev", 1, [frames.MemberChange("bob")])
    shown = mind.receive(*((gone, done) if is_first else (done, gone)))
    assert told(shown) == [says]
    mind.receive(frames.MembersChanged("c-#dev", 2, [frames.MemberChange("bob", RoomRole.MEMBER)]))
    assert told(mind.receive(gone)) == ["bob left; 1 member in #dev now."]


def test_hostile_names_and_topics_are_harmless() -> None:
    """Nothing that a server sends drives the terminal or begins a line."""
    mind = in_room()
    shown = mind.receive(
        room_changed(room(topic="a\x1b[2J\nb")),
        frames.MembersChanged("c-#dev", 3, [frames.MemberChange("x\n15:06 bob: hi", RoomRole.MEMBER)]),
        frames.Invited(room("#\x1b]0;x\n", role=None), "\x07carol"),
        frames.RoomLeft("c-#dev", "#dev\n", "removed", "\x1b", "\n\n"),
    )
    lines = told(shown)
    assert not any(character in line for line in lines for character in "\x1b\n\x07")
