"""What is known of rooms: those that you are in, and invitations, without I/O."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from qscp import frames
from qscp.rooms import RoomRole, is_room
from qscp_client.core import events
from qscp_client.core.effects import Clock, Output
from qscp_client.core.events import RoomLine
from qscp_client.core.sync import Sync
from qscp_client.text import describe_end

__all__ = ["Rooms"]

_NAMED = 3
"""People who are named when they come or go; of more only the number is told."""


class Rooms:
    """Keeps what the server says of rooms, and tells what has changed.

    Args:
        me: Your name.
        out: Where events go.
        clock: The time.
        sync: The conversations.
        close: Is called when the room that is open is no room of yours any more.

    Attributes:
        known: What the server said of each room on this connection, by name.
        invitations: Rooms that you may join, and who let you.
        expected: A room that you are about to enter, so that this need not be told.
        doing: What you asked to be done in rooms; it is told when it is acknowledged.
    """

    def __init__(self, me: str, out: Output, clock: Clock, sync: Sync, close: Callable[[], None]) -> None:
        self.known: dict[str, frames.Room] = {}
        self.invitations: dict[str, str] = {}
        self.expected: str | None = None
        self.doing: list[frames.RoomRequest] = []
        self._me = me
        self._out = out
        self._clock = clock
        self._sync = sync
        self._close = close
        self._told: dict[str, str] = {}
        self._roles: defaultdict[str, dict[str, RoomRole]] = defaultdict(dict)
        self._muted: dict[str, int] = {}
        self._put_out: set[tuple[str, str]] = set()

    @property
    def lines(self) -> tuple[RoomLine, ...]:
        """The rooms that you are in, for the list."""
        rooms = self._sync.conversations.rooms()
        return tuple(RoomLine(each.name, each.unread.messages, each.unread.mentions) for each in rooms)

    def is_me(self, user: str | None) -> bool:
        """Whether a name is your own."""
        return user == self._me

    def is_in(self, name: str) -> bool:
        """Whether you are in a room, as far as we know."""
        return self._sync.conversations.named(name) is not None

    def connected(self) -> None:
        """Begin anew: what is known may have changed."""
        self.known.clear()
        # They come again, and are no news then.
        self._told |= self.invitations
        self.invitations.clear()
        self._roles.clear()
        self._put_out.clear()

    def learn(self, rooms: Iterable[frames.Room]) -> None:
        """Take in a page of rooms."""
        for room in rooms:
            self.known[room.name] = room
            self._muted[room.name] = room.muted
            if not room.invited or room.archived:
                self.invitations.pop(room.name, None)

    def forget_invitations(self, named: set[str]) -> None:
        """Keep invitations to these rooms only: there are no others for you."""
        for name in self.invitations.keys() - named:
            del self.invitations[name]

    def learn_members(self, room: str, members: Iterable[frames.Member]) -> None:
        """Take in a page of a room's members."""
        self._roles[room] |= {each.user: each.role for each in members}

    def check(self) -> None:
        """Close the room that is open if it became no room of yours while you were away."""
        name = self._sync.partner
        if name is not None and is_room(name) and not self.is_in(name):
            self._tell(f"You are not in {name} any more.")
            self._close()

    def receive(self, frame: frames.ServerFrame) -> bool:
        """Take in a frame; return whether it was about rooms."""
        match frame:
            case frames.RoomChanged():
                self._change(frame)
            case frames.RoomLeft():
                self._leave(frame)
            case frames.Invited():
                self._invite(frame)
            case frames.MembersChanged():
                self._count(frame)
            case _:
                return False
        return True

    # --- you

    def did(self, request: frames.RoomRequest) -> None:
        """Note what you changed of a room yourself; the server tells it to everybody, too."""
        room = self.known.get(request.room)
        match request:
            case frames.RoomRequest(action="topic", text=str(topic)):
                if room is not None:
                    room.topic = topic
                self._tell_topic(request.room, topic)
            case frames.RoomRequest(action="archive" | "unarchive"):
                if room is not None:
                    room.archived = request.action == "archive"
                self._tell_archived(request.room, archived=request.action == "archive")
            case frames.RoomRequest(action="set") if room is not None:
                room.kind = request.kind or room.kind
                room.history = request.history or room.history
                room.slow = room.slow if request.seconds is None else request.seconds
                self._tell_settings(room)
            case frames.RoomRequest(action="role", user=str(user), role=RoomRole() as role):
                self._roles[request.room][user] = role
            case frames.RoomRequest(action="remove" | "ban", user=str(user)):
                # Everybody is told of it, maybe before.
                self._put_out ^= {(request.room, user)}
            case _:
                pass

    def _change(self, frame: frames.RoomChanged) -> None:
        room = frame.room
        is_new = self._sync.enter_room(frame)
        before = self.known.get(room.name)
        self.known[room.name] = room
        self.invitations.pop(room.name, None)
        self._told.pop(room.name, None)
        self._tell_muted(frame)
        if is_new:
            if self.expected != room.name:
                self._tell(f"You are in {room.name} now: type {room.name} to enter it.")
            return
        if before is None:
            return
        if room.role is not before.role and room.role is not None:
            by = f" ({frame.by})" if frame.by else ""
            self._tell(f"You are {room.role} in {room.name} now{by}.")
        doing = {each.action for each in self.doing if each.room == room.name}
        if room.archived is not before.archived and not doing & {"archive", "unarchive"}:
            self._tell_archived(room.name, archived=room.archived)
        if room.name != self._sync.partner:
            return
        if room.topic != before.topic and "topic" not in doing:
            self._tell_topic(room.name, room.topic)
        is_same = (room.kind, room.history, room.slow) == (before.kind, before.history, before.slow)
        if not is_same and "set" not in doing:
            self._tell_settings(room)

    def _tell_muted(self, frame: frames.RoomChanged) -> None:
        room, now = frame.room, self._clock.wall_ms()
        before = self._muted.get(room.name, 0)
        self._muted[room.name] = room.muted
        if room.muted == before:
            return
        by = f" ({frame.by})" if frame.by else ""
        if room.muted > now:
            self._tell(f"You may not write in {room.name} {describe_end(room.muted)}{by}.")
        elif before > now:
            self._tell(f"You may write in {room.name} again{by}.")

    def _tell_topic(self, name: str, topic: str) -> None:
        self._tell(f"Topic of {name} now: {topic}" if topic else f"{name} has no topic any more.")

    def _tell_archived(self, name: str, *, archived: bool) -> None:
        state = "is archived: it can be read, and nothing else" if archived else "is used again"
        self._tell(f"{name} {state}.")

    def _tell_settings(self, room: frames.Room) -> None:
        history = "full history" if room.history == "full" else "history from joining on"
        slow = f", {room.slow} s between two messages of one person" if room.slow else ""
        self._tell(f"{room.name} is now: {room.kind}, {history}{slow}.")

    def _leave(self, frame: frames.RoomLeft) -> None:
        was_invited = self.invitations.pop(frame.name, None) is not None
        self._told.pop(frame.name, None)
        if was_invited and frame.conversation not in self._sync.conversations:
            self.known.pop(frame.name, None)
            self._tell(_describe_withdrawn(frame))
            return
        was_open = frame.name == self._sync.partner
        self._sync.leave_room(frame.conversation)
        self.known.pop(frame.name, None)
        self._roles.pop(frame.name, None)
        self._muted.pop(frame.name, None)
        self._tell(_describe_left(frame))
        if was_open:
            self._close()

    def _invite(self, frame: frames.Invited) -> None:
        name = frame.room.name
        if frame.room.archived:
            self.invitations.pop(name, None)
            return
        self.invitations[name] = frame.by
        if self._told.get(name) != frame.by:
            self._told[name] = frame.by
            if not self._sync.listed:
                return  # it is in the list that is shown first
            self._tell(f"{frame.by or 'The operator'} invites you to {name}: /join {name} enters it.")

    # --- others

    def _count(self, frame: frames.MembersChanged) -> None:
        if frame.conversation not in self._sync.conversations:
            return
        name = self._sync.conversations.get(frame.conversation).name
        room = self.known.get(name)
        before = room.members if room else None
        if room is not None:
            room.members = frame.count
        changed = [each for each in frame.changed if each.user != self._me]
        came, gone, others = self._sort(self._roles[name], changed)
        if before is not None and not frame.others and before + len(came) - len(gone) != frame.count:
            # Some of them were here before, with a role that we did not know.
            came, others = [], [*others, *came]
        doing = {each.user for each in self.doing if each.room == name and each.action == "role"}
        others = [each for each in others if each.user not in doing]
        gone = [each for each in gone if not self._did_put_out(name, each.user)]
        self._put_out -= {(name, each.user) for each in changed if each.role is not None}
        if name != self._sync.partner:
            return
        for each in others[:_NAMED]:
            self._tell(f"{each.user} is {each.role} now.")
        if frame.others or len(came) + len(gone) > _NAMED:
            self._tell(_summary(name, len(came), len(gone), frame.count, before, frame.others))
        elif came or gone:
            parts = [f"{_names(came)} came in"] if came else []
            parts += [f"{_names(gone)} left"] if gone else []
            self._tell(f"{', '.join(parts)}; {_people(frame.count)} in {name} now.")

    def _did_put_out(self, name: str, user: str) -> bool:
        """Whether you put somebody out, which is told when it is acknowledged."""
        if (name, user) in self._put_out:
            self._put_out.remove((name, user))
            return True
        mine = any(
            (each.room, each.user) == (name, user) and each.action in ("remove", "ban") for each in self.doing
        )
        if mine:
            self._put_out.add((name, user))
        return mine

    def _sort(
        self, roles: dict[str, RoomRole], changed: Iterable[frames.MemberChange]
    ) -> tuple[list[frames.MemberChange], list[frames.MemberChange], list[frames.MemberChange]]:
        """Who came, who went, and who has another role, as far as we know; note what they are now."""
        came: list[frames.MemberChange] = []
        gone: list[frames.MemberChange] = []
        others: list[frames.MemberChange] = []
        for each in changed:
            role = roles.pop(each.user, None)
            if each.role is None:
                gone.append(each)
                continue
            roles[each.user] = each.role
            if role is None and each.role is RoomRole.MEMBER:
                came.append(each)
            elif role is not each.role:
                others.append(each)
        return came, gone, others

    def _tell(self, sentence: str) -> None:
        self._out.events.append(events.Notice(sentence))


def _describe_left(frame: frames.RoomLeft) -> str:
    by = f" by {frame.by}" if frame.by else ""
    why = f": {frame.text.rstrip('.')}" if frame.text else ""
    match frame.reason:
        case "left":
            return f"You left {frame.name}."
        case "deleted":
            return f"{frame.name} was deleted{by}{why}."
        case "removed":
            return f"You were removed from {frame.name}{by}{why}."
        case "banned":
            return f"You were banned from {frame.name} {describe_end(frame.until)}{by}{why}."
        case _:
            return f"You are not in {frame.name} any more{by}{why}."


def _describe_withdrawn(frame: frames.RoomLeft) -> str:
    by = f" by {frame.by}" if frame.by else ""
    why = f": {frame.text.rstrip('.')}" if frame.text else ""
    match frame.reason:
        case "left":
            return f"You declined the invitation to {frame.name}."
        case "deleted":
            return f"{frame.name}, to which you were invited, was deleted{by}{why}."
        case "banned":
            return f"You were banned from {frame.name} {describe_end(frame.until)}{by}{why}."
        case _:
            return f"Your invitation to {frame.name} was withdrawn{by}{why}."


def _names(changes: Iterable[frames.MemberChange]) -> str:
    return " and ".join(each.user for each in changes)


def _people(count: int) -> str:
    return f"{count} member{'' if count == 1 else 's'}"


def _summary(name: str, came: int, gone: int, count: int, before: int | None, others: int) -> str:
    if others and before is not None:
        # Not everybody is listed: the balance is all that is known.
        return f"{name}: {count - before:+d}, now {_people(count)}."
    more = f" and {others} more" if others else ""
    return f"{name}: +{came} -{gone}{more}, now {_people(count)}."
