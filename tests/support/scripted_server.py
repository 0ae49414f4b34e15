"""A small QSCP server for tests of the client: real TLS and real frames, scripted behaviour.

It has accounts, devices, presence and conversations, as far as a client uses them. A test does the rest
itself, such as sending a message from a user without a connection.
"""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Self

import trustme

from qscp import ALPN, frames
from qscp.connection import ServerConnection
from qscp.errors import ERROR_CODES, ErrorCode, RemoteProtocolError
from qscp.states import State
from tests.support.scripted_archive import Archive
from tests.support.waiting import PATIENCE_S

__all__ = ["ScriptedServer", "make_server_context", "scripted_server"]


def make_server_context(
    certificate: trustme.LeafCert,
    alpn: Iterable[str] = (ALPN,),
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """Make the TLS context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    certificate.configure_cert(context)
    if protocols := list(alpn):
        context.set_alpn_protocols(protocols)
    return context


class Session:
    """Connection of a client.

    Attributes:
        user: Name of the logged-in user.
        device: Id of the device.
        positions: Positions that it sent, by conversation.
        live: Whether it receives messages when they are stored.
        refused: Id of the refused message that has to be sent first, by recipient.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.user = ""
        self.device = ""
        self.positions: dict[str, int] = {}
        self.live = False
        self.refused: dict[str, str] = {}
        self._reader = reader
        self.writer = writer
        self._connection = ServerConnection()

    def send(self, *sent: frames.ServerFrame) -> None:
        """Send frames, unless the connection is closed."""
        for frame in sent:
            if self._connection.state is not State.CLOSED:
                self._connection.send(frame)
        if not self.writer.is_closing():
            self.writer.write(self._connection.data_to_send())

    async def receive(self) -> AsyncIterator[frames.ClientFrame]:
        """Yield the client's frames until it closes."""
        with contextlib.suppress(OSError):
            while received := await self._reader.read(65536):
                self._connection.receive_data(received)
                # `events` stops after `auth`; once it is answered, there might be more
                while arrived := list(self._connection.events()):
                    for frame in arrived:
                        yield frame


class ScriptedServer:
    """The server; `scripted_server` runs one.

    Attributes:
        port: Where it listens.
        accounts: name -> password
        archive: The stored conversations.
        sessions: The newest session of each user, by name.
        received: Every frame received, in order.
        logins: How many logins succeeded.
        holds_acks: Whether messages are neither stored nor answered.
        loses_acks: Whether messages are stored and not answered.
        refuses_storage: Code with which messages are refused, as by a full disk; empty to store them.
        refuses: Answers to `auth` that replace the check of the password.
        throttles_s: How long each message waits, behind a `throttled`.
        announces_s: What that `throttled` says; 0 to say how long it is.
        fails_resume: Whether each `resume` ends the session with `internal`.
        closed: Whether new connections are dropped at once.
        ignores_bye: Whether `bye` is left unanswered.
        ignores_whois: Whether `whois` is left unanswered.
        ignores_lists: Whether `conversations` is left unanswered.
        ignores_ping: Whether `ping` is left unanswered.
        epoch: Epoch of the archive.
        retention: Retention that `auth_ack` reports.
    """

    def __init__(self) -> None:
        self.port = 0
        self.accounts = {"alice": "wonderland", "bob": "builder", "carol": "christmas"}
        self.archive = Archive()
        self.sessions: dict[str, Session] = {}
        self.received: list[frames.ClientFrame] = []
        self.logins = 0
        self.holds_acks = False
        self.loses_acks = False
        self.refuses_storage = ""
        self.fails_resume = False
        self.closed = False
        self.throttles_s = self.announces_s = 0.0
        self.ignores_bye = False
        self.ignores_ping = False
        self.ignores_whois = False
        self.ignores_lists = False
        self.refuses: list[frames.AuthNack | frames.Error] = []
        self.epoch = "e1"
        self.retention = frames.Retention()
        self._open: list[Session] = []
        self._users = set(self.accounts)
        self._others: dict[str, frames.UserPresence] = {}
        self._version = 1
        self._ids = itertools.count(1)
        self._changed = asyncio.Condition()

    # --- for tests

    def come(self, *names: str) -> None:
        """Show users without a connection as online."""
        self._change([frames.UserPresence(name, "online") for name in names])

    def go(self, *names: str) -> None:
        """Show users as offline."""
        self._change([frames.UserPresence(name, "offline") for name in names])

    def delete(self, *names: str) -> None:
        """Delete accounts, without notifying online users."""
        self._users -= set(names)

    def set_presence(self, name: str, status: frames.Status, text: str = "") -> None:
        """Set the presence of a user."""
        self._change([frames.UserPresence(name, status, text)])

    def write(self, sender: str, to: str, *bodies: str) -> None:
        """Send messages from a user to another; neither needs a connection."""
        self._users |= {sender, to}
        for body in bodies:
            self._store(sender, frames.SendChat(to, body, f"{next(self._ids):032x}"), None)

    def end_all(self, code: ErrorCode) -> None:
        """Send `bye` to all sessions, and close them."""
        for session in self._open:
            reconnect = code is ErrorCode.SHUTDOWN
            session.send(frames.ServerBye(code, ERROR_CODES[code].sentence, reconnect))
            session.writer.close()

    def drop_all(self) -> None:
        """Abort all connections."""
        for session in self._open:
            session.writer.transport.abort()

    def bodies(self) -> list[tuple[str, str]]:
        """Return recipient and body of every message received."""
        return [(frame.to, frame.body) for frame in self.received if isinstance(frame, frames.SendChat)]

    def stored(self, one: str, other: str) -> list[str]:
        """Return the texts of a conversation."""
        return [each.body for each in self.archive.between(one, other).messages]

    async def until(self, condition: Callable[[Self], object]) -> None:
        """Wait until a condition of the server is true."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    # --- connections

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a connection."""
        if self.closed:
            writer.transport.abort()
            return
        session = Session(reader, writer)
        try:
            async for frame in session.receive():
                self.received.append(frame)
                self._handle(session, frame)
                await self._notify()
        except RemoteProtocolError:
            session.send()
        finally:
            if session in self._open:
                self._open.remove(session)
            if self.sessions.get(session.user) is session:
                del self.sessions[session.user]
                self.go(session.user)
            writer.close()
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _handle(self, session: Session, frame: frames.ClientFrame) -> None:  # noqa: C901, PLR0912 - a case for each frame
        match frame:
            case frames.Auth():
                self._log_in(session, frame)
            case frames.Resume():
                self._resume(session, frame)
            case frames.SendChat():
                self._send(session, frame)
            case frames.Skip():
                session.refused.clear()
            case frames.Received():
                self._note_received(session, frame)
            case frames.ClientRead():
                self._note_read(session, frame)
            case frames.HistoryRequest():
                session.send(self.archive.page(session.user, frame))
            case frames.ConversationsRequest() if not self.ignores_lists:
                pairs = self.archive.of(session.user)
                session.send(frames.Conversations([pair.info(session.user) for pair in pairs]))
            case frames.SearchRequest():
                session.send(self.archive.search(session.user, frame.query))
            case frames.WhoisRequest(user) if not self.ignores_whois:
                session.send(self._whois(user))
            case frames.ClientPing() if not self.ignores_ping:
                session.send(frames.ServerPong())
            case frames.ClientBye() if not self.ignores_bye:
                session.send(frames.ServerBye(reason="bye", message="Good-bye."))
                session.writer.close()
            case _:
                pass

    def _log_in(self, session: Session, frame: frames.Auth) -> None:
        if self.refuses:
            session.send(refusal := self.refuses.pop(0))
            if isinstance(refusal, frames.Error):
                session.writer.close()
            return
        if self.accounts.get(frame.user) != frame.password:
            code = ErrorCode.BAD_CREDENTIALS
            session.send(frames.AuthNack(code=code, message=ERROR_CODES[code].sentence))
            return
        for old in [each for each in self._open if frame.device and each.device == frame.device]:
            old.send(frames.ServerBye("replaced", ERROR_CODES[ErrorCode.REPLACED].sentence))
            old.writer.close()
        session.user, session.device = frame.user, frame.device
        session.send(
            frames.AuthAck(
                user=frame.user,
                account=f"a-{frame.user}",
                session="s1",
                protocol=1,
                features=["read_receipts"],
                limits=frames.Limits(line=65536, body=16384),
                retention=self.retention,
                epoch=self.epoch,
            ),
            frames.OnlineUsers(self._version, [p for p in self._present() if p.user != frame.user]),
        )
        self.logins += 1
        self._open.append(session)
        self.sessions[frame.user] = session
        self.come(frame.user)

    def _resume(self, session: Session, frame: frames.Resume) -> None:
        session.positions |= {each.conversation: each.seq for each in frame.positions}
        if not frame.more and self.fails_resume:
            sentence = ERROR_CODES[ErrorCode.INTERNAL].sentence
            session.send(frames.ServerBye(ErrorCode.INTERNAL, sentence, reconnect=True))
            session.writer.close()
        elif not frame.more:
            session.live = True
            session.send(*self.archive.missing(session.user, session.positions), frames.Resumed())

    def _present(self) -> list[frames.UserPresence]:
        online = {name: frames.UserPresence(name, "online") for name in self.sessions}
        return list((online | self._others).values())

    def _whois(self, user: str) -> frames.Whois:
        if user not in self._users:
            return frames.Whois(user, known=False)
        present = {presence.user: presence for presence in self._present()}
        presence = present.get(user) or frames.UserPresence(user, "offline")
        return frames.Whois(user, known=True, status=presence.status, text=presence.text)

    def _change(self, presences: list[frames.UserPresence]) -> None:
        self._version += 1
        self._users |= {presence.user for presence in presences}
        for presence in presences:
            if presence.user in self.sessions:
                continue
            if presence.status == "offline":
                self._others.pop(presence.user, None)
            else:
                self._others[presence.user] = presence
        for session in self._open:
            session.send(frames.PresenceChanges(self._version, presences))

    def _send(self, session: Session, frame: frames.SendChat) -> None:
        if self.holds_acks:
            return
        if frame.to not in self._users:
            self._refuse(session, frame, ErrorCode.UNKNOWN_RECIPIENT)
        elif session.refused.get(frame.to, frame.id) != frame.id:
            self._refuse(session, frame, ErrorCode.OUT_OF_ORDER)
        elif self.refuses_storage:
            session.refused[frame.to] = frame.id
            self._refuse(session, frame, ErrorCode(self.refuses_storage))
        elif self.throttles_s:
            session.send(frames.Throttled("messages", self.announces_s or self.throttles_s))
            asyncio.get_running_loop().call_later(self.throttles_s, self._store, session.user, frame, session)
        else:
            session.refused.pop(frame.to, None)
            self._store(session.user, frame, session)

    def _refuse(self, session: Session, frame: frames.SendChat, code: ErrorCode) -> None:
        session.send(frames.ChatNack(frame.id, code, ERROR_CODES[code].sentence))

    def _store(self, sender: str, frame: frames.SendChat, sent_by: Session | None) -> None:
        ack, message = self.archive.store(sender, frame)
        if message is not None:
            for session in self._open:
                if session is not sent_by and session.live and session.user in (sender, frame.to):
                    session.send(message)
        if sent_by is not None and not self.loses_acks:
            sent_by.send(ack)

    def _note_received(self, session: Session, frame: frames.Received) -> None:
        pair = self.archive.find(session.user, frame.conversation)
        if pair is not None and frame.seq > pair.delivered[session.user]:
            pair.delivered[session.user] = frame.seq
            self._send_to_sessions(pair.other(session.user), frames.Delivered(pair.id, frame.seq))

    def _note_read(self, session: Session, frame: frames.ClientRead) -> None:
        pair = self.archive.find(session.user, frame.conversation)
        if pair is not None and frame.seq > pair.read[session.user]:
            pair.read[session.user] = frame.seq
            news = frames.ServerRead(pair.id, session.user, frame.seq)
            self._send_to_sessions(session.user, news, but=session)

    def _send_to_sessions(self, user: str, frame: frames.ServerFrame, but: Session | None = None) -> None:
        for session in self._open:
            if session.user == user and session is not but:
                session.send(frame)


@contextlib.asynccontextmanager
async def scripted_server(certificate: trustme.LeafCert) -> AsyncIterator[ScriptedServer]:
    """Run a server on a free port of the loopback."""
    script = ScriptedServer()
    listener = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=make_server_context(certificate))
    script.port = listener.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        listener.close()
        script.drop_all()
        await listener.wait_closed()
