"""A daemon without a network: real store, writer, router, login, replay and requests on fake links.

Nothing runs between two calls, so that a test can order all events.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar
from unittest import mock

from qscp import codec, frames
from qscpd.accounts.directory import Directory
from qscpd.accounts.password_pool import ANYWHERE, PasswordPool, Place
from qscpd.accounts.passwords import PasswordHasher
from qscpd.bus.base import Commit
from qscpd.bus.local import LocalBus
from qscpd.chat.router import Router
from qscpd.config import Config
from qscpd.domain.model import Keep
from qscpd.errors import StoreError
from qscpd.fairness import Cost
from qscpd.handlers.login import Login
from qscpd.handlers.login_guard import LoginGuard
from qscpd.net.admission import Admission
from qscpd.net.pause import Pause
from qscpd.sessions.session import Session
from qscpd.store.base import Store, StoreReader
from qscpd.store.reads import StoreReads
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.daemon import CHEAP_ARGON2
from tests.support.device import Device
from tests.support.doubles import FakeLink, ListLog, make_handlers
from tests.support.gated_reader import GatedReader, ReadGate
from tests.support.limits import NO_RATES
from tests.support.oracle import Book, History, written
from tests.support.waiting import patiently

__all__ = ["InProcessPeer", "InProcessServer", "Participant", "make_accounts"]

T = TypeVar("T")

_CALM: Final = 6
"""Rounds of the loop without an event after which the server is idle."""


class _AnyPassword(PasswordPool):
    """Password pool that accepts every password at once."""

    def __init__(self) -> None:
        super().__init__(PasswordHasher(CHEAP_ARGON2), workers=1, queue=1)

    async def verify(self, password: str, password_hash: str | None, place: Place = ANYWHERE) -> bool:
        del password, place
        return password_hash is not None

    def needs_rehash(self, password_hash: str) -> bool:
        del password_hash
        return False


def make_accounts(path: Path, *names: str) -> None:
    """Create a store with accounts."""
    with contextlib.closing(SqliteStore(path)) as store:
        for name in names:
            store.add_account(name, "x")


class ReadCounter(StoreReads):
    """Reads with a counter.

    Attributes:
        in_flight: Number of reads that wait or run.
    """

    in_flight = 0

    async def _read(self, account: int, work: Callable[[StoreReader], T], cost: Cost = Cost.PAGE) -> T:
        self.in_flight += 1
        try:
            return await super()._read(account, work, cost)
        finally:
            self.in_flight -= 1


class PagedLink(FakeLink):
    """A link that can be congested by each page of messages.

    Attributes:
        page_by_page: Whether messages make the link congested.
    """

    page_by_page = False

    def write(self, plaintext: bytes) -> None:
        """Record the frames."""
        super().write(plaintext)
        if self.page_by_page and b'"origin"' in plaintext:
            self.congested = True


class Participant(Protocol):
    """A client on a connection, such as a `Device`.

    Attributes:
        logged_in: Whether it has an `auth_ack`.
        live: Whether this connection's replay is over.
        ended: The reason of the server's `bye`, or the code of its `error`.
    """

    logged_in: bool
    live: bool
    ended: str

    def auth(self, password: str) -> frames.Auth:
        """Return the login frame."""

    def resume(self) -> list[frames.ClientFrame]:
        """Return the positions to send."""

    def resend(self) -> list[frames.ClientFrame]:
        """Return the outbox to send again."""

    def handle(self, frame: frames.ServerFrame) -> list[frames.ClientFrame]:
        """Handle a frame; return the frames to answer with."""


class InProcessPeer:
    """A device's connection to the server.

    Attributes:
        device: The device; None if the test sends and reads frames itself.
        frames: All frames that were taken from the link.
    """

    def __init__(self, in_process_server: "InProcessServer", device: Participant | None) -> None:
        self.device = device
        self.link = PagedLink()
        self.session: Session = in_process_server.router.open_session(in_process_server.handlers, self.link)
        self.frames: list[frames.ServerFrame] = []
        self._turns = in_process_server.router.turns

    def send(self, *sent: frames.ClientFrame) -> None:
        """Send frames to the server, unless the link is closed."""
        if sent and not self.link.ended:
            self.session.receive(b"".join(map(codec.encode, sent)))
            while len(self._turns):
                self._turns.run()

    def take(self) -> list[frames.ServerFrame]:
        """Read the written frames, and let the device handle them; return them."""
        taken = self.link.take()
        self.frames += taken
        if self.device is not None:
            for frame in taken:
                self.send(*self.device.handle(frame))
        return taken

    def lose(self) -> None:
        """Lose the link, and all frames that were not taken from it."""
        self.link.ended = self.link.ended or "lost"
        self.session.lost("lost")
        self.link.take()
        if self.device is not None:
            self.device.logged_in = self.device.live = False

    def kinds(self) -> list[str]:
        """Return the types of all frames that were taken, without presence."""
        return [
            each.type
            for each in self.frames
            if not isinstance(each, frames.OnlineUsers | frames.PresenceChanges)
        ]


class InProcessServer:
    """The daemon; an asynchronous context manager.

    Args:
        store: A store with accounts; it is closed at the end.
        gate: Gate of its reads.
        config: The daemon's configuration.

    Attributes:
        failure: Error of the store, if it failed.
    """

    def __init__(
        self, store: SqliteStore, gate: ReadGate | None = None, *, config: Config | None = None
    ) -> None:
        self.store = store
        self.config = config or Config(limits=NO_RATES)
        self.gate = gate or ReadGate()
        self._commits = 0
        self.peers: list[InProcessPeer] = []
        self.failure: StoreError | None = None

    async def __aenter__(self) -> Self:
        self.log = ListLog()
        directory = Directory(self.store.accounts(), self.store.account_names())
        bus: LocalBus[Session] = LocalBus()
        self.writer: StoreWriter[Session] = StoreWriter(self.store, bus, on_failed=self._failed)
        self.router = Router(self.config, directory, self.log, bus, self.writer)
        bus.subscribe_to_commits(self._count_commit)
        for room in self.store.rooms():
            self.router.rooms.load(room, self.store.memberships(room.id))
        epoch = self.store.epoch()  # before another thread has the store
        self.writer.__enter__()
        self.reads = ReadCounter(lambda: GatedReader(self.store._db.path, self.gate))
        self.reads.__enter__()
        self.passwords = _AnyPassword()
        self.tasks = asyncio.TaskGroup()
        await self.tasks.__aenter__()
        login = Login(
            self.router,
            self.writer,
            self.reads,
            self.passwords,
            LoginGuard(Admission(self.router.config, time.monotonic, descriptors=1000), time.monotonic),
            self.log,
            self.tasks,
            retention=frames.Retention(),
            epoch=epoch,
        )
        self.handlers = make_handlers(self.router, self.writer, self.reads, self.tasks, login.start)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Lose all links and stop; messages that the writer does not have are dropped."""
        self.gate.open()
        for connected in self.peers:
            connected.lose()
        self.router.submissions.close()
        if error[0] is None:
            async with patiently():
                await self.tasks.__aexit__(None, None, None)
        else:
            for task in list(self.tasks._tasks):
                task.cancel()
            with contextlib.suppress(BaseException):
                await self.tasks.__aexit__(None, None, None)
        self.reads.__exit__(None, None, None)
        self.writer.__exit__(None, None, None)
        await asyncio.sleep(0)
        self.passwords.close()
        self.router.presence.close()
        self.router.rooms.close()
        self.router.quotas.close()
        self.store.close()

    def _count_commit(self, _: Commit[Session]) -> None:
        self._commits += 1

    def _failed(self, error: StoreError) -> None:
        self.failure = error.with_traceback(None)  # its frames refer to the sessions

    # --- users

    def connect(self, device: Participant | None = None) -> InProcessPeer:
        """Open a connection that is not logged in."""
        connected = InProcessPeer(self, device)
        self.peers.append(connected)
        return connected

    async def login(self, device: Participant, *, resume: bool = True) -> InProcessPeer:
        """Log a device in; it resumes and sends its outbox, unless `resume` is False."""
        connected = self.connect(device)
        connected.send(device.auth("x"))
        await self.settle()
        connected.take()
        assert device.logged_in, (device.ended, connected.frames)
        if resume:
            connected.send(*device.resume(), *device.resend())
        return connected

    async def visitor(self, user: str, features: Sequence[str] = ()) -> InProcessPeer:
        """Log in a user without a device and without `resume`."""
        connected = self.connect()
        connected.send(frames.Auth(user=user, password="x", features=list(features)))
        await self.settle()
        assert "auth_ack" in connected.kinds()
        return connected

    # --- time

    async def settle(self, *, take: bool = True) -> None:
        """Wait until the server is idle, except for reads that the gate stops.

        Args:
            take: Whether peers take their frames; congested links are never read.
        """
        calm = 0
        async with patiently():
            while calm < _CALM:
                before = self._count()
                self.router.flush_marks()
                if self.failure is None:
                    with contextlib.suppress(StoreError):
                        await self.writer.drained()
                await asyncio.sleep(0)
                if take:
                    for connected in self.peers:
                        if not connected.link.congested:
                            connected.take()
                calm = calm + 1 if self._count() == before and not self._busy() else 0

    def _count(self) -> int:
        written = sum(len(connected.frames) + len(connected.link.written) for connected in self.peers)
        return (
            self._commits
            + written
            + len(self.router.submissions)
            + len(self.router.output)
            + len(self.router.turns)
        )

    def _busy(self) -> bool:
        """Return whether a read runs that the gate does not stop, or a request without a read."""
        waiting = self.gate.waiting
        if self.reads.in_flight > waiting:
            return True
        sessions = [connected.session for connected in self.peers]
        requesting = sum(Pause.REQUEST in each.link.paused and not each.closed for each in sessions)
        return self.failure is None and requesting > waiting

    async def prune(self, keep: int) -> None:
        """Prune each conversation to a number of messages."""

        def run(store: Store) -> None:
            # A round over all conversations ends with False, as does the last step of indexing.
            for _ in range(2):
                while store.housekeeping.step(Keep(messages=keep)):
                    pass

        await self.writer.perform(run)

    @contextlib.contextmanager
    def unpublished(self) -> Iterator[None]:
        """Delay the events of commits inside the block; publish them in order at its end."""
        held: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        publish = self.writer._back
        lock, is_over = threading.Lock(), False

        def hold(callback: Callable[..., None], *args: object) -> None:
            with lock:
                if is_over:  # The store's thread can come here later than its commit is visible.
                    publish(callback, *args)
                else:
                    held.append((callback, args))

        with mock.patch.object(self.writer, "_back", hold):
            yield
            with lock:
                is_over = True
                for callback, args in held:
                    publish(callback, *args)

    def reader(self) -> "contextlib.closing[StoreReader]":
        """Return a reader of all commits, published or not."""
        return contextlib.closing(SqliteReader(self.store._db.path))

    # --- requests

    async def ask(self, connected: InProcessPeer, request: frames.ClientFrame) -> frames.ServerFrame:
        """Send a request; return its answer."""
        count = len(connected.frames)
        connected.send(request)
        await self.settle()
        connected.take()
        answers = [
            each
            for each in connected.frames[count:]
            if isinstance(each, frames.History | frames.Conversations | frames.SearchResults | frames.Error)
        ]
        assert len(answers) == 1, connected.frames[count:]
        return answers[0]

    async def book(self, user: str) -> Book:
        """Return the history of all conversations of a user, as a new device receives it."""
        device = Device(user, "")
        connected = await self.login(device, resume=False)
        infos: list[frames.ConversationInfo] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self.ask(connected, frames.ConversationsRequest(cursor))
            assert isinstance(page, frames.Conversations)
            infos += page.conversations
            cursor = page.cursor
        for info in infos:
            device.begin(info.conversation, info.first_seq - 1)
        connected.send(*device.resume())
        await self.settle()
        assert device.live
        book = {info.conversation: await self._history(connected, device, info) for info in infos}
        connected.lose()
        self.peers.remove(connected)
        return book

    async def _history(
        self, connected: InProcessPeer, device: Device, info: frames.ConversationInfo
    ) -> History:
        messages: list[frames.Message] = []
        cursor: int | None = 0
        while cursor is not None:
            page = await self.ask(
                connected, frames.HistoryRequest(info.conversation, after=cursor, limit=200)
            )
            assert isinstance(page, frames.History)
            messages += page.messages
            cursor = page.cursor
        return written(info, messages, device.log.applied[info.conversation])
