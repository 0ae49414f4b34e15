"""Who is online, without I/O."""

import dataclasses
from collections.abc import Iterable, Iterator

from qscp.frames import OnlineUsers, PresenceChanges, UserPresence

__all__ = ["PresenceChange", "Roster"]


@dataclasses.dataclass(frozen=True, slots=True)
class PresenceChange:
    """How somebody's presence changed."""

    person: UserPresence
    """The new presence."""
    was_online: bool


class Roster:
    """Who is online, without yourself.

    The server sends a snapshot in pages, and changes; both carry versions. What a
    snapshot already contains is not applied again, and a change that comes between two
    pages waits until the snapshot is complete.

    Args:
        me: Your own name, which is never in the roster.

    Attributes:
        complete: Whether a whole snapshot has come.
    """

    def __init__(self, me: str) -> None:
        self.complete = False
        self._me = me
        self._people: dict[str, UserPresence] = {}
        self._seen: set[str] = set()
        self._version = -1
        self._pages: dict[str, UserPresence] | None = None
        self._pages_version = -1
        self._held: list[PresenceChanges] = []

    def __contains__(self, name: str) -> bool:
        """Whether somebody of that name is online."""
        return name in self._people

    def __iter__(self) -> Iterator[UserPresence]:
        """Everybody online, by name."""
        return iter(sorted(self._people.values(), key=lambda person: person.user))

    def get(self, name: str) -> UserPresence | None:
        """The presence of somebody who is online."""
        return self._people.get(name)

    def was_seen(self, name: str) -> bool:
        """Whether somebody of that name was online at any time of this session."""
        return name in self._seen

    def lost(self) -> None:
        """The connection is lost; a new one begins with a whole snapshot, under versions of its own."""
        self._pages = None
        self._held.clear()
        self._version = -1

    def apply_page(self, page: OnlineUsers) -> list[PresenceChange]:
        """Take in a page of a snapshot; the last one puts the snapshot in force."""
        if self._pages is None or page.version != self._pages_version:
            # Another version is another snapshot: the server gave up the one it had begun.
            self._pages = {}
            self._pages_version = page.version
        self._pages.update((person.user, person) for person in page.users if self._counts(person))
        if page.more:
            return []
        gone = [UserPresence(name, "offline") for name in self._people if name not in self._pages]
        changes = self._update([*self._pages.values(), *gone])
        self._version = page.version
        self._pages = None
        self.complete = True
        held, self._held = self._held, []
        for frame in held:
            changes += self.apply_changes(frame)
        return changes

    def apply_changes(self, frame: PresenceChanges) -> list[PresenceChange]:
        """Take in changes.

        Returns:
            What really changed.
        """
        if self._pages is not None or not self.complete:
            self._held.append(frame)
            return []
        if frame.version <= self._version:
            return []
        self._version = frame.version
        return self._update(frame.users)

    def _counts(self, person: UserPresence) -> bool:
        return person.user != self._me and person.status != "offline"

    def _update(self, people: Iterable[UserPresence]) -> list[PresenceChange]:
        changes = []
        for person in people:
            before = self._people.get(person.user)
            if self._counts(person):
                self._people[person.user] = person
                self._seen.add(person.user)
                changed = before != person
            else:
                changed = self._people.pop(person.user, None) is not None
            if changed:
                changes.append(PresenceChange(person, before is not None))
        return changes
