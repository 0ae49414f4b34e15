"""Apply incoming messages, receipts and gaps to conversations, once and in order. Sans-I/O."""

from qscp import frames
from qscp.errors import ErrorCode
from qscp.limits import POSITIONS_LIMIT
from qscp_client.core import events
from qscp_client.core.blocks import Blocks
from qscp_client.core.changes import Forgotten, Moved, Renewed, Saved
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.conversation import Conversation
from qscp_client.core.conversation_list import ConversationList
from qscp_client.core.conversations import FORMER, Conversations
from qscp_client.core.early_acks import EarlyAcks
from qscp_client.core.effects import Clock, Output
from qscp_client.core.lazy_history import LazyHistory
from qscp_client.core.memory import REPLAYED_LIMIT
from qscp_client.core.messages import (
    Amendment,
    AmendmentFrame,
    Message,
    Missing,
    acknowledged,
    amendment_from,
    message_from,
)
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.receipts import Receipts
from qscp_client.core.sender import Sender
from qscp_client.core.timeline import Timeline


class Sync:
    """Keeps the conversations in step with the server.

    It alone moves `applied`. The timeline decides what is shown, `Receipts` what is reported.

    Args:
        me: Your name.
        out: Where frames, events and changes go.
        clock: The time.
        sender: Your own messages that are not acknowledged.
        chat: The open chat.
        saved: What was saved in earlier runs.
        blocks: Names of the users whom you block.
        shows_at_once: Whether messages are shown when they come, not when their chat is open.

    Attributes:
        live: Whether everything that was missed has been replayed.
        conversations: All that are known.
        list: The server's list of them.
        receipts: What is reported to the server.
        timeline: The timeline that shows them.
        lazy: Those that began at their end.
    """

    def __init__(
        self,
        me: str,
        out: Output,
        clock: Clock,
        sender: Sender,
        chat: CurrentChat,
        saved: Saved,
        blocks: Blocks,
        *,
        shows_at_once: bool,
    ) -> None:
        self.live = False
        self.conversations = Conversations(me, saved.positions, blocks)
        self.list = ConversationList(out, self.conversations)
        self.receipts = Receipts(out, clock)
        self.timeline = Timeline(me, out, chat, self.receipts, blocks)
        # A pipe shows all messages, and opens no chat that could load them.
        self.lazy = LazyHistory(out, self.list, self.receipts, self.timeline, enabled=not shows_at_once)
        self._me = me
        self._out = out
        self._sender = sender
        self._shows_at_once = shows_at_once
        self._history = (saved.epoch, saved.account)
        self._early_acks = EarlyAcks()
        self._replayed: set[tuple[str, int]] = set()

    # --- the connection

    def connected(self, ack: frames.AuthAck) -> bool:
        """Begin on a new connection: compare histories, and `resume` from our positions.

        Returns:
            Whether the server has another history than before: ids of conversations mean something else.
        """
        self.live = False
        self.lazy.connected(ack)
        self._replayed.clear()
        history = (ack.epoch, ack.account)
        is_another = history != self._history
        if is_another:
            for conversation in self.conversations:
                self.timeline.confirm_buffered(conversation)
            self._confirm_early()
            if self._history[0]:
                self._show(Notice(NoticeCode.HISTORY_RELOADED))
            self._history = history
            self.conversations.restart()
            self._sender.history_changed()
            self._out.changes.append(Renewed(*history))
        self._early_acks.connected()
        positions = self.conversations.positions()
        pages = [positions[at : at + POSITIONS_LIMIT] for at in range(0, len(positions), POSITIONS_LIMIT)]
        for page in pages or [[]]:
            self._out.frames.append(frames.Resume(page, more=bool(pages) and page is not pages[-1]))
        self.list.connected(is_new=is_another)
        for conversation in self.conversations:
            conversation.connected()
            if conversation.cursors.has_received_to_report:
                self.receipts.schedule(conversation)
        self.receipts.connected()
        return is_another

    def lost(self) -> None:
        """Stop waiting for what was requested: the connection is lost."""
        self.live = False
        self.list.lost()
        self.receipts.lost()
        for conversation in self.conversations:
            if conversation.backlog.requested:
                conversation.mark_missing()
                self._show_backlog(conversation)

    # --- the chat

    def is_read_only(self, name: str) -> bool:
        """Whether nothing can be sent to a user, because the account was deleted."""
        conversation = self.conversations.named(name)
        return conversation is not None and conversation.deleted

    def open(self, name: str) -> Conversation | None:
        """Show the backlog of the chat that was just opened.

        Args:
            name: The other member, or the room.

        Returns:
            The conversation, if messages before its backlog have to be requested first, for `show_unread`.
        """
        self.timeline.repeat_first(name)
        conversation = self.conversations.named(name)
        if conversation is None or conversation.skipped:
            return None
        if self._shows_at_once:
            self.timeline.display_applied(conversation)
        elif conversation.has_all:
            self._show_backlog(conversation)
        else:
            conversation.backlog.requested = True
            return conversation
        return None

    def show_unread(self, conversation: Conversation, page: frames.History | None) -> None:
        """Show the messages that were requested when the chat was opened, and the backlog after them.

        Args:
            conversation: The conversation that `open` returned.
            page: Its newest messages; None if they can't be had.
        """
        conversation.backlog.requested = False
        if not self.timeline.is_open(conversation):
            return
        if page is not None:
            conversation.prepend(page)
        else:
            conversation.mark_missing()
        self._show_backlog(conversation)

    # --- what the server sends

    def receive(self, frame: frames.ServerFrame) -> None:
        """Apply a frame, if it is about conversations."""
        match frame:
            case frames.Chat():
                self._chat(frame)
            case frames.Edit() | frames.Redact() | frames.React():
                self._amend(frame)
            case frames.ChatAck():
                self._ack(frame)
            case frames.ChatNack():
                self._sender.receive_nack(frame)
                self.conversations.outdated |= frame.code == ErrorCode.UNKNOWN_RECIPIENT
            case frames.Gap():
                self._gap(frame)
            case frames.Resumed():
                self._resumed()
            case frames.Delivered(conversation, seq):
                self.timeline.deliver(self.conversations.get(conversation), seq)
            case frames.ServerRead():
                self._read(frame)
            case frames.Conversations():
                self._learn(frame)
        self.list.refresh()

    def _chat(self, frame: frames.Chat) -> None:
        conversation = self._find(frame)
        if conversation.cursors.has_applied(frame.seq):
            return
        self._apply_early(conversation, frame.seq)
        if frame.origin != "live" and len(self._replayed) < REPLAYED_LIMIT:
            self._replayed.add((conversation.id, frame.seq))
        self._apply(conversation, message_from(frame, here=self._is_from_here(frame.sender, frame.id)))

    def _amend(self, frame: AmendmentFrame) -> None:
        conversation = self._find(frame)
        if conversation.cursors.has_applied(frame.seq):
            return
        self._apply_early(conversation, frame.seq)
        live = frame.origin == "live"
        here = self._is_from_here(frame.sender, frame.id)
        # A message that was replayed has it applied already.
        folded = not live and (conversation.id, frame.target) in self._replayed
        self._apply(conversation, amendment_from(frame, here=here, folded=folded))

    def _find(self, frame: frames.Chat | AmendmentFrame) -> Conversation:
        is_pair_of_another = frame.to == self._me
        return self.conversations.get(frame.conversation, frame.sender if is_pair_of_another else frame.to)

    def _is_from_here(self, sender: str, message_id: str) -> bool:
        """Whether it was typed in this client and pending until now; it is no longer then."""
        if sender != self._me:
            return False
        return self._early_acks.remove(message_id) or (
            self._sender.settle(message_id, acked=False) is not None
        )

    def _ack(self, frame: frames.ChatAck) -> None:
        entry = self._sender.settle(frame.id)
        if entry is None:
            return
        conversation = self.conversations.acknowledged(frame, entry.to)
        item = acknowledged(entry, frame, self._me)
        if self.live and (not item.repeated or conversation.cursors.has_applied(item.seq)):
            self._apply(conversation, item)
        else:
            # Messages with lower seqs are still to come, and with `repeated` this one as well.
            self._early_acks.add(conversation, item)

    def _resumed(self) -> None:
        self.live = True
        for conversation, item in self._early_acks.take():
            self._apply(conversation, item)

    def _apply_early(self, conversation: Conversation, below: int) -> None:
        """Apply what was acknowledged and can't be replayed any more: a higher seq comes."""
        for _, item in self._early_acks.take(conversation, below):
            self._apply(conversation, item)

    def _gap(self, frame: frames.Gap) -> None:
        is_ahead = frame.reason == "ahead"
        if is_ahead and frame.conversation not in self.conversations:
            return  # a room that you left: the list of conversations was faster
        conversation = self.conversations.get(frame.conversation)
        if is_ahead:
            self.timeline.confirm_buffered(conversation)
            conversation.rewind(frame.first - 1)
            self._save_position(conversation, frame.first - 1)
            return
        is_skipped = self.lazy.skip(conversation, frame)
        self._apply_early(conversation, frame.last + 1)
        conversation.miss(frame.first, frame.last, frame.reason)
        if is_skipped:
            return
        self._advance(conversation, frame.last)
        missing = Missing(frame.first, frame.last, frame.reason)
        if self.timeline.is_open(conversation) or self._shows_at_once:
            self.timeline.display(conversation, missing)
        else:
            conversation.backlog.add_missing(missing)

    def _read(self, frame: frames.ServerRead) -> None:
        conversation = self.conversations.get(frame.conversation)
        if frame.user == self._me:
            conversation.read_elsewhere(frame.seq)
        else:
            self.timeline.mark_read(conversation, frame.seq)

    def _learn(self, frame: frames.Conversations) -> None:
        for conversation, info in self.list.apply(frame):
            self.timeline.deliver(conversation, info.delivered)
            self.receipts.confirm_read(conversation, info.read)
            if conversation.skipped and not self.lazy.count(conversation):
                self._show_backlog(conversation)
        if frame.cursor is None:
            for gone in map(self.leave, self.list.end()):
                if gone is None or not gone.is_room or FORMER in gone.name:  # you are in one of that name
                    continue
                if not self.timeline.is_open(gone):  # else it is closed, with the same notice
                    self._show(Notice(NoticeCode.ROOM_GONE, name=gone.name))

    # --- rooms

    def enter_room(self, room: frames.RoomChanged) -> bool:
        """Note that you are a member of a room; return whether you were none before, as far as we know."""
        is_new = room.room.conversation not in self.conversations
        conversation = self.conversations.get(room.room.conversation, room.room.name)
        self.list.add(conversation.id)
        conversation.prune(room.first_seq)
        if self.live and conversation.cursors.applied is None:
            conversation.unread.skip_to(room.last_seq)
            self._advance(conversation, room.last_seq)
        return is_new

    def has_older(self, name: str) -> bool:
        """Whether a room has messages of which none was shown here or is about to be."""
        found = self.conversations.named(name)
        if found is None or found.backlog.requested or found.cursors.oldest or len(found.backlog):
            return False
        return found.cursors.first <= found.unread.last

    def leave(self, conversation_id: str) -> Conversation | None:
        """Forget a conversation that you no longer have; return it, or None if it is not known."""
        found = self.conversations.remove(conversation_id)
        if found is not None:
            self.timeline.confirm_buffered(found)
            self._confirm_early(found)
        self.receipts.forget(conversation_id)
        self._out.changes.append(Forgotten(conversation_id))
        return found

    # --- applying items

    def _apply(self, conversation: Conversation, item: Message | Amendment) -> None:
        if item.repeated:
            self.timeline.confirm(conversation, item)
            return
        self._advance(conversation, item.seq, is_mine=item.sender == self._me)
        if isinstance(item, Message):
            conversation.apply_message(item)
        else:
            item = conversation.apply_amendment(item)
        is_open = self.timeline.is_open(conversation)
        if is_open and not conversation.is_loading:
            self.timeline.display(conversation, item)
            return
        if is_open or not (self._shows_at_once or item.here):
            conversation.buffer(item)
        if not is_open and (self._shows_at_once or item.here or self._is_announced(conversation, item)):
            self.timeline.preview(conversation, item)

    def _confirm_early(self, left: Conversation | None = None) -> None:
        for conversation, item in self._early_acks.take(left):
            self.timeline.confirm(conversation, item)

    def _is_announced(self, conversation: Conversation, item: Message | Amendment) -> bool:
        """Whether an item is shown at once although its chat is not open.

        A message to you alone, or one that mentions you, is; other messages of a room are only counted.
        """
        if not item.live or isinstance(item, Amendment):
            return False
        return not conversation.is_room or item.sender == self._me or conversation.unread.is_mention(item)

    def _advance(self, conversation: Conversation, seq: int, *, is_mine: bool = False) -> None:
        if conversation.cursors.apply(seq, is_mine=is_mine):
            self._save_position(conversation, seq)

    def _save_position(self, conversation: Conversation, seq: int) -> None:
        self._out.changes.append(Moved(conversation.id, conversation.name, seq))
        self.receipts.schedule(conversation)

    def _show_backlog(self, conversation: Conversation) -> None:
        conversation.backlog.requested = False
        if self.timeline.is_open(conversation):
            for item in conversation.backlog.take():
                self.timeline.display(conversation, item)

    def _show(self, event: events.Event) -> None:
        self._out.show(event)
