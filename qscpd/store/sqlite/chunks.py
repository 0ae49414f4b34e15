"""The format of stored messages: a *chunk* has messages of one conversation whose seqs follow each other.

Packed messages are a msgpack array of (time_ms, sender, id, body), for few of them with a `MessageMeta` as
the fifth. A body of nil: erased. Packed messages of one conversation are joined without decoding them.

A chunk is packed messages and a checksum. It is stored under its place, which has its conversation and its
first seq, and the checksum covers the place. So a chunk is what was written there, or it is damaged.
"""

import zlib
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from qscp.limits import BODY_LIMIT
from qscpd.domain.model import NO_META, MessageMeta, MessageRow
from qscpd.errors import StoreDamagedError

Entry = tuple[int, int, str, str | None] | tuple[int, int, str, str | None, MessageMeta]
"""time_ms, sender, message id, body; and, unless it is `NO_META`, the meta."""

BOUND: Final = 64 * 1024
"""Bytes of packed messages in a chunk at most, unless it is a single message: half a millisecond's work to
read it, change a message and write it back."""

GROWING: Final = 8 * 1024
"""Bytes of a chunk to which messages are still added: rewriting larger ones costs more than it saves."""

SEQ_BITS: Final = 32
"""A message's place is its conversation << SEQ_BITS | its seq, and that of a chunk the place of its first."""

LAST_SEQ: Final = 1 << 30
"""No message has a higher seq: that would be a thousand messages a second for twelve days."""

CHECKSUM: Final = 4
"""Bytes of a checksum, behind what it covers."""

_ID_BYTES: Final = 16

_HEX: Final = b"0123456789abcdefABCDEF"

_LATEST_MS: Final = 2**53 - 1
"""The largest time that the protocol can express."""

_Time = Annotated[int, msgspec.Meta(ge=0, le=_LATEST_MS)]

_Account = Annotated[int, msgspec.Meta(ge=1)]

_Id = Annotated[str, msgspec.Meta(min_length=32, max_length=32)]

Body = Annotated[str, msgspec.Meta(max_length=BODY_LIMIT)]

HEAD: Final = 16
"""Bytes at the beginning of a chunk that have its number of messages and the time of the first."""

_SMALL: Final = 0x90
"""First byte of an array of up to 15 entries, less their number."""

_SMALL_COUNTS: Final = 16
_MIDDLE_COUNTS: Final = 1 << 16

pack: Final = msgspec.msgpack.Encoder().encode


def place_of(conversation: int, seq: int) -> int:
    """Return the place of a message."""
    return conversation << SEQ_BITS | seq


class Writers(NamedTuple):
    """Accounts that can have written in a conversation."""

    lowest: int
    highest: int
    pair: bool
    """Whether only these two can; otherwise those between them can, too."""


class _Entry(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """An entry, decoded. The decoder checks what costs nothing; `_check` checks the rest."""

    time_ms: _Time
    sender: _Account
    id: _Id
    body: Body | None
    meta: MessageMeta = NO_META


_decoder: Final = msgspec.msgpack.Decoder(list[_Entry])
_raw_decoder: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_entry_decoder: Final = msgspec.msgpack.Decoder(_Entry)

UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError)
"""Errors of decoding what is damaged."""


def seal(place: int, packed: bytes) -> bytes:
    """Return packed messages, or other bytes, with a checksum that covers their place."""
    return packed + _checksum(place, packed)


def unseal(place: int, blob: bytes) -> bytes:
    """Return what `seal` got.

    Raises:
        StoreDamagedError: The checksum is another one.
    """
    packed = blob[:-CHECKSUM]
    if blob[-CHECKSUM:] != _checksum(place, packed):
        raise StoreDamagedError("its checksum is wrong")
    return packed


def messages(place: int, blob: bytes) -> bytes:
    """Return the packed messages of a chunk.

    Raises:
        StoreDamagedError: The checksum is another one, or there are none.
    """
    packed = unseal(place, blob)
    if not claimed(packed):
        raise StoreDamagedError("has no messages")
    return packed


def _checksum(place: int, packed: bytes) -> bytes:
    seed = zlib.crc32(place.to_bytes(8, "big"))
    return zlib.crc32(packed, seed).to_bytes(CHECKSUM, "big")


def join(pieces: Sequence[bytes]) -> bytes:
    """Return several packed messages as one, without decoding them."""
    if len(pieces) == 1:
        return pieces[0]
    count = sum(map(claimed, pieces))
    return b"".join([_header(count), *(each[_header_size(each) :] for each in pieces)])


def _header(count: int) -> bytes:
    # https://github.com/msgpack/msgpack/blob/master/spec.md#array-format-family
    if count < _SMALL_COUNTS:
        return bytes((_SMALL + count,))
    if count < _MIDDLE_COUNTS:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def _header_size(packed: bytes) -> int:
    return 1 + {0xDC: 2, 0xDD: 4}.get(packed[0], 0)


def rows(first_seq: int, packed: bytes, writers: Writers) -> list[MessageRow]:
    """Return packed messages with their seqs, at least one.

    Args:
        first_seq: Of the first one.
        packed: The messages.
        writers: Of their conversation.

    Raises:
        StoreDamagedError: They are none, or have what no message can have; the text says what.
    """
    try:
        entries = _decoder.decode(packed)
    except UNDECODABLE as error:
        raise StoreDamagedError(str(error)) from error
    if len(entries) == 1 and (only := _plain(first_seq, entries[0], len(packed), writers)) is not None:
        return [only]
    found = [
        MessageRow(seq, each.time_ms, each.sender, each.id, each.body, each.meta)
        for seq, each in enumerate(entries, first_seq)
    ]
    if problem := _problem(found, len(packed), writers):
        raise StoreDamagedError(problem)
    return found


def split(packed: bytes) -> list[msgspec.Raw]:
    """Return packed messages without decoding them; see `row`.

    Raises:
        StoreDamagedError: They are none.
    """
    try:
        return _raw_decoder.decode(packed)
    except UNDECODABLE as error:
        raise StoreDamagedError(str(error)) from error


def row(seq: int, raw: msgspec.Raw, writers: Writers) -> MessageRow:
    """Return one message of `split`.

    Raises:
        StoreDamagedError: It is none, or has what no message can have.
    """
    try:
        each = _entry_decoder.decode(raw)
    except UNDECODABLE as error:
        raise StoreDamagedError(str(error)) from error
    found = MessageRow(seq, each.time_ms, each.sender, each.id, each.body, each.meta)
    if problem := _problem([found], len(raw), writers):
        raise StoreDamagedError(problem)
    return found


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

    def rows(self, first: int, last: int, writers: Writers) -> list[MessageRow]:
        """Return some of the messages.

        Raises:
            StoreDamagedError: They are none, or have what no message can have.
        """
        if self.packed is None:
            return []
        if last - first + 1 == claimed(self.packed):
            return rows(first, self.packed, writers)
        return rows(first, pack(self.raws(first, last)), writers)

    def raws(self, first: int, last: int) -> Sequence[msgspec.Raw]:
        """Return some of the messages, not decoded.

        Raises:
            StoreDamagedError: They are none.
        """
        self._raws = self._raws or split(self.packed or b"")
        return self._raws[first - self.first_seq : last - self.first_seq + 1]


def texts(place: int, packed: bytes) -> list[tuple[int, str]]:
    """Return the texts of packed messages that are no amendments, each with its place.

    Args:
        place: Of the first message.
        packed: The messages.

    Raises:
        StoreDamagedError: They are none.
    """
    try:
        entries = _decoder.decode(packed)
    except UNDECODABLE as error:
        raise StoreDamagedError(str(error)) from error
    return [
        (number, each.body)
        for number, each in enumerate(entries, place)
        if each.body is not None and (each.meta is NO_META or not each.meta.kind)
    ]


def senders(packed: bytes) -> list[tuple[int, str]]:
    """Return account and id of packed messages.

    Raises:
        StoreDamagedError: They are none.
    """
    try:
        return [(each.sender, each.id) for each in _decoder.decode(packed)]
    except UNDECODABLE as error:
        raise StoreDamagedError(str(error)) from error


def _plain(seq: int, entry: _Entry, size: int, writers: Writers) -> MessageRow | None:
    """Return the one message of a chunk, as most have, if the quickest checks are enough."""
    sender, message_id = entry.sender, entry.id
    if entry.meta is not NO_META or size > BODY_LIMIT or seq < 1:
        return None
    if sender not in (writers.lowest, writers.highest) and (writers.pair or sender > writers.highest):
        return None
    try:
        if len(bytes.fromhex(message_id)) != _ID_BYTES:  # it skips blanks
            return None
    except ValueError:
        return None
    return MessageRow(seq, entry.time_ms, sender, message_id, entry.body)


def _problem(found: list[MessageRow], size: int, writers: Writers) -> str:
    """Return what no message can have; empty if they are fine."""
    if not found or found[0].seq < 1:
        return "the number of messages is wrong"
    ids = "".join([each.id for each in found])
    if not ids.isascii() or ids.encode().translate(None, _HEX):
        return "a message id is not hexadecimal"
    if not _can_be({each.sender for each in found}, writers):
        return "a sender is unknown"
    if size > BODY_LIMIT and any(each.body and len(each.body.encode()) > BODY_LIMIT for each in found):
        return "a text is too long"
    with_meta = [each for each in found if each.meta is not NO_META]
    if not all(is_possible(each.seq, each.meta, writers) for each in with_meta):
        return "what belongs to a message is wrong"
    return ""


def _can_be(accounts: set[int], writers: Writers) -> bool:
    if writers.pair:
        return accounts <= {writers.lowest, writers.highest}
    return not accounts or (min(accounts) >= writers.lowest and max(accounts) <= writers.highest)


def is_possible(seq: int, meta: MessageMeta, writers: Writers) -> bool:
    """Return whether a message can have a meta."""
    users = {user for each in meta.reactions.values() for user in each}
    return (
        (0 < meta.target < seq if meta.kind else not meta.target)
        and 0 <= meta.reply_to < seq
        and meta.count >= 0
        and 0 <= meta.edited_ms < 2**53
        and _can_be(users, writers)
        and all(each > 0 for each in meta.mentions)
    )


def claimed(packed: bytes | None) -> int:
    """Return how many messages the first bytes of packed messages promise; 0 if they are damaged."""
    # https://github.com/msgpack/msgpack/blob/master/spec.md#array-format-family
    if not isinstance(packed, bytes) or not packed:
        return 0
    if _SMALL <= packed[0] < _SMALL + _SMALL_COUNTS:
        return packed[0] - _SMALL
    size = {0xDC: 2, 0xDD: 4}.get(packed[0], 0)
    return int.from_bytes(packed[1 : 1 + size], "big")


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


def count(packed: bytes) -> int:
    """Return the number of packed messages of which nothing else is known; 0 if they are damaged."""
    try:
        return len(_decoder.decode(packed))
    except UNDECODABLE:
        return 0


def divide(entries: Sequence[Entry | msgspec.Raw]) -> list[tuple[int, bytes]]:
    """Return packed entries within the bound, in order: of each part its number of entries, and the bytes."""
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
