"""Catching up: send a session the messages that wait for it, in order, before anything live.

Messages that are published while a session is not live are *buffered*. When there are too many, they are
read from the store again: page by page, each when the peer took the one before. When nothing is left, the
session goes live in the same step of the loop. So no message falls between, and no seq is sent twice or late.

Commits happen on one thread and reads on others; the loop learns of both later. A commit is *published*
when the loop gets its events: messages to deliver, rooms joined and left. Four rules keep the order:

1. The session buffers before the first read is asked for. A snapshot begins after that. So a commit is in
   the snapshot, or it is published later and buffered. Most of them are both: a seq that is not above the
   last one sent is dropped.
2. A snapshot can have commits that are not published yet. So a read ends only when the writer's queue
   has drained: by then everything in its snapshot is published. Without this, a message could be
   replayed, and be delivered live after that. Or a room's messages could come before the session knows
   that it is in the room.
3. Joining and leaving are applied when they are published, at once. They are newer than a list of
   conversations that is being read. So a room that was joined or left since the first `resume` is not
   taken from the list. `room_left` ends a room, and `room` says where it begins: everything newer is
   buffered.
4. A page is checked against the last seq sent after it was read, not before. Leaving sets that to a seq
   that no message has, and joining sets it to the room's last one. So no page that was being read
   brings anything back. Whether the account is a member is part of the page's own snapshot.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import structlog

from qscp import codec, frames
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import ConversationRow, MessageRow, ReplayPage
from qscpd.errors import StoreDamagedError
from qscpd.sessions.encoding import frame_for_row
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session
from qscpd.store.reads import StoreReads
from qscpd.store.writer import StoreWriter

PAGE_BYTES: Final = 48 * 1024
"""Message bytes in a page, as on the wire at most: with its names, a page is still a line."""

_PAGE: Final = 100
"""Messages in a page."""

_BUFFER_BYTES: Final = 256 * 1024
"""Limit of a session's buffer; what does not fit is read from the store again."""

NEVER: Final = 2**63 - 1
"""A seq that no message has: the largest one that the store accepts."""

_log = structlog.stdlib.get_logger("qscpd.sessions.catch_up")

T = TypeVar("T")


class _Buffered(NamedTuple):
    conversation: int
    seq: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """Where what a session missed comes from.

    Attributes:
        writer: Where commits come from; its `drained` waits until they are published.
        reads: The store.
        names: Names of accounts, by id.
        invitations: Makes the frames of an account's open invitations.
    """

    writer: StoreWriter[Session]
    reads: StoreReads
    names: Mapping[int, str]
    invitations: Callable[[int], Iterator[frames.Invited]]


class CatchUp:
    """Messages that wait for one session; its `Backlog` until it is live.

    Args:
        session: The session; logged in, and not live.
        identity: Its identity.
        source: Where its messages come from.

    Attributes:
        resuming: Whether the session was never live.
    """

    resuming = False

    def __init__(self, session: Session, identity: Identity, source: Source) -> None:
        self._session = session
        self._outbound = session.outbound
        self._identity = identity
        self._source = source
        self._sent: dict[int, int] = {}
        """Conversation -> the last seq that was sent."""
        self._known: dict[int, int] = {}
        """Conversation -> the last seq that was buffered or noted."""
        self._old: dict[int, int] = {}
        """Conversation -> the last seq that the account missed; everything newer is live."""
        self._buffer: deque[_Buffered] = deque()
        self._buffer_bytes = 0
        self._unbuffered: dict[int, int] = {}
        """Conversation -> the last seq that has to be read from the store."""
        self._writable = asyncio.Event()

    # --- the backlog

    def buffer(self, conversation: int, seq: int, line: bytes) -> None:
        """Keep a message that was committed meanwhile; if there are too many, note to read them again."""
        self._known[conversation] = seq
        # Everything before the first message that waits was sent, unless the replay finds otherwise.
        self._sent.setdefault(conversation, seq - 1)
        self._buffer.append(_Buffered(conversation, seq, line))
        self._buffer_bytes += len(line)
        if self._buffer_bytes > _BUFFER_BYTES:
            for each in self._buffer:
                self._read_up_to(each.conversation, each.seq)
            self._buffer.clear()
            self._buffer_bytes = 0

    def overtakes(self, conversation: int, seq: int) -> bool:
        """Return whether messages wait in a conversation; then the peer's own one is sent with them."""
        sent = self._sent.get(conversation, 0)
        if self._known.get(conversation, 0) <= sent:
            self._sent[conversation] = max(sent, seq)
            return False
        self._known[conversation] = seq
        self._read_up_to(conversation, seq)
        return True

    def _read_up_to(self, conversation: int, seq: int) -> None:
        """Note that messages have to be read from the store."""
        # An own message that was noted can be newer than what is buffered.
        self._unbuffered[conversation] = max(seq, self._unbuffered.get(conversation, 0))

    def joined(self, conversation: int, last_seq: int) -> None:
        """Note that the account joined a room, before the session is notified: it misses nothing older."""
        self._old.pop(conversation, None)
        self._sent[conversation] = last_seq

    def left(self, conversation: int) -> None:
        """Note that the account left a room, before the session is notified: nothing may come behind that."""
        self._sent[conversation] = NEVER

    def writable(self) -> None:
        """Continue: the peer took what waited for it, or its link is gone."""
        self._writable.set()

    # --- sending

    async def run(self) -> None:
        """Send everything that waits, then let the session be live."""
        if await self._send_waiting():
            self._go_live()

    async def _send_waiting(self) -> bool:
        """Send everything that waits; return False if the session has ended.

        A peer that takes less than is written to it keeps catching up, page by page.
        """
        while await self._until_writable():
            if self._outbound.send_postponed():
                continue
            if self._unbuffered:
                await self._catch_up(*self._unbuffered.popitem())
            elif self._buffer:
                self._send_buffered()
            else:
                return True
        return False

    def _go_live(self) -> None:
        self._outbound.live = True
        self._outbound.backlog = None

    async def _published(self, read: Awaitable[T]) -> T:
        """Return the result of a read when everything in its snapshot is published."""
        result = await read
        await self._source.writer.drained()
        return result

    async def _until_writable(self) -> bool:
        """Wait until the peer took most of what was sent; return False if the session has ended.

        The next page is never queued ahead.
        """
        # What was sent is written at the end of the tick; only then is congestion known.
        await asyncio.sleep(0)
        while self._outbound.waiting and not self._outbound.closed:
            self._writable.clear()
            await self._writable.wait()
        return not self._outbound.closed

    async def _catch_up(self, conversation: int, until: int) -> None:
        """Send a conversation's messages, page by page, up to a seq.

        Not until none are left: a busy conversation always has more, and the others would wait.
        """
        while self._sent[conversation] < until and await self._until_writable():
            try:
                page = await self._published(
                    self._source.reads.replay_page(
                        self._identity.account,
                        conversation,
                        after=self._sent[conversation],
                        limit=_PAGE,
                        max_bytes=PAGE_BYTES,
                    )
                )
            except StoreDamagedError as error:
                # Not even the conversation can be read; the others can.
                self._session.report(
                    _log,
                    "replay.damaged",
                    level=logging.ERROR,
                    conversation=conversation_id(conversation),
                    reason=str(error),
                )
                self._send_seen_gap(conversation, until, "damaged")
                return
            if self._outbound.is_postponed(conversation):
                # The room's own frame has to come first.
                self._read_up_to(conversation, until)
                return
            if page is None or self._outbound.closed or not self._send_page(page):
                return

    def _send_page(self, page: ReplayPage) -> bool:
        """Send a page; return False if nothing of it is new."""
        row = page.conversation
        # The account may have left the room, and joined it again, since the read was asked for.
        begin = sent = self._sent[row.id]
        last = self._last(row.id)
        self._send_seen_gap(row.id, min(row.first_seq - 1, last), "pruned")  # pruned between two pages
        messages = deque(each for each in page.messages if sent < each.seq <= last)
        for damage in page.damage:
            before = []
            while messages and messages[0].seq < damage.first:
                before.append(messages.popleft())
            self._send_messages(row, before)
            self._send_seen_gap(row.id, min(damage.last, last), "damaged")
        self._send_messages(row, messages)
        return self._sent[row.id] > begin

    def _last(self, conversation: int) -> int:
        """Return the last seq of a conversation that can be sent from the store.

        Newer ones are not published to this session yet, and are when it is live again: a large room's
        fan-out takes several turns of the loop.
        """
        return self._known.get(conversation, 0)

    def _send_gap(self, conversation: int, first: int, last: int, reason: frames.GapReason) -> None:
        if first <= last:
            self._outbound.send_all((frames.Gap(conversation_id(conversation), first, last, reason),))

    def _send_seen_gap(self, conversation: int, last: int, reason: frames.GapReason) -> None:
        """Send a gap behind what was sent, if there is anything."""
        first = self._sent[conversation] + 1
        self._send_gap(conversation, first, last, reason)
        self._sent[conversation] = max(first - 1, last)

    def _send_messages(self, row: ConversationRow, messages: Collection[MessageRow]) -> None:
        if not messages:
            return
        me, names = self._identity, self._source.names
        old = self._old.get(row.id, 0)
        lines = []
        for message in messages:
            to = row.name if row.peer is None or message.sender == me.account else me.name
            origin: frames.Origin = "replay" if message.seq <= old else "live"
            frame = frame_for_row(row.id, message, to=to, origin=origin, names=names, viewer=me.account)
            lines.append(codec.encode(frame))
            self._sent[row.id] = message.seq
        self._outbound.send_message_lines(lines)

    def _send_buffered(self) -> None:
        """Send a page of the buffer."""
        lines = []
        size = 0
        while self._buffer and size < PAGE_BYTES:
            message = self._buffer.popleft()
            size += len(message.line)
            if message.seq > self._sent[message.conversation]:
                lines.append(message.line)
                self._sent[message.conversation] = message.seq
        self._buffer_bytes -= size
        self._outbound.send_message_lines(lines)
