"""The state of one conversation, composed of parts with one subject each. Sans-I/O."""

import dataclasses
from collections.abc import Container

from qscp import frames
from qscp.rooms import is_room
from qscp_client.core.backlog import Backlog
from qscp_client.core.changes import SavedPosition
from qscp_client.core.cursors import Cursors
from qscp_client.core.delivery_state import DeliveryTracker
from qscp_client.core.message_cache import MessageCache
from qscp_client.core.messages import Amendment, Item, Message, Missing, gaps_from, items_from, message_from
from qscp_client.core.outbox import EntryKind
from qscp_client.core.unread import UnreadCounter


class Conversation:
    """One conversation, with one other member or in a room.

    Args:
        me: Your name.
        conversation_id: Its id.
        name: The other member's name, or the room's; empty while it is not known.
        saved: The position from an earlier run, if there is one.
        blocks: Names of the users whom you block.

    Attributes:
        id: Its id.
        name: The other member's name, or the room's; empty while it is not known. No two conversations
            have the same.
        deleted: Whether the other member's account is deleted: nothing can be sent.
        cursors: How far it was applied, displayed and reported.
        unread: The unread messages, and the read position.
        backlog: What was applied and waits to be shown.
        delivery: The delivery state of your own messages.
        known: The messages that commands can target.
        skipped: The seq that it began at, without its messages, until the server has counted them; else 0.
        dropped: The seq up to which messages were dropped, as amendments of them might be missing.
    """

    def __init__(
        self,
        me: str,
        conversation_id: str,
        name: str = "",
        saved: SavedPosition | None = None,
        blocks: Container[str] = (),
    ) -> None:
        self.id = conversation_id
        self.name = name
        self._me = me
        self._blocks = blocks
        self._reset(saved)

    def _reset(self, saved: SavedPosition | None = None) -> None:
        self.deleted = False
        self.cursors = Cursors(applied=saved.seq, reported=saved.reported) if saved else Cursors()
        self.unread = UnreadCounter(self._me, saved.seq if saved else 0, self._blocks)
        self.backlog = Backlog()
        self.delivery = DeliveryTracker()
        self.known = MessageCache()
        self.skipped = 0
        self.dropped = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it is known but its name."""
        return self.cursors.applied is None and not self.unread.last

    @property
    def is_room(self) -> bool:
        """Whether it is a room's."""
        return is_room(self.name)

    @property
    def is_loading(self) -> bool:
        """Whether messages are to come that the chat shows before those that are applied now."""
        return self.backlog.requested or bool(self.skipped)

    # --- what the server sends

    def learn(self, info: frames.ConversationInfo) -> None:
        """Apply what the server says in its list of conversations."""
        self.deleted = info.deleted
        self.prune(info.first_seq)
        counted = (info.unread, info.mentions)
        self.unread.learn(info.read, info.last_seq, counted, self._buffered())

    def apply_message(self, message: Message) -> None:
        """Count a message that was applied, and let commands target it."""
        self.unread.apply(message)
        self._keep(message)

    def apply_amendment(self, amendment: Amendment) -> Amendment:
        """Apply an amendment to its message wherever that is kept.

        Returns:
            The amendment, with the text before it. It is folded if its message is still to be shown, was
            shown with it, or can't be seen; but not if it was typed here, as its pending line has to end.
        """
        message = self.known.get(amendment.target)
        is_included = message is not None and amendment.seq <= message.as_of
        self.unread.apply(amendment)
        self.known.amend(amendment, self._me)
        if amendment.kind is EntryKind.REDACT:
            self.delivery.forget(amendment.target)
        is_buffered = self.backlog.amend(amendment, self._me)
        is_invisible = amendment.target < self.cursors.first or (
            amendment.kind is EntryKind.EDIT and amendment.erased and message is None
        )
        before = message.body if message and amendment.kind is EntryKind.EDIT else ""
        folded = amendment.folded or is_included or is_buffered or is_invisible
        return dataclasses.replace(amendment, before=before, folded=folded and not amendment.here)

    def apply_page(self, page: frames.History) -> bool:
        """Keep the messages of a page of history; return False if it is too old to be shown."""
        if self.known.is_too_old(page.last_seq):
            return False
        self.prune(page.first_seq)
        for each in page.messages:
            self._keep(message_from(each, as_of=page.last_seq))
        return True

    def _keep(self, message: Message) -> None:
        """Let commands target a message, unless it was pruned while it was on its way."""
        if message.seq >= self.cursors.first:
            self.known.add(message, self._me)

    def buffer(self, item: Message | Amendment) -> None:
        """Let an item wait to be shown; one that was pruned while it was on its way is missing."""
        self.backlog.add(item)
        if item.seq < self.cursors.first:
            self.backlog.drop_through(self.cursors.first - 1, "pruned")

    def items_of(self, page: frames.History) -> list[Message | Missing]:
        """Return the messages of a page that was applied, in their current form, and the gaps, by seq.

        Dropped messages are left out.
        """
        copies = [copy for each in page.messages if (copy := self.known.get(each.seq)) is not None]
        shown = [dataclasses.replace(each, live=False, here=False) for each in copies]
        return sorted([*shown, *gaps_from(page)], key=lambda item: item.seq)

    def prune(self, first: int) -> None:
        """Drop what is before the first seq that the server still has for you."""
        self.cursors.prune(first)
        self._drop_through(self.cursors.first - 1, "pruned")

    def miss(self, first: int, last: int, reason: str) -> None:
        """Drop messages of which an amendment can be among what this device does not get.

        Args:
            first: The first seq that does not come.
            last: The last one.
            reason: As in `Missing`.
        """
        self.dropped = max(self.dropped, last)
        self.known.drop_outdated(last)
        self.delivery.drop_through(last)
        self.backlog.drop_through(first - 1, reason)
        self.backlog.drop_through(last, reason)

    def _drop_through(self, seq: int, reason: str) -> None:
        """Drop messages up to a seq.

        Args:
            seq: The last seq to drop.
            reason: As in `Missing`, for those that wait to be shown.
        """
        self.dropped = max(self.dropped, seq)
        self.known.drop_through(seq)
        self.delivery.drop_through(seq)
        self.backlog.drop_through(seq, reason)

    @property
    def text_size(self) -> int:
        """Characters of the texts that are kept, some of them more than once."""
        return self.known.text_size + self.backlog.text_size + self.delivery.text_size

    def drop_texts(self) -> None:
        """Drop all messages: there are too many. The server still has them."""
        last = max(self.cursors.applied or 0, max((each.seq for each in self.known), default=0))
        self._drop_through(last, "older")

    def connected(self) -> None:
        """Drop all messages if there is no position: amendments from before the replay are not sent."""
        if self.cursors.applied is None:
            self._drop_through(max((each.seq for each in self.known), default=0), "older")

    def read_elsewhere(self, seq: int) -> None:
        """Apply that you have read up to a seq on another device."""
        is_complete = self.backlog.is_complete_after(seq)
        self.unread.read_elsewhere(seq, self._buffered(), is_complete=is_complete)

    def rewind(self, seq: int) -> None:
        """Go back to a seq: the server has nothing after it."""
        self.cursors.rewind(seq)
        self.unread.rewind(seq)
        self.backlog.rewind(seq)
        self.delivery.rewind(seq)
        self.known.rewind(seq)

    def restart(self) -> None:
        """Forget everything but the name: the server has another history."""
        self._reset()

    # --- what is shown

    def display(self, item: Item) -> bool:
        """Note that an item was displayed in the chat; return whether `displayed` advanced."""
        self.cursors.show(item.last)
        match item:
            case Message():
                if self.cursors.shown >= self.unread.last:
                    self.unread.display_all()
                self.cursors.extend_back(item.seq)
                self._keep(item)
                if item.sender == self._me:
                    return False
                return self._display(item.seq, 1, int(self.unread.is_mention(item)))
            case Amendment():
                return self._display(item.seq)
            case Missing(reason="damaged"):
                return self._display(item.last)  # the server does not count them
            case _:
                return self._display(item.last, item.last - item.seq + 1)

    def display_applied(self) -> bool:
        """Note that everything applied was displayed; return whether `displayed` advanced."""
        return self._display(self.cursors.applied or 0, self.unread.messages, self.unread.mentions)

    @property
    def start(self) -> int:
        """The seq after which the chat has to show what it has not shown yet."""
        first = self.backlog.first
        missed = first - 1 if first is not None else self.unread.last
        start = max(self.cursors.shown, min(self.unread.read, missed) if self.unread.messages else missed)
        # What was in a room before you joined it was not missed.
        return max(start, self.cursors.first - 1) if self.is_room else start

    @property
    def has_all(self) -> bool:
        """Whether the backlog has everything that the chat has to show."""
        return self.backlog.reaches(self.start) if len(self.backlog) else not self.unread.messages

    def extend_back(self, page: frames.History) -> None:
        """Note how far back a page of older messages goes."""
        self.prune(page.first_seq)
        # Right before its first message there can be nothing but amendments: the cursor is lower then.
        if oldest := page.cursor or min((item.seq for item in items_from(page)), default=0):
            self.cursors.extend_back(oldest)

    def prepend(self, page: frames.History) -> None:
        """Put the page of history that was requested before the backlog."""
        self.backlog.prepend(page, self.items_of(page), self.start)

    def mark_missing(self) -> None:
        """Put a missing range before the backlog: what was requested does not come."""
        buffered = sum(each.seq > self.unread.read for each in self._buffered())
        if self.unread.messages > buffered:
            self.backlog.mark_missing(self.start)

    def _display(self, seq: int, messages: int = 0, mentions: int = 0) -> bool:
        self.unread.display(seq, messages, mentions)
        return self.cursors.display(seq)

    def _buffered(self) -> list[Message]:
        return self.backlog.messages_of_others(self._me)
