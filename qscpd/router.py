"""Which sessions an account has, and how a message gets from one person to another.

Everything here runs on the event loop. The way of a message:

    link -> session -> handlers.chat -> outbox -> StoreWriter (its thread, COMMIT)
         -> Router.committed -> sessions of the recipient, and the ack -> flush -> links

Sessions with something to send are *dirty*; they are flushed once per tick of the loop, so
that all frames a peer gets in a tick leave as one record and one system call.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Raw

from qscp import codec, frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscpd.config import Config
from qscpd.directory import Directory
from qscpd.link import Link
from qscpd.presence import Presence
from qscpd.replay import conversation_id
from qscpd.session import Session
from qscpd.sessionlog import SessionLog
from qscpd.store.base import Moved, NewMessage, PositionKind, StoredMessage
from qscpd.store.writer import Committed, Item, PendingChat, PendingSkip, StoreWriter

__all__ = ["FEATURES", "READ_RECEIPTS", "Handler", "Router"]

Handler = Callable[[Session, frames.ClientFrame], None]

READ_RECEIPTS: Final = "read_receipts"
"""The feature of those who want to tell and be told what was read."""

FEATURES: Final = frozenset({READ_RECEIPTS})
"""The optional parts of the protocol that this server knows."""

_Output = defaultdict[Session, list[frames.ServerFrame | Raw]]
"""What goes out to each session."""

_NOBODY: Final[list[Session]] = []

_QUITE_GONE: Final = frozenset({ErrorCode.BYE, ErrorCode.LOCKED, ErrorCode.DELETED})
"""Reasons of `session.close` after which nobody is waited for."""


class Router:
    """The live sessions.

    Attributes:
        config: The daemon's configuration.
        directory: Who has which name.
        presence: Who is online.
        handlers: What to do with a frame, by its class; set once by `qscpd.handlers`.
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
        self.update_presence(account.id)

    def forget(self, session: Session, reason: str) -> None:
        """Count a session out, when its link is gone."""
        self._open.discard(session)
        self.dirty.discard(session)
        self._log.closed(session, reason)
        self.left(session, reason)
        if session.refused:
            self.store(PendingSkip(session, None))

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

    def flush(self) -> None:
        """Hand the tick's messages to the store and write the tick's output."""
        self._awake = False
        if outbox := self._outbox:
            self._outbox = []
            assert self._writer is not None  # noqa: S101 - attached before the first session
            self._writer.append(outbox)
        dirty, self.dirty = self.dirty, set()
        for session in dirty:
            session.flush()

    # --- what the store says

    def committed(self, result: Committed[Session]) -> None:
        """Deliver and acknowledge what was committed, and tell of positions that moved."""
        out: _Output = defaultdict(list)
        answered: defaultdict[Session, int] = defaultdict(int)
        # Messages come in runs from one session to one person: what a run has in common is found once.
        session = None
        recipient = 0
        for chat, outcome in zip(result.chats, result.outcomes, strict=True):
            message = chat.message
            if chat.session is not session or message.recipient != recipient:
                session, recipient = chat.session, message.recipient
                name, acks = session.name, out[session]
                listener = self._only_listener(session, message)
                inbox = out[listener] if listener is not None else None
            answered[session] += 1
            if type(outcome) is not StoredMessage:
                acks.append(_nack(message.id, ErrorCode.ID_CONFLICT))
                continue
            conversation = f"c{outcome.conversation}"
            seq, time_ms = outcome.seq, outcome.time_ms
            if outcome.new:
                session.messages_in += 1
                frame = frames.Chat(
                    conversation, seq, message.id, name, chat.to, message.body, time_ms, "live"
                )
                if listener is not None and inbox is not None:
                    listener.messages_out += 1
                    inbox.append(frame)
                else:
                    self._deliver(chat, outcome, frame, out)
            acks.append(frames.ChatAck(message.id, conversation, seq, time_ms))
        for mark, moved in zip(result.marks, result.moved, strict=True):
            if moved is not None:
                self._tell_moved(mark.session, moved, out)
        self._queue(out)
        for session, count in answered.items():
            session.answered(count)

    def _only_listener(self, sending: Session, message: NewMessage) -> Session | None:
        """The one live session that a message goes to, as most often; None if it is not so simple."""
        theirs = self._sessions.get(message.recipient, _NOBODY)
        ours = self._sessions.get(message.sender, _NOBODY)
        if len(theirs) == 1 and theirs[0].live and (not ours or (len(ours) == 1 and ours[0] is sending)):
            return theirs[0]
        return None

    def _deliver(
        self, chat: PendingChat[Session], place: StoredMessage, frame: frames.Chat, out: _Output
    ) -> None:
        """Queue a message for the recipient's sessions, and for the sender's other ones."""
        message = chat.message
        line = codec.encode(frame)
        shared = Raw(line[:-1])
        theirs = self._sessions.get(message.recipient, _NOBODY)
        ours = self._sessions.get(message.sender, _NOBODY)
        for session in (*theirs, *ours):
            if session is chat.session:
                continue
            if session.live:
                session.messages_out += 1
                out[session].append(shared)
            elif session.replay is not None:
                session.replay.hold(place.conversation, place.seq, line)

    def _tell_moved(self, origin: Session, moved: Moved, out: _Output) -> None:
        mark, peer = moved
        conversation = conversation_id(mark.conversation)
        if mark.kind is PositionKind.DELIVERED:
            frame: frames.ServerFrame = frames.Delivered(conversation, mark.seq)
            for session in self._sessions.get(peer, ()):
                out[session].append(frame)
            return
        user = self.directory.names.get(mark.account, "")
        frame = frames.ServerRead(conversation, user, mark.seq)
        for session in self._sessions.get(mark.account, ()):
            if session is not origin:
                out[session].append(frame)
        if READ_RECEIPTS in origin.features:
            for session in self._sessions.get(peer, ()):
                if READ_RECEIPTS in session.features:
                    out[session].append(frame)

    def refused(self, chats: Sequence[PendingChat[Session]], code: ErrorCode) -> None:
        """Tell the senders that nothing of this was stored."""
        out: _Output = defaultdict(list)
        for chat in chats:
            chat.session.refused = True
            out[chat.session].append(_nack(chat.message.id, code))
        self._queue(out)
        for session, nacks in out.items():
            session.answered(len(nacks))

    def _queue(self, out: _Output) -> None:
        for session, each in out.items():
            session.queue(each)
        self.dirty.update(out)
        self.wake()

    def shut_down(self) -> None:
        """Take nothing more from anybody, and say `bye` to everybody once they have their answers."""
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


def _nack(message_id: str, code: ErrorCode) -> frames.ChatNack:
    return frames.ChatNack(message_id, code, ERROR_CODES[code].sentence)
