"""Certificates on a disk that is full or fails: the old pair stays, and no half of a new one."""

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qscpd.certificates.check import check_pair
from qscpd.errors import ConfigError, QscpdError
from qscpd.setup import pki
from tests.support.smalldisk import fill, small_disk


def make_files(directory: Path) -> pki.AuthorityFiles:
    """Make a CA and a server certificate."""
    files = pki.AuthorityFiles(directory)
    pki.make_authority(files)
    pki.make_server_certificate(files, ["localhost"])
    return files


def contents(files: pki.AuthorityFiles) -> dict[str, bytes]:
    """Return every file of the directory, except what fills the disk."""
    return {path.name: path.read_bytes() for path in files.directory.iterdir() if path.name != "filler"}


def test_a_full_disk_leaves_the_old_pair(tmp_path: Path) -> None:
    """A disk with room for the new key but not for the certificate changes neither of them."""
    with small_disk(tmp_path / "disk", 128) as disk:
        files = make_files(disk)
        before = contents(files)
        fill(disk, leave=4096)
        with pytest.raises(QscpdError, match=r"server\.pem: No space left on device"):
            pki.renew_server_certificate(files, new_key=True)
        assert contents(files) == before
        check_pair(files.certificate, files.key)


def test_a_full_disk_leaves_no_half_of_a_new_pair(tmp_path: Path) -> None:
    """After the disk has room again, the same command works."""
    with small_disk(tmp_path / "disk", 128) as disk:
        files = pki.AuthorityFiles(disk)
        filler = fill(disk, leave=4096)
        with pytest.raises(QscpdError, match=r"ca\.pem: No space left on device"):
            pki.make_authority(files)
        assert contents(files) == {}
        filler.unlink()
        pki.make_authority(files)
        before = contents(files)
        filler = fill(disk, leave=4096)
        with pytest.raises(QscpdError, match=r"server\.pem: No space left on device"):
            pki.make_server_certificate(files, ["localhost"])
        assert contents(files) == before
        filler.unlink()
        pki.make_server_certificate(files, ["localhost"])


def test_a_pair_that_fails_its_check_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new pair is checked before it is in its place; the error names the file that would be there."""
    files = make_files(tmp_path)
    before = contents(files)

    def refuse(certificate: Path, key: Path) -> None:
        assert {certificate, key}.isdisjoint({files.certificate, files.key})
        raise ConfigError([f"{certificate}: can't be used"])

    monkeypatch.setattr(pki, "check_pair", refuse)
    with pytest.raises(ConfigError, match=rf"^{files.certificate}: can't be used\. Nothing was changed$"):
        pki.renew_server_certificate(files, new_key=True)
    assert contents(files) == before


@pytest.mark.parametrize(
    ("owner", "call", "original"), [(Path, "rename", Path.rename), (os, "link", os.link)]
)
@pytest.mark.parametrize("at", [0, 1])
def test_a_replacement_that_fails_is_undone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    call: str,
    original: Callable[[Path, Path], object],
    at: int,
) -> None:
    """If the second file can't be replaced, the first one is the old one again."""
    files = make_files(tmp_path)
    before = contents(files)
    calls = itertools.count()

    def fail_once(source: Path, target: Path) -> object:
        if next(calls) == at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, fail_once)
        with pytest.raises(QscpdError, match="Input/output error"):
            pki.renew_server_certificate(files, new_key=True)
    assert contents(files) == before
