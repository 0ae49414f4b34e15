"""General commands: the line itself, history, search, and failed messages."""

from collections.abc import Callable
from typing import Final

from qscp.errors import InvalidTextError
from qscp.limits import PAGE_LIMIT, QUERY_LIMIT
from qscp.text import check_body
from qscp_client.core import events
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.chat_switcher import ChatSwitcher
from qscp_client.core.commands.blocks import BlockCommands
from qscp_client.core.commands.messages import MessageCommands
from qscp_client.core.commands.rooms import RoomCommands
from qscp_client.core.connection_state import Connection, ConnectionState
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Output
from qscp_client.core.events import LineState, StatusLine
from qscp_client.core.history import History
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.outbox import Failure, FailureCode
from qscp_client.core.own_presence import OwnPresence
from qscp_client.core.sender import Sender
from qscp_client.core.sync import Sync

_HISTORY: Final = 20
"""Messages that `/history` shows without a number."""

_LAST: Final = 10
"""Messages that `/last` shows without a number."""


class GeneralCommands:
    """Carries out general commands, and has those about other things: the `Actions` of the table.

    Args:
        out: Where events and frames go.
        chat: The open chat.
        switcher: Closes it.
        sync: The conversations.
        sender: Sends messages.
        history: Asks for messages.
        connection: Returns the connection as it is shown.
        presence: Commands about your presence.
        blocks: Commands about blocked users.
        messages: Commands about messages.
        rooms: Commands about rooms.

    Attributes:
        leaving: Whether the user wants to quit.
    """

    def __init__(
        self,
        out: Output,
        chat: CurrentChat,
        switcher: ChatSwitcher,
        sync: Sync,
        sender: Sender,
        history: History,
        connection: Callable[[], Connection],
        *,
        presence: OwnPresence,
        blocks: BlockCommands,
        messages: MessageCommands,
        rooms: RoomCommands,
    ) -> None:
        self.leaving = False
        self.presence = presence
        self.blocks = blocks
        self.messages = messages
        self.rooms = rooms
        self._out = out
        self._chat = chat
        self._switcher = switcher
        self._sync = sync
        self._sender = sender
        self._history = history
        self._connection = connection

    # --- the line

    def say(self, body: str) -> None:
        """Send a message to the open chat."""
        partner = self._chat.partner
        if partner is None:
            self._out.fail(Problem(ProblemCode.PICK_FIRST))
            return
        if self._sync.is_read_only(partner):
            self._out.fail(Problem(ProblemCode.RECIPIENT_DELETED, name=partner))
            return
        if self.blocks.is_blocked(partner):
            self._out.fail(Problem(ProblemCode.RECIPIENT_BLOCKED, name=partner))
            return
        try:
            body.encode()
            check_body(body)
        except UnicodeEncodeError:
            self._fail(partner, body, Failure(FailureCode.NOT_ENCODABLE))
        except InvalidTextError as error:
            self._fail(partner, body, Failure(error.code, str(error)))
        else:
            self._sender.say(partner, body, conversation=self._chat.conversation)

    def say_action(self, text: str) -> None:
        """Send an action; on the wire it is the line as it was typed."""
        self.say(f"/me {text}")

    def go_back(self) -> None:
        """Close the open chat."""
        if self._chat.partner is None:
            name = "back" if self._switcher.knows("back") else ""
            self._out.show(Problem(ProblemCode.NOT_IN_CHAT, name=name))
            self._switcher.was_removed = False
        else:
            self._switcher.close()

    def quit(self) -> None:
        """End the program, after everything sent was answered."""
        self.leaving = True

    # --- lists and messages

    def show_help(self) -> None:
        """Show the help."""
        self._out.show(events.HelpAsked())

    def show_who(self) -> None:
        """Show who is online, your rooms, and what is unread."""
        self._out.show(events.WhoAsked(*self._switcher.lists()))

    def show_history(self, argument: str) -> None:
        """Show older messages of the open chat."""
        if (found := self._page("history", argument, _HISTORY)) is not None:
            self._history.ask_older(*found)

    def show_last(self, argument: str) -> None:
        """Show the newest messages of the open chat again, with their numbers."""
        if (found := self._page("last", argument, _LAST)) is not None:
            self._history.ask_last(*found)

    def _page(self, command: str, argument: str, default: int) -> tuple[Conversation, int] | None:
        """Return the conversation and the number of messages to ask for; None if they can't be asked for."""
        count = argument.strip() or str(default)
        partner = self._chat.partner
        conversation = self._sync.conversations.named(partner) if partner else None
        if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= PAGE_LIMIT):
            self._out.show(Problem(ProblemCode.USAGE, command=command, count=PAGE_LIMIT))
        elif partner is None:
            self._out.show(Problem(ProblemCode.CHAT_COMMAND, command=command))
        elif conversation is None:
            self._out.show(Notice(NoticeCode.NO_MESSAGES, name=partner))
        elif self._can_ask():
            return conversation, int(count)
        return None

    def search(self, query: str) -> None:
        """Search all conversations."""
        query = query.strip()
        if len(query) > QUERY_LIMIT:
            self._out.show(Problem(ProblemCode.QUERY_TOO_LONG, count=QUERY_LIMIT))
        elif any(0xD800 <= ord(character) <= 0xDFFF for character in query):  # noqa: PLR2004 - surrogates
            self._out.show(Problem(ProblemCode.NOT_UTF8))
        elif self._can_ask():
            self._history.search(query)

    def show_status(self) -> None:
        """Show the delivery state of your recent messages."""
        lines: list[StatusLine] = []
        for conversation_id, message in self._sync.timeline.recent:
            if conversation_id not in self._sync.conversations:
                continue  # a room that you have left since
            conversation = self._sync.conversations.get(conversation_id)
            now = conversation.known.get(message.seq)
            if now is None and message.seq <= conversation.dropped:
                continue  # it might have been redacted
            now = now or message
            state = conversation.delivery.state_of(message.seq)
            lines.append(StatusLine(conversation.name, now.body, state, erased=now.erased))
        outbox = self._sender.outbox
        for state, entries in ((LineState.FAILED, outbox.failed), (LineState.PENDING, list(outbox))):
            for entry in entries:
                failure = Failure.load(entry.failure) if entry.failure else None
                lines.append(StatusLine(entry.to, entry.body, state, failure, entry.kind, entry.target))
        self._out.show(events.StatusAsked(tuple(lines), self._connection()))

    # --- failed messages

    def retry(self, argument: str) -> None:
        """Send failed messages again: of the open chat, or all."""
        if (scope := self._scope("retry", argument)) is not None and not self._sender.retry(*scope):
            self._out.show(Problem(ProblemCode.NOTHING_TO_RETRY))

    def discard(self, argument: str) -> None:
        """Discard failed messages: of the open chat, or all."""
        if (scope := self._scope("drop", argument)) is None:
            return
        if discarded := self._sender.discard(*scope):
            self._out.show(Notice(NoticeCode.DISCARDED, count=len(discarded)))
        else:
            self._out.show(Problem(ProblemCode.NOTHING_TO_DISCARD))

    def _scope(self, command: str, argument: str) -> tuple[str | None] | None:
        """Return the recipient in a tuple, with None for all; return None after a problem."""
        if argument.strip() not in ("", "all"):
            self._out.show(Problem(ProblemCode.USAGE, command=command))
            return None
        return (None,) if argument.strip() else (self._chat.partner,)

    # --- small things

    def _is_online(self) -> bool:
        return self._connection().state is ConnectionState.ONLINE

    def _can_ask(self) -> bool:
        if not self._is_online():
            self._out.show(Problem(ProblemCode.NO_CONNECTION))
        return self._is_online()

    def _fail(self, to: str, body: str, failure: Failure) -> None:
        self._out.failed += 1
        self._out.show(events.MessageFailed(to, body, failure))
