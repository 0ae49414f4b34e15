"""Rules for the text of messages and away texts; `qscp.characters` has those for single characters."""

from qscp.characters import find_fault, is_visible
from qscp.errors import ErrorCode, InvalidTextError
from qscp.limits import BODY_LIMIT, STATUS_TEXT_LIMIT

__all__ = ["check_body", "check_line", "check_status_text", "fault_sentence"]


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
    if fault := find_fault(body):
        raise InvalidTextError(ErrorCode.BODY_CHARACTERS, fault.text)
    if not is_visible(body):
        raise InvalidTextError(ErrorCode.BODY_EMPTY)


def check_status_text(text: str) -> None:
    """Check an away text: one line, the characters of a body, at most `STATUS_TEXT_LIMIT` bytes.

    Raises:
        InvalidTextError: With the code `bad_status_text`.
    """
    check_line(text, STATUS_TEXT_LIMIT, ErrorCode.BAD_STATUS_TEXT)


def check_line(text: str, limit: int, code: ErrorCode) -> None:
    """Check that a text is empty, or one line of valid characters with something to see.

    It has at most `limit` UTF-8 bytes.

    Raises:
        InvalidTextError: With the code.
    """
    if _size(text) > limit:
        raise InvalidTextError(code)
    if "\n" in text:
        raise InvalidTextError(code, "a newline")
    if fault := find_fault(text):
        raise InvalidTextError(code, fault.text)
    if text and not is_visible(text):
        raise InvalidTextError(code, "a text with nothing to see")


def fault_sentence(text: str, code: ErrorCode) -> str:
    """Return the sentence for a refused text, with the character that it was refused for, if any."""
    fault = find_fault(text) if len(text) <= BODY_LIMIT else None
    return str(InvalidTextError(code, fault.text if fault else ""))


def _size(text: str) -> int:
    """Return the size in UTF-8 bytes; surrogates are counted too."""
    return len(text.encode(errors="surrogatepass"))
