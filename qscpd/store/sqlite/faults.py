"""What damage looks like in Python's `sqlite3`, and how to name it without what was read."""

import sqlite3
from typing import Final

READ_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file can raise: the module also decodes SQLite's messages, which quote names."""


def is_undecodable(error: BaseException) -> bool:
    """Return whether a text was not UTF-8, which only damage leaves."""
    return isinstance(error, UnicodeDecodeError) or (
        isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", None) is None
    )


def describe(error: BaseException) -> str:
    """Return SQLite's words; those of the module would have the text that it could not decode."""
    return "text that is not UTF-8" if is_undecodable(error) else str(error)
