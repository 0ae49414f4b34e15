"""Moderation: recorded actions, their texts, and which actions protect people."""

from typing import get_args

import pytest

from qscp.rooms import HistoryFrom, RoomAction, RoomKind, RoomRole
from qscpd.domain.moderation import LogEntry, announcement, is_protective, log_entry
from qscpd.domain.rooms import FOREVER_MS, NO_MEMBERSHIP, Membership, RoomChange


def change(action: str, **fields: object) -> RoomChange:
    """Make a change."""
    return RoomChange(action=action, room="#dev", actor=1, **fields)  # type: ignore[arg-type]  # fields of a RoomChange


@pytest.mark.parametrize("action", ["join", "leave"])
def test_joining_and_leaving_are_not_recorded(action: str) -> None:
    """Joining and leaving make no log entry."""
    assert log_entry(change(action)) is None


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (change("role", role=RoomRole.MODERATOR), "moderator"),
        (change("topic", text="news"), "news"),
        (change("set", seconds=0), "slow 0 s"),
        (change("set"), ""),
        (
            change("create", kind=RoomKind.CLOSED, history=HistoryFrom.FULL, seconds=7, text="news"),
            "closed, history full, slow 7 s, news",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else each.action,
)
def test_an_entry_has_the_details(made: RoomChange, text: str) -> None:
    """The text of an entry has the role, topic or settings that changed."""
    assert log_entry(made) == LogEntry(made.action, 1, text=text)


def test_the_entry_of_a_mute_has_its_end() -> None:
    """The entry of a mute has its target, end and reason."""
    made = change("mute", target=2, text="loud", seconds=5)
    assert log_entry(made, 5000) == LogEntry("mute", 1, 2, None, 5000, "loud")


@pytest.mark.parametrize("action", sorted(set(get_args(RoomAction)) | {"join", "leave", "delete"}))
def test_what_protects(action: str) -> None:
    """Changes that take a right away, or get a member out, protect from an abuser; no other does."""
    protects = action in {"leave", "remove", "ban", "mute", "archive", "delete"}
    assert is_protective(RoomChange(action=action, room="#dev", actor=1)) is protects


MEMBER = Membership(RoomRole.MEMBER)


@pytest.mark.parametrize("action", sorted(set(get_args(RoomAction)) | {"join", "leave", "delete"}))
def test_what_all_members_see(action: str) -> None:
    """Members see what is done to other members and to the room, but no invitations and no requests."""
    made = change(action, target=2, text="why", role=RoomRole.MODERATOR)
    seen = announcement(made, MEMBER, NO_MEMBERSHIP, room_changed=True)
    hidden = {"create", "members", "invite", "log", "join", "leave", "delete"}
    assert (seen is None) is (action in hidden)
    assert seen is None or seen.text == ("moderator" if action == "role" else seen.text)
    if action in {"topic", "set", "archive", "unarchive"}:
        assert announcement(made, MEMBER, MEMBER, room_changed=False) is None


def test_the_announcement_of_a_mute_or_ban_has_its_end() -> None:
    """An announced mute or ban has its end, if it has one; the same again is announced with its reason."""
    muted, banned = MEMBER._replace(muted_until_ms=5), Membership(banned_until_ms=7)
    mute, ban = change("mute", target=2, text="loud"), change("ban", target=2)
    seen = announcement(mute, MEMBER, muted, room_changed=False)
    assert seen == LogEntry("mute", 1, 2, None, 5, "loud")
    assert announcement(mute, muted, muted, room_changed=False) == seen
    found = announcement(ban, MEMBER, banned, room_changed=False)
    assert found == LogEntry("ban", 1, 2, None, 7)
    found = announcement(ban, MEMBER, Membership(banned_until_ms=FOREVER_MS), room_changed=False)
    assert found == LogEntry("ban", 1, 2)


def test_a_withdrawn_invitation_is_not_announced() -> None:
    """Only the invited user learns that an invitation was withdrawn."""
    made = change("remove", target=2)
    assert announcement(made, Membership(invited_by=1), NO_MEMBERSHIP, room_changed=False) is None
