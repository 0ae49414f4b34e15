"""What the commands of rooms ask of the server, without I/O."""

import re
from collections.abc import Callable
from typing import Final

from qscp import frames
from qscp.errors import InvalidNameError, InvalidTextError
from qscp.limits import SLOW_LIMIT_S
from qscp.names import normalize_name
from qscp.rooms import HistoryFrom, RoomKind, RoomRole, check_topic, normalize_room
from qscp_client.core.room_requests import Asking, Question
from qscp_client.core.sync import Sync
from qscp_client.durations import parse_duration, split_duration

__all__ = ["Rooming"]

_LOG: Final = 20
"""Entries that `/log` shows without a number."""
_LOG_LIMIT: Final = 1000


class Rooming:
    """Carries out commands about rooms; these are the `RoomActions` of the table of commands.

    Args:
        sync: The conversations.
        asking: Who asks the server.
        connection: Gives a few words about the connection; empty while there is one.
        expect: Is called with the room that is to be entered, before anything is known of it: what is typed
            behind it is for that room, and must not go to anybody else.
    """

    def __init__(
        self,
        sync: Sync,
        asking: Asking,
        connection: Callable[[], str],
        expect: Callable[[str], None],
    ) -> None:
        self._sync = sync
        self._asking = asking
        self._connection = connection
        self._expect = expect

    # --- going in and out

    def join(self, argument: str) -> None:
        """Become a member of a room, and enter it."""
        self._expect(argument)
        if (name := self._room_name(argument)) is not None and self._may_ask():
            self._enter(name, frames.Join(name))
        else:
            self._asking.cancel()

    def create(self, argument: str) -> None:
        """Make a room, and enter it."""
        self._expect(argument)
        if (frame := self._room_to_create(argument)) is not None and self._may_ask():
            self._enter(frame.room, frame)
        else:
            self._asking.cancel()

    def _room_to_create(self, argument: str) -> frames.RoomRequest | None:
        typed, *words = argument.split() or [""]
        kind, history = None, None
        for word in words:
            if word in list(RoomKind):
                kind = RoomKind(word)
            elif word in list(HistoryFrom):
                history = HistoryFrom(word)
            else:
                self._asking.fail(
                    "Type /create #ROOM, and what it is: open, closed or announcement; full or joining."
                )
                return None
        if (name := self._room_name(typed)) is None:
            return None
        return frames.RoomRequest("create", name, kind=kind, history=history)

    def leave(self, argument: str) -> None:
        """Be no member of a room any more."""
        name = self._room_name(argument) if argument.strip() else self._current()
        if name is not None and self._may_ask():
            self._asking.ask(Question(frames.Leave(name)))

    def _enter(self, name: str, frame: frames.Join | frames.RoomRequest) -> None:
        self._expect(name)
        self._asking.rooms.expected = name
        self._asking.ask(Question(frame, was_in=self._asking.rooms.is_in(name)))

    # --- what there is to see

    def show_rooms(self) -> None:
        """Show all rooms that you may see."""
        if self._may_ask():
            self._asking.ask(Question(frames.RoomsRequest()))

    def show_members(self) -> None:
        """Show who is in the room."""
        self._request("members")

    def show_log(self, argument: str) -> None:
        """Show what was done in the room by those who may."""
        count = argument.strip() or str(_LOG)
        if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= _LOG_LIMIT):
            self._asking.fail(f"Type /log, or /log and a number from 1 to {_LOG_LIMIT}.")
        elif (name := self._current()) is not None and self._may_ask():
            self._asking.ask(Question(frames.RoomRequest("log", name), wanted=int(count)))

    # --- the room

    def topic(self, argument: str) -> None:
        """Show or change the topic."""
        text = argument.strip()
        if text:
            if self._is_line(text):
                self._request("topic", text="" if text == "-" else text)
            return
        if (name := self._current()) is None:
            return
        if self._may_ask():
            self._asking.show_topic(name)

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
                self._asking.fail(
                    "Type /set kind open, closed or announcement; /set history full or joining; or "
                    "/set slow and a time such as 30s, up to 1d, or off."
                )

    def archive(self) -> None:
        """Let the room be read, and nothing else."""
        self._request("archive")

    def unarchive(self) -> None:
        """Let the room be used again."""
        self._request("unarchive")

    # --- the people in it

    def invite(self, argument: str) -> None:
        """Let somebody join."""
        self._moderate("invite", argument)

    def remove(self, argument: str) -> None:
        """Put somebody out."""
        self._moderate("remove", argument, has_reason=True)

    def ban(self, argument: str) -> None:
        """Put somebody out, and keep them out."""
        self._moderate("ban", argument, has_reason=True, has_duration=True)

    def unban(self, argument: str) -> None:
        """Let somebody in again."""
        self._moderate("unban", argument)

    def mute(self, argument: str) -> None:
        """Let somebody read only."""
        self._moderate("mute", argument, has_reason=True, has_duration=True)

    def unmute(self, argument: str) -> None:
        """Let somebody write again."""
        self._moderate("unmute", argument)

    def role(self, argument: str) -> None:
        """Give somebody a role."""
        match argument.split():
            case [typed, word] if word.lower() in list(RoomRole):
                if (user := self._user(typed)) is not None:
                    self._request("role", user=user, role=RoomRole(word.lower()))
            case _:
                self._asking.fail("Type /role, a name, and owner, moderator or member.")

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
            # Whoever types a number means a time: it must not become a reason, and the time for ever.
            found = split_duration(reason)
            if found is None:
                self._asking.fail(
                    f"That is no time: type /{action} {typed} 30s, 10m, 2h, 7d, 1w or 1h30m, and then why. "
                    "Nothing was done."
                )
                return
            seconds, reason = found
        if reason and not has_reason:
            self._asking.fail(f"Type /{action} and one name.")
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
        if (name := self._current()) is not None and self._may_ask():
            frame = frames.RoomRequest(
                action, name, user=user, role=role, text=text, seconds=seconds, kind=kind, history=history
            )
            self._asking.ask(Question(frame))

    def _current(self) -> str | None:
        """The room that is open; None if there is none, which is told."""
        name = self._sync.partner
        if name is None or not name.startswith("#"):
            self._asking.fail("That is for rooms: enter one first, by its name, such as #room.")
            return None
        return name

    def _room_name(self, typed: str) -> str | None:
        try:
            return normalize_room(typed)
        except InvalidNameError as error:
            self._asking.fail(f"{error}.")
            return None

    def _user(self, typed: str) -> str | None:
        try:
            return normalize_name(typed.removeprefix("@"))
        except InvalidNameError as error:
            self._asking.fail(f"{error}.")
            return None

    def _is_line(self, text: str) -> bool:
        try:
            check_topic(text)
        except InvalidTextError as error:
            self._asking.fail(str(error))
            return False
        return True

    def _may_ask(self) -> bool:
        if self._connection():
            self._asking.fail("There is no connection; ask again when it is back.")
        return not self._connection()
