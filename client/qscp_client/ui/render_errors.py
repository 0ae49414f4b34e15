"""Refusals as sentences: the error codes of the server, and why a message was not sent."""

import math
from collections.abc import Callable
from typing import Final

from qscp.errors import ERROR_CODES, ErrorCode
from qscp_client.core.outbox import Failure, FailureCode
from qscp_client.durations import describe_wait

_SHORT_WAIT_S: Final = 120
"""Shorter waits are shown in seconds."""

_RESULTS: Final = (FailureCode.UNANSWERED, FailureCode.UNANSWERED_KEPT)
"""Failures of messages that might be stored."""


def explain_error(error: str, text: str = "", *, name: str = "", user: str = "") -> str:
    """Return a sentence for a refusal of the server.

    Args:
        error: The code.
        text: The server's own words; they are used where this client has none.
        name: The user or room that it is about; empty if that is not known.
        user: The member whom a room request is about; empty if it is about you.
    """
    if error in list(ErrorCode):
        code = ErrorCode(error)
        if code in _WITH_USER and name and user:
            return _WITH_USER[code](name, user)
        if code in _WITH_NAME and name:
            return _WITH_NAME[code](name)
        if code in _PLAIN:
            return _PLAIN[code]
        return text or ERROR_CODES[code].sentence
    return text or f"The server refused it ({error})."


def explain_room_refusal(error: str, text: str, wait_s: int, *, name: str, user: str) -> str:
    """Return why a room request was refused, with the time to wait if there is one.

    Args:
        error: The code.
        text: The server's own words.
        wait_s: Seconds until it can be accepted; 0 if that is not known.
        name: The room.
        user: The member whom the request is about; empty if it is about you.
    """
    sentence = explain_error(error, text, name=name, user=user)
    return f"{sentence} Wait {_wait(wait_s)}." if wait_s else sentence


def explain_failure(failure: Failure, to: str) -> str:
    """Return why a message was not sent, as a clause without a period.

    Args:
        failure: The reason.
        to: Its recipient.
    """
    wait = "" if failure.wait_s is None else _wait(failure.wait_s)
    if failure.code in list(FailureCode):
        return _FAILURES[FailureCode(failure.code)]
    if failure.code == ErrorCode.MUTED:
        return f"you are muted for another {wait}" if wait else "you are muted"
    if failure.code == ErrorCode.QUOTA_EXCEEDED:
        return f"you have sent as much as the server stores in a day; wait {wait or 'a while'}"
    if failure.code == ErrorCode.SLOW_MODE:
        return f"slow mode; wait {wait}" if wait else "slow mode; wait a little"
    sentence = explain_error(failure.code, failure.message, name=to).rstrip(".")
    is_ours = failure.code in list(ErrorCode) and sentence[:1].isupper()
    return sentence[0].lower() + sentence[1:] if is_ours else sentence


def is_unconfirmed(failure: Failure) -> bool:
    """Whether the message might be stored all the same."""
    return failure.code in _RESULTS


def _wait(seconds: float) -> str:
    return f"{max(math.ceil(seconds), 1)} s" if seconds < _SHORT_WAIT_S else describe_wait(seconds)


_FAILURES: Final = {
    FailureCode.EXPIRED: "it could not be sent for 7 days",
    FailureCode.ACCOUNT_DELETED: "the account was deleted",
    FailureCode.NOT_ENCODABLE: "the text is not UTF-8",
    FailureCode.UNANSWERED: "the server did not say whether it was stored",
    FailureCode.UNANSWERED_KEPT: (
        "the server did not say whether it was stored; it is sent again at the next start"
    ),
}

_PLAIN: Final = {
    ErrorCode.UNCHANGED: "No change: it is already so.",
    ErrorCode.TOO_MANY_ROOMS: "You have reached the limit of rooms; leave one first.",
    ErrorCode.LAST_OWNER: (
        "You are the only owner. Make someone else an owner (/role NAME owner) or /archive the room first."
    ),
    ErrorCode.BAD_QUERY: "The search has no word in it.",
    ErrorCode.UNKNOWN_MESSAGE: "That message does not exist, or was deleted.",
    ErrorCode.TOO_MANY_REACTIONS: "That message has reached the limit of reactions.",
}
"""Sentences that are better here than the server's."""

_WITH_NAME: Final[dict[ErrorCode, Callable[[str], str]]] = {
    ErrorCode.UNKNOWN_RECIPIENT: lambda name: f'No user named "{name}".',
    ErrorCode.USER_BLOCKED: lambda name: f"You block {name}. /unblock {name} ends that.",
    ErrorCode.NOT_ACCEPTED: lambda name: f"{name} does not accept messages from you.",
    ErrorCode.UNKNOWN_ROOM: lambda name: f"{name} does not exist, or is closed and you are not invited.",
    ErrorCode.NOT_A_MEMBER: lambda name: f"You are not a member of {name}. Try /join {name}.",
    ErrorCode.ALREADY_MEMBER: lambda name: f"You are already in {name}.",
    ErrorCode.BANNED: lambda name: f"You are banned from {name}.",
    ErrorCode.NOT_ALLOWED: lambda name: f"Your role in {name} does not allow that.",
    ErrorCode.ROOM_ARCHIVED: lambda name: f"{name} is archived (read-only).",
    ErrorCode.ROOM_EXISTS: lambda name: f"{name} already exists. Try /join {name}.",
}
"""Sentences with the name of the room, or of the recipient."""

_WITH_USER: Final[dict[ErrorCode, Callable[[str, str], str]]] = {
    ErrorCode.UNKNOWN_USER: lambda _, user: f'No user named "{user}".',
    ErrorCode.NOT_ACCEPTED: lambda _, user: f"{user} does not accept invitations from you.",
    ErrorCode.USER_BLOCKED: lambda _, user: f"You block {user}. /unblock {user} ends that.",
    ErrorCode.USER_NOT_MEMBER: lambda name, user: f"{user} is not a member of {name}.",
    ErrorCode.ALREADY_MEMBER: lambda name, user: f"{user} is already in {name}.",
    ErrorCode.BANNED: lambda name, user: f"{user} is banned from {name}. Try /unban {user}.",
    ErrorCode.DECLINED: lambda name, user: f"{user} has declined an invitation to {name}.",
    ErrorCode.TOO_MANY_INVITATIONS: lambda _, user: (
        f"{user} has too many open invitations and has to answer some first."
    ),
}
"""Sentences with the names of the room and of the member whom a request is about."""
