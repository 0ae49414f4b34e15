"""Replay: send a device what it missed, in order, before anything live.

A session is *resuming* from its login until its `resume` is answered. Its conversations are read and sent one
by one, from the device's position to the last message. After that it catches up with what was stored
meanwhile, as a session does that fell behind (`qscpd.sessions.catch_up`; its four rules apply here). So an
absence of months never fills a queue.
"""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from itertools import count, islice
from typing import Final

from qscp import codec, frames
from qscp.errors import ErrorCode
from qscp.features import LAZY_HISTORY
from qscpd.domain.ids import conversation_id, parse_conversation
from qscpd.domain.model import ConversationRow
from qscpd.sessions.catch_up import NEVER, CatchUp, Source
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session

_POSITIONS: Final = 100_000
"""Limit of conversations in which a device can have a position: about 10 MiB, more than any user has."""

_NEW_DEVICE: Final = 200
"""Messages of a conversation that a device without a position gets; it asks for older ones with `history`."""

_BATCH: Final = 100
"""Small frames after which the peer has to have taken most of what was sent."""

_INVITATIONS: Final = 50
"""Invitations that are sent together."""


class Replay(CatchUp):
    """The replay of one session, from its first `resume` until it is live.

    Attributes:
        started: Whether the device has sent all of its positions.
    """

    resuming = True

    def __init__(self, session: Session, identity: Identity, source: Source) -> None:
        super().__init__(session, identity, source)
        self.started = False
        self._positions: dict[int, int] = {}
        """Reported by the device and not used yet."""
        self._rows: dict[int, ConversationRow] = {}
        """Conversations that are not replayed yet."""
        self._unknown: dict[int, int] = {}
        """Reported positions in conversations the account is not a member of; each gets a gap."""
        self._is_lazy = LAZY_HISTORY in identity.features
        self._moved: set[int] = set()
        """Rooms joined or left so far; the list of conversations can be older or newer than that."""

    def add_positions(self, positions: Iterable[frames.Position]) -> bool:
        """Add a page of the device's positions; return False if there are too many by now."""
        for position in positions:
            number = parse_conversation(position.conversation)
            if number is not None:
                self._positions[number] = position.seq
        return len(self._positions) <= _POSITIONS

    def overtakes(self, conversation: int, seq: int) -> bool:
        """Return False: a peer that is not live yet puts its acknowledgements in order itself."""
        del conversation, seq
        return False

    def _last(self, conversation: int) -> int:
        """Return that all seqs can be sent: everything was published to this session, or will be buffered."""
        del conversation
        return NEVER

    def joined(self, conversation: int, last_seq: int) -> None:
        """Note that the account joined a room, before the session is notified: it misses nothing older."""
        self._send_gap(conversation, 1, self._forget(conversation), "ahead")
        super().joined(conversation, last_seq)

    def left(self, conversation: int) -> None:
        """Note that the account left a room, before the session is notified: nothing may come behind that."""
        self._forget(conversation)
        super().left(conversation)

    def _forget(self, conversation: int) -> int:
        """Replay a room no further; return the device's position in it if that was not used yet."""
        self._moved.add(conversation)
        self._rows.pop(conversation, None)
        return self._positions.pop(conversation, 0) or self._unknown.pop(conversation, 0)

    async def run(self) -> None:
        """Send everything, then let the session be live."""
        rows = await self._published(self._source.reads.conversations(self._identity.account))
        self._set_rows(rows)
        await self._send_unknown()
        for index in count():
            if index % _BATCH == 0:
                await self._until_writable()
            if self._outbound.closed:
                return
            if not self._rows:
                break
            row = self._rows.pop(next(iter(self._rows)))
            self._begin(row)
            await self._catch_up(row.id, row.last_seq)
        await super().run()

    def _go_live(self) -> None:
        self._outbound.send_all((frames.Resumed(),))
        super()._go_live()
        self._outbound.stream(self._invitations())

    def _invitations(self) -> Iterator[bytes]:
        """Yield the invitations, page by page as well: there can be any number of them."""
        invitations = self._source.invitations(self._identity.account)
        while page := list(islice(invitations, _INVITATIONS)):
            yield codec.encode_lines(page)

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
            if index % _BATCH == 0:
                await self._until_writable()
            if not self._unknown:
                return
            number = next(iter(self._unknown))
            self._send_gap(number, 1, self._unknown.pop(number), "ahead")

    def _begin(self, row: ConversationRow) -> None:
        """Find the first message of a conversation to send; send a gap for those that are not sent."""
        position = self._positions.pop(row.id, None)
        if position is None and self._is_lazy:
            # Its counts and the peer's position are in the list of conversations.
            self._send_gap(row.id, 1, row.last_seq, "older")
            self._sent[row.id] = self._old[row.id] = row.last_seq
            return
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
        self._old[row.id] = row.last_seq
        if row.delivered:
            self._outbound.send_all((frames.Delivered(conversation_id(row.id), row.delivered),))


class Backlogs:
    """Makes the backlogs of sessions.

    Args:
        source: Where what they missed comes from.
        start: Runs a task for a session; a bug in it ends only this session.
    """

    def __init__(self, source: Source, start: Callable[[Session, Coroutine[None, None, None]], None]) -> None:
        self._source = source
        self._start = start

    def resume(self, session: Session, identity: Identity, frame: frames.Resume) -> ErrorCode | None:
        """Add a page of positions; after the last one, start the replay.

        Returns:
            What is wrong: the session has resumed already, or has too many positions.
        """
        outbound = session.outbound
        replay = outbound.backlog
        if outbound.fall_behind is None:
            replay = outbound.backlog = Replay(session, identity, self._source)
            outbound.fall_behind = partial(self._fall_behind, session, identity)
        if not isinstance(replay, Replay) or replay.started:
            return ErrorCode.ALREADY_RESUMED
        if not replay.add_positions(frame.positions):
            return ErrorCode.BAD_FIELD
        if not frame.more:
            replay.started = True
            self._start(session, replay.run())
        return None

    def _fall_behind(self, session: Session, identity: Identity) -> CatchUp:
        backlog = CatchUp(session, identity, self._source)
        self._start(session, backlog.run())
        return backlog
