"""Output of one session: bounded where it is filled, whatever the peer does.

Frames are queued, and written at the end of the loop's tick (`qscpd.sessions.output`), as far as the peer
takes them. A peer is never cut for having been sent much. When the queue is full (`limits.output_queue`):

- A live session falls behind: messages wait in its `Backlog`, and follow page by page.
- Rooms, positions and blocks are *postponed*: their newest state follows when the queue is empty.
- Presence is replaced by a snapshot, and typing indicators are dropped.
- Answers to the peer are queued still, and nothing more is read from it.

    resume --Replay--> live --queue full: CatchUp--> behind --everything sent--> live
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from qscp import codec, frames
from qscp.connection import ServerConnection
from qscp.states import State
from qscpd.config import Config
from qscpd.net.link import HIGH_WATER, Link
from qscpd.net.pause import Pause
from qscpd.sessions.backlog import Backlog, FallBehind, Snapshots
from qscpd.sessions.output import FlushQueue
from qscpd.sessions.payloads import Payload, take_slice
from qscpd.sessions.postponed import Postponed, StateFrame

_OPEN: Final = (State.READY, State.DRAINING)

_LOW_WATER: Final = 64 * 1024
"""Queued bytes below which a peer has room for what was postponed, and for the next page."""

_SLICES: Final = 4
"""Slices of `HIGH_WATER` bytes that one peer gets in a turn of the loop; encrypting them takes 0.3 ms."""

_STATES: Final = 100
"""Postponed positions and blocks that are sent together."""


class OutboundOwner(Protocol):
    """What queued output needs of the daemon around it."""

    config: Config
    output: FlushQueue


class Outbound:
    """Queued output of one session.

    Args:
        owner: Has the limits, and the queue that flushes this output at the end of the tick.
        connection: The session's protocol state.
        link: Where output is written.

    Attributes:
        live: Whether messages are sent as they are committed; set by the backlog.
        backlog: What the session missed, from its first `resume` until it has all of it, and while it is
            behind.
        fall_behind: Makes the backlog when the queue is full; None before the first `resume`.
        postponed: Rooms, positions and blocks to send when the queue is empty.
        drained: Reads the peer again that was paused for its output.
        closed: Whether the session has ended; what is queued after that is dropped. Set by the session.
        frames_out: Frames sent.
        messages_out: Messages delivered.
    """

    __slots__ = (
        "_connection",
        "_link",
        "_owner",
        "_payloads",
        "_presence",
        "_queue",
        "_size",
        "_snapshots",
        "_stale_presence",
        "_stream",
        "backlog",
        "closed",
        "drained",
        "fall_behind",
        "frames_out",
        "live",
        "messages_out",
        "postponed",
    )

    def __init__(self, owner: OutboundOwner, connection: ServerConnection, link: Link) -> None:
        self._owner = owner
        self._queue = owner.output
        self._connection = connection
        self._link = link
        self._snapshots: Snapshots | None = None
        self.live = self.closed = False
        self.backlog: Backlog | None = None
        self.drained: Callable[[], None] | None = None
        self.fall_behind: FallBehind | None = None
        self.postponed: Postponed | None = None
        self.frames_out = self.messages_out = 0
        self._payloads: list[Payload] = []
        self._size = 0
        """Bytes in the queue."""
        self._presence: Iterator[bytes] | None = None
        self._stream: Iterator[bytes] | None = None
        self._stale_presence = False

    @property
    def waiting(self) -> bool:
        """Whether the next page has to wait until the peer has taken more."""
        return self._link.congested or self._size >= _LOW_WATER

    # --- frames

    def put(self, payload: bytes, count: int) -> None:
        """Queue encoded frames; a closed session drops them."""
        if self.closed:
            return
        self._payloads.append(payload)
        self._size += len(payload)
        self.frames_out += count
        self._queue.add(self)

    def answer(self, payload: bytes, count: int) -> None:
        """Queue answers to the peer; if the queue is full, nothing more is read from it for now."""
        self.put(payload, count)
        if self._size >= self._owner.config.limits.output_queue_bytes:
            self._link.pause_reading(Pause.OUTPUT)

    def send_lines(self, lines: Sequence[bytes]) -> None:
        """Queue encoded frames of a logged-in session; a closed one drops them."""
        if lines and self._connection.state in _OPEN:
            self.put(b"".join(lines), len(lines))

    def send_all(self, batch: Sequence[frames.ServerFrame]) -> None:
        """Queue frames of a logged-in session, encoded together; a closed one drops them."""
        if batch and self._connection.state in _OPEN:
            self.put(codec.encode_lines(batch), len(batch))

    # --- messages

    def send_message_lines(self, lines: Sequence[bytes]) -> None:
        """Queue encoded messages, whether or not there is room."""
        self.messages_out += len(lines)
        self.send_lines(lines)

    def deliver(self, conversation: int, seq: int, line: bytes) -> None:
        """Deliver a committed message: now to a live session, after the rest to one that is catching up.

        A session that has not resumed gets nothing: the store has the message for it.
        """
        if self.live and not self._lags():
            self.messages_out += 1
            self.put(line, 1)
        elif self.backlog is not None:
            self.backlog.buffer(conversation, seq, line)

    def deliver_frames(self, batch: Sequence[frames.ServerFrame]) -> bool:
        """Deliver several messages, encoded together; return False if there is no room for all of them.

        Then none is delivered, and `deliver` has to follow for each.
        """
        payload = codec.encode_lines(batch)
        if not self._has_room(len(payload)):
            return False
        self.messages_out += len(batch)
        self.put(payload, len(batch))
        return True

    def deliver_all(self, conversation: int, messages: Sequence[tuple[int, bytes]], payload: bytes) -> None:
        """Deliver several messages; they are written at once if they are few and nothing is queued before.

        Args:
            conversation: Their conversation.
            messages: Seq and line of each.
            payload: All lines, joined once for all sessions that get them.
        """
        if self.live and not self._size and len(payload) <= HIGH_WATER and not self._link.congested:
            self.messages_out += len(messages)
            self.frames_out += len(messages)
            self._link.write(payload)
        elif self._has_room(len(payload)):
            self.messages_out += len(messages)
            self.put(payload, len(messages))
        else:
            for seq, line in messages:
                self.deliver(conversation, seq, line)

    def _has_room(self, size: int) -> bool:
        """Return whether the session is live and a payload fits."""
        return self.live and self._size + size <= self._owner.config.limits.output_queue_bytes

    def _lags(self) -> bool:
        """Return whether the queue is full; a live session falls behind then."""
        if self._size < self._owner.config.limits.output_queue_bytes:
            return False
        if self.live and self.fall_behind is not None:
            self.live = False
            self.backlog = self.fall_behind()
        return True

    # --- states

    def begin(self, snapshots: Snapshots) -> None:
        """Send the presence of the others to a session that has just logged in.

        Args:
            snapshots: What its account sees.
        """
        self._snapshots = snapshots
        self._presence = snapshots.presence()
        self._queue.add(self)

    def stream(self, pages: Iterator[bytes]) -> None:
        """Send frames that are made page by page, each when the peer took the one before."""
        self._stream = pages
        self._queue.add(self)

    def send_presence(self, lines: list[bytes]) -> None:
        """Queue presence changes; a peer that does not take its output gets a snapshot later instead."""
        if self._link.congested or self._size >= self._owner.config.limits.output_queue_bytes:
            self._stale_presence = True
        else:
            self.send_lines(lines)

    def send_typing(self, lines: Sequence[bytes]) -> None:
        """Queue typing indicators of a live session, unless its peer does not take its output."""
        if self.live and not self._link.congested:
            self.send_lines(lines)

    def send_state(self, frame: StateFrame) -> None:
        """Queue a position or a block, or postpone it."""
        if self._lags():
            self._postpone().state(frame)
        else:
            self.send_all((frame,))

    def send_room(self, conversation: int, line: bytes) -> None:
        """Queue the encoded state of a room or an invitation, or postpone it."""
        if self._postpones(conversation):
            self._postpone().room(conversation)
        else:
            self.send_lines((line,))

    def send_members(self, conversation: int, lines: Sequence[bytes]) -> None:
        """Queue changes of a room's members; a session that is behind gets the room's state later."""
        if self.live and not self._postpones(conversation):
            self.send_lines(lines)
        elif self.backlog is not None and not self.backlog.resuming:
            self._postpone().room(conversation)

    def send_joined(self, conversation: int, last_seq: int, frame: frames.ServerFrame) -> None:
        """Queue that the account joined a room, or postpone it.

        Args:
            conversation: The room's conversation.
            last_seq: Its last message; the session misses nothing older.
            frame: The frame that says so.
        """
        postponed = self._postpones(conversation)
        if self.backlog is not None:
            self.backlog.joined(conversation, last_seq)
        if postponed:
            self._postpone().joined(conversation, last_seq)
        else:
            self.send_all((frame,))

    def send_left(self, conversation: int, frame: frames.RoomLeft) -> None:
        """Queue that the account left a room or lost an invitation, or postpone it."""
        postponed = self._postpones(conversation)
        if self.backlog is not None:
            self.backlog.left(conversation)
        if postponed:
            self._postpone().left(conversation, frame)
        else:
            self.send_all((frame,))

    def _postpones(self, conversation: int) -> bool:
        """Return whether a frame of a room has to wait: for room, or for an earlier one of the room."""
        return self._lags() or self.is_postponed(conversation)

    def is_postponed(self, conversation: int) -> bool:
        """Return whether a room's own frame has to be sent before its messages."""
        return self.postponed is not None and conversation in self.postponed.rooms

    def _postpone(self) -> Postponed:
        if self.postponed is None:
            self.postponed = Postponed()
        return self.postponed

    def send_postponed(self) -> bool:
        """Queue some of what was postponed; return False if there is nothing.

        Rooms come first: the messages of one that was joined come behind it.
        """
        postponed = self.postponed
        if not postponed:
            self.postponed = None
            return False
        while postponed.rooms and not self.waiting:
            self.send_all(postponed.pop_room(self._snapshots))
        if not postponed.rooms:
            self.send_all(postponed.pop_states(_STATES))
        return True

    # --- writing

    def flush(self) -> None:
        """Write what is queued, and as many pages as the peer has room for."""
        if self.closed:
            self._finish()
            return
        link, slices = self._link, _SLICES
        while self._size and not link.congested:
            if not slices:
                self._queue.add(self)  # The rest waits for the other sessions.
                break
            self._write_slice()
            slices -= 1
        snapshot = self._presence or self._stale_presence
        if snapshot or self._stream or self.backlog or link.paused or self.postponed is not None:
            self._proceed()

    def _write_slice(self) -> None:
        """Write what is queued, or the first part of it."""
        if self._size <= HIGH_WATER:
            data = b"".join(self._payloads)
            self._payloads.clear()
        else:
            data = take_slice(self._payloads, HIGH_WATER)
        self._size -= len(data)
        self._link.write(data)

    def _proceed(self) -> None:
        """Continue with what waited for room in the queue."""
        if self.waiting or self.closed:
            return
        if Pause.OUTPUT in self._link.paused and self.drained is not None:
            self.drained()
        if self._stale_presence and self._snapshots is not None:
            self._stale_presence = False
            self._presence = self._snapshots.presence()
        if self.backlog is not None:
            self.backlog.writable()
        elif self.postponed is not None:  # not resumed yet
            self.send_postponed()
        if self._presence is not None and self._write_pages(self._presence):
            self._presence = None
        if self._stream is not None and self._write_pages(self._stream):
            self._stream = None

    def _write_pages(self, pages: Iterator[bytes]) -> bool:
        """Write as many pages as the peer has room for; return whether they were the last ones."""
        size = 0
        while not self._size and not self._link.congested:
            page = next(pages, None)
            if page is None:
                return True
            size += len(page)
            self.frames_out += page.count(b"\n")
            self._link.write(page)
            if size >= _SLICES * HIGH_WATER:
                self._queue.add(self)
                break
        return False

    def writable(self) -> None:
        """Continue with output that waited for the peer."""
        self._queue.add(self)

    # --- the end

    def finish(self, reason: str) -> None:
        """Write what is queued, as the peer takes it; then close the link.

        Args:
            reason: For the session log.
        """
        self._link.expect_close(reason)
        self._finish()

    def _finish(self) -> None:
        while self._size and not self._link.congested:
            self._write_slice()
        if not self._size:
            self._link.close(self._link.reason)

    def lost(self) -> None:
        """End: the link is gone."""
        self.closed = True
        self._presence = self._stream = self._snapshots = None
        self.postponed = self.fall_behind = self.drained = None
        self._payloads.clear()
        self._size = 0
        if self.backlog is not None:
            self.backlog.writable()  # It must not wait for a peer that is gone.
