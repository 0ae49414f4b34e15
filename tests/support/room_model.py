"""Rooms as a few dictionaries: what a store makes of what is done, written from `docs/protocol.md`."""

from dataclasses import dataclass, field
from typing import Final

from qscpd.domain.model import NewMessage
from qscpd.domain.rooms import FOREVER_MS, RoomChange

__all__ = ["House", "Town"]

_MEMBER: Final = frozenset({"members", "invite", "leave"})
_MODERATOR: Final = _MEMBER | {"topic", "remove", "ban", "unban", "mute", "unmute", "log"}
_OWNER: Final = _MODERATOR | {"set", "role", "archive", "unarchive"}
MAY: Final[dict[str, frozenset[str]]] = {"owner": _OWNER, "moderator": _MODERATOR, "member": _MEMBER}
BELOW: Final[dict[str, set[str | None]]] = {
    "owner": {"owner", "moderator", "member", None},
    "moderator": {"member", None},
    "member": {None},
}


@dataclass
class House:
    """A room of the model."""

    number: int
    name: str
    kind: str
    history: str
    topic: str
    slow_s: int = 0
    state: str = "active"
    roles: dict[int, str] = field(default_factory=dict)
    since: dict[int, int] = field(default_factory=dict)
    invited: dict[int, int] = field(default_factory=dict)
    muted: dict[int, int] = field(default_factory=dict)
    banned: dict[int, int] = field(default_factory=dict)
    read: dict[int, int] = field(default_factory=dict)
    spoke: dict[int, int] = field(default_factory=dict)
    said: list[NewMessage] = field(default_factory=list)
    log: list[tuple[int | None, str, int | None, int | None]] = field(default_factory=list)
    first: int = 1

    def owners(self) -> list[int]:
        """Return who owns it."""
        return [each for each, role in self.roles.items() if role == "owner"]

    def knows(self, person: int) -> bool:
        """Return whether the room exists for somebody."""
        if self.state == "deleted":
            return False
        return self.kind != "closed" or person in self.roles or person in self.invited

    def end(self, person: int) -> None:
        """Somebody is in it no more, and not invited."""
        for each in (self.roles, self.since, self.invited):
            each.pop(person, None)

    def begins(self, person: int) -> int:
        """Return the first seq that a member sees."""
        return max(self.first, self.since[person] if self.history == "joining" else 1)


class Town:
    """What the store must be."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.gone: set[int] = set()
        self.houses: list[House] = []

    def standing(self, name: str) -> House | None:
        """Return the room that has a name."""
        return next((each for each in self.houses if each.name == name and each.state != "deleted"), None)

    def do(self, change: RoomChange) -> str:
        """Do something; return the code of the refusal, or nothing."""
        if change.actor in self.gone or change.target in self.gone:
            return "unknown_user"
        house = self.standing(change.room)
        if change.action == "create":
            return self._create(change, house)
        if house is None:
            return "unknown_room"
        code = self._who_may(change, house)
        if not code and house.state == "archived" and change.action not in {"leave", "unarchive", "delete"}:
            code = "room_archived"
        code = code or getattr(self, f"_{change.action}")(house, change)
        if not code and change.action not in {"join", "leave"}:
            self._note(house, change)
        return code

    def _note(self, house: House, change: RoomChange) -> None:
        lasts = change.action in {"ban", "mute"}
        house.log.append((change.actor, change.action, change.target, self._until(change) if lasts else None))

    def _until(self, change: RoomChange) -> int:
        return FOREVER_MS if change.seconds is None else self.now + 1000 * change.seconds

    def _create(self, change: RoomChange, there: House | None) -> str:
        if there is not None:
            return "room_exists"
        house = House(
            len(self.houses) + 1,
            change.room,
            str(change.kind or "open"),
            str(change.history or "joining"),
            change.text,
        )
        owner = change.actor or change.target
        assert owner
        house.roles[owner], house.since[owner], house.read[owner] = "owner", 1, 0
        self.houses.append(house)
        self._note(house, change)
        return ""

    def _who_may(self, change: RoomChange, house: House) -> str:
        if change.actor is None:
            return ""
        if not house.knows(change.actor):
            return "unknown_room"
        if change.action == "join" or (change.action == "leave" and change.actor in house.invited):
            return ""
        role = house.roles.get(change.actor)
        if role is None:
            return "not_a_member"
        return "" if change.action in MAY[role] else "not_allowed"

    def _join(self, house: House, change: RoomChange) -> str:
        actor = change.actor
        assert actor
        if actor in house.roles:
            return "already_member"
        if house.banned.get(actor, 0) > self.now:
            return "banned"
        house.end(actor)
        house.roles[actor], house.since[actor] = "member", len(house.said) + 1
        house.read[actor] = len(house.said)
        return ""

    def _leave(self, house: House, change: RoomChange) -> str:
        assert change.actor
        needed = house.owners() if house.state == "active" else list(house.roles)
        if needed == [change.actor]:
            return "last_owner"
        house.end(change.actor)
        return ""

    def _topic(self, house: House, change: RoomChange) -> str:
        house.topic = change.text
        return ""

    def _set(self, house: House, change: RoomChange) -> str:
        house.kind = str(change.kind or house.kind)
        house.history = str(change.history or house.history)
        house.slow_s = house.slow_s if change.seconds is None else change.seconds
        return ""

    def _invite(self, house: House, change: RoomChange) -> str:
        assert change.target
        if change.target in house.roles:
            return "already_member"
        if house.banned.get(change.target, 0) > self.now:
            return "banned"
        house.invited[change.target] = change.actor or 0
        return ""

    def _reach(self, house: House, change: RoomChange, *, ends: bool) -> str:
        """Return why somebody can't be acted on."""
        if change.actor and house.roles.get(change.target or 0) not in BELOW[house.roles[change.actor]]:
            return "not_allowed"
        return "last_owner" if ends and house.owners() == [change.target] else ""

    def _remove(self, house: House, change: RoomChange) -> str:
        assert change.target
        if change.target not in house.roles and change.target not in house.invited:
            return "user_not_member"
        code = self._reach(house, change, ends=True)
        if not code:
            house.end(change.target)
        return code

    def _ban(self, house: House, change: RoomChange) -> str:
        assert change.target
        code = self._reach(house, change, ends=True)
        if not code:
            house.end(change.target)
            house.banned[change.target] = self._until(change)
        return code

    def _unban(self, house: House, change: RoomChange) -> str:
        house.banned.pop(change.target or 0, None)
        return ""

    def _mute(self, house: House, change: RoomChange) -> str:
        assert change.target
        if change.target not in house.roles:
            return "user_not_member"
        code = self._reach(house, change, ends=False)
        if not code:
            house.muted[change.target] = self._until(change)
        return code

    def _unmute(self, house: House, change: RoomChange) -> str:
        if change.target not in house.roles:
            return "user_not_member"
        code = self._reach(house, change, ends=False)
        if not code:
            house.muted.pop(change.target, None)
        return code

    def _role(self, house: House, change: RoomChange) -> str:
        if change.target not in house.roles:
            return "user_not_member"
        if change.role != "owner" and house.owners() == [change.target]:
            return "last_owner"
        house.roles[change.target] = str(change.role)
        return ""

    def _archive(self, house: House, _: RoomChange) -> str:
        house.state = "archived"
        return ""

    def _unarchive(self, house: House, _: RoomChange) -> str:
        if house.state == "active":
            return "not_allowed"
        if not house.owners():
            return "last_owner"
        house.state = "active"
        return ""

    def _delete(self, house: House, _: RoomChange) -> str:
        house.state = "deleted"
        for each in (house.roles, house.since, house.invited, house.muted, house.banned):
            each.clear()
        return ""

    def delete_account(self, person: int) -> None:
        """Somebody leaves everything."""
        self.gone.add(person)
        for house in self.houses:
            owned = house.roles.get(person) == "owner"
            house.end(person)
            house.muted.pop(person, None)
            house.banned.pop(person, None)
            if not owned or house.owners():
                continue
            first = sorted((house.since[each], each) for each in house.roles)
            for role in ("moderator", "member"):
                chosen = [each for _, each in first if house.roles[each] == role]
                if chosen:
                    house.roles[chosen[0]] = "owner"
                    house.log.append((None, "role", chosen[0], None))
                    break
            else:
                house.state = "archived"
                house.log.append((None, "archive", None, None))

    def write(self, house: House, message: NewMessage) -> str:
        """Write in a room; return the code of the refusal, or nothing."""
        code = self._may_write(house, message.sender)
        if not code:
            house.said.append(message)
            if house.slow_s:
                house.spoke[message.sender] = self.now
        return code

    def _may_write(self, house: House, person: int) -> str:
        role = house.roles.get(person)
        if role is None:
            return "not_a_member" if house.knows(person) else "unknown_room"
        if house.state != "active":
            return "room_archived"
        if house.muted.get(person, 0) > self.now:
            return "muted"
        if role != "member":
            return ""
        if house.kind == "announcement":
            return "not_allowed"
        return "slow_mode" if self.now < house.spoke.get(person, 0) + 1000 * house.slow_s else ""
