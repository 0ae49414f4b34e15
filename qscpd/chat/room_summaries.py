"""Summaries of rooms: what concerns all members, collected and sent at most once a second.

Who joined and left, a new topic, who is typing: each is a state. A thousand users who join within a second
cost each member one frame instead of a thousand.

A summary of a room with a thousand sessions keeps the loop busy for some milliseconds, and one user can
cause those of many rooms. So rooms take turns, and all summaries together take a small part of the loop's
time: the more there is to send, the later each comes.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from itertools import islice
from time import thread_time
from typing import Final

from qscp import codec, frames
from qscp.features import TYPING
from qscpd.chat.live_room import LiveRoom
from qscpd.domain.ids import conversation_id

_INTERVAL_S: Final = 1.0
"""Between two summaries of a room's changes."""

_SHARE: Final = 0.1
"""Part of the loop's time that summaries take at most."""

_SHORTEST_PAUSE_S: Final = 1e-3
"""Shorter pauses are added up: the loop's timers are no finer."""

_LISTED: Final = 50
"""Members listed in a frame of changes; the others are only counted."""

_TYPING_LISTED: Final = 3
"""Users listed in a typing indicator; the others are only counted."""


class RoomSummaries:
    """Sends the summaries of all rooms.

    Args:
        names: Names of accounts, by id.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._loop = asyncio.get_running_loop()
        self._due: deque[LiveRoom] = deque()
        """Rooms whose second is over, each once."""
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until_s = float("-inf")

    def schedule(self, room: LiveRoom) -> None:
        """Send a room's changes when its second is over and its turn has come."""
        if room.timer is None and not room.due:
            room.timer = self._loop.call_at(room.summarized + _INTERVAL_S, self._take_turn, room)

    def cancel(self, room: LiveRoom) -> None:
        """Send nothing of a room that is deleted."""
        if room.timer is not None:
            room.timer.cancel()
        if room.due:
            self._due.remove(room)
            room.due = False

    def close(self) -> None:
        """Stop the timer of the turns."""
        if self._timer is not None:
            self._timer.cancel()

    def _take_turn(self, room: LiveRoom) -> None:
        room.timer = None
        room.due = True
        self._due.append(room)
        if self._timer is None:
            self._continue()

    def _continue(self) -> None:
        """Send summaries until a pause is due."""
        self._timer = None
        while self._due:
            now = self._loop.time()
            if self._paused_until_s - now >= _SHORTEST_PAUSE_S:
                self._timer = self._loop.call_at(self._paused_until_s, self._continue)
                return
            room = self._due.popleft()
            room.due = False
            # The thread's own time: what other programs take meanwhile is not the room's doing.
            start = thread_time()
            self._send(room)
            took_s = thread_time() - start
            self._paused_until_s = max(self._paused_until_s, now) + took_s / _SHARE

    def _send(self, room: LiveRoom) -> None:
        """Send the members what changed since the last summary; each frame is encoded once for all."""
        room.summarized = self._loop.time()
        acted = [codec.encode(_moderated(room))] if room.actions else []
        lines = [codec.encode(self._members_changed(room))] if room.changed else []
        typing = [codec.encode(_typing(room))] if room.typing else []
        settings_changed, room.settings_changed = room.settings_changed, False
        room.changed, room.typing = {}, {}
        room.actions, room.more_actions = [], 0
        states: dict[tuple[object, ...], bytes] = {}
        for session in room.sessions:
            outbound, conversation = session.outbound, room.row.id
            if acted:  # First, so that a client can say who made the changes that follow.
                outbound.send_members(conversation, acted)
            if settings_changed and session.identity is not None:
                outbound.send_room(conversation, _state_line(room, session.identity.account, states))
            if lines:
                outbound.send_members(conversation, lines)
            if typing and session.supports(TYPING):
                outbound.send_typing(typing)

    def _members_changed(self, room: LiveRoom) -> frames.MembersChanged:
        listed = [
            frames.MemberChange(self._names.get(account, ""), role)
            for account, role in islice(room.changed.items(), _LISTED)
        ]
        others = len(room.changed) - len(listed)
        return frames.MembersChanged(conversation_id(room.row.id), room.row.members, listed, others)


def _moderated(room: LiveRoom) -> frames.Moderated:
    return frames.Moderated(conversation_id(room.row.id), room.actions, room.more_actions)


def _state_line(room: LiveRoom, account: int, states: dict[tuple[object, ...], bytes]) -> bytes:
    """Return the room's state for a member; members for whom it is the same share the encoded line."""
    membership = room.membership(account)
    key = (membership.role, membership.muted_until_ms, room.first_seq(account))
    line = states.get(key)
    if line is None:
        line = states[key] = codec.encode(room.state_for(account))
    return line


def _typing(room: LiveRoom) -> frames.Typing:
    return frames.Typing(room.row.name, list(islice(room.typing, _TYPING_LISTED)), len(room.typing))
