"""Model of rooms in plain dictionaries, written from `docs/protocol.md`, to compare stores with."""

from dataclasses import dataclass, field
from typing import Final

from qscpd.domain.model import NewMessage
from qscpd.domain.rooms import FOREVER_MS, RoomChange

__all__ = ["ModelRoom", "RoomModel"]

_MEMBER: Final = frozenset({"members", "invite", "leave"})
_MODERATOR: Final = _MEMBER | {"topic", "remove", "ban", "unban", "mute", "unmute", "log"}
_OWNER: Final = _MODERATOR | {"set", "role", "archive", "unarchive"}
PERMITTED: Final[dict[str, frozenset[str]]] = {"owner": _OWNER, "moderator": _MODERATOR, "member": _MEMBER}
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
    declined: dict[int, int] = field(default_factory=dict)
    founder: int | None = None
    read: dict[int, int] = field(default_factory=dict)
    last_sent_ms: dict[int, int] = field(default_factory=dict)
    messages: list[NewMessage] = field(default_factory=list)
    log: list[tuple[int | None, str, int | None, int | None]] = field(default_factory=list)
    first: int = 1

    def owners(self) -> list[int]:
        """Return the owners."""
        return [each for each, role in self.roles.items() if role == "owner"]

    def visible_to(self, user: int) -> bool:
        """Return whether a user can see the room."""
        if self.state == "deleted":
            return False
        return self.kind != "closed" or user in self.roles or user in self.invited

    def remove_member(self, user: int) -> None:
        """End a user's membership and invitation."""
        for each in (self.roles, self.since, self.invited):
            each.pop(user, None)

    def first_visible(self, user: int) -> int:
        """Return the first seq that a member sees."""
        return max(self.first, self.since[user] if self.history == "joining" else 1)


class RoomModel:
    """Expected rooms of a store after the same changes."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.gone: set[int] = set()
        self.rooms: list[ModelRoom] = []

    def find(self, name: str) -> ModelRoom | None:
        """Return the room with a name, unless it was deleted."""
        return next((each for each in self.rooms if each.name == name and each.state != "deleted"), None)

    def apply(self, change: RoomChange) -> str:
        """Apply a change; return the error code, or an empty string."""
        if change.actor in self.gone or change.target in self.gone:
            return "unknown_user"
        room = self.find(change.room)
        if change.action == "create":
            return self._create(change, room)
        if room is None:
            return "unknown_room"
        code = self._check_permission(change, room)
        if not code and room.state == "archived" and change.action not in {"leave", "unarchive", "delete"}:
            code = "room_archived"
        code = code or getattr(self, f"_{change.action}")(room, change)
        if not code and change.action not in {"join", "leave"}:
            self._add_entry(room, change)
        return code

    def _add_entry(self, room: ModelRoom, change: RoomChange) -> None:
        lasts = change.action in {"ban", "mute"}
        room.log.append((change.actor, change.action, change.target, self._until(change) if lasts else None))

    def _until(self, change: RoomChange) -> int:
        return FOREVER_MS if change.seconds is None else self.now + 1000 * change.seconds

    def _create(self, change: RoomChange, existing: ModelRoom | None) -> str:
        if existing is not None:
            return "room_exists"
        if change.actor and change.most_owned is not None and self.owned(change.actor) >= change.most_owned:
            return "too_many_owned"
        room = ModelRoom(
            len(self.rooms) + 1,
            change.room,
            str(change.kind or "open"),
            str(change.history or "joining"),
            change.text,
        )
        owner = change.actor or change.target
        assert owner
        room.founder = change.actor
        room.roles[owner], room.since[owner], room.read[owner] = "owner", 1, 0
        self.rooms.append(room)
        self._add_entry(room, change)
        return ""

    def owned(self, user: int) -> int:
        """Return how many rooms a user has created and owns."""
        return len([each for each in self.rooms if each.founder == user and user in each.owners()])

    def _check_permission(self, change: RoomChange, room: ModelRoom) -> str:
        if change.actor is None:
            return ""
        if not room.visible_to(change.actor):
            return "unknown_room"
        if change.action == "join" or (change.action == "leave" and change.actor in room.invited):
            return ""
        role = room.roles.get(change.actor)
        if role is None:
            return "not_a_member"
        return "" if change.action in PERMITTED[role] else "not_allowed"

    def _join(self, room: ModelRoom, change: RoomChange) -> str:
        actor = change.actor
        assert actor
        if actor in room.roles:
            return "already_member"
        if room.banned.get(actor, 0) > self.now:
            return "banned"
        room.remove_member(actor)
        room.declined.pop(actor, None)
        room.roles[actor], room.since[actor] = "member", len(room.messages) + 1
        room.read[actor] = len(room.messages)
        return ""

    def _leave(self, room: ModelRoom, change: RoomChange) -> str:
        assert change.actor
        needed = room.owners() if room.state == "active" else list(room.roles)
        if needed == [change.actor]:
            return "last_owner"
        if change.actor in room.invited:
            room.declined[change.actor] = self.now + 86_400_000
        room.remove_member(change.actor)
        return ""

    def _topic(self, room: ModelRoom, change: RoomChange) -> str:
        room.topic = change.text
        return ""

    def _set(self, room: ModelRoom, change: RoomChange) -> str:
        room.kind = str(change.kind or room.kind)
        room.history = str(change.history or room.history)
        room.slow_s = room.slow_s if change.seconds is None else change.seconds
        return ""

    def _invite(self, room: ModelRoom, change: RoomChange) -> str:
        assert change.target
        if change.target in room.roles:
            return "already_member"
        if room.banned.get(change.target, 0) > self.now:
            return "banned"
        if change.actor and room.declined.get(change.target, 0) > self.now:
            return "declined"
        room.invited[change.target] = change.actor or 0
        return ""

    def _target_code(self, room: ModelRoom, change: RoomChange, *, ends: bool) -> str:
        """Return the code if a user cannot be the target, or an empty string."""
        if change.actor and room.roles.get(change.target or 0) not in BELOW[room.roles[change.actor]]:
            return "not_allowed"
        return "last_owner" if ends and room.owners() == [change.target] else ""

    def _remove(self, room: ModelRoom, change: RoomChange) -> str:
        assert change.target
        if change.target not in room.roles and change.target not in room.invited:
            return "user_not_member"
        code = self._target_code(room, change, ends=True)
        if not code:
            room.remove_member(change.target)
        return code

    def _ban(self, room: ModelRoom, change: RoomChange) -> str:
        assert change.target
        code = self._target_code(room, change, ends=True)
        if not code:
            room.remove_member(change.target)
            room.banned[change.target] = self._until(change)
        return code

    def _unban(self, room: ModelRoom, change: RoomChange) -> str:
        room.banned.pop(change.target or 0, None)
        return ""

    def _mute(self, room: ModelRoom, change: RoomChange) -> str:
        assert change.target
        if change.target not in room.roles:
            return "user_not_member"
        code = self._target_code(room, change, ends=False)
        if not code:
            room.muted[change.target] = self._until(change)
        return code

    def _unmute(self, room: ModelRoom, change: RoomChange) -> str:
        if change.target not in room.roles:
            return "user_not_member"
        code = self._target_code(room, change, ends=False)
        if not code:
            room.muted.pop(change.target, None)
        return code

    def _role(self, room: ModelRoom, change: RoomChange) -> str:
        if change.target not in room.roles:
            return "user_not_member"
        if change.role != "owner" and room.owners() == [change.target]:
            return "last_owner"
        room.roles[change.target] = str(change.role)
        return ""

    def _archive(self, room: ModelRoom, _: RoomChange) -> str:
        room.state = "archived"
        return ""

    def _unarchive(self, room: ModelRoom, _: RoomChange) -> str:
        if room.state == "active":
            return "not_allowed"
        if not room.owners():
            return "last_owner"
        room.state = "active"
        return ""

    def _delete(self, room: ModelRoom, _: RoomChange) -> str:
        room.state = "deleted"
        for each in (
            room.roles,
            room.since,
            room.invited,
            room.muted,
            room.banned,
            room.declined,
        ):
            each.clear()
        return ""

    def delete_account(self, user: int) -> None:
        """Remove a deleted account from its rooms."""
        self.gone.add(user)
        for room in self.rooms:
            owned = room.roles.get(user) == "owner"
            room.remove_member(user)
            room.muted.pop(user, None)
            room.banned.pop(user, None)
            room.declined.pop(user, None)
            if not owned or room.owners():
                continue
            first = sorted((room.since[each], each) for each in room.roles)
            for role in ("moderator", "member"):
                chosen = [each for _, each in first if room.roles[each] == role]
                if chosen:
                    room.roles[chosen[0]] = "owner"
                    room.log.append((None, "role", chosen[0], None))
                    break
            else:
                room.state = "archived"
                room.log.append((None, "archive", None, None))

    def write(self, room: ModelRoom, message: NewMessage) -> str:
        """Send a message to a room; return the error code, or an empty string."""
        code = self._may_write(room, message.sender)
        if not code:
            room.messages.append(message)
            if room.slow_s:
                room.last_sent_ms[message.sender] = self.now
        return code

    def _may_write(self, room: ModelRoom, user: int) -> str:
        role = room.roles.get(user)
        if role is None:
            return "not_a_member" if room.visible_to(user) else "unknown_room"
        if room.state != "active":
            return "room_archived"
        if room.muted.get(user, 0) > self.now:
            return "muted"
        if role != "member":
            return ""
        if room.kind == "announcement":
            return "not_allowed"
        return "slow_mode" if self.now < room.last_sent_ms.get(user, 0) + 1000 * room.slow_s else ""
