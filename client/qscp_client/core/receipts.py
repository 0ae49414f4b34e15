"""`received` and `read`: what is told to the server, at most once per conversation in 200 ms."""

from typing import Final

from qscp import frames
from qscp_client.core.changes import Reported
from qscp_client.core.conversations import Conversation
from qscp_client.core.effects import Clock, Output

__all__ = ["Receipts"]

_PAUSE_S: Final = 0.2


class Receipts:
    """Collects what moved, and sends it together.

    Args:
        out: Where frames and changes go.
        clock: The time.

    Attributes:
        due: When something is to be sent; None if nothing is.
    """

    def __init__(self, out: Output, clock: Clock) -> None:
        self.due: float | None = None
        self._out = out
        self._clock = clock
        self._moved: dict[str, Conversation] = {}
        self._told: dict[str, Conversation] = {}

    def note(self, conversation: Conversation) -> None:
        """Something of a conversation moved: it was applied further, or read."""
        self._moved[conversation.id] = conversation
        if self.due is None:
            self.due = self._clock.now() + _PAUSE_S

    def forget(self, conversation: str) -> None:
        """Nothing is told of a conversation any more."""
        self._moved.pop(conversation, None)
        self._told.pop(conversation, None)

    def lost(self) -> None:
        """The connection is lost, and with it maybe what was told last."""
        for conversation in self._told.values():
            conversation.reported = 0
            self._moved[conversation.id] = conversation
        self._told.clear()
        self.due = None

    def connected(self) -> None:
        """Tell again what may have been lost."""
        if self._moved:
            self.due = self._clock.now() + _PAUSE_S

    def send(self, *, at_once: bool = False) -> None:
        """Send what is due.

        Args:
            at_once: Send also what is not due yet: nothing may be sent later.
        """
        if self.due is None or (self.due > self._clock.now() and not at_once):
            return
        self.due = None
        moved, self._moved = self._moved, {}
        for conversation in moved.values():
            self._send(conversation)
        self._told |= moved

    def _send(self, conversation: Conversation) -> None:
        position = conversation.position or 0
        # Of rooms nobody is told who has what.
        if position > conversation.reported and not conversation.is_room:
            conversation.reported = position
            self._out.frames.append(frames.Received(conversation.id, position))
            self._out.changes.append(Reported(conversation.id, position))
        if conversation.seen > conversation.read_told:
            conversation.read_told = conversation.seen
            self._out.frames.append(frames.ClientRead(conversation.id, conversation.seen))
