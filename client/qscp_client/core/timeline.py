"""Show items of conversations: in the chat that is open, or as a preview of another one. Sans-I/O."""

import collections
import dataclasses
from collections.abc import Container, Sequence
from typing import Final

from qscp_client.core import events
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Output
from qscp_client.core.events import Details, LineState, Place, Reference
from qscp_client.core.folding import Folding
from qscp_client.core.messages import Amendment, Item, Message, Missing
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.outbox import EntryKind
from qscp_client.core.receipts import Receipts

_RECENT: Final = 10
"""Own messages that are kept to be listed with their delivery state."""


class Timeline:
    """Turns timeline items into events, and notes in their conversations what was displayed.

    Args:
        me: Your name.
        out: Where events go.
        chat: The open chat.
        receipts: Where what was displayed is reported.
        blocks: Names of the users whom you block.

    Attributes:
        recent: Your last messages of this run, with the ids of their conversations.
    """

    def __init__(
        self, me: str, out: Output, chat: CurrentChat, receipts: Receipts, blocks: Container[str] = ()
    ) -> None:
        self.recent: collections.deque[tuple[str, Message]] = collections.deque(maxlen=_RECENT)
        self._me = me
        self._out = out
        self._chat = chat
        self._receipts = receipts
        self._blocks = blocks
        self._folding = Folding(out, chat, blocks)
        self._previewed: set[str] = set()

    def repeat_first(self, name: str) -> None:
        """Let the next preview of a chat be its first one again: the chat was opened."""
        self._previewed.discard(name)

    def is_open(self, conversation: Conversation) -> bool:
        """Whether the chat of a conversation is open."""
        if self._chat.conversation:
            return conversation.id == self._chat.conversation
        return conversation.name == self._chat.partner

    def display_applied(self, conversation: Conversation) -> None:
        """Note that everything that was applied was displayed when it came."""
        if conversation.display_applied():
            self._receipts.schedule(conversation)

    def display(self, conversation: Conversation, item: Item, *, numbered: bool = False) -> None:
        """Show an item in the chat.

        Args:
            conversation: Whose chat.
            item: The item.
            numbered: Whether a message has its number also where messages have none.
        """
        if not isinstance(item, Missing) and item.repeated:
            self.confirm(conversation, item)
            return
        if isinstance(item, Missing) and not self.is_open(conversation):
            # The notice stands among other conversations; what is missing was not read.
            conversation.cursors.show(item.last)
        elif conversation.display(item):
            self._receipts.schedule(conversation)
        match item:
            case Message() | Amendment() if self._folding.hides(conversation, item):
                self._fold(conversation, item, Place.THIS_CHAT)
            case Missing():
                self._show(_missing_notice(conversation, item, is_open=self.is_open(conversation)))
            case Amendment() if item.has_line:
                self._show_amendment(conversation, item, Place.THIS_CHAT)
            case Message() if item.sender == self._me:
                self._show_own(conversation, item, Place.THIS_CHAT, numbered=numbered)
            case Message():
                self._show_other(conversation, item, Place.THIS_CHAT, is_first=False, numbered=numbered)
            case _:
                pass

    def confirm(self, conversation: Conversation, item: Message | Amendment) -> None:
        """Show that an own item was stored over an earlier connection; it is not the last that was shown."""
        place = Place.THIS_CHAT if self.is_open(conversation) else self._elsewhere
        if isinstance(item, Amendment):
            self._show_amendment(conversation, item, place)
        else:
            self._show_own(conversation, item, place)

    def confirm_buffered(self, conversation: Conversation) -> None:
        """Show as stored what was typed here and waits, as its backlog goes: its pending line has to end."""
        for item in conversation.backlog.take_typed():
            self.confirm(conversation, item)

    def preview(self, conversation: Conversation, item: Message | Amendment) -> None:
        """Show an item of a conversation whose chat is not open."""
        place = self._elsewhere
        if self._folding.hides(conversation, item):
            self._fold(conversation, item, place)
            return
        if isinstance(item, Amendment):
            if item.has_line:
                self._show_amendment(conversation, item, place)
            return
        if item.sender == self._me:
            self._show_own(conversation, item, place)
            return
        is_first = conversation.name not in self._previewed
        self._previewed.add(conversation.name)
        self._show_other(conversation, item, place, is_first=is_first)

    def deliver(self, conversation: Conversation, seq: int) -> None:
        """Show which of your messages were delivered to a device of the other member just now."""
        self._show_delivered(conversation, conversation.delivery.deliver(seq), LineState.DELIVERED)

    def mark_read(self, conversation: Conversation, seq: int) -> None:
        """Show which of your messages the other member has read just now."""
        self._show_delivered(conversation, conversation.delivery.mark_read(seq), LineState.READ)

    def show_page(
        self,
        conversation: Conversation,
        items: Sequence[Message | Missing],
        begin: Notice,
        end: Notice,
        *,
        numbered: bool,
    ) -> None:
        """Show a page of history between two notices."""
        self._show(begin)
        for item in items:
            self.display(conversation, item, numbered=numbered)
        self._show(end)

    def show_folded(self, conversation: Conversation, count: int) -> int:
        """Show the newest messages of blocked users that are known here; return how many."""
        folded = [each for each in conversation.known if self._folding.hides(conversation, each)]
        messages = sorted(folded, key=lambda each: each.seq)[-count:]
        if messages:
            self._show(Notice(NoticeCode.FOLDED_BEGIN, name=conversation.name))
            for each in messages:
                shown = dataclasses.replace(each, live=False)
                self._show_other(conversation, shown, Place.THIS_CHAT, is_first=False, numbered=True)
            self._show(Notice(NoticeCode.FOLDED_END))
        return len(messages)

    def show_begun_fold(self) -> None:
        """Show the line for messages that were folded since the last event."""
        self._folding.show_begin()

    def _fold(self, conversation: Conversation, item: Message | Amendment, place: Place) -> None:
        if isinstance(item, Message):
            self._folding.add(conversation, item, place)

    @property
    def _elsewhere(self) -> Place:
        return Place.OTHER_CHAT if self._chat.partner is not None else Place.PICKER

    def _reference(self, conversation: Conversation, seq: int) -> Reference:
        """Return the reference to a message, with as much of it as is known here."""
        known = conversation.known.get(seq)
        if known is None:
            return Reference(seq, "", "", 0, numbered=conversation.is_room)
        is_folded = conversation.is_room and known.sender in self._blocks
        text = "" if known.erased or is_folded else known.body
        return Reference(seq, known.sender, text, known.time_ms, numbered=conversation.is_room)

    def _details(
        self, conversation: Conversation, message: Message, place: Place, *, numbered: bool
    ) -> Details:
        numbered = numbered or (conversation.is_room and place is Place.THIS_CHAT)
        return Details(
            room=conversation.name if conversation.is_room else "",
            number=message.seq if numbered else 0,
            reply=self._reference(conversation, message.reply_to) if message.reply_to else None,
            mentions_me=self._me in message.mentions,
            edited=message.edited,
            reactions=message.reactions,
        )

    def _show_other(
        self,
        conversation: Conversation,
        message: Message,
        place: Place,
        *,
        is_first: bool,
        numbered: bool = False,
    ) -> None:
        self._show(
            events.MessageReceived(
                message.sender,
                message.body,
                message.time_ms,
                place,
                is_first,
                dated=not message.live,
                erased=message.erased,
                details=self._details(conversation, message, place, numbered=numbered),
            )
        )

    def _show_own(
        self, conversation: Conversation, message: Message, place: Place, *, numbered: bool = False
    ) -> None:
        state = conversation.delivery.state_of(message.seq)
        if message.here:
            self.recent.append((conversation.id, message))
        if message.here or (message.live and place is Place.THIS_CHAT):
            conversation.delivery.track(message)
        self._show(
            events.OwnMessage(
                message.id,
                conversation.name,
                message.body,
                message.time_ms,
                state,
                message.here,
                place,
                dated=not message.live,
                erased=message.erased,
                details=self._details(conversation, message, place, numbered=numbered),
                seq=message.seq,
            )
        )

    def _show_amendment(self, conversation: Conversation, amendment: Amendment, place: Place) -> None:
        reference = self._reference(conversation, amendment.target)
        if amendment.kind is EntryKind.EDIT:
            before = "" if amendment.folded else amendment.before  # it is known with the edit applied
            reference = dataclasses.replace(reference, text=before)
        self._show(
            events.Amended(
                amendment.id,
                conversation.name,
                amendment.sender,
                amendment.kind,
                reference,
                amendment.body,
                amendment.time_ms,
                place,
                amendment.here,
                dated=not amendment.live,
                erased=amendment.erased,
            )
        )

    def _show_delivered(
        self, conversation: Conversation, messages: Sequence[Message], state: LineState
    ) -> None:
        if messages:
            lines = tuple((each.id, each.body) for each in messages)
            self._show(events.Delivered(conversation.name, lines, state, self.is_open(conversation)))

    def _show(self, event: events.Event) -> None:
        self._folding.end_run()
        self._out.show(event)


def _missing_notice(conversation: Conversation, missing: Missing, *, is_open: bool) -> Notice:
    count = missing.last - missing.seq + 1
    if missing.reason == "pruned":
        code = NoticeCode.MISSING_HIDDEN if conversation.is_room else NoticeCode.MISSING_REMOVED
        return Notice(code, name=conversation.name, count=count)
    if missing.reason == "damaged":
        return Notice(NoticeCode.MISSING_DAMAGED, name="" if is_open else conversation.name, count=count)
    return Notice(NoticeCode.MISSING_UNREAD, name="" if is_open else conversation.name, count=count)
