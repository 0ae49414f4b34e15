"""The router: all sessions, by account, and the way of a message between them.

Everything here runs on the event loop. The way of a message:

    link -> session -> MessageHandlers -> SubmissionQueue -> StoreWriter (its thread, COMMIT)
         -> Bus -> Delivery -> FanOut -> sessions of the recipient or of a room's members
                            -> Acknowledger -> the sender's session
         -> FlushQueue -> links
"""

from collections.abc import Sequence
from typing import Final

from qscp.errors import ErrorCode
from qscp.features import BLOCK
from qscpd.accounts.directory import Directory
from qscpd.bus.base import Bus
from qscpd.chat.acknowledger import Acknowledger
from qscpd.chat.delivery import Delivery
from qscpd.chat.fan_out import FanOut
from qscpd.chat.hiding import Hiding
from qscpd.chat.quotas import Quotas
from qscpd.chat.room_fan_out import RoomFanOut
from qscpd.chat.rooms import Rooms
from qscpd.chat.snapshots import Snapshots
from qscpd.chat.submission import SubmissionQueue
from qscpd.chat.visibility import Visibility
from qscpd.config import Config
from qscpd.domain.events import AccountChanged, BlockChanged, RoomChanged
from qscpd.domain.model import AccountState
from qscpd.net.link import Link
from qscpd.net.pause import Pause
from qscpd.sessions.identity import Identity
from qscpd.sessions.log import SessionLog
from qscpd.sessions.output import FlushQueue
from qscpd.sessions.owner import HandlerTable
from qscpd.sessions.rates import Rates
from qscpd.sessions.session import Session
from qscpd.sessions.turns import TurnQueue
from qscpd.store.items import PendingSkip
from qscpd.store.writer import StoreWriter

_CLOSING: Final = {AccountState.LOCKED: ErrorCode.LOCKED, AccountState.DELETED: ErrorCode.DELETED}
"""State of an account that has no sessions -> the reason for those it had."""

_NO_GRACE: Final = frozenset({ErrorCode.BYE, ErrorCode.LOCKED, ErrorCode.DELETED})
"""Reasons of `session.close` after which a user is offline at once, without a grace period."""


class Router:
    """The live sessions; the `SessionOwner` of each.

    Args:
        config: The daemon's configuration.
        directory: The accounts.
        log: The session log.
        bus: Where commits come from. One that changes an account and its rooms is applied to the accounts
            first, then to sessions, then to rooms; messages come last, and find all of it up to date.
        writer: Where messages are stored.

    Attributes:
        config: The daemon's configuration.
        directory: The accounts.
        output: Sessions with queued output.
        turns: Sessions whose input waits for their turn.
        rates: How fast sessions and accounts may send.
        peer_log: Where sessions report what their peers cause.
        submissions: What sessions send to the store.
        visibility: Who is online, as each account sees it.
        presence: Who is online.
        hiding: Who appears offline, but is not.
        blocks: Who blocks whom.
        rooms: The rooms.
        quotas: What accounts have used of their quotas.
        delivery: Handles what the store has committed or refused.
    """

    def __init__(
        self,
        config: Config,
        directory: Directory,
        log: SessionLog,
        bus: Bus[Session],
        writer: StoreWriter[Session],
    ) -> None:
        self.config = config
        self.directory = directory
        self.output = FlushQueue()
        self.turns = TurnQueue()
        self.rates = Rates(lambda: self.config.limits)
        self.submissions = SubmissionQueue(writer)
        self.peer_log = log.journal
        self._log = log
        self._sessions: dict[int, list[Session]] = {}
        self._open: set[Session] = set()
        self.quotas = Quotas(lambda: self.config.limits, lambda account: account in self._sessions)
        self.visibility = Visibility(directory, self._sessions)
        self.presence = self.visibility.presence
        self.hiding = Hiding(self.submissions.submit_mark, self.update_presence)
        self.blocks = self.visibility.blocks
        self.rooms = Rooms(directory.names, self.submissions, self.blocks, self.sessions_of)
        self._room_fan_out = RoomFanOut(self.submissions)
        fan_out = FanOut(self._sessions, directory.names, self.rooms, self._room_fan_out, self.blocks)
        self.delivery = Delivery(fan_out, Acknowledger(directory.names))
        directory.on_renamed = self.blocks.renamed
        bus.subscribe(AccountChanged, directory.apply)
        bus.subscribe(AccountChanged, self.apply)
        bus.subscribe(RoomChanged, self._room_fan_out.on_room_changed)
        bus.subscribe(RoomChanged, self.rooms.apply)
        bus.subscribe(BlockChanged, self.blocks.apply)
        bus.subscribe_to_commits(self.delivery.on_commit)

    def __len__(self) -> int:
        """Return how many sessions are open, logged in or not."""
        return len(self._open)

    @property
    def logged_in_count(self) -> int:
        """Number of logged-in sessions."""
        return sum(map(len, self._sessions.values()))

    def sessions_of(self, account: int) -> Sequence[Session]:
        """Return the logged-in sessions of an account."""
        return self._sessions.get(account, ())

    def session_of(self, account: int, device: str) -> Session | None:
        """Return the session of an account's device; None if it has none, or the device no id."""
        return next(
            (
                each
                for each in self._sessions.get(account, ())
                if device and each.identity is not None and each.identity.device == device
            ),
            None,
        )

    def open_session(self, handlers: HandlerTable[Session], link: Link) -> Session:
        """Return a new session for a link.

        Args:
            handlers: What to do with its frames.
            link: Its link; the handshake is done.
        """
        session = Session(self, handlers, link)
        self._open.add(session)
        self._log.opened(session)
        return session

    def register(self, session: Session, identity: Identity) -> None:
        """Log a session in: from now on it gets what is sent to its account."""
        self.hiding.returned(identity)
        session.identity = identity
        session.inbound.log_in(identity.account)
        self._sessions.setdefault(identity.account, []).append(session)
        self.rooms.add_session(session, identity.account)
        if session.supports(BLOCK):
            session.outbound.send_all(tuple(self.blocks.pages(identity.account)))
        self.update_presence(identity)

    def hides(self, identity: Identity) -> bool:
        """Return whether the other sessions of a device that logs in hide its account."""
        self.hiding.returned(identity)
        return self.hiding.hides(identity.account, self.sessions_of(identity.account))

    def update_presence(self, identity: Identity) -> None:
        """Derive the presence of an account from its sessions again."""
        account, sessions = identity.account, self.sessions_of(identity.account)
        if self.hiding.hides(account, sessions):
            self.presence.update(identity.name, ())
            return
        self.presence.update(identity.name, [(each.status, each.text) for each in sessions])
        if sessions:
            self.hiding.release(account, sessions[0])

    def apply(self, event: AccountChanged) -> None:
        """End the sessions of an account that was locked or deleted."""
        if (code := _CLOSING.get(event.account.state)) is not None:
            self.close_account(event.account.id, code)
            self.hiding.end_grace(event.account.id)

    def close_account(self, account: int, code: ErrorCode) -> None:
        """End all sessions of an account with a `bye`."""
        for session in list(self._sessions.get(account, ())):
            session.close(code)

    async def passed(self, session: Session) -> None:
        """Wait until what a session has sent so far is with the store."""
        await self.submissions.passed(session=session)

    # --- called by sessions

    def unregister(self, session: Session, reason: str) -> None:
        """Stop delivering to a session that is closed; its link may linger."""
        identity = session.identity
        if identity is None or session not in self._sessions.get(identity.account, ()):
            return
        sessions = self._sessions[identity.account]
        sessions.remove(session)
        self.rooms.remove_session(session, identity.account)
        if session.status == "offline" and reason not in _NO_GRACE:
            self.hiding.lost(identity)
        if sessions:
            self.update_presence(identity)
            return
        del self._sessions[identity.account]
        self.hiding.drop(identity.account)
        if reason in _NO_GRACE:
            self.presence.update(identity.name, ())
        else:
            self.presence.fade(identity.name)

    def link_lost(self, session: Session, reason: str) -> None:
        """Forget a session whose link is gone."""
        self._open.discard(session)
        self.output.discard(session.outbound)
        self._log.closed(session, reason)
        self.unregister(session, reason)

    def flush_marks(self) -> None:
        """Hand positions to the store now: a session waits for its own."""
        self.submissions.flush_marks()

    def skip_refused(self, session: Session) -> None:
        """Let no message wait any longer for those of this session that the store refused."""
        self.submissions.submit(PendingSkip(session, None))

    def snapshots(self, identity: Identity) -> Snapshots:
        """Return what an account sees of the others and of its rooms."""
        return Snapshots(self.visibility, self.rooms, identity)

    # --- the end

    def shut_down(self) -> None:
        """Accept nothing more, and say `bye` to each session when it has its answers."""
        self.submissions.barrier()
        self._room_fan_out.finish_all()
        for session in list(self._open):
            if not session.closed:  # A closed one must go on reading, to see that its peer has closed too.
                session.inbound.pause(Pause.SHUTDOWN)
                session.close(ErrorCode.SHUTDOWN, graceful=True)

    def store_failed(self) -> None:
        """Say `bye` to each session, without answers: it is unknown which messages are on disk."""
        self.submissions.barrier()  # Requests that wait for a gate have to end, too.
        for session in list(self._open):
            session.close(ErrorCode.INTERNAL, reason="store_failed")
