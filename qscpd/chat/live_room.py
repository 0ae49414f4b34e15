"""One room in memory."""

import asyncio
from collections.abc import Mapping
from typing import Final

from qscp import frames
from qscp.rooms import RoomRole
from qscpd.domain.ids import conversation_id
from qscpd.domain.rooms import NO_MEMBERSHIP, Membership, RoomRow, RoomState, first_visible, may_see
from qscpd.sessions.session import Session

_ACTIONS: Final = 20
"""Moderation actions that a summary lists; with the longest reasons some 20 KiB. The others are counted."""


class LiveRoom:
    """One room.

    Attributes:
        row: As it is stored; its `last_seq` can be old.
        memberships: Of members, invited, muted and banned accounts, by account id.
        sessions: The logged-in sessions of its members.
        last_seq: Its newest message.
        actions: Moderation actions since the last summary, the first of them.
        more_actions: How many more there were.
        changed: Roles that changed since the last summary; None of accounts that left.
        settings_changed: Whether topic, kind or the like changed since the last summary.
        typing: Names of users who have been typing since the last summary.
        summarized: Loop time of the last summary.
        timer: Of the next summary.
        due: Whether it waits for its turn to send a summary.
    """

    __slots__ = (
        "actions",
        "changed",
        "due",
        "last_seq",
        "memberships",
        "more_actions",
        "row",
        "sessions",
        "settings_changed",
        "summarized",
        "timer",
        "typing",
    )

    def __init__(self, row: RoomRow, memberships: Mapping[int, Membership]) -> None:
        self.row = row
        self.memberships = dict(memberships)
        self.sessions: set[Session] = set()
        self.last_seq = row.last_seq
        self.actions: list[frames.ModerationAction] = []
        self.more_actions = 0
        self.changed: dict[int, RoomRole | None] = {}
        self.settings_changed = False
        self.typing: dict[str, None] = {}
        self.due = False
        self.timer: asyncio.TimerHandle | None = None
        self.summarized = float("-inf")

    def note_action(self, action: frames.ModerationAction) -> None:
        """Note a moderation action for the next summary."""
        if len(self.actions) < _ACTIONS:
            self.actions.append(action)
        else:
            self.more_actions += 1

    def membership(self, account: int) -> Membership:
        """Return the membership of an account; that of none has neither role nor invitation."""
        return self.memberships.get(account, NO_MEMBERSHIP)

    def is_invited(self, account: int) -> bool:
        """Return whether an account was invited and has not joined yet."""
        return self.membership(account).invited_by is not None

    def role(self, account: int) -> RoomRole | None:
        """Return the role of an account; None if it is no member."""
        return self.membership(account).role

    def visible_to(self, account: int) -> bool:
        """Return whether an account may know that the room exists."""
        return may_see(self.row, self.membership(account))

    def first_seq(self, account: int) -> int:
        """Return the first message that an account may see, whatever was pruned."""
        return first_visible(self.row, self.membership(account))

    def described(self, account: int) -> frames.Room:
        """Return the room as an account sees it."""
        row, membership = self.row, self.membership(account)
        return frames.Room(
            name=row.name,
            conversation=conversation_id(row.id),
            kind=row.kind,
            history=row.history,
            members=row.members,
            topic=row.topic,
            slow=row.slow_s,
            archived=row.state is RoomState.ARCHIVED,
            role=membership.role,
            invited=membership.invited_by is not None,
            muted=membership.muted_until_ms,
        )

    def state_for(self, account: int, by: str = "", last_seq: int | None = None) -> frames.RoomChanged:
        """Return the frame with the room's present state for a member.

        Args:
            account: The member.
            by: Name of the user who changed it; empty for a change that concerns all members.
            last_seq: The last seq to give; None for that of the newest message.
        """
        first = max(self.row.first_seq, self.first_seq(account))
        last = self.last_seq if last_seq is None else last_seq
        return frames.RoomChanged(self.described(account), first, last, by)
