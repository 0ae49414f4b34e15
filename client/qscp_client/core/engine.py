"""The client's mind, without I/O: typed lines and frames go in; what to send, show and save comes out.

    engine.enter(TypedLine("hello"))        # or engine.receive(frame), engine.tick()
    save(engine.additions_to_save()); show(engine.events_to_show())
    save(engine.changes_to_save()); send(engine.frames_to_send())

in this order: what was typed is on disk before it is shown and sent, and a position is saved when what it is
about was shown, and told to the server when it was saved.

The line has two modes. In the *picker* (`partner` is None) a line is the name of
somebody to chat with, or of a room; in a *chat* it is a message to `partner`. Only the person at the
keyboard changes the mode: whoever else writes is shown, marked, and waits.

An engine lives as long as the program, over any number of connections.
"""

from collections.abc import Callable
from typing import assert_never

from qscp import frames
from qscp_client.core import events
from qscp_client.core.changes import Added, Change, Saved
from qscp_client.core.chat_switcher import Opening
from qscp_client.core.commands.general import Acting
from qscp_client.core.commands.messages import Pointing
from qscp_client.core.commands.rooms import Rooming
from qscp_client.core.commands.table import Choose, Nothing, Refuse, Run, Say, TypedLine, interpret
from qscp_client.core.effects import Clock, Output
from qscp_client.core.requests import Questions
from qscp_client.core.room_requests import Asking
from qscp_client.core.rooms import Rooms
from qscp_client.core.roster import PresenceChange, Roster
from qscp_client.core.sender import Sending
from qscp_client.core.sync import Sync
from qscp_client.core.typing_status import Typists
from qscp_client.ending import Ending

__all__ = ["Engine"]


class Engine:
    """The client, from the first login to the end.

    Args:
        me: Your name, as `auth_ack` has it.
        make_id: Makes the id of a new message.
        clock: The time.
        saved: What was kept from last time.
        shows_at_once: Whether messages of all conversations are shown when they come, and what failed is
            forgotten at the end: nobody is there who decides later.
        tells_typing: Whether you want to say that you are writing, and to know who is.

    Attributes:
        me: Your name.
        roster: Who is online.
        typists: Who is writing.
        online: Whether there is a connection.
        next_try: While there is none: when the next one is tried, by the clock.
        ending: How the server ended the connection, once it did.
    """

    def __init__(
        self,
        me: str,
        make_id: Callable[[], str],
        clock: Clock,
        saved: Saved | None = None,
        *,
        shows_at_once: bool = False,
        tells_typing: bool = False,
    ) -> None:
        saved = saved or Saved()
        self.me = me
        self.roster = Roster(me)
        self.online = False
        self.next_try: float | None = None
        self.ending: Ending | None = None
        self.clock = clock
        self._out = Output()
        self._sending = Sending(self._out, clock, make_id, saved.outbox, keeps_failed=not shows_at_once)
        self._sync = Sync(me, self._out, clock, self._sending, saved, shows_at_once=shows_at_once)
        self._questions = Questions(self._out, self._sync)
        self._rooms = Rooms(me, self._out, clock, self._sync, self._close_chat)
        self._asking = Asking(self._out, clock, self._sync, self._rooms, self._entered)
        self._opening = Opening(
            me,
            self._out,
            self.roster,
            self._sync,
            self._questions,
            self._asking,
            online=lambda: self.online,
            now_ms=clock.wall_ms,
            go_on=self._go_on,
        )
        self._pointing = Pointing(me, self._out, self._sync, self._sending, self._questions.are_open)
        self.typists = Typists(me, self._out, clock, enabled=tells_typing)
        self._acting = Acting(
            self._out,
            self.roster,
            self._sync,
            self._sending,
            self._questions,
            self._rooms,
            lambda: self.connection,
            messages=self._pointing,
            rooms=Rooming(self._sync, self._asking, lambda: self.connection, self._opening.expect),
        )
        self._refused = 0
        self._welcomed = False

    @property
    def partner(self) -> str | None:
        """With whom you chat, or in which room; None in the picker."""
        return self._sync.partner

    @property
    def ready(self) -> bool:
        """Whether typed lines may come: who is online and who wrote is known."""
        return self._welcomed

    @property
    def pending(self) -> int:
        """How many of your messages were not acknowledged yet."""
        return len(self._sending.outbox)

    @property
    def failed(self) -> int:
        """How much of what you wanted in this run was refused, here or by the server."""
        return self._acting.failed + self._pointing.failed + self._asking.failed + self._refused

    @property
    def leaving(self) -> bool:
        """Whether you asked to leave."""
        return self._acting.leaving

    @property
    def failures(self) -> int:
        """How many failed messages wait for `/retry` or `/drop`."""
        return len(self._sending.outbox.failed)

    @property
    def busy(self) -> bool:
        """Whether something is not answered yet."""
        return bool(self.pending or len(self._questions) or len(self._asking) or self.choosing)

    @property
    def choosing(self) -> bool:
        """Whether lines that were typed wait for something that the server has to say."""
        return self._opening.holds

    @property
    def choice_failed(self) -> bool:
        """Whether the last name typed could not be chosen."""
        return self._opening.failed

    @property
    def connection(self) -> str:
        """A few words about the connection, if it is not as it should be."""
        if self.online:
            return ""
        if self.next_try is None:
            return "connecting"
        return f"offline, connecting again in {max(round(self.next_try - self.clock.now()), 0)} s"

    @property
    def unread(self) -> dict[str, int]:
        """Who has unread messages for you, and how many."""
        return self._sync.conversations.unread()

    @property
    def rooms(self) -> tuple[events.RoomLine, ...]:
        """The rooms that you are in, with what is unread."""
        return self._rooms.lines

    @property
    def invitations(self) -> list[str]:
        """Rooms that you may join."""
        return sorted(self._rooms.invitations)

    @property
    def away(self) -> bool:
        """Whether you said that you are away."""
        return self._acting.away is not None

    @property
    def names(self) -> list[str]:
        """Everybody and every room that is known: online, or with a conversation."""
        known = {each.name for each in self._sync.conversations if each.name}
        return sorted(known.union(person.user for person in self.roster))

    def frames_to_send(self) -> list[frames.ClientFrame]:
        """Return the frames to send now, and forget them."""
        return self._out.take_frames()

    def events_to_show(self) -> list[events.Event]:
        """Return what to show now, and forget it."""
        return self._out.take_events()

    def additions_to_save(self) -> list[Change]:
        """Return the messages to save before they are shown, and forget them."""
        changes = self._out.take_changes()
        self._out.changes = [each for each in changes if not isinstance(each, Added)]
        return [each for each in changes if isinstance(each, Added)]

    def changes_to_save(self) -> list[Change]:
        """Return what to save after everything was shown, and forget it."""
        return self._out.take_changes()

    # --- the connection

    def connected(self, ack: frames.AuthAck) -> None:
        """Begin on a connection that is logged in."""
        self.online = True
        self.next_try = None
        self.ending = None
        self._sync.connected(ack)
        self._rooms.connected()
        self._asking.connected()
        self._sending.connected()
        self._acting.connected()
        self.typists.connected(ack)

    def lost(self) -> None:
        """The connection is over."""
        self.online = False
        self._questions.lost()
        self._asking.lost()
        self._sync.lost()
        self._sending.outbox.disconnected()
        self.roster.lost()
        self.typists.lost()
        self._opening.lost()
        self._opening.release()

    def tick(self) -> None:
        """Do what is due by now; without a connection that is to call failed what is too old."""
        if self.online:
            self._sync.receipts.send()
            self.typists.tick()
        self._sending.tick()

    def next_due(self) -> float | None:
        """When `tick` has something to do, by the clock."""
        if not self.online:
            return None
        dues = (self._sync.receipts.due, self._sending.outbox.next_due(), self.typists.next_due())
        return min((due for due in dues if due is not None), default=None)

    def say_bye(self) -> None:
        """Tell the server that we leave; nothing may be sent after it."""
        self._sync.receipts.send(at_once=True)
        self._out.frames.append(frames.ClientBye())

    def give_up(self, *, keeps: bool) -> None:
        """Tell of each message that was not acknowledged: it may or may not have been stored.

        Args:
            keeps: Whether it is on disk, for the next start.
        """
        if self.choosing:
            # What was typed behind the name is kept like all that has no answer.
            self.lost()
            self._opening.give_up()
        reason = "the server did not say whether it was stored"
        if keeps:
            reason += "; it is kept, and goes out when the client is started again"
        for entry in self._sending.outbox:
            self._show(events.MessageFailed(entry.to, entry.shown, reason, entry.id))

    def tell(self, sentence: str) -> None:
        """Show a sentence about the connection."""
        self._show(events.Notice(sentence))

    # --- what the person does

    def enter(self, line: TypedLine) -> None:
        """Carry out a typed line, now or when the server has said what has to be known before."""
        if not self._opening.hold(line):
            self._carry_out(line)

    def _entered(self, can_enter: bool) -> None:
        """It is decided whether a room can be entered."""
        if not can_enter:
            self._acting.open_picker()
        self._opening.entered(can_enter)

    def _close_chat(self) -> None:
        """The room that was open is no room of yours any more."""
        self._acting.close_chat()

    def _go_on(self) -> None:
        """Carry out the lines that had to wait for an answer."""
        while not self.leaving and (line := self._opening.next_held()) is not None:
            self._carry_out(line)

    def _carry_out(self, line: TypedLine) -> None:
        match interpret(line, chatting=self.partner is not None):
            case Nothing():
                pass
            case Say(body):
                self._acting.say(body)
            case Choose(name):
                self._opening.choose(name)
            case Run(command, argument) if command.points and self._pointing.must_wait(self.online):
                self._opening.wait_with(line)
            case Run(command, argument):
                command.run(self._acting, argument)
            case Refuse(sentence, closes):
                self._refused += 1
                self._show(events.Problem(sentence))
                if closes:
                    self._opening.expect("")
                    self._entered(can_enter=False)
            case meaning:
                assert_never(meaning)

    # --- what the server sends

    def receive(self, frame: frames.ServerFrame) -> None:
        """Take in a frame."""
        self._receive(frame)
        self.typists.receive(frame)
        if not self._pointing.must_wait(self.online):
            self._opening.release()

    def _receive(self, frame: frames.ServerFrame) -> None:  # noqa: C901 - a case for each frame
        match frame:
            case frames.OnlineUsers():
                self._receive_page(frame)
            case frames.PresenceChanges():
                self._tell_changes(self.roster.apply_changes(frame))
            case frames.ChatNack():
                self._refused += self._sending.refused(frame)
            case frames.Error(ref=str()):
                self._receive_refusal(frame)
            case frames.Whois():
                self._opening.answer(frame)
            case frames.ServerPing():
                self._out.frames.append(frames.ClientPong())
            case frames.ServerBye():
                self.ending = Ending(frame.reason, frame.message, frame.reconnect)
            case frames.Error():
                self.ending = Ending(frame.code, frame.message)
            case frames.History() | frames.SearchResults():
                self._questions.receive(frame)
            case frames.RoomAck() | frames.Rooms() | frames.RoomMembers() | frames.RoomLog():
                self._asking.receive(frame)
            case _ if not self._rooms.receive(frame):
                self._sync.receive(frame)
                self._welcome()
                self._rooms.check()
            case _:
                pass

    def _receive_refusal(self, frame: frames.Error) -> None:
        if frame.ref in ("join", "leave", "room", "rooms"):
            self._asking.receive(frame)
            return
        self._show(events.Notice(frame.message))
        if frame.ref == "whois":
            self._opening.answer()
        else:
            self._questions.receive(frame)

    def _receive_page(self, frame: frames.OnlineUsers) -> None:
        changes = self.roster.apply_page(frame)
        if self._welcomed:
            self._tell_changes(changes)
        else:
            self._welcome()

    def _welcome(self) -> None:
        if not self._welcomed and self.roster.complete and self._sync.listed:
            self._welcomed = True
            self._show(events.Welcome(self.me))
            if self.failures:
                self._show(
                    events.Notice(
                        f"Failed before: {self.failures}. /status shows what, /retry all sends it again, "
                        "/drop all gives it up."
                    )
                )
            self._acting.open_picker()

    def _tell_changes(self, changes: list[PresenceChange]) -> None:
        for change in changes:
            is_partner = change.person.user == self.partner
            if is_partner or self.partner is None:
                self._show(events.PresenceChanged(change.person, change.was_online, is_partner))

    def _show(self, event: events.Event) -> None:
        self._out.events.append(event)
