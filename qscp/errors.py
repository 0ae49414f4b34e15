"""What can go wrong in the protocol: the codes on the wire and the exceptions behind them.

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
    """What a client should do when it gets a code."""

    FIX = "fix what was sent"
    RETRY = "try again"
    WAIT = "wait, then try again"
    LOGIN = "log in again"
    GIVE_UP = "give up"


class ErrorCode(enum.StrEnum):
    """Every code that a server puts into `error`, `auth_nack`, `chat_nack` or `bye`."""

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
    # A login that came to nothing: `error`, then the connection ends.
    LOGIN_TIMEOUT = "login_timeout"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    # `auth_nack`
    BAD_CREDENTIALS = "bad_credentials"
    ACCOUNT_LOCKED = "account_locked"
    PROTOCOL_VERSION = "protocol_version"
    BUSY = "busy"
    # `chat_nack`
    UNKNOWN_RECIPIENT = "unknown_recipient"
    RECIPIENT_IS_SELF = "recipient_is_self"
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
    UNCHANGED = "unchanged"
    MUTED = "muted"
    SLOW_MODE = "slow_mode"
    # `chat_nack` and `error` with `ref`: what may not be done in a room.
    UNKNOWN_ROOM = "unknown_room"
    NOT_A_MEMBER = "not_a_member"
    NOT_ALLOWED = "not_allowed"
    ROOM_ARCHIVED = "room_archived"
    BAD_TEXT = "bad_text"
    # `error` with `ref`: the session goes on.
    UNKNOWN_CONVERSATION = "unknown_conversation"
    ALREADY_RESUMED = "already_resumed"
    BAD_QUERY = "bad_query"
    BAD_STATUS_TEXT = "bad_status_text"
    BAD_ROOM_NAME = "bad_room_name"
    ROOM_EXISTS = "room_exists"
    TOO_MANY_ROOMS = "too_many_rooms"
    ALREADY_MEMBER = "already_member"
    BANNED = "banned"
    LAST_OWNER = "last_owner"
    UNKNOWN_USER = "unknown_user"
    USER_NOT_MEMBER = "user_not_member"
    # `bye`
    BYE = "bye"
    SHUTDOWN = "shutdown"
    REPLACED = "replaced"
    LOCKED = "locked"
    DELETED = "deleted"
    INTERNAL = "internal"


class CodeInfo(NamedTuple):
    """One row of the code table in `docs/protocol.md`."""

    sentence: str
    """What a person reads."""
    action: Action
    """What a client does."""


_F, _R, _W, _L, _G = Action.FIX, Action.RETRY, Action.WAIT, Action.LOGIN, Action.GIVE_UP

ERROR_CODES: dict[ErrorCode, CodeInfo] = {
    ErrorCode.LINE_TOO_LONG: CodeInfo("The line is longer than the limit.", _F),
    ErrorCode.NOT_UTF8: CodeInfo("The line is not UTF-8.", _F),
    ErrorCode.NOT_JSON: CodeInfo("The line is not JSON.", _F),
    ErrorCode.NOT_AN_OBJECT: CodeInfo("The line is not a JSON object.", _F),
    ErrorCode.UNKNOWN_TYPE: CodeInfo("The frame's type is missing or unknown.", _F),
    ErrorCode.UNKNOWN_FIELD: CodeInfo("The frame has a field that its type does not have.", _F),
    ErrorCode.BAD_FIELD: CodeInfo("A field of the frame is missing or has the wrong type.", _F),
    ErrorCode.NOT_LOGGED_IN: CodeInfo("Log in before you send anything else.", _L),
    ErrorCode.ALREADY_LOGGED_IN: CodeInfo("This connection is logged in already.", _F),
    ErrorCode.MISPLACED: CodeInfo("The frame is not allowed at this point.", _F),
    ErrorCode.LOGIN_TIMEOUT: CodeInfo("The login took too long.", _L),
    ErrorCode.TOO_MANY_ATTEMPTS: CodeInfo("Too many failed logins on one connection.", _W),
    ErrorCode.BAD_CREDENTIALS: CodeInfo("The user name or the password is wrong.", _F),
    ErrorCode.ACCOUNT_LOCKED: CodeInfo("The account is locked; its operator can unlock it.", _G),
    ErrorCode.PROTOCOL_VERSION: CodeInfo("Client and server have no protocol version in common.", _G),
    ErrorCode.BUSY: CodeInfo("The server has too many logins to check just now.", _W),
    ErrorCode.UNKNOWN_RECIPIENT: CodeInfo("There is nobody of that name here.", _F),
    ErrorCode.RECIPIENT_IS_SELF: CodeInfo("That is your own name.", _F),
    ErrorCode.BODY_EMPTY: CodeInfo("The message is empty.", _F),
    ErrorCode.BODY_TOO_LONG: CodeInfo("The message is longer than 16 KiB.", _F),
    ErrorCode.BODY_CHARACTERS: CodeInfo("The message has control characters in it.", _F),
    ErrorCode.BAD_ID: CodeInfo("The message id is not 32 lower-case hexadecimal digits.", _F),
    ErrorCode.ID_CONFLICT: CodeInfo("That id was used for another message already.", _F),
    ErrorCode.OUT_OF_ORDER: CodeInfo(
        "An earlier message to the same person or room was refused; send that first.", _R
    ),
    ErrorCode.STORAGE_FULL: CodeInfo("The server's disk is full; the message was not stored.", _W),
    ErrorCode.STORAGE_FAILED: CodeInfo("The server could not store the message.", _R),
    ErrorCode.UNKNOWN_MESSAGE: CodeInfo("There is no such message, or its text is gone.", _F),
    ErrorCode.TOO_LATE: CodeInfo("The message is too old to be changed.", _G),
    ErrorCode.TOO_MANY_REACTIONS: CodeInfo("That message has as many reactions as it may have.", _G),
    ErrorCode.UNCHANGED: CodeInfo("It is like that already.", _G),
    ErrorCode.MUTED: CodeInfo("You may not write in this room for a while.", _W),
    ErrorCode.SLOW_MODE: CodeInfo("The room is in slow mode; wait a little before your next message.", _W),
    ErrorCode.UNKNOWN_ROOM: CodeInfo("There is no such room, or you may not see it.", _F),
    ErrorCode.NOT_A_MEMBER: CodeInfo("You are not in this room; join it first.", _F),
    ErrorCode.NOT_ALLOWED: CodeInfo("Your role in this room does not allow that.", _G),
    ErrorCode.ROOM_ARCHIVED: CodeInfo("The room is archived: it can be read, and nothing else.", _G),
    ErrorCode.BAD_TEXT: CodeInfo("The text is too long or has characters that are not allowed in it.", _F),
    ErrorCode.BAD_ROOM_NAME: CodeInfo(
        "A room's name is # and 1 to 32 of a-z, 0-9, dot, underscore, hyphen; first a letter or a digit.",
        _F,
    ),
    ErrorCode.ROOM_EXISTS: CodeInfo("There is a room of that name already.", _F),
    ErrorCode.TOO_MANY_ROOMS: CodeInfo("You are in as many rooms as one may be; leave one first.", _F),
    ErrorCode.ALREADY_MEMBER: CodeInfo("Already in the room.", _G),
    ErrorCode.BANNED: CodeInfo("Whoever is banned from a room can't come into it.", _G),
    ErrorCode.LAST_OWNER: CodeInfo(
        "The room needs you: make somebody else owner first, archive it, or have the operator delete it.", _F
    ),
    ErrorCode.UNKNOWN_USER: CodeInfo("There is nobody of that name here.", _F),
    ErrorCode.USER_NOT_MEMBER: CodeInfo("Nobody of that name is in the room.", _F),
    ErrorCode.BAD_STATUS_TEXT: CodeInfo("The status text is too long or has control characters in it.", _F),
    ErrorCode.UNKNOWN_CONVERSATION: CodeInfo("You have no such conversation.", _F),
    ErrorCode.ALREADY_RESUMED: CodeInfo("This session has resumed already.", _F),
    ErrorCode.BAD_QUERY: CodeInfo("There is no word in the search.", _F),
    ErrorCode.BYE: CodeInfo("Good-bye.", _G),
    ErrorCode.SHUTDOWN: CodeInfo("The server is shutting down.", _W),
    ErrorCode.REPLACED: CodeInfo("The same device has logged in again.", _G),
    ErrorCode.LOCKED: CodeInfo("Your account was locked by the operator.", _G),
    ErrorCode.DELETED: CodeInfo("Your account was deleted by the operator.", _G),
    ErrorCode.INTERNAL: CodeInfo("Something went wrong on the server; it is in the server's log.", _R),
}


class QscpError(Exception):
    """Root of everything this package raises."""


class LocalProtocolError(QscpError):
    """This side tried something that the protocol does not allow in its state."""


class RemoteProtocolError(QscpError):
    """The peer violated the protocol.

    Attributes:
        code: What a server tells the peer.
        detail: Where in the frame, for people; never a value that the peer sent.
    """

    def __init__(self, code: ErrorCode, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        """The code's sentence, and where."""
        sentence = ERROR_CODES[self.code].sentence
        return f"{sentence} {self.detail}".rstrip()


class InvalidNameError(QscpError):
    """A name that the rules do not allow.

    Attributes:
        name: The text as typed.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        """The rule, for the person who typed the name."""
        return (
            f"{self.name[:40]!r} is not a valid name: use 1 to 32 of a-z, 0-9, dot, underscore and hyphen, "
            "beginning with a letter or a digit"
        )


class InvalidTextError(QscpError):
    """A body, an away text, a topic or a reaction that the rules do not allow.

    Attributes:
        code: Which rule, as it is told to the sender.
    """

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        """The code's sentence."""
        return ERROR_CODES[self.code].sentence
