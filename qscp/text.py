"""Rules for the text of messages and away texts.

The server rejects forbidden characters; the client strips them again before it shows
anything, so a broken server can't control a terminal.
"""

import re

from qscp.errors import ErrorCode, InvalidTextError
from qscp.limits import BODY_LIMIT, STATUS_TEXT_LIMIT

__all__ = ["check_body", "check_status_text", "is_line", "strip_controls"]

# C0 but tab and newline, DEL, C1, and the Unicode characters of property
# Bidi_Control (UAX #9), which can disguise the order of a line
# ("Trojan Source", CVE-2021-42574). Also surrogates: they have no UTF-8, but Python
# makes them from bytes that a terminal sent in the wrong encoding.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def check_body(body: str) -> None:
    """Check a message body.

    Raises:
        InvalidTextError: With one of the codes `body_empty`, `body_too_long`
            or `body_characters`.
    """
    if not body or body.isspace():
        raise InvalidTextError(ErrorCode.BODY_EMPTY)
    # Fast path for most bodies: every forbidden character is unprintable.
    if body.isascii() and body.isprintable():
        if len(body) > BODY_LIMIT:
            raise InvalidTextError(ErrorCode.BODY_TOO_LONG)
        return
    if len(body) > BODY_LIMIT or _size(body) > BODY_LIMIT:
        raise InvalidTextError(ErrorCode.BODY_TOO_LONG)
    if _FORBIDDEN.search(body):
        raise InvalidTextError(ErrorCode.BODY_CHARACTERS)


def check_status_text(text: str) -> None:
    """Check an away text: one line, the characters of a body, at most `STATUS_TEXT_LIMIT` bytes.

    Raises:
        InvalidTextError: With the code `bad_status_text`.
    """
    if not is_line(text, STATUS_TEXT_LIMIT):
        raise InvalidTextError(ErrorCode.BAD_STATUS_TEXT)


def is_line(text: str, limit: int) -> bool:
    """Return whether a text is one line of valid characters, of at most `limit` UTF-8 bytes."""
    return _size(text) <= limit and "\n" not in text and not _FORBIDDEN.search(text)


def strip_controls(text: str) -> str:
    """Remove every character that is forbidden in a body; newline and tab stay."""
    return _FORBIDDEN.sub("", text)


def _size(text: str) -> int:
    """Return the size in UTF-8 bytes; surrogates are counted too."""
    return len(text.encode(errors="surrogatepass"))
