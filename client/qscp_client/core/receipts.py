"""Receipts to the server: `received` and `read`, at most once per conversation in 200 ms. Sans-I/O."""

from typing import Final

from qscp import frames
from qscp_client.core.changes import Reported
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Clock, Output

_PAUSE_S: Final = 0.2


class Receipts:
    """Collects conversations whose cursors moved, and reports them together.

    It alone moves `reported` and `read_reported`. Changes are saved before frames are sent, so that nothing
    is reported that a crash could take back.

    Args:
        out: Where frames and changes go.
        clock: The time.

    Attributes:
        due: When the next receipts are to be sent, by the clock; None if there are none.
    """

    def __init__(self, out: Output, clock: Clock) -> None:
        self.due: float | None = None
        self._out = out
        self._clock = clock
        self._moved: dict[str, Conversation] = {}
        self._sent: dict[str, Conversation] = {}
        self._hidden = False
        self._withheld: dict[str, Conversation] = {}

    def schedule(self, conversation: Conversation) -> None:
        """Report a conversation soon: it was applied further, or read."""
        self._moved[conversation.id] = conversation
        if self.due is None:
            self.due = self._clock.now() + _PAUSE_S

    def hide(self, *, hidden: bool) -> None:
        """Withhold `received`, which others see as `delivered`, or report what was withheld."""
        self._hidden = hidden
        if not hidden:
            withheld, self._withheld = self._withheld, {}
            for conversation in withheld.values():
                self.schedule(conversation)

    def confirm_read(self, conversation: Conversation, seq: int) -> None:
        """Apply the server's read position; report ours again if it is further.

        Args:
            conversation: The conversation.
            seq: What the server has.
        """
        conversation.cursors.confirm_read(seq)
        if conversation.cursors.has_read_to_report:
            self.schedule(conversation)

    def forget(self, conversation: str) -> None:
        """Report nothing of a conversation any more."""
        self._moved.pop(conversation, None)
        self._sent.pop(conversation, None)
        self._withheld.pop(conversation, None)

    def connected(self) -> None:
        """Schedule what the last connection may have lost."""
        if self._moved:
            self.due = self._clock.now() + _PAUSE_S

    def lost(self) -> None:
        """Note that the connection is lost, and maybe what was sent last with it."""
        for conversation in self._sent.values():
            conversation.cursors.repeat_received()
            self._moved[conversation.id] = conversation
        self._sent.clear()
        self.due = None

    def send(self, *, at_once: bool = False) -> None:
        """Send the receipts that are due.

        Args:
            at_once: Send also what is not due yet, as before `bye`.
        """
        if self.due is None or (self.due > self._clock.now() and not at_once):
            return
        self.due = None
        moved, self._moved = self._moved, {}
        for conversation in moved.values():
            self._send(conversation)
        self._sent |= moved

    def _send(self, conversation: Conversation) -> None:
        # In a room nobody sees what others have received.
        if self._hidden and not conversation.is_room:
            self._withheld[conversation.id] = conversation
        elif not conversation.is_room and (seq := conversation.cursors.take_received()) is not None:
            self._out.frames.append(frames.Received(conversation.id, seq))
            self._out.changes.append(Reported(conversation.id, seq))
        if (seq := conversation.cursors.take_read()) is not None:
            self._out.frames.append(frames.ClientRead(conversation.id, seq))
