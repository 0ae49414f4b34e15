"""Which sessions an account has, and how a message gets from one person to another.

Everything here runs on the event loop. The way of a message:

    link -> session -> handlers.chat -> outbox -> StoreWriter (its thread, COMMIT)
         -> Router.stored -> sessions of the recipient, and the ack -> flush -> links

Sessions with something to send are *dirty*; they are flushed once per tick of the loop, so
that all frames a peer gets in a tick leave as one record and one system call.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from qscp import codec, frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscpd.config import Config
from qscpd.directory import Directory
from qscpd.errors import StoreError, StoreFullError
from qscpd.link import Link
from qscpd.presence import Presence
from qscpd.session import Session
from qscpd.sessionlog import SessionLog
from qscpd.store.base import NewMessage, StoredMessage
from qscpd.store.writer import StoreWriter

__all__ = ["Handler", "PendingChat", "Router"]

Handler = Callable[[Session, frames.ClientFrame], None]

_QUITE_GONE: Final = frozenset({ErrorCode.BYE, ErrorCode.LOCKED, ErrorCode.DELETED})
"""Reasons of `session.close` after which nobody is waited for."""


class PendingChat(NamedTuple):
    """A message on its way to the store."""

    session: Session
    to: str
    """The recipient's name."""
    message: NewMessage


class Router:
    """The live sessions.

    Attributes:
        config: The daemon's configuration.
        directory: Who has which name.
        presence: Who is online.
        handlers: What to do with a frame, by its class; set once by `qscpd.handlers`.
        dirty: Sessions with something to send.
        outbox: Messages that came in during this tick.
    """

    def __init__(self, config: Config, directory: Directory, log: SessionLog) -> None:
        self.config = config
        self.directory = directory
        self.presence = Presence(self._broadcast_presence)
        self.handlers: dict[type[frames.ClientFrame], Handler] = {}
        self.dirty: set[Session] = set()
        self.outbox: list[PendingChat] = []
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[int, list[Session]] = {}
        self._open: set[Session] = set()
        self._writer: StoreWriter[PendingChat] | None = None
        self._awake = False

    def __len__(self) -> int:
        """How many sessions are open, logged in or not."""
        return len(self._open)

    def attach(self, writer: StoreWriter[PendingChat]) -> None:
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
        self.update_presence(account.id)

    def forget(self, session: Session, reason: str) -> None:
        """Count a session out, when its link is gone."""
        self._open.discard(session)
        self.dirty.discard(session)
        self._log.closed(session, reason)
        self.left(session, reason)

    def left(self, session: Session, reason: str) -> None:
        """Stop delivering to a session that has ended, though its link may take a while to close."""
        account = session.account
        if account is None or session not in self._sessions.get(account.id, ()):
            return
        sessions = self._sessions[account.id]
        sessions.remove(session)
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

    # --- output, once per tick

    def wake(self) -> None:
        """Make sure that `flush` runs at the end of this tick."""
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Hand the tick's messages to the store and write the tick's output."""
        self._awake = False
        if self.outbox:
            outbox, self.outbox = self.outbox, []
            assert self._writer is not None  # noqa: S101 - attached before the first session
            self._writer.append(outbox)
        dirty, self.dirty = self.dirty, set()
        for session in dirty:
            session.flush()

    # --- what the store says

    def stored(self, batch: Sequence[PendingChat], places: Sequence[StoredMessage]) -> None:
        """Deliver and acknowledge what was committed."""
        lines: dict[Session, list[bytes]] = {}
        answered: dict[Session, int] = {}
        encode = codec.encode
        for (session, to, message), (number, seq, time_ms) in zip(batch, places, strict=True):
            conversation = f"c{number}"
            sender = session.account
            assert sender is not None  # noqa: S101 - nobody else may send
            chat = encode(
                frames.Chat(
                    conversation=conversation,
                    seq=seq,
                    id=message.id,
                    sender=sender.name,
                    to=to,
                    body=message.body,
                    time=time_ms,
                )
            )
            for recipient in self._sessions.get(message.recipient, ()):
                recipient.messages_out += 1
                lines.setdefault(recipient, []).append(chat)
            ack = encode(frames.ChatAck(message.id, conversation, seq, time_ms))
            lines.setdefault(session, []).append(ack)
            session.messages_in += 1
            answered[session] = answered.get(session, 0) + 1
        self._queue(lines)
        self._answered(answered)

    def refused(self, batch: Sequence[PendingChat], error: StoreError) -> None:
        """Tell the senders that nothing of the batch was stored."""
        full = isinstance(error, StoreFullError)
        code = ErrorCode.STORAGE_FULL if full else ErrorCode.STORAGE_FAILED
        answered: dict[Session, int] = {}
        lines: dict[Session, list[bytes]] = {}
        for session, _, message in batch:
            nack = codec.encode(frames.ChatNack(message.id, code, ERROR_CODES[code].sentence))
            lines.setdefault(session, []).append(nack)
            answered[session] = answered.get(session, 0) + 1
        self._queue(lines)
        self._answered(answered)

    def _queue(self, lines: dict[Session, list[bytes]]) -> None:
        for session, each in lines.items():
            session.send_lines(each)
        self.dirty.update(lines)
        self.wake()

    def _answered(self, counts: dict[Session, int]) -> None:
        for session, count in counts.items():
            session.answered(count)

    def shut_down(self) -> None:
        """Take nothing more from anybody, and say `bye` to everybody once they have their answers."""
        for session in list(self._open):
            if not session.closed:  # who was said `bye` to already is only waited for
                session.link.pause_reading()
                session.finish(ErrorCode.SHUTDOWN)

    def end_account(self, account: int, code: ErrorCode) -> None:
        """End all sessions of an account with a `bye`."""
        for session in list(self._sessions.get(account, ())):
            session.say_bye(code)
