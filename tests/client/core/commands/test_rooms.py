"""Room commands: the requests they send, and what is shown for the answers."""

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscp_client.core.notices import Problem, ProblemCode
from qscp_client.text import describe_end
from tests.support.engine_harness import WALL_MS, in_room, info, ready, room, shown_texts

_DAY = 86400


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("/topic Release on Friday", frames.RoomRequest("topic", "#dev", text="Release on Friday")),
        ("/topic -", frames.RoomRequest("topic", "#dev", text="")),
        ("/members", frames.RoomRequest("members", "#dev")),
        ("/invite Bob", frames.RoomRequest("invite", "#dev", user="bob")),
        ("/invite @bob", frames.RoomRequest("invite", "#dev", user="bob")),
        ("/remove bob", frames.RoomRequest("remove", "#dev", user="bob")),
        ("/remove bob  be nice", frames.RoomRequest("remove", "#dev", user="bob", text="be nice")),
        ("/ban bob", frames.RoomRequest("ban", "#dev", user="bob")),
        ("/ban bob 7d spam", frames.RoomRequest("ban", "#dev", user="bob", seconds=7 * _DAY, text="spam")),
        ("/ban bob 10m", frames.RoomRequest("ban", "#dev", user="bob", seconds=600)),
        ("/mute bob 5 minutes", frames.RoomRequest("mute", "#dev", user="bob", seconds=300)),
        ("/mute bob 1h30m  x", frames.RoomRequest("mute", "#dev", user="bob", seconds=5400, text="x")),
        ("/mute bob soon", frames.RoomRequest("mute", "#dev", user="bob", text="soon")),
        ("/set slow 10 s", frames.RoomRequest("set", "#dev", seconds=10)),
        ("/ban bob too loud", frames.RoomRequest("ban", "#dev", user="bob", text="too loud")),
        ("/unban bob", frames.RoomRequest("unban", "#dev", user="bob")),
        ("/mute bob 2h", frames.RoomRequest("mute", "#dev", user="bob", seconds=7200)),
        ("/unmute bob", frames.RoomRequest("unmute", "#dev", user="bob")),
        ("/role bob Moderator", frames.RoomRequest("role", "#dev", user="bob", role=RoomRole.MODERATOR)),
        ("/set kind closed", frames.RoomRequest("set", "#dev", kind=RoomKind.CLOSED)),
        ("/set history full", frames.RoomRequest("set", "#dev", history=HistoryFrom.FULL)),
        ("/set slow 30s", frames.RoomRequest("set", "#dev", seconds=30)),
        ("/set slow off", frames.RoomRequest("set", "#dev", seconds=0)),
        ("/archive", frames.RoomRequest("archive", "#dev")),
        ("/unarchive", frames.RoomRequest("unarchive", "#dev")),
        ("/log", frames.RoomRequest("log", "#dev")),
        ("/rooms", frames.RoomsRequest()),
        ("/leave #ops", frames.Leave("#ops")),
        ("/create #ops", frames.RoomRequest("create", "#ops")),
        ("/create ops announcement", frames.RoomRequest("create", "#ops", kind=RoomKind.ANNOUNCEMENT)),
    ],
)
def test_a_room_command_sends_one_request(typed: str, asked: frames.ClientFrame) -> None:
    """A room command sends one request for the open room and waits for its answer."""
    harness = in_room()
    assert harness.enter(typed) == []
    assert harness.frames() == [asked]
    assert harness.engine.busy


@pytest.mark.parametrize(
    "typed",
    [
        "/invite no/name",
        "/invite bob please",
        "/unban bob now",
        "/role bob",
        "/role bob king",
        "/set kind secret",
        "/set slow 8d",
        "/set slow 0s",
        "/set colour red",
        "/create #ops secret",
        "/join #a/b",
        "/topic " + "x" * 401,
        "/ban bob 1h " + "x" * 401,
        "/log x",
        "/log 0",
        "/mute bob 20",
        "/mute bob 20 minuets",
        "/mute bob 1.5h",
        "/mute bob 0s",
        "/ban bob -5m",
        "/ban bob - 5m",
        "/ban bob 10m 2 hours of spam",
    ],
)
def test_invalid_arguments_are_a_problem(typed: str) -> None:
    """Invalid arguments show a problem, send nothing and count as a failure."""
    harness = in_room()
    problem, *_ = harness.enter(typed)
    assert isinstance(problem, Problem)
    assert harness.frames() == []
    assert harness.engine.failed == 1


@pytest.mark.parametrize("partner", [None, "bob"])
@pytest.mark.parametrize(
    "typed", ["/topic x", "/topic", "/members", "/ban bob", "/leave", "/log", "/archive"]
)
def test_room_commands_need_a_room(typed: str, partner: str | None) -> None:
    """Outside a room, a room command shows a problem and sends nothing."""
    harness = ready("bob", chat_with=partner)
    [problem] = harness.enter(typed)
    assert "works in a room" in shown_texts([problem])[0]
    assert harness.frames() == []


def test_room_requests_are_not_queued_offline() -> None:
    """Room requests are not queued offline; an unanswered one is reported."""
    harness = in_room()
    harness.enter("/ban bob")
    harness.engine.disconnected()
    assert "check whether it was done" in shown_texts(harness.engine.events_to_show())[0]
    assert not harness.engine.busy
    for typed in ("/ban bob", "/leave", "/rooms", "/topic"):
        [*_, problem] = harness.enter(typed)
        assert isinstance(problem, Problem), typed
    assert harness.engine.partner == "#dev"
    for typed in ("/join #ops", "/create #ops"):
        assert any(isinstance(each, Problem) for each in harness.enter(typed)), typed
        assert harness.engine.partner is None


def test_acknowledged_requests_are_shown() -> None:
    """Each acknowledged request is shown in one sentence, in the order of the requests."""
    harness = in_room()
    harness.enter("/invite bob", "/ban carol", "/role bob owner", "/set slow 30s", "/archive")
    actions = ("invite", "ban", "role", "set", "archive")
    shown = harness.receive(*(frames.RoomAck("room", "#dev", action) for action in actions))
    assert shown_texts(shown) == [
        "bob was invited to #dev.",
        "You banned carol from #dev.",
        "You made bob an owner of #dev.",
        "#dev: open; new members see all messages; slow mode 30 s.",
        "#dev is now archived (read-only).",
    ]
    assert not harness.engine.busy


@pytest.mark.parametrize("typed", ["/ban bob 2h spam", "/mute bob 2h spam"])
def test_a_timed_action_shows_its_end(typed: str) -> None:
    """A ban or mute with a duration shows its end in local time, with the date."""
    harness = in_room()
    harness.enter(typed)
    [done] = shown_texts(harness.receive(frames.RoomAck("room", "#dev", typed.split(maxsplit=1)[0][1:])))
    assert done.endswith(f"#dev {describe_end(WALL_MS + 7_200_000)}.")


def test_a_refused_request_is_shown_and_counts() -> None:
    """A refused request is shown and counts as a failure."""
    harness = in_room()
    harness.enter("/ban bob")
    code = ErrorCode.NOT_ALLOWED
    [problem] = harness.receive(frames.Error(code, ERROR_CODES[code].sentence, "room"))
    assert problem == Problem(
        ProblemCode.ROOM_REFUSED, error=code, text=ERROR_CODES[code].sentence, name="#dev", user="bob"
    )
    assert shown_texts([problem]) == ["Your role in #dev does not allow that."]
    assert harness.engine.failed == 1


def test_all_rooms_are_shown_page_by_page() -> None:
    """/rooms requests all pages; each room is listed with its kind, size and your membership."""
    harness = ready()
    assert harness.enter("/rooms") == []
    first = room("#board", role=None, members=4)
    first.kind, first.invited = RoomKind.CLOSED, True
    shown = harness.receive(frames.Rooms([first], "next"))
    assert harness.frames()[-1] == frames.RoomsRequest("next")
    shown += harness.receive(frames.Rooms([room(topic="Release " * 20, role=RoomRole.OWNER)]))
    assert shown_texts(shown) == [
        "#board (closed, 4 members, full history; you are invited)",
        "#dev (open, 2 members, full history; you are an owner): Release Release Release Release Release ...",
    ]
    harness.enter("/rooms")
    assert "No rooms" in shown_texts(harness.receive(frames.Rooms([])))[0]


def test_members_are_shown_with_roles_and_states() -> None:
    """/members lists the highest roles first, and omits the usual role and status."""
    harness = in_room()
    harness.enter("/members")
    members = [
        frames.Member("bob", RoomRole.MEMBER, "online"),
        frames.Member("carol", RoomRole.MEMBER, "offline", 2**53 - 1),
        frames.Member("dave", RoomRole.MODERATOR, "away", 5),
        frames.Member("erin", RoomRole.OWNER, "online"),
    ]
    shown = harness.receive(frames.RoomMembers("#dev", members))
    assert shown_texts(shown) == [
        "Members of #dev: erin (owner), dave (moderator, away), bob, carol (offline, muted)"
    ]


def test_the_log_is_shown_oldest_first() -> None:
    """/log requests pages until it has enough entries, and shows the oldest first."""
    harness = in_room()
    harness.enter("/log 3")
    harness.receive(
        frames.RoomLog("#dev", [frames.LogEntry(WALL_MS, "alice", "ban", "bob", text="spam")], "older")
    )
    assert harness.frames()[-1] == frames.RoomRequest("log", "#dev", cursor="older")
    entries = [
        frames.LogEntry(WALL_MS, "", "redact", "bob", 7),
        frames.LogEntry(WALL_MS, "alice", "paint", "bob"),
        frames.LogEntry(WALL_MS, "alice", "create"),
    ]
    shown = harness.receive(frames.RoomLog("#dev", entries, "older still"))
    assert shown_texts(shown) == [
        "alice paint bob",
        "the operator deleted bob's message 7",
        "alice banned bob: spam",
    ]
    assert not harness.engine.busy


def test_topic_without_argument_shows_the_topic() -> None:
    """/topic shows the known topic, or requests it from the server."""
    harness = in_room(topic="Release")
    assert shown_texts(harness.enter("/topic")) == ["Topic of #dev: Release"]
    harness.engine.disconnected()
    harness.connect("bob", infos=[info("#dev", 0)])
    harness.enter("/topic")
    assert frames.RoomsRequest() in harness.frames()
    page = frames.Rooms([room()])  # The reconnect has asked about the open room, too.
    assert shown_texts(harness.receive(page)) == []
    assert shown_texts(harness.receive(page))[-1] == "#dev has no topic."


def test_away_and_here() -> None:
    """/away sets a status, which is sent again after a reconnect; /here ends it."""
    harness = ready("bob")
    assert shown_texts(harness.enter("/away at lunch")) == ["You are away: at lunch. /here ends that."]
    assert harness.frames() == [frames.SetPresence("away", "at lunch")]
    harness.engine.disconnected()
    harness.connect("bob")
    assert frames.SetPresence("away", "at lunch") in harness.frames()
    harness.enter("/here")
    assert harness.frames() == [frames.SetPresence("online")]
    [problem] = harness.enter("/away " + "x" * 201)
    assert isinstance(problem, Problem)
