"""Rooms over the wire: make frames, send requests, and make a room."""

import itertools
from typing import Final, NamedTuple

from tests.support.wire import Frame, Wire, chat

__all__ = [
    "Place",
    "answers",
    "ask",
    "code",
    "edit",
    "fresh_room",
    "join",
    "leave",
    "make_room",
    "react",
    "redact",
    "room",
    "say",
]

_ANSWERS: Final = (
    "block_ack",
    "error",
    "room_ack",
    "room_log",
    "room_members",
    "rooms",
    "conversations",
    "history",
    "search",
)

_numbers = itertools.count(1)


def fresh_room() -> str:
    """Return a name that no other room of this process has."""
    return f"#room-{next(_numbers)}"


def room(action: str, name: str, user: str = "", /, **fields: object) -> Frame:
    """Make a `room` frame, with or without a user."""
    frame: Frame = {"type": "room", "action": action, "room": name, **fields}
    return {**frame, "user": user} if user else frame


def join(name: str) -> Frame:
    """Make a `join` frame."""
    return {"type": "join", "room": name}


def leave(name: str) -> Frame:
    """Make a `leave` frame."""
    return {"type": "leave", "room": name}


def edit(to: str, target: int, body: str) -> Frame:
    """Make an `edit` frame."""
    return {**chat(to, body), "type": "edit", "target": target}


def redact(to: str, target: int, reason: str = "") -> Frame:
    """Make a `redact` frame."""
    return {"type": "redact", "to": to, "target": target, "reason": reason, "id": chat(to, "")["id"]}


def react(to: str, target: int, text: str, *, remove: bool = False) -> Frame:
    """Make a `react` frame."""
    identity = chat(to, "")["id"]
    return {"type": "react", "to": to, "target": target, "text": text, "remove": remove, "id": identity}


async def ask(wire: Wire, request: Frame) -> Frame:
    """Send a request, and return its answer; drop the frames before it."""
    wire.send(request)
    while (answer := await wire.receive())["type"] not in _ANSWERS:
        pass
    assert answer["type"] != "error" or answer["ref"] == request["type"], answer
    return answer


async def code(wire: Wire, request: Frame) -> str:
    """Send a request, and return the code of its error, or `ok`."""
    answer = await ask(wire, request)
    return str(answer["code"]) if answer["type"] == "error" else "ok"


async def say(wire: Wire, sent: Frame | str, to: str = "") -> Frame:
    """Send a message or an event, and return its ack or nack; drop the frames before it."""
    frame = chat(to, sent) if isinstance(sent, str) else sent
    wire.send(frame)
    while (answer := await wire.receive())["type"] not in ("chat_ack", "chat_nack"):
        pass
    assert answer["id"] == frame["id"], answer
    return answer


async def answers(wire: Wire, *sent: Frame) -> list[Frame]:
    """Send messages and events at once, and return their acks and nacks in the order of arrival."""
    wire.send(*sent)
    found: list[Frame] = []
    while len(found) < len(sent):
        frame = await wire.receive()
        if frame["type"] in ("chat_ack", "chat_nack"):
            found.append(frame)
    return found


class Place(NamedTuple):
    """Name and conversation of a room that a test made."""

    name: str
    conversation: str

    def concerns(self, frame: Frame) -> bool:
        """Return whether a frame is about this room."""
        room = frame.get("room")
        names = (frame.get("to"), frame.get("name"), room.get("name") if isinstance(room, dict) else room)
        return self.name in names or frame.get("conversation") == self.conversation

    async def receive(self, wire: Wire, kind: str) -> Frame:
        """Return the next frame of a type about this room; those of earlier tests' rooms can still arrive."""
        while not self.concerns(frame := await wire.receive_type(kind)):
            pass
        return frame

    async def news(self, wire: Wire, *but: str) -> list[Frame]:
        """Return the frames about this room that a session has received up to now.

        Args:
            wire: Connection of the session.
            *but: Types to leave out besides `members` and `moderated`, which come once a second.
        """
        return [
            each
            for each in await wire.drain()
            if self.concerns(each) and each["type"] not in ("members", "moderated", *but)
        ]


async def make_room(owner: Wire, *members: Wire, **fields: object) -> Place:
    """Make a room with members; all of them have received its `room` frame."""
    name = fresh_room()
    owner.send(room("create", name, **fields))
    # Frames about rooms of earlier tests can still arrive.
    while (made := await owner.receive_type("room"))["room"]["name"] != name:
        pass
    assert (await owner.receive_type("room_ack"))["action"] == "create"
    for member in members:
        if fields.get("kind") == "closed":
            assert await code(owner, room("invite", name, member.user)) == "ok"
        assert await code(member, join(name)) == "ok"
    return Place(name, made["room"]["conversation"])
