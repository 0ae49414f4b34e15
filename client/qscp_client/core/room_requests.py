"""Room requests, and the notices shown when they are answered."""

import math
from typing import Final

from qscp import frames
from qscp.errors import ErrorCode
from qscp_client.core import events
from qscp_client.core.chat_switcher import ChatSwitcher
from qscp_client.core.effects import Clock, Output
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.requests import PendingBlock, PendingRequest, PendingRequests, PendingRoomRequest
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

    def ask(self, pending: PendingRoomRequest) -> None:
        """Send a request."""
        self._requests.ask(pending)

    def show_topic(self, name: str) -> None:
        """Show the topic of a room, now or when the server has described it."""
        room = self._rooms.known.get(name)
        if room is not None:
            self._show_topic(room)
        else:
            self.ask(PendingRoomRequest(frames.RoomsRequest(), sought=name))

    def connected(self) -> None:
        """Ask about the open room over a new connection: you can have been muted in it meanwhile."""
        name = self._rooms.open_room
        if name is not None:
            self.ask(PendingRoomRequest(frames.RoomsRequest(), sought=name, is_silent=True))

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
        if (pending := self._requests.take_room(asked or "")) is None:
            return
        match frame:
            case frames.RoomAck():
                self._show_done(pending)
            case frames.Rooms():
                self._show_rooms(pending, frame)
            case frames.RoomMembers():
                self._show_members(pending, frame)
            case frames.RoomLog():
                self._show_log(pending, frame)
            case frames.Error():
                self._show_refused(pending, frame)

    def disconnected(self, lost: list[PendingRequest]) -> None:
        """Show that answers will not come.

        Args:
            lost: The requests without an answer.
        """
        if any(
            isinstance(each, PendingBlock) or (isinstance(each, PendingRoomRequest) and not each.sought)
            for each in lost
        ):
            self._out.show(Notice(NoticeCode.ROOM_ANSWER_LOST))

    def _show_done(self, pending: PendingRoomRequest) -> None:
        if pending.enters:
            self._switcher.joined()
        elif isinstance(request := pending.frame, frames.RoomRequest):
            self._rooms.did(request)
            code = _DONE.get(request.action)
            # Your own new role comes with the room.
            if code is not None and not (request.action == "role" and self._rooms.is_me(request.user)):
                until = None if request.seconds is None else self._clock.wall_ms() + request.seconds * 1000
                name, user = request.room, request.user or ""
                self._out.show(Notice(code, name=name, user=user, role=request.role, until_ms=until))

    def _show_refused(self, pending: PendingRoomRequest, error: frames.Error) -> None:
        if pending.opens:
            self._switcher.room_found()
        elif pending.enters:
            if self._can_enter(pending, error):
                self._switcher.joined()
            else:
                self._fail(pending, error)
                self._switcher.join_refused()
        elif not pending.sought:
            self._fail(pending, error)
            if isinstance(pending.frame, frames.Leave):
                self._switcher.leave_refused()

    def _can_enter(self, pending: PendingRoomRequest, error: frames.Error) -> bool:
        """Whether the room that could not be joined or created can be opened all the same."""
        is_in = self._rooms.is_in(_room_of(pending))
        match error.code:
            case ErrorCode.ALREADY_MEMBER:
                return is_in
            case ErrorCode.ROOM_EXISTS:
                # It is the one that was created when this was sent the first time.
                return is_in and pending.is_again and not pending.was_in
            case _:
                return False

    def _fail(self, pending: PendingRoomRequest, error: frames.Error) -> None:
        user = pending.frame.user or "" if isinstance(pending.frame, frames.RoomRequest) else ""
        name = _room_of(pending)
        self._out.fail(
            Problem(
                ProblemCode.ROOM_REFUSED,
                error=error.code,
                text=error.message,
                name=name,
                user=user,
                seconds=math.ceil(error.retry_after or 0),
            )
        )

    def _show_rooms(self, pending: PendingRoomRequest, page: frames.Rooms) -> None:
        self._rooms.learn(page.rooms)
        pending.named |= {each.name for each in page.rooms}
        is_last = page.cursor is None
        if is_last:
            self._rooms.forget_invitations(pending.named)
        if not pending.sought:
            self._out.show(events.RoomsListed(tuple(page.rooms), pending.is_first, is_last))
            self._ask_more(pending, page.cursor)
            return
        room = self._rooms.known.get(pending.sought)
        if room is None and not is_last:
            self._ask_more(pending, page.cursor)
        elif pending.opens:
            self._switcher.room_found()
        elif room is not None and not pending.is_silent:
            self._show_topic(room)

    def _show_members(self, pending: PendingRoomRequest, page: frames.RoomMembers) -> None:
        self._rooms.learn_members(page.room, page.members)
        self._out.show(events.MembersListed(page.room, tuple(page.members), self._clock.wall_ms()))
        self._ask_more(pending, page.cursor)

    def _show_log(self, pending: PendingRoomRequest, page: frames.RoomLog) -> None:
        pending.entries += page.entries
        if len(pending.entries) < pending.wanted and page.cursor is not None:
            self._ask_more(pending, page.cursor)
            return
        entries = tuple(reversed(pending.entries[: pending.wanted]))
        self._out.show(events.RoomLogListed(page.room, entries))

    def _ask_more(self, pending: PendingRoomRequest, cursor: str | None) -> None:
        if cursor is None:
            return
        pending.is_first = False
        match pending.frame:
            case frames.RoomsRequest():
                pending.frame = frames.RoomsRequest(cursor)
            case frames.RoomRequest(action=action, room=room):
                pending.frame = frames.RoomRequest(action, room, cursor=cursor)
            case _:
                return
        self.ask(pending)

    def _show_topic(self, room: frames.Room) -> None:
        self._out.show(Notice(NoticeCode.TOPIC, name=room.name, text=room.topic))


def _room_of(pending: PendingRoomRequest) -> str:
    match pending.frame:
        case frames.Join(room=name) | frames.Leave(room=name) | frames.RoomRequest(room=name):
            return name
        case _:
            return ""
