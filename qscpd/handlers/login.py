"""The handler of `auth`: find the account, verify the password, answer the peer.

Unknown name, wrong password and locked account cost the same time and get the same answer. Only
the right password gets the answer that the account is locked.
"""

import asyncio
import logging
from functools import partial
from typing import Final

import structlog

from qscp import PROTOCOL_VERSION, frames
from qscp.errors import ERROR_CODES, ErrorCode, InvalidNameError
from qscp.features import FEATURES
from qscp.ids import is_message_id
from qscp.names import normalize_name
from qscp.states import State
from qscpd.accounts.passwords import PasswordPool, PoolFullError
from qscpd.chat.router import Router
from qscpd.domain.model import Account, AccountState, Credentials
from qscpd.errors import QscpdError
from qscpd.handlers.announced import announced_limits
from qscpd.net.pause import Pause
from qscpd.outage import Outage
from qscpd.sessions.identity import Identity
from qscpd.sessions.log import SessionLog
from qscpd.sessions.session import Session
from qscpd.store.reads import StoreReads
from qscpd.store.writer import StoreWriter

_BUSY_S: Final = 2.0
"""Seconds until a peer should retry when too many logins are under way: about what a full queue takes."""

_SESSION_S: Final = 30.0
"""Seconds until a peer should retry when its account has too many sessions: a dead one is closed after
three times as long."""

_log = structlog.stdlib.get_logger("qscpd.handlers.login")


class Login:
    """Handles logins, each in a task of its own.

    Args:
        router: The live sessions.
        writer: Commits what replaced sessions sent, and upgraded hashes.
        reads: Reads the credentials.
        passwords: Verifies passwords.
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
        self._log = log
        self._tasks = tasks
        self._rehashing = Outage(_log, "login.rehash_failed", "logins")

    def start(self, session: Session, auth: frames.Auth) -> None:
        """Start a login; the session handles nothing else until it is answered."""
        if auth.device and not is_message_id(auth.device):
            session.close(ErrorCode.BAD_FIELD, error=True)
            return
        self._tasks.create_task(self._run(session, auth))

    async def _run(self, session: Session, auth: frames.Auth) -> None:
        try:
            verdict = await self._decide(auth)
            if isinstance(verdict, Account):
                await self._fence(verdict, auth.device)
        except Exception as error:  # noqa: BLE001 - one failed login must not end the others
            _log.error("login.bug", session=session.id, exc_info=error)
            verdict = ErrorCode.INTERNAL
        if session.closed or session.connection.state is not State.AUTHENTICATING:
            return
        if isinstance(verdict, ErrorCode):
            self._refuse(session, auth, verdict)
        else:
            self._accept(session, auth, verdict)
        session.inbound.resume(Pause.LOGIN)

    async def _decide(self, auth: frames.Auth) -> Account | ErrorCode:
        lowest, highest = auth.protocol
        if not lowest <= PROTOCOL_VERSION <= highest:
            return ErrorCode.PROTOCOL_VERSION
        try:
            self._passwords.check_room()  # before the store is asked in vain
            found = await self._credentials(auth.user)
            fits = await self._passwords.verify(auth.password, found.password_hash if found else None)
        except PoolFullError:
            return ErrorCode.BUSY
        if not fits or found is None:
            return ErrorCode.BAD_CREDENTIALS
        # The operator may have changed the account while we hashed.
        account = self._router.directory.by_id(found.account.id)
        if account is None:
            return ErrorCode.BAD_CREDENTIALS
        if account.state is AccountState.LOCKED:
            return ErrorCode.ACCOUNT_LOCKED
        await self._upgrade(found, auth.password)
        return account

    async def _fence(self, account: Account, device: str) -> None:
        """End the other sessions of the device: what they sent is committed, the rest discarded."""
        while (old := self._router.session_of(account.id, device)) is not None:
            old.inbound.pause(Pause.REPLACED)
            self._router.submissions.flush(old)
            await self._writer.drained()
            old.close(ErrorCode.REPLACED)

    async def _credentials(self, user: str) -> Credentials | None:
        try:
            name = normalize_name(user)
        except InvalidNameError:
            return None
        return await self._reads.credentials(name)

    async def _upgrade(self, found: Credentials, password: str) -> None:
        """Hash the password again if the configured cost has changed; a failure does not fail the login."""
        if not self._passwords.needs_rehash(found.password_hash):
            return
        try:
            renewed = await self._passwords.hash(password)
            await self._writer.perform(
                lambda store: store.replace_hash(found.account.id, found.password_hash, renewed)
            )
        except QscpdError as error:
            self._rehashing.failed(str(error), level=logging.WARNING, account=found.account.id)
        else:
            self._rehashing.works()

    def _refuse(self, session: Session, auth: frames.Auth, code: ErrorCode) -> None:
        session.attempts += 1
        self._log.auth_failed(session, code, self._router.directory.by_name(auth.user))
        if session.attempts >= self._router.config.login.attempts and code is not ErrorCode.BUSY:
            session.send(frames.AuthNack(code, ERROR_CODES[code].sentence))
            session.close(ErrorCode.TOO_MANY_ATTEMPTS, error=True)
            return
        retry_after = _BUSY_S if code is ErrorCode.BUSY else None
        session.send(frames.AuthNack(code, ERROR_CODES[code].sentence, retry_after))

    def _refuse_session(self, session: Session, account: Account, limit: int) -> None:
        """Refuse a login that would be one session too many; the password was right."""
        code = ErrorCode.TOO_MANY_SESSIONS
        session.attempts += 1
        self._log.auth_refused(session, code, account)
        message = f"{ERROR_CODES[code].sentence} The limit is {limit}."
        session.send(frames.AuthNack(code, message, _SESSION_S))
        if session.attempts >= self._router.config.login.attempts:
            session.close(ErrorCode.TOO_MANY_ATTEMPTS, error=True)

    def _accept(self, session: Session, auth: frames.Auth, account: Account) -> None:
        # The account may have been locked or deleted since the verdict.
        current = self._router.directory.by_id(account.id)
        if current is None or current.state is not AccountState.ACTIVE:
            self._refuse(session, auth, ErrorCode.BAD_CREDENTIALS)
            return
        config = self._router.config
        # In one step with `register`: logins at the same time can't exceed the limit together.
        if len(self._router.sessions_of(current.id)) >= config.limits.sessions_per_account:
            self._refuse_session(session, current, config.limits.sessions_per_account)
            return
        features = FEATURES.intersection(auth.features)
        stored = self._router.quotas.of(current.id).stored
        identity = Identity(current.id, current.name, auth.device, features, stored)
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
            )
        )
        self._router.register(session, identity)
        self._log.auth_ok(session, auth.client)
        session.outbound.stream_presence(partial(self._router.presence_pages, identity))
