"""Notices: what happened, as a code and fields; a front end has the words.

A `Notice` says that something happened, a `Problem` why a typed line was not carried out.
"""

import dataclasses
import enum

from qscp.frames import Room
from qscp.rooms import RoomRole
from qscp_client.core.events import Event


class NoticeCode(enum.StrEnum):
    """Code of a notice. In brackets: the fields that are set."""

    # The program and the connection
    LOGIN_REFUSED = "login_refused"
    """[error, text] The password can be entered again."""
    LOGIN_WAITS = "login_waits"
    """[seconds] The server is busy; the login is tried again after that time."""
    RETENTION = "retention"
    """[seconds, count] How long the server keeps messages, and how many of a conversation; 0 is unlimited."""
    NOT_SAVED = "not_saved"
    """[text] Nothing is saved on this computer."""
    NO_LONGER_SAVED = "no_longer_saved"
    """[text] From now on nothing is saved on this computer."""
    CONNECTION_LOST = "connection_lost"
    """[text] It is made again; the text is what the server said, if it closed the connection."""
    RECONNECTED = "reconnected"
    WAITING_FOR_SERVER = "waiting_for_server"
    """An answer is late; the client waits as long as the server shows that it is alive."""
    HISTORY_RELOADED = "history_reloaded"
    """The server has another history than before."""
    SERVER_ERROR = "server_error"
    """[error, text] The server refused something."""

    # You
    AWAY = "away"
    """[text]"""
    NO_LONGER_AWAY = "no_longer_away"
    HIDDEN = "hidden"
    """Others see you as offline."""
    NO_LONGER_HIDDEN = "no_longer_hidden"
    HIDDEN_LATE = "hidden_late"
    """The server is too old: others saw you as online for a moment."""
    HIDDEN_ELSEWHERE = "hidden_elsewhere"
    """Others see you as offline all the same: another device of yours hides you."""
    FAILED_BEFORE = "failed_before"
    """[count] Messages that failed in an earlier run."""
    DISCARDED = "discarded"
    """[count]"""
    ACCOUNT_DELETED = "account_deleted"
    """[name] The account of the user in the open chat was deleted."""
    NAME_GIVEN_AWAY = "name_given_away"
    """[name, user] The user in the open chat is called `name` now: `user` is another account's name."""
    WAITING_FOR_STORAGE = "waiting_for_storage"
    """[error, text] The server could not store a message; it is sent again automatically."""
    THROTTLED = "throttled"
    """You send faster than the server accepts; what you sent waits."""

    BLOCKED = "blocked"
    """[name] You block a user, from here or from another device."""
    UNBLOCKED = "unblocked"
    """[name]"""

    # History
    ANSWER_LOST = "answer_lost"
    """The connection was lost before the answer to a request came."""
    NO_MESSAGES = "no_messages"
    """[name]"""
    NO_OLDER_MESSAGES = "no_older_messages"
    """[name]"""
    OLDER_BEGIN = "older_begin"
    """[name] Older messages follow."""
    OLDER_END_MORE = "older_end_more"
    """They end, and there are older ones."""
    OLDER_END_FIRST = "older_end_first"
    """They end with the first message of the conversation."""
    OLDER_END_HIDDEN = "older_end_hidden"
    """They end; you can't see what was written before."""
    OLDER_END_REMOVED = "older_end_removed"
    """They end; the server removed what was written before."""
    LAST_BEGIN = "last_begin"
    """[name] The last messages follow."""
    LAST_END = "last_end"
    FOLDED_BEGIN = "folded_begin"
    """[name] Messages of blocked users follow."""
    FOLDED_END = "folded_end"
    NOTHING_FOLDED = "nothing_folded"
    """[name] No message of a blocked user is known here."""
    OLDER_AVAILABLE = "older_available"
    """The room that was joined has messages to read."""
    MISSING_UNREAD = "missing_unread"
    """[name, count] Earlier messages can be asked for; without a name in the chat that is open."""
    MISSING_REMOVED = "missing_removed"
    """[name, count] The server removed messages."""
    MISSING_DAMAGED = "missing_damaged"
    """[name, count] The server can't read messages any more; without a name in the chat that is open."""
    MISSING_HIDDEN = "missing_hidden"
    """[name, count] Messages of a room were removed, or are from before you joined."""

    # You in a room
    ROOM_ANSWER_LOST = "room_answer_lost"
    """The connection was lost before the answer to a room request came: it may have been done."""
    ROOM_ADDED = "room_added"
    """[name] You became a member on another device, or by an operator."""
    ROOM_GONE = "room_gone"
    """[name] You stopped being a member while there was no connection."""
    LEFT = "left"
    """[name]"""
    REMOVED = "removed"
    """[name, by, text]"""
    BANNED = "banned"
    """[name, by, text, until_ms]"""
    ROOM_DELETED = "room_deleted"
    """[name, by, text]"""
    NO_LONGER_MEMBER = "no_longer_member"
    """[name, by, text] For a reason that this client does not know."""
    INVITED = "invited"
    """[name, by]"""
    INVITATION_DECLINED = "invitation_declined"
    """[name]"""
    INVITATION_WITHDRAWN = "invitation_withdrawn"
    """[name, by, text]"""
    INVITING_ROOM_DELETED = "inviting_room_deleted"
    """[name, by, text] The room that you were invited to was deleted."""
    YOUR_ROLE = "your_role"
    """[name, role, by]"""
    MUTED = "muted"
    """[name, by, until_ms, text]"""
    UNMUTED = "unmuted"
    """[name, by]"""

    # A room
    TOPIC = "topic"
    """[name, text] Asked for, or shown when the room is opened; without a text there is none."""
    TOPIC_CHANGED = "topic_changed"
    """[name, text, by, is_operator] Without a text it was removed."""
    ARCHIVED = "archived"
    """[name, by, is_operator]"""
    UNARCHIVED = "unarchived"
    """[name, by, is_operator]"""
    SETTINGS = "settings"
    """[name, room, by, is_operator]"""
    MEMBER_ROLE = "member_role"
    """[name, user, role, by, is_operator]"""
    MEMBER_REMOVED = "member_removed"
    """[name, user, by, is_operator, text]"""
    MEMBER_BANNED = "member_banned"
    """[name, user, by, is_operator, text, until_ms]"""
    MEMBER_UNBANNED = "member_unbanned"
    """[name, user, by, is_operator]"""
    MEMBER_MUTED = "member_muted"
    """[name, user, by, is_operator, text, until_ms]"""
    MEMBER_UNMUTED = "member_unmuted"
    """[name, user, by, is_operator]"""

    # What you did in a room
    DID_INVITE = "did_invite"
    """[name, user]"""
    DID_REMOVE = "did_remove"
    """[name, user]"""
    DID_BAN = "did_ban"
    """[name, user, until_ms]"""
    DID_UNBAN = "did_unban"
    """[name, user]"""
    DID_MUTE = "did_mute"
    """[name, user, until_ms]"""
    DID_UNMUTE = "did_unmute"
    """[name, user]"""
    DID_SET_ROLE = "did_set_role"
    """[name, user, role]"""


class ProblemCode(enum.StrEnum):
    """Code of a problem: why a typed line was not carried out. In brackets: the fields that are set."""

    # The line
    UNKNOWN_COMMAND = "unknown_command"
    """[command, text] The text is the command that was probably meant, if there is one like it."""
    USAGE = "usage"
    """[command, count] The argument is missing or wrong; a count is the largest number that it can be."""
    TAKES_NO_ARGUMENT = "takes_no_argument"
    """[command]"""
    INVALID_DURATION = "invalid_duration"
    """[command, text]"""
    INVALID_TEXT = "invalid_text"
    """[error] The text breaks a rule of the protocol."""
    NOT_UTF8 = "not_utf8"
    QUERY_TOO_LONG = "query_too_long"
    """[count] The limit."""
    NO_CONNECTION = "no_connection"

    # The chat
    NOT_IN_CHAT = "not_in_chat"
    """[name] The name is what was typed, if a user is called so."""
    PICK_FIRST = "pick_first"
    """No chat is open that the text could be sent to."""
    CHAT_COMMAND = "chat_command"
    """[command] It is about messages of a chat, and none is open."""
    ROOM_COMMAND = "room_command"
    """[command] It is about a room, and none is open."""
    INVALID_NAME = "invalid_name"
    """[text]"""
    PASTED_LINES = "pasted_lines"
    """Several lines were pasted where one is asked for; the first was used."""
    OWN_NAME = "own_name"
    """[name]"""
    UNKNOWN_USER = "unknown_user"
    """[name]"""
    NOT_JOINED = "not_joined"
    """[name] You were invited to the room and are not a member yet."""
    NOT_A_MEMBER = "not_a_member"
    """[name] You are not in the room."""
    JOIN_UNANSWERED = "join_unanswered"
    """[name, count] How many lines were typed after it."""
    PIPE_STOPPED = "pipe_stopped"
    """What follows in the pipe might reach another user than it is meant for."""

    RECIPIENT_DELETED = "recipient_deleted"
    """[name] Nothing can be sent in the chat that is open."""
    RECIPIENT_BLOCKED = "recipient_blocked"
    """[name] You block the user in the chat that is open."""
    BLOCKS_UNSUPPORTED = "blocks_unsupported"
    """The server is too old."""
    BLOCK_REFUSED = "block_refused"
    """[error, text, user, command] The server refused to block or unblock."""

    # Messages
    NO_SUCH_MESSAGE = "no_such_message"
    """[count] Its number."""
    MESSAGE_DELETED = "message_deleted"
    """[count] Its number."""
    MESSAGE_REMOVED = "message_removed"
    """[count] Its number. It was pruned, or you may not see it since you joined again."""
    MESSAGE_OUTDATED = "message_outdated"
    """[count] Its number. What happened to it might have been missed."""
    NOT_YOUR_MESSAGE = "not_your_message"
    """[command, count, user] Its number and its sender."""
    NO_TARGET = "no_target"
    """[command] No message was shown that it could be about."""
    NOT_STORED_YET = "not_stored_yet"
    """Your last message."""
    REASON_WITHOUT_NUMBER = "reason_without_number"
    """[command]"""
    INVALID_REACTION = "invalid_reaction"
    NOTHING_TO_RETRY = "nothing_to_retry"
    NOTHING_TO_DISCARD = "nothing_to_discard"

    # Rooms
    ROOM_REFUSED = "room_refused"
    """[error, text, name, user] The server refused a room request."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Fields(Event):
    """Fields of notices and problems; each code says which of them are set."""

    name: str = ""
    """The user or the room whose chat it is about."""
    user: str = ""
    """The member of the room that it happened to."""
    by: str = ""
    """Who did it; empty if that was you or an operator, or is not known."""
    is_operator: bool = False
    """Whether an operator did it; only where the server says so."""
    text: str = ""
    """A text of the user, the server or the operating system."""
    error: str = ""
    """An error code of the server: of `ErrorCode`, or of a newer server."""
    command: str = ""
    """A name in the table of commands; as typed if it is unknown."""
    count: int = 0
    seconds: int = 0
    until_ms: int | None = None
    """Milliseconds since 1970 in UTC; None for ever."""
    role: RoomRole | None = None
    room: Room | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Notice(_Fields):
    """Something happened."""

    code: NoticeCode


@dataclasses.dataclass(frozen=True, slots=True)
class Problem(_Fields):
    """A typed line was not carried out; nothing was sent."""

    code: ProblemCode
