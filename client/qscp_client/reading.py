"""What the server tells of conversations: each message is applied once, in order, and shown in its place."""

import collections
from typing import Final

from qscp import frames
from qscp.limits import POSITIONS_LIMIT
from qscp_client import events
from qscp_client.changes import Moved, Renewed, Saved
from qscp_client.conversations import Conversation, Conversations, Item, Message, Missing
from qscp_client.events import LineState, Place
from qscp_client.output import Clock, Output
from qscp_client.receipts import Receipts
from qscp_client.sending import Sending

__all__ = ["Reading"]

_RECENT: Final = 10
"""Own lines that `/status` shows although nothing more can happen to them."""

_SENT: Final = 1000
"""Own lines of a conversation whose delivery is told when it comes."""


class Reading:
    """Keeps the conversations, and says what to send, show and save.

    Args:
        me: Your name.
        out: Where that goes.
        clock: The time.
        sending: Your own messages without an answer.
        saved: What was kept from last time.
        shows_at_once: Whether messages of all conversations are shown when they come; else those that
            came while you were away wait until their conversation is opened.

    Attributes:
        partner: With whom you chat.
        live: Whether everything that was missed has come.
        listed: Whether all conversations are known.
    """

    def __init__(
        self, me: str, out: Output, clock: Clock, sending: Sending, saved: Saved, *, shows_at_once: bool
    ) -> None:
        self.partner: str | None = None
        self.live = False
        self.listed = False
        self.conversations = Conversations(saved.positions)
        self.receipts = Receipts(out, clock)
        self.recent: collections.deque[tuple[str, Message]] = collections.deque(maxlen=_RECENT)
        self._me = me
        self._out = out
        self._sending = sending
        self._shows_at_once = shows_at_once
        self._history = (saved.epoch, saved.account)
        self._early: dict[str, tuple[Conversation, Message]] = {}
        self._hinted: set[str] = set()

    # --- the connection

    def connected(self, ack: frames.AuthAck) -> None:
        """Compare the server's history with ours, and say what we have of it."""
        self.live = False
        history = (ack.epoch, ack.account)
        if history != self._history:
            if self._history[0]:
                self._show(events.Notice("The server has another history than before; yours begins anew."))
            self._history = history
            self.conversations.forget()
            self._early.clear()
            self._out.changes.append(Renewed(*history))
        positions = self.conversations.positions()
        pages = [positions[at : at + POSITIONS_LIMIT] for at in range(0, len(positions), POSITIONS_LIMIT)]
        for page in pages or [[]]:
            self._out.frames.append(frames.Resume(page, more=bool(pages) and page is not pages[-1]))
        self._out.frames.append(frames.ConversationsRequest())
        for conversation in self.conversations:
            if (conversation.position or 0) > conversation.reported:
                self.receipts.note(conversation)
        self.receipts.connected()

    def lost(self) -> None:
        """The connection is lost."""
        self.live = False
        self.receipts.lost()
        for conversation in self.conversations:
            if conversation.asked:
                self._show_waiting(conversation)

    # --- the chat

    def open(self, name: str) -> Conversation | None:
        """Show what waits of somebody's conversation.

        Returns:
            The conversation if what is to be shown has to be asked for.
        """
        self.partner = name
        self._hinted.discard(name)
        conversation = self.conversations.named(name)
        if conversation is None:
            return None
        if self._shows_at_once:
            self._saw(conversation, conversation.position or 0, conversation.unread)
        elif conversation.has_all:
            self._show_waiting(conversation)
        else:
            return conversation
        return None

    def show_unread(self, conversation: Conversation, page: frames.History | None) -> None:
        """Show what was asked for when the chat was opened, and what came meanwhile.

        Args:
            conversation: Of the chat.
            page: Its newest messages; None if there was no answer.
        """
        conversation.asked = False
        if conversation.name != self.partner:
            return
        if page is not None:
            conversation.waiting = _join(conversation, page)
        self._show_waiting(conversation)

    def show_older(self, conversation: Conversation, page: frames.History) -> None:
        """Show a page of older messages."""
        conversation.first_seq = max(conversation.first_seq, page.first_seq)
        if not page.messages:
            self._show(events.Notice(f"There are no older messages with {conversation.name}."))
            return
        self._show(events.Notice(f"Older messages with {conversation.name}:"))
        for told in page.messages:
            self._place(conversation, _message(told))
        conversation.oldest = page.messages[0].seq
        if page.cursor is not None:
            end = "End of the older messages; /history shows more."
        elif page.first_seq > 1:
            end = "End of the older messages; what was before them was removed by the server."
        else:
            end = "End of the older messages; the conversation began with them."
        self._show(events.Notice(end))

    def state_of(self, conversation: Conversation, seq: int) -> LineState:
        """How far a stored message of yours has come."""
        if seq <= conversation.read_by_other:
            return LineState.READ
        return LineState.DELIVERED if seq <= conversation.delivered else LineState.STORED

    # --- what the server sends

    def receive(self, frame: frames.ServerFrame) -> None:
        """Take in a frame, if it is about conversations."""
        match frame:
            case frames.Chat():
                self._chat(frame)
            case frames.ChatAck():
                self._ack(frame)
            case frames.Gap():
                self._gap(frame)
            case frames.Resumed():
                self._resumed()
            case frames.Delivered(conversation, seq):
                found = self.conversations.get(conversation)
                found.delivered = max(found.delivered, seq)
                self._tell_delivered(found, found.delivered, LineState.DELIVERED)
            case frames.ServerRead():
                self._read(frame)
            case frames.Conversations():
                self._learn(frame)
            case _:
                pass

    def _chat(self, frame: frames.Chat) -> None:
        own = frame.sender == self._me
        conversation = self.conversations.get(frame.conversation, frame.to if own else frame.sender)
        if conversation.position is not None and frame.seq <= conversation.position:
            return
        early = self._early.pop(frame.id, None) if own else None
        here = early is not None or (own and self._sending.settle(frame.id, acked=False) is not None)
        message = Message(
            frame.seq,
            frame.id,
            frame.sender,
            frame.body,
            frame.time,
            erased=frame.erased,
            live=frame.origin == "live",
            here=here,
        )
        self._apply(conversation, message)

    def _ack(self, frame: frames.ChatAck) -> None:
        entry = self._sending.settle(frame.id)
        if entry is None:
            return
        conversation = self.conversations.get(frame.conversation, entry.to)
        message = Message(frame.seq, frame.id, self._me, entry.body, frame.time, live=True, here=True)
        if self.live:
            self._apply(conversation, message)
        else:
            # What is replayed may still be below it.
            self._early[frame.id] = (conversation, message)

    def _resumed(self) -> None:
        self.live = True
        early = sorted(self._early.values(), key=lambda pair: pair[1].seq)
        self._early.clear()
        for conversation, message in early:
            self._apply(conversation, message)

    def _gap(self, frame: frames.Gap) -> None:
        conversation = self.conversations.get(frame.conversation)
        if frame.reason == "ahead":
            position = frame.first - 1
            conversation.waiting = [each for each in conversation.waiting if each.last <= position]
            for each in ("shown", "seen", "last_seq", "counted", "read", "read_told", "reported"):
                setattr(conversation, each, min(getattr(conversation, each), position))
            self._move(conversation, position)
            return
        if conversation.position is None or frame.last > conversation.position:
            self._move(conversation, frame.last)
        missing = Missing(frame.first, frame.last, frame.reason)
        if conversation.name == self.partner or self._shows_at_once:
            self._place(conversation, missing)
        else:
            conversation.wait(missing)

    def _read(self, frame: frames.ServerRead) -> None:
        conversation = self.conversations.get(frame.conversation)
        if frame.user == self._me:
            conversation.mark_read(frame.seq, self._me)
        else:
            conversation.read_by_other = max(conversation.read_by_other, frame.seq)
            self._tell_delivered(conversation, frame.seq, LineState.READ)

    def _learn(self, frame: frames.Conversations) -> None:
        for info in frame.conversations:
            conversation = self.conversations.get(info.conversation, info.name)
            conversation.learn(info, self._me)
            self._tell_delivered(conversation, conversation.delivered, LineState.DELIVERED)
            if conversation.seen > conversation.read_told:
                self.receipts.note(conversation)
        if frame.cursor is None:
            self.listed = True
        else:
            self._out.frames.append(frames.ConversationsRequest(frame.cursor))

    # --- applying and showing

    def _apply(self, conversation: Conversation, message: Message) -> None:
        if conversation.position is None or message.seq > conversation.position:
            self._move(conversation, message.seq)
        conversation.count(message, self._me)
        is_open = conversation.name == self.partner
        if is_open and not conversation.asked:
            self._place(conversation, message)
            return
        if is_open or not (self._shows_at_once or message.here):
            conversation.wait(message)
        if not is_open and (self._shows_at_once or message.here or message.live):
            self._preview(conversation, message)

    def _move(self, conversation: Conversation, seq: int) -> None:
        conversation.position = seq
        self._out.changes.append(Moved(conversation.id, conversation.name, seq))
        self.receipts.note(conversation)

    def _saw(self, conversation: Conversation, seq: int, count: int) -> None:
        if conversation.see(seq, count):
            self.receipts.note(conversation)

    def _show_waiting(self, conversation: Conversation) -> None:
        conversation.asked = False
        if conversation.name == self.partner:
            waiting, conversation.waiting = conversation.waiting, []
            for item in waiting:
                self._place(conversation, item)

    def _place(self, conversation: Conversation, item: Item) -> None:
        """Show something in the chat, where it belongs."""
        conversation.shown = max(conversation.shown, item.last)
        if isinstance(item, Missing):
            self._show(events.Notice(_describe_missing(conversation, item)))
            if conversation.name == self.partner:
                self._saw(conversation, item.last, item.last - item.seq + 1)
            return
        if conversation.shown >= conversation.last_seq:
            conversation.unread = 0
        conversation.oldest = min(conversation.oldest or item.seq, item.seq)
        if item.sender == self._me:
            self._show_own(conversation, item, Place.THIS_CHAT)
        else:
            self._saw(conversation, item.seq, 1)
            self._show_other(item, Place.THIS_CHAT, is_first=False)

    def _preview(self, conversation: Conversation, message: Message) -> None:
        """Show a message of another conversation than the one that is open."""
        place = Place.OTHER_CHAT if self.partner is not None else Place.PICKER
        if message.sender == self._me:
            self._show_own(conversation, message, place)
            return
        is_first = conversation.name not in self._hinted
        self._hinted.add(conversation.name)
        self._show_other(message, place, is_first=is_first)

    def _show_other(self, message: Message, place: Place, *, is_first: bool) -> None:
        self._show(
            events.MessageReceived(
                message.sender,
                message.body,
                message.time_ms,
                place,
                is_first,
                dated=not message.live,
                erased=message.erased,
            )
        )

    def _show_own(self, conversation: Conversation, message: Message, place: Place) -> None:
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
            )
        )

    def _tell_delivered(self, conversation: Conversation, seq: int, state: LineState) -> None:
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
            is_partner = conversation.name == self.partner
            self._show(events.Delivered(conversation.name, lines, state, is_partner))

    def _show(self, event: events.Event) -> None:
        self._out.events.append(event)


def _message(told: frames.Message) -> Message:
    return Message(told.seq, told.id, told.sender, told.body, told.time, erased=told.erased)


def _join(conversation: Conversation, page: frames.History) -> list[Item]:
    """What is to be shown when a chat is opened: a page of the newest messages, and what waits already."""
    start = conversation.start
    items: dict[int, Item] = {told.seq: _message(told) for told in page.messages if told.seq > start}
    first = min(items, default=start + 1)
    if first > start + 1:
        reason = "pruned" if page.first_seq == first else "older"
        items[start + 1] = Missing(start + 1, first - 1, reason)
    for item in conversation.waiting:
        if isinstance(item, Message) and item.seq >= first:
            items[item.seq] = item
    return [items[seq] for seq in sorted(items)]


def _describe_missing(conversation: Conversation, missing: Missing) -> str:
    count = missing.last - missing.seq + 1
    what = f"{count} older message{'s' if count > 1 else ''} with {conversation.name or 'somebody'}"
    if missing.reason == "pruned":
        return f"{what} {'were' if count > 1 else 'was'} removed by the server."
    return f"{what} {'are' if count > 1 else 'is'} not on this device: /history"
