"""Room requests, and the notices shown when they are answered."""

from typing import Final

from qscp import frames
from qscp.errors import ErrorCode
from qscp_client.core import events
from qscp_client.core.chat_switcher import ChatSwitcher
from qscp_client.core.effects import Clock, Output
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.requests import PendingRequests, Question, RoomQuestion
from qscp_client.core.rooms import Rooms

_DONE: Final = {
    "invite": NoticeCode.DID_INVITE,
    "remove": NoticeCode.DID_REMOVE,
    "ban": NoticeCode.DID_BAN,
    "unban": NoticeCode.DID_UNBAN,
    "mute": NoticeCode.DID_MUTE,
    "unmute": NoticeCode.DID_UNMUTE,
    "role": NoticeCode.DID_SET_ROLE,
}
"""Action -> the notice when it is done; `Rooms` has those about the room itself."""


class RoomRequests:
    """Sends room requests, and applies their answers.

    Args:
        out: Where events go.
        clock: The time.
        requests: What was asked and is not answered.
        rooms: The rooms.
        switcher: Opens rooms.
    """

    def __init__(
        self,
        out: Output,
        clock: Clock,
        requests: PendingRequests,
        rooms: Rooms,
        switcher: ChatSwitcher,
    ) -> None:
        self._out = out
        self._clock = clock
        self._requests = requests
        self._rooms = rooms
        self._switcher = switcher

    def ask(self, question: RoomQuestion) -> None:
        """Send a request."""
        self._requests.ask(question)

    def show_topic(self, name: str) -> None:
        """Show the topic of a room, now or when the server has described it."""
        room = self._rooms.known.get(name)
        if room is not None:
            self._show_topic(room)
        else:
            self.ask(RoomQuestion(frames.RoomsRequest(), sought=name))

    def receive(
        self, frame: frames.RoomAck | frames.Rooms | frames.RoomMembers | frames.RoomLog | frames.Error
    ) -> None:
        """Apply an answer."""
        match frame:
            case frames.RoomAck(ref=ref) | frames.Error(ref=ref):
                asked = ref
            case frames.Rooms():
                asked = "rooms"
            case _:
                asked = "room"
        if (question := self._requests.take_room(asked or "")) is None:
            return
        match frame:
            case frames.RoomAck():
                self._show_done(question)
            case frames.Rooms():
                self._show_rooms(question, frame)
            case frames.RoomMembers():
                self._show_members(question, frame)
            case frames.RoomLog():
                self._show_log(question, frame)
            case frames.Error():
                self._show_refused(question, frame)

    def disconnected(self, lost: list[Question]) -> None:
        """Show that answers will not come.

        Args:
            lost: The requests without an answer.
        """
        if any(isinstance(each, RoomQuestion) and not each.sought for each in lost):
            self._out.show(Notice(NoticeCode.ROOM_ANSWER_LOST))

    def _show_done(self, question: RoomQuestion) -> None:
        if question.enters:
            self._switcher.joined()
        elif isinstance(request := question.frame, frames.RoomRequest):
            self._rooms.did(request)
            code = _DONE.get(request.action)
            # Your own new role comes with the room.
            if code is not None and not (request.action == "role" and self._rooms.is_me(request.user)):
                until = None if request.seconds is None else self._clock.wall_ms() + request.seconds * 1000
                name, user = request.room, request.user or ""
                self._out.show(Notice(code, name=name, user=user, role=request.role, until_ms=until))

    def _show_refused(self, question: RoomQuestion, error: frames.Error) -> None:
        if question.opens:
            self._switcher.room_found()
        elif question.enters:
            if self._can_enter(question, error):
                self._switcher.joined()
            else:
                self._fail(question, error)
                self._switcher.join_refused()
        elif not question.sought:
            self._fail(question, error)

    def _can_enter(self, question: RoomQuestion, error: frames.Error) -> bool:
        """Whether the room that could not be joined or created can be opened all the same."""
        is_in = self._rooms.is_in(_room_of(question))
        match error.code:
            case ErrorCode.ALREADY_MEMBER:
                return is_in
            case ErrorCode.ROOM_EXISTS:
                # It is the one that was created when this was sent the first time.
                return is_in and question.is_again and not question.was_in
            case _:
                return False

    def _fail(self, question: RoomQuestion, error: frames.Error) -> None:
        user = question.frame.user or "" if isinstance(question.frame, frames.RoomRequest) else ""
        name = _room_of(question)
        self._out.fail(
            Problem(ProblemCode.ROOM_REFUSED, error=error.code, text=error.message, name=name, user=user)
        )

    def _show_rooms(self, question: RoomQuestion, page: frames.Rooms) -> None:
        self._rooms.learn(page.rooms)
        question.named |= {each.name for each in page.rooms}
        is_last = page.cursor is None
        if is_last:
            self._rooms.forget_invitations(question.named)
        if not question.sought:
            self._out.show(events.RoomsListed(tuple(page.rooms), question.is_first, is_last))
            self._ask_more(question, page.cursor)
            return
        room = self._rooms.known.get(question.sought)
        if room is None and not is_last:
            self._ask_more(question, page.cursor)
        elif question.opens:
            self._switcher.room_found()
        elif room is not None:
            self._show_topic(room)

    def _show_members(self, question: RoomQuestion, page: frames.RoomMembers) -> None:
        self._rooms.learn_members(page.room, page.members)
        self._out.show(events.MembersListed(page.room, tuple(page.members), self._clock.wall_ms()))
        self._ask_more(question, page.cursor)

    def _show_log(self, question: RoomQuestion, page: frames.RoomLog) -> None:
        question.entries += page.entries
        if len(question.entries) < question.wanted and page.cursor is not None:
            self._ask_more(question, page.cursor)
            return
        entries = tuple(reversed(question.entries[: question.wanted]))
        self._out.show(events.RoomLogListed(page.room, entries))

    def _ask_more(self, question: RoomQuestion, cursor: str | None) -> None:
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
        self._out.show(Notice(NoticeCode.TOPIC, name=room.name, text=room.topic))


def _room_of(question: RoomQuestion) -> str:
    match question.frame:
        case frames.Join(room=name) | frames.Leave(room=name) | frames.RoomRequest(room=name):
            return name
        case _:
            return ""
