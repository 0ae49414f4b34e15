"""What was asked about rooms and not answered yet, and what is told when it is, without I/O."""

import collections
import dataclasses
from collections.abc import Callable
from typing import Final

from qscp import frames
from qscp.errors import ErrorCode
from qscp_client.core import events
from qscp_client.core.effects import Clock, Output
from qscp_client.core.rooms import Rooms
from qscp_client.core.sync import Sync
from qscp_client.text import describe_end

__all__ = ["Asking", "Question"]

_DONE: Final = {
    "invite": "{user} may join {room} now.",
    "remove": "{user} is not in {room} any more.",
    "ban": "{user} is banned from {room} {end}.",
    "unban": "{user} may come into {room} again.",
    "mute": "{user} may not write in {room} {end}.",
    "unmute": "{user} may write in {room} again.",
    "role": "{user} is {role} in {room} now.",
}
"""What is told when it is done; of what concerns all members `Rooms` tells."""


@dataclasses.dataclass(slots=True)
class Question:
    """Something that was asked and not answered yet."""

    frame: frames.Join | frames.Leave | frames.RoomRequest | frames.RoomsRequest
    sought: str = ""
    """The room that is looked for; empty to show all of them."""
    opens: bool = False
    """Whether it is entered when it is known what it is; else its topic is told."""
    wanted: int = 0
    """Entries of a log that are still to be shown."""
    entries: list[frames.LogEntry] = dataclasses.field(default_factory=list)
    named: set[str] = dataclasses.field(default_factory=set)
    """The rooms that were told so far."""
    is_first: bool = True
    was_in: bool = False
    """Whether you were in the room before you asked."""
    is_again: bool = False
    """Whether it was asked over an earlier connection, too, and may have been done."""

    @property
    def enters(self) -> bool:
        """Whether you enter the room when it is done."""
        match self.frame:
            case frames.Join():
                return True
            case frames.RoomRequest(action="create"):
                return True
            case _:
                return False


class Asking:
    """Asks, and takes in the answers, which come in the order of the questions.

    Args:
        out: Where frames and events go.
        clock: The time.
        sync: The conversations.
        rooms: What is known of rooms.
        entered: Is called when it is decided whether a room can be entered.

    Attributes:
        failed: How often something could not be done.
        rooms: What is known of rooms.
    """

    def __init__(
        self, out: Output, clock: Clock, sync: Sync, rooms: Rooms, entered: Callable[[bool], None]
    ) -> None:
        self.failed = 0
        self.rooms = rooms
        self._out = out
        self._clock = clock
        self._sync = sync
        self._entered = entered
        self._asked: collections.deque[Question] = collections.deque()

    def __len__(self) -> int:
        """How many answers are waited for."""
        return len(self._asked)

    def ask(self, question: Question) -> None:
        """Ask something."""
        self._asked.append(question)
        self._out.frames.append(question.frame)
        self._note_doing()

    def show_topic(self, name: str) -> None:
        """Tell the topic of a room, now or when the server has said what it is."""
        room = self.rooms.known.get(name)
        if room is not None:
            self._show_topic(room)
        else:
            self.ask(Question(frames.RoomsRequest(), sought=name))

    def look_up(self, name: str) -> None:
        """Ask what a room is that is to be entered then."""
        self.ask(Question(frames.RoomsRequest(), sought=name, opens=True))

    def fail(self, sentence: str) -> None:
        """Tell what could not be done."""
        self.failed += 1
        self._out.events.append(events.Problem(sentence))

    def receive(self, frame: frames.ServerFrame) -> None:  # noqa: C901 - a case for each frame
        """Take in an answer."""
        match frame:
            case frames.RoomAck():
                if (question := self._take(frame.ref)) is not None:
                    self._done(question)
            case frames.Rooms():
                if (question := self._take("rooms")) is not None:
                    self._show_rooms(question, frame)
            case frames.RoomMembers():
                if (question := self._take("room")) is not None:
                    self.rooms.learn_members(frame.room, frame.members)
                    told = events.RoomMembersTold(frame.room, tuple(frame.members), self._clock.wall_ms())
                    self._out.events.append(told)
                    self._ask_more(question, frame.cursor)
            case frames.RoomLog():
                if (question := self._take("room")) is not None:
                    self._show_log(question, frame)
            case frames.Error(ref=str(ref)):
                if (question := self._take(ref)) is not None:
                    self._refused(question, frame)
            case _:
                pass

    def connected(self) -> None:
        """Ask again for the room that is about to be entered: whoever typed behind it waits."""
        for question in self._asked:
            question.is_again = True
            self._out.frames.append(question.frame)

    def cancel(self) -> None:
        """A room that was to be entered was not even asked for."""
        self._decided(can_enter=False)

    def lost(self) -> None:
        """The connection is lost; only what is asked to enter a room is asked again."""
        kept = [each for each in self._asked if each.enters]
        if any(not each.sought and not each.enters for each in self._asked):
            self._out.events.append(
                events.Notice("The connection was lost before the answer came; look whether it was done.")
            )
        self._asked = collections.deque(kept)
        self._note_doing()

    def _take(self, ref: str) -> Question | None:
        """Take out the question that is answered: the first one of its type."""
        for question in self._asked:
            if question.frame.type == ref:
                self._asked.remove(question)
                self._note_doing()
                return question
        return None

    def _note_doing(self) -> None:
        self.rooms.doing = [each.frame for each in self._asked if isinstance(each.frame, frames.RoomRequest)]

    def _done(self, question: Question) -> None:
        if question.enters:
            self._decided(can_enter=True)
        elif isinstance(request := question.frame, frames.RoomRequest):
            self.rooms.did(request)
            sentence = _DONE.get(request.action, "")
            if sentence and not (request.action == "role" and self.rooms.is_me(request.user)):
                end = self._end(request.seconds)
                self._tell(sentence.format(room=request.room, user=request.user, role=request.role, end=end))

    def _end(self, seconds: int | None) -> str:
        """Until when something lasts that was done just now."""
        return describe_end(None if seconds is None else self._clock.wall_ms() + seconds * 1000)

    def _refused(self, question: Question, error: frames.Error) -> None:
        if question.opens:
            self._entered(True)
            return
        if not question.enters:
            if not question.sought:
                self.fail(error.message)
            return
        is_in = self.rooms.is_in(self.rooms.expected or "")
        match error.code:
            case ErrorCode.ALREADY_MEMBER:
                can_enter = is_in
            case ErrorCode.ROOM_EXISTS:
                # It is the one that was made when this was asked the first time.
                can_enter = is_in and question.is_again and not question.was_in
            case _:
                can_enter = False
        if not can_enter:
            self.fail(error.message)
        self._decided(can_enter=can_enter)

    def _decided(self, *, can_enter: bool) -> None:
        self.rooms.expected = None
        self._entered(can_enter)

    def _show_rooms(self, question: Question, page: frames.Rooms) -> None:
        self.rooms.learn(page.rooms)
        question.named |= {each.name for each in page.rooms}
        is_last = page.cursor is None
        if is_last:
            self.rooms.forget_invitations(question.named)
        if not question.sought:
            self._out.events.append(events.RoomsTold(tuple(page.rooms), question.is_first, is_last))
            self._ask_more(question, page.cursor)
            return
        room = self.rooms.known.get(question.sought)
        if room is None and not is_last:
            self._ask_more(question, page.cursor)
        elif question.opens:
            self._entered(True)
        elif room is not None:
            self._show_topic(room)

    def _show_log(self, question: Question, page: frames.RoomLog) -> None:
        question.entries += page.entries
        if len(question.entries) < question.wanted and page.cursor is not None:
            self._ask_more(question, page.cursor)
            return
        entries = tuple(reversed(question.entries[: question.wanted]))
        self._out.events.append(events.RoomLogTold(page.room, entries))

    def _ask_more(self, question: Question, cursor: str | None) -> None:
        if cursor is None:
            return
        question.is_first = False
        match question.frame:
            case frames.RoomsRequest():
                question.frame = frames.RoomsRequest(cursor)
            case frames.RoomRequest(action=action, room=room):
                question.frame = frames.RoomRequest(action, room, cursor=cursor)
            case _:
                return
        self.ask(question)

    def _show_topic(self, room: frames.Room) -> None:
        self._tell(f"Topic of {room.name}: {room.topic}" if room.topic else f"{room.name} has no topic.")

    def _tell(self, sentence: str) -> None:
        self._out.events.append(events.Notice(sentence))
