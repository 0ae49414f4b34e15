"""Error codes on the wire and the exceptions of this package.

QscpError
├── LocalProtocolError     we misused the protocol: a bug on this side
├── RemoteProtocolError    the peer violated it: carries the code to answer with
├── InvalidNameError       a name breaks the rules of `qscp.names`
└── InvalidTextError       a text breaks the rules of `qscp.text` or `qscp.rooms`
"""

import enum
from typing import NamedTuple

__all__ = [
    "ERROR_CODES",
    "Action",
    "CodeInfo",
    "ErrorCode",
    "InvalidNameError",
    "InvalidTextError",
    "LocalProtocolError",
    "QscpError",
    "RemoteProtocolError",
]


class Action(enum.Enum):
    """Reaction of a client to a code."""

    FIX = "fix what was sent"
    RETRY = "try again"
    WAIT = "wait, then try again"
    LOGIN = "log in again"
    GIVE_UP = "give up"


class ErrorCode(enum.StrEnum):
    """Codes that a server puts into `error`, `auth_nack`, `chat_nack` or `bye`."""

    # Framing, encoding, schema: `error`, then the connection ends.
    LINE_TOO_LONG = "line_too_long"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_FIELD = "unknown_field"
    BAD_FIELD = "bad_field"
    # A good frame at the wrong time: `error`, then the connection ends.
    NOT_LOGGED_IN = "not_logged_in"
    ALREADY_LOGGED_IN = "already_logged_in"
    MISPLACED = "misplaced"
    # A login that failed for good: `error`, then the connection ends.
    LOGIN_TIMEOUT = "login_timeout"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    # `auth_nack`
    BAD_CREDENTIALS = "bad_credentials"
    ACCOUNT_LOCKED = "account_locked"
    PROTOCOL_VERSION = "protocol_version"
    BUSY = "busy"
    TOO_MANY_SESSIONS = "too_many_sessions"
    # `chat_nack`
    UNKNOWN_RECIPIENT = "unknown_recipient"
    BODY_EMPTY = "body_empty"
    BODY_TOO_LONG = "body_too_long"
    BODY_CHARACTERS = "body_characters"
    BAD_ID = "bad_id"
    ID_CONFLICT = "id_conflict"
    OUT_OF_ORDER = "out_of_order"
    STORAGE_FULL = "storage_full"
    STORAGE_FAILED = "storage_failed"
    UNKNOWN_MESSAGE = "unknown_message"
    TOO_LATE = "too_late"
    TOO_MANY_REACTIONS = "too_many_reactions"
    MUTED = "muted"
    SLOW_MODE = "slow_mode"
    # `chat_nack` and `error` with `ref`.
    RECIPIENT_IS_SELF = "recipient_is_self"
    UNCHANGED = "unchanged"
    NOT_ACCEPTED = "not_accepted"
    USER_BLOCKED = "user_blocked"
    # `chat_nack` and `error` with `ref`: refused in a room, or for its size.
    UNKNOWN_ROOM = "unknown_room"
    NOT_A_MEMBER = "not_a_member"
    NOT_ALLOWED = "not_allowed"
    ROOM_ARCHIVED = "room_archived"
    BAD_TEXT = "bad_text"
    QUOTA_EXCEEDED = "quota_exceeded"
    # `error` with `ref`: the session goes on.
    UNKNOWN_CONVERSATION = "unknown_conversation"
    ALREADY_RESUMED = "already_resumed"
    BAD_QUERY = "bad_query"
    BAD_STATUS_TEXT = "bad_status_text"
    BAD_ROOM_NAME = "bad_room_name"
    ROOM_EXISTS = "room_exists"
    TOO_MANY_ROOMS = "too_many_rooms"
    TOO_MANY_OWNED = "too_many_owned"
    RATE_LIMITED = "rate_limited"
    DECLINED = "declined"
    TOO_MANY_INVITATIONS = "too_many_invitations"
    ALREADY_MEMBER = "already_member"
    BANNED = "banned"
    LAST_OWNER = "last_owner"
    UNKNOWN_USER = "unknown_user"
    USER_NOT_MEMBER = "user_not_member"
    TOO_MANY_BLOCKS = "too_many_blocks"
    # `bye`
    BYE = "bye"
    SHUTDOWN = "shutdown"
    REPLACED = "replaced"
    LOCKED = "locked"
    DELETED = "deleted"
    INTERNAL = "internal"


class CodeInfo(NamedTuple):
    """Sentence and action of a code, as in the code table of `docs/protocol.md`."""

    sentence: str
    """Text for people."""
    action: Action
    """Reaction of a client."""


_F, _R, _W, _L, _G = Action.FIX, Action.RETRY, Action.WAIT, Action.LOGIN, Action.GIVE_UP

ERROR_CODES: dict[ErrorCode, CodeInfo] = {
    ErrorCode.LINE_TOO_LONG: CodeInfo("The line is longer than the limit.", _F),
    ErrorCode.NOT_UTF8: CodeInfo("The line is not UTF-8.", _F),
    ErrorCode.NOT_JSON: CodeInfo("The line is not JSON.", _F),
    ErrorCode.NOT_AN_OBJECT: CodeInfo("The line is not a JSON object.", _F),
    ErrorCode.UNKNOWN_TYPE: CodeInfo("The frame's type is missing or unknown.", _F),
    ErrorCode.UNKNOWN_FIELD: CodeInfo("The frame has an unknown field.", _F),
    ErrorCode.BAD_FIELD: CodeInfo("A field of the frame is missing or has the wrong type.", _F),
    ErrorCode.NOT_LOGGED_IN: CodeInfo("Log in before you send anything else.", _L),
    ErrorCode.ALREADY_LOGGED_IN: CodeInfo("This connection is already logged in.", _F),
    ErrorCode.MISPLACED: CodeInfo("The frame is not allowed at this point.", _F),
    ErrorCode.LOGIN_TIMEOUT: CodeInfo("The login took too long.", _L),
    ErrorCode.TOO_MANY_ATTEMPTS: CodeInfo("Too many failed logins on one connection.", _W),
    ErrorCode.BAD_CREDENTIALS: CodeInfo("The user name or the password is wrong.", _F),
    ErrorCode.ACCOUNT_LOCKED: CodeInfo("The account is locked; ask the operator of the server.", _G),
    ErrorCode.PROTOCOL_VERSION: CodeInfo("Client and server have no protocol version in common.", _G),
    ErrorCode.BUSY: CodeInfo("The server is busy with other logins; try again soon.", _W),
    ErrorCode.TOO_MANY_SESSIONS: CodeInfo("You have reached the limit of sessions; close one first.", _W),
    ErrorCode.UNKNOWN_RECIPIENT: CodeInfo("No user has that name; the account may have been deleted.", _F),
    ErrorCode.RECIPIENT_IS_SELF: CodeInfo("That is your own name.", _F),
    ErrorCode.BODY_EMPTY: CodeInfo("The message is empty.", _F),
    ErrorCode.BODY_TOO_LONG: CodeInfo("The message is longer than 16 KiB.", _F),
    ErrorCode.BODY_CHARACTERS: CodeInfo("The message contains a character that is not allowed.", _F),
    ErrorCode.BAD_ID: CodeInfo("The message id is not 32 lower-case hexadecimal digits.", _F),
    ErrorCode.ID_CONFLICT: CodeInfo("That id is already used by another message.", _F),
    ErrorCode.OUT_OF_ORDER: CodeInfo(
        "An earlier message to the same person or room was refused; send that first.", _R
    ),
    ErrorCode.STORAGE_FULL: CodeInfo("The server's disk is full; nothing was stored.", _W),
    ErrorCode.STORAGE_FAILED: CodeInfo("The server could not store what you sent.", _R),
    ErrorCode.UNKNOWN_MESSAGE: CodeInfo("The message does not exist, or its text was deleted.", _F),
    ErrorCode.TOO_LATE: CodeInfo("The message is too old to be edited.", _G),
    ErrorCode.TOO_MANY_REACTIONS: CodeInfo("The message has reached the limit of reactions.", _G),
    ErrorCode.UNCHANGED: CodeInfo("No change: it is already so.", _G),
    ErrorCode.NOT_ACCEPTED: CodeInfo("The user does not accept messages or invitations from you.", _G),
    ErrorCode.USER_BLOCKED: CodeInfo("You block this user; unblock them first.", _F),
    ErrorCode.MUTED: CodeInfo("You are muted in this room.", _W),
    ErrorCode.SLOW_MODE: CodeInfo("The room is in slow mode; wait a little before your next message.", _W),
    ErrorCode.UNKNOWN_ROOM: CodeInfo("The room does not exist, or you cannot see it.", _F),
    ErrorCode.NOT_A_MEMBER: CodeInfo("You are not a member of this room; join it first.", _F),
    ErrorCode.NOT_ALLOWED: CodeInfo("Your role in this room does not allow that.", _G),
    ErrorCode.ROOM_ARCHIVED: CodeInfo("The room is archived and read-only.", _G),
    ErrorCode.BAD_TEXT: CodeInfo("The text is too long or contains a character that is not allowed.", _F),
    ErrorCode.QUOTA_EXCEEDED: CodeInfo("You have stored as much as the server allows in a day.", _W),
    ErrorCode.BAD_ROOM_NAME: CodeInfo(
        "A room name is # and 1 to 32 of a-z, 0-9, dot, underscore, hyphen; first a letter or a digit.", _F
    ),
    ErrorCode.ROOM_EXISTS: CodeInfo("A room with that name already exists.", _F),
    ErrorCode.TOO_MANY_ROOMS: CodeInfo("You have reached the limit of rooms; leave one first.", _F),
    ErrorCode.TOO_MANY_OWNED: CodeInfo(
        "You have reached the limit of rooms that you created and own; hand one over first.", _F
    ),
    ErrorCode.RATE_LIMITED: CodeInfo("You have joined rooms or invited users too often.", _W),
    ErrorCode.DECLINED: CodeInfo("The user has declined an invitation to this room.", _W),
    ErrorCode.TOO_MANY_INVITATIONS: CodeInfo(
        "The user has too many open invitations; they have to answer some first.", _G
    ),
    ErrorCode.ALREADY_MEMBER: CodeInfo("The user is already a member of the room.", _G),
    ErrorCode.BANNED: CodeInfo("A banned user can't join the room.", _G),
    ErrorCode.LAST_OWNER: CodeInfo(
        "You are the only owner; make someone else an owner or archive the room first.", _F
    ),
    ErrorCode.UNKNOWN_USER: CodeInfo("No user has that name.", _F),
    ErrorCode.USER_NOT_MEMBER: CodeInfo("No member of the room has that name.", _F),
    ErrorCode.TOO_MANY_BLOCKS: CodeInfo(
        "You have reached the limit of blocked users; unblock one first.", _F
    ),
    ErrorCode.BAD_STATUS_TEXT: CodeInfo(
        "The status text is too long or has a character that is not allowed.", _F
    ),
    ErrorCode.UNKNOWN_CONVERSATION: CodeInfo("You have no such conversation.", _F),
    ErrorCode.ALREADY_RESUMED: CodeInfo("This session has already resumed.", _F),
    ErrorCode.BAD_QUERY: CodeInfo("The search contains no word.", _F),
    ErrorCode.BYE: CodeInfo("Good-bye.", _G),
    ErrorCode.SHUTDOWN: CodeInfo("The server is shutting down.", _W),
    ErrorCode.REPLACED: CodeInfo("The same device has logged in again.", _G),
    ErrorCode.LOCKED: CodeInfo("Your account was locked by the operator.", _G),
    ErrorCode.DELETED: CodeInfo("Your account was deleted by the operator.", _G),
    ErrorCode.INTERNAL: CodeInfo("Internal error; the server's log has the details.", _R),
}


class QscpError(Exception):
    """Base of all exceptions of this package."""


class LocalProtocolError(QscpError):
    """This side tried to send a frame that is not allowed in its state."""


class RemoteProtocolError(QscpError):
    """The peer violated the protocol.

    Attributes:
        code: Code that a server sends to the peer.
        detail: Place in the frame, for people; never a value that the peer sent.
    """

    def __init__(self, code: ErrorCode, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        """Return the code's sentence and the place."""
        sentence = ERROR_CODES[self.code].sentence
        return f"{sentence} {self.detail}".rstrip()


class InvalidNameError(QscpError):
    """A name breaks the rules.

    Attributes:
        name: The text as typed.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        """Return the rule, for the person who typed the name."""
        return (
            f"{self.name[:40]!r} is not a valid name: use 1 to 32 of a-z, 0-9, dot, underscore and hyphen, "
            "beginning with a letter or a digit"
        )


class InvalidTextError(QscpError):
    """A body, an away text, a topic or a reaction breaks the rules.

    Attributes:
        code: The broken rule, as the sender gets it.
        fault: The character that is not allowed; empty if another rule is broken.
    """

    def __init__(self, code: ErrorCode, fault: str = "") -> None:
        super().__init__(code, fault)
        self.code = code
        self.fault = fault

    def __str__(self) -> str:
        """Return the code's sentence, and the character."""
        sentence = ERROR_CODES[self.code].sentence
        return f"{sentence} Not allowed: {self.fault}." if self.fault else sentence
