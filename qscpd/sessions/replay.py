"""Replay: send a device what it missed, in order, before anything live.

A session is *catching up* from its login until its `resume` is answered. Pages are read from the
store and sent one by one, each when the peer took the one before. So an absence of months never
fills a queue. Messages that are published meanwhile are *buffered*. When the store has nothing more, the
buffered messages that are newer than what was sent follow, page by page as well. The session goes live
in the same step of the loop in which the buffer is empty. So no message falls between replay and live,
and no seq is sent twice or late.

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
from collections import defaultdict, deque
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import count
from typing import Final, NamedTuple, TypeVar

import structlog

from qscp import codec, frames
from qscpd.domain.ids import conversation_id, parse_conversation
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

_BUFFER_BYTES: Final = 256 * 1024
"""Limit of a session's buffer; what does not fit is read from the store again."""

_POSITIONS: Final = 100_000
"""Limit of conversations in which a device can have a position: about 10 MiB, more than any user has."""

_NEVER: Final = 2**63 - 1
"""A seq that no message has: the largest one that the store accepts."""

_NEW_DEVICE: Final = 200
"""Messages of a conversation that a device without a position gets; it asks for older ones with `history`."""


_log = structlog.stdlib.get_logger("qscpd.sessions.replay")

T = TypeVar("T")


class _Buffered(NamedTuple):
    conversation: int
    seq: int
    line: bytes


class Replay:
    """The replay of one session; its `Backlog` from the start until it is live.

    Args:
        session: The session; logged in, and not live yet.
        identity: Its identity.
        writer: Where commits come from; its `drained` waits until they are published.
        reads: The store.
        names: Names of accounts, by id.
        invitations: Makes the frames of the account's open invitations.

    Attributes:
        started: Whether the device has sent all of its positions.
    """

    def __init__(
        self,
        session: Session,
        identity: Identity,
        writer: StoreWriter[Session],
        reads: StoreReads,
        names: Mapping[int, str],
        invitations: Callable[[int], Iterator[frames.Invited]],
    ) -> None:
        self.started = False
        self._session = session
        self._identity = identity
        self._writer = writer
        self._reads = reads
        self._names = names
        self._invitations = invitations
        self._positions: dict[int, int] = {}
        """Reported by the device and not used yet."""
        self._rows: dict[int, ConversationRow] = {}
        """Conversations that are not replayed yet."""
        self._unknown: dict[int, int] = {}
        """Reported positions in conversations the account is not a member of; each gets a gap."""
        self._moved: set[int] = set()
        """Rooms joined or left so far; the list of conversations can be older or newer than that."""
        self._sent: defaultdict[int, int] = defaultdict(int)
        self._buffer: deque[_Buffered] = deque()
        self._buffer_bytes = 0
        self._overflowed: dict[int, int] = {}
        """Conversation -> the last seq that was dropped from the buffer."""
        self._writable = asyncio.Event()
        session.outbound.backlog = self

    def add_positions(self, positions: Iterable[frames.Position]) -> bool:
        """Add a page of the device's positions; return False if there are too many by now."""
        for position in positions:
            number = parse_conversation(position.conversation)
            if number is not None:
                self._positions[number] = position.seq
        return len(self._positions) <= _POSITIONS

    def buffer(self, conversation: int, seq: int, line: bytes) -> None:
        """Keep a message that was committed meanwhile; if there are too many, note to read them again."""
        self._buffer.append(_Buffered(conversation, seq, line))
        self._buffer_bytes += len(line)
        if self._buffer_bytes > _BUFFER_BYTES:
            self._overflowed.update((each.conversation, each.seq) for each in self._buffer)
            self._buffer.clear()
            self._buffer_bytes = 0

    def joined(self, conversation: int, last_seq: int) -> None:
        """Note that the account joined a room, before the session is notified: it misses nothing older."""
        self._send_gap(conversation, 1, self._forget(conversation), "ahead")
        self._sent[conversation] = last_seq

    def left(self, conversation: int) -> None:
        """Note that the account left a room, before the session is notified: nothing may come behind that."""
        self._forget(conversation)
        self._sent[conversation] = _NEVER

    def _forget(self, conversation: int) -> int:
        """Replay a room no further; return the device's position in it if that was not used yet."""
        self._moved.add(conversation)
        self._rows.pop(conversation, None)
        return self._positions.pop(conversation, 0) or self._unknown.pop(conversation, 0)

    def writable(self) -> None:
        """Continue: the peer took what waited for it, or its link is gone."""
        self._writable.set()

    def start(self) -> Coroutine[None, None, None]:
        """Accept no more positions; return the coroutine that sends everything, until the session is live."""
        self.started = True
        return self._run()

    async def _run(self) -> None:
        account = self._identity.account
        self._set_rows(await self._published(self._reads.conversations(account)))
        await self._send_unknown()
        for index in count():
            if index % _PAGE == 0:
                await self._until_writable()
            if self._session.closed:
                return
            if not self._rows:
                break
            row = self._rows.pop(next(iter(self._rows)))
            self._begin(row)
            await self._catch_up(row.id, row.last_seq)
        # A peer that takes less than is written to it keeps catching up, page by page.
        while await self._until_writable():
            if self._overflowed:
                await self._catch_up(*self._overflowed.popitem())
            elif self._buffer:
                self._send_buffered()
            else:
                self._session.send(frames.Resumed())
                self._session.outbound.live = True
                await self._send_invitations()
                self._session.outbound.backlog = None
                return

    async def _published(self, read: Awaitable[T]) -> T:
        """Return the result of a read when everything in its snapshot is published."""
        result = await read
        await self._writer.drained()
        return result

    def _set_rows(self, rows: Sequence[ConversationRow]) -> None:
        """Set the conversations to replay, but for rooms that were joined or left meanwhile."""
        self._rows = {row.id: row for row in rows if row.id not in self._moved}
        positions, self._positions = self._positions, {}
        for number, position in positions.items():
            if number in self._rows:
                self._positions[number] = position
            elif position and number not in self._moved:
                self._unknown[number] = position

    async def _send_unknown(self) -> None:
        for index in count():
            if index % _PAGE == 0:
                await self._until_writable()
            if not self._unknown:
                return
            number = next(iter(self._unknown))
            self._send_gap(number, 1, self._unknown.pop(number), "ahead")

    async def _send_invitations(self) -> None:
        """Send the invitations, page by page as well: there can be any number of them."""
        for index, frame in enumerate(self._invitations(self._identity.account)):
            if index % _PAGE == 0 and not await self._until_writable():
                return
            self._session.send(frame)

    def _begin(self, row: ConversationRow) -> None:
        """Find the first message of a conversation to send; send a gap for those that are not sent."""
        position = self._positions.pop(row.id, None)
        start = row.read if position is None else position
        if start > row.last_seq:
            self._send_gap(row.id, row.last_seq + 1, start, "ahead")
            start = row.last_seq
        kept = max(start, row.first_seq - 1)
        self._send_gap(row.id, start + 1, kept, "pruned")
        start = kept
        if position is None:
            start = max(kept, row.last_seq - _NEW_DEVICE)
            self._send_gap(row.id, kept + 1, start, "older")
        self._sent[row.id] = start
        if row.delivered:
            self._session.send(frames.Delivered(conversation_id(row.id), row.delivered))

    def _send_gap(self, conversation: int, first: int, last: int, reason: frames.GapReason) -> None:
        if first <= last:
            self._session.send(frames.Gap(conversation_id(conversation), first, last, reason))

    async def _catch_up(self, conversation: int, until: int) -> None:
        """Send a conversation's messages, page by page, up to a seq.

        Not until none are left: a busy conversation always has more, and the others would wait.
        """
        while self._sent[conversation] < until and await self._until_writable():
            try:
                page = await self._published(
                    self._reads.replay_page(
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
            if page is None or self._session.closed or not self._send_page(page):
                return

    def _send_page(self, page: ReplayPage) -> bool:
        """Send a page; return False if nothing of it is new."""
        row = page.conversation
        # The account may have left the room, and joined it again, since the read was asked for.
        begin = sent = self._sent[row.id]
        self._send_seen_gap(row.id, row.first_seq - 1, "pruned")  # pruned between two pages
        messages = deque(each for each in page.messages if each.seq > sent)
        for damage in page.damage:
            before = []
            while messages and messages[0].seq < damage.first:
                before.append(messages.popleft())
            self._send_messages(row, before)
            self._send_seen_gap(row.id, damage.last, "damaged")
        self._send_messages(row, messages)
        return self._sent[row.id] > begin

    def _send_seen_gap(self, conversation: int, last: int, reason: frames.GapReason) -> None:
        """Send a gap behind what was sent, if there is anything."""
        first = self._sent[conversation] + 1
        self._send_gap(conversation, first, last, reason)
        self._sent[conversation] = max(first - 1, last)

    def _send_messages(self, row: ConversationRow, messages: Collection[MessageRow]) -> None:
        if not messages:
            return
        me = self._identity
        lines = []
        for message in messages:
            to = row.name if row.peer is None or message.sender == me.account else me.name
            frame = frame_for_row(
                row.id, message, to=to, origin="replay", names=self._names, viewer=me.account
            )
            lines.append(codec.encode(frame))
            self._sent[row.id] = message.seq
        self._session.outbound.send_message_lines(lines)

    async def _until_writable(self) -> bool:
        """Wait until the peer took most of what was sent; return False if the session has ended.

        The next page is never queued ahead.
        """
        # What was sent is written at the end of the tick; only then is congestion known.
        await asyncio.sleep(0)
        while self._session.link.congested and not self._session.closed:
            self._writable.clear()
            await self._writable.wait()
        return not self._session.closed

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
        self._session.outbound.send_message_lines(lines)
