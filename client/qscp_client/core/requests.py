"""Questions to the server, whose answers come in the order of the questions."""

import collections
import dataclasses
from typing import Final

import msgspec

from qscp import frames
from qscp_client.core import events
from qscp_client.core.conversations import Conversation
from qscp_client.core.effects import Output
from qscp_client.core.sync import Sync

__all__ = ["Questions"]

_UNREAD: Final = 200
_FOUND: Final = 20


@dataclasses.dataclass(slots=True)
class _Question:
    conversation: Conversation
    before: int | None
    wanted: int
    is_unread: bool = False
    is_again: bool = False
    page: frames.History | None = None
    """What came so far."""

    def add(self, page: frames.History) -> None:
        """Put a page before those that came so far."""
        newer = self.page.messages if self.page is not None else []
        self.page = msgspec.structs.replace(page, messages=[*page.messages, *newer])
        self.wanted -= len(page.messages)

    def next_before(self) -> int | None:
        """Where to go on; None if there is enough, or no more.

        A page may have fewer messages than asked for, or none, and yet not be the last.
        """
        if self.page is None or self.page.cursor is None or self.wanted <= 0:
            return None
        if self.is_unread and any(each.seq <= self.conversation.start for each in self.page.messages):
            return None
        goes_on = self.before is None or self.page.cursor < self.before
        return self.page.cursor if goes_on and self.page.cursor > 0 else None


class Questions:
    """What was asked and not answered yet.

    Args:
        out: Where frames and events go.
        sync: Who shows pages of history.
    """

    def __init__(self, out: Output, sync: Sync) -> None:
        self._out = out
        self._sync = sync
        self._history: collections.deque[_Question] = collections.deque()
        self._searches: collections.deque[str] = collections.deque()
        self._held: collections.deque[tuple[Conversation, int]] = collections.deque()

    def __len__(self) -> int:
        """How many answers are waited for."""
        return len(self._history) + len(self._searches) + len(self._held)

    def are_open(self) -> bool:
        """Whether answers are waited for."""
        return len(self) > 0

    def ask_unread(self, conversation: Conversation) -> None:
        """Ask for what a chat that was opened has to show."""
        limit = min(max(conversation.unread.last - conversation.start, 1), _UNREAD)
        self._ask(_Question(conversation, None, limit, is_unread=True))

    def ask_older(self, conversation: Conversation, count: int) -> None:
        """Ask for messages before those that were shown in the chat."""
        if any(each.conversation is conversation for each in self._history):
            # Where it begins is only known when that answer has been shown.
            self._held.append((conversation, count))
            return
        self._ask(_Question(conversation, conversation.cursors.oldest or None, count))

    def ask_last(self, conversation: Conversation, count: int) -> None:
        """Ask for the newest messages of the chat, which may have been shown before."""
        self._ask(_Question(conversation, None, count, is_again=True))

    def search(self, query: str) -> None:
        """Look for words in all conversations."""
        self._searches.append(query)
        self._out.frames.append(frames.SearchRequest(query, limit=_FOUND))

    def _ask(self, question: _Question) -> None:
        self._history.append(question)
        self._out.frames.append(
            frames.HistoryRequest(question.conversation.id, before=question.before, limit=question.wanted)
        )

    def lost(self) -> None:
        """The connection is lost; nothing is answered any more."""
        if self._held or self._searches or any(not each.is_unread for each in self._history):
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
                question.add(frame)
                if (before := question.next_before()) is not None:
                    question.before = before
                    self._ask(question)
                elif question.page is not None:
                    self._show(question, question.page)
            case frames.SearchResults() if self._searches:
                self._show_found(self._searches.popleft(), frame)
            case frames.Error(ref="history") if self._history:
                question = self._history.popleft()
                if question.is_unread:
                    self._sync.show_unread(question.conversation, question.page)
            case frames.Error(ref="search") if self._searches:
                self._searches.popleft()
            case _:
                pass

    def _show(self, question: _Question, page: frames.History) -> None:
        if question.is_unread:
            self._sync.show_unread(question.conversation, page)
        elif question.is_again:
            self._sync.show_again(question.conversation, page)
        else:
            self._sync.show_older(question.conversation, page)

    def _show_found(self, query: str, frame: frames.SearchResults) -> None:
        found = [events.Found(each.name, each.sender, each.body, each.time) for each in frame.matches]
        self._out.events.append(
            events.SearchDone(query, tuple(reversed(found)), frame.cursor is not None, frame.complete)
        )
