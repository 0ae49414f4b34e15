"""Device of a user with the real client engine, and its state on disk."""

from collections.abc import Callable

from qscp import frames
from qscp.features import LAZY_HISTORY
from qscp_client.core import events
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Clock
from qscp_client.core.engine import Engine
from qscp_client.core.messages import Amendment, Message, Missing
from qscp_client.core.outbox import EntryKind
from tests.support.client_disk import Disk

__all__ = ["EngineDevice"]

_WALL_MS = 1_700_000_000_000


class EngineDevice:
    """A client without a screen and without a network.

    Attributes:
        user: Its user.
        engine: The running client.
        shown: What it showed in this run.
        logged_in: Whether it has an `auth_ack`.
        live: Whether the connection's replay is over.
        ended: The reason of the server's `bye`, or the code of its `error`.
    """

    def __init__(self, user: str, device: str, make_id: Callable[[], str]) -> None:
        self.user = user
        self.logged_in = self.live = False
        self.ended = ""
        self._device = device
        self._make_id = make_id
        self._disk = Disk()
        self._now = 0.0
        self._first: list[frames.ClientFrame] = []
        self.start()

    def start(self) -> None:
        """Start the client with what is on disk."""
        self.shown: list[events.Event] = []
        clock = Clock(lambda: self._now, lambda: _WALL_MS)
        self.engine = Engine(self.user, self._make_id, clock, self._disk.load())
        self._flush()

    def forget(self) -> None:
        """Start the client on an empty disk, as a new device does."""
        self._disk = Disk()
        self.start()

    # --- the connection

    def auth(self, password: str) -> frames.Auth:
        """Return the login frame."""
        self.lose()
        self.ended = ""
        return frames.Auth(user=self.user, password=password, device=self._device, features=[LAZY_HISTORY])

    def lose(self) -> None:
        """Note that the connection is lost."""
        self.logged_in = self.live = False
        if self.engine.online:
            self.engine.disconnected()
            self._flush()

    def resume(self) -> list[frames.ClientFrame]:
        """Return what the engine sends after `auth_ack`: its positions, its outbox, and a request."""
        first, self._first = self._first, []
        return first

    def resend(self) -> list[frames.ClientFrame]:
        """Return nothing: `resume` has returned it."""
        return []

    def handle(self, frame: frames.ServerFrame) -> list[frames.ClientFrame]:
        """Receive a frame; return the frames to send."""
        if isinstance(frame, frames.AuthAck):
            self.logged_in = True
            self.engine.connected(frame)
            self._first = self._flush()
            return []
        self.live |= isinstance(frame, frames.Resumed)
        self.engine.receive(frame)
        if self.engine.ending is not None:
            self.ended = self.engine.ending.code
        return self._flush()

    # --- the user

    def enter(self, text: str) -> list[frames.ClientFrame]:
        """Enter a line; return the frames to send."""
        self.engine.enter(TypedLine(text))
        return self._flush()

    def say(
        self, to: str, body: str, kind: EntryKind = EntryKind.CHAT, target: int = 0
    ) -> list[frames.ClientFrame]:
        """Send a message or an amendment, whatever is open; return the frames to send."""
        self.engine._sender.say(to, body, kind, target)
        return self._flush()

    def ask(self, name: str, count: int, before: int | None) -> list[frames.ClientFrame]:
        """Ask for a page of history; return the frames to send."""
        conversation = self.engine._sync.conversations.named(name)
        if conversation is None or not self.engine.online:
            return []
        if before is None:
            self.engine._history.ask_last(conversation, count)
        else:
            conversation.cursors.oldest = before
            self.engine._history.ask_older(conversation, count)
        return self._flush()

    def tick(self) -> list[frames.ClientFrame]:
        """Let a second pass; return the frames to send."""
        self._now += 1.0
        self.engine.tick()
        return self._flush()

    # --- what it has

    @property
    def conversations(self) -> list[Conversation]:
        """The conversations that it knows."""
        return list(self.engine._sync.conversations)

    def waiting(self, conversation: Conversation) -> list[Message | Amendment]:
        """Return messages and amendments that wait to be shown."""
        return [each for each in conversation.backlog._items if not isinstance(each, Missing)]

    def _flush(self) -> list[frames.ClientFrame]:
        engine = self.engine
        self._disk.save(engine.additions_to_save())
        self.shown += engine.events_to_show()
        self._disk.save(engine.changes_to_save())
        sent = engine.frames_to_send()
        return sent if engine.online else []
