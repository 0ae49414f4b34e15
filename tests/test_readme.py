"""The picture in README.md is what two real clients show."""

import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are a matter of Unix", allow_module_level=True)

from tools.capture_readme import README, replace_picture, take_picture


async def test_the_picture_is_what_two_clients_show(tmp_path: Path) -> None:
    """If a sentence on the screen has changed, `make picture` updates the picture."""
    document = README.read_text(encoding="utf-8")
    assert replace_picture(document, await take_picture(tmp_path)) == document


def test_a_missing_marker_is_an_error() -> None:
    """Rather than a README without a picture."""
    with pytest.raises(ValueError, match="needs the lines"):
        replace_picture("# QSCP\n", "")
