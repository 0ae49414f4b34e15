"""Disks for stores that meet a full one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.smalldisk import small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MiB."""
    with small_disk(tmp_path / "disk", 40 * 1024) as disk:
        yield disk
