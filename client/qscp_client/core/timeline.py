"""What is shown of conversations: in the chat that is open, or as a preview of another one, without I/O."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Final

from qscp_client.core import events
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.conversations import Conversation, Conversations
from qscp_client.core.effects import Output
from qscp_client.core.events import Details, LineState, Place, Pointer
from qscp_client.core.messages import Amendment, Item, Message, Missing
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.outbox import EntryKind
from qscp_client.core.receipts import Receipts

__all__ = ["Timeline"]

_RECENT: Final = 10
"""Own lines that `/status` shows although nothing more can happen to them."""

_SENT: Final = 1000
"""Own lines of a conversation whose delivery is told when it comes."""


class Timeline:
    """Shows messages and what happens to them, and notes what the person has seen.

    Args:
        me: Your name.
        out: Where events go.
        conversations: All of them.
        chat: The open chat.
        receipts: Who tells the server what was seen.

    Attributes:
        recent: Your last own messages, with the ids of their conversations.
    """

    def __init__(
        self, me: str, out: Output, conversations: Conversations, chat: CurrentChat, receipts: Receipts
    ) -> None:
        self.recent: collections.deque[tuple[str, Message]] = collections.deque(maxlen=_RECENT)
        self._me = me
        self._out = out
        self._conversations = conversations
        self._chat = chat
        self._receipts = receipts
        self._hinted: set[str] = set()

    def opened(self, name: str) -> None:
        """A chat is open now: the next message of its own outside it is a first one again."""
        self._hinted.discard(name)

    def saw(self, conversation: Conversation, seq: int, count: int, mentions: int = 0) -> None:
        """Note what the person has seen; see `Conversation.see`."""
        if conversation.see(seq, count, mentions):
            self._receipts.note(conversation)

    def place(self, conversation: Conversation, item: Item, *, numbered: bool = False) -> None:
        """Show something in the chat, where it belongs.

        Args:
            conversation: Of the chat.
            item: What to show.
            numbered: Whether with a number also where lines have none.
        """
        conversation.shown = max(conversation.shown, item.last)
        match item:
            case Missing():
                self._show(
                    _missing_notice(conversation, item, is_open=conversation.name == self._chat.partner)
                )
                if conversation.name == self._chat.partner:
                    self.saw(conversation, item.last, item.last - item.seq + 1)
            case Amendment():
                self.saw(conversation, item.seq, 0)
                if not item.folded:
                    self._show_amendment(conversation, item, Place.THIS_CHAT)
            case Message():
                self._place_message(conversation, item, numbered=numbered)

    def _place_message(self, conversation: Conversation, message: Message, *, numbered: bool) -> None:
        if conversation.shown >= conversation.last_seq:
            conversation.unread = conversation.mentions = 0
        conversation.oldest = min(conversation.oldest or message.seq, message.seq)
        conversation.remember(message)
        if message.sender == self._me:
            self._show_own(conversation, message, Place.THIS_CHAT, numbered=numbered)
        else:
            self.saw(conversation, message.seq, 1, self._me in message.mentions)
            self._show_other(conversation, message, Place.THIS_CHAT, is_first=False, numbered=numbered)

    def preview(self, conversation: Conversation, item: Message | Amendment) -> None:
        """Show something of another conversation than the one that is open."""
        place = Place.OTHER_CHAT if self._chat.partner is not None else Place.PICKER
        if isinstance(item, Amendment):
            if not item.folded:
                self._show_amendment(conversation, item, place)
            return
        if item.sender == self._me:
            self._show_own(conversation, item, place)
            return
        is_first = conversation.name not in self._hinted
        self._hinted.add(conversation.name)
        self._show_other(conversation, item, place, is_first=is_first)

    def state_of(self, conversation: Conversation, seq: int) -> LineState:
        """How far a stored message of yours has come."""
        if seq <= conversation.read_by_other:
            return LineState.READ
        return LineState.DELIVERED if seq <= conversation.delivered else LineState.STORED

    def tell_delivered(self, conversation: Conversation, seq: int, state: LineState) -> None:
        """Tell which of the lines written here, or shown in the chat as they came, have come further."""
        told = [each for each in conversation.sent if each.seq <= seq]
        conversation.sent = [each for each in conversation.sent if each.seq > seq]
        if state is LineState.READ:
            told = [each for each in conversation.arrived if each.seq <= seq] + told
            conversation.arrived = [each for each in conversation.arrived if each.seq > seq]
        else:
            conversation.arrived = [*conversation.arrived, *told][-_SENT:]
        if told:
            lines = tuple((each.id, each.body) for each in told)
            is_partner = conversation.name == self._chat.partner
            self._show(events.Delivered(conversation.name, lines, state, is_partner))

    def show_page(
        self,
        conversation: Conversation,
        messages: Sequence[Message],
        begin: Notice,
        end: Notice,
        *,
        numbered: bool,
    ) -> None:
        """Show messages between two notices."""
        self._show(begin)
        for message in messages:
            self.place(conversation, message, numbered=numbered)
        self._show(end)

    def point(self, conversation: Conversation, seq: int) -> Pointer:
        """What there is to say about a message that is pointed at."""
        known = conversation.known.get(seq)
        if known is None:
            return Pointer(seq, "", "", 0, numbered=conversation.is_room)
        text = "" if known.erased else known.body
        return Pointer(seq, known.sender, text, known.time_ms, numbered=conversation.is_room)

    def _details(
        self, conversation: Conversation, message: Message, place: Place, *, numbered: bool
    ) -> Details:
        numbered = numbered or (conversation.is_room and place is Place.THIS_CHAT)
        return Details(
            room=conversation.name if conversation.is_room else "",
            number=message.seq if numbered else 0,
            reply=self.point(conversation, message.reply_to) if message.reply_to else None,
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
        state = self.state_of(conversation, message.seq)
        if message.here:
            self.recent.append((conversation.id, message))
        if message.here or (message.live and place is Place.THIS_CHAT):
            lines = conversation.sent if state is LineState.STORED else conversation.arrived
            lines.append(message)
            del lines[:-_SENT]
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
            )
        )

    def _show_amendment(self, conversation: Conversation, amendment: Amendment, place: Place) -> None:
        pointer = self.point(conversation, amendment.target)
        if amendment.kind is EntryKind.EDIT:
            pointer = dataclasses.replace(pointer, text=amendment.before)
        self._show(
            events.Amended(
                amendment.id,
                conversation.name,
                amendment.sender,
                amendment.kind,
                pointer,
                amendment.body,
                amendment.time_ms,
                place,
                amendment.here,
                dated=not amendment.live,
                erased=amendment.erased,
            )
        )

    def _show(self, event: events.Event) -> None:
        self._out.events.append(event)


def _missing_notice(conversation: Conversation, missing: Missing, *, is_open: bool) -> Notice:
    count = missing.last - missing.seq + 1
    if missing.reason == "pruned":
        code = NoticeCode.MISSING_HIDDEN if conversation.is_room else NoticeCode.MISSING_REMOVED
        return Notice(code, name=conversation.name, count=count)
    return Notice(NoticeCode.MISSING_UNREAD, name="" if is_open else conversation.name, count=count)
