"""Who is writing just now: what is told to the server, and what it tells, without I/O."""

from typing import Final

from qscp import frames
from qscp.features import TYPING
from qscp.rooms import is_room
from qscp_client.core.effects import Clock, Output

__all__ = ["Typists"]

_PAUSE_S: Final = 5.0
"""Seconds between two notices of ours at least."""

_STALE_S: Final = 6.0
"""Seconds after which somebody of whom nothing more is heard is not writing any more."""

_LATE_S: Final = 1.5
"""Seconds for which a notice may come behind the message that it was about: of rooms they are told once a
second, and messages at once."""


class Typists:
    """Keeps who is writing, and says that you are.

    Args:
        me: Your name.
        out: Where frames go.
        clock: The time.
        enabled: Whether you want that.
    """

    def __init__(self, me: str, out: Output, clock: Clock, *, enabled: bool) -> None:
        self._me = me
        self._out = out
        self._clock = clock
        self._enabled = enabled
        self._on = False
        self._told = float("-inf")
        self._writing_to: str | None = None
        self._others: dict[str, dict[str, float]] = {}
        self._many: dict[str, float] = {}
        self._wrote: dict[tuple[str, str], float] = {}

    def connected(self, ack: frames.AuthAck) -> None:
        """Begin on a connection."""
        self._on = self._enabled and TYPING in ack.features

    def lost(self) -> None:
        """Nothing is known any more."""
        self._on = False
        self._writing_to = None
        self._others.clear()
        self._many.clear()
        self._wrote.clear()

    def write(self, to: str | None, text: str) -> None:
        """Note what stands in the line.

        Args:
            to: To whom it is; None while somebody is being chosen.
            text: The line so far.
        """
        bare = text.strip()
        is_message = bool(bare) and (not bare.startswith("/") or bare.startswith(("//", "/me ")))
        self._writing_to = to if self._on and is_message else None

    def receive(self, frame: frames.ServerFrame) -> None:
        """Take in who is writing, and who is done with it."""
        match frame:
            case frames.Typing():
                self._write(frame)
            case frames.Chat(sender=sender, to=to):
                self._others.get(to if is_room(to) else sender, {}).pop(sender, None)
                if is_room(to):
                    self._wrote[to, sender] = self._clock.now()
            case _:
                pass

    def _write(self, frame: frames.Typing) -> None:
        until = self._clock.now() + _STALE_S
        for user in frame.users:
            name = frame.to if is_room(frame.to) else user
            is_late = self._clock.now() < self._wrote.get((name, user), -_LATE_S) + _LATE_S
            if user != self._me and not is_late:
                self._others.setdefault(name, {})[user] = until
        if frame.count > len(frame.users):
            self._many[frame.to] = until

    def writing(self, name: str | None) -> list[str]:
        """Who is writing in a chat, as far as they are named."""
        return sorted(self._others.get(name or "", {}))

    def are_many(self, name: str | None) -> bool:
        """Whether there are more of them in a room than are named."""
        return (name or "") in self._many

    def next_due(self) -> float | None:
        """When `tick` has something to do, by the clock."""
        dues = [until for users in self._others.values() for until in users.values()]
        dues += self._many.values()
        if self._writing_to is not None:
            dues.append(self._told + _PAUSE_S)
        return min(dues, default=None)

    def tick(self) -> None:
        """Send what is due, and forget who has stopped."""
        now = self._clock.now()
        if self._writing_to is not None and now >= self._told + _PAUSE_S:
            self._told = now
            self._out.frames.append(frames.SetTyping(self._writing_to))
            self._writing_to = None
        for name, users in list(self._others.items()):
            self._others[name] = {user: until for user, until in users.items() if until > now}
        self._many = {name: until for name, until in self._many.items() if until > now}
        self._wrote = {key: at for key, at in self._wrote.items() if at + _LATE_S > now}
