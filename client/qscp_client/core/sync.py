"""What the server tells of conversations: each message is applied once, in order, and shown in its place."""

import dataclasses

from qscp import frames
from qscp.limits import POSITIONS_LIMIT
from qscp_client.core import events
from qscp_client.core.changes import Forgotten, Moved, Renewed, Saved
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.conversations import Conversation, Conversations
from qscp_client.core.effects import Clock, Output
from qscp_client.core.events import LineState
from qscp_client.core.messages import (
    Amending,
    Amendment,
    Message,
    Missing,
    amendment_of,
    message_of,
    stored_item,
    told_message,
)
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.outbox import EntryKind
from qscp_client.core.receipts import Receipts
from qscp_client.core.sender import Sender
from qscp_client.core.timeline import Timeline

__all__ = ["Sync"]


class Sync:
    """Keeps the conversations, and says what to send, show and save.

    Args:
        me: Your name.
        out: Where that goes.
        clock: The time.
        sending: Your own messages without an answer.
        chat: The open chat.
        saved: What was kept from last time.
        shows_at_once: Whether messages of all conversations are shown when they come; else those that
            came while you were away wait until their conversation is opened.

    Attributes:
        live: Whether everything that was missed has come.
        listed: Whether all conversations are known.
        conversations: All that are known.
        timeline: Who shows them.
    """

    def __init__(
        self,
        me: str,
        out: Output,
        clock: Clock,
        sending: Sender,
        chat: CurrentChat,
        saved: Saved,
        *,
        shows_at_once: bool,
    ) -> None:
        self.live = False
        self.listed = False
        self.conversations = Conversations(saved.positions)
        self.receipts = Receipts(out, clock)
        self.timeline = Timeline(me, out, self.conversations, chat, self.receipts)
        self._me = me
        self._out = out
        self._sending = sending
        self._current = chat
        self._shows_at_once = shows_at_once
        self._history = (saved.epoch, saved.account)
        self._early: dict[str, tuple[Conversation, Message | Amendment]] = {}
        self._replayed: set[tuple[str, int]] = set()
        self._told: set[str] = set()

    @property
    def partner(self) -> str | None:
        """With whom you chat, or in which room."""
        return self._current.partner

    # --- the connection

    def connected(self, ack: frames.AuthAck) -> None:
        """Compare the server's history with ours, and say what we have of it."""
        self.live = False
        self._replayed.clear()
        self._told.clear()
        history = (ack.epoch, ack.account)
        if history != self._history:
            if self._history[0]:
                self._show(Notice(NoticeCode.HISTORY_RELOADED))
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
                conversation.mark_missing(self._me)
                self._show_waiting(conversation)

    # --- the chat

    def open(self, name: str) -> Conversation | None:
        """Show what waits of a conversation, by the other one's name or the room's.

        Returns:
            The conversation if what is to be shown has to be asked for.
        """
        self.timeline.opened(name)
        conversation = self.conversations.named(name)
        if conversation is None:
            return None
        if self._shows_at_once:
            self.timeline.saw(
                conversation, conversation.position or 0, conversation.unread, conversation.mentions
            )
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
            conversation.waiting = conversation.join(page)
        else:
            conversation.mark_missing(self._me)
        self._show_waiting(conversation)

    def show_older(self, conversation: Conversation, page: frames.History) -> None:
        """Show a page of older messages."""
        conversation.first_seq = max(conversation.first_seq, page.first_seq)
        if not page.messages:
            conversation.oldest = page.cursor or conversation.oldest
            self._show(Notice(NoticeCode.NO_OLDER_MESSAGES, name=conversation.name))
            return
        if page.cursor is not None:
            end = NoticeCode.OLDER_END_MORE
        elif page.first_seq <= 1:
            end = NoticeCode.OLDER_END_FIRST
        elif conversation.is_room:
            end = NoticeCode.OLDER_END_HIDDEN
        else:
            end = NoticeCode.OLDER_END_REMOVED
        self.timeline.show_page(
            conversation,
            [told_message(told) for told in page.messages],
            Notice(NoticeCode.OLDER_BEGIN, name=conversation.name),
            Notice(end),
            numbered=False,
        )
        # Below the lowest message there may be nothing but seqs of edits and reactions.
        conversation.oldest = page.cursor or page.messages[0].seq

    def show_again(self, conversation: Conversation, page: frames.History) -> None:
        """Show a page of the newest messages once more, with their numbers."""
        if not page.messages:
            self._show(Notice(NoticeCode.NO_MESSAGES, name=conversation.name))
            return
        self.timeline.show_page(
            conversation,
            [told_message(told) for told in page.messages],
            Notice(NoticeCode.LAST_BEGIN, name=conversation.name),
            Notice(NoticeCode.LAST_END),
            numbered=True,
        )

    # --- what the server sends

    def receive(self, frame: frames.ServerFrame) -> None:
        """Take in a frame, if it is about conversations."""
        match frame:
            case frames.Chat():
                self._chat(frame)
            case frames.Edit() | frames.Redact() | frames.React():
                self._amend(frame)
            case frames.ChatAck():
                self._ack(frame)
            case frames.Gap():
                self._gap(frame)
            case frames.Resumed():
                self._resumed()
            case frames.Delivered(conversation, seq):
                found = self.conversations.get(conversation)
                found.delivered = max(found.delivered, seq)
                self.timeline.tell_delivered(found, found.delivered, LineState.DELIVERED)
            case frames.ServerRead():
                self._read(frame)
            case frames.Conversations():
                self._learn(frame)
            case _:
                pass

    def _chat(self, frame: frames.Chat) -> None:
        conversation = self._find(frame)
        if conversation.position is not None and frame.seq <= conversation.position:
            return
        message = message_of(frame, here=self._is_from_here(frame.sender, frame.id))
        if not message.live:
            self._replayed.add((conversation.id, message.seq))
        self._apply(conversation, message)

    def _amend(self, frame: Amending) -> None:
        conversation = self._find(frame)
        if conversation.position is not None and frame.seq <= conversation.position:
            return
        live = frame.origin == "live"
        here = self._is_from_here(frame.sender, frame.id)
        # A message that was told again is as this left it already.
        folded = not live and (conversation.id, frame.target) in self._replayed
        self._apply(conversation, amendment_of(frame, here=here, folded=folded))

    def _find(self, frame: frames.Chat | Amending) -> Conversation:
        is_pair_of_another = frame.to == self._me
        return self.conversations.get(frame.conversation, frame.sender if is_pair_of_another else frame.to)

    def _is_from_here(self, sender: str, message_id: str) -> bool:
        """Whether this was pending in this client until now."""
        if sender != self._me:
            return False
        early = self._early.pop(message_id, None)
        return early is not None or self._sending.settle(message_id, acked=False) is not None

    def _ack(self, frame: frames.ChatAck) -> None:
        entry = self._sending.settle(frame.id)
        if entry is None:
            return
        conversation = self.conversations.get(frame.conversation, entry.to)
        item = stored_item(entry, frame, self._me)
        if self.live:
            self._apply(conversation, item)
        else:
            # What is replayed may still be below it.
            self._early[frame.id] = (conversation, item)

    def _resumed(self) -> None:
        self.live = True
        early = sorted(self._early.values(), key=lambda pair: pair[1].seq)
        self._early.clear()
        for conversation, item in early:
            self._apply(conversation, item)

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
            self.timeline.place(conversation, missing)
        else:
            conversation.wait(missing)

    def _read(self, frame: frames.ServerRead) -> None:
        conversation = self.conversations.get(frame.conversation)
        if frame.user == self._me:
            conversation.mark_read(frame.seq, self._me)
        else:
            conversation.read_by_other = max(conversation.read_by_other, frame.seq)
            self.timeline.tell_delivered(conversation, frame.seq, LineState.READ)

    def _learn(self, frame: frames.Conversations) -> None:
        for info in frame.conversations:
            conversation = self.conversations.get(info.conversation, info.name)
            conversation.learn(info, self._me)
            self._told.add(info.conversation)
            self.timeline.tell_delivered(conversation, conversation.delivered, LineState.DELIVERED)
            if conversation.seen > conversation.read_told:
                self.receipts.note(conversation)
        if frame.cursor is None:
            self.listed = True
            for room in self.conversations.rooms():
                if room.id not in self._told:
                    self.leave_room(room.id)
        else:
            self._out.frames.append(frames.ConversationsRequest(frame.cursor))

    # --- rooms

    def enter_room(self, room: frames.RoomChanged) -> bool:
        """Note that you are in a room; return whether that is news."""
        is_new = room.room.conversation not in self.conversations
        conversation = self.conversations.get(room.room.conversation, room.room.name)
        self._told.add(conversation.id)
        conversation.first_seq = max(conversation.first_seq, room.first_seq)
        if self.live and conversation.position is None:
            conversation.last_seq = conversation.counted = conversation.read = room.last_seq
            self._move(conversation, room.last_seq)
        return is_new

    def has_older(self, name: str) -> bool:
        """Whether there are messages in a room, and none of them was shown here or is about to be."""
        found = self.conversations.named(name)
        if found is None or found.asked or found.oldest or found.waiting:
            return False
        return found.first_seq <= found.last_seq

    def leave_room(self, conversation_id: str) -> Conversation | None:
        """Forget a room that you are not in any more; return it, if it was here."""
        found = self.conversations.remove(conversation_id)
        self._early = {key: pair for key, pair in self._early.items() if pair[0].id != conversation_id}
        self.receipts.forget(conversation_id)
        self._out.changes.append(Forgotten(conversation_id))
        return found

    # --- applying and timeline

    def _apply(self, conversation: Conversation, item: Message | Amendment) -> None:
        if conversation.position is None or item.seq > conversation.position:
            self._move(conversation, item.seq)
        if isinstance(item, Message):
            conversation.count(item, self._me)
            conversation.remember(item)
        else:
            known = conversation.known.get(item.target)
            before = known.body if known and item.kind is EntryKind.EDIT else ""
            item = conversation.amend(dataclasses.replace(item, before=before), self._me)
            if not item.here and conversation.is_out_of_sight(item):
                item = dataclasses.replace(item, folded=True)
        is_open = conversation.name == self.partner
        if is_open and not conversation.asked:
            self.timeline.place(conversation, item)
            return
        if is_open or not (self._shows_at_once or item.here):
            conversation.wait(item)
        if not is_open and (self._shows_at_once or item.here or self._is_news(conversation, item)):
            self.timeline.preview(conversation, item)

    def _is_news(self, conversation: Conversation, item: Message | Amendment) -> bool:
        """Whether the person is told at once what happens in a chat that is not open.

        A message to you alone, or one that mentions you, is; what else people say in a room is counted.
        """
        if not item.live or isinstance(item, Amendment):
            return False
        return not conversation.is_room or item.sender == self._me or self._me in item.mentions

    def _move(self, conversation: Conversation, seq: int) -> None:
        conversation.position = seq
        self._out.changes.append(Moved(conversation.id, conversation.name, seq))
        self.receipts.note(conversation)

    def _show_waiting(self, conversation: Conversation) -> None:
        conversation.asked = False
        if conversation.name == self.partner:
            waiting, conversation.waiting = conversation.waiting, []
            for item in waiting:
                self.timeline.place(conversation, item)

    def _show(self, event: events.Event) -> None:
        self._out.events.append(event)
