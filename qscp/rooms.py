"""Rooms: roles, permissions and kinds as data; rules for names, topics, reactions and mentions.

Server, client and `docs/protocol.md` use the same tables; only the server enforces them
(`qscpd.domain.rooms`).
"""

import contextlib
import enum
import re
from typing import Final, Literal

from qscp.characters import is_visible
from qscp.errors import ErrorCode, InvalidNameError, InvalidTextError
from qscp.limits import MENTIONS_LIMIT, REACTION_LIMIT, TOPIC_LIMIT
from qscp.names import normalize_name
from qscp.text import check_line

__all__ = [
    "PERMISSIONS",
    "RANKS",
    "ROOM_FIELDS",
    "HistoryFrom",
    "RoomAction",
    "RoomKind",
    "RoomRole",
    "check_reaction",
    "check_topic",
    "is_room",
    "mentioned",
    "normalize_recipient",
    "normalize_room",
]


class RoomRole(enum.StrEnum):
    """Role of a member."""

    OWNER = "owner"
    MODERATOR = "moderator"
    MEMBER = "member"


class RoomKind(enum.StrEnum):
    """Kind of a room: who can join and who can write."""

    OPEN = "open"
    """Every user can join and write."""
    CLOSED = "closed"
    """Only invited users can join; nobody else learns that the room exists."""
    ANNOUNCEMENT = "announcement"
    """Every user can join; only owners and moderators can write."""


class HistoryFrom(enum.StrEnum):
    """Part of the history that a new member sees."""

    JOINING = "joining"
    """Only messages from after they joined."""
    FULL = "full"
    """All messages."""


RoomAction = Literal[
    "create",
    "topic",
    "set",
    "members",
    "invite",
    "remove",
    "ban",
    "unban",
    "mute",
    "unmute",
    "role",
    "archive",
    "unarchive",
    "log",
]
"""Action of a `room` frame."""

RANKS: Final[dict[RoomRole | None, int]] = {
    RoomRole.OWNER: 3,
    RoomRole.MODERATOR: 2,
    RoomRole.MEMBER: 1,
    None: 0,
}
"""Rank of each role. Removing, banning, muting, unmuting and redacting need a higher rank than the
target's, or the role of owner. A non-member has the lowest rank."""

PERMISSIONS: Final[dict[str, RoomRole]] = {
    "write": RoomRole.MEMBER,
    "announce": RoomRole.MODERATOR,
    "react": RoomRole.MEMBER,
    "members": RoomRole.MEMBER,
    "invite": RoomRole.MEMBER,
    "topic": RoomRole.MODERATOR,
    "remove": RoomRole.MODERATOR,
    "ban": RoomRole.MODERATOR,
    "unban": RoomRole.MODERATOR,
    "mute": RoomRole.MODERATOR,
    "unmute": RoomRole.MODERATOR,
    "redact": RoomRole.MODERATOR,
    "log": RoomRole.MODERATOR,
    "set": RoomRole.OWNER,
    "role": RoomRole.OWNER,
    "archive": RoomRole.OWNER,
    "unarchive": RoomRole.OWNER,
}
"""Lowest role that can do each action. `announce` is `write` in an announcement room; `redact` is for
messages of others, a member's own need `react`."""

ROOM_FIELDS: Final[dict[RoomAction, tuple[frozenset[str], frozenset[str]]]] = {
    "create": (frozenset(), frozenset({"kind", "history", "text"})),
    "topic": (frozenset({"text"}), frozenset()),
    "set": (frozenset(), frozenset({"kind", "history", "seconds"})),
    "members": (frozenset(), frozenset({"cursor"})),
    "invite": (frozenset({"user"}), frozenset()),
    "remove": (frozenset({"user"}), frozenset({"text"})),
    "ban": (frozenset({"user"}), frozenset({"seconds", "text"})),
    "unban": (frozenset({"user"}), frozenset()),
    "mute": (frozenset({"user"}), frozenset({"seconds", "text"})),
    "unmute": (frozenset({"user"}), frozenset()),
    "role": (frozenset({"user", "role"}), frozenset()),
    "archive": (frozenset(), frozenset()),
    "unarchive": (frozenset(), frozenset()),
    "log": (frozenset(), frozenset({"cursor"})),
}
"""Action of a `room` frame -> its required fields, its optional fields."""

# An address like bob@example.org mentions nobody, nor does a word that only begins like a name. Only
# letters of Latin, Greek and Cyrillic continue a word: those have look-alikes, and in later scripts
# names are written without blanks around them. `++` never backtracks, so matching is linear.
_WORD: Final = "0-9A-Za-z_\u00aa\u00b5\u00ba\u00c0-\u052f\u1d00-\u1fff"
_MENTION: Final = re.compile(rf"(?<![{_WORD}.@-])@([{_WORD}.-]++)(?!@)")


def is_room(name: str) -> bool:
    """Return whether a typed name means a room: it begins with `#`."""
    return name.lstrip().startswith("#")


def normalize_room(text: str) -> str:
    """Fold a typed room name to its stored form: `#` and a normalized name.

    Raises:
        InvalidNameError: The name breaks the rules of `qscp.names`.
    """
    name = text.strip().removeprefix("#")
    if name != name.strip():
        raise InvalidNameError(text)
    return "#" + normalize_name(name)


def normalize_recipient(text: str) -> str:
    """Fold the typed name of a user or of a room to its stored form.

    Raises:
        InvalidNameError: The name breaks the rules of `qscp.names`.
    """
    return normalize_room(text) if "#" in text else normalize_name(text)


def check_topic(text: str) -> None:
    """Check a topic or a reason: one line of at most `TOPIC_LIMIT` bytes, possibly empty.

    Raises:
        InvalidTextError: With the code `bad_text`.
    """
    check_line(text, TOPIC_LIMIT, ErrorCode.BAD_TEXT)


def check_reaction(text: str) -> None:
    """Check a reaction: an emoji or a short word, visible and without blanks.

    Raises:
        InvalidTextError: With the code `bad_text`.
    """
    check_line(text, REACTION_LIMIT, ErrorCode.BAD_TEXT)
    if text.split() != [text] or not is_visible(text):
        raise InvalidTextError(ErrorCode.BAD_TEXT)


def mentioned(body: str) -> list[str]:
    """Return the names that a message mentions as `@name`: in lower case, without repeats.

    At most `MENTIONS_LIMIT` names. Dots and hyphens at the end belong to the sentence. Cost: linear
    in the body.
    """
    if "@" not in body:
        return []
    names: dict[str, None] = {}
    for token in dict.fromkeys(_MENTION.findall(body)):
        with contextlib.suppress(InvalidNameError):
            names[normalize_name(token.rstrip(".-"))] = None
    return list(names)[:MENTIONS_LIMIT]
