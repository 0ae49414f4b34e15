"""Engine: typed lines and frames go in; frames, events to show and changes to save come out. Sans-I/O.

    engine.enter(TypedLine("hello"))        # or engine.receive(frame), engine.tick()
    save(engine.additions_to_save()); show(engine.events_to_show())
    save(engine.changes_to_save()); send(engine.frames_to_send())

in this order: what was typed is on disk before it is shown and sent, a position is saved after its messages
were shown, and reported to the server after it was saved.

What a typed line is for is a state of its own, see `chat_state`. Only typed lines open another chat: messages
of other chats are shown with a mark, or counted.
"""

import dataclasses
from collections.abc import Callable
from typing import assert_never

from qscp import frames
from qscp.characters import drop_pasted
from qscp_client.core import events
from qscp_client.core.block_requests import BlockRequests
from qscp_client.core.blocks import Blocks
from qscp_client.core.changes import Change, Saved
from qscp_client.core.chat_state import CurrentChat, TypedLine
from qscp_client.core.chat_switcher import ChatSwitcher
from qscp_client.core.commands.blocks import BlockCommands
from qscp_client.core.commands.general import GeneralCommands
from qscp_client.core.commands.messages import MessageCommands
from qscp_client.core.commands.rooms import RoomCommands
from qscp_client.core.commands.table import Nothing, Pick, Refuse, Run, Say, interpret
from qscp_client.core.connection_state import Connection
from qscp_client.core.effects import Clock, Output
from qscp_client.core.history import History
from qscp_client.core.memory import Memory
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.own_presence import OwnPresence
from qscp_client.core.requests import PendingRequests
from qscp_client.core.room_requests import RoomRequests
from qscp_client.core.rooms import Rooms
from qscp_client.core.roster import Roster
from qscp_client.core.sender import Sender
from qscp_client.core.sync import Sync
from qscp_client.core.typing_status import TypingStatus


class Engine:
    """The client's state, from the first login to the end, over any number of connections.

    Args:
        me: Your name.
        make_id: Makes the id of a new message.
        clock: The time.
        saved: What was saved in the last run.
        shows_at_once: Whether messages of all conversations are shown when they come, and what failed is
            discarded at the end: for input without a user who decides later.
        sends_typing: Whether typing indicators are sent and wanted.
        hidden: Whether the login hides you.

    Attributes:
        me: Your name.
        roster: Who is online.
        blocks: The users whom you block.
        typing: Typing indicators.
        presence: Your own presence.
        online: Whether there is a connection.
        waiting: Whether an answer of the server is late.
        next_try: When the next connection is tried, by the clock; None if that is not known.
        ending: How the server ended the connection; None if it did not.
    """

    def __init__(
        self,
        me: str,
        make_id: Callable[[], str],
        clock: Clock,
        saved: Saved | None = None,
        *,
        shows_at_once: bool = False,
        sends_typing: bool = False,
        hidden: bool = False,
    ) -> None:
        saved = saved or Saved()
        self.me = me
        self.roster = Roster(me)
        self.blocks = Blocks()
        self.online = self.waiting = False
        self.next_try: float | None = None
        self.ending: events.Ending | None = None
        self.clock = clock
        self._welcomed = False
        self._shows_at_once = shows_at_once
        self._out = out = Output()
        self._chat = chat = CurrentChat()
        self._sender = Sender(out, clock, make_id, saved.outbox, keeps_failed=not shows_at_once)
        self._sync = Sync(me, out, clock, self._sender, chat, saved, self.blocks, shows_at_once=shows_at_once)
        self._requests = PendingRequests(out)
        self._history = History(out, self._requests, self._sync, self.blocks)
        self._rooms = Rooms(me, out, clock, self._sync, chat, self._requests, close=self._close_room)
        self._switcher = ChatSwitcher(
            me,
            out,
            clock,
            chat,
            self.roster,
            self._sync,
            self._rooms,
            self._history,
            blocks=self.blocks,
            requests=self._requests,
            online=self._is_online,
            resume=self._resume,
            is_pipe=shows_at_once,
        )
        self._room_requests = RoomRequests(out, clock, self._requests, self._rooms, self._switcher)
        self._block_requests = BlockRequests(out, self.blocks, self._requests, self.roster, self._rooms)
        self._message_commands = MessageCommands(
            me, out, chat, self._sync, self._sender, self._requests, self.blocks, self._is_online
        )
        self.typing = TypingStatus(me, out, clock, self.blocks, enabled=sends_typing)
        self.presence = OwnPresence(out, self._is_online, self._sync.receipts, self.typing, hidden=hidden)
        self._commands = GeneralCommands(
            out,
            chat,
            self._switcher,
            self._sync,
            self._sender,
            self._history,
            lambda: self.connection,
            presence=self.presence,
            blocks=BlockCommands(out, chat, self._sync, self._block_requests, self._is_online),
            messages=self._message_commands,
            rooms=RoomCommands(out, chat, self._switcher, self._rooms, self._room_requests, self._is_online),
        )
        self._memory = Memory(self._sync.conversations, self.roster, self._rooms, self.blocks, self.typing)

    @property
    def partner(self) -> str | None:
        """The user or room that messages go to; None if no chat is open."""
        return self._chat.partner

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be sent in the open chat, because the account was deleted."""
        return self.partner is not None and self._sync.is_read_only(self.partner)

    @property
    def ready(self) -> bool:
        """Whether lines are carried out: who is online and what is unread is known."""
        return self._welcomed

    @property
    def pending(self) -> int:
        """Number of your messages that are not acknowledged yet."""
        return len(self._sender.outbox)

    @property
    def failed(self) -> int:
        """How much of what was typed in this run was refused, here or by the server."""
        return self._out.failed

    @property
    def leaving(self) -> bool:
        """Whether the user wants to quit, or a pipe has to end."""
        return self._commands.leaving or self._switcher.stopped

    @property
    def failures(self) -> int:
        """Number of failed messages that wait for `/retry` or `/drop`."""
        return len(self._sender.outbox.failed)

    @property
    def busy(self) -> bool:
        """Whether something is not answered yet; where all messages are shown, also what was missed."""
        is_missing = self._shows_at_once and self.online and not self._sync.live
        return bool(self.pending or len(self._requests) or self.queues_lines or is_missing)

    @property
    def queues_lines(self) -> bool:
        """Whether typed lines are queued until the server has answered."""
        return self._switcher.queues

    @property
    def pick_failed(self) -> bool:
        """Whether the last name typed could not be opened."""
        return self._switcher.failed

    @property
    def connection(self) -> Connection:
        """The connection, as it is shown."""
        retry_s = None if self.next_try is None else self.next_try - self.clock.now()
        return Connection.describe(online=self.online, waiting=self.waiting, retry_s=retry_s)

    @property
    def unread(self) -> dict[str, int]:
        """Users with unread messages for you, and their number."""
        return self._sync.conversations.unread()

    @property
    def rooms(self) -> tuple[events.RoomLine, ...]:
        """The rooms that you are a member of, with what is unread."""
        return self._rooms.lines

    @property
    def invitations(self) -> list[str]:
        """Rooms that you are invited to."""
        return sorted(self._rooms.invitations)

    @property
    def names(self) -> list[str]:
        """All users and rooms that are online or have a conversation."""
        known = {each.name for each in self._sync.conversations if each.name and not each.deleted}
        return sorted(known.union(person.user for person in self.roster))

    def frames_to_send(self) -> list[frames.ClientFrame]:
        """Remove and return the frames to send now."""
        return self._out.take_frames()

    def events_to_show(self) -> list[events.Event]:
        """Remove and return the events to show now."""
        self._sync.timeline.show_begun_fold()
        return self._out.take_events()

    def additions_to_save(self) -> list[Change]:
        """Remove and return the messages to save before they are shown."""
        return self._out.take_additions()

    def changes_to_save(self) -> list[Change]:
        """Remove and return the changes to save after everything was shown."""
        return self._out.take_changes()

    def set_shown(self, *, is_shown: bool) -> None:
        """Report and save no position while messages can't be shown: they might have to come again."""
        self._out.is_shown = is_shown

    # --- the connection

    def connected(self, ack: frames.AuthAck) -> None:
        """Start on a new connection, after the login."""
        self.online = True
        self.waiting = False
        self.next_try = None
        self.ending = None
        if self._sync.connected(ack):
            self._switcher.history_changed()
        self.blocks.connected(ack)
        self._rooms.connected()
        self._requests.connected()
        self._room_requests.connected()
        self._sender.connected()
        self.presence.connected(ack)
        self._switcher.ask_name()
        self.typing.connected(ack)

    def disconnected(self) -> None:
        """Continue without a connection."""
        self.online = False
        self._out.withheld.disconnected()
        lost = self._requests.disconnected()
        self._history.disconnected(lost)
        self._room_requests.disconnected(lost)
        self._block_requests.disconnected()
        self._sync.lost()
        self._sender.outbox.disconnected()
        self.roster.disconnected()
        self.typing.disconnected()
        self._switcher.disconnected()

    def tick(self) -> None:
        """Do what is due by now. Without a connection, that is to let fail what is too old."""
        if self.online:
            self._sync.receipts.send()
            self.typing.tick()
        self._sender.tick()

    def next_due(self) -> float | None:
        """Return when `tick` has something to do, by the clock; None if it has nothing."""
        if not self.online:
            return None
        dues = (self._sync.receipts.due, self._sender.outbox.next_due(), self.typing.next_due())
        return min((due for due in dues if due is not None), default=None)

    def send_bye(self) -> None:
        """Announce to the server that the client leaves; nothing can be sent after it."""
        self._sync.receipts.send(at_once=True)
        self._out.frames.append(frames.ClientBye())

    def show_unanswered(self, *, keeps: bool) -> None:
        """Show at the end each message that was not acknowledged, and whether this device `keeps` it."""
        if self.queues_lines:  # kept like all that has no answer
            self.disconnected()
            self._switcher.abandon()
        self._sender.show_unanswered(keeps=keeps)

    # --- typed lines

    def enter(self, line: TypedLine) -> None:
        """Carry out a typed line, or queue it until the server has answered; ignore it after the end."""
        line = dataclasses.replace(line, text=drop_pasted(line.text))  # invisible characters of a paste
        if not self.leaving and not self._switcher.queue(line):
            self._carry_out(line)

    def _close_room(self) -> None:
        self._switcher.membership_ended()

    def _resume(self) -> None:
        """Carry out the lines that were queued."""
        while not self.leaving and (line := self._switcher.next_queued()) is not None:
            self._carry_out(line)

    def _carry_out(self, line: TypedLine) -> None:
        match interpret(line, chatting=self.partner is not None):
            case Nothing():
                pass
            case Say(body):
                self._commands.say(body)
            case Pick(name):
                self._switcher.open(name)
            case Run(command) if command.has_target and self._message_commands.must_wait:
                self._switcher.block(line)
            case Run(command, argument):
                command.run(self._commands, argument)
            case Refuse(problem, enters, moves):
                self._out.fail(problem)
                self._switcher.refused(enters=enters, moves=moves)
            case meaning:
                assert_never(meaning)

    # --- what the server sends

    def receive(self, frame: frames.ServerFrame) -> None:
        """Apply a frame."""
        self._receive(frame)
        self.ending = self.ending or self._memory.check(frame)
        self._switcher.check()
        self.typing.receive(frame)
        if not self._message_commands.must_wait:
            self._switcher.unblock()

    def _receive(self, frame: frames.ServerFrame) -> None:  # noqa: C901, PLR0912 - a case for each frame
        match frame:
            case frames.OnlineUsers():
                changes = self.roster.apply_page(frame)
                if self._welcomed:
                    self._switcher.show_changes(changes)
                self._welcome()
            case frames.PresenceChanges():
                self._switcher.show_changes(self.roster.apply_changes(frame))
            case frames.Error(ref=str()):
                self._receive_refusal(frame)
            case frames.Blocks() | frames.BlockChanged() | frames.BlockAck():
                self._block_requests.receive(frame)
            case frames.Whois():
                self._switcher.receive_whois(frame)
            case frames.PresenceAck():
                self.presence.receive(frame)
            case frames.ServerPing():
                self._out.send(frames.ClientPong())
            case frames.Throttled():
                self._sender.receive_throttled()
            case frames.ServerBye():
                self.ending = events.Ending(frame.reason, frame.message, frame.reconnect)
            case frames.Error():
                self.ending = events.Ending(frame.code, frame.message)
            case frames.History() | frames.SearchResults():
                self._history.receive(frame)
            case frames.RoomAck() | frames.Rooms() | frames.RoomMembers() | frames.RoomLog():
                self._room_requests.receive(frame)
            case _ if not self._rooms.receive(frame):
                self._sync.receive(frame)
                self._history.load()
                self._welcome()
                self._rooms.check()
            case _:
                pass

    def _receive_refusal(self, frame: frames.Error) -> None:
        match frame.ref:
            case "join" | "leave" | "room" | "rooms":
                self._room_requests.receive(frame)
            case "block" | "unblock":
                self._block_requests.receive(frame)
            case ref:
                self._out.show(Notice(NoticeCode.SERVER_ERROR, error=frame.code, text=frame.message))
                if ref == "whois":
                    self._switcher.receive_whois()
                else:
                    self._history.receive(frame)

    def _welcome(self) -> None:
        if not self._welcomed and self.roster.complete and self._sync.list.complete:
            self._welcomed = True
            self._out.show(events.Welcome(self.me))
            self.presence.show()
            if self.failures:
                self._out.show(Notice(NoticeCode.FAILED_BEFORE, count=self.failures))
            self._switcher.show_picker()
            self._switcher.start()

    def _is_online(self) -> bool:
        return self.online
