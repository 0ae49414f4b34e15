"""Client engine with a manual clock, and shorthands for frames of a server."""

import itertools
import re
from collections.abc import Sequence
from typing import Literal

from qscp import frames
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscp_client.core import events
from qscp_client.core.changes import Saved
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.effects import Clock
from qscp_client.core.engine import Engine
from qscp_client.ui.render import describe

__all__ = [
    "WALL_MS",
    "EngineHarness",
    "ack",
    "chat",
    "in_room",
    "info",
    "ready",
    "room",
    "room_changed",
    "room_message",
    "shown_texts",
    "user",
    "welcome",
]

WALL_MS = 1_764_000_000_000


def user(name: str, status: frames.Status = "online", text: str = "") -> frames.UserPresence:
    """Return the presence of a user."""
    return frames.UserPresence(name, status, text)


def welcome(
    epoch: str = "e1",
    account: str = "a1",
    retention: frames.Retention | None = None,
    features: Sequence[str] = (),
) -> frames.AuthAck:
    """Return the `auth_ack` of alice's login."""
    return frames.AuthAck(
        user="alice",
        account=account,
        session="s1",
        protocol=1,
        features=list(features),
        limits=frames.Limits(65536, 16384),
        retention=retention or frames.Retention(),
        epoch=epoch,
    )


def chat(
    seq: int,
    body: str = "hi",
    *,
    sender: str = "bob",
    to: str = "alice",
    conversation: str = "",
    origin: frames.Origin = "live",
    message_id: str = "",
    erased: bool = False,
) -> frames.Chat:
    """Return a message in the conversation of two users."""
    return frames.Chat(
        conversation=conversation or f"c-{to if sender == 'alice' else sender}",
        seq=seq,
        id=message_id or f"{seq:032x}",
        sender=sender,
        to=to,
        body=body,
        time=1000 + seq,
        origin=origin,
        erased=erased,
    )


def ack(number: int, seq: int, *, to: str = "bob", repeated: bool = False) -> frames.ChatAck:
    """Return the ack of the message with this number."""
    return frames.ChatAck(f"{number:032x}", f"c-{to}", seq, 1000 + seq, repeated=repeated)


def info(
    name: str, last_seq: int, *, read: int = 0, unread: int = 0, delivered: int = 0, mentions: int = 0
) -> frames.ConversationInfo:
    """Return a conversation of alice."""
    kind: Literal["pair", "room"] = "room" if name.startswith("#") else "pair"
    return frames.ConversationInfo(f"c-{name}", name, kind, 1, last_seq, read, delivered, unread, mentions)


def room(
    name: str = "#dev", *, topic: str = "", role: RoomRole | None = RoomRole.MEMBER, members: int = 2
) -> frames.Room:
    """Return a room of which alice is a member."""
    return frames.Room(name, f"c-{name}", RoomKind.OPEN, HistoryFrom.FULL, members, topic=topic, role=role)


def room_changed(which: frames.Room, *, last_seq: int = 0, by: str = "") -> frames.RoomChanged:
    """Return the notice of a changed room."""
    return frames.RoomChanged(which, 1, last_seq, by)


def room_message(
    seq: int,
    body: str = "hi",
    *,
    sender: str = "bob",
    mentions: tuple[str, ...] = (),
    reply_to: int | None = None,
    origin: frames.Origin = "live",
) -> frames.Chat:
    """Return a message in #dev."""
    message = chat(seq, body, sender=sender, to="#dev", conversation="c-#dev", origin=origin)
    message.mentions = mentions
    message.reply_to = reply_to
    return message


def shown_texts(shown: list[events.Event]) -> list[str]:
    """Return shown events as lines of text, without their times."""
    lines = [str(line) for event in shown for line in describe(event, "alice")]
    return [re.sub(r"^(\d{4}-\d\d-\d\d )?\d\d:\d\d ", "", line) for line in lines]


class EngineHarness:
    """Alice's engine, with a record of its output.

    Attributes:
        engine: The engine.
        now: Time of the clock, in seconds.
        sent: Every frame so far.
        changes: Every change so far.
    """

    def __init__(
        self,
        saved: Saved | None = None,
        *,
        shows_at_once: bool = False,
        sends_typing: bool = False,
        hidden: bool = False,
        features: Sequence[str] = (),
    ) -> None:
        numbers = itertools.count(1)
        self.now = 0.0
        self.sent: list[frames.ClientFrame] = []
        self.engine = Engine(
            "alice",
            lambda: f"{next(numbers):032x}",
            Clock(lambda: self.now, lambda: WALL_MS + int(self.now * 1000)),
            saved,
            shows_at_once=shows_at_once,
            sends_typing=sends_typing,
            hidden=hidden,
        )
        self._features = features

    def connect(self, *online: str, infos: list[frames.ConversationInfo] | None = None) -> list[events.Event]:
        """Log in, and receive online users and conversations; nothing is replayed yet."""
        self.engine.connected(welcome(features=self._features))
        return self.receive(
            frames.OnlineUsers(1, [user(name) for name in online]), frames.Conversations(infos or [])
        )

    def receive(self, *arrived: frames.ServerFrame) -> list[events.Event]:
        """Receive frames; return the events shown."""
        for frame in arrived:
            self.engine.receive(frame)
        return self.engine.events_to_show()

    def enter(self, *typed: str, pasted: bool = False) -> list[events.Event]:
        """Enter lines; return the events shown."""
        for text in typed:
            self.engine.enter(TypedLine(text, pasted))
        return self.engine.events_to_show()

    def wait(self, seconds: float) -> list[frames.ClientFrame]:
        """Advance the clock; return the frames sent then."""
        self.frames()
        self.now += seconds
        self.engine.tick()
        return self.frames()

    def frames(self) -> list[frames.ClientFrame]:
        """Return the frames to send now."""
        taken = self.engine.frames_to_send()
        self.sent += taken
        return taken

    def chats(self) -> list[tuple[str, str, int]]:
        """Return the messages to send now: recipient, text and number of the id."""
        return [
            (each.to, each.body, int(each.id, 16))
            for each in self.frames()
            if isinstance(each, frames.SendChat)
        ]


def ready(*online: str, chat_with: str | None = None, shows_at_once: bool = False) -> EngineHarness:
    """Return alice's engine after the replay, in the picker or in a chat."""
    harness = EngineHarness(shows_at_once=shows_at_once)
    harness.connect(*online)
    harness.receive(frames.Resumed())
    if chat_with:
        harness.enter(chat_with)
    harness.frames()
    return harness


def in_room(*, last_seq: int = 0, shows_at_once: bool = False, topic: str = "") -> EngineHarness:
    """Return alice's engine in #dev, where bob is a member too."""
    harness = EngineHarness(shows_at_once=shows_at_once)
    harness.connect("bob", infos=[info("#dev", last_seq, read=last_seq)])
    harness.receive(frames.Resumed())
    harness.enter("#dev")
    harness.receive(frames.Rooms([room(topic=topic)]))
    harness.frames()
    harness.engine.changes_to_save()
    return harness
