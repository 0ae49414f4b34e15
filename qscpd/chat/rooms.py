"""The rooms in memory: who is in which, with which sessions, and what their members are told.

The store is the truth; this is loaded when the daemon starts and told of each change in the order of
the commits (`Rooms.apply`). What concerns one person is told at once. What concerns everybody in a room
(who came and went, a new topic, who is typing) is a state: it is gathered, and told at most once a
second. A thousand people who join within a second cost each member one frame instead of a thousand.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from qscp import codec, frames
from qscp.features import TYPING
from qscp.rooms import HistoryFrom, RoomRole
from qscpd.chat.room_queue import RoomQueue
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import RoomResult
from qscpd.domain.rooms import FOREVER_MS, NO_MEMBERSHIP, Membership, RoomChange, RoomRow, RoomState, may_see
from qscpd.sessions.session import Session
from qscpd.store.writer import PendingChat

__all__ = ["LiveRoom", "Rooms"]

_INTERVAL_S: Final = 1.0
"""Between two tellings of a room's news."""

_LISTED: Final = 50
"""People in a frame of changes; for the others, there is a number."""

_TYPING_LISTED: Final = 3
"""People whose typing is told by name."""

_LEFT: Final = {"leave": "left", "ban": "banned", "delete": "deleted"}
"""Action -> what the one who is no member any more is told; all others are a removal."""

_NONE: Final[frozenset[int]] = frozenset()


class LiveRoom:
    """One room.

    Attributes:
        row: As it is kept; its `last_seq` may be old.
        memberships: Of those who are in it, or have another membership, by account id.
        queue: The way of what is written in it to the store.
        sessions: Of its members, logged in.
        last_seq: Its newest message.
    """

    __slots__ = (
        "changed",
        "last_seq",
        "memberships",
        "news",
        "queue",
        "row",
        "sessions",
        "timer",
        "told",
        "typing",
    )

    def __init__(self, row: RoomRow, memberships: Mapping[int, Membership], queue: RoomQueue) -> None:
        self.row = row
        self.memberships = dict(memberships)
        self.queue = queue
        self.sessions: set[Session] = set()
        self.last_seq = row.last_seq
        self.changed: dict[int, RoomRole | None] = {}
        self.news = False
        self.typing: dict[str, None] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.told = float("-inf")

    def is_invited(self, account: int) -> bool:
        """Whether somebody was invited and did not come yet."""
        return self.memberships.get(account, NO_MEMBERSHIP).invited_by is not None

    def role(self, account: int) -> RoomRole | None:
        """What somebody is in the room."""
        return self.memberships.get(account, NO_MEMBERSHIP).role

    def visible_to(self, account: int) -> bool:
        """Whether somebody may know that there is this room."""
        return may_see(self.row, self.memberships.get(account, NO_MEMBERSHIP))

    def members(self, names: Iterable[str], ids: Callable[[str], int | None]) -> list[int]:
        """The account ids of those names that are members."""
        found = (ids(name) for name in names)
        return [each for each in found if each is not None and self.role(each) is not None]

    def first_seq(self, account: int) -> int:
        """The first message that somebody may see, whatever was pruned."""
        return (
            self.memberships.get(account, NO_MEMBERSHIP).since
            if self.row.history is HistoryFrom.JOINING
            else 1
        )

    def described(self, account: int) -> frames.Room:
        """The room as somebody sees it."""
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
        store: Hands something to the store at the end of the tick.
        sessions_of: The sessions of an account that are logged in.
        wake: Makes sure that what was queued for sessions leaves.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        store: Callable[[PendingChat[Session]], None],
        sessions_of: Callable[[int], Sequence[Session]],
        wake: Callable[[Iterable[Session]], None],
    ) -> None:
        self._names = names
        self._store = store
        self._sessions_of = sessions_of
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._by_name: dict[str, LiveRoom] = {}
        self._by_id: dict[int, LiveRoom] = {}
        self._joined: defaultdict[int, set[int]] = defaultdict(set)
        self._invited: defaultdict[int, set[int]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._by_id)

    def load(self, row: RoomRow, memberships: Mapping[int, Membership]) -> None:
        """Take in a room that the store has."""
        room = self._by_id[row.id] = self._by_name[row.name] = LiveRoom(
            row, memberships, RoomQueue(self._store)
        )
        for account, membership in memberships.items():
            self._count(room, account, membership)

    def by_name(self, name: str) -> LiveRoom | None:
        """The room of that name, as it is stored."""
        return self._by_name.get(name)

    def by_id(self, conversation: int) -> LiveRoom | None:
        """The room that a conversation is, if it is one."""
        return self._by_id.get(conversation)

    def names_after(self, name: str) -> list[str]:
        """The names of all rooms that come after one, in order."""
        return sorted(each for each in self._by_name if each > name)

    def of(self, account: int) -> list[LiveRoom]:
        """The rooms that somebody is in."""
        return [self._by_id[each] for each in self._joined.get(account, _NONE)]

    def known_to(self, account: int) -> list[int]:
        """The conversations of the rooms that know somebody: as a member, invited, muted or banned."""
        return [conversation for conversation, room in self._by_id.items() if account in room.memberships]

    def close(self) -> None:
        """Stop all timers."""
        for room in self._by_id.values():
            room.queue.close()
            if room.timer is not None:
                room.timer.cancel()

    # --- sessions

    def logged_in(self, session: Session, account: int) -> None:
        """A member has a new session."""
        for room in self.of(account):
            room.sessions.add(session)

    def left(self, session: Session, account: int) -> None:
        """A member's session has ended."""
        for room in self.of(account):
            room.sessions.discard(session)

    def hurry(self, name: str = "") -> None:
        """Let everything that was written go to the store now: in the room of that name, or in all."""
        for room in list(self._by_id.values()) if not name else [self._by_name.get(name)]:
            if room is not None:
                room.queue.hurry()

    def invitations(self, session: Session) -> Iterator[frames.Invited]:
        """Tell of the rooms that a session's person was invited to and did not come into yet."""
        account = session.account
        if account is not None:
            for conversation in sorted(self._invited.get(account.id, _NONE)):
                room = self._by_id.get(conversation)
                if room is not None and room.row.state is RoomState.ACTIVE and room.is_invited(account.id):
                    yield self._invitation(room, account.id)

    # --- changes

    def apply(self, result: RoomResult, change: RoomChange | None = None) -> None:
        """Take in what the store says of a room, and tell those whom it concerns.

        Args:
            result: What the room is now.
            change: What made it so; None when it followed from something else.
        """
        room = self._by_id.get(result.room.id)
        if room is None:
            if result.room.state is RoomState.DELETED:
                return
            self.load(result.room, {})
            room = self._by_id[result.room.id]
        before, room.row = room.row, result.room
        room.last_seq = max(room.last_seq, result.room.last_seq)
        for account, membership in result.memberships.items():
            self._apply_membership(room, account, membership, change)
        if result.room.state is RoomState.DELETED:
            self._forget(room)
            return
        if _settings(before) != _settings(room.row):
            room.news = True
        if room.news or room.changed:
            self._tell_soon(room)

    def _apply_membership(
        self, room: LiveRoom, account: int, membership: Membership, change: RoomChange | None
    ) -> None:
        before = room.memberships.get(account, NO_MEMBERSHIP)
        self._count(room, account, membership)
        if membership.role != before.role:
            room.changed[account] = membership.role
            if membership.role is None:
                self._tell_left(room, account, membership, change)
            else:
                self._tell_in(room, account, change, came=before.role is None)
        elif membership.invited_by is None and before.invited_by is not None:
            self._tell_left(room, account, membership, change)
        elif membership.invited_by is not None and before.invited_by is None:
            self._tell(account, self._invitation(room, account))
        elif membership.role is not None and membership.muted_until_ms != before.muted_until_ms:
            self._tell(account, self._changed(room, account, self._actor(change)))

    def _count(self, room: LiveRoom, account: int, membership: Membership) -> None:
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

    def _tell_in(self, room: LiveRoom, account: int, change: RoomChange | None, *, came: bool) -> None:
        for session in self._sessions_of(account):
            if came:
                room.sessions.add(session)
                if session.replay is not None:
                    session.replay.joined(room.row.id, room.last_seq)
            session.send(self._changed(room, account, self._actor(change)))

    def _tell(self, account: int, frame: frames.ServerFrame) -> None:
        for session in self._sessions_of(account):
            session.send(frame)

    def _tell_left(
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
            if session.replay is not None:
                session.replay.left(room.row.id)
            session.send(frame)

    def _forget(self, room: LiveRoom) -> None:
        room.queue.hurry()
        room.queue.close()
        if room.timer is not None:
            room.timer.cancel()
        # Accounts that were deleted just before: the store knows them no more, and here it is not told yet.
        for account in list(room.memberships):
            self._count(room, account, NO_MEMBERSHIP)
        del self._by_id[room.row.id]
        if self._by_name.get(room.row.name) is room:
            del self._by_name[room.row.name]

    def _actor(self, change: RoomChange | None) -> str:
        return self._names.get(change.actor, "") if change is not None and change.actor is not None else ""

    def _changed(self, room: LiveRoom, account: int, by: str = "") -> frames.RoomChanged:
        first = max(room.row.first_seq, room.first_seq(account))
        return frames.RoomChanged(room.described(account), first, room.last_seq, by)

    def _invitation(self, room: LiveRoom, account: int) -> frames.Invited:
        by = room.memberships.get(account, NO_MEMBERSHIP).invited_by
        return frames.Invited(room.described(account), self._names.get(by or 0, ""))

    # --- what everybody in a room is told

    def types(self, room: LiveRoom, name: str) -> None:
        """Somebody is typing in a room."""
        room.typing[name] = None
        self._tell_soon(room)

    def _tell_soon(self, room: LiveRoom) -> None:
        if room.timer is None:
            room.timer = self._loop.call_at(room.told + _INTERVAL_S, self._tell_news, room)

    def _tell_news(self, room: LiveRoom) -> None:
        """Tell the members what there is to tell; each frame is encoded once for all of them."""
        room.timer = None
        room.told = self._loop.time()
        lines = [codec.encode(self._members_changed(room))] if room.changed else []
        typing = [codec.encode(_typing(room))] if room.typing else []
        news, room.news = room.news, False
        room.changed, room.typing = {}, {}
        for session in room.sessions:
            if news and session.account is not None:
                session.send(self._changed(room, session.account.id))
            if not session.live:
                continue
            told = lines + typing if TYPING in session.features else lines
            if told and not session.link.congested:
                session.send_lines(told)
        self._wake(room.sessions)

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
