"""The client's mind, without I/O: typed lines and frames go in, frames and events come out.

    engine.enter(TypedLine("hello"))        # or engine.receive(frame)
    for frame in engine.frames_to_send(): ...
    for event in engine.events_to_show(): ...

The line has two modes. In the *picker* (`partner` is None) a line is the name of
somebody to chat with; in a *chat* it is a message to `partner`. Only the person at the
keyboard changes the mode: whoever else writes is shown, marked, and waits.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import assert_never

from qscp import frames
from qscp.errors import InvalidNameError, InvalidTextError
from qscp.names import normalize_name
from qscp.text import check_body
from qscp_client import events
from qscp_client.commands import Choose, Nothing, Refuse, Run, Say, TypedLine, interpret, pick_word
from qscp_client.model import Outbox, PresenceChange, Roster

__all__ = ["Ending", "Engine"]


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How the server ended the session."""

    code: str
    message: str


class Engine:
    """One session, from login to the end.

    Args:
        me: Your name, as `auth_ack` has it.
        make_id: Makes the id of a new message.

    Attributes:
        me: Your name.
        partner: With whom you chat; None in the picker.
        roster: Who is online.
        waiting: For each name, how many messages came outside the current chat since
            that person was last chosen.
        leaving: Whether you asked to leave.
        ending: How the server ended the session, once it did.
        failed: Messages that were refused or given up.
        choice_failed: Whether the last name typed could not be chosen.
    """

    def __init__(self, me: str, make_id: Callable[[], str]) -> None:
        self.me = me
        self.partner: str | None = None
        self.roster = Roster(me)
        self.waiting: Counter[str] = Counter()
        self.leaving = False
        self.ending: Ending | None = None
        self.failed = 0
        self.choice_failed = False
        self._make_id = make_id
        self._outbox = Outbox()
        self._frames: list[frames.ClientFrame] = []
        self._events: list[events.Event] = []

    @property
    def ready(self) -> bool:
        """Whether typed lines may come: who is online is known."""
        return self.roster.complete

    @property
    def pending(self) -> int:
        """How many of your messages were not answered yet."""
        return len(self._outbox)

    def frames_to_send(self) -> list[frames.ClientFrame]:
        """Return the frames to send now, and forget them."""
        taken, self._frames = self._frames, []
        return taken

    def events_to_show(self) -> list[events.Event]:
        """Return what to show now, and forget it."""
        taken, self._events = self._events, []
        return taken

    # --- what the person does

    def enter(self, line: TypedLine) -> None:
        """Carry out a typed line."""
        match interpret(line, chatting=self.partner is not None):
            case Nothing():
                pass
            case Say(body):
                self.say(body)
            case Choose(name):
                self.choose(name)
            case Run(command, argument):
                command.run(self, argument)
            case Refuse(sentence):
                self._show(events.Problem(sentence))
            case meaning:
                assert_never(meaning)

    def choose(self, typed: str) -> None:
        """Open the chat with somebody who is online."""
        self.choice_failed = True
        try:
            name = normalize_name(typed)
        except InvalidNameError as error:
            self._show(
                events.Problem(f"{error}. Nothing was sent: choose somebody by their name before you write.")
            )
            return
        if name == self.me:
            self._show(events.Problem(f"{name} is your own name. Choose somebody else."))
        elif name in self.roster:
            self.choice_failed = False
            self._open_chat(name)
        elif self.roster.was_seen(name):
            self._show(events.Problem(f"{name} is offline. Choose somebody who is online (/who)."))
        else:
            self._show(
                events.Problem(
                    f"Nobody named {name} is online. Check the spelling (/who); or they are offline."
                )
            )

    def say(self, body: str) -> None:
        """Send a message to the partner."""
        if self.partner is None:
            self.failed += 1
            self._show(events.Problem("Nothing was sent: choose somebody by their name before you write."))
            return
        try:
            body.encode()
            check_body(body)
        except UnicodeEncodeError:
            self._fail(self.partner, body, "The text is not UTF-8.")
            return
        except InvalidTextError as error:
            self._fail(self.partner, body, str(error))
            return
        message = frames.SendChat(to=self.partner, body=body, id=self._make_id())
        self._outbox.add(message)
        self._frames.append(message)
        self._show(events.MessageSent(self.partner, body))

    def go_back(self) -> None:
        """Leave the chat and choose somebody else."""
        if self.partner is None:
            hint = (
                f" To choose the person named back, type {pick_word('back')}."
                if "back" in self.roster
                else ""
            )
            self._show(events.Problem(f"You are not in a chat: type the name of somebody.{hint}"))
            return
        self.partner = None
        self._show(events.PickerOpened(tuple(self.roster)))

    def leave(self) -> None:
        """Ask to leave; what was sent is still waited for."""
        self.leaving = True

    def say_bye(self) -> None:
        """Tell the server that we leave; nothing may be sent after it."""
        self._frames.append(frames.ClientBye())

    def give_up(self, reason: str) -> None:
        """Tell of each message that was never answered: it may or may not have been stored."""
        for message in self._outbox.give_up():
            self._fail(message.to, message.body, reason)

    def show_help(self) -> None:
        """Show what can be typed."""
        self._show(events.HelpAsked())

    def show_who(self) -> None:
        """Show who is online."""
        self._show(events.WhoAsked(tuple(self.roster)))

    # --- what the server sends

    def receive(self, frame: frames.ServerFrame) -> None:
        """Take in a frame."""
        match frame:
            case frames.OnlineUsers():
                self._receive_page(frame)
            case frames.PresenceChanges():
                self._tell_changes(self.roster.apply_changes(frame))
            case frames.Chat():
                self._receive_message(frame)
            case frames.ChatAck():
                self._outbox.settle(frame.id)
            case frames.ChatNack():
                self._receive_refusal(frame.id, frame.message)
            case frames.Error(ref=str(ref)):
                self._receive_refusal(ref, frame.message)
            case frames.ServerPing():
                self._frames.append(frames.ClientPong())
            case frames.ServerBye():
                self.ending = Ending(frame.reason, frame.message)
            case frames.Error():
                self.ending = Ending(frame.code, frame.message)
            case _:
                pass  # presence_ack, pong: nothing to show

    def _receive_page(self, frame: frames.OnlineUsers) -> None:
        first = not self.roster.complete
        changes = self.roster.apply_page(frame)
        if not first:
            self._tell_changes(changes)
        elif self.roster.complete:
            self._show(events.Welcome(self.me))
            self._show(events.PickerOpened(tuple(self.roster)))

    def _tell_changes(self, changes: list[PresenceChange]) -> None:
        for change in changes:
            is_partner = change.person.user == self.partner
            if is_partner or self.partner is None:
                self._show(events.PresenceChanged(change.person, change.was_online, is_partner))

    def _receive_message(self, frame: frames.Chat) -> None:
        if frame.sender == self.partner:
            place = events.Place.THIS_CHAT
        else:
            place = events.Place.OTHER_CHAT if self.partner else events.Place.PICKER
            self.waiting[frame.sender] += 1
        is_first = self.waiting[frame.sender] == 1
        self._show(events.MessageReceived(frame.sender, frame.body, frame.time, place, is_first))

    def _receive_refusal(self, ref: str, sentence: str) -> None:
        message = self._outbox.settle(ref)
        if message is not None:
            self._fail(message.to, message.body, sentence)
        else:
            self._show(events.Notice(sentence))

    def _open_chat(self, name: str) -> None:
        self.partner = name
        self.waiting.pop(name, None)
        self._show(events.ChatOpened(name))

    def _fail(self, to: str, body: str, reason: str) -> None:
        self.failed += 1
        self._show(events.MessageFailed(to, body, reason))

    def _show(self, event: events.Event) -> None:
        self._events.append(event)
