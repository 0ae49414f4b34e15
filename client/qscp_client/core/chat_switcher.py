"""Chat switcher: opens and closes chats, and queues typed lines until the server has answered.

Where a line goes must never depend on the speed of the server. So later lines are queued while it is not
known whether a name exists, or a room can be joined. In a pipe nobody sees that it can't be: the lines after
it go nowhere, because one of them could be the name of another user.
"""

import collections
import dataclasses
from collections.abc import Callable, Container, Iterable

from qscp import frames
from qscp.errors import InvalidNameError
from qscp.names import normalize_name
from qscp.rooms import is_room, normalize_room
from qscp_client.core import events
from qscp_client.core.chat_state import ChatState, CurrentChat, Step, TypedLine
from qscp_client.core.conversations import FORMER
from qscp_client.core.effects import Clock, Output
from qscp_client.core.history import History
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.requests import PendingRequests, PendingRoomRequest
from qscp_client.core.rooms import Rooms
from qscp_client.core.roster import PresenceChange, Roster
from qscp_client.core.sync import Sync


class ChatSwitcher:
    """Owns the state of the line: the open chat, the name that is asked about, and the queued lines.

    Args:
        me: Your name.
        out: Where frames and events go.
        clock: The time.
        chat: The state that it changes.
        roster: Who is online.
        sync: The conversations.
        rooms: The rooms.
        history: Asks for the messages that a chat has to show.
        blocks: Names of the users whom you block.
        requests: What was asked and is not answered.
        online: Whether there is a connection.
        resume: Called when queued lines can be carried out.
        is_pipe: Whether lines come from a pipe.

    Attributes:
        failed: Whether the last name typed could not be opened.
        stopped: Whether a pipe ends here, because it is not known where its next lines should go.
        was_removed: Whether the open room of a pipe was closed by others: its next line is no name.
    """

    def __init__(
        self,
        me: str,
        out: Output,
        clock: Clock,
        chat: CurrentChat,
        roster: Roster,
        sync: Sync,
        rooms: Rooms,
        history: History,
        *,
        blocks: Container[str],
        requests: PendingRequests,
        online: Callable[[], bool],
        resume: Callable[[], None],
        is_pipe: bool = False,
    ) -> None:
        self.failed = False
        self.stopped = False
        self._is_pipe = is_pipe
        self.was_removed = False
        self._left_room = ""  # the open room that a pipe has asked to leave, without an answer yet
        self._me = me
        self._out = out
        self._clock = clock
        self._chat = chat
        self._roster = roster
        self._sync = sync
        self._rooms = rooms
        self._history = history
        self._blocks = blocks
        self._requests = requests
        self._online = online
        self._resume = resume
        self._queue: collections.deque[TypedLine] = collections.deque()
        self._has_started = False
        self._is_blocked = False
        self._is_read_only = False

    # --- the queue of typed lines

    @property
    def queues(self) -> bool:
        """Whether lines are queued, or the next one has to be."""
        return self._waits or (not self._has_started and bool(self._queue))

    @property
    def _waits(self) -> bool:
        return self._is_blocked or self._chat.is_undecided or bool(self._left_room)

    def queue(self, line: TypedLine) -> bool:
        """Queue a line if that is necessary; return whether it was."""
        if self._waits or not self._has_started:
            self._queue.append(line)
            return True
        return False

    def start(self) -> None:
        """Carry out what was typed before it was known who is online and which conversations there are."""
        if not self._has_started:
            self._has_started = True
            self._resume()

    def block(self, line: TypedLine) -> None:
        """Queue a line before all others, until `unblock`."""
        self._is_blocked = True
        self._queue.appendleft(line)

    def unblock(self) -> None:
        """Carry out the line that was blocked, and those after it."""
        if self._is_blocked:
            self._is_blocked = False
            self._resume()

    def next_queued(self) -> TypedLine | None:
        """Remove and return the next line that can be carried out; None if there is none now."""
        return self._queue.popleft() if self._queue and not self._waits else None

    def stop(self) -> None:
        """Let a pipe end: what its next lines are meant for is not what they would be taken for."""
        if self._is_pipe and not self.stopped:
            self.failed = self.stopped = True
            self._out.show(Problem(ProblemCode.PIPE_STOPPED))

    def refused(self, *, enters: bool, moves: bool) -> None:
        """Apply a line that can't be carried out, if it was to enter a room, or maybe to change the chat."""
        if enters:
            self.join("")
            self.join_refused()
        elif moves:
            self.stop()

    # --- opening by name

    def open(self, typed: str) -> None:
        """Open the chat with a user or in a room; ask the server first about an unknown name."""
        if (name := self._check(typed)) is None:
            return
        if self.was_removed and (not is_room(name) or self._rooms.is_in(name)):
            self._problem(Problem(ProblemCode.PICK_FIRST))
        elif is_room(name):
            self._find_room(name)
        elif (self._online() or self._is_pipe) and self._is_unsure(name):
            self._chat.change(Step.FIND, name)
            self.ask_name()
        else:
            self._open(self._describe(name))

    def receive_whois(self, answer: frames.Whois | None = None) -> None:
        """Apply the answer about a user's name, then carry out queued lines.

        Args:
            answer: The answer; None if there is none: the first message will show whether the user exists.
        """
        name = self._chat.name
        if self._chat.state is not ChatState.RESOLVING or is_room(name):
            return
        if answer is None:
            self._open(self._describe(name))
        elif answer.known:
            self._release(name)
            self._open(events.ChatOpened(name, answer.status or "offline", answer.text))
        elif self._has_conversation(name):
            self._open(self._describe(name))
        else:
            self._chat.change(Step.REFUSE)
            self._problem(Problem(ProblemCode.UNKNOWN_USER, name=name))
        self._resume()

    def ask_name(self) -> None:
        """Ask about the name that was typed, once there is a connection."""
        if self._online() and self._chat.state is ChatState.RESOLVING and not is_room(self._chat.name):
            self._out.send(frames.WhoisRequest(self._chat.name))

    def room_found(self) -> None:
        """Open the room that the server was asked about: it is described now, or will not be."""
        if self._chat.state is ChatState.RESOLVING and is_room(self._chat.name):
            self._open_room(self._chat.name)
            self._resume()

    def _is_unsure(self, name: str) -> bool:
        """Whether only the server can say whether an account has a name now."""
        conversation = self._sync.conversations.named(name)
        if conversation is not None:
            return conversation.deleted and FORMER not in name
        return name not in self._roster

    def _check(self, typed: str) -> str | None:
        self.failed = False
        former = typed.strip().lower()
        if FORMER in former and self._has_conversation(former):
            return former
        try:
            name = normalize_room(typed) if is_room(typed) else normalize_name(typed)
        except InvalidNameError:
            self._problem(Problem(ProblemCode.INVALID_NAME, text=typed))
            return None
        if name == self._me:
            self._problem(Problem(ProblemCode.OWN_NAME, name=name))
            return None
        return name

    def _find_room(self, name: str) -> None:
        if not self._rooms.is_in(name):
            invited = name in self._rooms.invitations
            code = ProblemCode.NOT_JOINED if invited else ProblemCode.NOT_A_MEMBER
            self._problem(Problem(code, name=name))
        elif name not in self._rooms.known and self._online():
            # The description of the room is shown before its messages.
            self._chat.change(Step.FIND, name)
            self._requests.ask(PendingRoomRequest(frames.RoomsRequest(), sought=name, opens=True))
        else:
            self._open_room(name)

    # --- joining

    def join(self, room: str) -> None:
        """Close the open chat and queue lines: they are for this room only, even if it can't be joined."""
        self.failed = True
        self._chat.change(Step.JOIN, room)

    def joined(self) -> None:
        """Open the room that was joined, then carry out queued lines."""
        if (room := self._chat.joining) is None:
            return
        self._open_room(room)
        if self._sync.has_older(room):
            self._out.show(Notice(NoticeCode.OLDER_AVAILABLE))
        self._resume()

    def join_refused(self) -> None:
        """Return to the picker, then carry out queued lines there."""
        if self._chat.joining is not None:
            self._chat.change(Step.REFUSE)
            self.show_picker()
            self.stop()
            self._resume()

    # --- leaving

    def leave(self, room: str) -> None:
        """Queue lines of a pipe until the open room is left: they are not for it."""
        if self._is_pipe and room == self._chat.partner:
            self._left_room = room

    def leave_refused(self) -> None:
        """Let a pipe end: its next lines are not for the room that is still open."""
        if self._left_room:
            self._left_room = ""
            self.stop()

    def membership_ended(self) -> None:
        """Close the open room: you are no longer a member. What a pipe still sends was meant for it."""
        was_left, self._left_room = self._chat.partner == self._left_room, ""
        self.close()
        self.was_removed = self._is_pipe and not was_left
        self._resume()

    # --- closing

    def close(self) -> None:
        """Close the open chat, and return to the picker."""
        self._chat.change(Step.CLOSE)
        self.show_picker()

    def check(self) -> None:
        """Keep the open chat with its conversation, whatever name that has by now."""
        if (partner := self._chat.partner) is None:
            return
        conversations, bound = self._sync.conversations, self._chat.conversation
        conversation = conversations.get(bound) if bound in conversations else None
        if conversation is not None and conversation.name == partner:
            if conversation.deleted and not self._is_read_only:
                self._out.show(Notice(NoticeCode.ACCOUNT_DELETED, name=partner))
            self._is_read_only = conversation.deleted
        elif bound and is_room(partner):
            # Deleted; if you are in one of that name, it is another.
            self._out.show(Notice(NoticeCode.ROOM_GONE, name=partner))
            self.membership_ended()
        elif conversation is None:
            found = conversations.named(partner)
            self._chat.bind(found.id if found is not None else "", partner)
        else:
            self._chat.bind(conversation.id, conversation.name)
            self._is_read_only = conversation.deleted
            self._out.show(Notice(NoticeCode.NAME_GIVEN_AWAY, name=conversation.name, user=partner))

    def show_changes(self, changes: Iterable[PresenceChange]) -> None:
        """Show changes of presence, in a chat only those of the other user."""
        for change in changes:
            if not change.was_online:
                # So the name is not that of a deleted account any more.
                self._release(change.person.user)
                self.check()
            partner = self._chat.partner
            is_partner = change.person.user == partner
            if is_partner or partner is None:
                self._out.show(events.PresenceChanged(change.person, change.was_online, is_partner))

    def history_changed(self) -> None:
        """Forget the conversation of the open chat: its id can be that of another one now."""
        self._chat.bind("", self._chat.name)

    def _release(self, name: str) -> None:
        """Give a name to the account that has it now, if the one of its conversation is deleted."""
        conversation = self._sync.conversations.named(name)
        if conversation is not None and conversation.deleted:
            self._sync.conversations.release(name)
            self._sync.list.refresh()

    def show_picker(self) -> None:
        """Show the lists to pick a chat from."""
        self._out.show(events.PickerOpened(*self.lists()))

    def disconnected(self) -> None:
        """Stop waiting for answers that can't come; a join, and a name in a pipe, is asked again later."""
        if not self._is_pipe:
            self.receive_whois()
        self.room_found()
        self.leave_refused()
        self.unblock()

    def abandon(self) -> None:
        """Keep the lines queued for a name without an answer; discard those for a room without one."""
        self.start()
        while self._chat.state is ChatState.RESOLVING and not is_room(self._chat.name):
            self.receive_whois()
        if (room := self._chat.joining) is not None:
            self._chat.change(Step.REFUSE)
            self._out.show(Problem(ProblemCode.JOIN_UNANSWERED, name=room, count=len(self._queue)))
            self._queue.clear()

    # --- lists and chats

    def knows(self, name: str) -> bool:
        """Whether a user of that name is online, or has a conversation with you."""
        return name in self._roster or self._has_conversation(name)

    def lists(
        self,
    ) -> tuple[
        tuple[frames.UserPresence, ...],
        tuple[tuple[str, int], ...],
        tuple[events.RoomLine, ...],
        tuple[str, ...],
    ]:
        """Return who is online, users with unread messages, your rooms and invitations."""
        unread = tuple(sorted(self._sync.conversations.unread().items()))
        return tuple(self._roster), unread, self._rooms.lines, tuple(sorted(self._rooms.invitations))

    def _describe(self, name: str) -> events.ChatOpened:
        """Describe a user as far as this client knows."""
        conversation = self._sync.conversations.named(name)
        if conversation is not None and conversation.deleted:
            return events.ChatOpened(name, "offline", deleted=True)
        person = self._roster.get(name)
        if person is not None:
            return events.ChatOpened(name, person.status, person.text)
        known = self._has_conversation(name) or self._roster.was_seen(name)
        return events.ChatOpened(name, "offline", known=known)

    def _open_room(self, name: str) -> None:
        self.failed = False
        self._open(events.RoomOpened(name, self._rooms.known.get(name), self._clock.wall_ms()))

    def _open(self, opened: events.ChatOpened | events.RoomOpened) -> None:
        self.was_removed = False
        self._chat.change(Step.OPEN, opened.name)
        if isinstance(opened, events.ChatOpened) and opened.name in self._blocks:
            opened = dataclasses.replace(opened, blocked=True)
        conversation = self._sync.conversations.named(opened.name)
        if conversation is not None:
            self._chat.bind(conversation.id, opened.name)
        self._is_read_only = conversation is not None and conversation.deleted
        self._out.show(opened)
        missing = self._sync.open(opened.name)
        if missing is not None and self._online():
            self._history.ask_unread(missing)
        elif missing is not None:
            self._sync.show_unread(missing, None)

    def _has_conversation(self, name: str) -> bool:
        return self._sync.conversations.named(name) is not None

    def _problem(self, problem: Problem) -> None:
        self.failed = True
        self._out.show(problem)
        self.stop()
