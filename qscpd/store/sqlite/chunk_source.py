"""Messages as they are stored together, decoded in parts."""

from collections.abc import Sequence

import msgspec

from qscpd.domain.model import MessageRow
from qscpd.store.sqlite import chunks


class Source:
    """Messages of a conversation as they are stored together: a chunk, or a piece of the tail.

    Attributes:
        first_seq: The first seq.
        last_seq: The last seq.
        packed: The messages; None if they can't be read.
    """

    __slots__ = ("_raws", "first_seq", "last_seq", "packed")

    def __init__(self, first_seq: int, last_seq: int, packed: bytes | None) -> None:
        self.first_seq = first_seq
        self.last_seq = last_seq
        self.packed = packed
        self._raws: Sequence[msgspec.Raw] = ()

    def rows(self, first: int, last: int, writers: chunks.Writers) -> list[MessageRow]:
        """Return some of the messages.

        Raises:
            StoreDamagedError: They are none, or have what no message can have.
        """
        if self.packed is None:
            return []
        if last - first + 1 == chunks.claimed(self.packed):
            return chunks.rows(first, self.packed, writers)
        return chunks.rows(first, chunks.pack(self.raws(first, last)), writers)

    def raws(self, first: int, last: int) -> Sequence[msgspec.Raw]:
        """Return some of the messages, not decoded.

        Raises:
            StoreDamagedError: They are none.
        """
        self._raws = self._raws or chunks.split(self.packed or b"")
        return self._raws[first - self.first_seq : last - self.first_seq + 1]
