"""Events as lines of text, the same for both front ends.

Whatever came over the wire is stripped of control characters here. A message's further
lines are indented, so that none of them can pass for a line of somebody else.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from qscp.frames import Reaction, Retention, UserPresence
from qscp.text import strip_controls
from qscp_client.core import events
from qscp_client.core.commands.table import COMMANDS, Group, pick_word
from qscp_client.core.events import Details, LineState, Place, Pointer
from qscp_client.core.outbox import EntryKind
from qscp_client.durations import describe_duration
from qscp_client.text import Kind, Line, clean, local_time, quote
from qscp_client.ui.render_rooms import (
    describe_members,
    describe_room_log,
    describe_room_opened,
    describe_rooms,
    list_rooms,
)

__all__ = [
    "MARKS",
    "describe",
    "describe_lines",
    "describe_retention",
    "list_people",
    "name_person",
    "pending_line",
]

_ERASED: Final = "(erased)"

_ACTION: Final = "/me "
"""How the body of a message begins that says what somebody does (XEP-0245)."""

_USAGE: Final = 23
"""Columns for how a command is typed; a longer one has its help in the next line."""

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
    ("NAME", "choose somebody; @NAME if it is a word such as back"),
    ("#ROOM", "enter a room that you are in"),
    ("TEXT", "in a chat: send it"),
    ("back", "leave this chat, if it is the whole line"),
    ("quit", "leave, if it is the whole line"),
    ("//TEXT", "send /TEXT"),
)


def name_person(person: UserPresence) -> str:
    """A name, with the status where there is something to say."""
    name = clean(person.user)
    if person.status == "online" and not person.text:
        return name
    text = clean(person.text)
    return f"{name} ({person.status}: {text})" if text else f"{name} ({person.status})"


def describe(  # noqa: C901, PLR0911, PLR0912 - a case for each kind of event
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
        case events.Amended():
            return [_describe_amendment(event, me)]
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
        case events.PickerOpened() | events.WhoAsked():
            return _describe_lists(event)
        case events.RoomOpened():
            return describe_room_opened(event)
        case events.RoomsTold():
            return describe_rooms(event)
        case events.RoomMembersTold():
            return [describe_members(event)]
        case events.RoomLogTold():
            return describe_room_log(event)
        case events.MessagesGivenUp():
            return []
        case _:
            return [Line(Kind.NOTICE, "", _describe_state(event))]


def pending_line(body: str, me: str) -> Line:
    """Your own line before it has its place in the conversation."""
    now = dt.datetime.now().astimezone()
    head, text = _speaker(f"{now:%H:%M}", me, body)
    return Line(Kind.OWN_MESSAGE, head, text, MARKS[LineState.PENDING])


def _speaker(before: str, sender: str, body: str, reply: str = "") -> tuple[str, str]:
    """Head and text of a message; `/me` and what somebody does stands as `* somebody does it`."""
    text = strip_controls(body)
    if text.startswith(_ACTION):
        return f"{before} * {sender}{reply}", text.removeprefix(_ACTION)
    return f"{before} {sender}{reply}:", text


def _describe_message(event: events.MessageReceived) -> list[Line]:
    sender, details = clean(event.sender), event.details
    before = local_time(event.time_ms, dated=event.dated)
    kind = Kind.MENTION if details.mentions_me else Kind.MESSAGE
    body = _ERASED if event.erased else event.body
    if event.place is Place.THIS_CHAT or details.room:
        where = _number(details) if event.place is Place.THIS_CHAT else f" [{clean(details.room)}]"
        head, text = _speaker(before + where, sender, body, _reply(details))
    else:
        head, text = f"{before} [{sender}{_reply(details)}]", strip_controls(body)
        if text.startswith(_ACTION):
            text = f"* {sender} {text.removeprefix(_ACTION)}"
    lines = [Line(kind, head, text, note=_note(details))]
    if event.is_first:
        back = "back, then " if event.place is Place.OTHER_CHAT else ""
        whom = clean(details.room) or sender
        where = f"answer in {whom}" if details.room else f"answer {whom}"
        lines.append(Line(Kind.NOTICE, "", f"To {where}, type {back}{pick_word(whom)}."))
    return lines


def _describe_own(event: events.OwnMessage, me: str) -> Line:
    details = event.details
    before = local_time(event.time_ms, dated=event.dated)
    body = _ERASED if event.erased else event.body
    if event.place is Place.THIS_CHAT:
        head, text = _speaker(before + _number(details), me, body, _reply(details))
    else:
        head, text = f"{before} [to {clean(event.to)}{_reply(details)}]", strip_controls(body)
        if text.startswith(_ACTION):
            text = f"* {me} {text.removeprefix(_ACTION)}"
    return Line(Kind.OWN_MESSAGE, head, text, MARKS[event.state], _note(details))


def _number(details: Details) -> str:
    return f" ({details.number})" if details.number else ""


def _reply(details: Details) -> str:
    return f", re {_point(details.reply)}" if details.reply else ""


def _point(pointer: Pointer) -> str:
    """How a message is called: with its number where lines have one, and its text where it is known.

    Nothing in the text can end the quotation before its end.
    """
    text = quote(pointer.text).replace('"', "'")
    number = f"({pointer.number})" if pointer.numbered or not text else ""
    return " ".join(part for part in (number, f'"{text}"' if text else "") if part)


def _note(details: Details) -> str:
    """What happened to a message."""
    parts = ["(edited)"] if details.edited else []
    if details.reactions:
        parts.append(f"[{', '.join(_reaction(each) for each in details.reactions)}]")
    return " ".join(parts)


def _reaction(reaction: Reaction) -> str:
    you = " with you" if reaction.mine and reaction.count > 1 else " by you" if reaction.mine else ""
    return f"{clean(reaction.text)} {reaction.count}{you}"


def _describe_amendment(event: events.Amended, me: str) -> Line:
    before = local_time(event.time_ms, dated=event.dated)
    if event.place is not Place.THIS_CHAT:
        before += f" [{clean(event.to)}]"
    who = f"{before} {clean(event.sender)}"
    number = f"({event.pointer.number})"
    if event.kind is EntryKind.EDIT:
        which = number if event.pointer.numbered else _point(event.pointer)
        kind = Kind.OWN_MESSAGE if event.sender == me else Kind.MESSAGE
        return Line(kind, f"{who} edited {which}:", _ERASED if event.erased else strip_controls(event.body))
    if event.kind is EntryKind.REDACT:
        author = clean(event.pointer.author)
        which = (
            number
            if event.pointer.numbered or not event.pointer.time_ms
            else (f"what was written at {local_time(event.pointer.time_ms, dated=True)}")
        )
        whose = f" of {author}" if author and author != event.sender else ""
        verb = "took back" if event.pointer.author == event.sender else "removed"
        return Line(Kind.NOTICE, "", f"{who} {verb} {which}{whose}.")
    reaction = clean(event.body)
    if event.kind is EntryKind.REACT:
        return Line(Kind.NOTICE, "", f"{who} reacted {reaction} to {_point(event.pointer)}")
    return Line(Kind.NOTICE, "", f"{who} took {reaction} off {_point(event.pointer)}")


def _describe_lists(event: events.PickerOpened | events.WhoAsked) -> list[Line]:
    lines = [Line(Kind.NOTICE, "", list_people(event.people, dict(event.unread)))]
    lines += [Line(Kind.NOTICE, "", text) for text in list_rooms(event.rooms, event.invitations)]
    return lines


def _describe_found(event: events.SearchDone) -> list[Line]:
    query = clean(event.query)
    if not event.found:
        lines = [Line(Kind.NOTICE, "", f"Nothing has all of: {query}")]
    else:
        more = ", and there are older ones" if event.more else ""
        lines = [Line(Kind.NOTICE, "", f"Found for {query}: {len(event.found)}{more}")]
    for found in event.found:
        time = local_time(found.time_ms, dated=True)
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
        text = f"to {clean(to)}: {quote(body)}"
        lines.append(Line(Kind.NOTICE, "", text, MARKS[state] + why))
    return lines


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
        parts.append(f"messages for {describe_duration(retention.seconds)}")
    return f"The server keeps {', and '.join(parts)}." if parts else ""


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


def describe_lines(state: LineState, to: str, bodies: Sequence[str], number: int = 0) -> str:
    """Tell how far own lines have come.

    Args:
        state: How far.
        to: To whom, or in which room.
        bodies: Their texts.
        number: Of the last one; 0 if it has none.
    """
    word = {LineState.READ: "by", LineState.STORED: "for"}.get(state, "to")
    which = f"({number}) {quote(bodies[-1])}" if number else quote(bodies[-1])
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
    shown = [f"{usage:<{_USAGE}} {text}" for usage, text in _HELP]
    for group in Group:
        shown.append(f"{group.value}:")
        for command in COMMANDS.values():
            if command.group is group:
                if len(command.usage) > _USAGE:
                    shown += [command.usage, f"{'':<{_USAGE}} {command.help}"]
                else:
                    shown.append(f"{command.usage:<{_USAGE}} {command.help}")
    return [Line(Kind.NOTICE, "", text) for text in shown]
