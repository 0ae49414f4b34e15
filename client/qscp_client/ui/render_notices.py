"""Notices and problems as sentences: one function for each code."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final

from qscp.errors import ErrorCode
from qscp.frames import Room
from qscp.rooms import HistoryFrom, RoomRole, is_room
from qscp_client.core.commands.table import typed_name
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.durations import describe_duration
from qscp_client.text import clean, describe_end, quote
from qscp_client.ui.help import describe_usage
from qscp_client.ui.render_errors import explain_error, explain_room_refusal

_TARGET_VERBS: Final = {"reply": "reply to", "edit": "edit", "redact": "delete"}
"""Command -> what it does to a message; the others react to it."""

_DURATIONS: Final = "Examples: 30s, 10m, 2h, 7d."


def describe_notice(notice: Notice) -> str:
    """Return the sentence for a notice, in one line without control characters."""
    return clean(NOTICES[notice.code](notice))


def describe_problem(problem: Problem) -> str:
    """Return the sentence for a problem, in one line without control characters."""
    return clean(PROBLEMS[problem.code](problem))


def describe_settings(room: Room) -> str:
    """Return kind, history and slow mode of a room."""
    full, joining = "new members see all messages", "new members see messages from when they joined"
    slow = f"; slow mode {room.slow} s" if room.slow else ""
    return f"{room.kind}; {full if room.history is HistoryFrom.FULL else joining}{slow}"


def with_article(role: RoomRole | None) -> str:
    """Return a role with its article: "an owner"."""
    return f"an {role}" if role is RoomRole.OWNER else f"a {role}"


def count_messages(count: int, adjective: str = "") -> str:
    """Return a number of messages in words."""
    return f"{count} {adjective}{' ' if adjective else ''}message{'' if count == 1 else 's'}"


def _by(notice: Notice, done: str, passive: str) -> str:
    """Return who did something to you, and for how long, and why."""
    end = f" {until}" if (until := describe_end(notice.until_ms)) else ""
    why = f": {notice.text.rstrip('.')}" if notice.text else ""
    return f"{f'{notice.by} {done}' if notice.by else passive}{end}{why}."


def _did(notice: Notice, done: str, passive: str) -> str:
    """Return who did something to another member or to the room, for how long, and why."""
    return _by(dataclasses.replace(notice, by=_actor(notice)), done, passive)


def _actor(notice: Notice) -> str:
    """Return who did something, to begin a sentence; empty if that is not known."""
    return "The operator" if notice.is_operator else notice.by


def _topic(notice: Notice) -> str:
    if not notice.text:
        return _did(notice, f"removed the topic of {notice.name}", f"The topic of {notice.name} was removed")
    who = _actor(notice)
    return f"{f'{who} set a new topic of' if who else 'New topic of'} {notice.name}: {notice.text}"


def _until(notice: Notice) -> str:
    end = describe_end(notice.until_ms)
    return f" {end}" if end else ""


def _where(name: str) -> str:
    return f"in {name}" if is_room(name) else f"with {name}" if name else "in this chat"


def _retention(notice: Notice) -> str:
    parts = [f"the newest {notice.count} messages of each conversation"] if notice.count else []
    parts += [f"messages for {describe_duration(notice.seconds)}"] if notice.seconds else []
    return f"The server keeps {', and '.join(parts)}."


def _connection_lost(notice: Notice) -> str:
    return f"{notice.text.rstrip('.') or 'Connection lost'}; reconnecting. What you type is kept."


def _missing_unread(notice: Notice) -> str:
    where = f" {_where(notice.name)}" if notice.name else ""
    shows = "shows it" if notice.count == 1 else "shows them"
    return f"{count_messages(notice.count, 'earlier unread')}{where}; /history {shows}."


def _missing_removed(notice: Notice) -> str:
    were = "was" if notice.count == 1 else "were"
    return f"{count_messages(notice.count, 'older')} {_where(notice.name)} {were} removed by the server."


def _missing_damaged(notice: Notice) -> str:
    what = f"{count_messages(notice.count)} {_where(notice.name)}"
    return f"{what} {'is' if notice.count == 1 else 'are'} damaged on the server and can't be shown."


def _missing_hidden(notice: Notice) -> str:
    what = f"{count_messages(notice.count, 'older')} {_where(notice.name)}"
    return f"{what}: from before you joined, or removed by the server."


def _settings(notice: Notice) -> str:
    who = _actor(notice)
    done = f"{who} changed {notice.name}" if who else f"{notice.name} was changed"
    if notice.room is None:
        return f"{done}."
    return f"{done if who else notice.name}: {describe_settings(notice.room)}."


def _unknown_command(problem: Problem) -> str:
    hint = f"Did you mean /{problem.text}?" if problem.text else "/help lists commands."
    return (
        f"Unknown command /{problem.command}; nothing was sent. {hint} "
        f"To send a message that starts with /, type //{problem.command}."
    )


def _not_in_chat(problem: Problem) -> str:
    hint = f" To chat with the user {problem.name}, type {typed_name(problem.name)}." if problem.name else ""
    return f"You are not in a chat. Type a name or #room.{hint}"


def _join_unanswered(problem: Problem) -> str:
    count = problem.count
    lines = (
        f"; {count} line{'' if count == 1 else 's'} typed after it {'was' if count == 1 else 'were'} not sent"
    )
    return f"The server did not say whether you can enter {problem.name}{lines if count else ''}."


def _block_refused(problem: Problem) -> str:
    if problem.error == ErrorCode.UNCHANGED:
        already = problem.command == "block"
        return f"You already block {problem.user}." if already else f"You do not block {problem.user}."
    return explain_error(problem.error, problem.text, name=problem.user, user=problem.user)


def _target_verb(problem: Problem) -> str:
    return _TARGET_VERBS.get(problem.command, "react to")


NOTICES: Final[Mapping[NoticeCode, Callable[[Notice], str]]] = {
    NoticeCode.LOGIN_REFUSED: lambda n: explain_error(n.error, n.text),
    NoticeCode.RETENTION: _retention,
    NoticeCode.LOGIN_WAITS: lambda n: f"The server is busy; trying again in {describe_duration(n.seconds)}.",
    NoticeCode.NOT_SAVED: lambda n: f"Nothing is saved on this computer: {n.text}.",
    NoticeCode.NO_LONGER_SAVED: lambda n: f"From now on nothing is saved on this computer: {n.text}.",
    NoticeCode.CONNECTION_LOST: _connection_lost,
    NoticeCode.RECONNECTED: lambda _: "Reconnected.",
    NoticeCode.WAITING_FOR_SERVER: lambda _: "Waiting for the server: it has not answered for some seconds.",
    NoticeCode.HISTORY_RELOADED: lambda _: (
        "The server has another history than before (a restored backup, or a new store); it was loaded."
    ),
    NoticeCode.SERVER_ERROR: lambda n: explain_error(n.error, n.text),
    NoticeCode.AWAY: lambda n: f"You are away{f': {n.text}' if n.text else ''}. /here ends that.",
    NoticeCode.NO_LONGER_AWAY: lambda _: "Welcome back; you are no longer away.",
    NoticeCode.HIDDEN: lambda _: (
        "You appear offline to others, also at the next start. Messages reach you, but their senders see "
        "✓✓ delivered only after /here."
    ),
    NoticeCode.NO_LONGER_HIDDEN: lambda _: "You no longer appear offline.",
    NoticeCode.HIDDEN_LATE: lambda _: (
        "This server is too old to hide a login: others saw you online for a moment."
    ),
    NoticeCode.HIDDEN_ELSEWHERE: lambda _: (
        "You appear offline: another of your devices hides you. /here on that device ends it."
    ),
    NoticeCode.FAILED_BEFORE: lambda n: (
        f"{count_messages(n.count, 'failed')} from before. "
        "/status shows them, /retry all sends them again, /drop all discards them."
    ),
    NoticeCode.DISCARDED: lambda n: f"{count_messages(n.count)} discarded.",
    NoticeCode.WAITING_FOR_STORAGE: lambda n: (
        f"{explain_error(n.error, n.text)} It is sent again automatically; /retry does it now."
    ),
    NoticeCode.BLOCKED: lambda n: (
        f"You block {n.name}: nothing they send you arrives, and in rooms their messages are folded "
        f"(/show shows them). /unblock {n.name} ends it."
    ),
    NoticeCode.UNBLOCKED: lambda n: f"You no longer block {n.name}.",
    NoticeCode.THROTTLED: lambda _: (
        "You are sending faster than the server accepts; your messages are sent as soon as it does."
    ),
    NoticeCode.ANSWER_LOST: lambda _: "The connection was lost before the answer came; ask again.",
    NoticeCode.NO_MESSAGES: lambda n: f"No messages {_where(n.name)} yet.",
    NoticeCode.NO_OLDER_MESSAGES: lambda n: f"No older messages {_where(n.name)}.",
    NoticeCode.OLDER_BEGIN: lambda n: f"Older messages {_where(n.name)}:",
    NoticeCode.OLDER_END_MORE: lambda _: "(/history shows more)",
    NoticeCode.OLDER_END_FIRST: lambda _: "(beginning of the conversation)",
    NoticeCode.OLDER_END_HIDDEN: lambda _: "(you can't see older messages)",
    NoticeCode.OLDER_END_REMOVED: lambda _: "(older messages were removed by the server)",
    NoticeCode.LAST_BEGIN: lambda n: f"Last messages {_where(n.name)}:",
    NoticeCode.LAST_END: lambda _: "(end of the last messages)",
    NoticeCode.FOLDED_BEGIN: lambda n: f"Messages of users you block {_where(n.name)}:",
    NoticeCode.FOLDED_END: lambda _: "(end of the folded messages)",
    NoticeCode.NOTHING_FOLDED: lambda n: f"No folded messages {_where(n.name)}.",
    NoticeCode.OLDER_AVAILABLE: lambda _: "There are older messages: /history shows them.",
    NoticeCode.MISSING_UNREAD: _missing_unread,
    NoticeCode.MISSING_REMOVED: _missing_removed,
    NoticeCode.MISSING_DAMAGED: _missing_damaged,
    NoticeCode.MISSING_HIDDEN: _missing_hidden,
    NoticeCode.ROOM_ANSWER_LOST: lambda _: (
        "The connection was lost before the answer came; check whether it was done."
    ),
    NoticeCode.ROOM_ADDED: lambda n: (
        f"You are now a member of {n.name}; type {n.name} in the list to enter it."
    ),
    NoticeCode.ROOM_GONE: lambda n: f"You are no longer a member of {n.name}.",
    NoticeCode.LEFT: lambda n: f"You left {n.name}.",
    NoticeCode.REMOVED: lambda n: _by(n, f"removed you from {n.name}", f"You were removed from {n.name}"),
    NoticeCode.BANNED: lambda n: _by(n, f"banned you from {n.name}", f"You were banned from {n.name}"),
    NoticeCode.ROOM_DELETED: lambda n: _by(n, f"deleted {n.name}", f"{n.name} was deleted"),
    NoticeCode.NO_LONGER_MEMBER: lambda n: _by(
        n, f"ended your membership of {n.name}", f"You are no longer a member of {n.name}"
    ),
    NoticeCode.INVITED: lambda n: (
        f"{n.by} invited you to {n.name}. Try /join {n.name}."
        if n.by
        else f"You were invited to {n.name}. Try /join {n.name}."
    ),
    NoticeCode.INVITATION_DECLINED: lambda n: f"You declined the invitation to {n.name}.",
    NoticeCode.INVITATION_WITHDRAWN: lambda n: _by(
        n, f"withdrew your invitation to {n.name}", f"Your invitation to {n.name} was withdrawn"
    ),
    NoticeCode.INVITING_ROOM_DELETED: lambda n: _by(
        n, f"deleted {n.name}, which you were invited to", f"{n.name}, which you were invited to, was deleted"
    ),
    NoticeCode.ACCOUNT_DELETED: lambda n: (
        f"The account of {n.name} was deleted. You can still read here; type back to pick someone else."
    ),
    NoticeCode.NAME_GIVEN_AWAY: lambda n: (
        f"The name {n.user} was given to another account. The one in this chat, now {n.name}, was deleted. "
        f"To write to the new one, type back, then {typed_name(n.user)}."
    ),
    NoticeCode.YOUR_ROLE: lambda n: _by(
        n, f"made you {with_article(n.role)} of {n.name}", f"You are now {with_article(n.role)} of {n.name}"
    ),
    NoticeCode.MUTED: lambda n: _by(n, f"muted you in {n.name}", f"You are muted in {n.name}"),
    NoticeCode.UNMUTED: lambda n: _by(n, f"unmuted you in {n.name}", f"You are no longer muted in {n.name}"),
    NoticeCode.TOPIC: lambda n: f"Topic of {n.name}: {n.text}" if n.text else f"{n.name} has no topic.",
    NoticeCode.TOPIC_CHANGED: _topic,
    NoticeCode.ARCHIVED: lambda n: _did(
        n, f"archived {n.name} (read-only)", f"{n.name} is now archived (read-only)"
    ),
    NoticeCode.UNARCHIVED: lambda n: _did(n, f"made {n.name} active again", f"{n.name} is active again"),
    NoticeCode.SETTINGS: _settings,
    NoticeCode.MEMBER_ROLE: lambda n: _did(
        n, f"made {n.user} {with_article(n.role)}", f"{n.user} is now {with_article(n.role)}"
    ),
    NoticeCode.MEMBER_REMOVED: lambda n: _did(
        n, f"removed {n.user} from {n.name}", f"{n.user} was removed from {n.name}"
    ),
    NoticeCode.MEMBER_BANNED: lambda n: _did(
        n, f"banned {n.user} from {n.name}", f"{n.user} was banned from {n.name}"
    ),
    NoticeCode.MEMBER_UNBANNED: lambda n: _did(
        n, f"unbanned {n.user} from {n.name}", f"{n.user} is no longer banned from {n.name}"
    ),
    NoticeCode.MEMBER_MUTED: lambda n: _did(
        n, f"muted {n.user} in {n.name}", f"{n.user} is muted in {n.name}"
    ),
    NoticeCode.MEMBER_UNMUTED: lambda n: _did(
        n, f"unmuted {n.user} in {n.name}", f"{n.user} is no longer muted in {n.name}"
    ),
    NoticeCode.DID_INVITE: lambda n: f"{n.user} was invited to {n.name}.",
    NoticeCode.DID_REMOVE: lambda n: f"You removed {n.user} from {n.name}.",
    NoticeCode.DID_BAN: lambda n: f"You banned {n.user} from {n.name}{_until(n)}.",
    NoticeCode.DID_UNBAN: lambda n: f"{n.user} is no longer banned from {n.name}.",
    NoticeCode.DID_MUTE: lambda n: f"You muted {n.user} in {n.name}{_until(n)}.",
    NoticeCode.DID_UNMUTE: lambda n: f"{n.user} is no longer muted in {n.name}.",
    NoticeCode.DID_SET_ROLE: lambda n: f"You made {n.user} {with_article(n.role)} of {n.name}.",
}

PROBLEMS: Final[Mapping[ProblemCode, Callable[[Problem], str]]] = {
    ProblemCode.UNKNOWN_COMMAND: _unknown_command,
    ProblemCode.USAGE: lambda p: describe_usage(p.command, p.count),
    ProblemCode.TAKES_NO_ARGUMENT: lambda p: f"/{p.command} takes no argument.",
    ProblemCode.PASTED_LINES: lambda _: (
        "Only the first line of the paste is used. If that is wrong, Ctrl-U clears it."
    ),
    ProblemCode.INVALID_DURATION: lambda p: f'"{quote(p.text)}" is not a duration. {_DURATIONS}',
    ProblemCode.INVALID_TEXT: lambda p: explain_error(p.error, p.text),
    ProblemCode.NOT_UTF8: lambda _: "The text is not UTF-8.",
    ProblemCode.QUERY_TOO_LONG: lambda p: f"A search can have at most {p.count} characters.",
    ProblemCode.NO_CONNECTION: lambda _: "Not connected; try again after reconnecting.",
    ProblemCode.NOT_IN_CHAT: _not_in_chat,
    ProblemCode.PICK_FIRST: lambda _: "Not sent: pick a person or room first.",
    ProblemCode.CHAT_COMMAND: lambda p: f"/{p.command} works in a chat. Type a name or #room first.",
    ProblemCode.ROOM_COMMAND: lambda p: f"/{p.command} works in a room. Enter one first, by its name: #room",
    ProblemCode.INVALID_NAME: lambda p: (
        f'"{quote(p.text)}" is not a valid name. Names have 1 to 32 of a-z, 0-9, dot, underscore and hyphen, '
        "and begin with a letter or a digit."
    ),
    ProblemCode.OWN_NAME: lambda p: f"{p.name} is your own name. Pick someone else.",
    ProblemCode.UNKNOWN_USER: lambda p: f'No user named "{p.name}".',
    ProblemCode.NOT_JOINED: lambda p: (
        f"You are invited to {p.name}, but not a member yet. Try /join {p.name}."
    ),
    ProblemCode.NOT_A_MEMBER: lambda p: f"You are not a member of {p.name}. Try /join {p.name}.",
    ProblemCode.JOIN_UNANSWERED: _join_unanswered,
    ProblemCode.PIPE_STOPPED: lambda _: (
        "Stopped: nothing after that line was sent, so it reaches no one else."
    ),
    ProblemCode.RECIPIENT_DELETED: lambda p: (
        f"Not sent: the account of {p.name} was deleted. Type back to pick someone else."
    ),
    ProblemCode.NO_SUCH_MESSAGE: lambda p: f"No message {p.count} was shown here; /last lists recent ones.",
    ProblemCode.MESSAGE_DELETED: lambda p: f"Message {p.count} was deleted.",
    ProblemCode.MESSAGE_REMOVED: lambda p: f"Message {p.count} is no longer in your history.",
    ProblemCode.MESSAGE_OUTDATED: lambda p: (
        f"Message {p.count} might have changed since it was shown; /last lists recent ones."
    ),
    ProblemCode.NOT_YOUR_MESSAGE: lambda p: (
        f"Message {p.count} is {p.user}'s; you can only {_target_verb(p)} your own."
    ),
    ProblemCode.NO_TARGET: lambda p: f"No message to {_target_verb(p)} yet; /last lists recent ones.",
    ProblemCode.NOT_STORED_YET: lambda _: "Your last message is not stored yet; try again when it is.",
    ProblemCode.REASON_WITHOUT_NUMBER: lambda p: (
        f"Nothing was deleted: a reason needs a number before it, as in /{p.command} 41 WHY"
    ),
    ProblemCode.INVALID_REACTION: lambda _: "A reaction is one emoji or a short word.",
    ProblemCode.NOTHING_TO_RETRY: lambda _: "Nothing to send again.",
    ProblemCode.NOTHING_TO_DISCARD: lambda _: "Nothing to discard.",
    ProblemCode.RECIPIENT_BLOCKED: lambda p: f"Not sent: you block {p.name}. /unblock {p.name} ends it.",
    ProblemCode.BLOCKS_UNSUPPORTED: lambda _: "This server can't block users; it is too old.",
    ProblemCode.BLOCK_REFUSED: _block_refused,
    ProblemCode.ROOM_REFUSED: lambda p: explain_room_refusal(
        p.error, p.text, p.seconds, name=p.name, user=p.user
    ),
}
