"""What is done to messages: which one is meant, and what is sent about it, without I/O.

A message is pointed at by its number, which is its seq; without a number the last one is meant.
"""

import re
from collections.abc import Callable
from typing import Final

from qscp.errors import InvalidTextError
from qscp.rooms import check_reaction, check_topic
from qscp.text import check_body
from qscp_client.core import events
from qscp_client.core.conversations import Conversation
from qscp_client.core.effects import Output
from qscp_client.core.messages import Message
from qscp_client.core.outbox import EntryKind
from qscp_client.core.sender import Sending
from qscp_client.core.sync import Sync

__all__ = ["Pointing"]

_NUMBER: Final = re.compile(r"(?:\(#?([0-9]{1,18})\)|#?([0-9]{1,18}))(?:\s+|$)")


class Pointing:
    """Carries out commands about messages; these are the `MessageActions` of the table of commands.

    Args:
        me: Your name.
        out: Where events go.
        sync: The conversations.
        sending: Who sends it.
        is_asked: Whether messages were asked for that have not come yet.

    Attributes:
        failed: How often nothing could be sent.
    """

    def __init__(
        self, me: str, out: Output, sync: Sync, sending: Sending, is_asked: Callable[[], bool]
    ) -> None:
        self.failed = 0
        self._me = me
        self._out = out
        self._sync = sync
        self._sending = sending
        self._is_asked = is_asked

    def must_wait(self, online: bool) -> bool:
        """Whether the server is about to say which messages there are.

        Args:
            online: Whether there is a connection.
        """
        partner = self._sync.partner
        if not online or partner is None:
            return False
        return self._is_asked() or (
            partner not in self._sending.outbox.refused_to and self._is_pending(partner)
        )

    def reply(self, argument: str) -> None:
        """Answer a message."""
        if (found := self._find(argument, own=False)) is not None and self._has_text(found[1]):
            self._send(found[0], found[1], EntryKind.CHAT)

    def edit(self, argument: str) -> None:
        """Give a message of your own another text."""
        if (found := self._find(argument, own=True)) is None or not self._has_text(found[1]):
            return
        if self._is_own(found[0]):
            self._send(found[0], found[1], EntryKind.EDIT)

    def redact(self, argument: str) -> None:
        """Take the text of a message away."""
        if argument.strip() and not _NUMBER.match(argument):
            # Else a word too much would take away something else than was meant.
            self._fail("Nothing was done: why needs a number before it, as in /redact 41 WHY.")
            return
        if (found := self._find(argument, own=True)) is None:
            return
        message, reason = found[0], found[1].strip()
        conversation = self._conversation()
        if conversation is None or not (conversation.is_room or self._is_own(message)):
            return
        try:
            check_topic(reason)
        except InvalidTextError as error:
            self._fail(f"{error} Nothing was done.")
        else:
            self._send(message, reason, EntryKind.REDACT)

    def react(self, argument: str) -> None:
        """Put a reaction on a message."""
        self._react(argument, EntryKind.REACT)

    def unreact(self, argument: str) -> None:
        """Take a reaction of yours away."""
        self._react(argument, EntryKind.UNREACT)

    def _react(self, argument: str, kind: EntryKind) -> None:
        if (found := self._find(argument, own=False)) is None:
            return
        message, text = found[0], found[1].strip()
        try:
            check_reaction(text)
        except InvalidTextError:
            self._fail("A reaction is one emoji or a short word. Nothing was sent.")
        else:
            self._send(message, text, kind)

    # --- which message

    def _conversation(self) -> Conversation | None:
        partner = self._sync.partner
        return None if partner is None else self._sync.conversations.named(partner)

    def _find(self, argument: str, *, own: bool) -> tuple[Message, str] | None:
        """Find the message that is meant, and what was typed behind its number; None if there is none.

        Args:
            argument: What was typed behind the command.
            own: Whether your own last message is meant if there is no number; else somebody else's.
        """
        conversation = self._conversation()
        if self._sync.partner is None:
            self._fail("Nothing was sent: choose somebody, or a room, first.")
            return None
        number = _NUMBER.match(argument)
        if number is None:
            message = self._last(conversation, own=own)
            return None if message is None else (message, argument)
        seq = int(number[1] or number[2])
        message = conversation.known.get(seq) if conversation else None
        if message is None:
            self._fail(
                f"No message with the number {seq} was shown here; /last shows the last ones with "
                "their numbers. Nothing was sent."
            )
            return None
        if message.erased:
            self._fail(f"The text of {seq} is gone. Nothing was sent.")
            return None
        return message, argument[number.end() :]

    def _last(self, conversation: Conversation | None, *, own: bool) -> Message | None:
        if own and self._is_pending(self._sync.partner):
            self._fail("Your last message is not stored yet; wait until it is. Nothing was sent.")
            return None
        known = conversation.known if conversation else ()
        found = [each for each in known if (each.sender == self._me) is own and not each.erased]
        if not found:
            whose = "of yours" if own else "of somebody else"
            self._fail(f"No message {whose} was shown here; /last shows the last. Nothing was sent.")
            return None
        return max(found, key=lambda each: each.seq)

    def _is_pending(self, partner: str | None) -> bool:
        """Whether a message of yours in the chat has no place yet."""
        return any(each.to == partner and each.kind is EntryKind.CHAT for each in self._sending.outbox)

    def _is_own(self, message: Message) -> bool:
        if message.sender != self._me:
            self._fail(f"{message.seq} is a message of {message.sender}, not yours. Nothing was sent.")
        return message.sender == self._me

    # --- small things

    def _has_text(self, body: str) -> bool:
        try:
            check_body(body)
        except InvalidTextError as error:
            self._fail(f"{error} Nothing was sent.")
            return False
        return True

    def _send(self, message: Message, body: str, kind: EntryKind) -> None:
        if self._sync.partner is not None:
            self._sending.say(self._sync.partner, body, kind, message.seq)

    def _fail(self, sentence: str) -> None:
        self.failed += 1
        self._out.events.append(events.Problem(sentence))
