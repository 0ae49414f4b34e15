"""What frames are made of: the types of their fields, and the classes that they derive from."""

from typing import Annotated, ClassVar, Literal

import msgspec

from qscp.limits import PAGE_LIMIT, QUERY_LIMIT

Status = Literal["online", "away", "offline"]
"""Presence of a person: the union over all of their sessions."""

Origin = Literal["live", "replay"]
"""Whether a message was stored just now, or is told again because this device missed it."""

GapReason = Literal["pruned", "older", "ahead"]
"""Why messages are not told: gone for good, or from before one joined a room; left to `history`; or not
there (a restored store, or a room that one is not in any more).

A client takes any other text too, and treats it like `older`."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""An integer that every JSON library can hold (RFC 8259, section 6)."""

Seconds = Annotated[float, msgspec.Meta(ge=0)]

PageSize = Annotated[int, msgspec.Meta(ge=1, le=PAGE_LIMIT)]
"""How many things a page may have at most; the line limit may make it shorter."""

ShortText = Annotated[str, msgspec.Meta(max_length=QUERY_LIMIT)]
"""A short text that a client sends: a cursor, a search."""


class Part(msgspec.Struct, omit_defaults=True, gc=False):
    """A frame, or an object inside one."""

    _secret: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that `repr` leaves out."""

    def __repr__(self) -> str:
        """All fields, with `...` for those that nobody but the receiver may read."""
        values = (
            f"{name}={'...' if name in self._secret else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({', '.join(values)})"


class Frame(Part, tag_field="type"):
    """One line on the wire."""

    _shown: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that may be logged."""

    @property
    def type(self) -> str:
        """The frame's `type` on the wire."""
        return str(self.__struct_config__.tag)

    def __str__(self) -> str:
        """Type and the fields that may be logged, each cut to 40 characters."""
        parts = [f"{name}={str(getattr(self, name))[:40]!r}" for name in self._shown]
        return " ".join([self.type, *parts])


class ClientFrame(Frame, forbid_unknown_fields=True):
    """A frame that a client sends."""


class ServerFrame(Frame):
    """A frame that a server sends."""
