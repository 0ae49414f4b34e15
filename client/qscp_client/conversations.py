"""What is known of each conversation: positions, what is unread, what waits to be shown, without I/O."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from qscp import frames
from qscp_client.changes import SavedPosition

__all__ = ["Conversation", "Conversations", "Item", "Message", "Missing"]

_WAITING: Final = 500
"""Messages of a conversation that wait in memory to be shown; older ones are asked for again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A message of a conversation."""

    seq: int
    id: str
    sender: str
    body: str
    time_ms: int
    erased: bool = False
    live: bool = False
    """Whether it was stored just now."""
    here: bool = False
    """Whether it is your own and was pending in this client until now."""

    @property
    def last(self) -> int:
        """As of `Missing`."""
        return self.seq


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """Messages that this device is not told."""

    seq: int
    """The first of them."""
    last: int
    reason: str


Item = Message | Missing


@dataclasses.dataclass(slots=True)
class Conversation:
    """One conversation with one person."""

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
    """The oldest message that was shown in the chat; 0 if none was."""
    last_seq: int = 0
    first_seq: int = 1
    delivered: int = 0
    """What a device of the other one has."""
    read_by_other: int = 0
    unread: int = 0
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
            self.unread = 0
        elif self.read == info.read:
            newer = [each for each in self._waiting_from_others(me) if each.seq > info.last_seq]
            self.unread = info.unread + len(newer)

    def count(self, message: Message, me: str) -> None:
        """Count a message that was applied."""
        self.last_seq = max(self.last_seq, message.seq)
        if message.seq > self.counted:
            self.counted = message.seq
            if message.sender != me and message.seq > self.read:
                self.unread += 1

    def see(self, seq: int, count: int) -> bool:
        """Note what was shown in the chat; return whether that is news.

        Args:
            seq: Up to where.
            count: How many unread messages that are.
        """
        if seq <= self.seen:
            return False
        self.seen = seq
        if seq > self.read:
            self.read = seq
            self.unread = max(self.unread - count, 0) if seq < self.last_seq else 0
        return True

    def mark_read(self, seq: int, me: str) -> None:
        """Note what was read on another device."""
        if seq <= self.read:
            return
        self.read = seq
        if seq >= self.last_seq:
            self.unread = 0
        else:
            # Exact if all unread ones are in memory; otherwise never less than there are.
            unread = [each for each in self._waiting_from_others(me) if each.seq > seq]
            covered = bool(self.waiting) and self.waiting[0].seq <= seq + 1
            self.unread = len(unread) if covered else min(self.unread, self.last_seq - seq)

    def wait(self, item: Item) -> None:
        """Keep something until the chat is opened."""
        self.waiting.append(item)
        if len(self.waiting) > _WAITING:
            del self.waiting[0]

    @property
    def start(self) -> int:
        """Behind which seq the chat has to show what was not shown in it yet."""
        missed = self.waiting[0].seq - 1 if self.waiting else self.last_seq
        return max(self.shown, min(self.read, missed) if self.unread else missed)

    @property
    def has_all(self) -> bool:
        """Whether everything that the chat has to show waits in memory."""
        if not self.waiting:
            return not self.unread
        return self.waiting[0].seq <= self.start + 1

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
        """Who has unread messages for you, and how many."""
        return {each.name: each.unread for each in self._by_id.values() if each.unread and each.name}

    def forget(self) -> None:
        """The server has another history: nothing but the names is true any more."""
        for each in self._by_id.values():
            each.restart()
