"""Output of one session: queued frames, pages of a snapshot, and whether messages are sent as they come.

Frames are queued, and written at the end of the loop's tick (`qscpd.sessions.output`).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from qscp import codec, frames
from qscp.connection import ServerConnection
from qscp.states import State
from qscpd.net.link import Link
from qscpd.sessions.backlog import Backlog
from qscpd.sessions.output import FlushQueue

_OPEN: Final = (State.READY, State.DRAINING)


class Outbound:
    """Queued output of one session.

    Args:
        connection: The session's protocol state.
        link: Where output is written.
        queue: Flushes this output at the end of the tick.

    Attributes:
        live: Whether messages are sent as they are committed; set by the replay, like the backlog.
        backlog: What the session missed, from its first `resume` until it has all of it.
        closed: Whether the session has ended; what is queued after that is dropped.
        frames_out: Frames sent.
        messages_out: Messages delivered.
    """

    __slots__ = (
        "_connection",
        "_link",
        "_make_snapshot",
        "_pages",
        "_queue",
        "_queued",
        "_stale_presence",
        "backlog",
        "closed",
        "frames_out",
        "live",
        "messages_out",
    )

    def __init__(self, connection: ServerConnection, link: Link, queue: FlushQueue) -> None:
        self._connection = connection
        self._link = link
        self._queue = queue
        self._make_snapshot: Callable[[], Iterator[bytes]] | None = None
        self.live = self.closed = False
        self.backlog: Backlog | None = None
        self.frames_out = self.messages_out = 0
        self._queued: list[bytes] = []
        self._pages: Iterator[bytes] | None = None
        self._stale_presence = False

    # --- frames

    def put(self, payload: bytes, count: int) -> None:
        """Queue encoded frames; a closed session drops them."""
        if not self.closed:
            self._queued.append(payload)
            self.frames_out += count
            self._queue.add(self)

    def send_lines(self, lines: Sequence[bytes]) -> None:
        """Queue encoded frames of a logged-in session; a closed one drops them."""
        if lines and self._connection.state in _OPEN:
            self.put(b"".join(lines), len(lines))

    def send_all(self, batch: Sequence[frames.ServerFrame]) -> None:
        """Queue frames of a logged-in session, encoded together; a closed one drops them."""
        if batch and self._connection.state in _OPEN:
            self.put(codec.encode_lines(batch), len(batch))

    # --- messages

    def send_messages(self, batch: Sequence[frames.ServerFrame]) -> None:
        """Queue delivered messages, encoded together."""
        self.messages_out += len(batch)
        self.send_all(batch)

    def send_message_lines(self, lines: Sequence[bytes]) -> None:
        """Queue encoded messages."""
        self.messages_out += len(lines)
        self.send_lines(lines)

    def deliver(self, conversation: int, seq: int, line: bytes) -> None:
        """Deliver a committed message: now to a live session, after the rest to one that is catching up.

        A session that has not resumed gets nothing: the store has the message for it.
        """
        if self.live:
            self.send_message_lines((line,))
        elif self.backlog is not None:
            self.backlog.buffer(conversation, seq, line)

    def deliver_all(self, conversation: int, messages: Sequence[tuple[int, bytes]], payload: bytes) -> None:
        """Deliver several messages; they are written at once if nothing is queued before them.

        Args:
            conversation: Their conversation.
            messages: Seq and line of each.
            payload: All lines, joined once for all sessions that get them.
        """
        if self.live and not self.closed and not self._queued:
            self.frames_out += len(messages)
            self.messages_out += len(messages)
            self._link.write(payload)
        else:
            for seq, line in messages:
                self.deliver(conversation, seq, line)

    # --- states

    def stream_presence(self, make_snapshot: Callable[[], Iterator[bytes]]) -> None:
        """Send a presence snapshot, frame by frame, each when the peer took the one before.

        Args:
            make_snapshot: Returns the frames; called again when the peer has missed changes.
        """
        self._make_snapshot = make_snapshot
        self._pages = make_snapshot()
        self._queue.add(self)

    def send_presence(self, lines: list[bytes]) -> None:
        """Queue presence changes; a congested peer gets a snapshot later instead."""
        if self._link.congested:
            self._stale_presence = True
        else:
            self.send_lines(lines)

    # --- writing

    def flush(self) -> None:
        """Write everything that is queued, and as many pages as the peer has room for."""
        if self._queued:
            self._link.write(b"".join(self._queued))
            self._queued.clear()
        if self._pages is not None:
            self._write_pages(self._pages)

    def _write_pages(self, pages: Iterator[bytes]) -> None:
        while not self._link.congested and not self.closed:
            page = next(pages, None)
            if page is None:
                self._pages = None
                return
            self.frames_out += 1
            self._link.write(page)

    def writable(self) -> None:
        """Continue with pages that waited for the peer."""
        if self.backlog is not None:
            self.backlog.writable()
        if self._stale_presence and self._make_snapshot is not None:
            self._stale_presence = False
            self._pages = self._make_snapshot()
        if self._pages is not None:
            self._queue.add(self)

    def close(self) -> None:
        """Queue nothing more."""
        self.closed = True

    def lost(self) -> None:
        """End: the link is gone."""
        self.closed = True
        self._pages = None
        if self.backlog is not None:
            self.backlog.writable()  # It must not wait for a peer that is gone.
