"""What commands show of a room: as data for programs, and as text for people.

Times are as in `listusers`; one that never comes is `forever`. The operator has no name: "" in data.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from qscp.rooms import RANKS
from qscp.text import strip_controls
from qscpd.cli.output import utc
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import LogRow
from qscpd.domain.rooms import FOREVER_MS, Membership, RoomRow

__all__ = ["HEADING", "described", "entries", "kept", "people", "row_of", "shown", "table"]

Fields = dict[str, Any]

HEADING: Final = ("NAME", "KIND", "STATE", "MEMBERS", "MESSAGES", "TOPIC")

_OPERATOR: Final = "the operator"
_FOREVER: Final = "forever"


def described(room: RoomRow) -> Fields:
    """A room's settings and sizes."""
    return {
        "id": conversation_id(room.id),
        "name": room.name,
        "kind": room.kind.value,
        "history": room.history.value,
        "state": room.state.value,
        "topic": room.topic,
        "slow": room.slow_s,
        "created": utc(room.created_ms),
        "members": room.members,
        "messages": kept(room),
    }


def kept(room: RoomRow) -> int:
    """How many messages are kept; edits, redactions and reactions have a place among them, and count."""
    return room.last_seq - room.first_seq + 1


def people(memberships: Mapping[int, Membership], names: Mapping[int, str], now_ms: int) -> list[Fields]:
    """Who is in a room, the highest first, then who is invited, muted or banned."""
    found = [
        (
            -RANKS[membership.role],
            {
                "account": f"a{account}",
                "name": names.get(account, ""),
                "role": membership.role.value if membership.role is not None else None,
                "invited_by": names.get(membership.invited_by, "")
                if membership.invited_by is not None
                else None,
                "muted_until": _end(membership.muted_until_ms, now_ms),
                "banned_until": _end(membership.banned_until_ms, now_ms),
            },
        )
        for account, membership in memberships.items()
    ]
    found.sort(key=lambda each: (each[0], each[1]["name"]))
    # Of some the room knows only a mute or a ban that is over.
    return [each for _, each in found if any(each[field] is not None for field in _NEWS)]


_NEWS: Final = ("role", "invited_by", "muted_until", "banned_until")


def entries(log: Iterable[LogRow], names: Mapping[int, str]) -> list[Fields]:
    """A room's log of moderation."""
    return [
        {
            "time": utc(row.time_ms),
            "by": names.get(row.actor or 0, ""),
            "action": row.action,
            "user": names.get(row.target or 0, ""),
            "seq": row.seq,
            "until": _end(row.until_ms or 0, 0),
            "text": row.text,
        }
        for row in log
    ]


def _end(until_ms: int, now_ms: int) -> str | None:
    """When something ends that goes on; None if it is over or never began."""
    if until_ms <= now_ms:
        return None
    return _FOREVER if until_ms == FOREVER_MS else utc(until_ms)


# --- for people


def row_of(room: RoomRow) -> tuple[str, ...]:
    """A room in a table with the columns of `HEADING`."""
    return (room.name, room.kind, room.state, str(room.members), str(kept(room)), room.topic)


def shown(room: RoomRow, whom: Sequence[Fields], log: Sequence[Fields], heading: str) -> list[str]:
    """A room on lines.

    Args:
        room: The room.
        whom: What `people` returned.
        log: What `entries` returned.
        heading: What stands above the log.
    """
    lines = table([(f"{field}:", str(value)) for field, value in described(room).items()])
    lines += ["", "people:"]
    lines += table([("", each["name"], each["role"] or "-", _remarks(each)) for each in whom])
    lines += ["", f"{heading}:"]
    return lines + table([("", each["time"], each["by"] or _OPERATOR, _deed(each)) for each in log])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns, and leave out what could drive a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        strip_controls(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _remarks(person: Fields) -> str:
    remarks = []
    if person["invited_by"] is not None:
        remarks.append(f"invited by {person['invited_by'] or _OPERATOR}")
    if person["muted_until"] is not None:
        remarks.append(f"muted {_until(person['muted_until'])}")
    if person["banned_until"] is not None:
        remarks.append(f"banned {_until(person['banned_until'])}")
    return ", ".join(remarks)


def _deed(entry: Fields) -> str:
    words = [entry["action"], entry["user"]]
    if entry["seq"] is not None:
        words.append(f"message {entry['seq']}")
    if entry["until"] is not None:
        words.append(_until(entry["until"]))
    deed = " ".join(word for word in words if word)
    return f"{deed}: {entry['text']}" if entry["text"] else deed


def _until(end: str) -> str:
    return end if end == _FOREVER else f"until {end}"
