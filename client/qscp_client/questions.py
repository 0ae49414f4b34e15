"""Questions to the server, whose answers come in the order of the questions."""

import collections
import dataclasses
from typing import Final

from qscp import frames
from qscp_client import events
from qscp_client.conversations import Conversation
from qscp_client.output import Output
from qscp_client.reading import Reading

__all__ = ["Questions"]

_UNREAD: Final = 200
_FOUND: Final = 20


@dataclasses.dataclass(frozen=True, slots=True)
class _Question:
    conversation: Conversation | None = None
    is_unread: bool = False
    is_again: bool = False
    query: str = ""


class Questions:
    """What was asked and not answered yet.

    Args:
        out: Where frames and events go.
        reading: Who shows pages of history.
    """

    def __init__(self, out: Output, reading: Reading) -> None:
        self._out = out
        self._reading = reading
        self._history: collections.deque[_Question] = collections.deque()
        self._searches: collections.deque[_Question] = collections.deque()
        self._held: collections.deque[tuple[Conversation, int]] = collections.deque()

    def __len__(self) -> int:
        """How many answers are waited for."""
        return len(self._history) + len(self._searches) + len(self._held)

    def are_open(self) -> bool:
        """Whether answers are waited for."""
        return len(self) > 0

    def ask_unread(self, conversation: Conversation) -> None:
        """Ask for what a chat that was opened has to show."""
        conversation.asked = True
        limit = min(max(conversation.last_seq - conversation.start, 1), _UNREAD)
        self._history.append(_Question(conversation, is_unread=True))
        self._out.frames.append(frames.HistoryRequest(conversation.id, limit=limit))

    def ask_older(self, conversation: Conversation, count: int) -> None:
        """Ask for messages before those that were shown in the chat."""
        if any(each.conversation is conversation for each in self._history):
            # Where it begins is only known when that answer has been shown.
            self._held.append((conversation, count))
            return
        self._history.append(_Question(conversation))
        before = conversation.oldest or None
        self._out.frames.append(frames.HistoryRequest(conversation.id, before=before, limit=count))

    def ask_last(self, conversation: Conversation, count: int) -> None:
        """Ask for the newest messages of the chat, which may have been shown before."""
        self._history.append(_Question(conversation, is_again=True))
        self._out.frames.append(frames.HistoryRequest(conversation.id, limit=count))

    def search(self, query: str) -> None:
        """Look for words in all conversations."""
        self._searches.append(_Question(query=query))
        self._out.frames.append(frames.SearchRequest(query, limit=_FOUND))

    def lost(self) -> None:
        """The connection is lost; nothing is answered any more."""
        if self._held or any(not each.is_unread for each in (*self._history, *self._searches)):
            self._out.events.append(
                events.Notice("The connection was lost before the answer came; ask again.")
            )
        self._history.clear()
        self._searches.clear()
        self._held.clear()

    def receive(self, frame: frames.ServerFrame) -> None:
        """Take in an answer, and ask what had to wait for it."""
        self._answer(frame)
        while self._held:
            conversation, count = self._held[0]
            if any(each.conversation is conversation for each in self._history):
                break
            self._held.popleft()
            self.ask_older(conversation, count)

    def _answer(self, frame: frames.ServerFrame) -> None:
        match frame:
            case frames.History() if self._history:
                question = self._history.popleft()
                if question.conversation is None:
                    return
                if question.is_unread:
                    self._reading.show_unread(question.conversation, frame)
                elif question.is_again:
                    self._reading.show_again(question.conversation, frame)
                else:
                    self._reading.show_older(question.conversation, frame)
            case frames.SearchResults() if self._searches:
                self._show_found(self._searches.popleft().query, frame)
            case frames.Error(ref="history") if self._history:
                question = self._history.popleft()
                if question.is_unread and question.conversation is not None:
                    self._reading.show_unread(question.conversation, None)
            case frames.Error(ref="search") if self._searches:
                self._searches.popleft()
            case _:
                pass

    def _show_found(self, query: str, frame: frames.SearchResults) -> None:
        found = [events.Found(each.name, each.sender, each.body, each.time) for each in frame.matches]
        self._out.events.append(
            events.SearchDone(query, tuple(reversed(found)), frame.cursor is not None, frame.complete)
        )
