"""What is known of each conversation: positions, what is unread, what waits to be shown, without I/O."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from qscp import frames
from qscp.rooms import is_room
from qscp_client.core.changes import SavedPosition
from qscp_client.core.messages import Amendment, Item, Message, Missing, amended, message_from
from qscp_client.core.outbox import EntryKind

__all__ = ["Conversation", "Conversations"]

_WAITING: Final = 500
"""Messages of a conversation that wait in memory to be shown; older ones are asked for again."""

_KNOWN: Final = 1000
"""Messages of a conversation that can be pointed at."""


@dataclasses.dataclass(slots=True)
class Conversation:
    """One conversation, with one person or in a room."""

    id: str
    name: str = ""
    position: int | None = None
    """How far it was applied."""
    reported: int = 0
    """How far that was told to the server."""
    read: int = 0
    """What has been read on any device."""
    seen: int = 0
    """What was shown in the chat: what `read` is to become."""
    shown: int = 0
    """The newest message that was shown in the chat, also your own."""
    oldest: int = 0
    """Before which seq older messages go on: of the oldest one that was shown, or what the server said."""
    last_seq: int = 0
    first_seq: int = 1
    delivered: int = 0
    """What a device of the other one has."""
    read_by_other: int = 0
    unread: int = 0
    mentions: int = 0
    """Unread messages that mention you."""
    read_told: int = 0
    """What was told to the server by `read`."""
    counted: int = 0
    """Up to which seq `unread` is counted."""
    asked: bool = False
    """Whether unread messages were asked for, so that new ones have to wait behind them."""
    waiting: list[Item] = dataclasses.field(default_factory=list)
    """What was applied and not shown in the chat yet."""
    sent: list[Message] = dataclasses.field(default_factory=list)
    """Your own messages of this run that the other one does not have yet, as far as we know."""
    arrived: list[Message] = dataclasses.field(default_factory=list)
    """Those that the other one has, and did not read yet, as far as we know."""
    known: dict[int, Message] = dataclasses.field(default_factory=dict)
    """Messages by seq, as they are by now, to point at: those that were applied or shown in this run."""

    @property
    def is_room(self) -> bool:
        """Whether it is a room's."""
        return is_room(self.name)

    def learn(self, info: frames.ConversationInfo, me: str) -> None:
        """Take in what the server says of it."""
        self.name = info.name
        self.first_seq = max(self.first_seq, info.first_seq)
        self.delivered = max(self.delivered, info.delivered)
        self.last_seq = max(self.last_seq, info.last_seq)
        self.counted = max(self.counted, info.last_seq)
        self.read = max(self.read, info.read)
        self.read_told = info.read
        if self.read >= self.last_seq:
            self.unread = self.mentions = 0
        elif self.read == info.read:
            newer = [each for each in self._waiting_from_others(me) if each.seq > info.last_seq]
            self.unread = info.unread + len(newer)
            self.mentions = info.mentions + sum(me in each.mentions for each in newer)

    def count(self, message: Message, me: str) -> None:
        """Count a message that was applied."""
        self.last_seq = max(self.last_seq, message.seq)
        if message.seq > self.counted:
            self.counted = message.seq
            if message.sender != me and message.seq > self.read:
                self.unread += 1
                self.mentions += me in message.mentions

    def remember(self, message: Message) -> None:
        """Let a message be pointed at."""
        self.known[message.seq] = message
        if len(self.known) > _KNOWN:
            del self.known[next(iter(self.known))]

    def amend(self, amendment: Amendment, me: str) -> Amendment:
        """Take in what happened to a message; return it, folded if the message was not shown before."""
        self.last_seq = max(self.last_seq, amendment.seq)
        self.counted = max(self.counted, amendment.seq)
        if amendment.kind is EntryKind.REDACT:
            self.sent = [each for each in self.sent if each.seq != amendment.target]
            self.arrived = [each for each in self.arrived if each.seq != amendment.target]
        if (known := self.known.get(amendment.target)) is not None:
            self.known[amendment.target] = amended(known, amendment, me)
        for index, item in enumerate(self.waiting):
            if isinstance(item, Message) and item.seq == amendment.target:
                self.waiting[index] = amended(item, amendment, me)
                return dataclasses.replace(amendment, folded=True)
        return amendment

    def is_out_of_sight(self, amendment: Amendment) -> bool:
        """Whether something happened to a message that can't be seen, so that there is nothing to tell."""
        is_empty = amendment.kind is EntryKind.EDIT and amendment.erased
        return amendment.target < self.first_seq or (is_empty and amendment.target not in self.known)

    def see(self, seq: int, count: int, mentions: int = 0) -> bool:
        """Note what was shown in the chat; return whether that is news.

        Args:
            seq: Up to where.
            count: How many unread messages that are.
            mentions: How many of them mention you.
        """
        if seq <= self.seen:
            return False
        self.seen = seq
        if seq > self.read:
            self.read = seq
            self.unread = max(self.unread - count, 0) if seq < self.last_seq else 0
            self.mentions = min(max(self.mentions - mentions, 0), self.unread)
        return True

    def mark_read(self, seq: int, me: str) -> None:
        """Note what was read on another device."""
        if seq <= self.read:
            return
        self.read = seq
        if seq >= self.last_seq:
            self.unread = self.mentions = 0
        else:
            # Exact if all unread ones are in memory; otherwise never less than there are.
            unread = [each for each in self._waiting_from_others(me) if each.seq > seq]
            covered = bool(self.waiting) and self.waiting[0].seq <= seq + 1
            self.unread = len(unread) if covered else min(self.unread, self.last_seq - seq)
            told = sum(me in each.mentions for each in unread)
            self.mentions = told if covered else min(self.mentions, self.unread)

    def wait(self, item: Item) -> None:
        """Keep something until the chat is opened."""
        self.waiting.append(item)
        if len(self.waiting) > _WAITING:
            del self.waiting[0]

    @property
    def start(self) -> int:
        """Behind which seq the chat has to show what was not shown in it yet."""
        missed = self.waiting[0].seq - 1 if self.waiting else self.last_seq
        start = max(self.shown, min(self.read, missed) if self.unread else missed)
        # What a room had before one came into it is not missed.
        return max(start, self.first_seq - 1) if self.is_room else start

    @property
    def has_all(self) -> bool:
        """Whether everything that the chat has to show waits in memory."""
        if not self.waiting:
            return not self.unread
        return self.waiting[0].seq <= self.start + 1

    def join(self, page: frames.History) -> list[Item]:
        """What is to be shown when the chat is opened.

        Args:
            page: The newest messages; what waits already stands behind them.
        """
        start = self.start
        items: dict[int, Item] = {told.seq: message_from(told) for told in page.messages if told.seq > start}
        first = min(items, default=start + 1)
        # Seqs may be missing although no message is: edits, redactions and reactions have some, too.
        reaches = any(told.seq <= start for told in page.messages)
        if not reaches and first > start + 1:
            if page.cursor is not None:
                items[start + 1] = Missing(start + 1, first - 1, "older")
            elif page.first_seq > start + 1:
                items[start + 1] = Missing(start + 1, page.first_seq - 1, "pruned")
        for item in self.waiting:
            if isinstance(item, Amendment) and item.target in items:
                # The page has the message as this left it.
                items[item.seq] = dataclasses.replace(item, folded=True)
            elif not isinstance(item, Missing) and item.seq >= first:
                items[item.seq] = item
        return [items[seq] for seq in sorted(items)]

    def mark_missing(self, me: str) -> None:
        """What was asked for does not come: say so before what waits, if there are messages."""
        start = self.start
        if self.waiting and self.waiting[0].seq > start + 1:
            in_memory = sum(each.seq > self.read for each in self._waiting_from_others(me))
            if self.unread > in_memory:
                self.waiting.insert(0, Missing(start + 1, self.waiting[0].seq - 1, "older"))

    def restart(self) -> None:
        """Forget everything but the name: the server has another history."""
        blank = Conversation(self.id, self.name)
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(blank, field.name))

    def _waiting_from_others(self, me: str) -> list[Message]:
        return [each for each in self.waiting if isinstance(each, Message) and each.sender != me]


class Conversations:
    """All of them.

    Args:
        positions: What was kept from last time.
    """

    def __init__(self, positions: Iterable[SavedPosition] = ()) -> None:
        self._by_id: dict[str, Conversation] = {}
        for saved in positions:
            self._by_id[saved.conversation] = Conversation(
                saved.conversation,
                saved.name,
                position=saved.seq,
                reported=saved.reported,
                last_seq=saved.seq,
                counted=saved.seq,
            )

    def __iter__(self) -> Iterator[Conversation]:
        """All, in no order."""
        return iter(list(self._by_id.values()))

    def __contains__(self, conversation: str) -> bool:
        """Whether a conversation with this id is known."""
        return conversation in self._by_id

    def get(self, conversation: str, name: str = "") -> Conversation:
        """A conversation by its id; a new one if need be.

        Args:
            conversation: The id.
            name: The other one's name, if it is known.
        """
        found = self._by_id.setdefault(conversation, Conversation(conversation))
        found.name = name or found.name
        return found

    def named(self, name: str) -> Conversation | None:
        """The conversation with somebody; the newest one, should a name have had several accounts."""
        found = None
        for each in self._by_id.values():
            if each.name == name:
                found = each
        return found

    def positions(self) -> list[frames.Position]:
        """What to `resume` with."""
        return [
            frames.Position(each.id, each.position)
            for each in self._by_id.values()
            if each.position is not None
        ]

    def unread(self) -> dict[str, int]:
        """Who has unread messages for you, and how many; rooms are none."""
        people = [each for each in self._by_id.values() if each.name and not each.is_room]
        return {each.name: each.unread for each in people if each.unread}

    def rooms(self) -> list["Conversation"]:
        """The rooms that you are in, by name."""
        return sorted((each for each in self._by_id.values() if each.is_room), key=lambda each: each.name)

    def remove(self, conversation: str) -> Conversation | None:
        """Forget a room that you are not in any more; return it, if it was here."""
        return self._by_id.pop(conversation, None)

    def forget(self) -> None:
        """The server has another history: nothing but the names is true any more."""
        for each in self._by_id.values():
            each.restart()
