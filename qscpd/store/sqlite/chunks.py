"""The format of stored messages: a *chunk* is what one commit added to one conversation, or a part of that.

A chunk is a msgpack array of (time_ms, sender, id, body), for few messages with a `MessageMeta` as the fifth.
A change of one message rewrites its chunk, so a chunk has a bound; those of earlier versions can be larger.
The seqs are dense and end at the row's `last_seq`, so they are not stored. A body of nil: erased.
An empty blob stands for messages that are missing, so that the seqs of the next chunk are certain.
"""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from qscp.limits import BODY_LIMIT
from qscpd.domain.model import NO_META, MessageMeta, MessageRow
from qscpd.errors import StoreDamagedError

Entry = tuple[int, int, str, str | None] | tuple[int, int, str, str | None, MessageMeta]
"""time_ms, sender, message id, body; and, unless it is `NO_META`, the meta."""

BOUND: Final = 64 * 1024
"""Bytes of a chunk that is written, at most, unless it is a single message: half a millisecond's work to read
it, change a message and write it back."""

MISSING: Final = b""
"""Blob of a chunk whose messages are missing."""

_ID_BYTES: Final = 16

_HEX: Final = b"0123456789abcdefABCDEF"

SMALL: Final = 0x90
"""First byte of an array of up to 15 entries, less their number."""

_LATEST_MS: Final = 2**53 - 1
"""The largest time that the protocol can express."""

_Time = Annotated[int, msgspec.Meta(ge=0, le=_LATEST_MS)]

_Account = Annotated[int, msgspec.Meta(ge=1)]

_Id = Annotated[str, msgspec.Meta(min_length=32, max_length=32)]

_Body = Annotated[str, msgspec.Meta(max_length=BODY_LIMIT)]

HEAD: Final = 16
"""Bytes at the beginning of a chunk that have the time of its first message."""

pack: Final = msgspec.msgpack.Encoder().encode


class Writers(NamedTuple):
    """Accounts that can have written in a conversation."""

    lowest: int
    highest: int
    pair: bool
    """Whether only these two can; otherwise those between them can, too."""


class Decoded(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """An entry, decoded. The decoder checks what costs nothing; `entries` checks the rest."""

    time_ms: _Time
    sender: _Account
    id: _Id
    body: _Body | None
    meta: MessageMeta = NO_META


_decoder: Final = msgspec.msgpack.Decoder(list[Decoded])


def rows(last_seq: int, blob: bytes, writers: Writers) -> list[MessageRow]:
    """Return the messages of a chunk with their seqs, at least one.

    Args and errors are those of `entries`.
    """
    found = entries(last_seq, blob, writers)
    if len(found) == 1:
        (only,) = found
        return [MessageRow(last_seq, only.time_ms, only.sender, only.id, only.body, only.meta)]
    return [
        MessageRow(seq, each.time_ms, each.sender, each.id, each.body, each.meta)
        for seq, each in enumerate(found, last_seq - len(found) + 1)
    ]


def entries(last_seq: int, blob: bytes, writers: Writers) -> list[Decoded]:
    """Return the entries of a chunk, at least one, for a caller that needs few of their fields.

    Args:
        last_seq: Of the chunk; the last entry has it.
        blob: The chunk.
        writers: Of its conversation.

    Raises:
        StoreDamagedError: It is not a chunk, or has what no message can have; the text says what.
    """
    try:
        found = _decoder.decode(blob)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise StoreDamagedError("is missing" if blob == MISSING else str(error)) from error
    if len(found) == 1 and _is_plain(last_seq, found[0], len(blob), writers):
        return found
    if problem := _problem(found, last_seq - len(found) + 1, len(blob), writers):
        raise StoreDamagedError(problem)
    return found


def _is_plain(seq: int, entry: Decoded, size: int, writers: Writers) -> bool:
    """Return whether the quickest checks are enough for the one message of a chunk, as most have."""
    sender, message_id = entry.sender, entry.id
    if entry.meta is not NO_META or size > BODY_LIMIT or seq < 1:
        return False
    if sender not in (writers.lowest, writers.highest) and (writers.pair or sender > writers.highest):
        return False
    try:
        return len(bytes.fromhex(message_id)) == _ID_BYTES  # it skips blanks
    except ValueError:
        return False


def _problem(found: list[Decoded], first_seq: int, size: int, writers: Writers) -> str:
    """Return what no message can have; empty if they are fine."""
    if not found or first_seq < 1:
        return "the number of messages is wrong"
    ids = "".join([each.id for each in found])
    if not ids.isascii() or ids.encode().translate(None, _HEX):
        return "a message id is not hexadecimal"
    if not _can_be({each.sender for each in found}, writers):
        return "a sender is unknown"
    if size > BODY_LIMIT and any(each.body and len(each.body.encode()) > BODY_LIMIT for each in found):
        return "a text is too long"
    metas = [(seq, each.meta) for seq, each in enumerate(found, first_seq) if each.meta is not NO_META]
    if not all(_is_possible(seq, meta, writers) for seq, meta in metas):
        return "what belongs to a message is wrong"
    return ""


def _can_be(accounts: set[int], writers: Writers) -> bool:
    if writers.pair:
        return accounts <= {writers.lowest, writers.highest}
    return not accounts or (min(accounts) >= writers.lowest and max(accounts) <= writers.highest)


def _is_possible(seq: int, meta: MessageMeta, writers: Writers) -> bool:
    """Return whether a message can have this meta."""
    users = {user for each in meta.reactions.values() for user in each}
    return (
        (0 < meta.target < seq if meta.kind else not meta.target)
        and 0 <= meta.reply_to < seq
        and meta.count >= 0
        and 0 <= meta.edited_ms < 2**53
        and _can_be(users, writers)
        and all(each > 0 for each in meta.mentions)
    )


def claimed(blob: bytes | None) -> int:
    """Return how many messages the first bytes of a chunk promise; 0 if they are damaged."""
    # https://github.com/msgpack/msgpack/blob/master/spec.md#array-format-family
    if not isinstance(blob, bytes) or not blob:
        return 0
    if SMALL <= blob[0] < SMALL + 16:
        return blob[0] - SMALL
    size = {0xDC: 2, 0xDD: 4}.get(blob[0], 0)
    return int.from_bytes(blob[1 : 1 + size], "big")


def first_time(head: bytes | None) -> int | None:
    """Return the time of the first message of a chunk; None if it is damaged.

    Args:
        head: The first `HEAD` bytes of the chunk, or all.
    """
    # https://github.com/msgpack/msgpack/blob/master/spec.md: an array, in it an array, in it a number.
    if not isinstance(head, bytes) or not head:
        return None
    at = 1 + {0xDC: 2, 0xDD: 4}.get(head[0], 0) + 1
    kind, time_ms = head[at : at + 1], 0
    if kind and kind[0] <= 0x7F:  # noqa: PLR2004 - a small number is its own byte
        time_ms = kind[0]
    elif kind and (size := {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(kind[0])) is not None:
        time_ms = int.from_bytes(head[at + 1 : at + 1 + size], "big")
    else:
        return None
    return time_ms if time_ms <= _LATEST_MS else None


def count(blob: bytes) -> int:
    """Return the number of messages of a chunk, of which nothing else is known; 0 if it is damaged."""
    try:
        return len(_decoder.decode(blob))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
        return 0


def divide(entries: Sequence[Entry]) -> list[tuple[int, bytes]]:
    """Return entries as chunks within the bound, in order: of each its number of entries and its blob."""
    blob = pack(entries)
    if len(blob) <= BOUND or len(entries) == 1:
        return [(len(entries), blob)]
    # In halves: a chunk that has grown over the bound is not divided again soon.
    middle = len(entries) // 2
    return [*divide(entries[:middle]), *divide(entries[middle:])]


def entry(row: MessageRow) -> Entry:
    """Return a message as an entry of a chunk, to be packed."""
    if row.meta == NO_META:
        return row.time_ms, row.sender, row.id, row.body
    return row.time_ms, row.sender, row.id, row.body, row.meta
