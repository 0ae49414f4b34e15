"""Sessions without a network: real router and sessions, on links that record their output."""

import asyncio
from collections.abc import Callable, Sequence

from qscp import codec, frames
from qscp.errors import ErrorCode
from qscp.states import State
from qscpd.accounts.directory import Directory
from qscpd.bus.base import Answers, Commit
from qscpd.bus.local import LocalBus
from qscpd.chat.router import Router
from qscpd.config import Config
from qscpd.domain.events import MessagesStored
from qscpd.domain.model import Account, AccountState, Refused, StoredMessage
from qscpd.errors import StoreError
from qscpd.handlers.table import handler_table
from qscpd.net.address_share import share_of
from qscpd.net.admission import Visitor
from qscpd.net.link import Link
from qscpd.net.pause import Pause
from qscpd.net.peer_log import PeerLog
from qscpd.sessions.identity import Identity
from qscpd.sessions.log import LoggedSession, SessionLog
from qscpd.sessions.owner import HandlerTable
from qscpd.sessions.requests import RequestRunner
from qscpd.sessions.session import Session
from qscpd.store.base import StoreReader
from qscpd.store.items import Item, PendingChat
from qscpd.store.reads import StoreReads
from qscpd.store.writer import StoreWriter
from tests.support.limits import NO_RATES

__all__ = ["FakeLink", "ListLog", "RouterDouble", "SlowWriter", "make_handlers"]


class FakeLink(Link):
    """Link without a peer.

    Attributes:
        written: Frames that the session wrote since the last `take`.
        partial: The beginning of a frame whose end is not written yet.
        paused: Reasons for which the session does not read input.
        ended: The reason of `close` or `abort`; empty before.
    """

    def __init__(self) -> None:
        self.written: list[frames.ServerFrame] = []
        self.partial = b""
        self.expected = ""
        self.paused: set[Pause] = set()
        self.ended = ""
        self.congested = False
        self.undecrypted = b""
        self.last_in = 0.0
        self.clock = 0.0
        self.remote = ("192.0.2.7", 40000)
        self.visitor = Visitor("192.0.2.7", share_of("192.0.2.7"))

    def authenticated(self) -> None:
        """Record it, as the listener does."""
        self.visitor.waiting = False

    def has_hung_up(self) -> bool:
        """Return False: its peer is there."""
        return False

    def now(self) -> float:
        """Return the time that the test set."""
        return self.clock

    def write(self, plaintext: bytes) -> None:
        """Record the frames."""
        if self.ended:
            return
        lines = (self.partial + plaintext).split(b"\n")
        self.partial = lines.pop()
        for line in lines:
            frame = codec.decode_server_frame(line)
            assert frame is not None
            self.written.append(frame)

    @property
    def reading(self) -> bool:
        """Whether the session reads input."""
        return not self.paused

    def pause_reading(self, reason: Pause) -> None:
        """Record that the session has paused reading."""
        self.paused.add(reason)

    def resume_reading(self, reason: Pause) -> None:
        """Record that a reason not to read is gone."""
        self.paused.discard(reason)

    @property
    def reason(self) -> str:
        """The reason of `expect_close`."""
        return self.expected

    def expect_close(self, reason: str) -> None:
        """Record the reason."""
        self.expected = self.expected or reason

    def close(self, reason: str) -> None:
        """Record the reason; a closed link reads until its end."""
        self.ended = self.ended or reason
        self.paused.clear()

    def abort(self, reason: str) -> None:
        """Record the reason."""
        self.ended = self.ended or reason

    def take(self) -> list[frames.ServerFrame]:
        """Return and clear the written frames."""
        written, self.written = self.written, []
        return written


class ListLog(SessionLog):
    """Session log in a list.

    Attributes:
        entries: Event, session and fields of each entry.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, dict[str, object]]] = []
        self.journal = PeerLog("always", 1000)

    def opened(self, session: LoggedSession) -> None:
        """Record the start of a session."""
        self._put("session.open", session)

    def closed(self, session: LoggedSession, reason: str) -> None:
        """Record the end of a session."""
        self._put("session.close", session, reason=reason)

    def _put(self, event: str, session: LoggedSession, *, failure: bool = False, **fields: object) -> None:
        del failure
        self.entries.append((event, session.id, fields))

    def names(self) -> list[str]:
        """Return the events."""
        return [event for event, _, _ in self.entries]


class SlowWriter(StoreWriter[Session]):
    """Store writer that answers when the test says so, and accepts no calls.

    Attributes:
        waiting: Items that have no answer yet.
    """

    def __init__(self) -> None:
        self.waiting: list[Item[Session]] = []
        self._drains: list[asyncio.Future[None]] = []
        self._seq = 0

    def append(self, items: Sequence[Item[Session]]) -> None:
        """Add items to `waiting`."""
        self.waiting += items

    async def drained(self) -> None:
        """Wait until the test lets it answer everything."""
        done = asyncio.get_running_loop().create_future()
        self._drains.append(done)
        await done

    def answer(self, router: "RouterDouble", count: int | None = None) -> None:
        """Commit some or all waiting items; no position moves."""
        chats = self._next(count)
        first, self._seq = self._seq, self._seq + len(chats)
        places = [StoredMessage(1, first + n, 1) for n in range(1, len(chats) + 1)]
        messages = [chat.message for chat in chats]
        answers = Answers([chat.session for chat in chats], messages, places)
        router.bus.publish(Commit([MessagesStored(messages, places)], answers))

    def refuse(self, router: "RouterDouble", code: ErrorCode) -> None:
        """Refuse all waiting items with a code."""
        chats = self._next(None)
        messages = [chat.message for chat in chats]
        outcomes = [Refused(code)] * len(chats)
        router.bus.publish(Commit((), Answers([chat.session for chat in chats], messages, outcomes)))

    def _next(self, count: int | None) -> list[PendingChat[Session]]:
        batch = self.waiting[:count]
        del self.waiting[:count]
        if not self.waiting:
            for done in self._drains:
                done.set_result(None)
            self._drains.clear()
        return [item for item in batch if isinstance(item, PendingChat)]


def make_handlers(
    router: Router,
    writer: StoreWriter[Session],
    reads: StoreReads,
    tasks: asyncio.TaskGroup,
    login: Callable[[Session, frames.Auth], None] = lambda _session, _auth: None,
) -> HandlerTable[Session]:
    """Return the daemon's handlers; without a `login`, `auth` gets no answer."""
    requests = RequestRunner(tasks, router.passed)
    return handler_table(router, writer, reads, requests, login)


def _no_reader() -> StoreReader:
    raise StoreError("a router's double has no store")


class RouterDouble(Router):
    """Router with accounts; create it in a running loop.

    Attributes:
        handlers: Handlers of its sessions.
        bus: Bus of commits.
        log: Session log.
        writer: Store writer.
    """

    def __init__(self, *names: str, config: Config | None = None) -> None:
        self.log = ListLog()
        self.writer = SlowWriter()
        accounts = [Account(n, name, AccountState.ACTIVE, 0) for n, name in enumerate(names, 1)]
        self.bus: LocalBus[Session] = LocalBus()
        super().__init__(
            config or Config(limits=NO_RATES), Directory(accounts, {}), self.log, self.bus, self.writer
        )
        # No task and no thread runs here: requests that need the store fail.
        self.handlers = make_handlers(self, self.writer, StoreReads(_no_reader), asyncio.TaskGroup())

    def flush(self) -> None:
        """End the tick: handle all input, hand over what was submitted, then write what was sent."""
        self.run_turns()
        self.submissions.flush_marks()
        self.submissions.hand_over()
        self.output.flush()

    def run_turns(self) -> None:
        """Let sessions take turns until none has input that can be handled now."""
        while len(self.turns):
            self.turns.run()

    def close(self) -> None:
        """Stop timers and drop waiting items, which the garbage collector does not track."""
        self.submissions.close()
        self.presence.close()
        self.hiding.close()
        self.rooms.close()
        self.quotas.close()
        self.writer.waiting.clear()

    def connect(self, link: FakeLink | None = None) -> tuple[Session, FakeLink]:
        """Open a session, on a link of its own if none is given."""
        link = link or FakeLink()
        return self.open_session(self.handlers, link), link

    def login(
        self,
        name: str,
        *features: str,
        live: bool = True,
        link: FakeLink | None = None,
        status: frames.Status = "online",
        device: str = "",
    ) -> tuple[Session, FakeLink]:
        """Open a session and log it in; its `auth_ack` is written, its presence snapshot is queued.

        Args:
            name: Name of the user.
            features: Features of its client.
            live: Whether the session is live; otherwise it has not resumed.
            link: Its link; None for a link of its own.
            status: Its presence from the first moment on.
            device: Its device.
        """
        session, link = self.connect(link)
        session.receive(codec.encode(frames.Auth(user=name, password="x")))
        account = self.directory.by_name(name)
        assert account is not None
        session.send(
            frames.AuthAck(
                user=name,
                account=f"a{account.id}",
                session=session.id,
                protocol=1,
                features=[],
                limits=frames.Limits(65536, 16384),
                retention=frames.Retention(),
                epoch="e1",
            )
        )
        assert session.connection.state is State.READY
        link.resume_reading(Pause.LOGIN)
        identity = Identity(account.id, name, device, frozenset(features))
        session.status = status
        self.register(session, identity)
        session.outbound.begin(self.snapshots(identity))
        session.outbound.live = live
        return session, link
