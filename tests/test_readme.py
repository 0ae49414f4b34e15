"""The picture in README.md shows the screens of two real clients."""

import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals on Windows", allow_module_level=True)

from tools.capture_readme import README, replace_picture, take_picture


async def test_the_picture_shows_two_clients(tmp_path: Path) -> None:
    """The picture equals the screens of two clients; `make picture` updates it."""
    document = README.read_text(encoding="utf-8")
    assert replace_picture(document, await take_picture(tmp_path)) == document


def test_a_missing_marker_is_an_error() -> None:
    """A document without the picture's markers raises ValueError."""
    with pytest.raises(ValueError, match="needs the lines"):
        replace_picture("# QSCP\n", "")
