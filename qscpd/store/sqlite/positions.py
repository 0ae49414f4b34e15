"""Positions: how far each member has read a conversation, and how far it was delivered to them."""

from collections.abc import Mapping, Sequence
from typing import Final

from qscpd.domain.events import PositionMoved
from qscpd.domain.model import Mark, PositionKind
from qscpd.domain.rooms import RoomRow
from qscpd.store.sqlite.conversation_cache import CachedConversation
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.tail import Tail

_CACHED: Final = 50_000
"""Conversations whose positions are in memory, in all: some 20 MiB with two members each."""

_POSITION: Final = """
    SELECT p.read_seq, p.delivered_seq, c.low, c.high
    FROM positions p JOIN conversations c ON c.id = p.conversation
    WHERE p.account = ? AND p.conversation = ? AND (c.low IS NOT NULL OR EXISTS (
      SELECT 1 FROM standings s WHERE s.conversation = c.id AND s.account = p.account AND s.role IS NOT NULL))
"""

_UPDATE: Final = "UPDATE positions SET read_seq = ?, delivered_seq = ? WHERE account = ? AND conversation = ?"


class _Position:
    """Position of a member."""

    __slots__ = ("peer", "seqs")

    def __init__(self, read: int, delivered: int, peer: int | None) -> None:
        self.seqs = {PositionKind.READ: read, PositionKind.DELIVERED: delivered}
        self.peer = peer
        """The other account of a pair; None in a room."""


class Positions:
    """Moves positions."""

    def __init__(self, db: Database, tail: Tail) -> None:
        self._db = db
        self._tail = tail
        self._known: dict[int, dict[int, _Position]] = {}
        """By conversation and account."""
        db.on_rollback(self._known.clear)

    def room_changed(self, room: RoomRow) -> None:
        """Forget what a change of a room or of a membership may have made invalid."""
        self._known.pop(room.id, None)

    def move(
        self, marks: Sequence[Mark], touched: Mapping[int, CachedConversation]
    ) -> list[PositionMoved | None]:
        """Move positions up in the running transaction; return None for each that stays.

        Args:
            marks: The positions.
            touched: The conversations that the transaction adds to.
        """
        moved: list[PositionMoved | None] = []
        written: dict[tuple[int, int], _Position] = {}
        for mark in marks:
            position = self._position(mark.account, mark.conversation)
            # A position is never above the conversation's last seq.
            seq = 0 if position is None else min(mark.seq, self._last_seq(mark.conversation, touched))
            if position is None or seq <= position.seqs[mark.kind]:
                moved.append(None)
                continue
            position.seqs[mark.kind] = seq
            written[mark.account, mark.conversation] = position
            moved.append(PositionMoved(mark._replace(seq=seq), position.peer))
        if written:
            with self._db.transaction() as db:
                db.executemany(_UPDATE, [(*each.seqs.values(), *key) for key, each in written.items()])
        return moved

    def _last_seq(self, conversation: int, touched: Mapping[int, CachedConversation]) -> int:
        added = touched.get(conversation)
        if added is not None:
            return added.last_seq
        piece = self._tail.last(conversation)
        if piece is not None:
            return piece.last_seq
        return int(self._db.read("SELECT last_seq FROM conversations WHERE id = ?", conversation)[0][0])

    def _position(self, account: int, conversation: int) -> _Position | None:
        """Return the position of a member; None of any other account."""
        known = self._known.get(conversation)
        position = known.get(account) if known is not None else None
        if position is None:
            for read, delivered, low, high in self._db.read(_POSITION, account, conversation):
                if len(self._known) >= _CACHED:
                    self._known.clear()
                position = _Position(read, delivered, high if account == low else low)
                self._known.setdefault(conversation, {})[account] = position
        return position
