"""Message commands (`/reply`, `/edit`, `/redact`, `/react`, `/unreact`): select the target and send.

The target is selected by its number, which is its seq; without a number it is the last message.
"""

import re
from collections.abc import Callable, Container
from typing import Final

from qscp.errors import InvalidTextError
from qscp.rooms import check_reaction, check_topic
from qscp.text import check_body
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Output
from qscp_client.core.messages import Message
from qscp_client.core.notices import Problem, ProblemCode
from qscp_client.core.outbox import EntryKind
from qscp_client.core.requests import PendingRequests
from qscp_client.core.sender import Sender
from qscp_client.core.sync import Sync

_NUMBER: Final = re.compile(r"(?:\(#?([0-9]{1,18})\)|#?([0-9]{1,18}))(?:\s+|$)")


class MessageCommands:
    """Carries out commands about messages of the open chat: the `MessageActions` of the table.

    Args:
        me: Your name.
        out: Where problems go.
        chat: The open chat.
        sync: The conversations.
        sender: Sends messages.
        requests: What was asked and is not answered.
        blocked: Names of the users whom you block.
        online: Whether there is a connection.
    """

    def __init__(
        self,
        me: str,
        out: Output,
        chat: CurrentChat,
        sync: Sync,
        sender: Sender,
        requests: PendingRequests,
        blocked: Container[str],
        online: Callable[[], bool],
    ) -> None:
        self._me = me
        self._out = out
        self._chat = chat
        self._sync = sync
        self._sender = sender
        self._requests = requests
        self._blocked = blocked
        self._online = online

    @property
    def must_wait(self) -> bool:
        """Whether the server is about to say which messages there are."""
        partner = self._chat.partner
        if not self._online() or partner is None:
            return False
        if self._requests.awaits_messages:
            return True
        return partner not in self._sender.outbox.refused_to and self._is_pending(partner)

    def reply(self, argument: str) -> None:
        """Answer a message."""
        if (found := self._find("reply", argument, own=False)) is not None and self._has_text(found[1]):
            self._send(found[0], found[1], EntryKind.CHAT)

    def edit(self, argument: str) -> None:
        """Replace the text of one of your messages."""
        if (found := self._find("edit", argument, own=True)) is None or not self._has_text(found[1]):
            return
        if self._is_own("edit", found[0]):
            self._send(found[0], found[1], EntryKind.EDIT)

    def redact(self, argument: str) -> None:
        """Delete the text of a message."""
        if argument.strip() and not _NUMBER.match(argument):
            # A reason alone would delete the last message, which might not be the one that was meant.
            self._fail(Problem(ProblemCode.REASON_WITHOUT_NUMBER, command="redact"))
            return
        if (found := self._find("redact", argument, own=True)) is None:
            return
        message, reason = found[0], found[1].strip()
        conversation = self._conversation()
        if conversation is None or not (conversation.is_room or self._is_own("redact", message)):
            return
        try:
            check_topic(reason)
        except InvalidTextError as error:
            self._fail(Problem(ProblemCode.INVALID_TEXT, error=error.code, text=str(error)))
        else:
            self._send(message, reason, EntryKind.REDACT)

    def react(self, argument: str) -> None:
        """Add a reaction to a message."""
        self._react("react", argument, EntryKind.REACT)

    def unreact(self, argument: str) -> None:
        """Remove your reaction from a message."""
        self._react("unreact", argument, EntryKind.UNREACT)

    def _react(self, command: str, argument: str, kind: EntryKind) -> None:
        if (found := self._find(command, argument, own=False)) is None:
            return
        message, text = found[0], found[1].strip()
        try:
            check_reaction(text)
        except InvalidTextError:
            self._fail(Problem(ProblemCode.INVALID_REACTION))
        else:
            self._send(message, text, kind)

    # --- the target

    def _conversation(self) -> Conversation | None:
        partner = self._chat.partner
        return None if partner is None else self._sync.conversations.named(partner)

    def _find(self, command: str, argument: str, *, own: bool) -> tuple[Message, str] | None:
        """Return the target, and what was typed after its number; None if there is no target.

        Args:
            command: The name of the command.
            argument: What was typed after it.
            own: Whether your own last message is the target without a number; else the last one of others.
        """
        conversation, partner = self._conversation(), self._chat.partner
        if partner is None:
            self._fail(Problem(ProblemCode.PICK_FIRST))
            return None
        if self._sync.is_read_only(partner):
            self._fail(Problem(ProblemCode.RECIPIENT_DELETED, name=partner))
            return None
        number = _NUMBER.match(argument)
        if number is None:
            message = self._last(command, conversation, own=own)
            return None if message is None else (message, argument)
        seq = int(number[1] or number[2])
        message = conversation.known.get(seq) if conversation else None
        if message is None:
            self._fail(Problem(_missing(conversation, seq), count=seq))
            return None
        if message.erased:
            self._fail(Problem(ProblemCode.MESSAGE_DELETED, count=seq))
            return None
        return message, argument[number.end() :]

    def _last(self, command: str, conversation: Conversation | None, *, own: bool) -> Message | None:
        if own and self._is_pending(self._chat.partner):
            self._fail(Problem(ProblemCode.NOT_STORED_YET))
            return None
        known = conversation.known if conversation else ()
        found = [each for each in known if (each.sender == self._me) is own and not each.erased]
        if not found:
            self._fail(Problem(ProblemCode.NO_TARGET, command=command))
            return None
        return max(found, key=lambda each: each.seq)

    def _is_pending(self, partner: str | None) -> bool:
        """Whether a message of yours in the chat has no number yet."""
        return any(each.to == partner and each.kind is EntryKind.CHAT for each in self._sender.outbox)

    def _is_own(self, command: str, message: Message) -> bool:
        if message.sender == self._me:
            return True
        code = ProblemCode.NOT_YOUR_MESSAGE
        self._fail(Problem(code, command=command, count=message.seq, user=message.sender))
        return False

    # --- small things

    def _has_text(self, body: str) -> bool:
        try:
            check_body(body)
        except InvalidTextError as error:
            self._fail(Problem(ProblemCode.INVALID_TEXT, error=error.code, text=str(error)))
            return False
        return True

    def _send(self, message: Message, body: str, kind: EntryKind) -> None:
        partner = self._chat.partner
        if partner is None:
            return
        if partner in self._blocked and kind is not EntryKind.REDACT:
            self._fail(Problem(ProblemCode.RECIPIENT_BLOCKED, name=partner))
        else:
            self._sender.say(partner, body, kind, message.seq, self._chat.conversation)

    def _fail(self, problem: Problem) -> None:
        self._out.fail(problem)


def _missing(conversation: Conversation | None, seq: int) -> ProblemCode:
    """Return why a message can't be a target: it was never shown, or was dropped since."""
    if conversation is None or seq > conversation.dropped:
        return ProblemCode.NO_SUCH_MESSAGE
    if seq < conversation.cursors.first:
        return ProblemCode.MESSAGE_REMOVED
    return ProblemCode.MESSAGE_OUTDATED
