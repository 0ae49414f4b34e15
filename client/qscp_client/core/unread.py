"""Unread messages of one conversation: how many there are, and how many mention you. Sans-I/O."""

from collections.abc import Container, Iterable

from qscp_client.core.messages import Amendment, Message


class UnreadCounter:
    """Count of others' messages after the read position, which all devices of an account share.

    Always `0 <= mentions <= messages <= last - read`, or nothing is unread. The count is exact while every
    message is applied here or counted by the server, which stops at 1000. Reading on another device never
    makes it too low.

    Args:
        me: Your name.
        last: The newest seq that is known.
        blocks: Names of the users whom you block: their mentions do not count.

    Attributes:
        messages: How many messages are unread.
        mentions: How many of them mention you.
        last: The newest seq that is known; messages up to it are counted.
        read: The seq up to which you have read, on any device.
    """

    def __init__(self, me: str, last: int = 0, blocks: Container[str] = ()) -> None:
        self.messages = 0
        self.mentions = 0
        self.last = last
        self.read = 0
        self._me = me
        self._blocks = blocks

    def is_mention(self, message: Message) -> bool:
        """Whether a message counts as one that mentions you."""
        return self._me in message.mentions and message.sender not in self._blocks

    def apply(self, item: Message | Amendment) -> None:
        """Count an item that was applied; amendments and your own messages are never unread."""
        if item.seq <= self.last:
            return
        self.last = item.seq
        if isinstance(item, Message) and item.sender != self._me and item.seq > self.read:
            self.messages += 1
            self.mentions += self.is_mention(item)

    def display(self, seq: int, messages: int = 0, mentions: int = 0) -> None:
        """Advance the read position to what was displayed in the chat.

        Args:
            seq: The new position; nothing happens if it was read before.
            messages: Others' messages between the old position and the new one.
            mentions: How many of them mention you.
        """
        if seq > self.read:
            self.read = seq
            self._set(self.messages - messages, self.mentions - mentions)

    def display_all(self) -> None:
        """Count nothing as unread: everything that is known was displayed."""
        self.messages = self.mentions = 0

    def read_elsewhere(self, seq: int, buffered: Iterable[Message], *, is_complete: bool) -> None:
        """Advance the read position to what was read on another device.

        Args:
            seq: The new position; nothing happens if it was read before.
            buffered: Others' messages that were applied and not displayed.
            is_complete: Whether all of them after the new position are buffered.
        """
        if seq <= self.read:
            return
        self.read = seq
        if is_complete:
            self._set(*self._count(buffered, after=seq))
        else:
            self._set(self.messages, self.mentions)

    def learn(self, read: int, last: int, unread: tuple[int, int], buffered: Iterable[Message]) -> None:
        """Apply what the server counted; its count is used unless more was read here than it knows.

        Args:
            read: The server's read position.
            last: The newest seq when it counted.
            unread: How many messages it counted after `read`, and how many of them mention you.
            buffered: Others' messages that were applied and not displayed.
        """
        self.last = max(self.last, last)
        self.read = max(self.read, read)
        messages, mentions = self.messages, self.mentions
        if self.read == read:
            newer = self._count(buffered, after=max(last, read))
            messages, mentions = unread[0] + newer[0], unread[1] + newer[1]
        self._set(messages, mentions)

    def skip_to(self, last: int) -> None:
        """Begin with everything read up to a seq, as in a room that you have just joined."""
        self.last = self.read = last
        self.display_all()

    def rewind(self, seq: int) -> None:
        """Go back to a seq: the server has nothing after it."""
        self.last = min(self.last, seq)
        self.read = min(self.read, seq)
        self._set(self.messages, self.mentions)

    def _count(self, messages: Iterable[Message], *, after: int) -> tuple[int, int]:
        counted = [each for each in messages if each.seq > after]
        return len(counted), sum(map(self.is_mention, counted))

    def _set(self, messages: int, mentions: int) -> None:
        self.messages = max(min(messages, self.last - self.read), 0)
        self.mentions = max(min(mentions, self.messages), 0)
