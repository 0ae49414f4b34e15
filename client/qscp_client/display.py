"""Events as lines of text, the same for both front ends.

Whatever came over the wire is stripped of control characters here. A message's further
lines are indented, so that none of them can pass for a line of somebody else.
"""

import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from typing import Final

from qscp.frames import Retention, UserPresence
from qscp.text import strip_controls
from qscp_client import events
from qscp_client.commands import COMMANDS, pick_word
from qscp_client.events import LineState, Place

__all__ = [
    "INDENT",
    "MARKS",
    "Kind",
    "Line",
    "clean",
    "describe",
    "describe_lines",
    "describe_retention",
    "list_people",
    "name_person",
    "pending_line",
]

INDENT = " " * 6
"""In front of the further lines of a message: the width of its time."""

_ERASED: Final = "(erased)"

_SHORT = 40
"""Characters shown of a message of which only the state is told."""

_QUOTED = 200
"""Characters shown of a message that was not delivered."""

MARKS: Final = {
    LineState.PENDING: "\u00b7 pending",
    LineState.STORED: "\u2713 stored",
    LineState.DELIVERED: "\u2713\u2713 delivered",
    LineState.READ: "\u2713\u2713 read",
    LineState.FAILED: "! failed",
}
"""How far an own line has come, as it is shown behind it."""

_HELP = (
    ("NAME", "choose somebody, online or not; @NAME if the name is a word such as back"),
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
    mark: str = ""
    """How far an own line has come."""

    def __str__(self) -> str:
        """Head and text, with further lines of the text indented."""
        text = f"{self.head} {self.text}".strip().replace("\n", "\n" + INDENT)
        return f"{text}  {self.mark}" if self.mark else text


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


def describe(  # noqa: PLR0911 - a case for each kind of event
    event: events.Event, me: str
) -> list[Line]:
    """Turn an event into lines.

    Args:
        event: What happened.
        me: Your own name.
    """
    match event:
        case events.MessageReceived():
            return _describe_message(event)
        case events.OwnMessage():
            return [_describe_own(event, me)]
        case events.MessageSent(_, _, body):
            return [pending_line(body, me)]
        case events.MessageFailed():
            return _describe_failure(event)
        case events.Problem(sentence):
            return [Line(Kind.PROBLEM, "", clean(sentence))]
        case events.SearchDone():
            return _describe_found(event)
        case events.StatusAsked():
            return _describe_status(event)
        case events.HelpAsked():
            return _describe_help()
        case events.MessagesGivenUp():
            return []
        case _:
            return [Line(Kind.NOTICE, "", _describe_state(event))]


def pending_line(body: str, me: str) -> Line:
    """Your own line before it has its place in the conversation."""
    now = dt.datetime.now().astimezone()
    return Line(Kind.OWN_MESSAGE, f"{now:%H:%M} {me}:", strip_controls(body), MARKS[LineState.PENDING])


def _describe_message(event: events.MessageReceived) -> list[Line]:
    sender = clean(event.sender)
    time = _local_time(event.time_ms, dated=event.dated)
    head = f"{time} {sender}:" if event.place is Place.THIS_CHAT else f"{time} [{sender}]"
    lines = [Line(Kind.MESSAGE, head, _ERASED if event.erased else strip_controls(event.body))]
    if event.is_first:
        back = "back, then " if event.place is Place.OTHER_CHAT else ""
        lines.append(Line(Kind.NOTICE, "", f"To answer {sender}, type {back}{pick_word(sender)}."))
    return lines


def _describe_own(event: events.OwnMessage, me: str) -> Line:
    time = _local_time(event.time_ms, dated=event.dated)
    head = f"{time} {me}:" if event.place is Place.THIS_CHAT else f"{time} [to {clean(event.to)}]"
    text = _ERASED if event.erased else strip_controls(event.body)
    return Line(Kind.OWN_MESSAGE, head, text, MARKS[event.state])


def _describe_found(event: events.SearchDone) -> list[Line]:
    query = clean(event.query)
    if not event.found:
        lines = [Line(Kind.NOTICE, "", f"Nothing has all of: {query}")]
    else:
        more = ", and there are older ones" if event.more else ""
        lines = [Line(Kind.NOTICE, "", f"Found for {query}: {len(event.found)}{more}")]
    for found in event.found:
        time = _local_time(found.time_ms, dated=True)
        name, sender = clean(found.name), clean(found.sender)
        lines.append(Line(Kind.MESSAGE, f"{time} [{name}] {sender}:", strip_controls(found.body)))
    if not event.complete:
        sentence = "The newest messages can't be found yet; ask again in a moment."
        lines.append(Line(Kind.NOTICE, "", sentence))
    return lines


def _describe_status(event: events.StatusAsked) -> list[Line]:
    lines = [Line(Kind.NOTICE, "", f"You are {event.connection or 'online'}.")]
    for to, body, state, reason in event.lines:
        why = f": {clean(reason).rstrip('.')} (/retry, /drop)" if reason else ""
        text = f"to {clean(to)}: {_quote(body)}"
        lines.append(Line(Kind.NOTICE, "", text, MARKS[state] + why))
    return lines


def _quote(body: str) -> str:
    """A message of which it is enough to know which one it is."""
    text = " ".join(strip_controls(body).split())
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}..."


def _describe_failure(event: events.MessageFailed) -> list[Line]:
    reason = clean(event.reason).rstrip(".")
    body = strip_controls(event.body)
    shown = body if len(body) <= _QUOTED else f"{body[:_QUOTED]} ... ({len(body)} characters)"
    lines = [Line(Kind.PROBLEM, "", f"Not delivered to {event.to}: {reason}. It was: {shown}")]
    if event.again:
        lines.append(Line(Kind.NOTICE, "", "/retry sends it again, /drop gives it up."))
    return lines


def _describe_state(event: events.Event) -> str:
    match event:
        case events.Welcome(me):
            return f"Welcome, {clean(me)}. Type a name to chat, /help for help, quit to leave."
        case events.PickerOpened(people, unread) | events.WhoAsked(people, unread):
            return list_people(people, dict(unread))
        case events.ChatOpened():
            return _describe_opened(event)
        case events.Delivered():
            return describe_lines(event.state, event.to, [body for _, body in event.messages])
        case events.PresenceChanged():
            return _describe_change(event)
        case events.Notice(sentence):
            return clean(sentence)
        case _:  # pragma: no cover - `describe` handles the others
            raise AssertionError(event)


def _describe_opened(event: events.ChatOpened) -> str:
    if event.status != "offline":
        who = name_person(UserPresence(event.name, event.status, event.text))
    elif event.known:
        who = f"{event.name}, who is offline; your messages wait"
    else:
        who = f"{event.name}, who is not online"
    return f"Chatting with {who}. Every line you type is sent; back chooses somebody else."


def describe_retention(retention: Retention) -> str:
    """What the server keeps, if that is limited; else nothing."""
    parts = []
    if retention.messages is not None:
        parts.append(f"the newest {retention.messages} messages of each conversation")
    if retention.seconds is not None:
        parts.append(f"messages for {_duration(retention.seconds)}")
    return f"The server keeps {', and '.join(parts)}." if parts else ""


def _duration(seconds: int) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds} seconds"


def list_people(people: Sequence[UserPresence], unread: Mapping[str, int], room: int | None = None) -> str:
    """Name who is online, and who else has unread messages for you; as many as there is room for.

    Args:
        people: Who is online.
        unread: How many unread messages each has for you.
        room: Characters that fit; None for any number.
    """
    online = {person.user for person in people}
    names = [(name_person(person), unread.get(person.user, 0)) for person in people]
    names += [(f"{clean(name)} (offline)", count) for name, count in unread.items() if name not in online]
    begin = "Online: " if people else "Nobody else is online. "
    shown: list[str] = []
    for name, count in names:
        text = f"{name}{f' [{count} unread]' if count else ''}"
        if room is not None:
            room -= len(text) + len(", ")
            if shown and room < 0:
                break
        shown.append(text)
    more = f" and {len(names) - len(shown)} more (/who)" if len(shown) < len(names) else ""
    return f"{begin}{', '.join(shown)}{more}".rstrip()


def describe_lines(state: LineState, to: str, bodies: Sequence[str]) -> str:
    """Tell how far own lines to somebody have come."""
    word = {LineState.READ: "by", LineState.STORED: "for"}.get(state, "to")
    which = _quote(bodies[-1])
    what = which if len(bodies) == 1 else f"{len(bodies)} messages up to {which}"
    return f"{MARKS[state]} {word} {clean(to)}: {what}"


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
    return [Line(Kind.NOTICE, "", f"{usage:<13} {text}") for usage, text in (*_HELP, *commands)]


def _local_time(time_ms: int, *, dated: bool) -> str:
    """The time of day; with its date if it may be of another day, and is."""
    try:
        moment = dt.datetime.fromtimestamp(time_ms / 1000, tz=dt.UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        return "--:--"  # a time that no calendar has
    if dated and moment.date() != dt.datetime.now().astimezone().date():
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment:%H:%M}"
