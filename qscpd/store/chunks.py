"""How messages lie in the file: a *chunk* is what one commit added to one conversation.

A chunk is a msgpack array of (time_ms, sender, id, body); its seqs are dense and end at the
row's `last_seq`, so they are not stored. A body of nil is an erased message.
"""

from typing import Final

import msgspec

from qscpd.errors import StoreDamagedError
from qscpd.store.base import MessageRow

__all__ = ["Entry", "pack", "rows", "unpack"]

Entry = tuple[int, int, str, str | None]
"""time_ms, sender, message id, body."""

pack: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(list[Entry])


def unpack(blob: bytes) -> list[Entry]:
    """Read a chunk.

    Raises:
        StoreDamagedError: It is none.
    """
    try:
        return _decoder.decode(blob)
    except msgspec.MsgspecError as error:
        raise StoreDamagedError(
            f"messages in the store are damaged ({error}); restore it from a backup"
        ) from error


def rows(last_seq: int, blob: bytes) -> list[MessageRow]:
    """Read a chunk as messages with their seqs.

    Raises:
        StoreDamagedError: It is none.
    """
    entries = unpack(blob)
    first = last_seq - len(entries) + 1
    return [MessageRow(first + index, *entry) for index, entry in enumerate(entries)]
