"""Pending lines: your own last messages, drawn with the prompt while their state can change.

What is printed on a terminal can't be changed any more. So an own message is drawn with the prompt while it
is pending, and as long as nothing else comes after it. Then it is printed in its place in the conversation,
with the state that it has by then.
"""

import dataclasses
from collections.abc import Callable
from typing import Final

from qscp_client.core import events
from qscp_client.core.events import Event, OwnMessage, Place
from qscp_client.core.outbox import EntryKind
from qscp_client.text import Line
from qscp_client.ui.render import describe, pending_line

_PLACED: Final = 3
_PENDING: Final = 4
"""Rows that the pending lines can take, of each kind."""


class PendingLines:
    """The lines that are drawn with the prompt.

    Args:
        me: Your name.
        fits: Whether a line fits into one row; others are printed as soon as they are stored.
    """

    def __init__(self, me: str, fits: Callable[[Line], bool]) -> None:
        self._me = me
        self._fits = fits
        self._pending: dict[str, tuple[str, Line]] = {}
        self._placed: list[OwnMessage] = []

    def apply(self, event: Event) -> list[Event]:
        """Apply an event; return the events to print now."""
        match event:
            case events.MessageSent(message_id, to):
                self._pending[message_id] = (to, pending_line(event, self._me))
                return []
            case OwnMessage():
                return self._place(event)
            case events.Delivered():
                return self._deliver(event)
            case events.MessageFailed(id=message_id) | events.Amended(id=message_id):
                self._pending.pop(message_id, None)
                if isinstance(event, events.Amended) and event.kind is EntryKind.REDACT:
                    self._erase(event)
                return [*self.flush(), event]
            case events.MessagesDiscarded(ids):
                for message_id in ids:
                    self._pending.pop(message_id, None)
                return []
            case _:
                return [*self.flush(), event]

    def flush(self) -> list[Event]:
        """Remove and return the messages that are stored: something else comes after them."""
        placed, self._placed = self._placed, []
        return list(placed)

    def lines(self, partner: str) -> tuple[list[Line], int]:
        """Return the lines to draw with the prompt, and how many more are pending.

        Args:
            partner: The open chat.
        """
        placed = [line for event in self._placed for line in describe(event, self._me)]
        pending = [line for to, line in self._pending.values() if to == partner]
        return [*placed, *pending[:_PENDING]], len(pending[_PENDING:])

    def _place(self, event: OwnMessage) -> list[Event]:
        self._pending.pop(event.id, None)
        [line] = describe(event, self._me)
        is_old = event.dated and not event.here
        if is_old or event.place is not Place.THIS_CHAT or not self._fits(line):
            return [*self.flush(), event]
        self._placed.append(event)
        return [self._placed.pop(0)] if len(self._placed) > _PLACED else []

    def _erase(self, event: events.Amended) -> None:
        """Remove the text of a message that was redacted before it was printed."""
        self._placed = [
            dataclasses.replace(each, body="", erased=True)
            if (each.to, each.seq) == (event.to, event.reference.number)
            else each
            for each in self._placed
        ]

    def _deliver(self, event: events.Delivered) -> list[Event]:
        reached = {message_id for message_id, _ in event.messages}
        shown = {each.id for each in self._placed}
        self._placed = [
            dataclasses.replace(each, state=event.state) if each.id in reached else each
            for each in self._placed
        ]
        printed = tuple(message for message in event.messages if message[0] not in shown)
        if not printed or not event.is_partner:
            return []
        return [*self.flush(), dataclasses.replace(event, messages=printed)]
