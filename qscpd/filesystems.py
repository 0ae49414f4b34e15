"""File systems of the network, on which a store is not safe."""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

_MOUNTS: Final = Path("/proc/self/mountinfo")

_NETWORK_TYPES: Final = frozenset(
    (
        "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "gpfs", "lustre", "ncpfs",
        "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs",
        "vmhgfs",
    )
)  # fmt: skip
"""Types whose files another machine, or the host of a virtual one, keeps and can change."""

_NETWORK_FUSE: Final = (
    "ceph", "curlftpfs", "davfs", "gcsfuse", "gluster", "goofys", "grpcfuse", "juicefs", "mfs",
    "moosefs", "mountpoint-s3", "osxfs", "rclone", "s3fs", "s3ql", "seaweedfs", "smb", "sshfs", "vmhgfs",
)  # fmt: skip
"""Beginnings of the same, after `fuse.`."""

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A mounted file system."""

    point: str
    kind: str
    source: str

    @property
    def is_network(self) -> bool:
        """Whether its files are on another machine."""
        name = self.kind.removeprefix("fuse.")
        return self.kind in _NETWORK_TYPES or (name != self.kind and name.startswith(_NETWORK_FUSE))


def find_mount(path: str, mountinfo: str) -> Mount | None:
    """Return the file system of a path.

    Args:
        path: An absolute path without symbolic links.
        mountinfo: Content of `/proc/self/mountinfo`; see proc_pid_mountinfo(5).
    """
    found: Mount | None = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, described = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(described) < 2:  # noqa: PLR2004 - the mount point is the fifth field
            continue
        mount = Mount(_unescape(fields[4]), described[0], _unescape(described[1]))
        # Of two at the same place, the later one hides the earlier.
        if _is_below(path, mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def network_mount_of(path: Path) -> Mount | None:
    """Return the file system of a path if it is one of the network; the path need not exist."""
    try:
        # Names can have any bytes.
        mountinfo = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        mount = find_mount(os.path.realpath(path), mountinfo)
    except OSError:
        return None
    return mount if mount is not None and mount.is_network else None


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _unescape(text: str) -> str:
    """Return a field with its blanks, tabs, newlines and backslashes."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
