"""Messages that a fold moves into chunks: what is left of them, and how many of them a step takes.

What a damaged page keeps from being folded is *stuck*: it gets a new row of the journal, for the next fold.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.journal import Part
from qscpd.store.sqlite.piece_folder import PieceFolder
from qscpd.store.sqlite.tail import Piece

_STEP_MESSAGES: Final = 1500
"""Messages that a step folds at most, unless one commit has more for a conversation."""

_STEP_TEXT: Final = 80 * 1024
"""Bytes of texts that it folds at most: 18 ms for the search index if each word is another one."""

_ENTRY: Final = 48
"""Bytes of a message besides its text."""

_STEP_CONVERSATIONS: Final = 64
"""Conversations that it folds at most."""


class PieceQueue:
    """Pieces of the running fold.

    Args:
        db: The database.
        folder: Folds them.
        on_damage: Called with each place that can't be folded.

    Attributes:
        stuck: What can't be folded, because the file is damaged.
    """

    def __init__(self, db: Database, folder: PieceFolder, on_damage: OnDamage) -> None:
        self._db = db
        self._folder = folder
        self._on_damage = on_damage
        self._pieces: deque[Piece] = deque()
        """What is left, by conversation and seq."""
        self.stuck: list[Part] = []

    def begin(self, pieces: Iterable[Piece]) -> None:
        """Begin a fold of some pieces."""
        self._pieces = deque(sorted(pieces, key=attrgetter("conversation", "first_seq")))
        self.stuck = []

    def cut(self, row: int) -> bool:
        """Leave the rows behind one to the next fold; return False if something of them may be stuck."""
        if self.stuck:
            return False
        self._pieces = deque(piece for piece in self._pieces if piece.row <= row)
        return True

    def step(self) -> bool:
        """Fold the next pieces; return whether there are more."""
        taken = self._take()
        groups = [(each, list(found)) for each, found in groupby(taken, attrgetter("conversation"))]
        stuck = len(self.stuck)
        try:
            with self._db.transaction():
                for conversation, pieces in groups:
                    if not self._is_stuck(conversation, pieces):
                        self._folder.fold(conversation, pieces)
        except StoreDamagedError:
            del self.stuck[stuck:]
            for conversation, pieces in groups:
                self._fold_alone(conversation, pieces)
        for _ in taken:
            self._pieces.popleft()
        return bool(self._pieces)

    def _take(self) -> Sequence[Piece]:
        """Return the pieces that the next step folds, at least one if there is any."""
        taken: list[Piece] = []
        conversations: set[int] = set()
        messages = size = 0
        for piece in self._pieces:
            count = piece.last_seq - piece.first_seq + 1
            messages += count
            size += max(len(piece.packed) - count * _ENTRY, 0)
            conversations.add(piece.conversation)
            if taken and (
                messages > _STEP_MESSAGES or size > _STEP_TEXT or len(conversations) > _STEP_CONVERSATIONS
            ):
                break
            taken.append(piece)
        return taken

    def _fold_alone(self, conversation: int, pieces: Sequence[Piece]) -> None:
        """Fold what the step takes of one conversation, around what is damaged."""
        if self._is_stuck(conversation, pieces):
            return
        problem = ""
        for has_words in (True, False):
            try:
                with self._db.transaction():
                    self._folder.fold(conversation, pieces, as_journaled=True, has_words=has_words)
            except StoreDamagedError as error:
                problem = str(error)
            else:
                if not has_words:
                    self._on_damage(DamagedPlace(f"words can't be indexed: {problem}"))
                return
        first, last = pieces[0].first_seq, pieces[-1].last_seq
        self._on_damage(DamagedPlace(f"stays in the journal: {problem}", conversation, first, last))
        self._stick(pieces)

    def _is_stuck(self, conversation: int, pieces: Sequence[Piece]) -> bool:
        """Return whether messages before pieces can't be folded; keep the pieces, too, then."""
        stuck = any(part.conversation == conversation for part in self.stuck)
        if stuck:
            self._stick(pieces)
        return stuck

    def _stick(self, pieces: Iterable[Piece]) -> None:
        """Keep pieces for the next fold."""
        self.stuck += [piece.part for piece in pieces]
