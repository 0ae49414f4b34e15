"""Receipts to the server, `received` and `read`, coalesced: few, and never without the last one. Sans-I/O."""

import dataclasses
import math
from typing import Final

from qscp import frames
from qscp_client.core.changes import Reported
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Clock, Output

_PAUSE_S: Final = 0.2
"""How long a receipt waits for others: messages often come together, and several conversations move."""

_RECEIVED_S: Final = 0.5
"""Time between two `received` of a conversation: the sender still sees `delivered` within a second."""

_READ_S: Final = 1.0
"""Time between two `read` of a conversation: nothing but a count of unread messages waits for it."""


@dataclasses.dataclass(slots=True)
class _Sent:
    """A conversation of which something was reported over this connection, and when the next can follow."""

    conversation: Conversation
    next_received: float = -math.inf
    next_read: float = -math.inf


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
        self._sent: dict[str, _Sent] = {}
        self._hidden = False
        self._withheld: dict[str, Conversation] = {}

    def schedule(self, conversation: Conversation) -> None:
        """Report a conversation soon: it was applied further, or read."""
        self._wait(conversation, self._clock.now() + _PAUSE_S)

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
        for sent in self._sent.values():
            sent.conversation.cursors.repeat_received()
            self._moved[sent.conversation.id] = sent.conversation
        self._sent.clear()
        self.due = None

    def send(self, *, at_once: bool = False) -> None:
        """Send the receipts that are due.

        Args:
            at_once: Send also what is not due yet, as before `bye`.
        """
        now = self._clock.now()
        if self.due is None or (self.due > now and not at_once):
            return
        self.due = None
        moved, self._moved = self._moved, {}
        for conversation in moved.values():
            self._send(conversation, math.inf if at_once else now, now)

    def _send(self, conversation: Conversation, until: float, now: float) -> None:
        """Send the receipts of a conversation that were to wait until a time at most, and keep the others."""
        cursors = conversation.cursors
        sent = self._sent.setdefault(conversation.id, _Sent(conversation))
        if self._hidden and not conversation.is_room:
            self._withheld[conversation.id] = conversation
        elif (
            not conversation.is_room
            and sent.next_received <= until
            and (seq := cursors.take_received()) is not None
        ):
            self._out.frames.append(frames.Received(conversation.id, seq))
            self._out.changes.append(Reported(conversation.id, seq))
            sent.next_received = now + _RECEIVED_S
        if sent.next_read <= until and (seq := cursors.take_read()) is not None:
            self._out.frames.append(frames.ClientRead(conversation.id, seq))
            sent.next_read = now + _READ_S
        if self._has_received(conversation) or cursors.has_read_to_report:
            self._wait(conversation, now)

    def _wait(self, conversation: Conversation, earliest: float) -> None:
        """Let a conversation wait for its next receipt."""
        self._moved[conversation.id] = conversation
        due = max(earliest, self._next(conversation))
        self.due = due if self.due is None else min(self.due, due)

    def _next(self, conversation: Conversation) -> float:
        """Return when the first receipt of a conversation can be sent that it has to send."""
        sent = self._sent.get(conversation.id)
        if sent is None:
            return -math.inf
        received = sent.next_received if self._has_received(conversation) else math.inf
        read = sent.next_read if conversation.cursors.has_read_to_report else math.inf
        first = min(received, read)
        return first if first < math.inf else -math.inf

    def _has_received(self, conversation: Conversation) -> bool:
        """Return whether `received` has to be sent; in a room nobody sees what others have received."""
        return conversation.cursors.has_received_to_report and not conversation.is_room and not self._hidden
