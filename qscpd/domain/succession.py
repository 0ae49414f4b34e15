"""Rooms of a deleted account: it leaves them, and each keeps an owner or is archived. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from qscp.rooms import RANKS, RoomRole
from qscpd.domain.moderation import LogEntry
from qscpd.domain.rooms import NO_MEMBERSHIP, Membership, RoomRow, RoomState


class Departure(NamedTuple):
    """A room after a deleted account has left it."""

    room: RoomRow
    memberships: Mapping[int, Membership]
    """Changed memberships by account id."""
    logged: LogEntry | None
    """The log's entry about the owner's succession."""


def depart(room: RoomRow, memberships: Mapping[int, Membership], account: int) -> Departure:
    """Return what a room becomes when an account that had a membership there is deleted.

    Args:
        room: The room before; not deleted.
        memberships: All memberships of the room, by account id.
        account: The deleted account's id.
    """
    changed = {account: NO_MEMBERSHIP}
    if memberships[account].role is not RoomRole.OWNER or room.owners != 1:
        return Departure(room, changed, None)
    others = {
        other: membership
        for other, membership in memberships.items()
        if membership.role is not None and other != account
    }
    new_owner = successor(others.items())
    if new_owner is None:
        archived = room._replace(state=RoomState.ARCHIVED)
        return Departure(archived, changed, LogEntry("archive", actor=None))
    changed[new_owner] = others[new_owner]._replace(role=RoomRole.OWNER)
    return Departure(room, changed, LogEntry("role", actor=None, target=new_owner, text=RoomRole.OWNER))


def successor(members: Iterable[tuple[int, Membership]]) -> int | None:
    """Return the member who inherits ownership: highest role, then longest membership, then lowest id."""
    ranked = sorted(members, key=lambda each: (-RANKS[each[1].role], each[1].since, each[0]))
    return ranked[0][0] if ranked else None
