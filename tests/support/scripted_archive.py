"""Archive of a scripted server: conversations in memory, with positions, pages and searches."""

import dataclasses
from collections import defaultdict

from qscp import frames

__all__ = ["Archive", "Pair"]

TIME_MS = 1_750_000_000_000


@dataclasses.dataclass
class Pair:
    """Conversation of two users.

    Attributes:
        id: Its id.
        users: Names of the users.
        messages: All messages, by seq.
        first_seq: First message that was not pruned.
        read: Read positions by name.
        delivered: Delivered positions by name.
    """

    id: str
    users: tuple[str, str]
    messages: list[frames.Chat] = dataclasses.field(default_factory=list)
    first_seq: int = 1
    read: defaultdict[str, int] = dataclasses.field(default_factory=lambda: defaultdict(int))
    delivered: defaultdict[str, int] = dataclasses.field(default_factory=lambda: defaultdict(int))

    def other(self, user: str) -> str:
        """Return the other user."""
        return self.users[1] if user == self.users[0] else self.users[0]

    def info(self, user: str) -> frames.ConversationInfo:
        """Return the conversation as a user sees it."""
        read = self.read[user]
        unread = [each for each in self.messages if each.seq > read and each.sender != user]
        return frames.ConversationInfo(
            conversation=self.id,
            name=self.other(user),
            kind="pair",
            first_seq=self.first_seq,
            last_seq=len(self.messages),
            read=read,
            delivered=self.delivered[self.other(user)],
            unread=len([each for each in unread if each.seq >= self.first_seq]),
        )


class Archive:
    """All conversations."""

    def __init__(self) -> None:
        self.pairs: dict[frozenset[str], Pair] = {}
        self._acks: dict[tuple[str, str], frames.ChatAck] = {}

    def between(self, one: str, other: str) -> Pair:
        """Return the conversation of two users; make it if necessary."""
        key = frozenset((one, other))
        return self.pairs.setdefault(key, Pair(f"c{len(self.pairs) + 1}", (one, other)))

    def of(self, user: str) -> list[Pair]:
        """Return a user's conversations."""
        return [pair for key, pair in self.pairs.items() if user in key]

    def find(self, user: str, conversation: str) -> Pair | None:
        """Return a user's conversation by its id."""
        return next((pair for pair in self.of(user) if pair.id == conversation), None)

    def store(self, sender: str, frame: frames.SendChat) -> tuple[frames.ChatAck, frames.Chat | None]:
        """Store a message, once; return the ack, and the message if it is new."""
        known = self._acks.get((sender, frame.id))
        if known is not None:
            return known, None
        pair = self.between(sender, frame.to)
        seq = len(pair.messages) + 1
        chat = frames.Chat(
            conversation=pair.id,
            seq=seq,
            id=frame.id,
            sender=sender,
            to=frame.to,
            body=frame.body,
            time=TIME_MS,
            origin="live",
        )
        pair.messages.append(chat)
        ack = self._acks[sender, frame.id] = frames.ChatAck(frame.id, pair.id, seq, TIME_MS)
        return ack, chat

    def missing(self, user: str, positions: dict[str, int]) -> list[frames.ServerFrame]:
        """Return the frames that a device has missed."""
        found: list[frames.ServerFrame] = []
        for pair in self.of(user):
            last = len(pair.messages)
            start = positions.get(pair.id, max(pair.read[user], last - 200))
            if pair.delivered[pair.other(user)]:
                found.append(frames.Delivered(pair.id, pair.delivered[pair.other(user)]))
            if start > last:
                found.append(frames.Gap(pair.id, last + 1, start, "ahead"))
                start = last
            elif pair.id not in positions and start > pair.read[user]:
                found.append(frames.Gap(pair.id, pair.read[user] + 1, start, "older"))
            if start + 1 < pair.first_seq:
                found.append(frames.Gap(pair.id, start + 1, pair.first_seq - 1, "pruned"))
                start = pair.first_seq - 1
            for each in pair.messages[start:]:
                copy = frames.Chat(*(getattr(each, name) for name in each.__struct_fields__))
                copy.origin = "replay"
                found.append(copy)
        return found

    def page(self, user: str, frame: frames.HistoryRequest) -> frames.ServerFrame:
        """Answer `history`: the newest messages, or those before a seq."""
        pair = self.find(user, frame.conversation)
        if pair is None:
            return frames.Error("unknown_conversation", "You have no such conversation.", ref="history")
        before = len(pair.messages) + 1 if frame.before is None else frame.before
        first = max(before - frame.limit, pair.first_seq)
        return frames.History(
            conversation=pair.id,
            messages=[
                frames.Message(each.seq, each.id, each.sender, each.body, each.time, erased=each.erased)
                for each in pair.messages[first - 1 : before - 1]
            ],
            first_seq=pair.first_seq,
            last_seq=len(pair.messages),
            cursor=first if first > pair.first_seq else None,
        )

    def search(self, user: str, query: str) -> frames.SearchResults:
        """Answer `search`."""
        words = query.split()
        return frames.SearchResults(
            [
                frames.Match(pair.id, pair.other(user), each.seq, each.sender, each.body, each.time)
                for pair in self.of(user)
                for each in reversed(pair.messages)
                if all(word in each.body for word in words)
            ]
        )
