"""The rules for account names, for daemon, client and command line alike."""

import re

from qscp.errors import InvalidNameError

__all__ = ["normalize_name"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


def normalize_name(text: str) -> str:
    """Fold a typed name to the form that is stored and compared.

    Args:
        text: What a person typed; surrounding blanks are not part of a name.

    Returns:
        The name in lower case.

    Raises:
        InvalidNameError: The name breaks the rules; its text says which.
    """
    name = text.strip()
    # str.lower() would let look-alikes in: U+212A KELVIN SIGN folds to "k".
    if name.isascii():
        name = name.lower()
    if _NAME.fullmatch(name) is None:
        raise InvalidNameError(text)
    return name
