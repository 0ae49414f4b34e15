"""Deciding a login: who it is, whether the password fits, and what the peer hears.

Unknown name, wrong password and locked account cost the same and get the same answer; only
the right password is told that its account is locked.
"""

import asyncio
from typing import Final

import structlog

from qscp import PROTOCOL_VERSION, frames
from qscp.errors import ERROR_CODES, ErrorCode, InvalidNameError
from qscp.features import FEATURES
from qscp.ids import is_message_id
from qscp.limits import BODY_LIMIT, LINE_LIMIT
from qscp.names import normalize_name
from qscp.states import State
from qscpd.accounts.passwords import PasswordPool, PoolFullError
from qscpd.chat.router import Router
from qscpd.domain.model import Account, AccountState, Credentials
from qscpd.errors import QscpdError
from qscpd.sessions.log import SessionLog
from qscpd.sessions.session import Session
from qscpd.store.writer import StoreWriter

__all__ = ["Login"]

_BUSY_S: Final = 2.0
"""Seconds to wait when too many logins are under way: about what a full queue takes."""

_log = structlog.stdlib.get_logger("qscpd.handlers.login")


class Login:
    """Decides logins, each in a task of its own.

    Args:
        tasks: Where the tasks run; a login never lets an error get there.
        retention: What the server keeps, for `auth_ack`.
        epoch: Of the store.
    """

    def __init__(
        self,
        router: Router,
        writer: StoreWriter[Session],
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
        self._passwords = passwords
        self._log = log
        self._tasks = tasks

    def start(self, session: Session, auth: frames.Auth) -> None:
        """Handle an `auth` frame: nothing else of the session is handled until it is answered."""
        if auth.device and not is_message_id(auth.device):
            session.fail(ErrorCode.BAD_FIELD)
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
        session.link.resume_reading()
        session.handle_frames()

    async def _decide(self, auth: frames.Auth) -> Account | ErrorCode:
        lowest, highest = auth.protocol
        if not lowest <= PROTOCOL_VERSION <= highest:
            return ErrorCode.PROTOCOL_VERSION
        try:
            self._passwords.check_room()  # before the store is asked for what can't be checked
            found = await self._credentials(auth.user)
            fits = await self._passwords.verify(auth.password, found.password_hash if found else None)
        except PoolFullError:
            return ErrorCode.BUSY
        if not fits or found is None:
            return ErrorCode.BAD_CREDENTIALS
        # What the store says may be older than what the operator did while we hashed.
        account = self._router.directory.by_id(found.account.id)
        if account is None:
            return ErrorCode.BAD_CREDENTIALS
        if account.state is AccountState.LOCKED:
            return ErrorCode.ACCOUNT_LOCKED
        await self._upgrade(found, auth.password)
        return account

    async def _fence(self, account: Account, device: str) -> None:
        """End the sessions that the device has: what they sent is committed, the rest discarded."""
        while (old := self._router.session_of(account.id, device)) is not None:
            old.freeze()
            self._router.hand_over()
            await self._writer.drained()
            old.say_bye(ErrorCode.REPLACED)

    async def _credentials(self, user: str) -> Credentials | None:
        try:
            name = normalize_name(user)
        except InvalidNameError:
            return None
        return await self._writer.call(lambda store: store.credentials(name))

    async def _upgrade(self, found: Credentials, password: str) -> None:
        """Hash the password anew when the configured cost has changed; a login never fails for it."""
        if not self._passwords.needs_rehash(found.password_hash):
            return
        try:
            renewed = await self._passwords.hash(password)
            await self._writer.call(
                lambda store: store.replace_hash(found.account.id, found.password_hash, renewed)
            )
        except QscpdError as error:
            _log.warning("login.rehash_failed", account=found.account.id, reason=str(error))

    def _refuse(self, session: Session, auth: frames.Auth, code: ErrorCode) -> None:
        session.attempts += 1
        self._log.auth_failed(session, code, self._router.directory.by_name(auth.user))
        if session.attempts >= self._router.config.login.attempts and code is not ErrorCode.BUSY:
            session.send(frames.AuthNack(code, ERROR_CODES[code].sentence))
            session.fail(ErrorCode.TOO_MANY_ATTEMPTS)
            return
        retry_after = _BUSY_S if code is ErrorCode.BUSY else None
        session.send(frames.AuthNack(code, ERROR_CODES[code].sentence, retry_after))

    def _accept(self, session: Session, auth: frames.Auth, account: Account) -> None:
        # Locked or deleted in the very moment between the verdict and here: both run on this loop.
        current = self._router.directory.by_id(account.id)
        if current is None or current.state is not AccountState.ACTIVE:
            self._refuse(session, auth, ErrorCode.BAD_CREDENTIALS)
            return
        session.account = current
        session.device = auth.device
        session.features = FEATURES.intersection(auth.features)
        session.send(
            frames.AuthAck(
                user=current.name,
                account=f"a{current.id}",
                session=session.id,
                protocol=PROTOCOL_VERSION,
                features=sorted(FEATURES),
                limits=frames.Limits(LINE_LIMIT, BODY_LIMIT),
                retention=self._retention,
                epoch=self._epoch,
            )
        )
        self._log.auth_ok(session, auth.client)
        session.stream(self._router.presence.pages(current.name))
        self._router.logged_in(session)
