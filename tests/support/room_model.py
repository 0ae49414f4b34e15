"""Rooms as a few dictionaries: what a store makes of what is done, written from `docs/protocol.md`."""

from dataclasses import dataclass, field
from typing import Final

from qscpd.domain.model import NewMessage
from qscpd.domain.rooms import FOREVER_MS, RoomChange

__all__ = ["ModelRoom", "RoomModel"]

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
class ModelRoom:
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
        """Return whether a user can see the room."""
        if self.state == "deleted":
            return False
        return self.kind != "closed" or person in self.roles or person in self.invited

    def end(self, person: int) -> None:
        """End a user's membership and invitation."""
        for each in (self.roles, self.since, self.invited):
            each.pop(person, None)

    def begins(self, person: int) -> int:
        """Return the first seq that a member sees."""
        return max(self.first, self.since[person] if self.history == "joining" else 1)


class RoomModel:
    """What the store must be."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.gone: set[int] = set()
        self.houses: list[ModelRoom] = []

    def membership(self, name: str) -> ModelRoom | None:
        """Return the room that has a name."""
        return next((each for each in self.houses if each.name == name and each.state != "deleted"), None)

    def do(self, change: RoomChange) -> str:
        """Do something; return the code of the refusal, or nothing."""
        if change.actor in self.gone or change.target in self.gone:
            return "unknown_user"
        model_room = self.membership(change.room)
        if change.action == "create":
            return self._create(change, model_room)
        if model_room is None:
            return "unknown_room"
        code = self._who_may(change, model_room)
        if (
            not code
            and model_room.state == "archived"
            and change.action not in {"leave", "unarchive", "delete"}
        ):
            code = "room_archived"
        code = code or getattr(self, f"_{change.action}")(model_room, change)
        if not code and change.action not in {"join", "leave"}:
            self._note(model_room, change)
        return code

    def _note(self, model_room: ModelRoom, change: RoomChange) -> None:
        lasts = change.action in {"ban", "mute"}
        model_room.log.append(
            (change.actor, change.action, change.target, self._until(change) if lasts else None)
        )

    def _until(self, change: RoomChange) -> int:
        return FOREVER_MS if change.seconds is None else self.now + 1000 * change.seconds

    def _create(self, change: RoomChange, there: ModelRoom | None) -> str:
        if there is not None:
            return "room_exists"
        model_room = ModelRoom(
            len(self.houses) + 1,
            change.room,
            str(change.kind or "open"),
            str(change.history or "joining"),
            change.text,
        )
        owner = change.actor or change.target
        assert owner
        model_room.roles[owner], model_room.since[owner], model_room.read[owner] = "owner", 1, 0
        self.houses.append(model_room)
        self._note(model_room, change)
        return ""

    def _who_may(self, change: RoomChange, model_room: ModelRoom) -> str:
        if change.actor is None:
            return ""
        if not model_room.knows(change.actor):
            return "unknown_room"
        if change.action == "join" or (change.action == "leave" and change.actor in model_room.invited):
            return ""
        role = model_room.roles.get(change.actor)
        if role is None:
            return "not_a_member"
        return "" if change.action in MAY[role] else "not_allowed"

    def _join(self, model_room: ModelRoom, change: RoomChange) -> str:
        actor = change.actor
        assert actor
        if actor in model_room.roles:
            return "already_member"
        if model_room.banned.get(actor, 0) > self.now:
            return "banned"
        model_room.end(actor)
        model_room.roles[actor], model_room.since[actor] = "member", len(model_room.said) + 1
        model_room.read[actor] = len(model_room.said)
        return ""

    def _leave(self, model_room: ModelRoom, change: RoomChange) -> str:
        assert change.actor
        needed = model_room.owners() if model_room.state == "active" else list(model_room.roles)
        if needed == [change.actor]:
            return "last_owner"
        model_room.end(change.actor)
        return ""

    def _topic(self, model_room: ModelRoom, change: RoomChange) -> str:
        model_room.topic = change.text
        return ""

    def _set(self, model_room: ModelRoom, change: RoomChange) -> str:
        model_room.kind = str(change.kind or model_room.kind)
        model_room.history = str(change.history or model_room.history)
        model_room.slow_s = model_room.slow_s if change.seconds is None else change.seconds
        return ""

    def _invite(self, model_room: ModelRoom, change: RoomChange) -> str:
        assert change.target
        if change.target in model_room.roles:
            return "already_member"
        if model_room.banned.get(change.target, 0) > self.now:
            return "banned"
        model_room.invited[change.target] = change.actor or 0
        return ""

    def _reach(self, model_room: ModelRoom, change: RoomChange, *, ends: bool) -> str:
        """Return why a user can't be the target."""
        if (
            change.actor
            and model_room.roles.get(change.target or 0) not in BELOW[model_room.roles[change.actor]]
        ):
            return "not_allowed"
        return "last_owner" if ends and model_room.owners() == [change.target] else ""

    def _remove(self, model_room: ModelRoom, change: RoomChange) -> str:
        assert change.target
        if change.target not in model_room.roles and change.target not in model_room.invited:
            return "user_not_member"
        code = self._reach(model_room, change, ends=True)
        if not code:
            model_room.end(change.target)
        return code

    def _ban(self, model_room: ModelRoom, change: RoomChange) -> str:
        assert change.target
        code = self._reach(model_room, change, ends=True)
        if not code:
            model_room.end(change.target)
            model_room.banned[change.target] = self._until(change)
        return code

    def _unban(self, model_room: ModelRoom, change: RoomChange) -> str:
        model_room.banned.pop(change.target or 0, None)
        return ""

    def _mute(self, model_room: ModelRoom, change: RoomChange) -> str:
        assert change.target
        if change.target not in model_room.roles:
            return "user_not_member"
        code = self._reach(model_room, change, ends=False)
        if not code:
            model_room.muted[change.target] = self._until(change)
        return code

    def _unmute(self, model_room: ModelRoom, change: RoomChange) -> str:
        if change.target not in model_room.roles:
            return "user_not_member"
        code = self._reach(model_room, change, ends=False)
        if not code:
            model_room.muted.pop(change.target, None)
        return code

    def _role(self, model_room: ModelRoom, change: RoomChange) -> str:
        if change.target not in model_room.roles:
            return "user_not_member"
        if change.role != "owner" and model_room.owners() == [change.target]:
            return "last_owner"
        model_room.roles[change.target] = str(change.role)
        return ""

    def _archive(self, model_room: ModelRoom, _: RoomChange) -> str:
        model_room.state = "archived"
        return ""

    def _unarchive(self, model_room: ModelRoom, _: RoomChange) -> str:
        if model_room.state == "active":
            return "not_allowed"
        if not model_room.owners():
            return "last_owner"
        model_room.state = "active"
        return ""

    def _delete(self, model_room: ModelRoom, _: RoomChange) -> str:
        model_room.state = "deleted"
        for each in (
            model_room.roles,
            model_room.since,
            model_room.invited,
            model_room.muted,
            model_room.banned,
        ):
            each.clear()
        return ""

    def delete_account(self, person: int) -> None:
        """Let a deleted account leave its rooms."""
        self.gone.add(person)
        for model_room in self.houses:
            owned = model_room.roles.get(person) == "owner"
            model_room.end(person)
            model_room.muted.pop(person, None)
            model_room.banned.pop(person, None)
            if not owned or model_room.owners():
                continue
            first = sorted((model_room.since[each], each) for each in model_room.roles)
            for role in ("moderator", "member"):
                chosen = [each for _, each in first if model_room.roles[each] == role]
                if chosen:
                    model_room.roles[chosen[0]] = "owner"
                    model_room.log.append((None, "role", chosen[0], None))
                    break
            else:
                model_room.state = "archived"
                model_room.log.append((None, "archive", None, None))

    def write(self, model_room: ModelRoom, message: NewMessage) -> str:
        """Write in a room; return the code of the refusal, or nothing."""
        code = self._may_write(model_room, message.sender)
        if not code:
            model_room.said.append(message)
            if model_room.slow_s:
                model_room.spoke[message.sender] = self.now
        return code

    def _may_write(self, model_room: ModelRoom, person: int) -> str:
        role = model_room.roles.get(person)
        if role is None:
            return "not_a_member" if model_room.knows(person) else "unknown_room"
        if model_room.state != "active":
            return "room_archived"
        if model_room.muted.get(person, 0) > self.now:
            return "muted"
        if role != "member":
            return ""
        if model_room.kind == "announcement":
            return "not_allowed"
        return "slow_mode" if self.now < model_room.spoke.get(person, 0) + 1000 * model_room.slow_s else ""
