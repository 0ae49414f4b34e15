"""Room commands: parse arguments and send room requests."""

import re
from collections.abc import Callable
from typing import Final

from qscp import frames
from qscp.errors import InvalidNameError, InvalidTextError
from qscp.limits import SLOW_LIMIT_S
from qscp.names import normalize_name
from qscp.rooms import HistoryFrom, RoomKind, RoomRole, check_topic, is_room, normalize_room
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.chat_switcher import ChatSwitcher
from qscp_client.core.effects import Output
from qscp_client.core.notices import Problem, ProblemCode
from qscp_client.core.requests import PendingRoomRequest
from qscp_client.core.room_requests import RoomRequests
from qscp_client.core.rooms import Rooms
from qscp_client.durations import parse_duration, split_duration

_LOG: Final = 20
"""Entries that `/log` shows without a number."""
_LOG_LIMIT: Final = 1000


class RoomCommands:
    """Carries out commands about rooms: the `RoomActions` of the table.

    Args:
        out: Where problems go.
        chat: The open chat.
        switcher: Enters rooms.
        rooms: The rooms.
        requests: Sends room requests.
        online: Whether there is a connection.
    """

    def __init__(
        self,
        out: Output,
        chat: CurrentChat,
        switcher: ChatSwitcher,
        rooms: Rooms,
        requests: RoomRequests,
        online: Callable[[], bool],
    ) -> None:
        self._out = out
        self._chat = chat
        self._switcher = switcher
        self._rooms = rooms
        self._requests = requests
        self._online = online

    # --- membership

    def join(self, argument: str) -> None:
        """Become a member of a room, and enter it."""
        self._switcher.join(argument)
        if (name := self._room_name(argument)) is not None and self._can_ask():
            self._enter(name, frames.Join(name))
        else:
            self._switcher.join_refused()

    def create(self, argument: str) -> None:
        """Create a room, and enter it."""
        self._switcher.join(argument)
        if (frame := self._room_to_create(argument)) is not None and self._can_ask():
            self._enter(frame.room, frame)
        else:
            self._switcher.join_refused()

    def _room_to_create(self, argument: str) -> frames.RoomRequest | None:
        typed, *words = argument.split() or [""]
        kind, history = None, None
        for word in words:
            if word in list(RoomKind):
                kind = RoomKind(word)
            elif word in list(HistoryFrom):
                history = HistoryFrom(word)
            else:
                self._fail_usage("create")
                return None
        if (name := self._room_name(typed)) is None:
            return None
        return frames.RoomRequest("create", name, kind=kind, history=history)

    def leave(self, argument: str) -> None:
        """End your membership of a room."""
        name = self._room_name(argument) if argument.strip() else self._current("leave")
        if name is not None and self._can_ask():
            self._switcher.leave(name)
            self._requests.ask(PendingRoomRequest(frames.Leave(name)))
        else:
            self._switcher.stop()

    def _enter(self, name: str, frame: frames.Join | frames.RoomRequest) -> None:
        self._switcher.join(name)
        self._requests.ask(PendingRoomRequest(frame, was_in=self._rooms.is_in(name)))

    # --- lists

    def show_rooms(self) -> None:
        """List the rooms that you can see."""
        if self._can_ask():
            self._requests.ask(PendingRoomRequest(frames.RoomsRequest()))

    def show_members(self) -> None:
        """List the members."""
        self._request("members")

    def show_log(self, argument: str) -> None:
        """Show the moderation log."""
        count = argument.strip() or str(_LOG)
        if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= _LOG_LIMIT):
            self._out.fail(Problem(ProblemCode.USAGE, command="log", count=_LOG_LIMIT))
        elif (name := self._current("log")) is not None and self._can_ask():
            self._requests.ask(PendingRoomRequest(frames.RoomRequest("log", name), wanted=int(count)))

    # --- the room

    def topic(self, argument: str) -> None:
        """Show or change the topic."""
        text = argument.strip()
        if text:
            if self._is_line(text):
                self._request("topic", text="" if text == "-" else text)
            return
        if (name := self._current("topic")) is None:
            return
        if self._can_ask():
            self._requests.show_topic(name)

    def set(self, argument: str) -> None:
        """Change a setting."""
        match argument.lower().split():
            case ["kind", word] if word in list(RoomKind):
                self._request("set", kind=RoomKind(word))
            case ["history", word] if word in list(HistoryFrom):
                self._request("set", history=HistoryFrom(word))
            case ["slow", "off"]:
                self._request("set", seconds=0)
            case ["slow", *words] if (parse_duration(" ".join(words)) or SLOW_LIMIT_S + 1) <= SLOW_LIMIT_S:
                self._request("set", seconds=parse_duration(" ".join(words)))
            case _:
                self._fail_usage("set")

    def archive(self) -> None:
        """Make the room read-only."""
        self._request("archive")

    def unarchive(self) -> None:
        """Make the room active again."""
        self._request("unarchive")

    # --- members

    def invite(self, argument: str) -> None:
        """Invite a user."""
        self._moderate("invite", argument)

    def remove(self, argument: str) -> None:
        """Remove a member, who can rejoin."""
        self._moderate("remove", argument, has_reason=True)

    def ban(self, argument: str) -> None:
        """Remove a member, who can't rejoin."""
        self._moderate("ban", argument, has_reason=True, has_duration=True)

    def unban(self, argument: str) -> None:
        """End a ban."""
        self._moderate("unban", argument)

    def mute(self, argument: str) -> None:
        """Make a member read-only."""
        self._moderate("mute", argument, has_reason=True, has_duration=True)

    def unmute(self, argument: str) -> None:
        """End a mute."""
        self._moderate("unmute", argument)

    def role(self, argument: str) -> None:
        """Set the role of a member."""
        match argument.split():
            case [typed, word] if word.lower() in list(RoomRole):
                if (user := self._user(typed)) is not None:
                    self._request("role", user=user, role=RoomRole(word.lower()))
            case _:
                self._fail_usage("role")

    def _moderate(
        self,
        action: frames.RoomAction,
        argument: str,
        *,
        has_reason: bool = False,
        has_duration: bool = False,
    ) -> None:
        typed, _, rest = argument.strip().partition(" ")
        seconds, reason = None, rest.strip()
        if has_duration and re.match(r"[-+.,]*[0-9]|-", reason):
            # A number is meant as a time: it must not become the reason of an endless ban.
            found = split_duration(reason)
            if found is None:
                self._out.fail(Problem(ProblemCode.INVALID_DURATION, command=action, text=reason))
                return
            seconds, reason = found
        if reason and not has_reason:
            self._fail_usage(action)
        elif (user := self._user(typed)) is not None and self._is_line(reason):
            self._request(action, user=user, seconds=seconds, text=reason or None)

    # --- small things

    def _request(
        self,
        action: frames.RoomAction,
        *,
        user: str | None = None,
        role: RoomRole | None = None,
        text: str | None = None,
        seconds: int | None = None,
        kind: RoomKind | None = None,
        history: HistoryFrom | None = None,
    ) -> None:
        if (name := self._current(action)) is not None and self._can_ask():
            frame = frames.RoomRequest(
                action, name, user=user, role=role, text=text, seconds=seconds, kind=kind, history=history
            )
            self._requests.ask(PendingRoomRequest(frame))

    def _current(self, command: str) -> str | None:
        """Return the room that is open; without one, show a problem and return None."""
        name = self._chat.partner
        if name is None or not is_room(name):
            self._out.fail(Problem(ProblemCode.ROOM_COMMAND, command=command))
            return None
        return name

    def _room_name(self, typed: str) -> str | None:
        try:
            return normalize_room(typed)
        except InvalidNameError:
            self._out.fail(Problem(ProblemCode.INVALID_NAME, text=typed))
            return None

    def _user(self, typed: str) -> str | None:
        try:
            return normalize_name(typed.removeprefix("@"))
        except InvalidNameError:
            self._out.fail(Problem(ProblemCode.INVALID_NAME, text=typed))
            return None

    def _is_line(self, text: str) -> bool:
        try:
            check_topic(text)
        except InvalidTextError as error:
            self._out.fail(Problem(ProblemCode.INVALID_TEXT, error=error.code, text=str(error)))
            return False
        return True

    def _fail_usage(self, command: str) -> None:
        self._out.fail(Problem(ProblemCode.USAGE, command=command))

    def _can_ask(self) -> bool:
        if not self._online():
            self._out.fail(Problem(ProblemCode.NO_CONNECTION))
        return self._online()
