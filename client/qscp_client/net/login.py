"""Login: connect, send `auth`, and try again where that helps."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from qscp import __version__, frames
from qscp.errors import ErrorCode, RemoteProtocolError
from qscp_client.durations import describe_wait
from qscp_client.errors import (
    AuthRefusedError,
    ClientError,
    EndedError,
    IncompatibleError,
    UnreachableError,
)
from qscp_client.net.connection import Link, Server
from qscp_client.state.device import Devices
from qscp_client.text import clean

_BUSY_TRIES: Final = 3
_LONGEST_WAIT_S: Final = 30.0
"""The longest wait that is done automatically when the server asks for one."""

_SPREAD: Final = 1.5
"""At most so many times longer than the server asks for."""

_STALE: Final = (ErrorCode.LOGIN_TIMEOUT, ErrorCode.TOO_MANY_ATTEMPTS)
"""Codes with which a server ends a connection that took too long to log in."""


class LoginPrompts(Protocol):
    """Source of name and password for a login."""

    @property
    def password_tries(self) -> int:
        """Number of times that a password can be asked for."""

    def private(self) -> AbstractContextManager[None]:
        """Return a context in which nothing that is typed is shown."""

    async def ask_user(self) -> str:
        """Return a valid user name.

        Raises:
            UsageError: There is none.
            InterruptedByUserError: The user wants to leave.
        """

    async def ask_password(self) -> str:
        """Return a password; raises as `ask_user`."""

    def show_refused(self, answer: frames.AuthNack) -> None:
        """Show that the password was wrong; it is asked for again."""

    def show_late(self) -> None:
        """Show that the server has not answered for a while, and that the client waits."""

    def show_busy(self, seconds: float) -> None:
        """Show that the server is busy, and that the same is tried again after a while."""


class Login:
    """Logs in, over a new connection if the server has closed the first one meanwhile.

    The first connection is made before the user is asked for anything, so that no password is typed for a
    server that can't be trusted.

    Args:
        server: The server to log in to.
        prompts: Where name and password come from.
        user: The account; None asks for it.
        open_devices: Opens the devices of an account on this computer.
        features: Optional parts of the protocol that the user wants.
        hidden: Whether the login hides the user, also if no device has remembered that.

    Attributes:
        devices: The devices of the account; None until its name is known.
        hidden: Whether the login hides the user.
    """

    def __init__(
        self,
        server: Server,
        prompts: LoginPrompts,
        user: str | None,
        open_devices: Callable[[str], Devices],
        features: Sequence[str] = (),
        *,
        hidden: bool = False,
    ) -> None:
        self.devices: Devices | None = None
        self.hidden = hidden
        self._server = server
        self._prompts = prompts
        self._user = user
        self._open_devices = open_devices
        self._features = list(features)
        self._link: Link | None = None
        # Kept in memory for `again`, with the password.
        self._auth: frames.Auth | None = None

    async def run(self) -> tuple[Link, frames.AuthAck]:
        """Log in.

        Returns:
            The connection, which the caller closes, and the server's answer.

        Raises:
            ClientError: It failed; the message says why.
            InterruptedByUserError: The user pressed Ctrl-C.
        """
        try:
            with self._prompts.private():
                self._link = await self._server.connect()
                welcome = await self._ask()
        except BaseException:
            await self._close()
            if self.devices is not None:
                self.devices.close()
            raise
        return self._link, welcome

    async def again(self, presence: frames.SetPresence) -> tuple[Link, frames.AuthAck]:
        """Log in over a new connection with the name and password that `run` has used.

        Args:
            presence: What others are to see from the first moment on.

        Returns:
            As `run`.

        Raises:
            ClientError: It failed; the message says why.
            RuntimeError: `run` has not succeeded yet.
        """
        if self._auth is None:
            raise RuntimeError("`run` has to succeed first")
        self._link = None
        self._auth.status, self._auth.text = presence.status, presence.text
        try:
            answer = await self._exchange(self._auth, lambda _: None)  # the status line says enough
            link = await self._connected()
        except BaseException:
            await self._close()
            raise
        if isinstance(answer, frames.AuthAck):
            return link, answer
        await self._close()
        raise _refused(answer)

    async def _close(self) -> None:
        if self._link is not None:
            await self._link.close()
            self._link = None

    async def _connected(self) -> Link:
        self._link = self._link or await self._server.connect()
        return self._link

    async def _ask(self) -> frames.AuthAck:
        user = self._user or await self._prompts.ask_user()
        self.devices = self._open_devices(user)
        self.hidden |= self.devices.hidden
        tries_left = self._prompts.password_tries
        while True:
            answer = await self._try(user, await self._prompts.ask_password())
            tries_left -= 1
            if isinstance(answer, frames.AuthAck):
                return answer
            if answer.code != ErrorCode.BAD_CREDENTIALS or not tries_left:
                break
            self._prompts.show_refused(answer)
            await asyncio.sleep(min(answer.retry_after or 0, _LONGEST_WAIT_S))
        error = _refused(answer)
        # A user who was asked can try again; only a reconnect treats a busy server as unreachable.
        raise AuthRefusedError(str(error)) if isinstance(error, UnreachableError) else error

    async def _try(self, user: str, password: str) -> frames.AuthAck | frames.AuthNack:
        auth = self._auth = frames.Auth(
            user=user,
            password=password,
            device=self.devices.device_id if self.devices else "",
            client=f"qscp-client {__version__}",
            features=self._features,
            status="offline" if self.hidden else "online",
        )
        tries_left = _BUSY_TRIES
        while True:
            answer = await self._exchange(auth, self._show_late)
            tries_left -= 1
            if isinstance(answer, frames.AuthAck) or answer.code != ErrorCode.BUSY or not tries_left:
                return answer
            wait_s = answer.retry_after or 1.0
            if wait_s > _LONGEST_WAIT_S:
                return answer
            # Random, so that clients that were refused together do not all come back together.
            wait_s *= random.uniform(1, _SPREAD)  # noqa: S311 - no secret
            self._prompts.show_busy(wait_s)
            await asyncio.sleep(wait_s)

    def _show_late(self, is_late: bool) -> None:
        if is_late:
            self._prompts.show_late()

    async def _exchange(
        self, auth: frames.Auth, on_late: Callable[[bool], None]
    ) -> frames.AuthAck | frames.AuthNack:
        """Send `auth`; if the connection turns out to be closed, once more over a new one."""
        for last_try in (False, True):
            link = await self._connected()
            link.on_late = on_late
            try:
                answer = await _answer(link, auth)
            except RemoteProtocolError as error:
                raise broken_protocol(error) from error
            if isinstance(answer, frames.AuthAck | frames.AuthNack):
                return answer
            self._link = None
            await link.close()
            if link.is_dead:
                raise UnreachableError(f"{self._server.address} does not answer the login. Try again later.")
            if last_try or (answer is not None and answer.code not in _STALE):
                raise _ended(answer, self._server)
        raise AssertionError  # pragma: no cover - the second time returns or raises


async def _answer(link: Link, auth: frames.Auth) -> frames.AuthAck | frames.AuthNack | frames.Error | None:
    """Send `auth`, and return the answer; None if the connection is closed before."""
    with contextlib.suppress(OSError):
        link.send(auth)
    while arrived := await link.receive():
        for index, frame in enumerate(arrived):
            match frame:
                case frames.AuthAck():
                    link.put_back(arrived[index + 1 :])
                    return frame
                case frames.AuthNack() | frames.Error():
                    return frame
                case frames.ServerBye():
                    raise EndedError(clean(frame.message), reconnect=frame.reconnect)
                case _:
                    pass
    return None


def broken_protocol(error: RemoteProtocolError) -> ClientError:
    """Return the error for a server that breaks the protocol."""
    return IncompatibleError(
        f"The server sent something that is not QSCP/1 ({error}). Does it have another version?"
    )


def _ended(error: frames.Error | None, server: Server) -> ClientError:
    if error is None:
        return UnreachableError(
            f"{server.address} closed the connection during the login. Try again in a while."
        )
    if error.code == ErrorCode.TOO_MANY_ATTEMPTS:
        return AuthRefusedError(clean(error.message))
    return EndedError(clean(error.message), reconnect=error.code in (*_STALE, ErrorCode.INTERNAL))


def _refused(answer: frames.AuthNack) -> ClientError:
    """Return the error for a refusal after which the user is not asked again."""
    sentence = clean(answer.message)
    if answer.code == ErrorCode.PROTOCOL_VERSION:
        return IncompatibleError(f"{sentence} This client is version {__version__}.")
    if answer.code in (ErrorCode.BUSY, ErrorCode.TOO_MANY_SESSIONS, ErrorCode.INTERNAL):
        if answer.retry_after and answer.retry_after > _LONGEST_WAIT_S:
            sentence = f"{sentence} Try again in {describe_wait(answer.retry_after)}."
        return UnreachableError(sentence, retry_after=answer.retry_after or 0.0)  # temporary
    return AuthRefusedError(sentence)
