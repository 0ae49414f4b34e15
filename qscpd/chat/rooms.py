"""The rooms in memory: their members, the members' sessions, and what those are notified of.

The store is the truth. This copy is loaded when the daemon starts, and each change is applied in the
order of the commits (`Rooms.apply`). A user is notified at once of what concerns only them; of what
concerns all members in a summary (`qscpd.chat.room_summaries`).
"""

from bisect import bisect, bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from qscp import codec, frames
from qscpd.chat.blocks import Blocks
from qscpd.chat.live_room import LiveRoom
from qscpd.chat.room_summaries import RoomSummaries
from qscpd.chat.submission import SubmissionQueue
from qscpd.domain.events import RoomChanged
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import LogRow
from qscpd.domain.moderation import announcement
from qscpd.domain.rooms import (
    FOREVER_MS,
    NO_MEMBERSHIP,
    Membership,
    RoomChange,
    RoomRow,
    RoomState,
    may_see,
)
from qscpd.sessions.session import Session

_LEFT: Final = {"leave": "left", "ban": "banned", "delete": "deleted"}
"""Action -> the reason in `room_left`; that of all other actions is `removed`."""

_NONE: Final[frozenset[int]] = frozenset()


class Rooms:
    """All rooms that are not deleted.

    Args:
        names: Names of accounts, by id.
        submissions: Where members' messages wait for the store.
        blocks: Who blocks whom: invitations by a blocked user are not shown.
        sessions_of: Returns the logged-in sessions of an account.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        submissions: SubmissionQueue,
        blocks: Blocks,
        sessions_of: Callable[[int], Sequence[Session]],
    ) -> None:
        self._names = names
        self._submissions = submissions
        self._blocks = blocks
        self._sessions_of = sessions_of
        self._summaries = RoomSummaries(names)
        self._by_name: dict[str, LiveRoom] = {}
        self._in_order: list[str] = []
        """The names of `_by_name`, sorted."""
        self._by_id: dict[int, LiveRoom] = {}
        self._joined: defaultdict[int, set[int]] = defaultdict(set)
        self._invited: defaultdict[int, set[int]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._by_id)

    def load(self, row: RoomRow, memberships: Mapping[int, Membership]) -> None:
        """Add a room that the store has."""
        if row.name not in self._by_name:
            insort(self._in_order, row.name)
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
        return self._in_order[bisect(self._in_order, name) :]

    def described(self, name: str, account: int) -> frames.Room | None:
        """Return a room as an account sees it; None if it sees none of that name."""
        room = self._by_name.get(name)
        if room is None:
            return None
        if not self._hides_invitation(room, account):
            return room.described(account) if room.visible_to(account) else None
        shown = room.described(account)
        shown.invited = False
        return shown if may_see(room.row, NO_MEMBERSHIP) else None

    def explain_mute(self, room: frames.Room, entry: LogRow | None) -> None:
        """Add who muted the receiver of a room, and why, if an entry of the log is about that mute."""
        if entry is not None and entry.until_ms == room.muted:
            room.muted_by, room.muted_text = self._names.get(entry.actor or 0, ""), entry.text

    def _hides_invitation(self, room: LiveRoom, account: int) -> bool:
        by = room.membership(account).invited_by
        return by is not None and self._blocks.has(account, by)

    def of(self, account: int) -> list[LiveRoom]:
        """Return the rooms that an account is a member of."""
        return [self._by_id[each] for each in self._joined.get(account, _NONE)]

    def close(self) -> None:
        """Stop all timers."""
        self._summaries.close()
        for room in self._by_id.values():
            self._summaries.cancel(room)

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
            if room is None or room.row.state is not RoomState.ACTIVE or not room.is_invited(account):
                continue
            if not self._hides_invitation(room, account):
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
        settings_changed = _settings(before) != _settings(room.row)
        self._note_action(room, event, settings_changed=settings_changed)
        for account, membership in event.memberships.items():
            self._apply_membership(room, account, membership, event)
        if event.room.state is RoomState.DELETED:
            self._remove(room)
            return
        room.settings_changed |= settings_changed
        if room.settings_changed or room.changed or room.actions:
            self._summaries.schedule(room)

    def _note_action(self, room: LiveRoom, event: RoomChanged, *, settings_changed: bool) -> None:
        """Note what all members are to see of a change, before it is applied to the memberships."""
        change = event.change
        if change is None:
            return
        before = room.membership(change.target or 0)
        after = event.memberships.get(change.target or 0, before)
        entry = announcement(change, before, after, room_changed=settings_changed)
        if entry is not None:
            user = self._names.get(entry.target or 0, "")
            room.note_action(
                frames.ModerationAction(self._actor(change), entry.action, user, entry.until_ms, entry.text)
            )

    def _apply_membership(
        self, room: LiveRoom, account: int, membership: Membership, event: RoomChanged
    ) -> None:
        before, change = room.membership(account), event.change
        self._index(room, account, membership)
        if membership.role != before.role:
            room.changed[account] = membership.role
            if membership.role is None:
                self._notify_left(room, account, membership, change)
            else:
                self._notify_role(room, account, event, joined=before.role is None)
        elif membership.invited_by is None and before.invited_by is not None:
            self._notify_left(room, account, membership, change)
        elif membership.invited_by is not None and before.invited_by is None:
            self._notify(room, account, self._invitation(room, account))
        elif membership.role is not None and (
            membership.muted_until_ms != before.muted_until_ms or (change and change.action == "mute")
        ):
            self._notify_muted(room, account, change)

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

    def _notify_role(self, room: LiveRoom, account: int, event: RoomChanged, *, joined: bool) -> None:
        for session in self._sessions_of(account):
            frame = room.state_for(account, self._actor(event.change))
            if joined:
                self.explain_mute(frame.room, event.mute)
                room.sessions.add(session)
                session.outbound.send_joined(room.row.id, room.last_seq, frame)
            else:
                session.outbound.send_room(room.row.id, codec.encode(frame))

    def _notify_muted(self, room: LiveRoom, account: int, change: RoomChange | None) -> None:
        """Notify a member who was muted or unmuted; a muted one gets the reason."""
        frame = room.state_for(account, self._actor(change))
        if change is not None and change.action == "mute":
            frame.room.muted_by, frame.room.muted_text = frame.by, change.text
        self._notify(room, account, frame)

    def _notify(self, room: LiveRoom, account: int, frame: frames.ServerFrame) -> None:
        line = codec.encode(frame)
        for session in self._sessions_of(account):
            session.outbound.send_room(room.row.id, line)

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
            session.outbound.send_left(room.row.id, frame)

    def _remove(self, room: LiveRoom) -> None:
        self._submissions.remove_room(room.row.id)
        self._summaries.cancel(room)
        # Accounts that were deleted just before: the store has no membership of them any more.
        for account in list(room.memberships):
            self._index(room, account, NO_MEMBERSHIP)
        del self._by_id[room.row.id]
        if self._by_name.get(room.row.name) is room:
            del self._by_name[room.row.name]
            del self._in_order[bisect_left(self._in_order, room.row.name)]

    def _actor(self, change: RoomChange | None) -> str:
        return self._names.get(change.actor, "") if change is not None and change.actor is not None else ""

    def state(self, conversation: int, account: int, last_seq: int | None) -> frames.ServerFrame | None:
        """Return the frame of a room's state; None if the account is neither a member nor invited.

        Args:
            conversation: The room's conversation.
            account: The account.
            last_seq: The last seq to give; None for that of the newest message.
        """
        room = self._by_id.get(conversation)
        if room is None:
            return None
        if room.role(account) is not None:
            return room.state_for(account, last_seq=last_seq)
        return self._invitation(room, account) if room.is_invited(account) else None

    def _invitation(self, room: LiveRoom, account: int) -> frames.Invited:
        by = room.membership(account).invited_by
        return frames.Invited(room.described(account), self._names.get(by or 0, ""))

    # --- summaries for all members

    def set_typing(self, room: LiveRoom, name: str) -> None:
        """Note that a user is typing in a room."""
        room.typing[name] = None
        self._summaries.schedule(room)


def _settings(row: RoomRow) -> tuple[object, ...]:
    return row.kind, row.history, row.topic, row.slow_s, row.state
