"""Moderation of rooms: who did what, announced just before the states that follow from it. Sans-I/O."""

from typing import Final

from qscp import frames
from qscp.rooms import RoomRole
from qscp_client.core.notices import Notice, NoticeCode

_OF_MEMBER: Final = {
    "remove": NoticeCode.MEMBER_REMOVED,
    "ban": NoticeCode.MEMBER_BANNED,
    "unban": NoticeCode.MEMBER_UNBANNED,
    "mute": NoticeCode.MEMBER_MUTED,
    "unmute": NoticeCode.MEMBER_UNMUTED,
    "role": NoticeCode.MEMBER_ROLE,
}
"""Action on a member -> its notice. Those on the room itself have one when its new state comes."""


class Announced:
    """What was announced of one room and did not show in its state yet.

    Args:
        frame: The announcement; it takes the place of an earlier one.
        me: Your name. What you did is announced too, and has notices of its own.
    """

    def __init__(self, frame: frames.Moderated, me: str) -> None:
        self._others = [each for each in frame.actions if each.by != me]
        self._me = me

    def __len__(self) -> int:
        """Number of actions that are kept."""
        return len(self._others)

    def notices(self, room: str) -> list[Notice]:
        """Return the notices about other members."""
        found = []
        for each in self._others:
            code = _OF_MEMBER.get(each.action)
            role = RoomRole(each.text) if each.action == "role" and each.text in list(RoomRole) else None
            if code is None or each.user == self._me or (each.action == "role" and role is None):
                continue
            text = "" if role else each.text
            found.append(
                Notice(
                    code,
                    name=room,
                    user=each.user,
                    by=each.by if each.by != each.user else "",
                    is_operator=not each.by,
                    text=text,
                    until_ms=each.until,
                    role=role,
                )
            )
        return found

    def covers(self, user: str, role: RoomRole | None) -> bool:
        """Return whether a member's new role, or that they are gone, was announced; the first time."""
        actions = ("role",) if role is not None else ("remove", "ban")
        found = [each for each in self._others if each.user == user and each.action in actions]
        self._others = [each for each in self._others if each not in found]
        return bool(found)

    def take_actors(self) -> dict[str, str]:
        """Remove actions on the room itself; return who did each of them, an empty name for an operator."""
        found = [each for each in self._others if not each.user]
        self._others = [each for each in self._others if each.user]
        return {each.action: each.by for each in found}
