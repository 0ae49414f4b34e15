"""What a message body and an away text may contain.

The server rejects what the rules forbid; the client strips the same characters
again before it shows anything, so that a broken server can't drive a terminal.
"""

import re

from qscp.errors import ErrorCode, InvalidTextError
from qscp.limits import BODY_LIMIT, STATUS_TEXT_LIMIT

__all__ = ["check_body", "check_status_text", "is_line", "strip_controls"]

# C0 but tab and newline, DEL, C1, and the Unicode characters of property
# Bidi_Control (UAX #9), which can make a line read as something it is not
# ("Trojan Source", CVE-2021-42574). And surrogates: they are no characters and have no UTF-8,
# but Python makes them of bytes that a terminal sent in the wrong encoding.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def check_body(body: str) -> None:
    """Check a message body.

    Raises:
        InvalidTextError: With the code to answer: `body_empty`, `body_too_long`
            or `body_characters`.
    """
    if not body or body.isspace():
        raise InvalidTextError(ErrorCode.BODY_EMPTY)
    # A quick way through for most bodies: every forbidden character is unprintable.
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
    """Whether a text is one line of the characters of a body, of at most `limit` bytes in UTF-8."""
    return _size(text) <= limit and "\n" not in text and not _FORBIDDEN.search(text)


def strip_controls(text: str) -> str:
    """Remove every character that a body may not contain; newline and tab stay."""
    return _FORBIDDEN.sub("", text)


def _size(text: str) -> int:
    """Bytes in UTF-8, also of what has no UTF-8."""
    return len(text.encode(errors="surrogatepass"))
