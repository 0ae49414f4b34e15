"""Base classes of frames, and the types of their fields."""

from typing import Annotated, ClassVar, Literal

import msgspec

from qscp.limits import PAGE_LIMIT, QUERY_LIMIT

Status = Literal["online", "away", "offline"]
"""Presence of a user, made of the status of all of their sessions: `offline` hides the others."""

Origin = Literal["live", "replay"]
"""`live`: stored just now; `replay`: sent again because this device missed it."""

GapReason = Literal["pruned", "older", "ahead", "damaged"]
"""Reason of a gap.

- `pruned`: the messages were removed, or are from before the user joined the room.
- `older`: they are left to `history`.
- `ahead`: they do not exist (a restored store), or the user has left the room.
- `damaged`: the server can't read them any more.

A client accepts any other text too, and treats it like `older`."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""Integer that every JSON library can represent (RFC 8259, section 6)."""

Seconds = Annotated[float, msgspec.Meta(ge=0)]

PageSize = Annotated[int, msgspec.Meta(ge=1, le=PAGE_LIMIT)]
"""Largest number of items in a page; the line limit can make it shorter."""

ShortText = Annotated[str, msgspec.Meta(max_length=QUERY_LIMIT)]
"""Short text from a client: a cursor or a search."""


class Part(msgspec.Struct, omit_defaults=True, gc=False):
    """A frame, or an object inside one."""

    _secret: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that `repr` leaves out."""

    def __repr__(self) -> str:
        """Return all fields, with `...` for the secret ones."""
        values = (
            f"{name}={'...' if name in self._secret else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({', '.join(values)})"


class Frame(Part, tag_field="type"):
    """One line on the wire."""

    _shown: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that `str` shows and logs can have."""

    @property
    def type(self) -> str:
        """Value of `type` on the wire."""
        return str(self.__struct_config__.tag)

    def __str__(self) -> str:
        """Return the type and the fields for the log, each cut to 40 characters."""
        parts = [f"{name}={str(getattr(self, name))[:40]!r}" for name in self._shown]
        return " ".join([self.type, *parts])


class ClientFrame(Frame, forbid_unknown_fields=True):
    """A frame that a client sends."""


class ServerFrame(Frame):
    """A frame that a server sends."""
