"""Rooms: those that you are a member of, their members, and invitations."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from qscp import frames
from qscp.rooms import RoomRole, is_room
from qscp_client.core import events
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.effects import Clock, Output
from qscp_client.core.events import RoomLine
from qscp_client.core.moderation import Announced
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.requests import PendingRequests
from qscp_client.core.sync import Sync

_NAMED: Final = 3
"""New roles of members that are shown, for one frame."""

_LEFT: Final = {
    "left": NoticeCode.LEFT,
    "removed": NoticeCode.REMOVED,
    "banned": NoticeCode.BANNED,
    "deleted": NoticeCode.ROOM_DELETED,
}
"""Reason -> the notice for a member."""

_WITHDRAWN: Final = {
    "left": NoticeCode.INVITATION_DECLINED,
    "banned": NoticeCode.BANNED,
    "deleted": NoticeCode.INVITING_ROOM_DELETED,
}
"""Reason -> the notice for a user who was invited."""


class Rooms:
    """Rooms as the server describes them, with notices of what has changed.

    Args:
        me: Your name.
        out: Where events go.
        clock: The time.
        sync: The conversations.
        chat: The open chat.
        requests: What you are doing in rooms; a notice comes when it is acknowledged.
        close: Called when you are no longer a member of the room that is open.

    Attributes:
        known: The rooms that the server described on this connection, by name.
        invitations: Rooms that you are invited to, and who invited you.
    """

    def __init__(
        self,
        me: str,
        out: Output,
        clock: Clock,
        sync: Sync,
        chat: CurrentChat,
        requests: PendingRequests,
        close: Callable[[], None],
    ) -> None:
        self.known: dict[str, frames.Room] = {}
        self.invitations: dict[str, str] = {}
        self._me = me
        self._out = out
        self._clock = clock
        self._sync = sync
        self._chat = chat
        self._requests = requests
        self._close = close
        self._announced: dict[str, str] = {}
        self._roles: defaultdict[str, dict[str, RoomRole]] = defaultdict(dict)
        self._muted: dict[str, int] = {}
        self._removed: set[tuple[str, str]] = set()
        self._moderated: dict[str, Announced] = {}

    @property
    def open_room(self) -> str | None:
        """The room that is open; None if it is the list or the chat with a user."""
        name = self._chat.partner
        return name if name is not None and is_room(name) else None

    @property
    def lines(self) -> tuple[RoomLine, ...]:
        """The rooms that you are a member of, for the list."""
        rooms = self._sync.conversations.rooms()
        return tuple(RoomLine(each.name, each.unread.messages, each.unread.mentions) for each in rooms)

    @property
    def kept(self) -> int:
        """Number of names that are kept."""
        members = sum(map(len, self._roles.values())) + len(self._roles) + len(self._removed)
        rooms = len(self.known) + len(self.invitations) + len(self._announced) + len(self._muted)
        moderated = sum(map(len, self._moderated.values())) + len(self._moderated)
        return members + rooms + moderated

    def is_me(self, user: str | None) -> bool:
        """Whether a name is your own."""
        return user == self._me

    def is_in(self, name: str) -> bool:
        """Whether you are a member of a room, as far as this client knows."""
        return self._sync.conversations.named(name) is not None

    def connected(self) -> None:
        """Forget what might have changed while there was no connection."""
        self.known.clear()
        # The server sends them again, and they are no news then.
        self._announced |= self.invitations
        self.invitations.clear()
        self._roles.clear()
        self._removed.clear()
        self._moderated.clear()

    def learn(self, rooms: Iterable[frames.Room]) -> None:
        """Apply a page of rooms."""
        for room in rooms:
            self.known[room.name] = room
            if room.name == self._chat.partner:  # you can have been muted while there was no connection
                self._show_muted(room, "")
            self._muted[room.name] = room.muted
            if not room.invited or room.archived:
                self.invitations.pop(room.name, None)

    def forget_invitations(self, named: set[str]) -> None:
        """Forget invitations to all other rooms than these."""
        for name in self.invitations.keys() - named:
            del self.invitations[name]

    def forget_invitations_by(self, user: str) -> None:
        """Forget invitations by a user whom you block; the server sends them again when that has ended."""
        for name in [name for name, by in self.invitations.items() if by == user]:
            del self.invitations[name]
            self._announced.pop(name, None)

    def learn_members(self, room: str, members: Iterable[frames.Member]) -> None:
        """Apply a page of a room's members."""
        self._roles[room] |= {each.user: each.role for each in members}

    def check(self) -> None:
        """Close the room that is open if you are no longer a member of it."""
        name = self.open_room
        if name is not None and not self.is_in(name):
            self._show(Notice(NoticeCode.ROOM_GONE, name=name))
            self._close()

    def receive(self, frame: frames.ServerFrame) -> bool:
        """Apply a frame; return whether it was about rooms."""
        match frame:
            case frames.RoomChanged():
                self._change(frame)
            case frames.RoomLeft():
                self._leave(frame)
            case frames.Invited():
                self._invite(frame)
            case frames.MembersChanged():
                self._count(frame)
            case frames.Moderated():
                self._announce(frame)
            case _:
                return False
        return True

    # --- you

    def did(self, request: frames.RoomRequest) -> None:
        """Apply your own change of a room; the server notifies all members of it, too."""
        room = self.known.get(request.room)
        match request:
            case frames.RoomRequest(action="topic", text=str(topic)):
                if room is not None:
                    room.topic = topic
                self._show_topic(request.room, topic, None)
            case frames.RoomRequest(action="archive" | "unarchive"):
                if room is not None:
                    room.archived = request.action == "archive"
                self._show_archived(request.room, None, archived=request.action == "archive")
            case frames.RoomRequest(action="set") if room is not None:
                room.kind = request.kind or room.kind
                room.history = request.history or room.history
                room.slow = room.slow if request.seconds is None else request.seconds
                self._show_settings(room, None)
            case frames.RoomRequest(action="role", user=str(user), role=RoomRole() as role):
                self._roles[request.room][user] = role
            case frames.RoomRequest(action="remove" | "ban", user=str(user)):
                # All members are notified of it, maybe before this.
                self._removed ^= {(request.room, user)}
            case _:
                pass

    def _change(self, frame: frames.RoomChanged) -> None:
        room = frame.room
        is_new = self._sync.enter_room(frame)
        before = self.known.get(room.name)
        if before is not None and room.muted == before.muted and not room.muted_by:
            room.muted_by, room.muted_text = before.muted_by, before.muted_text
        self.known[room.name] = room
        self.invitations.pop(room.name, None)
        self._announced.pop(room.name, None)
        if room.name == self._chat.joining:  # it says so when it is opened
            self._muted[room.name] = room.muted
        else:
            same = before and (room.muted_by, room.muted_text) == (before.muted_by, before.muted_text)
            self._show_muted(room, frame.by, is_news=same is False)
        if is_new:
            if self._chat.joining != room.name:
                self._show(Notice(NoticeCode.ROOM_ADDED, name=room.name))
            return
        if before is None:
            return
        if room.role is not before.role and room.role is not None:
            by = "" if self.is_me(frame.by) else frame.by
            self._show(Notice(NoticeCode.YOUR_ROLE, name=room.name, role=room.role, by=by))
        self._show_changes(before, room)

    def _show_changes(self, before: frames.Room, room: frames.Room) -> None:
        """Show what is different about a room itself, and by whom if that was announced."""
        actors = self._moderated[room.name].take_actors() if room.name in self._moderated else {}
        doing = {each.action for each in self._requests.room_requests if each.room == room.name}
        if room.archived is not before.archived and not doing & {"archive", "unarchive"}:
            action = "archive" if room.archived else "unarchive"
            self._show_archived(room.name, actors.get(action), archived=room.archived)
        if room.name != self._chat.partner:
            return
        if room.topic != before.topic and "topic" not in doing:
            self._show_topic(room.name, room.topic, actors.get("topic"))
        is_same = (room.kind, room.history, room.slow) == (before.kind, before.history, before.slow)
        if not is_same and "set" not in doing:
            self._show_settings(room, actors.get("set"))

    def _show_muted(self, room: frames.Room, by: str, *, is_news: bool = False) -> None:
        """Show that you were muted, or can write again, if that is news: with another end, or as said."""
        now, before = self._clock.wall_ms(), self._muted.get(room.name, 0)
        self._muted[room.name] = room.muted
        if room.muted == before and not is_news:
            return
        if room.muted > now:
            by = room.muted_by or by
            # Yourself: you joined on another device, and were muted before.
            by = "" if self.is_me(by) else by
            text = room.muted_text
            self._show(Notice(NoticeCode.MUTED, name=room.name, by=by, until_ms=room.muted, text=text))
        elif before > now:
            self._show(Notice(NoticeCode.UNMUTED, name=room.name, by=by))

    def _show_topic(self, name: str, topic: str, by: str | None) -> None:
        notice = Notice(NoticeCode.TOPIC_CHANGED, name=name, text=topic, by=by or "", is_operator=by == "")
        self._show(notice)

    def _show_archived(self, name: str, by: str | None, *, archived: bool) -> None:
        code = NoticeCode.ARCHIVED if archived else NoticeCode.UNARCHIVED
        self._show(Notice(code, name=name, by=by or "", is_operator=by == ""))

    def _show_settings(self, room: frames.Room, by: str | None) -> None:
        notice = Notice(NoticeCode.SETTINGS, name=room.name, room=room, by=by or "", is_operator=by == "")
        self._show(notice)

    def _leave(self, frame: frames.RoomLeft) -> None:
        was_invited = self.invitations.pop(frame.name, None) is not None
        self._announced.pop(frame.name, None)
        if was_invited and frame.conversation not in self._sync.conversations:
            self.known.pop(frame.name, None)
            code = _WITHDRAWN.get(frame.reason, NoticeCode.INVITATION_WITHDRAWN)
            self._show(_about_leaving(code, frame))
            return
        was_open = frame.name == self._chat.partner
        self._sync.leave(frame.conversation)
        self.known.pop(frame.name, None)
        self._roles.pop(frame.name, None)
        self._muted.pop(frame.name, None)
        self._show(_about_leaving(_LEFT.get(frame.reason, NoticeCode.NO_LONGER_MEMBER), frame))
        if was_open:
            self._close()

    def _invite(self, frame: frames.Invited) -> None:
        name = frame.room.name
        if frame.room.archived:
            self.invitations.pop(name, None)
            return
        self.invitations[name] = frame.by
        if self._announced.get(name) != frame.by:
            self._announced[name] = frame.by
            if not self._sync.list.complete:
                return  # the list that is shown first has it
            self._show(Notice(NoticeCode.INVITED, name=name, by=frame.by))

    # --- others

    def _announce(self, frame: frames.Moderated) -> None:
        """Show what was done to other members; what was done to the room shows in its next state."""
        if frame.conversation not in self._sync.conversations:
            return
        name = self._sync.conversations.get(frame.conversation).name
        announced = self._moderated[name] = Announced(frame, self._me)
        if name == self._chat.partner:
            for notice in announced.notices(name):
                self._show(notice)

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
            # Some of them were members before, with a role that this client did not know.
            came, others = [], [*others, *came]
        doing = {
            each.user for each in self._requests.room_requests if each.room == name and each.action == "role"
        }
        announced = self._moderated.get(name)
        others = [
            each
            for each in others
            if each.user not in doing and not (announced and announced.covers(each.user, each.role))
        ]
        gone = [
            each
            for each in gone
            if not self._did_remove(name, each.user) and not (announced and announced.covers(each.user, None))
        ]
        self._removed -= {(name, each.user) for each in changed if each.role is not None}
        if name != self._chat.partner:
            return
        for each in others[:_NAMED]:
            self._show(Notice(NoticeCode.MEMBER_ROLE, name=name, user=each.user, role=each.role))
        if frame.others or came or gone:
            joined, left = (tuple(each.user for each in users) for users in (came, gone))
            self._show(events.MembersChanged(name, joined, left, frame.count, before, frame.others))

    def _did_remove(self, name: str, user: str) -> bool:
        """Whether you removed a member yourself: that has a notice when it is acknowledged."""
        if (name, user) in self._removed:
            self._removed.remove((name, user))
            return True
        mine = any(
            (each.room, each.user) == (name, user) and each.action in ("remove", "ban")
            for each in self._requests.room_requests
        )
        if mine:
            self._removed.add((name, user))
        return mine

    def _sort(
        self, roles: dict[str, RoomRole], changed: Iterable[frames.MemberChange]
    ) -> tuple[list[frames.MemberChange], list[frames.MemberChange], list[frames.MemberChange]]:
        """Apply new roles; return who joined, who left, and who has another role, as far as is known."""
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

    def _show(self, event: events.Event) -> None:
        self._out.show(event)


def _about_leaving(code: NoticeCode, frame: frames.RoomLeft) -> Notice:
    return Notice(code, name=frame.name, by=frame.by, text=frame.text, until_ms=frame.until)
