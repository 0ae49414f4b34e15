"""The handler of `auth`: find the account, verify the password, answer the peer.

Unknown name, wrong password and locked account cost the same time and get the same answer. Only
the right password gets the answer that the account is locked.
"""

import asyncio
import functools
import logging
from typing import Final, NamedTuple

import structlog

from qscp import PROTOCOL_VERSION, frames
from qscp.errors import ERROR_CODES, ErrorCode, InvalidNameError, InvalidTextError
from qscp.features import FEATURES
from qscp.ids import is_message_id
from qscp.names import normalize_name
from qscp.states import State
from qscp.text import check_status_text
from qscpd.accounts.password_pool import PasswordPool, Place, PoolFullError
from qscpd.accounts.passwords import HashingError
from qscpd.chat.router import Router
from qscpd.domain.model import Account, AccountState, Credentials
from qscpd.errors import QscpdError
from qscpd.handlers.announced import announced_limits
from qscpd.handlers.login_guard import Attempt, Judgement, LoginGuard
from qscpd.net.pause import Pause
from qscpd.outage import CALM_S, Outage
from qscpd.sessions.identity import Identity
from qscpd.sessions.log import SessionLog
from qscpd.sessions.session import Session
from qscpd.store.reads import StoreReads
from qscpd.store.writer import StoreWriter

_BUSY_S: Final = 2.0
"""Fewest seconds after which a peer should retry when its login could not be decided."""

_FREE_DEFERRALS: Final = 2
"""Logins of a connection that are refused as `busy` at once. A peer that goes on without waiting gets
its next answers later and later, so that asking again and again costs us nothing."""

_FIRST_HOLD_S: Final = 0.5
_LONGEST_HOLD_S: Final = 4.0

_UNDECIDED: Final = (ErrorCode.BUSY, ErrorCode.INTERNAL)
"""Refusals that say nothing about name or password: the peer has done nothing wrong."""

_SESSION_S: Final = 30.0
"""Seconds until a peer should retry when its account has too many sessions: a dead one is closed after
three times as long."""

_log = structlog.stdlib.get_logger("qscpd.handlers.login")


class _Login(NamedTuple):
    """A login that is being decided."""

    session: Session
    auth: frames.Auth
    attempt: Attempt
    judgement: Judgement

    def undecided(self) -> bool:
        """Return whether the peer still waits for an answer."""
        return not self.session.closed and self.session.connection.state is State.AUTHENTICATING


class Login:
    """Handles logins, each in a task of its own.

    Args:
        router: The live sessions.
        writer: Commits what replaced sessions sent, and upgraded hashes.
        reads: Reads the credentials.
        passwords: Verifies passwords.
        guard: Slows down addresses and accounts under attack.
        log: The session log.
        tasks: Where the tasks run; no error of a login gets there.
        retention: How long the server keeps messages, for `auth_ack`.
        epoch: The store's epoch, for `auth_ack`.
    """

    def __init__(
        self,
        router: Router,
        writer: StoreWriter[Session],
        reads: StoreReads,
        passwords: PasswordPool,
        guard: LoginGuard,
        log: SessionLog,
        tasks: asyncio.TaskGroup,
        *,
        retention: frames.Retention,
        epoch: str,
    ) -> None:
        self._retention = retention
        self._epoch = epoch
        self._router = router
        self._writer = writer
        self._reads = reads
        self._passwords = passwords
        self._guard = guard
        self._log = log
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._rehashing = Outage(_log, "login.rehash_failed", "logins")
        self._hashing = Outage(_log, "login.hash_failed", "logins", calm_s=CALM_S)

    def start(self, session: Session, auth: frames.Auth) -> None:
        """Start a login; the session handles nothing else until it is answered."""
        if not _is_valid(auth):
            session.close(ErrorCode.BAD_FIELD, error=True)
            return
        visitor = session.link.visitor
        visitor.tried = True
        account = self._router.directory.by_name(auth.user)
        attempt = self._guard.attempt(visitor, auth.user, account, auth.device)
        judgement = self._guard.judge(attempt)
        login = _Login(session, auth, attempt, judgement)
        lowest, highest = auth.protocol
        if not lowest <= PROTOCOL_VERSION <= highest:
            self._loop.call_later(0, self._answer, login, ErrorCode.PROTOCOL_VERSION)
        elif judgement.refused_s:
            self._defer(login, judgement.refused_s)
        else:
            self._loop.call_later(judgement.delay_s, self._begin, login)

    def _defer(self, login: _Login, retry_after: float) -> None:
        """Answer `busy`: at once at first, later and later to a peer that does not wait in between."""
        visitor = login.attempt.visitor
        visitor.deferred += 1
        excess = visitor.deferred - _FREE_DEFERRALS
        hold_s = min(_FIRST_HOLD_S * 2.0 ** min(excess - 1, 8), _LONGEST_HOLD_S) if excess > 0 else 0.0
        self._loop.call_later(hold_s, self._answer, login, ErrorCode.BUSY, max(retry_after, _BUSY_S))

    def _begin(self, login: _Login) -> None:
        if login.undecided():
            self._tasks.create_task(self._run(login))

    async def _run(self, login: _Login) -> None:

        def wanted() -> bool:
            # Others of the address can have failed while this one waited.
            return login.undecided() and not self._guard.judge(login.attempt).refused_s

        place = self._guard.place(login.attempt, login.judgement, wanted, login.session.link.has_hung_up)
        try:
            verdict = await self._decide(login, place)
            if isinstance(verdict, Account):
                await self._fence(verdict, login.auth.device)
        except (PoolFullError, TimeoutError):
            penalty = self._guard.judge(login.attempt).refused_s
            self._defer(login, penalty or self._passwords.wait_s(place))
            return
        except HashingError as error:
            self._hashing.failed(str(error))
            self._defer(login, _BUSY_S)
            return
        except Exception as error:  # noqa: BLE001 - one failed login must not end the others
            login.session.report(_log, "login.bug", level=logging.ERROR, exc_info=error)
            verdict = ErrorCode.INTERNAL
        self._answer(login, verdict)

    def _answer(self, login: _Login, verdict: Account | ErrorCode, retry_after: float | None = None) -> None:
        if not login.undecided():
            return
        session = login.session
        if isinstance(verdict, ErrorCode):
            self._refuse(session, login.auth, verdict, retry_after)
        else:
            self._accept(login, verdict)
        session.inbound.resume(Pause.LOGIN)

    async def _decide(self, login: _Login, place: Place) -> Account | ErrorCode:
        auth = login.auth
        self._passwords.check_room(place)  # before the store is asked in vain
        found = await self._credentials(auth.user)
        async with asyncio.timeout(self._router.config.login.timeout_s):
            fits = await self._passwords.verify(auth.password, found.password_hash if found else None, place)
        self._hashing.works()
        if not fits or found is None:
            self._guard.failed(login.attempt, login.judgement)
            return ErrorCode.BAD_CREDENTIALS
        # The operator may have changed the account while we hashed.
        account = self._router.directory.by_id(found.account.id)
        if account is None:
            return ErrorCode.BAD_CREDENTIALS
        if account.state is AccountState.LOCKED:
            return ErrorCode.ACCOUNT_LOCKED
        await self._upgrade(found, auth.password, place)
        return account

    async def _fence(self, account: Account, device: str) -> None:
        """End the other sessions of the device: what they sent is committed, the rest discarded."""
        while (old := self._router.session_of(account.id, device)) is not None:
            old.inbound.pause(Pause.REPLACED)
            await self._router.passed(old)
            await self._writer.drained()
            old.close(ErrorCode.REPLACED)

    async def _credentials(self, user: str) -> Credentials | None:
        try:
            name = normalize_name(user)
        except InvalidNameError:
            return None
        return await self._reads.credentials(name)

    async def _upgrade(self, found: Credentials, password: str, place: Place) -> None:
        """Hash the password again if the configured cost has changed; a failure does not fail the login."""
        if not self._passwords.needs_rehash(found.password_hash):
            return
        try:
            renewed = await self._passwords.hash(password, place)
            await self._writer.perform(
                lambda store: store.replace_hash(found.account.id, found.password_hash, renewed)
            )
        except QscpdError as error:
            self._rehashing.failed(str(error), level=logging.WARNING, account=found.account.id)
        else:
            self._rehashing.works()

    def _refuse(
        self, session: Session, auth: frames.Auth, code: ErrorCode, retry_after: float | None = None
    ) -> None:
        account = self._router.directory.by_name(auth.user)
        if code in _UNDECIDED:
            self._log.auth_deferred(session, code, account, retry_after)
            session.send(frames.AuthNack(code, ERROR_CODES[code].sentence, retry_after))
            return
        session.attempts += 1
        self._log.auth_failed(session, code, account)
        session.send(frames.AuthNack(code, ERROR_CODES[code].sentence))
        if session.attempts >= self._router.config.login.attempts:
            session.close(ErrorCode.TOO_MANY_ATTEMPTS, error=True)

    def _refuse_session(self, session: Session, account: Account, limit: int) -> None:
        """Refuse a login that would be one session too many; the password was right."""
        code = ErrorCode.TOO_MANY_SESSIONS
        session.attempts += 1
        self._log.auth_refused(session, code, account)
        message = f"{ERROR_CODES[code].sentence} The limit is {limit}."
        session.send(frames.AuthNack(code, message, _SESSION_S))
        if session.attempts >= self._router.config.login.attempts:
            session.close(ErrorCode.TOO_MANY_ATTEMPTS, error=True)

    def _accept(self, login: _Login, account: Account) -> None:
        session, auth = login.session, login.auth
        # The account may have been locked or deleted since the verdict.
        current = self._router.directory.by_id(account.id)
        if current is None or current.state is not AccountState.ACTIVE:
            self._refuse(session, auth, ErrorCode.BAD_CREDENTIALS)
            return
        self._guard.succeeded(login.attempt)
        config = self._router.config
        # In one step with `register`: logins at the same time can't exceed the limit together.
        if len(self._router.sessions_of(current.id)) >= config.limits.sessions_per_account:
            self._refuse_session(session, current, config.limits.sessions_per_account)
            return
        session.link.authenticated()
        features = _shared(FEATURES.intersection(auth.features))
        stored = self._router.quotas.of(current.id).stored
        identity = Identity(current.id, current.name, auth.device, features, stored)
        # Before anybody learns of the session: one that asks for that never appears as online.
        session.status, session.text = auth.status, auth.text if auth.status == "away" else ""
        session.send(
            frames.AuthAck(
                user=current.name,
                account=f"a{current.id}",
                session=session.id,
                protocol=PROTOCOL_VERSION,
                features=sorted(FEATURES),
                limits=announced_limits(config.limits),
                retention=self._retention,
                epoch=self._epoch,
                hidden=auth.status != "offline" and self._router.hides(identity),
            )
        )
        self._router.register(session, identity)
        self._log.auth_ok(session, auth.client)
        session.outbound.begin(self._router.snapshots(identity))


@functools.cache
def _shared(features: frozenset[str]) -> frozenset[str]:
    """Return one object for all sessions with the same features: each takes 200 bytes."""
    return features


def _is_valid(auth: frames.Auth) -> bool:
    """Return whether the fields of an `auth` keep the rules that its types do not have."""
    if auth.device and not is_message_id(auth.device):
        return False
    try:
        check_status_text(auth.text)
    except InvalidTextError:
        return False
    return True
