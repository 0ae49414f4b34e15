"""Folding: in rooms, one line instead of the messages of blocked users that follow each other. Sans-I/O."""

import dataclasses
from collections.abc import Container

from qscp_client.core import events
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Output
from qscp_client.core.events import Place
from qscp_client.core.messages import Amendment, Message
from qscp_client.core.outbox import EntryKind


@dataclasses.dataclass(slots=True)
class _Run:
    """Messages that follow each other."""

    room: str
    place: Place
    partner: str | None
    """The chat that was open when they came."""
    senders: dict[str, None] = dataclasses.field(default_factory=dict)
    count: int = 0
    """Messages that no line has counted yet."""
    is_shown: bool = False
    """Whether a line was shown: later messages are counted in one more line, at the end of the run."""


class Folding:
    """Decides what is folded, and shows a line at the beginning of each run, and one at its end.

    Args:
        out: Where events go.
        chat: The open chat.
        blocks: Names of the users whom you block.
    """

    def __init__(self, out: Output, chat: CurrentChat, blocks: Container[str]) -> None:
        self._out = out
        self._chat = chat
        self._blocks = blocks
        self._run: _Run | None = None

    def hides(self, conversation: Conversation, item: Message | Amendment) -> bool:
        """Whether an item is not shown: it is in a room, and by a blocked user.

        What they do as moderators is shown: that they deleted the message of another user.
        """
        if not conversation.is_room or item.sender not in self._blocks:
            return False
        if isinstance(item, Amendment) and item.kind is EntryKind.REDACT:
            target = conversation.known.get(item.target)
            return target is not None and target.sender in self._blocks
        return True

    def add(self, conversation: Conversation, message: Message, place: Place) -> None:
        """Count a message that is not shown."""
        run = self._run
        if run is None or (run.room, run.partner) != (conversation.name, self._chat.partner):
            self.end_run()
            run = self._run = _Run(conversation.name, place, self._chat.partner)
        run.senders[message.sender] = None
        run.count += 1

    def show_begin(self) -> None:
        """Show the line for a run that has begun, when all that came together is counted."""
        if self._run is not None and not self._run.is_shown:
            self._show(self._run)

    def end_run(self) -> None:
        """Show a line for what no line has counted, before something else is shown."""
        run, self._run = self._run, None
        if run is not None and run.count and run.partner == self._chat.partner:
            self._show(run)

    def _show(self, run: _Run) -> None:
        self._out.show(
            events.MessagesFolded(run.room, tuple(run.senders), run.count, run.place, more=run.is_shown)
        )
        run.count, run.is_shown, run.senders = 0, True, {}
