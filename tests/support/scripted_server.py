"""A small QSCP server for tests of the client: real TLS and real frames, scripted behaviour.

It knows accounts, presence and messages just well enough for a conversation; what a test
needs beyond that it does by hand, such as a message from somebody who has no connection.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Self

import trustme

from qscp import ALPN, frames
from qscp.connection import ServerConnection
from qscp.errors import ERROR_CODES, ErrorCode, RemoteProtocolError
from tests.support.patience import PATIENCE_S

__all__ = ["ScriptedServer", "make_server_context", "scripted_server"]

_TIME_MS = 1_750_000_000_000


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
    """A connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.user = ""
        self._reader = reader
        self.writer = writer
        self._connection = ServerConnection()

    def send(self, *sent: frames.ServerFrame) -> None:
        """Send frames."""
        for frame in sent:
            self._connection.send(frame)
        self.writer.write(self._connection.data_to_send())

    async def receive(self) -> AsyncIterator[frames.ClientFrame]:
        """Yield what the client sends, until it closes."""
        with contextlib.suppress(OSError):
            while received := await self._reader.read(65536):
                self._connection.receive_data(received)
                # `events` stops behind an auth; once that is answered there may be more
                while arrived := list(self._connection.events()):
                    for frame in arrived:
                        yield frame


class ScriptedServer:
    """The server; `scripted_server` runs one.

    Attributes:
        port: Where it listens.
        accounts: name -> password
        sessions: Who is logged in over a connection.
        received: Every frame that came, in order.
        holds_acks: Whether messages are neither stored nor answered.
        refuses: What to answer to `auth`, in place of looking at the password.
        ignores_bye: Whether `bye` is left unanswered.
        ignores_ping: Whether `ping` is left unanswered.
    """

    def __init__(self) -> None:
        self.port = 0
        self.accounts = {"alice": "wonderland", "bob": "builder", "carol": "christmas"}
        self.sessions: dict[str, Session] = {}
        self.received: list[frames.ClientFrame] = []
        self.holds_acks = False
        self.ignores_bye = False
        self.ignores_ping = False
        self.refuses: list[frames.AuthNack | frames.Error] = []
        self._others: dict[str, frames.UserPresence] = {}
        self._version = 1
        self._seq = 0
        self._changed = asyncio.Condition()

    # --- what a test does by hand

    def come(self, *names: str) -> None:
        """Let people be online who have no connection."""
        self._change([frames.UserPresence(name, "online") for name in names])

    def go(self, *names: str) -> None:
        """Let people be offline."""
        self._change([frames.UserPresence(name, "offline") for name in names])

    def set_presence(self, name: str, status: frames.Status, text: str = "") -> None:
        """Give somebody a presence."""
        self._change([frames.UserPresence(name, status, text)])

    def write(self, sender: str, to: str, body: str) -> None:
        """Let somebody write to a session."""
        self._seq += 1
        self.sessions[to].send(
            frames.Chat(
                conversation="c1",
                seq=self._seq,
                id=f"{self._seq:032x}",
                sender=sender,
                to=to,
                body=body,
                time=_TIME_MS,
            )
        )

    def end_all(self, code: ErrorCode) -> None:
        """Say bye to everybody, and close."""
        for session in self.sessions.values():
            session.send(frames.ServerBye(reason=code, message=ERROR_CODES[code].sentence))
            session.writer.close()

    def drop_all(self) -> None:
        """Lose every connection."""
        for session in self.sessions.values():
            session.writer.transport.abort()

    def bodies(self) -> list[tuple[str, str]]:
        """Return recipient and body of every message that came."""
        return [(frame.to, frame.body) for frame in self.received if isinstance(frame, frames.SendChat)]

    async def until(self, condition: Callable[[Self], object]) -> None:
        """Wait until something is true of the server."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    # --- what it does by itself

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a connection."""
        session = Session(reader, writer)
        try:
            async for frame in session.receive():
                self.received.append(frame)
                self._handle(session, frame)
                await self._tell()
        except RemoteProtocolError:
            session.send()
        finally:
            if self.sessions.get(session.user) is session:
                del self.sessions[session.user]
                self.go(session.user)
            writer.close()
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _handle(self, session: Session, frame: frames.ClientFrame) -> None:
        match frame:
            case frames.Auth():
                self._log_in(session, frame)
            case frames.SendChat():
                self._store(session, frame)
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
        session.user = frame.user
        session.send(
            frames.AuthAck(
                user=frame.user,
                account="a1",
                session="s1",
                protocol=1,
                features=[],
                limits=frames.Limits(line=65536, body=16384),
            ),
            frames.OnlineUsers(self._version, [p for p in self._people() if p.user != frame.user]),
        )
        self.sessions[frame.user] = session
        self.come(frame.user)

    def _people(self) -> list[frames.UserPresence]:
        online = {name: frames.UserPresence(name, "online") for name in self.sessions}
        return list((online | self._others).values())

    def _change(self, people: list[frames.UserPresence]) -> None:
        self._version += 1
        for person in people:
            if person.user in self.sessions:
                continue
            if person.status == "offline":
                self._others.pop(person.user, None)
            else:
                self._others[person.user] = person
        for session in self.sessions.values():
            session.send(frames.PresenceChanges(self._version, people))

    def _store(self, session: Session, frame: frames.SendChat) -> None:
        if self.holds_acks:
            return
        if frame.to not in self.sessions and frame.to not in self._others:
            code = ErrorCode.RECIPIENT_OFFLINE
            session.send(frames.ChatNack(frame.id, code, ERROR_CODES[code].sentence))
            return
        self._seq += 1
        session.send(frames.ChatAck(frame.id, "c1", self._seq, _TIME_MS))
        if frame.to in self.sessions:
            self.write(session.user, frame.to, frame.body)


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
