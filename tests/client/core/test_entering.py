"""Rooms: going in and out, and invitations."""

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscp_client.core import events
from qscp_client.core.changes import Forgotten, Moved, Saved, SavedPosition
from qscp_client.core.events import RoomLine
from tests.support.engine_harness import (
    Mind,
    ack,
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
