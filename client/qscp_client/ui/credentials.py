"""Which account, and its password: asked for, checked, and never kept longer than the login."""

from qscp.errors import InvalidNameError
from qscp.limits import PASSWORD_LIMIT
from qscp.names import normalize_name
from qscp_client.errors import UsageError
from qscp_client.ui.base import FrontEnd

__all__ = ["ask_password", "ask_user"]


async def ask_user(front: FrontEnd) -> str:
    """Ask for a user name, at a terminal until it is a valid one.

    Raises:
        UsageError: There is none, or not a valid one where nobody can be asked again.
        InterruptedByUserError: The person wants to leave.
    """
    while True:
        typed = await front.ask_user()
        try:
            return normalize_name(typed)
        except InvalidNameError as error:
            if front.password_tries == 1:
                raise UsageError(f"The user name: {error}.") from error
            if typed.strip():
                front.tell(f"{error}.")


async def ask_password(front: FrontEnd) -> str:
    """Ask for a password.

    Raises:
        UsageError: There is none, or the protocol has no room for it.
        InterruptedByUserError: The person wants to leave.
    """
    password = await front.ask_password()
    try:
        size = len(password.encode())
    except UnicodeEncodeError as error:
        raise UsageError("The password is not UTF-8 text.") from error
    if size > PASSWORD_LIMIT:
        raise UsageError(f"The password is longer than {PASSWORD_LIMIT} bytes.")
    return password
