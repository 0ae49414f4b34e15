"""Input of one session: frames that have come in, handled in order and in turns.

A session is read and its frames are handled until there is a reason to pause: a login or a request is
being answered, too much waits for the store, its turn is over, or it sends faster than it may. Nothing is
dropped or refused then. It waits in the connection, in the link, and after that in the peer's kernel.
"""

from typing import Final, Generic, Protocol, TypeVar

from qscp import frames
from qscp.connection import ServerConnection
from qscp.errors import RemoteProtocolError
from qscpd.net.link import Link
from qscpd.net.pause import Pause
from qscpd.sessions.identity import Identity
from qscpd.sessions.owner import HandlerTable
from qscpd.sessions.rates import AccountRates, RateLimiter, Rates
from qscpd.sessions.turns import TURN_FRAMES, TurnQueue

_PENDING_ITEMS: Final = 1000
"""Messages, positions and skips on their way to the store at which a session is read no further, until
half of them are processed."""

_PENDING_CHANGES: Final = 32
"""The same once a change of a stored message is among them, for all sessions of the account. The store
takes a millisecond for one, and requests of others wait for what is on its way."""

_PENDING_BYTES: Final = 1024 * 1024
"""Bytes at which a session is read no further, until nothing is on its way."""

_NOTICE_EVERY_S: Final = 5.0
"""Between two `throttled` frames of one pause, or two pings while we wait ourselves; as the protocol says."""

_OUR_WORK: Final = frozenset({Pause.REQUEST, Pause.ANSWERS, Pause.TURN})
"""Pauses that the peer has not caused by its speed: a slow disk, or others' turns."""

_SAME_PAUSE_S: Final = 1.0
"""A pause that begins sooner after the last one is the same one to the peer."""


class InboundSession(Protocol):
    """Interface of the session that its input needs."""

    connection: ServerConnection
    link: Link
    identity: Identity | None

    def send(self, frame: frames.ServerFrame) -> None:
        """Queue a frame."""

    def violated(self, error: RemoteProtocolError) -> None:
        """End: the peer broke the protocol."""

    def failed(self, error: Exception) -> None:
        """End: a handler has a bug."""

    def close(self, *, graceful: bool = False) -> None:
        """End the session."""


S = TypeVar("S", bound=InboundSession)


class Inbound(Generic[S]):
    """Frames of a peer on their way to the handlers.

    Args:
        session: The session.
        handlers: What to do with its frames.
        turns: Where it waits for its next turn.
        rates: How fast it may send.

    Attributes:
        pending: Messages, positions and skips that the store has not processed yet.
    """

    __slots__ = (
        "_account",
        "_connection",
        "_handlers",
        "_limiter",
        "_link",
        "_most",
        "_noticed",
        "_own",
        "_pending_bytes",
        "_rates",
        "_resumed",
        "_session",
        "_turns",
        "pending",
    )

    def __init__(self, session: S, handlers: HandlerTable[S], turns: TurnQueue, rates: Rates) -> None:
        self._session: S | None = session
        self._connection = session.connection
        self._link = session.link
        self._handlers = handlers
        self._turns = turns
        self._rates = rates
        self._own = rates.of_session()
        self._limiter: RateLimiter = self._own
        self._account: AccountRates | None = None
        self._noticed = self._resumed = float("-inf")
        self.pending = 0
        self._pending_bytes = 0
        self._most = _PENDING_ITEMS

    # --- its life

    def log_in(self, account: int) -> None:
        """Draw from the rates of the account from now on."""
        self._account = self._rates.enter(account)

    def close(self) -> None:
        """Handle nothing more: the session has ended, or its link is gone."""
        self._session = None  # a circle would wait for the garbage collector
        self._own.forget(self)
        account, self._account = self._account, None
        if account is not None:
            account.forget(self)
            self._rates.leave(account)

    def tick(self) -> None:
        """Show a peer that is not read that the daemon is alive; called once a second.

        Its own pings wait unread, so its client could take a slow disk for a dead server.
        """
        session, link = self._session, self._link
        if session is None:
            return
        now = self._limiter.now()
        ours = bool(link.paused & _OUR_WORK) and Pause.OUTPUT not in link.paused
        if Pause.RATE in link.paused:
            self._notify(session, now)
        elif ours and now - max(link.last_in, self._noticed) >= _NOTICE_EVERY_S:
            self._noticed = now
            session.send(frames.ServerPing())

    # --- pausing

    def pause(self, reason: Pause) -> None:
        """Handle no more frames until `resume`."""
        self._link.pause_reading(reason)

    def resume(self, reason: Pause) -> None:
        """Continue with what came in meanwhile, unless there is another reason to wait."""
        link = self._link
        link.resume_reading(reason)
        if link.undecrypted and not self._connection.lines:
            if self._session is not None and not link.paused:
                link.decrypt_more()
        else:
            self._handle()

    def take_turn(self) -> None:
        """Handle a turn's share of what waits."""
        self.resume(Pause.TURN)

    def after_output(self) -> None:
        """Continue after a pause for the peer's output."""
        self.resume(Pause.OUTPUT)

    def continue_reading(self) -> None:
        """Continue after a pause for the rate."""
        self._resumed = self._limiter.now()
        self.resume(Pause.RATE)

    def relieve(self) -> None:
        """Continue if few enough items are on their way by now."""
        few = self.pending <= self._most // 2 and self._pending_bytes < _PENDING_BYTES
        if few or not self.pending:
            self._most = _PENDING_ITEMS
            self.resume(Pause.ANSWERS)

    # --- handling

    def receive(self, plaintext: bytes) -> None:
        """Add plaintext, and handle its frames unless something has to finish first."""
        size = len(plaintext)
        account = self._account
        if account is not None:
            account.bytes.left = left = account.bytes.left - size
            if left <= 0:
                account.dry = True
        # The size of each item is not kept until it is processed. But all that came in since nothing
        # was on its way is at least as much as what is on its way.
        if self.pending:
            self._pending_bytes += size
        else:
            self._pending_bytes = size
            self._most = _PENDING_ITEMS
        if self._pending_bytes >= _PENDING_BYTES and self.pending:
            self.pause(Pause.ANSWERS)
        self._handle(plaintext)

    def receive_eof(self) -> None:
        """Handle what came before the end, then close."""
        self._connection.receive_eof()
        self._handle()

    def count_request(self) -> None:
        """Count a request towards the rate of the account; if it was the last one for now, pause."""
        session, account = self._session, self._account
        if session is not None and account is not None:
            account.requests.left -= 1
            if account.requests.left <= 0 and not account.refill():
                self._wait(session, account)

    def count_change(self) -> None:
        """Note that a change of a stored message goes to the store: fewer items may be on their way now."""
        sessions = 1 if self._account is None else self._account.sessions
        self._most = max(_PENDING_CHANGES // sessions, 1)

    def _handle(self, plaintext: bytes = b"") -> None:
        """Handle frames until the turn is over, or there is a reason to pause.

        Args:
            plaintext: What has come in since the last call.
        """
        session, connection = self._session, self._connection
        if session is None or self._link.paused:
            connection.receive_data(plaintext)
            return
        try:
            if plaintext or connection.lines:
                self._handle_frames(session, plaintext)
        except RemoteProtocolError as error:
            session.violated(error)
        except Exception as error:  # noqa: BLE001 - a bug of ours ends one session, not the daemon
            session.failed(error)
        else:
            if connection.lines or connection.eof or self._link.undecrypted:
                self._end_turn(session)

    def _handle_frames(self, session: S, plaintext: bytes) -> None:
        most = TURN_FRAMES
        own, account = self._own, self._account
        if own.frames.left < most or account is None or account.messages.left < most or account.dry:
            most = self._allowance(session)
        login, after_login = self._handlers
        connection, paused = self._connection, self._link.paused
        connection.receive_data(plaintext)
        left, messages = most, 0
        while left and connection.lines and (frame := connection.next_event()) is not None:
            left -= 1
            identity = session.identity
            if identity is not None:
                if after_login[type(frame)](session, identity, frame):
                    messages += 1
                    self.pending += 1
            elif isinstance(frame, frames.Auth):
                login(session, frame)
            if self.pending >= self._most:
                self.pause(Pause.ANSWERS)
            if paused:
                break
        own.frames.left -= most - left
        if account is not None:
            account.messages.left -= messages
        if session.identity is None and connection.paused:
            self.pause(Pause.LOGIN)

    def _end_turn(self, session: S) -> None:
        """Wait for the next turn if anything is left; at the end of the input, close."""
        link = self._link
        if link.paused or self._session is None:
            return
        if self._connection.lines or link.undecrypted:
            self.pause(Pause.TURN)
            self._turns.add(self)
        elif self._connection.eof:
            session.close(graceful=True)

    # --- the rate

    def _allowance(self, session: S) -> int:
        """Return how many frames may be handled now; none if reading is paused, because of the rate."""
        own, account = self._own, self._account
        if own.frames.left <= 0 and not own.refill():
            return self._wait(session, own)
        most = min(own.frames.left, TURN_FRAMES)
        if account is None:
            return most
        if not account.refill():
            return self._wait(session, account)
        return min(most, max(account.messages.left // account.sharing, 1))

    def _wait(self, session: S, limiter: RateLimiter) -> int:
        limiter.wait(self)
        self._limiter = limiter
        self.pause(Pause.RATE)
        now = limiter.now()
        if now - self._resumed > _SAME_PAUSE_S:
            self._noticed = float("-inf")
        self._notify(session, now)
        return 0

    def _notify(self, session: S, now: float) -> None:
        """Send `throttled`, unless that was done a short time ago."""
        if session.identity is not None and now - self._noticed >= _NOTICE_EVERY_S:
            self._noticed = now
            wait_s = max(self._limiter.due - now, 0.0)
            session.send(frames.Throttled(self._limiter.reason, round(wait_s, 3)))
