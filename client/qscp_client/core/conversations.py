"""All conversations, by id and by name. Sans-I/O."""

from collections.abc import Container, Iterable, Iterator
from typing import Final

from qscp import frames
from qscp.rooms import is_room
from qscp_client.core.changes import SavedPosition
from qscp_client.core.conversation import Conversation

FORMER: Final = "~"
"""Before the number of a former holder of a name; no account can have it in its name."""


class Conversations:
    """All conversations, by id; and by name, which is a label that can change.

    The server's list of conversations has the names as they are now. Between two lists, a name goes to the
    conversation that was seen with it last; the one that had it before gets the next free label of the
    form `bob~1`, until the list says better.

    Args:
        me: Your name.
        positions: What was saved in earlier runs.
        blocks: Names of the users whom you block.

    Attributes:
        outdated: Whether a name has changed since the last list.
    """

    def __init__(self, me: str, positions: Iterable[SavedPosition] = (), blocks: Container[str] = ()) -> None:
        self.outdated = False
        self._me = me
        self._blocks = blocks
        self._by_id: dict[str, Conversation] = {}
        self._by_name: dict[str, Conversation] = {}
        for saved in positions:
            made = self._by_id[saved.conversation] = Conversation(me, saved.conversation, "", saved, blocks)
            self._rename(made, saved.name)

    def __iter__(self) -> Iterator[Conversation]:
        """All conversations, in no order; they can be removed meanwhile."""
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, conversation: str) -> bool:
        """Whether a conversation with this id is known."""
        return conversation in self._by_id

    def get(self, conversation: str, name: str = "") -> Conversation:
        """Return a conversation by its id, made if it is not known.

        Args:
            conversation: The id.
            name: The other member's name or the room's, if it is known. It can be from before a change, so
                it names only a conversation without a name.
        """
        found = self._by_id.get(conversation)
        if found is None:
            found = Conversation(self._me, conversation, blocks=self._blocks)
            self._by_id[conversation] = found
        if name and name != found.name:
            self.outdated |= bool(found.name) or name in self._by_name
            if not found.name:
                self.release(name)
                self._rename(found, name)
        return found

    def acknowledged(self, ack: frames.ChatAck, to: str) -> Conversation:
        """Return the conversation of an own message that is stored.

        Args:
            ack: Its acknowledgement. A repeated one makes no room known: you can have left it since.
            to: The user or room that it was typed for. The name can have been given away since.
        """
        if ack.repeated and is_room(to) and ack.conversation not in self:
            return Conversation(self._me, ack.conversation, to)
        found = self.get(ack.conversation, "" if to in self._by_name else to)
        self.outdated |= not found.name
        return found

    def learn(self, info: frames.ConversationInfo) -> tuple[Conversation, bool]:
        """Apply an entry of the server's list; return its conversation, and whether that has another name."""
        found = self._by_id.get(info.conversation) or self.get(info.conversation)
        before = found.name
        self._rename(found, info.name)
        found.learn(info)
        return found, found.name != before

    def release(self, name: str) -> None:
        """Take a name away from the conversation that has it: the account with that name is another one."""
        former = self._by_name.get(name)
        if former is not None:
            former.deleted = True
            self.outdated = True
            self._rename(former, self._next_label(name))

    def named(self, name: str) -> Conversation | None:
        """Return the conversation that has a name now; None if it is not known."""
        return self._by_name.get(name)

    def positions(self) -> list[frames.Position]:
        """Return the positions to `resume` with."""
        return [
            frames.Position(each.id, each.cursors.applied)
            for each in self._by_id.values()
            if each.cursors.applied is not None
        ]

    def unread(self) -> dict[str, int]:
        """Return the numbers of unread messages by the other member's name, without rooms and zeros."""
        pairs = [each for each in self._by_id.values() if each.name and not each.is_room]
        return {each.name: each.unread.messages for each in pairs if each.unread.messages}

    def rooms(self) -> list[Conversation]:
        """Return the rooms that you are a member of, by name."""
        return sorted((each for each in self._by_id.values() if each.is_room), key=lambda each: each.name)

    def remove(self, conversation: str) -> Conversation | None:
        """Remove a room that you left; return it, or None if it is not known."""
        removed = self._by_id.pop(conversation, None)
        if removed is not None and self._by_name.get(removed.name) is removed:
            del self._by_name[removed.name]
        return removed

    def restart(self) -> None:
        """Forget everything but the names: the server has another history."""
        for each in self._by_id.values():
            each.restart()

    def _rename(self, conversation: Conversation, name: str) -> None:
        if self._by_name.get(conversation.name) is conversation:
            del self._by_name[conversation.name]
        holder = self._by_name.get(name)
        conversation.name = name
        if name:
            self._by_name[name] = conversation
        if holder is not None:
            self._rename(holder, self._next_label(name))

    def _next_label(self, name: str) -> str:
        """Return the first label for a former holder of a name that no conversation has."""
        base, number = name.partition(FORMER)[0], 1
        while (label := f"{base}{FORMER}{number}") in self._by_name:
            number += 1
        return label
