"""Typing indicators, sent and received."""

from collections.abc import Container
from typing import Final

from qscp import frames
from qscp.features import TYPING
from qscp.rooms import is_room
from qscp_client.core.effects import Clock, Output

_PAUSE_S: Final = 5.0
"""Least seconds between two indicators that are sent."""

_STALE_S: Final = 6.0
"""Seconds after which an indicator that does not come again expires."""

_LATE_S: Final = 1.5
"""Seconds for which an indicator can come after the message that it was about. In rooms the server sends
indicators once a second, and messages at once."""


class TypingStatus:
    """Tracks who is typing, and sends that you are.

    Args:
        me: Your name.
        out: Where frames go.
        clock: The time.
        blocks: Names of the users whom you block.
        enabled: Whether indicators are sent and wanted.

    Attributes:
        hidden: Whether you appear offline, and send none.
    """

    def __init__(
        self, me: str, out: Output, clock: Clock, blocks: Container[str] = (), *, enabled: bool
    ) -> None:
        self.hidden = False
        self._me = me
        self._blocks = blocks
        self._out = out
        self._clock = clock
        self._enabled = enabled
        self._on = False
        self._sent_at = float("-inf")
        self._typing_to: str | None = None
        self._users: dict[str, dict[str, float]] = {}
        self._more: dict[str, float] = {}
        self._last_message: dict[tuple[str, str], float] = {}

    @property
    def kept(self) -> int:
        """Number of names that are kept."""
        return (
            len(self._users) + sum(map(len, self._users.values())) + len(self._more) + len(self._last_message)
        )

    def connected(self, ack: frames.AuthAck) -> None:
        """Start on a new connection."""
        self._on = self._enabled and TYPING in ack.features

    def disconnected(self) -> None:
        """Forget everything: the connection was lost."""
        self._on = False
        self._typing_to = None
        self._users.clear()
        self._more.clear()
        self._last_message.clear()

    def edit_line(self, to: str | None, text: str) -> None:
        """Note what is in the line.

        Args:
            to: The open chat; None in the picker.
            text: The line so far.
        """
        bare = text.strip()
        is_message = bool(bare) and (not bare.startswith("/") or bare.startswith(("//", "/me ")))
        self._typing_to = to if self._on and is_message and not self.hidden else None

    def receive(self, frame: frames.ServerFrame) -> None:
        """Apply an indicator, or a message, which ends one."""
        match frame:
            case frames.Typing():
                self._add(frame)
            case frames.Chat(sender=sender, to=to):
                self._users.get(to if is_room(to) else sender, {}).pop(sender, None)
                if is_room(to):
                    self._last_message[to, sender] = self._clock.now()
            case _:
                pass

    def _add(self, frame: frames.Typing) -> None:
        until = self._clock.now() + _STALE_S
        for user in frame.users:
            name = frame.to if is_room(frame.to) else user
            is_late = self._clock.now() < self._last_message.get((name, user), -_LATE_S) + _LATE_S
            if user != self._me and user not in self._blocks and not is_late:
                self._users.setdefault(name, {})[user] = until
        if frame.count > len(frame.users):
            self._more[frame.to] = until

    def users_in(self, name: str | None) -> list[str]:
        """Return the users who are typing in a chat, as far as they are named."""
        return sorted(self._users.get(name or "", {}))

    def has_more(self, name: str | None) -> bool:
        """Whether more users are typing in a room than are named."""
        return (name or "") in self._more

    def next_due(self) -> float | None:
        """Return when `tick` has something to do, by the clock; None if it has nothing."""
        dues = [until for users in self._users.values() for until in users.values()]
        dues += self._more.values()
        if self._typing_to is not None:
            dues.append(self._sent_at + _PAUSE_S)
        return min(dues, default=None)

    def tick(self) -> None:
        """Send the indicator that is due, and let old ones expire."""
        now = self._clock.now()
        if self.hidden:
            self._typing_to = None
        if self._typing_to is not None and now >= self._sent_at + _PAUSE_S:
            self._sent_at = now
            self._out.frames.append(frames.SetTyping(self._typing_to))
            self._typing_to = None
        for name, users in list(self._users.items()):
            self._users[name] = {user: until for user, until in users.items() if until > now}
        self._more = {name: until for name, until in self._more.items() if until > now}
        self._last_message = {key: at for key, at in self._last_message.items() if at + _LATE_S > now}
