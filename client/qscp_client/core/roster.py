"""Roster: who is online."""

import dataclasses
from collections.abc import Iterable, Iterator

from qscp.frames import OnlineUsers, PresenceChanges, UserPresence


@dataclasses.dataclass(frozen=True, slots=True)
class PresenceChange:
    """A change of a user's presence."""

    person: UserPresence
    """The new presence."""
    was_online: bool


class Roster:
    """The users who are online, without yourself.

    The server sends a snapshot in pages, and changes; both carry versions. A change that the snapshot
    contains is not applied again. A change that comes between two pages is buffered until the snapshot is
    complete.

    Args:
        me: Your own name, which is never in the roster.

    Attributes:
        complete: Whether a whole snapshot was received.
    """

    def __init__(self, me: str) -> None:
        self.complete = False
        self._me = me
        self._people: dict[str, UserPresence] = {}
        self._seen: set[str] = set()
        self._version = -1
        self._pages: dict[str, UserPresence] | None = None
        self._pages_version = -1
        self._buffered: list[PresenceChanges] = []

    @property
    def kept(self) -> int:
        """Number of names that are kept."""
        buffered = sum(len(each.users) for each in self._buffered)
        return len(self._people) + len(self._seen) + len(self._pages or ()) + buffered + len(self._buffered)

    def __contains__(self, name: str) -> bool:
        """Whether a user of that name is online."""
        return name in self._people

    def __iter__(self) -> Iterator[UserPresence]:
        """All users who are online, by name."""
        return iter(sorted(self._people.values(), key=lambda person: person.user))

    def get(self, name: str) -> UserPresence | None:
        """Return the presence of a user; None if they are not online."""
        return self._people.get(name)

    def was_seen(self, name: str) -> bool:
        """Whether a user of that name was online at any time of this run."""
        return name in self._seen

    def remove(self, name: str) -> None:
        """Remove a user who is not to be seen any more."""
        self._people.pop(name, None)

    def disconnected(self) -> None:
        """Expect a whole snapshot with versions of its own, from the next connection."""
        self._pages = None
        self._buffered.clear()
        self._version = -1

    def apply_page(self, page: OnlineUsers) -> list[PresenceChange]:
        """Apply a page of a snapshot; the last one replaces the roster. Return what changed."""
        if self._pages is None or page.version != self._pages_version:
            # Another version is another snapshot: the server abandoned the one it had begun.
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
        buffered, self._buffered = self._buffered, []
        for frame in buffered:
            changes += self.apply_changes(frame)
        return changes

    def apply_changes(self, frame: PresenceChanges) -> list[PresenceChange]:
        """Apply changes; return those that are news."""
        if self._pages is not None or not self.complete:
            self._buffered.append(frame)
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
