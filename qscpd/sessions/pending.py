"""Items of one session on their way to the store: messages, positions and skips."""

from typing import Final

PENDING_ITEMS: Final = 1000
"""Items at which a session is read no further, until half of them are processed."""

_BYTES: Final = 1024 * 1024
"""Bytes at which a session is read no further, until all items are processed."""


class Pending:
    """Count of the items, and a bound of their bytes.

    The bytes of a single item are not remembered until it is processed. All that came in since nothing was
    on its way is at least as much as what is on its way.

    Attributes:
        count: Items.
    """

    __slots__ = ("_bytes", "count")

    def __init__(self) -> None:
        self.count = self._bytes = 0

    def add_bytes(self, size: int) -> bool:
        """Note that bytes have come in, which can become items; return whether they are too many."""
        if not self.count:
            self._bytes = size
            return False
        self._bytes += size
        return self._bytes >= _BYTES

    def is_low(self) -> bool:
        """Return whether it can be read again."""
        return not self.count or (self.count <= PENDING_ITEMS // 2 and self._bytes < _BYTES)
