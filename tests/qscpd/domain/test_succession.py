"""Rooms of a deleted account: the successor of the owner, and the log entry."""

from typing import Final

import pytest

from qscp.rooms import RoomRole
from qscpd.domain.moderation import LogEntry
from qscpd.domain.rooms import NO_MEMBERSHIP, Membership, RoomState
from qscpd.domain.succession import Departure, depart, successor
from tests.support import room_rows

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
ROOM: Final = room_rows.ROOM._replace(members=3)
OWNER: Final = Membership(RoomRole.OWNER)


def test_the_successor() -> None:
    """The successor has the highest role, then the longest membership, then the lowest id."""
    member, late = Membership(RoomRole.MEMBER, 1), Membership(RoomRole.MEMBER, 9)
    moderator, late_moderator = Membership(RoomRole.MODERATOR, 5), Membership(RoomRole.MODERATOR, 9)
    assert successor([]) is None
    assert successor([(5, late), (6, member), (7, late)]) == 6
    assert successor([(4, late_moderator), (5, member), (6, moderator)]) == 6
    assert successor([(9, member), (8, member)]) == 8


def test_the_room_of_the_last_owner_gets_another_owner() -> None:
    """A muted member can succeed and stays muted; invited and banned users cannot succeed."""
    muted = Membership(RoomRole.MEMBER, 4, None, 99)
    memberships = {ALICE: OWNER, BOB: Membership(invited_by=ALICE), CAROL: muted, DAN: NO_MEMBERSHIP}
    changed = {ALICE: NO_MEMBERSHIP, CAROL: muted._replace(role=RoomRole.OWNER)}
    entry = LogEntry("role", None, CAROL, text="owner")
    assert depart(ROOM, memberships, ALICE) == Departure(ROOM, changed, entry)


def test_a_room_without_members_is_archived() -> None:
    """A room that has only invited users left is archived."""
    memberships = {ALICE: OWNER, BOB: Membership(invited_by=ALICE)}
    archived = ROOM._replace(state=RoomState.ARCHIVED)
    departure = depart(ROOM, memberships, ALICE)
    assert departure == Departure(archived, {ALICE: NO_MEMBERSHIP}, LogEntry("archive", None))


@pytest.mark.parametrize(
    "membership",
    [Membership(RoomRole.MODERATOR), Membership(RoomRole.MEMBER), Membership(invited_by=0), NO_MEMBERSHIP],
)
def test_others_leave_without_a_log_entry(membership: Membership) -> None:
    """The departure of an account that is not an owner removes its membership and logs nothing."""
    departure = depart(ROOM, {ALICE: membership, BOB: OWNER}, ALICE)
    assert departure == Departure(ROOM, {ALICE: NO_MEMBERSHIP}, None)


def test_one_of_two_owners_leaves_without_a_log_entry() -> None:
    """The departure of one of two owners changes no other membership."""
    departure = depart(ROOM._replace(owners=2), {ALICE: OWNER, BOB: OWNER}, ALICE)
    assert departure == Departure(ROOM._replace(owners=2), {ALICE: NO_MEMBERSHIP}, None)
