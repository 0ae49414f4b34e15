"""Rooms over the wire: asking for something, and making a room to begin with."""

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
    """The name of a room that nobody has made in this process."""
    return f"#room-{next(_numbers)}"


def room(action: str, name: str, user: str = "", /, **fields: object) -> Frame:
    """Make a `room` frame; without a user it is about nobody."""
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


async def ask(wire: Wire, question: Frame) -> Frame:
    """Ask something, and return the answer; what comes before it is dropped."""
    wire.send(question)
    while (answer := await wire.receive())["type"] not in _ANSWERS:
        pass
    assert answer["type"] != "error" or answer["ref"] == question["type"], answer
    return answer


async def code(wire: Wire, question: Frame) -> str:
    """Ask for a change, and return the code of the error, or `ok`."""
    answer = await ask(wire, question)
    return str(answer["code"]) if answer["type"] == "error" else "ok"


async def say(wire: Wire, sent: Frame | str, to: str = "") -> Frame:
    """Send a message or an event, and return its ack or nack; what comes before it is dropped."""
    frame = chat(to, sent) if isinstance(sent, str) else sent
    wire.send(frame)
    while (answer := await wire.receive())["type"] not in ("chat_ack", "chat_nack"):
        pass
    assert answer["id"] == frame["id"], answer
    return answer


async def answers(wire: Wire, *sent: Frame) -> list[Frame]:
    """Send messages and events at once, and return their acks and nacks in the order in which they came."""
    wire.send(*sent)
    found: list[Frame] = []
    while len(found) < len(sent):
        frame = await wire.receive()
        if frame["type"] in ("chat_ack", "chat_nack"):
            found.append(frame)
    return found


class Place(NamedTuple):
    """A room that was made."""

    name: str
    conversation: str

    def concerns(self, frame: Frame) -> bool:
        """Whether a frame is about this room."""
        room = frame.get("room")
        names = (frame.get("to"), frame.get("name"), room.get("name") if isinstance(room, dict) else room)
        return self.name in names or frame.get("conversation") == self.conversation

    async def news(self, wire: Wire, *but: str) -> list[Frame]:
        """What somebody was told of the room up to now.

        Args:
            wire: Theirs.
            *but: Types that are left out besides `members`, which comes when it comes.
        """
        return [
            each
            for each in await wire.told()
            if self.concerns(each) and each["type"] not in ("members", *but)
        ]


async def make_room(owner: Wire, *members: Wire, **fields: object) -> Place:
    """Make a room and let people in; all of them have been told of it."""
    name = fresh_room()
    owner.send(room("create", name, **fields))
    # What is new in rooms of earlier tests may still be told, too.
    while (told := await owner.receive_type("room"))["room"]["name"] != name:
        pass
    assert (await owner.receive_type("room_ack"))["action"] == "create"
    for member in members:
        if fields.get("kind") == "closed":
            assert await code(owner, room("invite", name, member.user)) == "ok"
        assert await code(member, join(name)) == "ok"
    return Place(name, told["room"]["conversation"])
