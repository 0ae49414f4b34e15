"""Events as lines of text."""

import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp.frames import Status, UserPresence
from qscp_client import events
from qscp_client.display import INDENT, Kind, clean, describe, list_people, name_person
from qscp_client.events import Place

TIME_MS = 1_750_000_000_000  # 15:06 UTC


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let local time be UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(event: events.Event) -> list[str]:
    """An event's lines as text."""
    return [str(line) for line in describe(event, "alice")]


def received(
    body: str,
    place: Place = Place.THIS_CHAT,
    *,
    sender: str = "bob",
    is_first: bool = False,
    time_ms: int = TIME_MS,
) -> events.MessageReceived:
    """A message."""
    return events.MessageReceived(sender, body, time_ms, place, is_first)


def test_a_message_has_time_and_sender() -> None:
    """In the chat with the sender."""
    assert shown(received("hi")) == ["15:06 bob: hi"]


@pytest.mark.parametrize("place", [Place.OTHER_CHAT, Place.PICKER])
def test_a_message_from_elsewhere_is_marked(place: Place) -> None:
    """It can't be taken for the current chat."""
    assert shown(received("hi", place)) == ["15:06 [bob] hi"]


@pytest.mark.parametrize(
    ("place", "sender", "hint"),
    [
        (Place.OTHER_CHAT, "bob", "To answer bob, type back, then bob."),
        (Place.PICKER, "bob", "To answer bob, type bob."),
        (Place.OTHER_CHAT, "back", "To answer back, type back, then @back."),
    ],
)
def test_the_first_message_says_how_to_answer(place: Place, sender: str, hint: str) -> None:
    """Also for somebody named like a word."""
    assert shown(received("hi", place, sender=sender, is_first=True))[1] == hint


def test_further_lines_are_indented() -> None:
    """So they can't pass for a message of somebody else."""
    assert shown(received("one\n15:06 carol: fake")) == [f"15:06 bob: one\n{INDENT}15:06 carol: fake"]


def test_control_characters_are_stripped() -> None:
    """Neither body, nor name, nor a sentence of the server drives the terminal."""
    assert shown(received("a\x1b[2Jb\u202ec", sender="b\x07ob")) == ["15:06 bob: a[2Jbc"]
    assert shown(events.Notice("a\x1bb\nc")) == ["ab c"]
    assert clean("a\n\x9bb") == "a b"


@given(body=st.text(), sender=st.text())
def test_only_the_first_line_begins_at_the_left(body: str, sender: str) -> None:
    """Whatever a message contains."""
    [line] = shown(received(body, sender=sender))
    first, *others = line.split("\n")
    assert first.startswith("15:06 ")
    assert all(other.startswith(INDENT) for other in others)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", line)


@pytest.mark.parametrize("time_ms", [10**18, -(10**18)])
def test_an_impossible_time_is_no_failure(time_ms: int) -> None:
    """The message is shown all the same."""
    assert shown(received("hi", time_ms=time_ms)) == ["--:-- bob: hi"]


def test_your_own_message_has_your_name() -> None:
    """It looks like the others'."""
    [line] = describe(events.MessageSent("bob", "hi\nho"), "alice")
    assert line.kind is Kind.OWN_MESSAGE
    assert re.fullmatch(rf"\d\d:\d\d alice: hi\n{INDENT}ho", str(line))


def test_a_failed_message_keeps_its_text() -> None:
    """A long one is shortened, and says so."""
    assert shown(events.MessageFailed("bob", "hi\nho", "That person is offline.")) == [
        f"Not delivered to bob: That person is offline. It was: hi\n{INDENT}ho"
    ]
    [long] = shown(events.MessageFailed("bob", "x" * 500, "Too long."))
    assert long.endswith("xxx ... (500 characters)")


@pytest.mark.parametrize(
    ("status", "text", "was_online", "is_partner", "sentence"),
    [
        ("offline", "", True, True, "bob went offline."),
        ("online", "", False, True, "bob is online again."),
        ("online", "", False, False, "bob is online."),
        ("online", "", True, True, "bob is online."),
        ("away", "", True, False, "bob is away."),
        ("away", "lunch\x1b", True, True, "bob is away: lunch."),
    ],
)
def test_presence_is_a_sentence(
    status: Status, text: str, was_online: bool, is_partner: bool, sentence: str
) -> None:
    """Each kind of change has its words."""
    change = events.PresenceChanged(UserPresence("bob", status, text), was_online, is_partner)
    assert shown(change)[0].rstrip(".") == sentence.rstrip(".")


def test_people_are_listed() -> None:
    """With their status, and a sentence for an empty list."""
    people = (
        UserPresence("bob", "online"),
        UserPresence("carol", "away", "lunch"),
        UserPresence("dave", "away"),
    )
    assert shown(events.WhoAsked(people)) == ["Online: bob, carol (away: lunch), dave (away)"]
    assert shown(events.PickerOpened(())) == ["Nobody else is online."]
    assert name_person(UserPresence("bob", "online", "here")) == "bob (online: here)"


def test_a_long_list_is_cut() -> None:
    """With how many are left, and who has new messages."""
    people = [UserPresence(f"user{number:02}", "online") for number in range(30)]
    assert list_people(people, {"user00": 2}, 26) == "Online: user00 [2 new], user01 and 28 more (/who)"
    assert list_people(people[:1], {}, 0) == "Online: user00"
    assert list_people([], {}, 100) == "Nobody else is online."


def test_the_help_names_every_command() -> None:
    """It is made from the table."""
    text = "\n".join(shown(events.HelpAsked()))
    for usage in ("/help", "/who", "/back", "/quit", "/say TEXT", "//TEXT", "@NAME"):
        assert usage in text
    assert {line.kind for line in describe(events.HelpAsked(), "alice")} == {Kind.NOTICE}
