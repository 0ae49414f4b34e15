from pathlib import Path

import pytest

from qscpd import filesystems
from qscpd.config import Config, find_warnings
from qscpd.config.model import StoreConfig
from qscpd.filesystems import Mount, find_mount, network_mount_of

_MOUNTS = r"""
22 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
28 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
90 28 0:50 / /srv rw,relatime shared:40 - nfs4 nas.example.org:/export/srv rw,vers=4.2
91 90 8:17 / /srv/local rw,relatime - xfs /dev/sdb1 rw
92 28 0:51 /sub /mnt/my\040share\134x rw,relatime master:2 propagate_from:1 - cifs //nas/my\040share rw
93 28 0:52 / /mnt/c rw,noatime - 9p C:\134 rw,dirsync
94 28 0:53 / /data/remote rw,nosuid,nodev - fuse.sshfs me@host:/data rw
95 28 0:54 / /mnt/usb rw - fuse.ntfs-3g /dev/sdc1 rw
96 28 0:55 / /mnt/twice rw - nfs nas:/a rw
97 96 0:56 / /mnt/twice rw - tmpfs tmpfs rw
98 28 0:57 / /mnt/again rw - ext4 /dev/sdd1 rw
99 98 0:58 / /mnt/again rw - fuse.glusterfs gluster:/vol rw
100 28 0:59 / /mnt/vm rw - virtiofs shared rw
"""


@pytest.mark.parametrize(
    ("path", "point", "network"),
    [
        ("/var/lib/qscpd/qscpd.db", "/", False),
        ("/srv/qscpd.db", "/srv", True),
        ("/srv", "/srv", True),
        ("/srvice/qscpd.db", "/", False),
        ("/srv/local/qscpd.db", "/srv/local", False),
        ("/mnt/my share\\x/qscpd.db", "/mnt/my share\\x", True),
        ("/mnt/c/Users/me/qscpd.db", "/mnt/c", True),
        ("/data/remote/q.db", "/data/remote", True),
        ("/mnt/usb/q.db", "/mnt/usb", False),
        ("/mnt/twice/q.db", "/mnt/twice", False),
        ("/mnt/again/q.db", "/mnt/again", True),
        ("/mnt/vm/q.db", "/mnt/vm", True),
    ],
)
def test_the_nearest_mount_counts(path: str, point: str, network: bool) -> None:
    """The longest mount point that the path is below decides; of two at one place, the later."""
    mount = find_mount(path, _MOUNTS)
    assert mount is not None
    assert (mount.point, mount.is_network) == (point, network)


def test_escapes_are_read() -> None:
    """Blanks and backslashes of names are written in octal."""
    mount = find_mount("/mnt/my share\\x", _MOUNTS)
    assert mount == Mount("/mnt/my share\\x", "cifs", "//nas/my share")


@pytest.mark.parametrize("text", ["", "nonsense", "1 2 3", " - ", "1 2 0:1 / / rw - nfs", "\n\n"])
def test_lines_of_another_form_are_skipped(text: str) -> None:
    """A line that is not understood is no mount."""
    assert find_mount("/", text) is None


def test_a_store_on_the_network_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is followed through links, need not exist, and the sentence says what to do."""
    share, link = tmp_path / "share", tmp_path / "link"
    share.mkdir()
    link.symlink_to(share)
    (tmp_path / "mountinfo").write_text(
        f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:9 / {share} rw - nfs nas:/q rw\n"
    )
    monkeypatch.setattr(filesystems, "_MOUNTS", tmp_path / "mountinfo")
    (sentence,) = find_warnings(Config(store=StoreConfig(link / "none" / "qscpd.db")))
    assert sentence.startswith(
        f"store.path: {link}/none/qscpd.db is on a file system of the network (nfs, nas:/q at"
    )
    assert "move the store to a disk of this machine" in sentence
    assert find_warnings(Config(store=StoreConfig(tmp_path / "qscpd.db"))) == []


def test_without_proc_there_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is known about mounts, nothing is said."""
    monkeypatch.setattr(filesystems, "_MOUNTS", tmp_path / "none")
    assert network_mount_of(tmp_path) is None
