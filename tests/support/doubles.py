"""Sessions without a network: a real router and real sessions, on links that keep what is written."""

from collections.abc import Sequence

from qscp import codec, frames
from qscp.states import State
from qscpd.config import Config
from qscpd.directory import Directory
from qscpd.handlers import handlers
from qscpd.link import Link
from qscpd.router import PendingChat, Router
from qscpd.session import Session
from qscpd.sessionlog import LoggedSession, SessionLog
from qscpd.store.base import Account, AccountState, StoredMessage
from qscpd.store.writer import StoreWriter

__all__ = ["FakeLink", "ListLog", "SlowWriter", "StaffedRouter"]


class FakeLink(Link):
    """A link that goes nowhere.

    Attributes:
        written: Frames that the session wrote and the peer has not taken yet.
        reading: Whether the session wants input.
        ended: The reason why it was closed or aborted; empty before.
    """

    def __init__(self) -> None:
        self.written: list[frames.ServerFrame] = []
        self.reading = True
        self.ended = ""
        self.congested = False
        self.last_in = 0.0
        self.clock = 0.0
        self.remote = ("192.0.2.7", 40000)

    def now(self) -> float:
        """The time that the test set."""
        return self.clock

    def write(self, plaintext: bytes) -> None:
        """Keep what is written."""
        if self.ended:
            return
        for line in plaintext.splitlines():
            frame = codec.decode_server_frame(line)
            assert frame is not None
            self.written.append(frame)

    def pause_reading(self) -> None:
        """Note it."""
        self.reading = False

    def resume_reading(self) -> None:
        """Note it."""
        self.reading = True

    def close(self, reason: str) -> None:
        """Note it."""
        self.ended = self.ended or reason

    def abort(self, reason: str) -> None:
        """Note it."""
        self.ended = self.ended or reason

    def take(self) -> list[frames.ServerFrame]:
        """Return and forget what was written."""
        written, self.written = self.written, []
        return written


class ListLog(SessionLog):
    """A session log that is a list.

    Attributes:
        entries: Event, session and fields of each entry.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, dict[str, object]]] = []

    def opened(self, session: LoggedSession) -> None:
        """Keep it."""
        self._put("session.open", session)

    def closed(self, session: LoggedSession, reason: str) -> None:
        """Keep it."""
        self._put("session.close", session, reason=reason)

    def _put(self, event: str, session: LoggedSession, *, failure: bool = False, **fields: object) -> None:
        del failure
        self.entries.append((event, session.id, fields))

    def names(self) -> list[str]:
        """Return the events."""
        return [event for event, _, _ in self.entries]


class SlowWriter(StoreWriter[PendingChat]):
    """A store that answers when the test says so.

    Attributes:
        waiting: What it was given and has not answered.
    """

    def __init__(self) -> None:
        self.waiting: list[PendingChat] = []
        self._seq = 0

    def append(self, waiting: Sequence[PendingChat]) -> None:
        """Keep it."""
        self.waiting += waiting

    def answer(self, router: Router, count: int | None = None) -> None:
        """Say that some, or all, of what waits is stored."""
        batch = self.waiting[:count]
        del self.waiting[:count]
        first, self._seq = self._seq, self._seq + len(batch)
        router.stored(batch, [StoredMessage(1, first + n, 1) for n in range(1, len(batch) + 1)])


class StaffedRouter(Router):
    """A router with accounts; call it in a running loop.

    Attributes:
        log: Its session log.
        writer: Its store.
    """

    def __init__(self, *names: str, config: Config | None = None) -> None:
        self.log = ListLog()
        self.writer = SlowWriter()
        accounts = [Account(n, name, AccountState.ACTIVE, 0) for n, name in enumerate(names, 1)]
        super().__init__(config or Config(), Directory(accounts), self.log)
        self.attach(self.writer)
        self.handlers = handlers(lambda _session, _auth: None)

    def connect(self) -> tuple[Session, FakeLink]:
        """Open a session."""
        link = FakeLink()
        return self.open_session(link), link

    def login(self, name: str) -> tuple[Session, FakeLink]:
        """Open a session that is logged in; its `auth_ack` is written, its snapshot is not."""
        session, link = self.connect()
        session.receive(codec.encode(frames.Auth(user=name, password="x")))
        account = self.directory.by_name(name)
        assert account is not None
        session.account = account
        session.send(
            frames.AuthAck(
                user=name,
                account=f"a{account.id}",
                session=session.id,
                protocol=1,
                features=[],
                limits=frames.Limits(65536, 16384),
            )
        )
        assert session.connection.state is State.READY
        link.reading = True
        session.stream(self.presence.pages(name))
        self.logged_in(session)
        return session, link
