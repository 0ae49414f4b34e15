"""Which sessions there are and whose they are, and the way of a message from one person to another.

Everything here runs on the event loop. The way of a message:

    link -> session -> handlers.chat -> outbox -> StoreWriter (its thread, COMMIT)
         -> Delivery.committed -> sessions of the recipient or of a room's members, and the ack
         -> flush -> links

Sessions with something to send are *dirty*; they are flushed once per tick of the loop, so
that all frames a peer gets in a tick leave as one record and one system call.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from qscp import frames
from qscp.errors import ErrorCode
from qscpd.accounts.directory import Directory
from qscpd.chat.delivery import Delivery
from qscpd.chat.presence import Presence
from qscpd.chat.rooms import Rooms
from qscpd.config import Config
from qscpd.net.link import Link
from qscpd.sessions.log import SessionLog
from qscpd.sessions.session import Session
from qscpd.store.writer import Item, StoreWriter

__all__ = ["Handler", "Router"]

Handler = Callable[[Session, frames.ClientFrame], None]

_QUITE_GONE: Final = frozenset({ErrorCode.BYE, ErrorCode.LOCKED, ErrorCode.DELETED})
"""Reasons of `session.close` after which nobody is waited for."""


class Router:
    """The live sessions.

    Attributes:
        config: The daemon's configuration.
        directory: Who has which name.
        presence: Who is online.
        rooms: The rooms.
        delivery: What to do with what the store says.
        handlers: What to do with a frame, by its class; set once by `qscpd.handlers.messages`.
        dirty: Sessions with something to send.
    """

    def __init__(self, config: Config, directory: Directory, log: SessionLog) -> None:
        self.config = config
        self.directory = directory
        self.presence = Presence(self._broadcast_presence)
        self.handlers: dict[type[frames.ClientFrame], Handler] = {}
        self.dirty: set[Session] = set()
        self._outbox: list[Item[Session]] = []
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[int, list[Session]] = {}
        self._open: set[Session] = set()
        self._writer: StoreWriter[Session] | None = None
        self._awake = False
        self.rooms = Rooms(directory.names, self.store, self.sessions_of, self._leave_soon)
        self.delivery = Delivery(self._sessions, directory.names, self.rooms, self._leave_soon)

    def __len__(self) -> int:
        """How many sessions are open, logged in or not."""
        return len(self._open)

    def attach(self, writer: StoreWriter[Session]) -> None:
        """Say where messages are stored; once, before the first session."""
        self._writer = writer

    # --- sessions

    def open_session(self, link: Link) -> Session:
        """Make the session of a link."""
        session = Session(self, link)
        self._open.add(session)
        self._log.opened(session)
        return session

    def logged_in(self, session: Session) -> None:
        """Count a session in: from now on it gets what is sent to its account."""
        account = session.account
        assert account is not None  # noqa: S101 - the login has just set it
        self._sessions.setdefault(account.id, []).append(session)
        self.rooms.logged_in(session, account.id)
        self.update_presence(account.id)

    def forget(self, session: Session, reason: str) -> None:
        """Count a session out, when its link is gone."""
        self._open.discard(session)
        self.dirty.discard(session)
        self._log.closed(session, reason)
        self.left(session, reason)
        session.give_up()

    def left(self, session: Session, reason: str) -> None:
        """Stop delivering to a session that has ended, though its link may take a while to close."""
        account = session.account
        if account is None or session not in self._sessions.get(account.id, ()):
            return
        sessions = self._sessions[account.id]
        sessions.remove(session)
        self.rooms.left(session, account.id)
        if sessions:
            self.update_presence(account.id)
            return
        del self._sessions[account.id]
        if reason in _QUITE_GONE:
            self.presence.update(account.name, ())
        else:
            self.presence.fade(account.name)

    @property
    def logged_in_count(self) -> int:
        """How many sessions are logged in."""
        return sum(map(len, self._sessions.values()))

    def sessions_of(self, account: int) -> Sequence[Session]:
        """The sessions of an account that are logged in."""
        return self._sessions.get(account, ())

    def session_of(self, account: int, device: str) -> Session | None:
        """The session of an account's device, if it has one."""
        return next(
            (each for each in self._sessions.get(account, ()) if device and each.device == device), None
        )

    def update_presence(self, account: int) -> None:
        """Work an account's presence out again."""
        sessions = self._sessions[account]
        person = sessions[0].account
        assert person is not None  # noqa: S101 - only sessions that are logged in are listed
        self.presence.update(person.name, [(each.status, each.text) for each in sessions])

    def _broadcast_presence(self, lines: list[bytes]) -> None:
        for sessions in self._sessions.values():
            for session in sessions:
                session.send_presence(lines)
                self.dirty.add(session)
        self.wake()

    # --- once per tick

    def store(self, item: Item[Session]) -> None:
        """Hand something to the store at the end of the tick."""
        self._outbox.append(item)
        if not self._awake:
            self.wake()

    def wake(self) -> None:
        """Make sure that `flush` runs at the end of this tick."""
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self.flush)

    def now(self) -> float:
        """The loop's time, in seconds."""
        return self._loop.time()

    def _leave_soon(self, sessions: Iterable[Session]) -> None:
        """Something was queued for these sessions; it leaves at the end of this tick."""
        self.dirty.update(sessions)
        self.wake()

    def hand_over(self, room: str = "") -> None:
        """Hand everything that was sent to the store, at once; if a room is named, in no other room."""
        self.rooms.hurry(room)
        self._hand_outbox()

    def _hand_outbox(self) -> None:
        if outbox := self._outbox:
            self._outbox = []
            assert self._writer is not None  # noqa: S101 - attached before the first session
            self._writer.append(outbox)

    def flush(self) -> None:
        """Hand the tick's messages to the store and write the tick's output."""
        self._awake = False
        self._hand_outbox()
        dirty, self.dirty = self.dirty, set()
        for session in dirty:
            session.flush()

    # --- the end

    def shut_down(self) -> None:
        """Take nothing more from anybody, and say `bye` to everybody once they have their answers."""
        self.hand_over()
        for session in list(self._open):
            if not session.closed:  # who was said `bye` to already is only waited for
                session.link.pause_reading()
                session.finish(ErrorCode.SHUTDOWN)

    def store_failed(self) -> None:
        """Say `bye` to everybody without any answer: whether their messages are on disk is unknown."""
        for session in list(self._open):
            session.say_bye(ErrorCode.INTERNAL, "store_failed")

    def end_account(self, account: int, code: ErrorCode) -> None:
        """End all sessions of an account with a `bye`."""
        for session in list(self._sessions.get(account, ())):
            session.say_bye(code)
