import re

import pytest

from qscp import errors
from qscp.errors import ERROR_CODES, ErrorCode, QscpError, RemoteProtocolError
from qscp.limits import BODY_LIMIT


def test_every_code_has_a_sentence() -> None:
    """Codes and sentences match one to one."""
    assert set(ERROR_CODES) == set(ErrorCode)


@pytest.mark.parametrize("code", ErrorCode)
def test_sentences_are_calm(code: ErrorCode) -> None:
    """Each is one sentence of plain text, without an exclamation mark or a code."""
    assert re.fullmatch(r"[A-Z][a-zA-Z0-9 ,;:#'-]+\.", ERROR_CODES[code].sentence)


def test_the_sentence_about_long_bodies_has_the_real_limit() -> None:
    """The number in the sentence is the limit."""
    assert f"{BODY_LIMIT // 1024} KiB" in ERROR_CODES[ErrorCode.BODY_TOO_LONG].sentence


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """The module docstring draws all exceptions, and no others."""
    drawn = re.findall(r"^[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    assert drawn == [cls.__name__ for cls in QscpError.__subclasses__()]


def test_a_violation_reads_as_the_sentence_and_the_place() -> None:
    """The place follows the sentence; without a place there is no blank at the end."""
    assert str(RemoteProtocolError(ErrorCode.BAD_FIELD, "Wrong: to.")).endswith("wrong type. Wrong: to.")
    assert str(RemoteProtocolError(ErrorCode.NOT_UTF8)) == "The line is not UTF-8."
