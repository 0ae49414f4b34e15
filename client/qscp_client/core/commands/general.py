"""What the commands do that are for every chat, without I/O: `/history`, `/search`, `/status`, `/away`."""

from collections.abc import Callable
from typing import Final

from qscp import frames
from qscp.errors import InvalidTextError
from qscp.limits import PAGE_LIMIT, QUERY_LIMIT
from qscp.text import check_body, check_status_text
from qscp_client.core import events
from qscp_client.core.commands.messages import Pointing
from qscp_client.core.commands.rooms import Rooming
from qscp_client.core.commands.table import pick_word
from qscp_client.core.conversations import Conversation
from qscp_client.core.effects import Output
from qscp_client.core.events import LineState
from qscp_client.core.requests import Questions
from qscp_client.core.rooms import Rooms
from qscp_client.core.roster import Roster
from qscp_client.core.sender import Sending
from qscp_client.core.sync import Sync

__all__ = ["Acting"]

_HISTORY: Final = 20
"""Messages that `/history` shows without a number."""

_LAST: Final = 10
"""Messages that `/last` shows without a number."""

_CHOOSE_FIRST: Final = "Nothing was sent: choose somebody by their name before you write."


class Acting:
    """Carries out commands; these are the `Actions` of the table of commands.

    Args:
        out: Where events go.
        roster: Who is online.
        sync: The conversations.
        sending: Your own messages without an answer.
        questions: Who asks the server.
        known: What is known of rooms.
        connection: Gives a few words about the connection; empty while there is one.
        messages: Who carries out commands about messages.
        rooms: Who carries out commands about rooms.

    Attributes:
        leaving: Whether you asked to leave.
        failed: Messages of this run that could not even be sent.
        away: The text with which you are away; None if you are not.
    """

    def __init__(
        self,
        out: Output,
        roster: Roster,
        sync: Sync,
        sending: Sending,
        questions: Questions,
        known: Rooms,
        connection: Callable[[], str],
        *,
        messages: Pointing,
        rooms: Rooming,
    ) -> None:
        self.leaving = False
        self.failed = 0
        self.away: str | None = None
        self.messages = messages
        self.rooms = rooms
        self._known = known
        self._out = out
        self._roster = roster
        self._sync = sync
        self._sending = sending
        self._questions = questions
        self._connection = connection

    # --- the line

    def say(self, body: str) -> None:
        """Send a message to the partner, or into the room."""
        partner = self._sync.partner
        if partner is None:
            self.failed += 1
            self._problem(_CHOOSE_FIRST)
            return
        try:
            body.encode()
            check_body(body)
        except UnicodeEncodeError:
            self._fail(partner, body, "The text is not UTF-8.")
        except InvalidTextError as error:
            self._fail(partner, body, str(error))
        else:
            self._sending.say(partner, body)

    def go_back(self) -> None:
        """Leave the chat and choose somebody else."""
        if self._sync.partner is None:
            is_name = "back" in self._roster or self._known.is_in("back")
            hint = f" To choose the person named back, type {pick_word('back')}." if is_name else ""
            self._problem(f"You are not in a chat: type the name of somebody.{hint}")
            return
        self.close_chat()

    def close_chat(self) -> None:
        """Let the line be for choosing somebody."""
        self._sync.close_chat()
        self.open_picker()

    def open_picker(self) -> None:
        """Show that the line is for choosing somebody, who is online, and who has unread messages for you."""
        self._show(
            events.PickerOpened(tuple(self._roster), self._unread(), self._known.lines, self._invitations())
        )

    def act(self, text: str) -> None:
        """Send what you do; on the wire it is the line as it was typed."""
        self.say(f"/me {text}")

    # --- your presence

    def be_away(self, text: str) -> None:
        """Let others see that you are away."""
        text = text.strip()
        try:
            check_status_text(text)
        except InvalidTextError as error:
            self._problem(str(error))
        else:
            self._set_presence(text)

    def be_here(self) -> None:
        """Let others see that you are here again."""
        self._set_presence(None)

    def connected(self) -> None:
        """Be away also over a new connection."""
        if self.away is not None:
            self._out.frames.append(frames.SetPresence("away", self.away))

    def _set_presence(self, away: str | None) -> None:
        self.away = away
        if not self._connection():
            frame = frames.SetPresence("online") if away is None else frames.SetPresence("away", away)
            self._out.frames.append(frame)
        if away is None:
            self._show(events.Notice("You are here."))
        else:
            self._show(events.Notice(f"You are away{f': {away}' if away else ''}. /here ends that."))

    # --- leaving

    def leave(self) -> None:
        """Ask to leave; what was sent is still waited for."""
        self.leaving = True

    # --- what there is to see

    def show_help(self) -> None:
        """Show what can be typed."""
        self._show(events.HelpAsked())

    def show_who(self) -> None:
        """Show who is online, and who has unread messages for you."""
        self._show(
            events.WhoAsked(tuple(self._roster), self._unread(), self._known.lines, self._invitations())
        )

    def show_history(self, argument: str) -> None:
        """Show older messages of the chat."""
        if (found := self._page("history", argument, _HISTORY)) is not None:
            self._questions.ask_older(*found)

    def show_last(self, argument: str) -> None:
        """Show the newest messages of the chat again, with their numbers."""
        if (found := self._page("last", argument, _LAST)) is not None:
            self._questions.ask_last(*found)

    def _page(self, command: str, argument: str, default: int) -> tuple[Conversation, int] | None:
        """Which page of which conversation is asked for; None if it can't be."""
        count = argument.strip() or str(default)
        partner = self._sync.partner
        conversation = self._sync.conversations.named(partner) if partner else None
        if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= PAGE_LIMIT):
            self._problem(f"Type /{command}, or /{command} and a number from 1 to {PAGE_LIMIT}.")
        elif partner is None:
            self._problem(f"Choose somebody first: /{command} shows messages of a chat.")
        elif conversation is None:
            self._show(events.Notice(f"There are no messages with {partner}."))
        elif self._may_ask():
            return conversation, int(count)
        return None

    def search(self, query: str) -> None:
        """Look for words in all conversations."""
        query = query.strip()
        if len(query) > QUERY_LIMIT:
            self._problem(f"A search has at most {QUERY_LIMIT} characters.")
        elif any(0xD800 <= ord(character) <= 0xDFFF for character in query):  # noqa: PLR2004 - surrogates
            self._problem("The search is not UTF-8.")
        elif self._may_ask():
            self._questions.search(query)

    def show_status(self) -> None:
        """Show your own lines of late, and how far each has come."""
        lines: list[tuple[str, str, LineState, str]] = []
        for conversation_id, message in self._sync.timeline.recent:
            if conversation_id not in self._sync.conversations:
                continue  # a room that you have left since
            conversation = self._sync.conversations.get(conversation_id)
            now = conversation.known.get(message.seq) or message
            state = conversation.delivery.state_of(message.seq)
            lines.append((conversation.name, "(erased)" if now.erased else now.body, state, ""))
        outbox = self._sending.outbox
        lines += [(entry.to, entry.shown, LineState.FAILED, entry.failure) for entry in outbox.failed]
        lines += [(entry.to, entry.shown, LineState.PENDING, "") for entry in outbox]
        self._show(events.StatusAsked(tuple(lines), self._connection()))

    # --- what failed

    def retry(self, argument: str) -> None:
        """Send again what failed."""
        if (scope := self._scope("retry", argument)) is not None and not self._sending.retry(scope[0]):
            self._problem("There is nothing to send again.")

    def drop(self, argument: str) -> None:
        """Give up what failed."""
        if (scope := self._scope("drop", argument)) is None:
            return
        dropped = self._sending.drop(scope[0])
        if not dropped:
            self._problem("There is nothing to give up.")
        else:
            count = f"{len(dropped)} message{'s' if len(dropped) > 1 else ''}"
            self._show(
                events.Notice(f"{count} given up: {'they go' if len(dropped) > 1 else 'it goes'} to nobody.")
            )

    # --- small things

    def _invitations(self) -> tuple[str, ...]:
        return tuple(sorted(self._known.invitations))

    def _unread(self) -> tuple[tuple[str, int], ...]:
        return tuple(sorted(self._sync.conversations.unread().items()))

    def _may_ask(self) -> bool:
        if self._connection():
            self._problem("There is no connection; ask again when it is back.")
            return False
        return True

    def _scope(self, command: str, argument: str) -> tuple[str | None] | None:
        """To whom `/retry` and `/drop` apply: the partner, or None for everybody; None if it is unclear."""
        if argument.strip() not in ("", "all"):
            self._problem(f"Type /{command}, or /{command} all.")
            return None
        return (None,) if argument.strip() else (self._sync.partner,)

    def _fail(self, to: str, body: str, reason: str) -> None:
        self.failed += 1
        self._show(events.MessageFailed(to, body, reason))

    def _problem(self, sentence: str) -> None:
        self._show(events.Problem(sentence))

    def _show(self, event: events.Event) -> None:
        self._out.events.append(event)
