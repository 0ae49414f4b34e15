"""The format of stored messages: a *chunk* is what one commit added to one conversation.

A chunk is a msgpack array of (time_ms, sender, id, body), for few messages with a `MessageMeta` as the fifth.
The seqs are dense and end at the row's `last_seq`, so they are not stored. A body of nil: erased.
"""

from typing import Final

import msgspec

from qscpd.domain.model import NO_META, MessageMeta, MessageRow
from qscpd.errors import StoreDamagedError

Entry = tuple[int, int, str, str | None] | tuple[int, int, str, str | None, MessageMeta]
"""time_ms, sender, message id, body; and, unless it is `NO_META`, the meta."""

pack: Final = msgspec.msgpack.Encoder().encode


class _Entry(msgspec.Struct, array_like=True, gc=False):
    """An entry, decoded."""

    time_ms: int
    sender: int
    id: str
    body: str | None
    meta: MessageMeta = NO_META


_decoder: Final = msgspec.msgpack.Decoder(list[_Entry])


def rows(last_seq: int, blob: bytes) -> list[MessageRow]:
    """Return the messages of a chunk with their seqs.

    Raises:
        StoreDamagedError: It is not a chunk.
    """
    entries = _unpack(blob)
    first = last_seq - len(entries) + 1
    return [
        MessageRow(seq, each.time_ms, each.sender, each.id, each.body, each.meta)
        for seq, each in enumerate(entries, first)
    ]


def count(blob: bytes) -> int:
    """Return the number of messages of a chunk.

    Raises:
        StoreDamagedError: It is not a chunk.
    """
    return len(_unpack(blob))


def _unpack(blob: bytes) -> list[_Entry]:
    try:
        return _decoder.decode(blob)
    except msgspec.MsgspecError as error:
        raise StoreDamagedError(
            f"messages in the store are damaged ({error}); restore it from a backup"
        ) from error


def entry(row: MessageRow) -> Entry:
    """Return a message as an entry of a chunk, to be packed."""
    if row.meta == NO_META:
        return row.time_ms, row.sender, row.id, row.body
    return row.time_ms, row.sender, row.id, row.body, row.meta
