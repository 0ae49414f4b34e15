"""State machine of copies: all clients show what `history` of a fresh device shows.

The real client engines run on the real store, writer, router, login and replay, in any interleaving of
messages, edits, redactions, reactions, lost acks, retries, late pages of history, pruning and restarts.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from qscp import frames
from qscp_client.core import events
from qscp_client.core.messages import Message
from qscp_client.core.outbox import EntryKind
from qscpd.sessions import catch_up, replay
from qscpd.store.sqlite.store import SqliteStore
from tests.support.engine_device import EngineDevice
from tests.support.gated_reader import INSIDE
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer
from tests.support.interleavings import CONFIG, DEVICES, NUMBERS, SETTINGS, make_world
from tests.support.memory import memory_folder
from tests.support.stores import tiny_transactions

T = TypeVar("T")

ADDRESSES = ("alice", "bob", "#all", "#all", "#club")
PLACES = st.sampled_from(ADDRESSES)
KINDS = st.sampled_from([*EntryKind][1:])
SEQS = st.integers(1, 20)
BACK = st.integers(0, 7)


class Copies(RuleBasedStateMachine):
    """Five devices of three users, who change each other's messages."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = memory_folder()
        self.folder = Path(self.memory.name)
        self.runner = asyncio.Runner()
        self.patches = contextlib.ExitStack()
        self.patches.enter_context(mock.patch.multiple(catch_up, _PAGE=3, _BUFFER_BYTES=900))
        self.patches.enter_context(mock.patch.object(replay, "_NEW_DEVICE", 5))
        self.patches.enter_context(tiny_transactions())
        self.devices = [EngineDevice(user, device_id(n), IdMaker(n)) for n, user in enumerate(DEVICES, 1)]
        self.peers: dict[int, InProcessPeer] = {}
        self.count = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the shared event loop."""
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        """Start with all devices logged in, and some messages."""
        make_world(self.folder / "qscpd.db")
        self.start()
        for number in range(len(DEVICES)):
            self.login(number, congested=False)
        for number, to in ((0, "bob"), (1, "#all"), (4, "#all"), (0, "#club")):
            self.say(number, to)
        self.settle()

    def start(self) -> None:
        """Start the daemon."""

        async def begin() -> InProcessServer:
            store = SqliteStore(self.folder / "qscpd.db", edit_within_ms=2**40)
            return await InProcessServer(store, config=CONFIG).__aenter__()

        self.server = self.run(begin())

    def send(self, number: int, sent: list[frames.ClientFrame]) -> None:
        """Send frames of a device, if it is logged in; its engine made none otherwise."""
        connected = self.peers.get(number)
        if connected is not None:
            connected.send(*sent)

    # --- what users do

    @rule(number=NUMBERS, to=PLACES)
    def say(self, number: int, to: str) -> None:
        """Send a message, online or not."""
        self.count += 1
        if to != DEVICES[number]:
            self.send(number, self.devices[number].say(to, f"text {self.count} @alice"))

    @rule(number=NUMBERS, to=PLACES, kind=KINDS, seq=SEQS)
    def amend(self, number: int, to: str, kind: EntryKind, seq: int) -> None:
        """Edit, redact, react or remove a reaction, online or not."""
        self.count += 1
        body = {EntryKind.EDIT: f"edited {self.count} @bob", EntryKind.REDACT: ""}.get(kind, "+1")
        if to != DEVICES[number]:
            self.send(number, self.devices[number].say(to, body, kind, seq))

    @rule(number=NUMBERS, to=PLACES)
    def open_chat(self, number: int, to: str) -> None:
        """Open a chat, so that it is read, or go back."""
        self.send(number, self.devices[number].enter("back" if self.devices[number].engine.partner else to))

    @rule(number=NUMBERS, to=PLACES, count=st.integers(1, 8), before=st.none() | SEQS)
    def ask(self, number: int, to: str, count: int, before: int | None) -> None:
        """Ask for a page of history."""
        self.send(number, self.devices[number].ask(to, count, before))

    @rule(
        number=NUMBERS,
        to=st.sampled_from(ADDRESSES[2:]),
        kinds=st.lists(KINDS, min_size=1, max_size=4),
        back=BACK,
    )
    def ask_meanwhile(self, number: int, to: str, kinds: list[EntryKind], back: int) -> None:
        """Let others amend a message while a page of history was read and is not answered yet."""
        connected = self.peers.get(number)
        if connected is None or connected.link.congested:
            return
        self.run(self.server.settle())
        self.server.gate.close(INSIDE, "history_page")
        self.send(number, self.devices[number].ask(to, 8, None))
        self.run(self.server.settle())
        self.amend_recent(number + 1, to, kinds, back)
        self.server.gate.open()
        self.run(self.server.settle())

    def amend_recent(self, first: int, to: str, kinds: list[EntryKind], back: int) -> None:
        """Amend one of the last messages of a room by several devices in turn."""
        with self.server.reader() as reader:
            last = reader.find_room(to).last_seq
        for index, kind in enumerate(kinds):
            self.amend((first + index) % len(DEVICES), to, kind, max(last - back, 1))
        self.run(self.server.settle())

    @rule(number=NUMBERS, joins=st.booleans())
    def join_or_leave(self, number: int, joins: bool) -> None:
        """Join or leave the club."""
        if self.devices[number].logged_in:
            self.send(number, [frames.Join("#club") if joins else frames.Leave("#club")])

    # --- what happens to connections

    @rule(number=NUMBERS, congested=st.booleans())
    def login(self, number: int, congested: bool) -> None:
        """Log a device in, whether or not it has a session."""

        async def work() -> None:
            old = self.peers.get(number)
            if old is not None:
                old.device = None  # output of the old connection is never read
            connected = await self.server.login(self.devices[number])
            self.peers[number] = connected
            connected.link.congested = congested

        self.run(work())

    @rule(number=NUMBERS, committed=st.booleans(), quits=st.booleans())
    def drop(self, number: int, committed: bool, quits: bool) -> None:
        """Lose a link and all that is on it, perhaps with the acks of stored messages; perhaps start anew."""
        if committed:
            self.run(self.server.settle(take=False))
        connected = self.peers.pop(number, None)
        if connected is not None:
            connected.lose()
        self.devices[number].lose()
        if quits:
            self.devices[number].start()

    @rule(number=NUMBERS)
    def replace(self, number: int) -> None:
        """Lose a device with its disk, and begin with a new one."""
        self.drop(number, committed=True, quits=False)
        self.devices[number].forget()

    @rule(number=NUMBERS, pages=st.integers(0, 3), kinds=st.lists(KINDS, max_size=4), back=BACK)
    def slow_login(self, number: int, pages: int, kinds: list[EntryKind], back: int) -> None:
        """Log in and read some pages of the replay; amend a message meanwhile, here and elsewhere."""
        self.drop(number, committed=True, quits=False)
        for sender in range(len(DEVICES)):
            self.say(sender, "#all")
        self.settle()
        self.login(number, congested=True)
        self.peers[number].link.page_by_page = True
        for _ in range(pages):
            self.relieve(number)
            self.run(self.server.settle())
        self.amend_recent(number, "#all", kinds, back)

    @rule(number=NUMBERS)
    def congest(self, number: int) -> None:
        """Let a peer stop reading."""
        if number in self.peers:
            self.peers[number].link.congested = True

    @rule(number=NUMBERS)
    def relieve(self, number: int) -> None:
        """Let a peer read on, as far as the next page."""
        connected = self.peers.get(number)
        if connected is not None and connected.link.congested:
            connected.take()
            connected.link.congested = False
            connected.session.writable()

    @rule()
    def settle(self) -> None:
        """Wait until all work is done; a second passes for each client."""
        self.run(self.server.settle())
        for number, device in enumerate(self.devices):
            self.send(number, device.tick())
        self.run(self.server.settle())

    @rule(keep=st.integers(1, 9))
    def prune(self, keep: int) -> None:
        """Prune old messages."""
        self.run(self.server.prune(keep))

    @rule()
    def restart(self) -> None:
        """Kill and restart the daemon: no answer arrives."""
        for connected in self.peers.values():
            connected.lose()
        self.peers.clear()
        for device in self.devices:
            device.lose()
        self.run(self.server.__aexit__(None, None, None))
        self.start()

    # --- checks

    def teardown(self) -> None:
        """Let all devices catch up, and compare them with history."""
        try:
            for number in range(len(DEVICES)):
                connected = self.peers.get(number)
                if connected is None or connected.session.closed:
                    self.login(number, congested=False)
                else:
                    connected.link.page_by_page = False
                    self.relieve(number)
            self.settle()
            self.settle()
            for device in self.devices:
                assert device.live
                assert not device.engine.pending
                self.check_shown(device)
                self.check_copies(device)
            self.check_rooms()
        finally:
            self.run(self.server.__aexit__(None, None, None))
            self.patches.close()
            self.runner.close()
            self.memory.cleanup()

    def check_shown(self, device: EngineDevice) -> None:
        """Each message and amendment that was typed is shown as stored once, or as failed."""
        ended = [
            each.id
            for each in device.shown
            if (isinstance(each, events.OwnMessage | events.Amended) and each.here)
            or isinstance(each, events.MessageFailed)
        ]
        typed = [each.id for each in device.shown if isinstance(each, events.MessageSent)]
        ended += [item.id for each in device.conversations for item in device.waiting(each) if item.here]
        assert sorted(ended) == sorted(typed)

    def check_rooms(self) -> None:
        """The rooms in the list of a client are those that its user is a member of."""
        for number, device in enumerate(self.devices):
            identity = self.peers[number].session.identity
            assert identity is not None
            rooms = self.server.router.rooms.of(identity.account)
            assert {each.name for each in device.engine.rooms} == {each.row.name for each in rooms}
            assert all(each.name for each in device.conversations)

    def check_copies(self, device: EngineDevice) -> None:
        """Each copy is as in a page of history that a fresh device gets."""
        for conversation in device.conversations:
            copies = [
                *conversation.known,
                *(w for w in device.waiting(conversation) if isinstance(w, Message)),
            ]
            if not copies:
                continue
            history, first_seq = self.run(self.history(device.user, conversation.id))
            for copy in copies:
                assert copy.seq >= conversation.cursors.first
                # A device that is connected need not learn at once of what was pruned.
                if copy.seq >= first_seq and not copy.repeated:
                    assert state(copy) == history.get(copy.seq), (device.user, conversation.name)

    async def history(self, user: str, conversation: str) -> tuple[dict[int, tuple[object, ...]], int]:
        """Return the state of all messages of a conversation by seq, and its first seq."""
        visitor = await self.server.visitor(user)
        messages: dict[int, tuple[object, ...]] = {}
        cursor: int | None = 0
        first_seq = 1
        while cursor is not None:
            page = await self.server.ask(
                visitor, frames.HistoryRequest(conversation, after=cursor, limit=200)
            )
            assert isinstance(page, frames.History)
            messages |= {each.seq: state(each) for each in page.messages}
            cursor, first_seq = page.cursor, page.first_seq
        visitor.lose()
        self.server.peers.remove(visitor)
        return messages, first_seq


def state(message: Message | frames.Message) -> tuple[object, ...]:
    """Return what clients show of a message; the order of reactions is not part of it."""
    return (
        message.seq,
        message.id,
        message.body,
        message.erased,
        bool(message.edited),
        message.mentions,
        frozenset((each.text, each.count, each.mine) for each in message.reactions),
    )


TestCopies = Copies.TestCase
TestCopies.settings = SETTINGS
