"""Bound of what a server can make the client keep. Sans-I/O."""

from typing import Final, Protocol

from qscp import frames
from qscp_client.core.conversations import Conversations
from qscp_client.core.events import Ending

TOO_MUCH: Final = "too_much"
"""Code of the end that this client makes itself."""

NAMES_LIMIT: Final = 200_000
"""Users, rooms and conversations that are kept, weighed: some 200 MiB, far more than any server has."""

_CONVERSATION: Final = 4
"""Weight of a conversation: it takes 3.5 KiB, and a user or room a quarter of that at most."""

TEXTS_LIMIT: Final = 32 * 1024 * 1024
"""Characters of messages that are kept in all conversations together."""

REPLAYED_LIMIT: Final = 100_000
"""Replayed messages that are remembered; amendments of further ones get a line of their own."""

_CHECKED_EVERY: Final = TEXTS_LIMIT // 8
"""Characters that come between two counts of all."""

_COUNTED_AFTER: Final = 8
"""Names are counted again when an eighth of their last number has come. So the counts cost the same for each
name, however many are kept."""


class Keeper(Protocol):
    """Something that keeps names which the server sends."""

    @property
    def kept(self) -> int:
        """Number of names."""


class Memory:
    """Counts what is kept; drops texts, and ends the connection for too many names.

    Args:
        conversations: All conversations.
        keepers: What else keeps names.
    """

    def __init__(self, conversations: Conversations, *keepers: Keeper) -> None:
        self._conversations = conversations
        self._keepers = keepers
        self._came = 0
        self._named = self._counted = 0

    def check(self, frame: frames.ServerFrame) -> Ending | None:
        """Count after a frame was applied; return why the connection has to end, if it has."""
        self._came += _size(frame)
        if self._came >= _CHECKED_EVERY:
            self._came = 0
            self._drop_texts()
        self._named += _names(frame)
        if self._named * _COUNTED_AFTER <= self._counted:
            return None
        self._named = 0
        self._counted = _CONVERSATION * len(self._conversations) + sum(each.kept for each in self._keepers)
        return Ending(TOO_MUCH, "") if self._counted > NAMES_LIMIT else None

    def _drop_texts(self) -> None:
        """Drop the texts of the conversations that have most, until half of the limit is left."""
        sizes = sorted(((each.text_size, each) for each in self._conversations), key=lambda each: -each[0])
        total = sum(size for size, _ in sizes)
        if total <= TEXTS_LIMIT:
            return
        for size, conversation in sizes:
            if total <= TEXTS_LIMIT // 2:
                return
            conversation.drop_texts()
            total -= size


def _names(frame: frames.ServerFrame) -> int:
    """Return about how many names a frame has."""
    values = (getattr(frame, name) for name in frame.__struct_fields__)
    return 1 + sum(len(value) for value in values if isinstance(value, list | tuple))


def _size(frame: frames.ServerFrame) -> int:
    """Return the characters of the texts of a frame that can be kept."""
    match frame:
        case frames.Chat(body=body) | frames.Edit(body=body):
            return len(body)
        case frames.History(messages=messages):
            return sum(len(each.body or "") for each in messages)
        case _:
            return 0
