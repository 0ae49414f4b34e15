"""The rules for account names, for daemon, client and command line alike."""

import re

from qscp.errors import InvalidNameError
from qscp.limits import NAME_LIMIT

__all__ = ["normalize_name"]

_NAME = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{NAME_LIMIT - 1}}}")


def normalize_name(text: str) -> str:
    """Fold a typed name to the form that is stored and compared.

    Args:
        text: What a person typed; surrounding blanks are not part of a name.

    Returns:
        The name in lower case.

    Raises:
        InvalidNameError: The name breaks the rules; the error's text tells them.
    """
    name = text.strip()
    # str.lower() would let look-alikes in: U+212A KELVIN SIGN folds to "k".
    if name.isascii():
        name = name.lower()
    if _NAME.fullmatch(name) is None:
        raise InvalidNameError(text)
    return name
