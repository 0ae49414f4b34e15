"""Under any interleaving of faults, each message is stored and shown once and in order."""

import collections

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qscp import frames
from qscp.errors import ErrorCode
from qscp_client.core import events
from qscp_client.core.chat_state import TypedLine
from tests.support.client_disk import Disk
from tests.support.engine_harness import EngineHarness, welcome
from tests.support.scripted_archive import Archive

USERS = ("bob", "carol")


class Delivery(RuleBasedStateMachine):
    """A client and a server, and all that can happen between them."""

    shows_at_once = True

    def __init__(self) -> None:
        super().__init__()
        self.archive = Archive()
        self.disk = Disk()
        self.numbers = 0
        self.typed: dict[str, list[str]] = {name: [] for name in USERS}
        self.chosen: str | None = None
        self.shown: list[events.Event] = []
        self.full = False
        self.start()

    def start(self) -> None:
        """Start the client."""
        self.harness = EngineHarness(self.disk.load(), shows_at_once=self.shows_at_once)
        self.harness.engine._sender._make_id = self.make_id
        self.chosen = None
        self.up: collections.deque[frames.ClientFrame] = collections.deque()
        self.down: collections.deque[frames.ServerFrame] = collections.deque()
        self.live = False
        self.refused: dict[str, str] = {}
        self.flush()

    def make_id(self) -> str:
        """Return ids in rising order."""
        self.numbers += 1
        return f"{self.numbers:032x}"

    def flush(self) -> None:
        """Save additions, show, save changes and send, as a session does."""
        engine = self.harness.engine
        self.disk.save(engine.additions_to_save())
        self.shown += engine.events_to_show()
        self.disk.save(engine.changes_to_save())
        sent = self.harness.frames()
        if engine.online:
            self.up.extend(sent)

    @rule()
    def connect(self) -> None:
        """Connect, unless there is a connection."""
        if not self.harness.engine.online:
            self.up.clear()
            self.down.clear()
            self.live = False
            self.refused.clear()
            self.harness.engine.connected(welcome())
            self.down.append(frames.OnlineUsers(1, []))
            self.flush()

    @rule()
    def drop(self) -> None:
        """Lose the connection, and all frames in flight."""
        if self.harness.engine.online:
            self.up.clear()
            self.down.clear()
            self.live = False
            self.harness.engine.disconnected()
            self.flush()

    @rule()
    def kill(self) -> None:
        """Kill and restart the client; lines waiting for `whois` are lost."""
        chat = self.harness.engine._chat
        to = chat.name if chat.is_undecided else None
        for line in self.harness.engine._switcher._queue:
            if line.text == "back":
                to = None
            elif to is None:
                to = line.text
            else:
                self.typed[to].pop()
        self.start()

    @rule(name=st.sampled_from(USERS), count=st.integers(1, 3))
    def type_lines(self, name: str, count: int) -> None:
        """Type messages to a user."""
        self.choose(name)
        for _ in range(count):
            body = f"{len(self.typed[name])}"
            self.typed[name].append(body)
            self.harness.engine.enter(TypedLine(body))
        self.flush()

    def choose(self, name: str) -> None:
        """Type a name, unless it is the last one typed."""
        if self.chosen not in (None, name):
            self.harness.engine.enter(TypedLine("back"))
        if self.chosen != name:
            self.harness.engine.enter(TypedLine(name))
        self.chosen = name

    @rule(name=st.sampled_from(USERS))
    def other_writes(self, name: str) -> None:
        """Another user sends a message."""
        self.numbers += 1
        body = str(len(self.archive.between(name, "alice").messages))
        _, stored = self.archive.store(name, frames.SendChat("alice", body, f"{self.numbers:032x}"))
        if stored is not None and self.live:
            self.down.append(stored)

    @rule(name=st.sampled_from(USERS))
    def other_device_writes(self, name: str) -> None:
        """Another device of alice's sends a message."""
        self.numbers += 1
        _, stored = self.archive.store("alice", frames.SendChat(name, "elsewhere", f"{self.numbers:032x}"))
        if stored is not None and self.live:
            self.down.append(stored)

    @rule(full=st.booleans())
    def fill(self, full: bool) -> None:
        """Fill the server's disk, or free it."""
        self.full = full

    @rule(count=st.integers(1, 8))
    def server_reads(self, count: int) -> None:
        """The server receives some of the frames in flight."""
        for _ in range(min(count, len(self.up))):
            self.handle(self.up.popleft())

    @rule(count=st.integers(1, 8))
    def client_reads(self, count: int) -> None:
        """The client receives some of the frames in flight."""
        for _ in range(min(count, len(self.down))):
            self.harness.engine.receive(self.down.popleft())
        self.flush()

    @rule(seconds=st.sampled_from([0.1, 0.3, 5, 100]))
    def wait(self, seconds: float) -> None:
        """Advance the clock."""
        self.harness.now += seconds
        self.harness.engine.tick()
        self.flush()

    def handle(self, frame: frames.ClientFrame) -> None:
        """Handle a frame as the server."""
        match frame:
            case frames.Resume():
                positions = {each.conversation: each.seq for each in frame.positions}
                self.down.extend([*self.archive.missing("alice", positions), frames.Resumed()])
                self.live = True
            case frames.ConversationsRequest():
                self.down.append(
                    frames.Conversations([each.info("alice") for each in self.archive.of("alice")])
                )
            case frames.SendChat():
                if self.refused.get(frame.to, frame.id) != frame.id:
                    self.down.append(frames.ChatNack(frame.id, ErrorCode.OUT_OF_ORDER, "Later."))
                elif self.full:
                    self.refused[frame.to] = frame.id
                    self.down.append(frames.ChatNack(frame.id, ErrorCode.STORAGE_FULL, "Full."))
                else:
                    self.refused.pop(frame.to, None)
                    self.down.append(self.archive.store("alice", frame)[0])
            case frames.Skip(message_id):
                self.refused = {to: first for to, first in self.refused.items() if first != message_id}
            case frames.HistoryRequest():
                self.down.append(self.archive.page("alice", frame))
            case frames.WhoisRequest(name):
                self.down.append(frames.Whois(name, known=True, status="offline"))
            case frames.ClientRead(conversation, seq):
                pair = self.archive.find("alice", conversation)
                assert pair is not None
                pair.read["alice"] = max(pair.read["alice"], seq)
            case _:
                pass

    @invariant()
    def stored_messages_are_in_order(self) -> None:
        """Typed messages are stored at most once, in order and without holes."""
        for name in USERS:
            own = [
                each.body
                for each in self.archive.between("alice", name).messages
                if each.sender == "alice" and each.body != "elsewhere"
            ]
            assert own == self.typed[name][: len(own)]

    def settle(self) -> None:
        """Exchange frames until nothing is left to do."""
        self.full = False
        self.connect()
        for _ in range(20):
            self.server_reads(10_000)
            self.client_reads(10_000)
            self.wait(100)

    def teardown(self) -> None:
        """In the end, everything is stored and was shown once."""
        self.settle()
        assert not self.harness.engine.pending
        for name in USERS:
            pair = self.archive.between("alice", name)
            assert [
                each.body for each in pair.messages if each.sender == "alice" and each.body != "elsewhere"
            ] == self.typed[name]
        self.check_shown()

    def check_shown(self) -> None:
        """Each message was shown exactly once, in the order of its conversation."""
        for name in USERS:
            pair = self.archive.between("alice", name)
            others = [
                each
                for each in self.shown
                if isinstance(each, events.MessageReceived) and each.sender == name
            ]
            assert [each.body for each in others] == [
                each.body for each in pair.messages if each.sender == name
            ]
            own = [each.id for each in self.shown if isinstance(each, events.OwnMessage) and each.to == name]
            assert sorted(own) == sorted(each.id for each in pair.messages if each.sender == "alice")


class DeliveryAtTerminal(Delivery):
    """As `Delivery`, for a client that shows missed messages only in their chat."""

    shows_at_once = False

    def check_shown(self) -> None:
        """Opening every chat leaves nothing unread."""
        unread = self.harness.engine.unread
        assert unread.keys() <= set(USERS)
        for name in USERS:
            if self.chosen is not None:
                self.harness.engine.enter(TypedLine("back"))
                self.chosen = None
            self.choose(name)
            self.flush()
            self.settle()
        assert self.harness.engine.unread == {}


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestDeliveryAtTerminal = DeliveryAtTerminal.TestCase
TestDeliveryAtTerminal.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
