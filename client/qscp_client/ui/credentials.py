"""Credentials: name and password of the account, asked for, checked, and never kept longer than the login."""

import math
from contextlib import AbstractContextManager

from qscp import frames
from qscp.errors import InvalidNameError
from qscp.limits import PASSWORD_LIMIT
from qscp.names import normalize_name
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.errors import UsageError
from qscp_client.ui.base import FrontEnd


class Credentials:
    """Asks for name and password at a front end: the `LoginPrompts` of a login.

    Args:
        front: The front end.
    """

    def __init__(self, front: FrontEnd) -> None:
        self._front = front

    @property
    def password_tries(self) -> int:
        """Number of times that a password can be asked for."""
        return self._front.password_tries

    def private(self) -> AbstractContextManager[None]:
        """Return a context in which nothing that is typed is shown."""
        return self._front.private()

    async def ask_user(self) -> str:
        """Ask for a user name, at a terminal until it is a valid one.

        Raises:
            UsageError: There is none, or not a valid one where it can't be asked for again.
            InterruptedByUserError: The user wants to leave.
        """
        while True:
            typed = await self._front.ask_user()
            try:
                return normalize_name(typed)
            except InvalidNameError as error:
                if self._front.password_tries == 1:
                    raise UsageError(f"The user name: {error}.") from error
                if typed.strip():
                    self._front.show([Problem(ProblemCode.INVALID_NAME, text=typed)])

    async def ask_password(self) -> str:
        """Ask for a password.

        Raises:
            UsageError: There is none, or it is longer than the protocol allows.
            InterruptedByUserError: The user wants to leave.
        """
        password = await self._front.ask_password()
        try:
            size = len(password.encode())
        except UnicodeEncodeError as error:
            raise UsageError("The password is not UTF-8 text.") from error
        if size > PASSWORD_LIMIT:
            raise UsageError(f"The password is longer than {PASSWORD_LIMIT} bytes.")
        return password

    def show_refused(self, answer: frames.AuthNack) -> None:
        """Show that the password was wrong; it is asked for again."""
        self._front.show([Notice(NoticeCode.LOGIN_REFUSED, error=answer.code, text=answer.message)])

    def show_late(self) -> None:
        """Show that the server has not answered for a while."""
        self._front.show([Notice(NoticeCode.WAITING_FOR_SERVER)])

    def show_busy(self, seconds: float) -> None:
        """Show that the server is busy, and when the login is tried again."""
        self._front.show([Notice(NoticeCode.LOGIN_WAITS, seconds=math.ceil(seconds))])
