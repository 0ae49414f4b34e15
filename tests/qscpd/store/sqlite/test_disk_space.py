import os
from pathlib import Path

import pytest

from qscpd.store.sqlite.disk_space import lacks_space, temporary_directory
from tests.support.smalldisk import fill, largest_file, small_disk
from tests.support.users import as_user


def test_a_disk_with_space(tmp_path: Path) -> None:
    """A disk with space takes a write, and nothing of it stays."""
    assert not lacks_space(tmp_path / "q.db")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path: Path) -> None:
    """A full disk lacks space until some is freed."""
    with small_disk(tmp_path / "disk", 512) as disk:
        filler = fill(disk)
        assert lacks_space(disk / "q.db")
        filler.unlink()
        assert not lacks_space(disk / "q.db")


def test_a_file_at_its_largest_size(tmp_path: Path) -> None:
    """A limit on the size of files matters if the file has reached it."""
    with largest_file(1 << 20):
        assert not lacks_space(tmp_path / "q.db")
        (tmp_path / "q.db").touch()
        os.truncate(tmp_path / "q.db", (1 << 20) - 5000)
        assert lacks_space(tmp_path / "q.db")


@pytest.mark.parametrize("reason", ["read-only", "missing"])
def test_another_error_is_not_lack_of_space(tmp_path: Path, reason: str) -> None:
    """A folder that can't be written, or is missing, says nothing about space."""
    if reason == "missing":
        assert not lacks_space(tmp_path / "none" / "q.db")
        return
    tmp_path.chmod(0o555)
    with as_user(tmp_path):
        assert not lacks_space(tmp_path / "q.db")


def test_the_folder_of_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is that of SQLite's documentation: named by a variable, or the first that can be written."""
    monkeypatch.delenv("SQLITE_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert temporary_directory() == tmp_path
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path / "missing"))
    assert temporary_directory() == tmp_path
    monkeypatch.delenv("TMPDIR")
    assert temporary_directory() == Path("/var/tmp")  # noqa: S108 - nothing is made there
