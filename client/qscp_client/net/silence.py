"""Silence of a server: how long answers are missing, when to ping, and when it counts as dead. Sans-I/O.

A ping is sent as soon as an answer is late, and again while it stays missing. Any byte shows that the server
is alive, whatever it waits for: a slow disk must not make all clients reconnect.
"""

import collections
import enum
from typing import Final, NamedTuple

from qscp import frames

_LATE_S: Final = 1.0
"""A check that comes so much too late did not run in between, such as after Ctrl-Z: what came is unread."""

_GRACE_S: Final = 5.0
"""How long the answer to a ping can take after this computer slept, or the client was stopped."""


class Patience(NamedTuple):
    """How long a client waits for a server, in seconds."""

    unanswered_s: float = 5.0
    """Without an answer, until the user sees it and a ping is sent; also between two pings."""
    dead_s: float = 15.0
    """Without any byte after a ping, until the connection counts as lost."""
    quiet_s: float = 60.0
    """Without any byte, until a ping is sent if no answer is missing. The server pings after 30 s, so a
    healthy connection is never silent for so long."""
    login_s: float = 60.0
    """Without an answer to a login, which can't be pinged for. Hundreds of others can be ahead in the queue
    for passwords; if all of them gave up early, each hash would be computed again."""


class Due(enum.Enum):
    """What a client has to do about the silence."""

    NOTHING = enum.auto()
    PING = enum.auto()
    GIVE_UP = enum.auto()


_REQUESTS: Final = (
    frames.Auth,
    frames.Block,
    frames.ClientPing,
    frames.ConversationsRequest,
    frames.HistoryRequest,
    frames.Join,
    frames.Leave,
    frames.RoomRequest,
    frames.RoomsRequest,
    frames.SearchRequest,
    frames.SetPresence,
    frames.Unblock,
    frames.WhoisRequest,
)
"""Frames whose answer names no id; those of one type are answered in order."""

_ANSWERED: Final[dict[type[frames.ServerFrame], str]] = {
    frames.AuthAck: "auth",
    frames.AuthNack: "auth",
    frames.Conversations: "conversations",
    frames.History: "history",
    frames.PresenceAck: "presence",
    frames.Resumed: "resume",
    frames.RoomLog: "room",
    frames.RoomMembers: "room",
    frames.Rooms: "rooms",
    frames.SearchResults: "search",
    frames.ServerPong: "ping",
    frames.Whois: "whois",
}
"""Type of the frame that each answers."""


class SilenceWatch:
    """Watch over one connection. All times are those of one clock, in seconds.

    It has an entry for each frame without an answer, as the outbox and the pending requests have.

    Args:
        now: The time.
        patience: How long to wait.
    """

    def __init__(self, now: float, patience: Patience) -> None:
        self._patience = patience
        self._last_in = self._checked_at = now
        self._pinged_at: float | None = None
        """Of the last ping, if no byte came after it."""
        self._next_ping = now
        """No ping is sent before this."""
        self._excused_until = now
        """The server has said that it answers nothing before this."""
        # Ordered, because finding the first of a dict gets slower with each one that was removed.
        self._messages: collections.OrderedDict[str, float] = collections.OrderedDict()
        self._requests: collections.defaultdict[str, collections.deque[float]] = collections.defaultdict(
            collections.deque
        )

    # --- what happens

    def sent(self, frame: frames.ClientFrame, now: float) -> None:
        """Note a frame that was sent."""
        match frame:
            case frames.SendChat() | frames.SendEdit() | frames.SendRedaction() | frames.SendReaction():
                self._messages[frame.id] = now
            case frames.Resume(more=False):
                self._requests[frame.type].append(now)
            case _ if isinstance(frame, _REQUESTS):
                self._requests[frame.type].append(now)
            case _:
                pass  # nothing answers it

    def arrived(self, now: float) -> None:
        """Note that bytes came."""
        self._last_in = now
        self._pinged_at = None

    def received(self, frame: frames.ServerFrame, now: float) -> None:
        """Note a frame that came."""
        match frame:
            case frames.ChatAck() | frames.ChatNack():
                self._messages.pop(frame.id, None)
            case frames.Error(ref=str(ref)) | frames.RoomAck(ref=ref) | frames.BlockAck(ref=ref):
                self._answer(ref)
            case frames.Throttled():
                # It is repeated as often as a ping is, while the server reads nothing.
                self._excused_until = now + frame.seconds + self._patience.unanswered_s
            case _ if answered := _ANSWERED.get(type(frame)):
                self._answer(answered)
            case _:
                pass

    def suspect(self, now: float) -> None:
        """Give the server a short time to send anything: the connection might be lost, or was not read."""
        self._pinged_at = now + _GRACE_S - self._patience.dead_s
        self._last_in = max(self._last_in, now + _GRACE_S - self._patience.login_s)

    # --- what follows

    def is_late(self, now: float) -> bool:
        """Return whether an answer is late, and the server has not said why."""
        late_at = self._late_at()
        return late_at is not None and now >= late_at

    def next_due(self) -> float:
        """Return when `check` or `is_late` has news."""
        late_at = self._late_at()
        act_at = self._act_at(late_at)
        return act_at if late_at is None or late_at <= self._checked_at else min(act_at, late_at)

    def check(self, now: float) -> Due:
        """Return what is due; a ping that is due counts as sent."""
        self._checked_at = now
        act_at = self._act_at(self._late_at())
        if now < act_at:
            return Due.NOTHING
        if self._pinged_at is None and not self._requests["auth"]:
            self._pinged_at = now
            self._next_ping = now + self._patience.unanswered_s
            return Due.PING
        if now - act_at < _LATE_S:
            return Due.GIVE_UP
        self.suspect(now)
        return Due.NOTHING

    def _act_at(self, late_at: float | None) -> float:
        """Return when a ping is due, or the connection counts as lost."""
        patience = self._patience
        if logins := self._requests["auth"]:
            return max(logins[0], self._last_in) + patience.login_s
        if self._pinged_at is not None:
            return max(self._pinged_at, self._excused_until) + patience.dead_s
        return self._last_in + patience.quiet_s if late_at is None else max(late_at, self._next_ping)

    def _late_at(self) -> float | None:
        """Return when the oldest missing answer is late; None if none is missing."""
        oldest = [times[0] for times in self._requests.values() if times]
        if self._messages:
            oldest.append(next(iter(self._messages.values())))
        return max(min(oldest) + self._patience.unanswered_s, self._excused_until) if oldest else None

    def _answer(self, kind: str) -> None:
        if times := self._requests.get(kind):
            times.popleft()
