"""Rooms as data for programs (JSON) and as tables for people.

Times are as in `listusers`; an end that never comes is `forever`. In data the operator has the name "".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from qscp.characters import mark_forbidden
from qscp.rooms import RANKS
from qscpd.cli.output import utc
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import LogRow
from qscpd.domain.rooms import FOREVER_MS, Membership, RoomRow

Fields = dict[str, Any]

HEADING: Final = ("NAME", "KIND", "STATE", "MEMBERS", "MESSAGES", "TOPIC")

_OPERATOR: Final = "the operator"
_FOREVER: Final = "forever"

_BREAKS: Final = {ord(each): f"<U+{ord(each):04X}>" for each in "\t\n"}
"""What `mark_forbidden` leaves, because messages have it; a topic or a reason of ours has not."""


def describe_room(room: RoomRow) -> Fields:
    """Return settings and sizes of a room."""
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
        "messages": count_messages(room),
    }


def count_messages(room: RoomRow) -> int:
    """Return the number of kept messages, including edits, redactions and reactions."""
    return room.last_seq - room.first_seq + 1


def describe_people(
    memberships: Mapping[int, Membership], names: Mapping[int, str], now_ms: int
) -> list[Fields]:
    """Return the members of a room, highest role first, then invited, muted and banned users."""
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
    # Some memberships consist only of a mute or a ban that is over.
    return [each for _, each in found if any(each[field] is not None for field in _SHOWN_FIELDS)]


_SHOWN_FIELDS: Final = ("role", "invited_by", "muted_until", "banned_until")


def describe_log(log: Iterable[LogRow], names: Mapping[int, str]) -> list[Fields]:
    """Return the entries of a moderation log."""
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
    """Return the end of a mute or ban; None if it is over or never began."""
    if until_ms <= now_ms:
        return None
    return _FOREVER if until_ms == FOREVER_MS else utc(until_ms)


# --- for people


def room_row(room: RoomRow) -> tuple[str, ...]:
    """Return a table row with the columns of `HEADING`."""
    return (room.name, room.kind, room.state, str(room.members), str(count_messages(room)), room.topic)


def format_room(room: RoomRow, people: Sequence[Fields], log: Sequence[Fields], heading: str) -> list[str]:
    """Return the lines that show a room.

    Args:
        room: The room.
        people: Result of `describe_people`.
        log: Result of `describe_log`.
        heading: Heading of the log.
    """
    lines = format_table([(f"{field}:", str(value)) for field, value in describe_room(room).items()])
    lines += ["", "people:"]
    lines += format_table([("", each["name"], each["role"] or "-", _remarks(each)) for each in people])
    lines += ["", f"{heading}:"]
    return lines + format_table([("", each["time"], each["by"] or _OPERATOR, _action(each)) for each in log])


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows with aligned columns, without control characters; each is one line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        mark_forbidden("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)))
        .translate(_BREAKS)
        .rstrip()
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


def _action(entry: Fields) -> str:
    words = [entry["action"], entry["user"]]
    if entry["seq"] is not None:
        words.append(f"message {entry['seq']}")
    if entry["until"] is not None:
        words.append(_until(entry["until"]))
    text = " ".join(word for word in words if word)
    return f"{text}: {entry['text']}" if entry["text"] else text


def _until(end: str) -> str:
    return end if end == _FOREVER else f"until {end}"
