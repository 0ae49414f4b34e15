"""Rules for account names, shared by daemon, client and command line."""

import re

from qscp.errors import InvalidNameError
from qscp.limits import NAME_LIMIT

__all__ = ["normalize_name"]

_NAME = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{NAME_LIMIT - 1}}}")


def normalize_name(text: str) -> str:
    """Fold a typed name to its stored form.

    Args:
        text: Name as typed; surrounding blanks are ignored.

    Returns:
        The name in lower case.

    Raises:
        InvalidNameError: The name breaks the rules; the error's text states them.
    """
    name = text.strip()
    # str.lower() would accept look-alikes: U+212A KELVIN SIGN folds to "k".
    if name.isascii():
        name = name.lower()
    if _NAME.fullmatch(name) is None:
        raise InvalidNameError(text)
    return name
