"""Presence: who is online, sent to every user who is.

Presence is a state and not an event. The changes of a second are one frame with the newest value of
each user, encoded once for all. A thousand users who come online together cost each other ten
frames instead of a thousand.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from qscp import codec
from qscp.frames import OnlineUsers, PresenceChanges, Status, UserPresence

GRACE_S: Final = 5.0
"""How long a user whose link was lost still counts as online: a laptop changes its network in less."""

_INTERVAL_S: Final = 1.0
"""Between two frames of changes to the same peer."""

_PAGE: Final = 100
"""Users in one frame: at most 50 KiB, with the longest names and texts."""

_RANK: Final[dict[Status, int]] = {"online": 2, "away": 1, "offline": 0}


class Presence:
    """The presence of every account, over all of its sessions.

    Args:
        broadcast: Sends frames to every session.
    """

    def __init__(self, broadcast: Callable[[Sequence[PresenceChanges]], None]) -> None:
        self._broadcast = broadcast
        self._loop = asyncio.get_running_loop()
        self._visible: dict[str, UserPresence] = {}
        self._changed: dict[str, UserPresence] = {}
        self._fading: dict[str, asyncio.TimerHandle] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last_broadcast = self._loop.time() - _INTERVAL_S
        self._version = 1

    def __len__(self) -> int:
        return len(self._visible)

    def of(self, user: str) -> UserPresence:
        """Return the presence of a user, as all others see it."""
        return self._visible.get(user) or UserPresence(user, "offline")

    def is_visible(self, user: str) -> bool:
        """Return whether others see a user as online or away; a user with a session who is not is hidden."""
        return user in self._visible

    def update(self, user: str, sessions: Iterable[tuple[Status, str]]) -> None:
        """Derive the presence of a user from their sessions.

        Args:
            user: Their name.
            sessions: Status and text of each of their sessions; the most available one counts.
        """
        self._stop_fading(user)
        status, text = max(sessions, key=lambda each: _RANK[each[0]], default=("offline", ""))
        self._set(UserPresence(user, status, text))

    def fade(self, user: str) -> None:
        """Set a user offline, whose last link was lost, unless they come back within `GRACE_S`."""
        self._stop_fading(user)
        if user in self._visible:
            self._fading[user] = self._loop.call_later(GRACE_S, self.update, user, ())

    def pages(self, without: str, hides: Callable[[str], bool] = lambda _: False) -> Iterator[bytes]:
        """Yield the frames of a snapshot, for a session that gets all changes from now on.

        Each page has the newest values at the time it is made. So a change that is sent between two
        pages is never undone by the later page.

        Args:
            without: The name of the session's own user.
            hides: Returns whether another user, by name, is left out; it is asked again for each page.
        """
        # A change that is sent from now on has a higher version. So a peer knows that it comes on
        # top of the snapshot, whichever page came before it.
        version = self._version
        users = iter([user for user in self._visible if user != without and not hides(user)])
        names = list(islice(users, _PAGE))
        while True:
            following = list(islice(users, _PAGE))
            page = [self._visible[name] for name in names if name in self._visible and not hides(name)]
            yield codec.encode(OnlineUsers(version, page, more=bool(following)))
            if not following:
                return
            names = following

    def close(self) -> None:
        """Stop all timers."""
        for handle in self._fading.values():
            handle.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, presence: UserPresence) -> None:
        user = presence.user
        if presence == self.of(user):
            return
        if presence.status == "offline":
            del self._visible[user]
        else:
            self._visible[user] = presence
        self._changed[user] = presence
        self.schedule()

    def schedule(self) -> None:
        """Send changes as soon as they may be sent, also if there are none."""
        if self._timer is None:
            self._timer = self._loop.call_at(self._last_broadcast + _INTERVAL_S, self._send_changes)

    def _stop_fading(self, user: str) -> None:
        handle = self._fading.pop(user, None)
        if handle is not None:
            handle.cancel()

    def _send_changes(self) -> None:
        self._timer = None
        self._last_broadcast = self._loop.time()
        changed, self._changed = iter(self._changed.values()), {}
        pages: list[PresenceChanges] = []
        while page := list(islice(changed, _PAGE)):
            pages.append(PresenceChanges(self.next_version(), page))
        self._broadcast(pages)

    def next_version(self) -> int:
        """Return the version of a new frame of changes."""
        self._version += 1
        return self._version
