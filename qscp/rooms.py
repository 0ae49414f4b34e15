"""Rooms: what the people in them may be and may do, as data.

Server, client and `docs/protocol.md` read the same tables; the server alone decides by them
(`qscpd.domain.rooms`).
"""

import contextlib
import enum
import re
from typing import Final

from qscp.errors import ErrorCode, InvalidNameError, InvalidTextError
from qscp.limits import MENTIONS_LIMIT, REACTION_LIMIT, TOPIC_LIMIT
from qscp.names import normalize_name
from qscp.text import is_line

__all__ = [
    "PERMISSIONS",
    "RANKS",
    "ROOM_FIELDS",
    "HistoryFrom",
    "RoomKind",
    "RoomRole",
    "check_reaction",
    "check_topic",
    "is_room",
    "mentioned",
    "normalize_room",
]


class RoomRole(enum.StrEnum):
    """What somebody is in a room."""

    OWNER = "owner"
    MODERATOR = "moderator"
    MEMBER = "member"


class RoomKind(enum.StrEnum):
    """Who gets in, and who may write."""

    OPEN = "open"
    """Everybody may join and write."""
    CLOSED = "closed"
    """Only who was invited may join; nobody else learns that the room exists."""
    ANNOUNCEMENT = "announcement"
    """Everybody may join; owners and moderators write."""


class HistoryFrom(enum.StrEnum):
    """What a member sees of what was written before."""

    JOINING = "joining"
    """Nothing from before they joined."""
    FULL = "full"
    """All of it."""


RANKS: Final[dict[RoomRole | None, int]] = {
    RoomRole.OWNER: 3,
    RoomRole.MODERATOR: 2,
    RoomRole.MEMBER: 1,
    None: 0,
}
"""Who is above whom: a person may only be removed, banned, muted, unmuted or redacted by somebody above
them, or by an owner. Who is not in the room has the lowest rank."""

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
"""What may be done, and the lowest role that may do it. `announce` is `write` in an announcement room;
`redact` is about messages of others, one's own need `react`."""

ROOM_FIELDS: Final[dict[str, tuple[frozenset[str], frozenset[str]]]] = {
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
"""Action of a `room` frame -> the fields that it needs, and those that it may have besides."""

# An address like bob@example.org mentions nobody, and neither does what only begins like a name. Only the
# letters of Latin, Greek and Cyrillic go on a word: those are the look-alikes, and in the scripts above
# them people write names without blanks around. `++` gives nothing back, so nothing is tried twice.
_WORD: Final = "0-9A-Za-z_\u00aa\u00b5\u00ba\u00c0-\u052f\u1d00-\u1fff"
_MENTION: Final = re.compile(rf"(?<![{_WORD}.@-])@([{_WORD}.-]++)(?!@)")

_INVISIBLE: Final = "\u00ad\u034f\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufe0e\ufe0f\ufeff"
"""What joins emoji and shapes letters, and shows nothing when it is alone."""


def is_room(name: str) -> bool:
    """Whether a name, as typed, is meant to be a room's: by how it begins."""
    return name.lstrip().startswith("#")


def normalize_room(text: str) -> str:
    """Fold a typed room name to the form that is stored and compared: `#`, and a name behind it.

    Raises:
        InvalidNameError: The name breaks the rules of `qscp.names`.
    """
    name = text.strip().removeprefix("#")
    if name != name.strip():
        raise InvalidNameError(text)
    return "#" + normalize_name(name)


def check_topic(text: str) -> None:
    """Check a topic, or a reason for the log: one line of at most `TOPIC_LIMIT` bytes; it may be empty.

    Raises:
        InvalidTextError: With the code `bad_text`.
    """
    if not is_line(text, TOPIC_LIMIT):
        raise InvalidTextError(ErrorCode.BAD_TEXT)


def check_reaction(text: str) -> None:
    """Check a reaction: a few characters without blanks, an emoji or a short word, that can be seen.

    Raises:
        InvalidTextError: With the code `bad_text`.
    """
    if not is_line(text, REACTION_LIMIT) or text.split() != [text] or not text.strip(_INVISIBLE):
        raise InvalidTextError(ErrorCode.BAD_TEXT)


def mentioned(body: str) -> list[str]:
    """The names that a message mentions as `@name`: in lower case, each once, `MENTIONS_LIMIT` at most.

    Dots and hyphens at the end belong to the sentence. Cost: linear in the body.
    """
    if "@" not in body:
        return []
    names: dict[str, None] = {}
    for token in dict.fromkeys(_MENTION.findall(body)):
        with contextlib.suppress(InvalidNameError):
            names[normalize_name(token.rstrip(".-"))] = None
    return list(names)[:MENTIONS_LIMIT]
