"""State machine of random interleavings: all devices end with the same history.

The real store, writer, router, login and replay run on fake links (`tests.support.in_process_server`).
Pages of three messages and small buffers make a handful of messages a long absence.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args
from unittest import mock

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from qscp import frames
from qscp.features import LAZY_HISTORY
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreFullError
from qscpd.sessions import catch_up, replay
from qscpd.store.base import Store
from tests.support.device import Device
from tests.support.devicelog import Ack, DeviceLog, Kind, Sent
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer
from tests.support.interleavings import CONFIG, DEVICES, NUMBERS, SETTINGS, USERS, make_world
from tests.support.memory import memory_folder
from tests.support.oracle import Book, judge
from tests.support.stores import FailingStore, tiny_transactions

T = TypeVar("T")


ROOMS = ("#all", "#club")
"""All users are in the first; bob and carol join and leave the second, and see nothing from before."""

STRANGER, DEN = "zoe", "#den"
"""A user without a device and a room, which come and go; another one can have the name then."""

ADDRESSES = (*USERS, *ROOMS, STRANGER, DEN)

Change = Literal[
    "mute", "unmute", "archive", "unarchive", "slow", "fast", "block", "unblock", "stranger", "den"
]
"""What changes in the world while an answer is lost; the last two come if they are not there, else go."""

CHANGES = st.sampled_from(get_args(Change))


class Interleavings(RuleBasedStateMachine):
    """Five devices of three users, and every event that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = memory_folder()
        self.folder = Path(self.memory.name)
        self.runner = asyncio.Runner()
        self.patches = contextlib.ExitStack()
        self.patches.enter_context(mock.patch.multiple(catch_up, _PAGE=3, _BUFFER_BYTES=700))
        self.patches.enter_context(mock.patch.object(replay, "_NEW_DEVICE", 5))
        self.patches.enter_context(tiny_transactions())
        # Every other device starts conversations at their end.
        self.devices = [
            Device(user, device_id(n), IdMaker(n), (LAZY_HISTORY,) * (n % 2))
            for n, user in enumerate(DEVICES, 1)
        ]
        self.peers: dict[int, InProcessPeer] = {}
        self.full = False
        self.resumed: set[InProcessPeer] = set()
        self.positions: list[dict[str, int]] = [{} for _ in DEVICES]
        self.gave_up: set[str] = set()
        self.club = {"alice"}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the shared event loop."""
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        """Start with all devices logged in."""
        make_world(self.folder / "qscpd.db")
        self.start()
        for number in range(len(DEVICES)):
            self.login(number, resume=True, congested=False)
        self.send(0, "bob", 2, settle=True)

    def start(self) -> None:
        """Start the daemon."""
        self.store = FailingStore(self.folder / "qscpd.db")
        self.store.full = self.full

        async def begin() -> InProcessServer:
            return await InProcessServer(self.store, config=CONFIG).__aenter__()

        self.chat_server = self.run(begin())

    def connected(self, number: int) -> InProcessPeer | None:
        """Return the connection of a device, unless the server has ended it."""
        connected = self.peers.get(number)
        return connected if connected is not None and not connected.session.closed else None

    # --- events

    @rule(number=NUMBERS, resume=st.sampled_from([True, True, False]), congested=st.booleans())
    def login(self, number: int, resume: bool, congested: bool) -> None:
        """Log a device in, whether or not it has a session."""

        async def work() -> None:
            device = self.devices[number]
            old = self.peers.get(number)
            if old is not None:
                old.device = None  # output of the old connection is never read
            connected = await self.chat_server.login(device, resume=False)
            self.peers[number] = connected
            connected.link.congested = congested
            assert old is None or old.session.closed
            connected.send(*device.resend())
            if resume:
                self.resume_now(number, connected)

        self.run(work())

    def resume_now(self, number: int, connected: InProcessPeer) -> None:
        """Send `resume` in pages of one position."""
        with mock.patch("tests.support.device.POSITIONS_LIMIT", 1):
            connected.send(*self.devices[number].resume())
        self.resumed.add(connected)

    @rule(number=NUMBERS)
    def resume(self, number: int) -> None:
        """Send `resume` late; a second one is an error that does not end the session."""
        connected = self.connected(number)
        if connected is None:
            return
        if connected not in self.resumed:
            self.resume_now(number, connected)
        elif not connected.link.congested and not connected.link.page_by_page:
            self.run(self.chat_server.settle())
            count = len(self.devices[number].errors)
            connected.send(frames.Resume([]))
            self.run(self.chat_server.settle())
            assert self.devices[number].errors[count:] == ["already_resumed"]

    @rule(number=NUMBERS, to=st.sampled_from(ADDRESSES), count=st.integers(1, 12), settle=st.booleans())
    def send(self, number: int, to: str, count: int, settle: bool) -> None:
        """Send messages from a device, online or not."""
        device = self.devices[number]
        if to == device.log.user:
            return
        for n in range(count):
            sent = device.send(to, f"{number} {len(device.log.sent)} {n}")
            connected = self.connected(number)
            if connected is not None:
                connected.send(*sent)
        if settle:
            self.run(self.chat_server.settle())

    @rule(number=NUMBERS, kind=st.sampled_from(["edit", "redact"]), which=st.integers(0, 9))
    def change_own(self, number: int, kind: Kind, which: int) -> None:
        """Edit or redact an own message whose seq is known."""
        device = self.devices[number]
        sent = [each for each in device.log.sent if each.kind == "chat" and each.id in device.log.acked]
        if not sent:
            return
        message = sent[-1 - which % len(sent)]
        seq = device.log.acked[message.id].seq
        body = f"edited {len(device.log.sent)}" if kind == "edit" else ""
        self.change(number, kind, message.to, seq, body)

    @rule(
        number=NUMBERS,
        to=st.sampled_from((*ROOMS, DEN)),
        seq=st.integers(1, 30),
        text=st.sampled_from(["+1", "ok"]),
        removed=st.booleans(),
    )
    def react(self, number: int, to: str, seq: int, text: str, removed: bool) -> None:
        """Add or remove a reaction in a room, at a seq that might not be a message."""
        self.change(number, "react", to, seq, text, removed=removed)

    def change(
        self, number: int, kind: Kind, to: str, target: int, body: str, *, removed: bool = False
    ) -> None:
        """Send an event from a device, online or not."""
        sent = self.devices[number].change(kind, to, target, body, removed=removed)
        connected = self.connected(number)
        if connected is not None:
            connected.send(*sent)

    @rule(number=NUMBERS, moves=st.lists(st.booleans(), min_size=1, max_size=4), write=st.booleans())
    def join_and_leave(self, number: int, moves: list[bool], write: bool) -> None:
        """Join and leave the club in one burst, with messages in between; check the answers."""
        self.run(self.chat_server.settle())
        device, connected = self.devices[number], self.connected(number)
        if connected is None or connected.link.congested or connected.link.page_by_page:
            return
        device.answers.clear()
        for joins in moves:
            connected.send(frames.Join("#club") if joins else frames.Leave("#club"))
            if write:
                connected.send(*device.send("#club", f"{number} moves {len(device.log.sent)}"))
        self.run(self.chat_server.settle())
        assert device.answers == [self.move(device.log.user, joins) for joins in moves]

    @rule(number=NUMBERS, joins=st.booleans())
    def move_and_drop(self, number: int, joins: bool) -> None:
        """Join or leave, and lose the link before the answer."""
        self.run(self.chat_server.settle())
        connected = self.connected(number)
        # A peer that does not read its answers is not read either.
        if connected is not None and connected.link.reading:
            connected.send(frames.Join("#club") if joins else frames.Leave("#club"))
            self.drop(number, committed=True)
            self.move(self.devices[number].log.user, joins)

    def move(self, user: str, joins: bool) -> str:
        """Apply a join or leave to the model, and return the expected answer."""
        if self.full:
            return "storage_full"
        if joins == (user in self.club):
            return "already_member" if joins else "not_a_member"
        if joins:
            self.club.add(user)
        elif user == "alice":
            return "last_owner"
        else:
            self.club.remove(user)
        return "ok"

    @rule(number=NUMBERS, committed=st.booleans())
    def drop(self, number: int, committed: bool) -> None:
        """Lose a link and all that is on it, perhaps with the answers to committed messages."""
        if committed:
            self.run(self.chat_server.settle(take=False))
        connected = self.peers.pop(number, None)
        if connected is not None:
            connected.lose()

    @rule(number=NUMBERS, to_read=st.integers(1, 6))
    def busy_absence(self, number: int, to_read: int) -> None:
        """Overflow the buffer of a device in the middle of its replay."""
        self.absence(number, missed=to_read * 2, meanwhile=to_read, pages=1, moves=[])

    @rule(
        number=NUMBERS,
        missed=st.integers(1, 20),
        meanwhile=st.integers(0, 8),
        pages=st.integers(0, 3),
        moves=st.lists(st.booleans(), max_size=2),
    )
    def absence(self, number: int, missed: int, meanwhile: int, pages: int, moves: list[bool]) -> None:
        """Be absent, then receive some pages while others write to the user.

        The user also joins and leaves on another device.
        """
        self.drop(number, committed=True)
        self.write_to(number, missed)
        self.settle()
        self.login(number, resume=True, congested=True)
        connected = self.peers[number]
        connected.link.page_by_page = True
        for _ in range(pages):
            self.relieve(number)
            self.run(self.chat_server.settle())
        self.write_to(number, meanwhile)
        self.settle()
        for n, user in enumerate(DEVICES):
            if moves and user == DEVICES[number] and n != number:
                self.join_and_leave(n, moves, write=True)
                self.write_to(number, meanwhile)

    @rule(
        number=NUMBERS,
        missed=st.integers(1, 20),
        own=st.lists(st.sampled_from(ADDRESSES), max_size=3),
        pages=st.integers(0, 3),
        moves=st.lists(st.booleans(), max_size=3),
    )
    def stall(self, number: int, missed: int, own: list[str], pages: int, moves: list[bool]) -> None:
        """Let a live peer stop reading, then receive some pages, or all, while others write to the user.

        The user also writes on the device itself, and joins and leaves on another one.
        """
        self.run(self.chat_server.settle())
        connected = self.connected(number)
        if connected is None or connected.link.congested or not self.devices[number].live:
            return
        connected.link.congested = connected.link.page_by_page = True
        self.write_to(number, missed)
        self.settle()
        for to in own:
            self.send(number, to, 1, settle=True)
        for n, user in enumerate(DEVICES):
            if moves and user == DEVICES[number] and n != number:
                self.join_and_leave(n, moves, write=True)
        for _ in range(pages):
            self.relieve(number)
            self.run(self.chat_server.settle())
            self.write_to(number, 2)
        connected.link.page_by_page = pages > 2
        self.relieve(number)
        self.settle()

    def write_to(self, number: int, count: int) -> None:
        """Let the devices of others write to a device's user, in turn."""
        others = [n for n, user in enumerate(DEVICES) if user != DEVICES[number]]
        for n in range(count):
            self.send(others[n % len(others)], (DEVICES[number], *ROOMS)[n % 3], 1, settle=False)

    @rule(
        number=NUMBERS,
        to=st.sampled_from(ADDRESSES),
        count=st.integers(1, 4),
        changes=st.lists(st.tuples(CHANGES, st.sampled_from(USERS)), max_size=2),
    )
    def lose_answers(self, number: int, to: str, count: int, changes: list[tuple[Change, str]]) -> None:
        """Lose the answers to messages, let the world change, and send them again after a new login."""
        self.send(number, to, count, settle=False)
        self.drop(number, committed=True)
        for what, user in changes:
            self.change_world(what, user)
        self.login(number, resume=True, congested=False)

    @rule(number=NUMBERS, seq=st.integers(1, 30), end=CHANGES, user=st.sampled_from(USERS))
    def lose_answers_to_reactions(self, number: int, seq: int, end: Change, user: str) -> None:
        """Remove one reaction and add another; lose the answers, and send both again."""
        device = self.devices[number]
        self.change(number, "react", "#all", seq, "+1", removed=True)
        self.change(number, "react", "#all", seq, "ok")
        self.drop(number, committed=True)
        self.change_world(end, user)
        others = [n for n, user in enumerate(DEVICES) if user == device.log.user and n != number]
        for other in others:
            self.change(other, "react", "#all", seq, "+1")
        self.run(self.chat_server.settle())
        self.login(number, resume=True, congested=False)

    @rule(what=CHANGES, user=st.sampled_from(USERS))
    def change_world(self, what: Change, user: str) -> None:
        """Mute a user, archive or slow down a room, block, or let an account or a room come or go."""
        with contextlib.suppress(DeniedError, StoreFullError):
            self.run(self.apply_change(what, user))

    async def apply_change(self, what: Change, user: str) -> None:
        """Apply a change as the operator."""
        writer = self.chat_server.writer
        ids = {name: account.id for name, account in self.chat_server.router.directory.accounts.items()}
        match what:
            case "mute" | "unmute":
                change = RoomChange(action=what, room="#all", actor=None, target=ids[user])
                await writer.change_room(change)
            case "archive" | "unarchive":
                await writer.change_room(RoomChange(action=what, room="#all", actor=None))
            case "slow" | "fast":
                seconds = 3600 if what == "slow" else 0
                await writer.change_room(RoomChange(action="set", room="#all", actor=None, seconds=seconds))
            case "block" | "unblock":
                await self.change_block(what, ids[user], ids[USERS[USERS.index(user) - 1]])
            case "stranger":
                if STRANGER in ids:
                    await writer.perform(lambda store: store.delete_account(STRANGER))
                else:
                    await writer.perform(lambda store: store.add_account(STRANGER, "x", reuse_name=True))
            case "den":
                if self.chat_server.router.rooms.by_name(DEN) is not None:
                    await writer.change_room(RoomChange(action="delete", room=DEN, actor=None))
                    return
                create = RoomChange(action="create", room=DEN, actor=None, target=ids[user])
                await writer.change_room(create)
                for each in {*USERS} - {user}:
                    await writer.change_room(RoomChange(action="join", room=DEN, actor=ids[each]))

    async def change_block(self, what: Change, account: int, other: int) -> None:
        """Let a user block or unblock another one."""

        def change(store: Store) -> None:
            (store.block if what == "block" else store.unblock)(account, other)

        await self.chat_server.writer.perform(change)

    @rule(number=NUMBERS, which=st.integers(0, 9), another=st.booleans())
    def ask_again(self, number: int, which: int, another: bool) -> None:
        """Send an answered message again, or another one under its id; the answer is that of its id."""
        log = self.devices[number].log
        refused = {message_id for message_id, code in log.nacked.items() if code != "skipped"}
        answered = [each for each in log.sent if each.id in log.acked or each.id in refused]
        if not answered:
            return
        sent = answered[-1 - which % len(answered)]
        self.run(self.check_answer(log, sent, another=another and sent.kind != "redact"))

    async def check_answer(self, log: DeviceLog, sent: Sent, *, another: bool) -> None:
        """Send a message again, on a connection of its own, and compare the answer with the first one."""
        await self.chat_server.settle()
        visitor = await self.chat_server.visitor(log.user)
        again = msgspec.structs.replace(sent, body="another") if another else sent
        visitor.send(again.frame())
        await self.chat_server.settle()
        (answer,) = [each for each in visitor.frames if isinstance(each, frames.ChatAck | frames.ChatNack)]
        visitor.lose()
        self.chat_server.peers.remove(visitor)
        if sent.id in log.nacked:
            assert isinstance(answer, frames.ChatNack)
            assert answer.code == log.nacked[sent.id]
        elif another:
            assert isinstance(answer, frames.ChatNack)
            assert answer.code == "id_conflict"
        else:
            assert isinstance(answer, frames.ChatAck)
            assert Ack(answer.conversation, answer.seq, answer.time) == log.acked[sent.id]

    @rule(number=NUMBERS, to=st.sampled_from(USERS), count=st.integers(1, 4))
    def full_for_a_moment(self, number: int, to: str, count: int) -> None:
        """Free the disk while messages behind a refused one are in flight."""
        self.fill(full=True)
        self.send(number, to, 1, settle=True)
        device, connected = self.devices[number], self.connected(number)
        if connected is None or not connected.session.identity or device.flying or not device.outbox:
            return
        refused = next(iter(device.outbox.values()))
        if refused.to != to:
            return
        self.fill(full=False)
        for n in range(count):  # a client that does not wait for the answers
            sent = device.push(to, f"behind {n}")
            connected.send(sent)
        self.run(self.chat_server.settle())

    @rule(number=NUMBERS)
    def congest(self, number: int) -> None:
        """Let a peer stop reading."""
        connected = self.connected(number)
        if connected is not None:
            connected.link.congested = True

    @rule(number=NUMBERS)
    def relieve(self, number: int) -> None:
        """Let a peer read on, as far as the next page."""
        connected = self.connected(number)
        if connected is not None and connected.link.congested:
            connected.take()
            connected.link.congested = False
            connected.session.writable()

    @rule()
    def settle(self) -> None:
        """Wait until all pending work is done; then send refused messages again."""
        self.run(self.chat_server.settle())
        for number, device in enumerate(self.devices):
            connected = self.connected(number)
            if connected is not None and device.outbox and not device.flying:
                connected.send(*device.resend())
        self.check_positions()

    @rule(number=NUMBERS)
    def received(self, number: int) -> None:
        """Send receipts from a device."""
        connected = self.connected(number)
        if connected is not None and connected in self.resumed:
            connected.send(*self.devices[number].receipts())

    @rule(number=NUMBERS, back=st.integers(-2, 6))
    def read(self, number: int, back: int) -> None:
        """Send read positions: exact, older, or past the end."""
        connected = self.connected(number)
        if connected is not None:
            positions = self.devices[number].positions.items()
            connected.send(*(frames.ClientRead(each, max(0, seq - back)) for each, seq in positions))

    @rule(keep=st.integers(1, 7))
    def prune(self, keep: int) -> None:
        """Prune old messages."""
        self.run(self.chat_server.prune(keep))

    @rule()
    def restart(self) -> None:
        """Kill and restart the daemon: committed messages stay, and no answer arrives."""
        for connected in self.peers.values():
            connected.lose()
        self.peers.clear()
        self.run(self.chat_server.__aexit__(None, None, None))
        self.start()

    @rule(full=st.sampled_from([False, False, True]))
    def fill(self, full: bool) -> None:
        """Fill the disk, or free it."""
        self.full = self.store.full = full

    @precondition(lambda self: self.full)
    @rule(number=NUMBERS)
    def skip(self, number: int) -> None:
        """Skip a refused message."""
        device, connected = self.devices[number], self.connected(number)
        self.run(self.chat_server.settle())
        if connected is None or device.flying or not device.outbox or connected.link.congested:
            return
        connected.send(*device.skip())

    # --- checks

    def check_positions(self) -> None:
        """Check that no position of a device goes back."""
        for number, device in enumerate(self.devices):
            for conversation, seq in self.positions[number].items():
                assert device.positions.get(conversation, seq) >= seq
            self.positions[number] = dict(device.positions)

    def teardown(self) -> None:
        """Log all devices in, and check that they have the same history."""
        try:
            self.full = self.store.full = False
            self.run(self.finish())
        finally:
            self.run(self.chat_server.__aexit__(None, None, None))
            self.patches.close()
            self.runner.close()
            self.memory.cleanup()

    async def finish(self) -> None:
        """Let all devices catch up and get their answers; then check them.

        Blocks end before, as `delivered` does not pass while there is one.
        """
        for user in USERS:
            with contextlib.suppress(DeniedError):
                await self.apply_change("unblock", user)
        for number, device in enumerate(self.devices):
            old = self.peers.get(number)
            if old is not None:
                old.device = None
            self.peers[number] = await self.chat_server.login(device)
        for _ in range(2):
            await self.chat_server.settle()
            for number, device in enumerate(self.devices):
                self.peers[number].send(*device.receipts())
        self.check_positions()
        for device in self.devices:
            assert not device.outbox, device
            assert device.live, device
        books = {user: await self.chat_server.book(user) for user in USERS}
        judge([device.log for device in self.devices], books)
        self.check_marks(books)
        assert {user for user, book in books.items() if "#club" in self.names(book)} == self.club
        assert all("#all" in self.names(book) for book in books.values())

    def names(self, book: Book) -> set[str]:
        """Return the names of a user's conversations."""
        return {history.name for history in book.values()}

    def check_marks(self, books: Mapping[str, Book]) -> None:
        """Check `delivered` against the other user's devices, and `unread` against `read`."""
        for user, book in books.items():
            mine: Sequence[Device] = [each for each in self.devices if each.log.user == user]
            for conversation, history in book.items():
                later = [m for m in history.messages if m.seq > history.read]
                assert history.unread == len([m for m in later if m.sender != user and m.kind == "chat"])
                if history.name.startswith("#"):
                    assert history.delivered == 0
                    continue
                others = [each for each in self.devices if each.log.user != user]
                highest = max(each.log.received.get(conversation, 0) for each in others)
                assert history.delivered == highest
                # A device that only has acks of its own first messages has no position yet.
                assert highest == history.last_seq or not any(conversation in d.positions for d in others)
                for device in mine:
                    assert device.log.delivered.get(conversation, 0) in (0, highest)
                    assert device.log.read.get(conversation, 0) <= history.read <= history.last_seq


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = SETTINGS
