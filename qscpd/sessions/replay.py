"""What a device missed, told in order before anything live.

A session is *behind* from its login until its `resume` was answered. Pages are read from the
store and sent one by one, each when the peer took the one before, so that an absence of months
never fills a queue. What is committed meanwhile is *held*; when the store has nothing more,
what is held and newer than what was sent goes out, a page at a time as well. The session is live in
the step of the loop in which nothing is held any more, so nothing falls between replay and live,
and no seq is sent twice or late.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Final, NamedTuple

from qscp import codec, frames
from qscpd.domain.ids import conversation_id, parse_conversation
from qscpd.domain.model import ConversationRow, MessageRow
from qscpd.sessions.encoding import pushed
from qscpd.sessions.session import Session
from qscpd.store.base import Store
from qscpd.store.writer import StoreWriter

__all__ = ["PAGE_BYTES", "Replay"]

PAGE_BYTES: Final = 48 * 1024
"""Of messages in a page, as they are on the wire at most: with its names, a page stays a line."""

_PAGE: Final = 100

_HELD_BYTES: Final = 256 * 1024
"""What is held for a session at most; more than that is read from the store again."""

_POSITIONS: Final = 100_000
"""Conversations that a device may have a position in: about 10 MiB, and more than anybody has."""

_NEVER: Final = 2**63 - 1
"""A seq that no message has; the largest one that the store can be asked for."""

_NEW_DEVICE: Final = 200
"""Messages of a conversation that a device without a position gets; older ones come by `history`."""


class _Held(NamedTuple):
    conversation: int
    seq: int
    line: bytes


class Replay:
    """The way of one session from login to live.

    Args:
        session: Logged in, and not live yet.
        writer: Where the store is.
        names: Names of accounts, by id.
    """

    def __init__(self, session: Session, writer: StoreWriter[Session], names: dict[int, str]) -> None:
        self._session = session
        self._writer = writer
        self._names = names
        self._positions: dict[int, int] = {}
        self._rows: dict[int, ConversationRow] = {}
        """The conversations that are still to be looked at."""
        self._unknown: dict[int, int] = {}
        """Positions, still to be answered, in what is no conversation of theirs."""
        self._sent: defaultdict[int, int] = defaultdict(int)
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._again: dict[int, int] = {}
        """Conversation -> the last seq that was held and is not any more."""
        self._room = asyncio.Event()

    def add(self, positions: Iterable[frames.Position]) -> bool:
        """Take in a page of the device's positions; return whether there are not too many by now."""
        for position in positions:
            number = parse_conversation(position.conversation)
            if number is not None:
                self._positions[number] = position.seq
        return len(self._positions) <= _POSITIONS

    def hold(self, conversation: int, seq: int, line: bytes) -> None:
        """A message was committed while the session is behind."""
        self._held.append(_Held(conversation, seq, line))
        self._held_bytes += len(line)
        if self._held_bytes > _HELD_BYTES:
            self._again.update((held.conversation, held.seq) for held in self._held)
            self._held.clear()
            self._held_bytes = 0

    def joined(self, conversation: int, last_seq: int) -> None:
        """The account came into a room, of which the session is told next; nothing from before is missing."""
        self._gap(conversation, 1, self._unknown.pop(conversation, 0), "ahead")
        self._sent[conversation] = last_seq

    def left(self, conversation: int) -> None:
        """The account left a room, of which the session is told next: nothing of it may come behind that."""
        self._rows.pop(conversation, None)
        self._sent[conversation] = _NEVER

    def writable(self) -> None:
        """The peer took what waited for it."""
        self._room.set()

    async def run(self) -> None:
        """Send everything that is missing; the session is live at the end, unless it has ended."""
        account = self._session.account
        assert account is not None  # noqa: S101 - `resume` comes after the login
        await self._writer.call(lambda store: store.conversations(account.id), self._take_in)
        await self._tell_unknown()
        for index in count():
            if index % _PAGE == 0:
                await self._until_room()
            if self._session.closed:
                return
            if not self._rows:
                break
            row = self._rows.pop(next(iter(self._rows)))
            self._begin(row)
            await self._catch_up(row.id, row.last_seq)
        # A peer that takes less than is written to it stays behind, page by page.
        while await self._until_room():
            if self._again:
                await self._catch_up(*self._again.popitem())
            elif self._held:
                self._send_held()
            else:
                self._session.send(frames.Resumed())
                self._session.live = True
                await self._tell_invitations()
                self._session.go_live()
                return

    def _take_in(self, rows: Sequence[ConversationRow]) -> None:
        """Take in what there is, at the moment at which it is so: rooms are joined and left meanwhile."""
        self._rows = {row.id: row for row in rows}
        self._unknown = {
            number: position
            for number, position in self._positions.items()
            if position and number not in self._rows
        }

    async def _tell_unknown(self) -> None:
        for index in count():
            if index % _PAGE == 0:
                await self._until_room()
            if not self._unknown:
                return
            number = next(iter(self._unknown))
            self._gap(number, 1, self._unknown.pop(number), "ahead")

    async def _tell_invitations(self) -> None:
        """Tell of the invitations, page by page as well: anybody may have sent any number of them."""
        for index, frame in enumerate(self._session.router.rooms.invitations(self._session)):
            if index % _PAGE == 0 and not await self._until_room():
                return
            self._session.send(frame)

    def _begin(self, row: ConversationRow) -> None:
        """Find out where a conversation begins for this device, and tell it what it will not get."""
        position = self._positions.get(row.id)
        start = row.read if position is None else position
        if start > row.last_seq:
            self._gap(row.id, row.last_seq + 1, start, "ahead")
            start = row.last_seq
        kept = max(start, row.first_seq - 1)
        self._gap(row.id, start + 1, kept, "pruned")
        start = kept
        if position is None:
            start = max(kept, row.last_seq - _NEW_DEVICE)
            self._gap(row.id, kept + 1, start, "older")
        self._sent[row.id] = start
        if row.delivered:
            self._session.send(frames.Delivered(conversation_id(row.id), row.delivered))

    def _gap(self, conversation: int, first: int, last: int, reason: frames.GapReason) -> None:
        if first <= last:
            self._session.send(frames.Gap(conversation_id(conversation), first, last, reason))

    async def _catch_up(self, conversation: int, until: int) -> None:
        """Send a conversation's messages, page by page, up to a seq.

        Not as long as there are any: in a busy conversation there always are, and the others wait.
        """
        account = self._session.account
        assert account is not None  # noqa: S101 - `resume` comes after the login

        def read(store: Store) -> tuple[ConversationRow | None, list[MessageRow]]:
            row = store.conversation(account.id, conversation)
            after = self._sent[conversation]
            if row is None:
                return None, []
            return row, list(store.messages_after(conversation, after, _PAGE, PAGE_BYTES, row.first_seq))

        while self._sent[conversation] < until and await self._until_room():
            row, messages = await self._writer.call(read)
            if row is None or self._session.closed:
                return
            # The room may have been left since, and joined again.
            messages = [each for each in messages if each.seq > self._sent[conversation]]
            first = messages[0].seq if messages else row.first_seq
            if first > self._sent[conversation] + 1:  # pruned between two pages
                self._gap(conversation, self._sent[conversation] + 1, first - 1, "pruned")
                self._sent[conversation] = first - 1
            if not messages:
                return
            self._send(row, messages)

    def _send(self, row: ConversationRow, messages: list[MessageRow]) -> None:
        account = self._session.account
        assert account is not None  # noqa: S101 - `resume` comes after the login
        lines = []
        for message in messages:
            to = row.name if row.peer is None or message.sender == account.id else account.name
            frame = pushed(row.id, message, to=to, origin="replay", names=self._names, viewer=account.id)
            lines.append(codec.encode(frame))
        self._session.messages_out += len(lines)
        self._session.push(lines)
        self._sent[row.id] = messages[-1].seq

    async def _until_room(self) -> bool:
        """Wait until the peer took most of what was sent; return whether the session is still there.

        The next page is not queued ahead.
        """
        # What was pushed is written at the end of the tick; until then nobody knows.
        await asyncio.sleep(0)
        while self._session.link.congested and not self._session.closed:
            self._room.clear()
            await self._room.wait()
        return not self._session.closed

    def _send_held(self) -> None:
        """Send a page of what is held."""
        lines = []
        size = 0
        while self._held and size < PAGE_BYTES:
            held = self._held.popleft()
            size += len(held.line)
            if held.seq > self._sent[held.conversation]:
                lines.append(held.line)
                self._sent[held.conversation] = held.seq
        self._held_bytes -= size
        self._session.messages_out += len(lines)
        self._session.push(lines)
