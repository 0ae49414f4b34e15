"""Events as lines of text."""

import dataclasses
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qscp.errors import ErrorCode
from qscp.frames import Retention, Status, UserPresence
from qscp_client.core import events, notices
from qscp_client.core.commands.table import COMMANDS
from qscp_client.core.connection_state import Connection, ConnectionState
from qscp_client.core.events import LineState, Place, StatusLine
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.outbox import Failure
from qscp_client.text import INDENT, Kind, clean
from qscp_client.ui.render import (
    describe,
    list_people,
    name_person,
)

TIME_MS = 1_750_000_000_000  # 15:06 UTC
SENT = "Everything you type is sent; type back to pick someone else."


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the local time zone to UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(event: events.Event) -> list[str]:
    """Return an event's lines as text."""
    return [str(line) for line in describe(event, "alice")]


def received(
    body: str,
    place: Place = Place.THIS_CHAT,
    *,
    sender: str = "bob",
    is_first: bool = False,
    time_ms: int = TIME_MS,
) -> events.MessageReceived:
    """Return a message."""
    return events.MessageReceived(sender, body, time_ms, place, is_first)


EVENTS: dict[str, type[events.Event]] = {
    name: each
    for module in (events, notices)
    for name, each in vars(module).items()
    if isinstance(each, type) and issubclass(each, events.Event) and name != "Event" and name[0] != "_"
}
FAILURES = st.builds(Failure, wait_s=st.none() | st.floats(0, allow_nan=False))
PARTS: dict[str, dict[str, st.SearchStrategy[object]]] = {
    "Delivered": {"messages": st.tuples(st.tuples(st.text(), st.text()))},
    "MessageFailed": {"failure": FAILURES},
    "Problem": {"command": st.sampled_from(sorted(COMMANDS)), "text": st.text()},
    "StatusAsked": {"lines": st.tuples(st.builds(StatusLine, failure=st.none() | FAILURES))},
}
"""Event -> fields with values that can occur, where others can't."""


@pytest.mark.parametrize("name", EVENTS)
@given(data=st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_event_can_be_shown(name: str, data: st.DataObject) -> None:
    """Every event can be shown, and no line has control characters."""
    for line in describe(data.draw(st.builds(EVENTS[name], **PARTS.get(name, {}))), "alice"):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", str(line))


def test_a_message_has_time_and_sender() -> None:
    """A message of the partner has its time and sender."""
    assert shown(received("hi")) == ["15:06 bob: hi"]


@pytest.mark.parametrize("place", [Place.OTHER_CHAT, Place.PICKER])
def test_a_message_from_elsewhere_is_marked(place: Place) -> None:
    """A message of another chat has its sender in brackets."""
    assert shown(received("hi", place)) == ["15:06 [bob] hi"]


@pytest.mark.parametrize(
    ("place", "sender", "hint"),
    [
        (Place.OTHER_CHAT, "bob", "Reply with: back, then bob"),
        (Place.PICKER, "bob", "Reply with: bob"),
        (Place.OTHER_CHAT, "back", "Reply with: back, then @back"),
    ],
)
def test_the_first_message_says_how_to_answer(place: Place, sender: str, hint: str) -> None:
    """The first message of another chat has a hint, with @ for a name that is a command."""
    assert shown(received("hi", place, sender=sender, is_first=True))[1] == hint


def test_further_lines_are_indented() -> None:
    """Further lines are indented, so that they can't imitate another message."""
    assert shown(received("one\n15:06 carol: fake")) == [f"15:06 bob: one\n{INDENT}15:06 carol: fake"]


def test_control_characters_are_marked() -> None:
    """Control characters in bodies, names and texts of the server are shown by their numbers."""
    assert shown(received("a\x1b[2Jb\u202ec", sender="b\x07ob")) == [
        "15:06 b<U+0007>ob: a<U+001B>[2Jb<U+202E>c"
    ]
    assert shown(Notice(NoticeCode.SERVER_ERROR, text="a\x1bb\nc")) == ["a<U+001B>b c"]
    assert clean("a\n\x9bb") == "a <U+009B>b"


@given(body=st.text(), sender=st.text())
def test_only_the_first_line_begins_at_the_left(body: str, sender: str) -> None:
    """Only the first line of a message begins at the left, whatever it contains."""
    [line] = shown(received(body, sender=sender))
    first, *others = line.split("\n")
    assert first.startswith("15:06 ")
    assert all(other.startswith(INDENT) for other in others)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", line)


@pytest.mark.parametrize("time_ms", [10**18, -(10**18)])
def test_an_impossible_time_is_shown_as_dashes(time_ms: int) -> None:
    """A message with an impossible time is shown with dashes."""
    assert shown(received("hi", time_ms=time_ms)) == ["--:-- bob: hi"]


def test_a_pending_message_has_name_and_state() -> None:
    """Your pending message has your name and its state."""
    [line] = describe(events.MessageSent("1", "bob", "hi\nho"), "alice")
    assert line.kind is Kind.OWN_MESSAGE
    assert re.fullmatch(rf"\d\d:\d\d alice: hi\n{INDENT}ho  \u00b7 pending", str(line))


def own(state: LineState, place: Place = Place.THIS_CHAT, *, dated: bool = False) -> events.OwnMessage:
    """Return an own message that is stored."""
    return events.OwnMessage("1", "bob", "hi", TIME_MS, state, True, place, dated)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (own(LineState.STORED), "15:06 alice: hi  \u2713 stored"),
        (own(LineState.DELIVERED), "15:06 alice: hi  \u2713\u2713 delivered"),
        (own(LineState.READ), "15:06 alice: hi  \u2713\u2713 read"),
        (own(LineState.STORED, Place.PICKER), "15:06 [to bob] hi  \u2713 stored"),
        (own(LineState.STORED, dated=True), "2025-06-15 15:06 alice: hi  \u2713 stored"),
    ],
)
def test_a_stored_message_of_yours_is_marked(event: events.OwnMessage, text: str) -> None:
    """Your stored message has its state, and outside its chat the recipient."""
    assert shown(event) == [text]


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (events.ChatOpened("bob"), f"Chatting with bob. {SENT}"),
        (events.ChatOpened("bob", "away"), f"Chatting with bob (away). {SENT}"),
        (
            events.ChatOpened("bob", "away", "at\x1b lunch"),
            f"Chatting with bob (away: at<U+001B> lunch). {SENT}",
        ),
        (
            events.ChatOpened("bob", "offline"),
            "bob is offline and will get your messages at the next login.",
        ),
        (events.ChatOpened("bob", "offline", known=False), f"Chatting with bob, who is not online. {SENT}"),
    ],
)
def test_an_opened_chat_shows_the_presence(event: events.ChatOpened, sentence: str) -> None:
    """An opened chat shows the presence, and promises delivery only to a known user."""
    assert shown(event) == [sentence]


def test_an_older_message_has_its_date() -> None:
    """A message that is not of today has its date."""
    old = dataclasses.replace(received("hi"), dated=True)
    new = dataclasses.replace(old, time_ms=int(time.time() * 1000))
    assert shown(old) == ["2025-06-15 15:06 bob: hi"]
    [line] = shown(new)
    assert re.fullmatch(r"\d\d:\d\d bob: hi", line)


def test_an_erased_message_is_marked() -> None:
    """An erased message is shown as "(erased)"."""
    assert shown(dataclasses.replace(received(""), erased=True)) == ["15:06 bob: (erased)"]


def test_a_search_result_has_time_conversation_and_sender() -> None:
    """Search results have time, conversation and sender, and say if there are more."""
    found = events.Found("bob", "alice", "red tea\nhot", TIME_MS)
    assert shown(events.SearchDone("tea", (found,), more=True, complete=False)) == [
        '1 match for "tea", and there are older ones:',
        f"2025-06-15 15:06 [bob] alice: red tea\n{INDENT}hot",
        "The newest messages are not searchable yet; try again in a moment.",
    ]
    assert shown(events.SearchDone("tea", (), more=False, complete=True)) == ['No messages match "tea".']


def test_the_status_has_each_line() -> None:
    """/status shows the connection, and each line with its state or the reason it failed."""
    lines = (
        StatusLine("bob", "a" * 50, LineState.STORED),
        StatusLine("bob", "b", LineState.FAILED, Failure("", "No such name.")),
    )
    assert shown(events.StatusAsked(lines, Connection(ConnectionState.OFFLINE, 5))) == [
        "You are offline, reconnecting in 5 s.",
        f"to bob: {'a' * 40}...  \u2713 stored",
        "to bob: b  ! failed: No such name (/retry, /drop)",
    ]


def test_delivered_messages_are_shown() -> None:
    """A delivery shows the last message, and the number of several."""
    one = events.Delivered("bob", (("1", "hi"),), LineState.DELIVERED, is_partner=True)
    two = events.Delivered("bob", (("1", "hi"), ("2", "ho")), LineState.READ, is_partner=True)
    assert shown(one) == ["\u2713\u2713 delivered to bob: hi"]
    assert shown(two) == ["\u2713\u2713 read by bob: 2 messages up to ho"]


@pytest.mark.parametrize(
    ("retention", "sentence"),
    [
        (Retention(seconds=30 * 86400), "The server keeps messages for 30 days."),
        (Retention(seconds=5400), "The server keeps messages for 90 minutes."),
        (Retention(messages=10), "The server keeps the newest 10 messages of each conversation."),
        (
            Retention(90, 10),
            "The server keeps the newest 10 messages of each conversation, and messages for 90 seconds.",
        ),
    ],
)
def test_retention_is_one_sentence(retention: Retention, sentence: str) -> None:
    """Each combination of retention limits is one sentence."""
    notice = Notice(NoticeCode.RETENTION, seconds=retention.seconds or 0, count=retention.messages or 0)
    assert shown(notice) == [sentence]


def test_a_failed_message_keeps_its_text() -> None:
    """A failed message shows its text; a long one is shortened with its length."""
    assert shown(events.MessageFailed("bob", "hi\nho", Failure("moon_phase", "Not today."))) == [
        f"Not sent to bob: Not today. Your text: hi\n{INDENT}ho"
    ]
    [long] = shown(events.MessageFailed("bob", "x" * 500, Failure(ErrorCode.BODY_TOO_LONG)))
    assert long.endswith("xxx ... (500 characters)")
    again = events.MessageFailed("bob", "hi", Failure(ErrorCode.UNKNOWN_RECIPIENT), "1", again=True)
    assert shown(again) == [
        'Not sent to bob: no user named "bob". Your text: hi',
        "/retry sends it again, /drop discards it.",
    ]


@pytest.mark.parametrize(
    ("status", "text", "was_online", "is_partner", "sentence"),
    [
        ("offline", "", True, True, "bob went offline."),
        ("online", "", False, True, "bob is online again."),
        ("online", "", False, False, "bob is online."),
        ("online", "", True, True, "bob is online."),
        ("away", "", True, False, "bob is away."),
        ("away", "lunch\x1b", True, True, "bob is away: lunch<U+001B>."),
    ],
)
def test_presence_is_a_sentence(
    status: Status, text: str, was_online: bool, is_partner: bool, sentence: str
) -> None:
    """Each kind of presence change has its sentence."""
    change = events.PresenceChanged(UserPresence("bob", status, text), was_online, is_partner)
    assert shown(change)[0].rstrip(".") == sentence.rstrip(".")


def test_users_are_listed() -> None:
    """Users are listed with their status; an empty list has its own sentence."""
    users = (
        UserPresence("bob", "online"),
        UserPresence("carol", "away", "lunch"),
        UserPresence("dave", "away"),
    )
    assert shown(events.WhoAsked(users)) == ["Online: bob, carol (away: lunch), dave (away)"]
    assert shown(events.PickerOpened(())) == ["Nobody else is online."]
    assert name_person(UserPresence("bob", "online", "here")) == "bob (online: here)"


def test_a_long_list_is_cut() -> None:
    """A long list is cut to the width, with the number left out."""
    users = [UserPresence(f"user{number:02}", "online") for number in range(30)]
    assert list_people(users, {"user00": 2}, 29) == "Online: user00 [2 unread], user01 and 28 more (/who)"
    assert list_people(users[:1], {}, 0) == "Online: user00"
    assert list_people([], {}, 100) == "Nobody else is online."


def test_offline_users_with_unread_messages_are_listed() -> None:
    """Offline users with unread messages are listed after those online."""
    users = [UserPresence("bob", "online"), UserPresence("dave", "away")]
    unread = {"carol": 1, "bob": 2}
    text = "bob [2 unread], dave (away), carol (offline) [1 unread]"
    assert list_people(users, unread) == f"Online: {text}"
    assert list_people([], {"carol": 1}) == "Nobody else is online. carol (offline) [1 unread]"


def test_the_help_names_every_command() -> None:
    """The help has the usage of every command."""
    text = "\n".join(shown(events.HelpAsked()))
    for usage in ("/help", "/who", "/back", "/quit", "/say TEXT", "//TEXT", "@NAME"):
        assert usage in text
    assert {line.kind for line in describe(events.HelpAsked(), "alice")} == {Kind.NOTICE}
