"""What amendments have made of a message, as it is stored beside its chunk."""

from typing import Final, NamedTuple

import msgspec

from qscp.limits import BODY_LIMIT
from qscpd.domain.model import MessageMeta, MessageRow
from qscpd.errors import StoreDamagedError
from qscpd.store.sqlite.chunks import (
    SEQ_BITS,
    UNDECODABLE,
    Body,
    Writers,
    is_possible,
    pack,
    seal,
    unseal,
)


class Change(NamedTuple):
    """What amendments have made of a message: its meta, and its text if that is another one."""

    meta: MessageMeta
    body: str | None = None
    has_body: bool = False
    """Whether the text changed; a body of None is then a redacted text."""

    def apply(self, message: MessageRow) -> MessageRow:
        """Return the message as it is now."""
        if self.has_body:
            return message._replace(body=self.body, meta=self.meta)
        return message._replace(meta=self.meta)


class _StoredChange(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A change, decoded."""

    meta: MessageMeta
    body: Body | msgspec.UnsetType | None = msgspec.UNSET


_change_decoder: Final = msgspec.msgpack.Decoder(_StoredChange)


def pack_change(place: int, change: Change) -> bytes:
    """Return a change as it is stored."""
    return seal(place, pack([change.meta, change.body] if change.has_body else [change.meta]))


def unpack_change(place: int, blob: bytes, writers: Writers) -> Change:
    """Return a stored change.

    Raises:
        StoreDamagedError: It is none, or one that no message can have.
    """
    try:
        found = _change_decoder.decode(unseal(place, blob))
    except UNDECODABLE as error:
        raise StoreDamagedError(str(error)) from error
    seq = place & ((1 << SEQ_BITS) - 1)
    if found.meta.kind or not is_possible(seq, found.meta, writers):
        raise StoreDamagedError("what belongs to a message is wrong")
    if found.body is msgspec.UNSET:
        return Change(found.meta)
    if found.body is not None and len(found.body.encode()) > BODY_LIMIT:
        raise StoreDamagedError("a text is too long")
    return Change(found.meta, found.body, has_body=True)
