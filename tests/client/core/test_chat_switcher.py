"""Entering and leaving rooms, and invitations."""

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscp_client.core.changes import Forgotten, Moved, Saved, SavedPosition
from qscp_client.core.events import RoomLine
from qscp_client.core.notices import Problem, ProblemCode
from tests.support.engine_harness import (
    EngineHarness,
    ack,
    in_room,
    info,
    ready,
    room,
    room_changed,
    room_message,
    shown_texts,
    welcome,
)

STAY = "back returns to the list; you stay a member."


def refusal(ref: str, code: ErrorCode) -> frames.Error:
    """Return the server's refusal of a request."""
    return frames.Error(code, ERROR_CODES[code].sentence, ref)


def test_a_member_enters_a_room_by_its_name() -> None:
    """Typing a room's name enters it; its details come first, and later lines wait."""
    harness = ready("bob")
    harness.receive(frames.Conversations([info("#dev", 0)]), room_message(1))
    assert harness.enter("#Dev", "hello") == []
    assert harness.frames() == [frames.RoomsRequest()]
    assert harness.receive(frames.Rooms([room("#ops")], "more")) == []
    assert harness.frames() == [frames.RoomsRequest("more")]
    shown = harness.receive(frames.Rooms([room(topic="Release\non Friday", role=RoomRole.OWNER)]))
    assert shown_texts(shown[:-1]) == [
        f"#dev (2 members; you are the owner). Everything you type is sent. {STAY}",
        "Topic of #dev: Release on Friday",
        "(1) bob: hi",
    ]
    assert harness.chats() == [("#dev", "hello", 1)]
    assert not harness.engine.pick_failed
    harness.receive(ack(1, 2, to="#dev"))
    assert not harness.engine.busy


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_room_is_entered_without_its_details(is_lost: bool) -> None:
    """A member's room is entered even if its details can't be fetched."""
    harness = ready("bob")
    harness.receive(frames.Conversations([info("#dev", 0)]), room_message(1))
    harness.enter("#dev", "hello")
    if is_lost:
        harness.engine.disconnected()
        shown = harness.engine.events_to_show()
    else:
        shown = harness.receive(frames.Error("internal", "Something went wrong.", "rooms"))
    assert shown_texts(shown)[0] == (f"#dev. Everything you type is sent. {STAY}")
    assert "(1) bob: hi" in shown_texts(shown)
    assert harness.engine.pending == 1
    assert harness.engine.failed == 0


@pytest.mark.parametrize(
    ("kind", "archived", "role", "muted", "says"),
    [
        (RoomKind.OPEN, True, RoomRole.OWNER, 0, "The room is archived (read-only)"),
        (RoomKind.ANNOUNCEMENT, False, RoomRole.MEMBER, 0, "Only owners and moderators can write here"),
        (RoomKind.ANNOUNCEMENT, False, RoomRole.MODERATOR, 0, "Everything you type is sent"),
        (RoomKind.OPEN, False, RoomRole.MEMBER, 5, "Everything you type is sent"),
        (RoomKind.OPEN, False, RoomRole.MEMBER, 2**53 - 1, "You are muted"),
    ],
)
def test_entering_a_room_shows_whether_you_can_write(
    kind: RoomKind, archived: bool, role: RoomRole, muted: int, says: str
) -> None:
    """The opening line says if the room is read-only for you, or you are muted."""
    harness = ready("bob")
    harness.receive(frames.Conversations([info("#dev", 0)]))
    harness.enter("#dev")
    dev = room(role=role)
    dev.kind, dev.archived, dev.muted = kind, archived, muted
    [opened] = shown_texts(harness.receive(frames.Rooms([dev])))
    assert opened.endswith(f"). {says}. {STAY}")


@pytest.mark.parametrize(
    ("typed", "says"), [("#ops", "/join #ops"), ("#", "not a valid name"), ("#a b", "not a valid name")]
)
def test_a_room_of_others_is_not_entered(typed: str, says: str) -> None:
    """A room you are not a member of, or an invalid name, shows a problem and opens nothing."""
    harness = ready("bob")
    [problem] = harness.enter(typed)
    assert isinstance(problem, Problem)
    assert says in shown_texts([problem])[0]
    assert harness.engine.pick_failed
    assert harness.engine.partner is None
    assert harness.frames() == []


def test_join_enters_after_the_ack() -> None:
    """/join enters the room after the ack; lines typed after it wait and go to that room."""
    harness = ready("bob", chat_with="bob")
    harness.enter("/join #dev", "hello")
    assert harness.frames() == [frames.Join("#dev")]
    assert harness.engine.queues_lines
    shown = harness.receive(room_changed(room(members=3), last_seq=7), frames.RoomAck("join", "#dev"))
    assert shown_texts(shown)[0] == (f"#dev (3 members). Everything you type is sent. {STAY}")
    assert harness.chats() == [("#dev", "hello", 1)]
    assert not harness.engine.pick_failed
    assert Moved("c-#dev", "#dev", 7) in harness.engine.changes_to_save()


def test_a_refused_join_opens_the_picker() -> None:
    """After a refused join, the lines typed after it are names for the picker."""
    harness = ready("bob", chat_with="bob")
    harness.enter("/join #dev", "hello")
    shown = harness.receive(refusal("join", ErrorCode.UNKNOWN_ROOM))
    assert "#dev does not exist, or is closed and you are not invited." in shown_texts(shown)
    assert harness.engine.partner is None
    assert harness.engine.failed == 1
    assert harness.frames()[-1] == frames.WhoisRequest("hello")


def test_joining_as_a_member_enters_the_room() -> None:
    """/join of a room you are a member of enters it, and is no failure."""
    harness = ready("bob")
    harness.receive(frames.Conversations([info("#dev", 0)]))
    harness.enter("/join dev")
    harness.receive(refusal("join", ErrorCode.ALREADY_MEMBER))
    assert harness.engine.partner == "#dev"
    assert harness.engine.failed == 0


def test_a_join_is_repeated_after_a_reconnect() -> None:
    """A request is repeated after a reconnect; "exists" then means that the first one succeeded."""
    harness = ready("bob")
    harness.enter("/create #dev closed full", "hello")
    [asked] = harness.frames()
    assert asked == frames.RoomRequest("create", "#dev", kind=RoomKind.CLOSED, history=HistoryFrom.FULL)
    harness.engine.disconnected()
    harness.connect("bob", infos=[info("#dev", 0)])
    harness.receive(frames.Resumed())
    assert asked in harness.frames()
    harness.receive(refusal("room", ErrorCode.ROOM_EXISTS))
    assert harness.engine.partner == "#dev"
    assert harness.chats() == [("#dev", "hello", 1)]


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
def test_lines_after_a_failed_join_reach_no_room(typed: str, online: bool) -> None:
    """Whatever is wrong with a join or create, later lines don't go to the previous room."""
    harness = in_room()
    if not online:
        harness.engine.disconnected()
    harness.enter(typed, "hello")
    if not online:
        harness.connect("bob", infos=[info("#dev", 0)])
        harness.receive(frames.Resumed())
    elif asked := [each for each in harness.frames() if isinstance(each, frames.Join | frames.RoomRequest)]:
        harness.receive(refusal(asked[0].type, ErrorCode.UNKNOWN_ROOM))
    assert harness.chats() == []
    assert harness.engine.partner != "#dev"
    assert harness.engine.failed == 1


def test_create_never_enters_an_existing_room() -> None:
    """/create never enters an existing room, even one you are a member of."""
    harness = in_room()
    harness.receive(room_changed(room("#open")))
    harness.enter("/create #open", "hello")
    shown = harness.receive(refusal("room", ErrorCode.ROOM_EXISTS))
    assert "#open already exists. Try /join #open." in shown_texts(shown)
    assert harness.engine.partner is None
    harness.enter("/create #open")
    harness.engine.disconnected()
    harness.connect("bob", infos=[info("#dev", 0), info("#open", 0)])
    harness.receive(frames.Resumed(), refusal("room", ErrorCode.ROOM_EXISTS))
    assert harness.engine.partner is None
    assert harness.chats() == []


def test_a_join_without_an_answer_at_the_end() -> None:
    """At the end, an unanswered join is reported with the number of lines not sent."""
    harness = ready("bob")
    harness.enter("/join #dev", "hello", "world")
    harness.engine.show_unanswered(keeps=True)
    [problem] = [each for each in harness.engine.events_to_show() if isinstance(each, Problem)]
    assert (problem.code, problem.count) == (ProblemCode.JOIN_UNANSWERED, 2)
    assert "2 lines typed after it were not sent" in shown_texts([problem])[0]
    assert harness.engine.pick_failed


def test_leaving_opens_the_picker_and_forgets_the_position() -> None:
    """Leaving opens the picker and forgets the position, so that a later join starts anew."""
    harness = in_room()
    harness.receive(room_message(1))
    harness.enter("/leave")
    assert harness.frames() == [frames.Leave("#dev")]
    shown = harness.receive(frames.RoomLeft("c-#dev", "#dev", "left"), frames.RoomAck("leave", "#dev"))
    assert shown_texts(shown) == ["You left #dev.", "Online: bob"]
    assert harness.engine.partner is None
    assert not harness.engine.names.count("#dev")
    assert Forgotten("c-#dev") in harness.engine.changes_to_save()
    harness.receive(room_changed(room(), last_seq=9))
    harness.receive(room_message(10, "new"))
    assert harness.engine.rooms == (RoomLine("#dev", 1),)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("banned", "carol banned you from #dev: spam."),
        ("removed", "carol removed you from #dev: spam."),
        ("deleted", "carol deleted #dev: spam."),
        ("other", "carol ended your membership of #dev: spam."),
    ],
)
def test_a_lost_membership_shows_its_reason(reason: str, says: str) -> None:
    """A lost membership shows the reason and closes the chat."""
    harness = in_room()
    shown = harness.receive(frames.RoomLeft("c-#dev", "#dev", reason, "carol", "spam."))
    assert shown_texts(shown)[0] == says
    assert harness.engine.partner is None


def test_unlisted_rooms_are_forgotten() -> None:
    """Saved rooms that the server no longer lists are forgotten after the last page."""
    harness = EngineHarness(
        Saved("e1", "a1", (SavedPosition("c-#dev", "#dev", 5, 5), SavedPosition("c-bob", "bob", 5, 5)))
    )
    harness.engine.connected(welcome())
    harness.receive(frames.Conversations([info("#ops", 3, read=3)], "more"))
    assert [line.name for line in harness.engine.rooms] == ["#dev", "#ops"]
    harness.receive(frames.Conversations([]))
    assert [line.name for line in harness.engine.rooms] == ["#ops"]
    assert harness.engine.names == ["#ops", "bob"]


def test_a_room_that_was_left_elsewhere_is_closed() -> None:
    """The chat of a room left on another device is closed after the reconnect."""
    harness = in_room()
    harness.engine.disconnected()
    shown = harness.connect("bob")
    assert shown_texts(shown)[0] == "You are no longer a member of #dev."
    assert harness.engine.partner is None


def test_a_room_that_is_gone_at_the_start_is_named() -> None:
    """A member who was removed while the client did not run learns it, once."""
    saved = tuple(SavedPosition(f"c-{name}", name, 3, 3) for name in ("#dev", "#ops"))
    harness = EngineHarness(Saved("e1", "a1", saved))
    gone = "You are no longer a member of #dev."
    assert gone in shown_texts(harness.connect(infos=[info("#ops", 3, read=3)]))
    assert [line.name for line in harness.engine.rooms] == ["#ops"]
    harness.engine.disconnected()
    assert gone not in shown_texts(harness.connect(infos=[info("#ops", 3, read=3)]))


def test_invitations_are_shown_once_and_listed() -> None:
    """An invitation is shown once, with the command to type, and listed until you join."""
    harness = ready("bob")
    invited = frames.Invited(room("#board", role=None), "carol")
    shown = harness.receive(invited, invited)
    assert shown_texts(shown) == ["carol invited you to #board. Try /join #board."]
    [problem] = harness.enter("#board")
    assert "You are invited to #board" in shown_texts([problem])[0]
    [picker] = harness.enter("/who")
    assert shown_texts([picker]) == ["Online: bob", "Invitations: #board (/join #board)"]
    harness.engine.disconnected()
    harness.connect("bob")
    assert harness.engine.invitations == []
    assert harness.receive(frames.Resumed(), invited) == []
    assert harness.engine.invitations == ["#board"]
    harness.receive(room_changed(room("#board")))
    assert not harness.engine.invitations


@pytest.mark.parametrize(
    ("reason", "by", "says"),
    [
        ("removed", "carol", "carol withdrew your invitation to #board."),
        ("left", "", "You declined the invitation to #board."),
        ("deleted", "", "#board, which you were invited to, was deleted."),
        ("banned", "carol", "carol banned you from #board."),
    ],
)
def test_a_withdrawn_invitation_is_not_listed(reason: str, by: str, says: str) -> None:
    """A withdrawn invitation leaves the list and the open chat stays; a new one is shown again."""
    harness = in_room()
    invited = frames.Invited(room("#board", role=None), "carol")
    harness.receive(invited)
    assert shown_texts(harness.receive(frames.RoomLeft("c-#board", "#board", reason, by))) == [says]
    assert harness.engine.invitations == []
    assert harness.engine.partner == "#dev"
    assert len(harness.receive(invited)) == 1


def test_invitations_to_archived_rooms_are_not_listed() -> None:
    """Invitations to archived rooms, or to rooms no longer listed, are removed."""
    harness = ready("bob")
    names = ("#board", "#gone", "#old")
    harness.receive(*(frames.Invited(room(name, role=None), "carol") for name in names))
    assert harness.engine.invitations == list(names)
    harness.enter("/rooms")
    board, old = room("#board", role=None), room("#old", role=None)
    board.invited = old.invited = old.archived = True
    harness.receive(frames.Rooms([board], "more"))
    harness.receive(frames.Rooms([old]))
    assert harness.engine.invitations == ["#board"]
    assert harness.receive(frames.Invited(old, "carol")) == []
    assert harness.engine.invitations == ["#board"]


def test_earlier_invitations_are_in_the_first_list() -> None:
    """Invitations received before the welcome appear in the first list only."""
    harness = EngineHarness()
    harness.engine.connected(welcome())
    shown = harness.receive(
        frames.Resumed(),
        frames.Invited(room("#board", role=None), "carol"),
        frames.OnlineUsers(1, []),
        frames.Conversations([]),
    )
    assert shown_texts(shown)[1:] == ["Nobody else is online.", "Invitations: #board (/join #board)"]


def test_a_room_joined_elsewhere_is_shown() -> None:
    """A room joined on another device is shown and added to the list."""
    harness = ready("bob")
    assert shown_texts(harness.receive(room_changed(room(), last_seq=3))) == [
        "You are now a member of #dev; type #dev in the list to enter it."
    ]
    assert harness.engine.rooms == (RoomLine("#dev"),)
