"""The rooms in memory: their members, the members' sessions, and what those are notified of.

The store is the truth. This copy is loaded when the daemon starts, and each change is applied in the
order of the commits (`Rooms.on_commit`). A user is notified at once of what concerns only them. What
concerns all members (who joined and left, a new topic, who is typing) is a state: changes are collected
and sent at most once a second. A thousand users who join within a second cost each member one frame instead
of a thousand.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from qscp import codec, frames
from qscp.features import TYPING
from qscp.rooms import RoomRole
from qscpd.chat.submission import SubmissionQueue
from qscpd.domain.events import RoomChanged
from qscpd.domain.ids import conversation_id
from qscpd.domain.rooms import (
    FOREVER_MS,
    NO_MEMBERSHIP,
    Membership,
    RoomChange,
    RoomRow,
    RoomState,
    first_visible,
    may_see,
)
from qscpd.sessions.session import Session

_INTERVAL_S: Final = 1.0
"""Between two summaries of a room's changes."""

_LISTED: Final = 50
"""Members listed in a frame of changes; the others are only counted."""

_TYPING_LISTED: Final = 3
"""Users listed in a typing indicator; the others are only counted."""

_LEFT: Final = {"leave": "left", "ban": "banned", "delete": "deleted"}
"""Action -> the reason in `room_left`; that of all other actions is `removed`."""

_NONE: Final[frozenset[int]] = frozenset()


class LiveRoom:
    """One room.

    Attributes:
        row: As it is stored; its `last_seq` can be old.
        memberships: Of members, invited, muted and banned accounts, by account id.
        sessions: The logged-in sessions of its members.
        last_seq: Its newest message.
        changed: Roles that changed since the last summary; None of accounts that left.
        settings_changed: Whether topic, kind or the like changed since the last summary.
        typing: Names of users who have been typing since the last summary.
        summarized: Loop time of the last summary.
        timer: Of the next summary.
    """

    __slots__ = (
        "changed",
        "last_seq",
        "memberships",
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
        self.changed: dict[int, RoomRole | None] = {}
        self.settings_changed = False
        self.typing: dict[str, None] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.summarized = float("-inf")

    def is_invited(self, account: int) -> bool:
        """Return whether an account was invited and has not joined yet."""
        return self.memberships.get(account, NO_MEMBERSHIP).invited_by is not None

    def role(self, account: int) -> RoomRole | None:
        """Return the role of an account; None if it is no member."""
        return self.memberships.get(account, NO_MEMBERSHIP).role

    def visible_to(self, account: int) -> bool:
        """Return whether an account may know that the room exists."""
        return may_see(self.row, self.memberships.get(account, NO_MEMBERSHIP))

    def first_seq(self, account: int) -> int:
        """Return the first message that an account may see, whatever was pruned."""
        return first_visible(self.row, self.memberships.get(account, NO_MEMBERSHIP))

    def described(self, account: int) -> frames.Room:
        """Return the room as an account sees it."""
        row, membership = self.row, self.memberships.get(account, NO_MEMBERSHIP)
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


class Rooms:
    """All rooms that are not deleted.

    Args:
        names: Names of accounts, by id.
        submissions: Where members' messages wait for the store.
        sessions_of: Returns the logged-in sessions of an account.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        submissions: SubmissionQueue,
        sessions_of: Callable[[int], Sequence[Session]],
    ) -> None:
        self._names = names
        self._submissions = submissions
        self._sessions_of = sessions_of
        self._loop = asyncio.get_running_loop()
        self._by_name: dict[str, LiveRoom] = {}
        self._by_id: dict[int, LiveRoom] = {}
        self._joined: defaultdict[int, set[int]] = defaultdict(set)
        self._invited: defaultdict[int, set[int]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._by_id)

    def load(self, row: RoomRow, memberships: Mapping[int, Membership]) -> None:
        """Add a room that the store has."""
        room = self._by_id[row.id] = self._by_name[row.name] = LiveRoom(row, memberships)
        for account, membership in memberships.items():
            self._index(room, account, membership)

    def by_name(self, name: str) -> LiveRoom | None:
        """Return the room of a normalized name."""
        return self._by_name.get(name)

    def visible(self, name: str, account: int) -> LiveRoom | None:
        """Return the room of a normalized name; None if there is none that the account may know of."""
        room = self._by_name.get(name)
        return room if room is not None and room.visible_to(account) else None

    def by_id(self, conversation: int) -> LiveRoom | None:
        """Return the room of a conversation; None if that is a pair, or deleted."""
        return self._by_id.get(conversation)

    def names_after(self, name: str) -> list[str]:
        """Return the names of all rooms behind a name, in order."""
        return sorted(each for each in self._by_name if each > name)

    def of(self, account: int) -> list[LiveRoom]:
        """Return the rooms that an account is a member of."""
        return [self._by_id[each] for each in self._joined.get(account, _NONE)]

    def close(self) -> None:
        """Stop all timers."""
        for room in self._by_id.values():
            if room.timer is not None:
                room.timer.cancel()

    # --- sessions

    def add_session(self, session: Session, account: int) -> None:
        """Add a new session to the rooms of its account."""
        for room in self.of(account):
            room.sessions.add(session)

    def remove_session(self, session: Session, account: int) -> None:
        """Remove a session that has ended from the rooms of its account."""
        for room in self.of(account):
            room.sessions.discard(session)

    def invitations(self, account: int) -> Iterator[frames.Invited]:
        """Return the open invitations of an account."""
        for conversation in sorted(self._invited.get(account, _NONE)):
            room = self._by_id.get(conversation)
            if room is not None and room.row.state is RoomState.ACTIVE and room.is_invited(account):
                yield self._invitation(room, account)

    # --- changes

    def apply(self, event: RoomChanged) -> None:
        """Apply what the store has made of a room, and notify the users concerned."""
        room = self._by_id.get(event.room.id)
        if room is None:
            if event.room.state is RoomState.DELETED:
                return
            self.load(event.room, {})
            room = self._by_id[event.room.id]
        before, room.row = room.row, event.room
        room.last_seq = max(room.last_seq, event.room.last_seq)
        for account, membership in event.memberships.items():
            self._apply_membership(room, account, membership, event.change)
        if event.room.state is RoomState.DELETED:
            self._remove(room)
            return
        if _settings(before) != _settings(room.row):
            room.settings_changed = True
        if room.settings_changed or room.changed:
            self._schedule_summary(room)

    def _apply_membership(
        self, room: LiveRoom, account: int, membership: Membership, change: RoomChange | None
    ) -> None:
        before = room.memberships.get(account, NO_MEMBERSHIP)
        self._index(room, account, membership)
        if membership.role != before.role:
            room.changed[account] = membership.role
            if membership.role is None:
                self._notify_left(room, account, membership, change)
            else:
                self._notify_role(room, account, change, joined=before.role is None)
        elif membership.invited_by is None and before.invited_by is not None:
            self._notify_left(room, account, membership, change)
        elif membership.invited_by is not None and before.invited_by is None:
            self._notify(account, self._invitation(room, account))
        elif membership.role is not None and membership.muted_until_ms != before.muted_until_ms:
            self._notify(account, self._room_changed(room, account, self._actor(change)))

    def _index(self, room: LiveRoom, account: int, membership: Membership) -> None:
        if membership == NO_MEMBERSHIP:
            room.memberships.pop(account, None)
        else:
            room.memberships[account] = membership
        for index, is_in in ((self._joined, membership.role), (self._invited, membership.invited_by)):
            if is_in is not None:
                index[account].add(room.row.id)
            elif account in index:
                index[account].discard(room.row.id)
                if not index[account]:
                    del index[account]

    def _notify_role(self, room: LiveRoom, account: int, change: RoomChange | None, *, joined: bool) -> None:
        for session in self._sessions_of(account):
            if joined:
                room.sessions.add(session)
                if session.backlog is not None:
                    session.backlog.joined(room.row.id, room.last_seq)
            session.send(self._room_changed(room, account, self._actor(change)))

    def _notify(self, account: int, frame: frames.ServerFrame) -> None:
        for session in self._sessions_of(account):
            session.send(frame)

    def _notify_left(
        self, room: LiveRoom, account: int, membership: Membership, change: RoomChange | None
    ) -> None:
        action = change.action if change is not None else "delete"
        left = action == "leave"
        frame = frames.RoomLeft(
            conversation_id(room.row.id),
            room.row.name,
            _LEFT.get(action, "removed"),
            by="" if left else self._actor(change),
            text="" if change is None or left else change.text,
            until=membership.banned_until_ms
            if action == "ban" and membership.banned_until_ms < FOREVER_MS
            else None,
        )
        for session in self._sessions_of(account):
            room.sessions.discard(session)
            if session.backlog is not None:
                session.backlog.left(room.row.id)
            session.send(frame)

    def _remove(self, room: LiveRoom) -> None:
        self._submissions.remove_room(room.row.id)
        if room.timer is not None:
            room.timer.cancel()
        # Accounts that were deleted just before: the store has no membership of them any more.
        for account in list(room.memberships):
            self._index(room, account, NO_MEMBERSHIP)
        del self._by_id[room.row.id]
        if self._by_name.get(room.row.name) is room:
            del self._by_name[room.row.name]

    def _actor(self, change: RoomChange | None) -> str:
        return self._names.get(change.actor, "") if change is not None and change.actor is not None else ""

    def _room_changed(self, room: LiveRoom, account: int, by: str = "") -> frames.RoomChanged:
        first = max(room.row.first_seq, room.first_seq(account))
        return frames.RoomChanged(room.described(account), first, room.last_seq, by)

    def _invitation(self, room: LiveRoom, account: int) -> frames.Invited:
        by = room.memberships.get(account, NO_MEMBERSHIP).invited_by
        return frames.Invited(room.described(account), self._names.get(by or 0, ""))

    # --- summaries for all members

    def set_typing(self, room: LiveRoom, name: str) -> None:
        """Note that a user is typing in a room."""
        room.typing[name] = None
        self._schedule_summary(room)

    def _schedule_summary(self, room: LiveRoom) -> None:
        if room.timer is None:
            room.timer = self._loop.call_at(room.summarized + _INTERVAL_S, self._send_summary, room)

    def _send_summary(self, room: LiveRoom) -> None:
        """Send the members what changed since the last summary; each frame is encoded once for all."""
        room.timer = None
        room.summarized = self._loop.time()
        lines = [codec.encode(self._members_changed(room))] if room.changed else []
        typing = [codec.encode(_typing(room))] if room.typing else []
        settings_changed, room.settings_changed = room.settings_changed, False
        room.changed, room.typing = {}, {}
        for session in room.sessions:
            if settings_changed and session.identity is not None:
                session.send(self._room_changed(room, session.identity.account))
            if session.live and not session.link.congested:
                session.send_lines(lines + typing if session.supports(TYPING) else lines)

    def _members_changed(self, room: LiveRoom) -> frames.MembersChanged:
        listed = [
            frames.MemberChange(self._names.get(account, ""), role)
            for account, role in islice(room.changed.items(), _LISTED)
        ]
        others = len(room.changed) - len(listed)
        return frames.MembersChanged(conversation_id(room.row.id), room.row.members, listed, others)


def _typing(room: LiveRoom) -> frames.Typing:
    return frames.Typing(room.row.name, list(islice(room.typing, _TYPING_LISTED)), len(room.typing))


def _settings(row: RoomRow) -> tuple[object, ...]:
    return row.kind, row.history, row.topic, row.slow_s, row.state
