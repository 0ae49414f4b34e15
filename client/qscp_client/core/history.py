"""History: older messages, the last ones, and searches, as asked of the server."""

from collections.abc import Container
from typing import Final

from qscp import frames
from qscp.rooms import is_room
from qscp_client.core import events
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Output
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.requests import PendingHistory, PendingRequest, PendingRequests, PendingSearch
from qscp_client.core.sync import Sync

_UNREAD: Final = 200
"""Messages that a chat that was opened asks for, at most."""

_FOUND: Final = 20
"""Matches that a search shows."""


class History:
    """Asks for messages, and shows those that come.

    Args:
        out: Where events go.
        requests: What was asked and is not answered.
        sync: Shows pages of history.
        blocks: Names of the users whom you block.
    """

    def __init__(
        self, out: Output, requests: PendingRequests, sync: Sync, blocks: Container[str] = ()
    ) -> None:
        self._out = out
        self._requests = requests
        self._sync = sync
        self._blocks = blocks

    def ask_unread(self, conversation: Conversation) -> None:
        """Ask for what a chat that was opened has to show."""
        limit = min(max(conversation.unread.last - conversation.start, 1), _UNREAD)
        self._requests.ask(PendingHistory(conversation, None, limit, is_unread=True))

    def load(self) -> None:
        """Ask for what the open chat has to show, if the server has counted that by now."""
        if (conversation := self._sync.lazy.take_unloaded()) is not None:
            self.ask_unread(conversation)

    def ask_older(self, conversation: Conversation, count: int) -> None:
        """Ask for messages before those that were shown in the chat."""
        if self._is_asked(conversation):
            # Where it begins is known when that answer has been shown.
            self._requests.delay(PendingHistory(conversation, None, count))
        else:
            self._requests.ask(PendingHistory(conversation, conversation.cursors.oldest or None, count))

    def ask_last(self, conversation: Conversation, count: int) -> None:
        """Ask for the newest messages of the chat."""
        self._requests.ask(PendingHistory(conversation, None, count, is_again=True))

    def search(self, query: str) -> None:
        """Search all conversations."""
        self._requests.ask(PendingSearch(query, _FOUND))

    def disconnected(self, lost: list[PendingRequest]) -> None:
        """Show that answers will not come. Unread messages are asked for again when their chat is opened.

        Args:
            lost: The requests without an answer.
        """
        if any(isinstance(each, PendingSearch) or _was_typed(each) for each in lost):
            self._out.show(Notice(NoticeCode.ANSWER_LOST))

    def receive(self, frame: frames.ServerFrame) -> None:
        """Apply an answer, and send the requests that waited for it."""
        self._answer(frame)
        for pending in self._requests.history:
            if not pending.is_sent and not self._is_asked(pending.conversation):
                pending.before = pending.conversation.cursors.oldest or None
                self._requests.send_delayed(pending)

    def _is_asked(self, conversation: Conversation) -> bool:
        return any(each.is_sent and each.conversation is conversation for each in self._requests.history)

    def _answer(self, frame: frames.ServerFrame) -> None:
        match frame:
            case frames.History():
                self._add_page(frame)
            case frames.SearchResults():
                self._add_found(frame)
            case frames.Error(ref="history"):
                pending = self._requests.take_history()
                if pending is not None and pending.is_unread:
                    self._sync.show_unread(pending.conversation, pending.page)
            case frames.Error(ref="conversations"):
                self._do_without_counts()
            case frames.Error(ref="search"):
                self._requests.take_search()
            case _:
                pass

    def _do_without_counts(self) -> None:
        """Show what came after the beginning of conversations that the server could not count."""
        for conversation in self._sync.conversations:
            if conversation.skipped:
                conversation.skipped = 0
                self._sync.show_unread(conversation, None)

    def _add_page(self, page: frames.History) -> None:
        if (pending := self._requests.take_history()) is None:
            return
        if not pending.conversation.apply_page(page):
            self._requests.ask(pending)  # a page that was read later has what this one lacks
            return
        pending.add(page)
        if (before := pending.next_before()) is not None:
            pending.before = before
            self._requests.ask(pending)
        elif pending.page is not None:
            self._show(pending, pending.page)

    def _show(self, pending: PendingHistory, page: frames.History) -> None:
        if pending.is_unread:
            self._sync.show_unread(pending.conversation, page)
        elif pending.is_again:
            self._show_again(pending.conversation, page)
        else:
            self._show_older(pending.conversation, page)

    def _show_older(self, conversation: Conversation, page: frames.History) -> None:
        """Show a page of older messages."""
        conversation.extend_back(page)
        if not page.messages and not page.gaps:
            self._out.show(Notice(NoticeCode.NO_OLDER_MESSAGES, name=conversation.name))
            return
        if page.cursor is not None:
            end = NoticeCode.OLDER_END_MORE
        elif page.first_seq <= 1:
            end = NoticeCode.OLDER_END_FIRST
        elif conversation.is_room:
            end = NoticeCode.OLDER_END_HIDDEN
        else:
            end = NoticeCode.OLDER_END_REMOVED
        self._sync.timeline.show_page(
            conversation,
            conversation.items_of(page),
            Notice(NoticeCode.OLDER_BEGIN, name=conversation.name),
            Notice(end),
            numbered=False,
        )

    def _show_again(self, conversation: Conversation, page: frames.History) -> None:
        """Show a page of the newest messages once more, with their numbers."""
        if not page.messages and not page.gaps:
            self._out.show(Notice(NoticeCode.NO_MESSAGES, name=conversation.name))
            return
        self._sync.timeline.show_page(
            conversation,
            conversation.items_of(page),
            Notice(NoticeCode.LAST_BEGIN, name=conversation.name),
            Notice(NoticeCode.LAST_END),
            numbered=True,
        )

    def _add_found(self, page: frames.SearchResults) -> None:
        if (search := self._requests.take_search()) is None:
            return
        if search.add(page):
            self._requests.ask(search)
            return
        found = [
            events.Found(
                each.name,
                each.sender,
                each.body,
                each.time,
                folded=is_room(each.name) and each.sender in self._blocks,
            )
            for each in search.found
        ]
        self._out.show(
            events.SearchDone(search.query, tuple(reversed(found)), bool(search.cursor), search.complete)
        )


def _was_typed(pending: PendingRequest) -> bool:
    return isinstance(pending, PendingHistory) and not pending.is_unread
