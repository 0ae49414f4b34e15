"""Events as lines of text, the same for both front ends.

Whatever came over the wire is stripped of control characters here. A message's further
lines are indented, so that none of them can pass for a line of somebody else.
"""

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable, Mapping, Sequence

from qscp.frames import UserPresence
from qscp.text import strip_controls
from qscp_client import events
from qscp_client.commands import COMMANDS, pick_word

__all__ = ["INDENT", "Kind", "Line", "clean", "describe", "list_people", "name_person"]

INDENT = " " * 6
"""In front of the further lines of a message: the width of its time."""

_QUOTED = 200
"""Characters shown of a message that was not delivered."""

_HELP = (
    ("NAME", "choose somebody who is online; @NAME if the name is a word such as back"),
    ("TEXT", "in a chat: send it"),
    ("back", "leave this chat and choose somebody else; counts only as a whole typed line"),
    ("quit", "leave; counts only as a whole typed line"),
    ("//TEXT", "send /TEXT"),
)


class Kind(enum.Enum):
    """What a line is about, for its colour or its stream."""

    MESSAGE = enum.auto()
    OWN_MESSAGE = enum.auto()
    NOTICE = enum.auto()
    PROBLEM = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """Something to print; `head` may get a colour, `text` may have newlines."""

    kind: Kind
    head: str
    text: str

    def __str__(self) -> str:
        """Head and text, with further lines of the text indented."""
        return f"{self.head} {self.text}".strip().replace("\n", "\n" + INDENT)


def clean(sentence: str) -> str:
    """Make one harmless line of a sentence or a name that the server sent."""
    return " ".join(strip_controls(sentence).split())


def name_person(person: UserPresence) -> str:
    """A name, with the status where there is something to say."""
    name = clean(person.user)
    if person.status == "online" and not person.text:
        return name
    text = clean(person.text)
    return f"{name} ({person.status}: {text})" if text else f"{name} ({person.status})"


def describe(event: events.Event, me: str) -> list[Line]:
    """Turn an event into lines.

    Args:
        event: What happened.
        me: Your own name.
    """
    match event:
        case events.MessageReceived():
            return _describe_message(event)
        case events.MessageSent(_, body):
            now = dt.datetime.now().astimezone()
            return [Line(Kind.OWN_MESSAGE, f"{now:%H:%M} {me}:", strip_controls(body))]
        case events.MessageFailed():
            return _describe_failure(event)
        case events.Problem(sentence):
            return [Line(Kind.PROBLEM, "", clean(sentence))]
        case events.HelpAsked():
            return _describe_help()
        case _:
            return [Line(Kind.NOTICE, "", _describe_state(event))]


def _describe_message(event: events.MessageReceived) -> list[Line]:
    sender = clean(event.sender)
    time = _local_time(event.time_ms)
    head = f"{time} {sender}:" if event.place is events.Place.THIS_CHAT else f"{time} [{sender}]"
    lines = [Line(Kind.MESSAGE, head, strip_controls(event.body))]
    if event.is_first:
        back = "back, then " if event.place is events.Place.OTHER_CHAT else ""
        lines.append(Line(Kind.NOTICE, "", f"To answer {sender}, type {back}{pick_word(sender)}."))
    return lines


def _describe_failure(event: events.MessageFailed) -> list[Line]:
    reason = clean(event.reason).rstrip(".")
    body = strip_controls(event.body)
    shown = body if len(body) <= _QUOTED else f"{body[:_QUOTED]} ... ({len(body)} characters)"
    return [Line(Kind.PROBLEM, "", f"Not delivered to {event.to}: {reason}. It was: {shown}")]


def _describe_state(event: events.Event) -> str:
    match event:
        case events.Welcome(me):
            return f"Welcome, {clean(me)}. Type a name to chat, /help for help, quit to leave."
        case events.PickerOpened(people) | events.WhoAsked(people):
            return _describe_people(people)
        case events.ChatOpened(name):
            return f"Chatting with {name}. Every line you type is sent; back chooses somebody else."
        case events.PresenceChanged():
            return _describe_change(event)
        case events.Notice(sentence):
            return clean(sentence)
        case _:  # pragma: no cover - `describe` handles the others
            raise AssertionError(event)


def list_people(people: Sequence[UserPresence], waiting: Mapping[str, int], room: int) -> str:
    """Name who is online, as many as there is room for.

    Args:
        people: Who is online.
        waiting: How many messages of each wait for an answer.
        room: Characters that fit.
    """
    if not people:
        return "Nobody else is online."
    names: list[str] = []
    for person in people:
        count = waiting.get(person.user, 0)
        name = f"{name_person(person)}{f' [{count} new]' if count else ''}"
        room -= len(name) + len(", ")
        if names and room < 0:
            break
        names.append(name)
    more = f" and {len(people) - len(names)} more (/who)" if len(names) < len(people) else ""
    return f"Online: {', '.join(names)}{more}"


def _describe_people(people: Iterable[UserPresence]) -> str:
    names = ", ".join(name_person(person) for person in people)
    return f"Online: {names}" if names else "Nobody else is online."


def _describe_change(event: events.PresenceChanged) -> str:
    name = clean(event.person.user)
    if event.person.status == "offline":
        return f"{name} went offline."
    if event.person.status == "away":
        text = clean(event.person.text)
        return f"{name} is away: {text}" if text else f"{name} is away."
    again = " again" if event.is_partner and not event.was_online else ""
    return f"{name} is online{again}."


def _describe_help() -> list[Line]:
    commands = [(command.usage, command.help) for command in COMMANDS.values()]
    return [Line(Kind.NOTICE, "", f"{usage:<10} {text}") for usage, text in (*_HELP, *commands)]


def _local_time(time_ms: int) -> str:
    try:
        moment = dt.datetime.fromtimestamp(time_ms / 1000, tz=dt.UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        return "--:--"  # a time that no calendar has
    return f"{moment:%H:%M}"
