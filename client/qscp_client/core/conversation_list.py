"""The server's list of conversations: asked for at each login, and when names may have changed. Sans-I/O."""

from collections.abc import Iterator

from qscp import frames
from qscp_client.core.changes import Moved
from qscp_client.core.conversation import Conversation
from qscp_client.core.conversations import Conversations
from qscp_client.core.effects import Output


class ConversationList:
    """Asks for the list, page by page, and applies its names and counts.

    Args:
        out: Where frames and changes go.
        conversations: All conversations that are known.

    Attributes:
        complete: Whether a whole list was received in this run.
    """

    def __init__(self, out: Output, conversations: Conversations) -> None:
        self.complete = False
        self._out = out
        self._conversations = conversations
        self._ids: set[str] = set()
        self._is_asked = False
        self._is_new = False

    def connected(self, *, is_new: bool) -> None:
        """Ask for the list over a new connection.

        Args:
            is_new: Whether the server has another history: then pairs that are not listed do not exist.
        """
        self._ids.clear()
        self._is_new |= is_new
        self._ask()

    def lost(self) -> None:
        """Stop waiting for an answer: the connection is lost."""
        self._is_asked = False

    def refresh(self) -> None:
        """Ask for the list again if it is outdated; an answer that is on its way comes first."""
        if self._conversations.outdated and not self._is_asked:
            self._ask()

    def add(self, conversation_id: str) -> None:
        """Count a room as listed: you are a member of it by now."""
        self._ids.add(conversation_id)

    def expect(self, conversation_id: str) -> None:
        """Ask for the list again if it has come past a conversation, whose counts are needed."""
        self._conversations.outdated |= conversation_id in self._ids

    def apply(self, page: frames.Conversations) -> Iterator[tuple[Conversation, frames.ConversationInfo]]:
        """Apply a page, and ask for the next one; yield its conversations."""
        for info in page.conversations:
            self._ids.add(info.conversation)
            conversation, is_renamed = self._conversations.learn(info)
            if is_renamed and conversation.cursors.applied is not None:
                self._out.changes.append(Moved(info.conversation, info.name, conversation.cursors.applied))
            yield conversation, info
        if page.cursor is not None:
            self._out.frames.append(frames.ConversationsRequest(page.cursor))

    def end(self) -> list[str]:
        """Return the ids of conversations that you no longer have, after the last page."""
        gone = [
            each.id
            for each in self._conversations
            if each.id not in self._ids and (each.is_room or (self._is_new and each.is_empty))
        ]
        self.complete = True
        self._is_asked = self._is_new = False
        return gone

    def _ask(self) -> None:
        self._is_asked = True
        self._conversations.outdated = False
        self._out.frames.append(frames.ConversationsRequest())
