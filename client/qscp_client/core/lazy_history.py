"""Conversations that begin at their end on this device, and are loaded when they are opened. Sans-I/O.

With the feature `lazy_history` a device gets a gap in place of the messages of a conversation that it has no
position in. The server's list counts what is unread of them. The list and the gap come in any order, and
until both are here, an open chat shows nothing new: it would report what was skipped as read.
"""

from qscp import frames
from qscp.features import LAZY_HISTORY
from qscp_client.core.changes import Moved, Reported
from qscp_client.core.conversation import Conversation
from qscp_client.core.conversation_list import ConversationList
from qscp_client.core.effects import Output
from qscp_client.core.receipts import Receipts
from qscp_client.core.timeline import Timeline


class LazyHistory:
    """Begins conversations at their end.

    Args:
        out: Where changes go.
        conversation_list: The server's list, which has the counts.
        receipts: Reports what was received.
        timeline: Knows which chat is open.
        enabled: Whether chats are opened, and can load messages.
    """

    def __init__(
        self,
        out: Output,
        conversation_list: ConversationList,
        receipts: Receipts,
        timeline: Timeline,
        *,
        enabled: bool,
    ) -> None:
        self._out = out
        self._list = conversation_list
        self._receipts = receipts
        self._timeline = timeline
        self._enabled = enabled
        self._on = False
        self._unloaded: Conversation | None = None

    def connected(self, ack: frames.AuthAck) -> None:
        """Start on a new connection."""
        self._on = self._enabled and LAZY_HISTORY in ack.features

    def skip(self, conversation: Conversation, gap: frames.Gap) -> bool:
        """Begin a conversation at its end if a gap is for that; return whether it is."""
        cursors = conversation.cursors
        if not self._on or gap.reason != "older" or cursors.applied is not None:
            return False
        is_counted = conversation.unread.last >= gap.last
        conversation.skipped = cursors.applied = gap.last
        self._out.changes.append(Moved(conversation.id, conversation.name, gap.last))
        if is_counted:
            self.count(conversation)
        else:
            self._list.expect(conversation.id)
        return True

    def count(self, conversation: Conversation) -> bool:
        """Note that the server has counted what was skipped; return whether it has to be loaded now."""
        skipped, conversation.skipped = conversation.skipped, 0
        if conversation.unread.messages:
            self._receipts.schedule(conversation)
        elif conversation.cursors.skip_received(skipped):
            # Another device has shown it, and has reported it.
            self._out.changes.append(Reported(conversation.id, skipped))
        if conversation.has_all or not self._timeline.is_open(conversation):
            return False
        if not conversation.backlog.requested:
            conversation.backlog.requested = True
            self._unloaded = conversation
        return True

    def take_unloaded(self) -> Conversation | None:
        """Return the open conversation whose messages have to be requested by now, once."""
        unloaded, self._unloaded = self._unloaded, None
        return unloaded
