"""Fan-out to rooms in slices: a large room never keeps the loop busy for long.

What a commit added to a room goes to all live sessions of its members. A thousand of them take some
9 ms. So they get it in slices, and between two of these everybody else has a turn of the loop. A small room
needs one slice, in the same step as the commit.

The order in a room is that of the commits: a slice that is left goes out before anything else happens in
its room. Sessions that are catching up buffer it at once, so what they have read and what is published
to them never overlap.
"""

import asyncio
from collections import deque
from time import thread_time
from typing import Final

from qscpd.chat.room_batch import RoomBatch
from qscpd.chat.submission import SubmissionQueue
from qscpd.domain.events import RoomChanged
from qscpd.sessions.session import Session

_SLICE_S: Final = 1e-3
"""How long a slice keeps the loop busy: what a message of others waits for at most, on average half."""

_SESSIONS: Final = 16
"""Sessions between two looks at the clock: some 150 µs."""


class _FanOut:
    """What is left of one batch."""

    __slots__ = ("batch", "left", "took_s")

    def __init__(self, batch: RoomBatch, left: list[Session]) -> None:
        self.batch = batch
        self.left = left
        """Sessions that have not got it yet, the next one last."""
        self.took_s = 0.0


class RoomFanOut:
    """Sends batches to rooms.

    Args:
        submissions: Where the rooms' next messages wait for the end of the fan-out.
    """

    def __init__(self, submissions: SubmissionQueue) -> None:
        self._submissions = submissions
        self._loop = asyncio.get_running_loop()
        self._unfinished: dict[int, _FanOut] = {}
        """By conversation, in the order of their turns."""
        self._turns: deque[int] = deque()
        self._scheduled = False
        self._spent_s = 0.0
        """How long fan-outs have kept the loop busy in this turn of it."""

    def __len__(self) -> int:
        return len(self._unfinished)

    def send(self, batch: RoomBatch) -> None:
        """Send a batch: the first slice at once, if this turn has time for it, others in later turns."""
        fan_out = _FanOut(batch, batch.begin())
        self._schedule()
        if self._spent_s < _SLICE_S and self._send_slice(fan_out):
            self._end(fan_out)
            return
        self._unfinished[batch.conversation] = fan_out
        # The first slice is soon: it is all that a small room needs.
        if fan_out.took_s:
            self._turns.append(batch.conversation)
        else:
            self._turns.appendleft(batch.conversation)

    def finish(self, conversation: int) -> None:
        """Send what is left for a room, before something else happens in it."""
        fan_out = self._unfinished.pop(conversation, None)
        if fan_out is not None:
            self._turns.remove(conversation)
            while not self._send_slice(fan_out):
                pass
            self._end(fan_out)

    def finish_all(self) -> None:
        """Send what is left for all rooms."""
        for conversation in list(self._unfinished):
            self.finish(conversation)

    def on_room_changed(self, event: RoomChanged) -> None:
        """Send what is left for a room to those who were its members until now."""
        self.finish(event.room.id)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Send slices for as long as one may take: of one large room, or of some small ones."""
        self._scheduled = False
        self._spent_s = 0.0
        while self._turns:
            conversation = self._turns.popleft()
            fan_out = self._unfinished[conversation]
            if self._send_slice(fan_out):
                del self._unfinished[conversation]
                self._end(fan_out)
            else:
                self._turns.append(conversation)
            if self._spent_s >= _SLICE_S:
                break
        if self._turns:
            self._schedule()

    def _send_slice(self, fan_out: _FanOut) -> bool:
        """Send to some sessions; return whether all have it."""
        # The thread's own time: what other programs take meanwhile is not the room's doing.
        start = thread_time()
        left = fan_out.left
        while left:
            fan_out.batch.send_to(left[: -_SESSIONS - 1 : -1])
            del left[-_SESSIONS:]
            if left and thread_time() - start >= _SLICE_S:
                break
        took_s = thread_time() - start
        fan_out.took_s += took_s
        self._spent_s += took_s
        return not left

    def _end(self, fan_out: _FanOut) -> None:
        self._submissions.answered(fan_out.batch.conversation, fan_out.batch.answered, fan_out.took_s)
