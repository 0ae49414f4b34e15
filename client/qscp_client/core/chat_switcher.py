"""How a chat is opened: with somebody whom the server knows, or in a room that one is in, without I/O."""

from collections.abc import Callable

from qscp import frames
from qscp.rooms import is_room
from qscp_client.core import events
from qscp_client.core.commands.table import TypedLine
from qscp_client.core.effects import Output
from qscp_client.core.recipient import Choosing
from qscp_client.core.requests import Questions
from qscp_client.core.room_requests import Asking
from qscp_client.core.roster import Roster
from qscp_client.core.sync import Sync

__all__ = ["Opening"]


class Opening:
    """Opens chats, asks the server first where that is needed, and keeps what is typed behind it.

    Args:
        me: Your name.
        out: Where events go.
        roster: Who is online.
        sync: The conversations.
        questions: Who asks for what is to be shown.
        asking: Who asks about rooms.
        online: Whether there is a connection.
        now_ms: The time, for what ends at some time.
        go_on: Is called when lines that had to wait can be carried out.
    """

    def __init__(
        self,
        me: str,
        out: Output,
        roster: Roster,
        sync: Sync,
        questions: Questions,
        asking: Asking,
        *,
        online: Callable[[], bool],
        now_ms: Callable[[], int],
        go_on: Callable[[], None],
    ) -> None:
        self._out = out
        self._roster = roster
        self._sync = sync
        self._questions = questions
        self._asking = asking
        self._online = online
        self._now_ms = now_ms
        self._go_on = go_on
        self._choosing = Choosing(me, out)
        self._joins = False

    @property
    def holds(self) -> bool:
        """Whether lines have to wait for the server."""
        return self._choosing.holds

    @property
    def failed(self) -> bool:
        """Whether the last name typed could not be chosen."""
        return self._choosing.failed

    def hold(self, line: TypedLine) -> bool:
        """Keep a line for later, if an answer has to come first; return whether it does."""
        return self._choosing.hold(line)

    def wait_with(self, line: TypedLine) -> None:
        """Keep a line for later, before all others."""
        self._choosing.wait_with(line)

    def release(self) -> None:
        """Carry out what waited for something else than a name."""
        if self._choosing.waiting:
            self._choosing.waiting = False
            self._go_on()

    def next_held(self) -> TypedLine | None:
        """Return the next line that was kept; None if there is none, or something has to come first."""
        return self._choosing.next_held()

    def choose(self, typed: str) -> None:
        """Open the chat with somebody, or in a room; ask the server first if we don't know them."""
        name = self._choosing.check(typed)
        if name is None:
            return
        if is_room(name):
            self._choose_room(name)
        elif self._online() and name not in self._roster and not self._talked_with(name):
            self._choosing.ask(name)
        else:
            self._open(self._as_far_as_we_know(name))

    def answer(self, answer: frames.Whois | None = None) -> None:
        """Open the chat that waits for an answer, unless there is nobody; then do what was typed behind it.

        Args:
            answer: The answer; None if there is none, and the first message will show.
        """
        name = self._choosing.take_asked()
        if name is None:
            return
        if answer is None:
            self._open(self._as_far_as_we_know(name))
        elif answer.known:
            self._open(events.ChatOpened(name, answer.status or "offline", answer.text))
        else:
            self._choosing.refuse(name)
        self._go_on()

    def lost(self) -> None:
        """The connection is lost: nobody answers whether there is somebody; to join a room we ask again."""
        name = self._choosing.asked or ""
        if not is_room(name):
            self.answer()
        elif not self._joins:
            self.entered(can_enter=True)

    def give_up(self) -> None:
        """Nothing is answered any more: what was typed for a room goes to nobody."""
        if self._choosing.asked is not None:
            count = self._choosing.give_up()
            lines = f" {count} line{'s' if count > 1 else ''} behind it went to nobody." if count else ""
            sentence = f"The server did not say whether you may come into the room.{lines}"
            self._out.events.append(events.Problem(sentence))

    # --- rooms

    def expect(self, room: str) -> None:
        """A room is about to be entered: what is typed behind it must not go to anybody else."""
        self._sync.close_chat()
        self._joins = True
        self._choosing.expect(room)

    def entered(self, can_enter: bool) -> None:
        """It is decided whether the room can be entered; do what was typed behind it."""
        name = self._choosing.take_asked()
        joins, self._joins = self._joins, False
        if can_enter and name is not None:
            self._open_room(name)
            if joins and self._sync.has_older(name):
                self._out.events.append(events.Notice("There are older messages: /history shows them."))
        self._go_on()

    def _choose_room(self, name: str) -> None:
        rooms = self._asking.rooms
        if rooms.is_in(name) and name not in rooms.known and self._online():
            # What the room is stands before what was written in it.
            self._choosing.expect(name)
            self._asking.look_up(name)
        elif rooms.is_in(name):
            self._open_room(name)
        else:
            self._choosing.refuse_room(name, invited=name in self._asking.rooms.invitations)

    def _open_room(self, name: str) -> None:
        self._choosing.failed = False
        self._open(events.RoomOpened(name, self._asking.rooms.known.get(name), self._now_ms()))

    # --- what is shown

    def _as_far_as_we_know(self, name: str) -> events.ChatOpened:
        person = self._roster.get(name)
        if person is not None:
            return events.ChatOpened(name, person.status, person.text)
        known = self._talked_with(name) or self._roster.was_seen(name)
        return events.ChatOpened(name, "offline", known=known)

    def _open(self, opened: events.ChatOpened | events.RoomOpened) -> None:
        self._out.events.append(opened)
        missing = self._sync.open(opened.name)
        if missing is not None and self._online():
            self._questions.ask_unread(missing)
        elif missing is not None:
            self._sync.show_unread(missing, None)

    def _talked_with(self, name: str) -> bool:
        return self._sync.conversations.named(name) is not None
