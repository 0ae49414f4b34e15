"""Events as lines of text, the same for both front ends.

Control characters are stripped from everything that came over the wire. A message's further lines are
indented, so that none of them can pass for a message of another user.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from qscp.characters import mark_forbidden
from qscp.frames import Reaction, UserPresence
from qscp_client.core import events
from qscp_client.core.commands.table import typed_name
from qscp_client.core.connection_state import Connection, ConnectionState
from qscp_client.core.events import Details, LineState, Place, Reference
from qscp_client.core.notices import Notice, Problem
from qscp_client.core.outbox import EntryKind
from qscp_client.text import Kind, Line, clean, local_time, quote
from qscp_client.ui.help import describe_help
from qscp_client.ui.render_blocks import describe_blocks, describe_folded
from qscp_client.ui.render_errors import explain_failure, is_unconfirmed
from qscp_client.ui.render_notices import describe_notice, describe_problem
from qscp_client.ui.render_rooms import (
    describe_members,
    describe_members_changed,
    describe_room_log,
    describe_room_opened,
    describe_rooms,
    list_rooms,
)

_ERASED: Final = "(erased)"

_ACTION: Final = "/me "
"""Prefix of the body of an action (XEP-0245)."""

_QUOTED = 200
"""Characters shown of a message that was not sent."""

MARKS: Final = {
    LineState.PENDING: "\u00b7 pending",
    LineState.STORED: "\u2713 stored",
    LineState.DELIVERED: "\u2713\u2713 delivered",
    LineState.READ: "\u2713\u2713 read",
    LineState.FAILED: "! failed",
}
"""Delivery state of an own message, as it is shown after it."""


def name_person(person: UserPresence) -> str:
    """Return a name, with the status unless it is online without a text."""
    name = clean(person.user)
    if person.status == "online" and not person.text:
        return name
    text = clean(person.text)
    return f"{name} ({person.status}: {text})" if text else f"{name} ({person.status})"


def describe(  # noqa: C901, PLR0911, PLR0912 - a case for each kind of event
    event: events.Event, me: str
) -> list[Line]:
    """Return the lines of an event.

    Args:
        event: What happened.
        me: Your own name.
    """
    match event:
        case events.MessageReceived():
            return _describe_message(event)
        case events.OwnMessage():
            return [_describe_own(event, me)]
        case events.MessageSent():
            return [pending_line(event, me)]
        case events.Amended():
            return [_describe_amendment(event, me)]
        case events.MessageFailed():
            return _describe_failure(event)
        case Problem():
            return [Line(Kind.PROBLEM, "", describe_problem(event))]
        case events.MessagesFolded():
            return [describe_folded(event)]
        case events.BlocksListed():
            return [describe_blocks(event)]
        case events.SearchDone():
            return _describe_found(event)
        case events.StatusAsked():
            return _describe_status(event)
        case events.HelpAsked():
            return describe_help()
        case events.PickerOpened() | events.WhoAsked():
            return _describe_lists(event)
        case events.RoomOpened():
            return describe_room_opened(event)
        case events.RoomsListed():
            return describe_rooms(event)
        case events.MembersListed():
            return [describe_members(event)]
        case events.RoomLogListed():
            return describe_room_log(event)
        case events.MessagesDiscarded():
            return []
        case _:
            return [Line(Kind.NOTICE, "", _describe_state(event))]


def pending_line(event: events.MessageSent, me: str) -> Line:
    """Return your own message before it has its place in the conversation."""
    now = dt.datetime.now().astimezone()
    head, text = _speaker(f"{now:%H:%M}", me, name_content(event.body, event.kind, event.target))
    return Line(Kind.OWN_MESSAGE, head, text, MARKS[LineState.PENDING])


def _speaker(before: str, sender: str, body: str, reply: str = "") -> tuple[str, str]:
    """Return head and text of a message; an action becomes `* alice waves`."""
    text = mark_forbidden(body)
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
        head, text = f"{before} [{sender}{_reply(details)}]", mark_forbidden(body)
        if text.startswith(_ACTION):
            text = f"* {sender} {text.removeprefix(_ACTION)}"
    lines = [Line(kind, head, text, note=_note(details))]
    if event.is_first:
        back = "back, then " if event.place is Place.OTHER_CHAT else ""
        name = clean(details.room) or sender
        lines.append(Line(Kind.NOTICE, "", f"Reply with: {back}{typed_name(name)}"))
    return lines


def _describe_own(event: events.OwnMessage, me: str) -> Line:
    details = event.details
    before = local_time(event.time_ms, dated=event.dated)
    body = _ERASED if event.erased else event.body
    if event.place is Place.THIS_CHAT:
        head, text = _speaker(before + _number(details), me, body, _reply(details))
    else:
        head, text = f"{before} [to {clean(event.to)}{_reply(details)}]", mark_forbidden(body)
        if text.startswith(_ACTION):
            text = f"* {me} {text.removeprefix(_ACTION)}"
    return Line(Kind.OWN_MESSAGE, head, text, MARKS[event.state], _note(details))


def _number(details: Details) -> str:
    return f" ({details.number})" if details.number else ""


def _reply(details: Details) -> str:
    return f", re {_refer(details.reply)}" if details.reply else ""


def _refer(reference: Reference) -> str:
    """Return how a message is referred to: its number where lines have one, its text where it is known.

    Nothing in the text can end the quotation early.
    """
    text = quote(reference.text).replace('"', "'")
    number = f"({reference.number})" if reference.numbered or not text else ""
    return " ".join(part for part in (number, f'"{text}"' if text else "") if part)


def _note(details: Details) -> str:
    """Return the changes of a message."""
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
    number = f"({event.reference.number})"
    if event.kind is EntryKind.EDIT:
        which = number if event.reference.numbered else _refer(event.reference)
        kind = Kind.OWN_MESSAGE if event.sender == me else Kind.MESSAGE
        return Line(kind, f"{who} edited {which}:", _ERASED if event.erased else mark_forbidden(event.body))
    if event.kind is EntryKind.REDACT:
        return Line(Kind.NOTICE, "", f"{who} deleted {_deleted(event.reference, event.sender)}.")
    reaction = clean(event.body)
    if event.kind is EntryKind.REACT:
        return Line(Kind.NOTICE, "", f"{who} reacted {reaction} to {_refer(event.reference)}")
    return Line(Kind.NOTICE, "", f"{who} removed their {reaction} from {_refer(event.reference)}")


def _deleted(reference: Reference, by: str) -> str:
    author = "" if reference.author == by else clean(reference.author)
    if reference.numbered or not reference.time_ms:
        return f"{author}'s message {reference.number}" if author else f"message {reference.number}"
    time = local_time(reference.time_ms, dated=True)
    return f"{author}'s message from {time}" if author else f"a message from {time}"


def _describe_lists(event: events.PickerOpened | events.WhoAsked) -> list[Line]:
    lines = [Line(Kind.NOTICE, "", list_people(event.people, dict(event.unread)))]
    lines += [Line(Kind.NOTICE, "", text) for text in list_rooms(event.rooms, event.invitations)]
    return lines


def _describe_found(event: events.SearchDone) -> list[Line]:
    query = clean(event.query)
    if not event.found:
        which = " among the newer ones" if event.more else ""
        lines = [Line(Kind.NOTICE, "", f'No messages match "{query}"{which}.')]
    else:
        count = f"{len(event.found)} match{'' if len(event.found) == 1 else 'es'}"
        more = ", and there are older ones" if event.more else ""
        lines = [Line(Kind.NOTICE, "", f'{count} for "{query}"{more}:')]
    for found in event.found:
        time = local_time(found.time_ms, dated=True)
        name, sender = clean(found.name), clean(found.sender)
        body = "(blocked)" if found.folded else mark_forbidden(found.body)
        lines.append(Line(Kind.MESSAGE, f"{time} [{name}] {sender}:", body))
    if not event.complete:
        sentence = "The newest messages are not searchable yet; try again in a moment."
        lines.append(Line(Kind.NOTICE, "", sentence))
    return lines


def describe_connection(connection: Connection) -> str:
    """Return the state of the connection in a few words."""
    match connection.state:
        case ConnectionState.ONLINE:
            return "online"
        case ConnectionState.WAITING:
            return "waiting for the server"
        case ConnectionState.CONNECTING:
            return "connecting"
        case ConnectionState.OFFLINE:
            return f"offline, reconnecting in {connection.retry_s} s"


def name_content(body: str, kind: EntryKind, target: int) -> str:
    """Return the text of a message; of an edit, redaction or reaction with what it is.

    Args:
        body: The text.
        kind: What it is.
        target: The number of the message that it is about.
    """
    match kind:
        case EntryKind.CHAT:
            return body
        case EntryKind.EDIT:
            return f"(edit of {target}) {body}"
        case EntryKind.REDACT:
            return f"(redaction of {target}) {body}".rstrip()
        case EntryKind.REACT:
            return f"(reaction to {target}) {body}"
        case EntryKind.UNREACT:
            return f"(removed reaction to {target}) {body}"


def _describe_status(event: events.StatusAsked) -> list[Line]:
    lines = [Line(Kind.NOTICE, "", f"You are {describe_connection(event.connection)}.")]
    for each in event.lines:
        why = f": {clean(explain_failure(each.failure, each.to))} (/retry, /drop)" if each.failure else ""
        body = _ERASED if each.erased else name_content(each.body, each.kind, each.target)
        lines.append(Line(Kind.NOTICE, "", f"to {clean(each.to)}: {quote(body)}", MARKS[each.state] + why))
    return lines


def _describe_failure(event: events.MessageFailed) -> list[Line]:
    reason = clean(explain_failure(event.failure, event.to))
    body = mark_forbidden(name_content(event.body, event.kind, event.target))
    shown = body if len(body) <= _QUOTED else f"{body[:_QUOTED]} ... ({len(body)} characters)"
    what = "Not confirmed for" if is_unconfirmed(event.failure) else "Not sent to"
    lines = [Line(Kind.PROBLEM, "", f"{what} {clean(event.to)}: {reason}. Your text: {shown}")]
    if event.again:
        lines.append(Line(Kind.NOTICE, "", "/retry sends it again, /drop discards it."))
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
        case events.MembersChanged():
            return describe_members_changed(event)
        case Notice():
            return describe_notice(event)
        case _:  # pragma: no cover - `describe` handles the others
            raise AssertionError(event)


def _describe_opened(event: events.ChatOpened) -> str:
    name = clean(event.name)
    if event.deleted:
        return f"The account of {name} was deleted; you can only read here. Type back to pick someone else."
    if event.blocked:
        return f"You block {name}; you can only read here. /unblock {name} ends that."
    if event.status == "offline" and event.known:
        return f"{name} is offline and will get your messages at the next login."
    if event.status == "offline":
        who = f"{name}, who is not online"
    else:
        who = name_person(UserPresence(event.name, event.status, event.text))
    return f"Chatting with {who}. Everything you type is sent; type back to pick someone else."


def list_people(people: Sequence[UserPresence], unread: Mapping[str, int], room: int | None = None) -> str:
    """Return who is online, and who else has unread messages for you; as many as there is room for.

    Args:
        people: Who is online.
        unread: User -> number of unread messages.
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
    """Return the new state of own messages.

    Args:
        state: The state.
        to: The user or room.
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
