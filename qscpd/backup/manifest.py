"""What is in a backup: its manifest, and the names of its files."""

import hashlib
import re
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from qscpd.errors import QscpdError
from qscpd.files import file_errors

__all__ = [
    "BACKUP_FORMAT",
    "BACKUP_NAME",
    "CA_CERTIFICATE",
    "CA_KEY",
    "CERTIFICATE",
    "CONFIG",
    "KEY",
    "MANIFEST",
    "STORE",
    "UNFINISHED",
    "BackupFile",
    "Fingerprint",
    "Manifest",
    "copy_stream",
    "read_manifest",
]

BACKUP_FORMAT: Final = 1
"""Of the folder and its manifest."""

BACKUP_NAME: Final = re.compile(r"qscp-([0-9]{8}T[0-9]{6}Z)(?:-([0-9]{1,4}))?")
"""Of a finished backup's folder: when it was begun, and a number if that second had several."""

UNFINISHED: Final = ".part"
"""What the name of a folder ends in that is being made, or being removed."""

MANIFEST: Final = "manifest.json"
STORE: Final = "qscpd.db"
CONFIG: Final = "qscpd.yaml"
CERTIFICATE: Final = "server.pem"
KEY: Final = "server.key"
CA_CERTIFICATE: Final = "ca.pem"
CA_KEY: Final = "ca.key"

_NAMES: Final = frozenset({STORE, CONFIG, CERTIFICATE, KEY, CA_CERTIFICATE, CA_KEY})
_NEEDED: Final = frozenset({STORE, CONFIG, CERTIFICATE, KEY})
_MANIFEST_LIMIT: Final = 1 << 16
_PIECE: Final = 1 << 20


class BackupFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a backup."""

    name: str
    size: int
    sha256: str
    """In lower-case hexadecimal digits."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says about itself."""

    format: int
    version: str
    """Of the qscpd that made it."""
    created: str
    """UTC, such as 2026-11-24T07:00:00Z."""
    schema: int
    """Of the store."""
    epoch: str
    """Of the store; a restored one has another."""
    accounts: int
    """Deleted ones, too."""
    conversations: int
    messages: int
    files: tuple[BackupFile, ...]

    def has(self, name: str) -> bool:
        """Whether it has a file of that name."""
        return any(file.name == name for file in self.files)

    def contents(self) -> str:
        """Return how much is in it, for people."""
        return f"{self.accounts} accounts, {self.conversations} conversations, {self.messages} messages"


class Fingerprint(NamedTuple):
    """What tells one content from another."""

    size: int
    sha256: str


def copy_stream(source: BinaryIO, target: BinaryIO | None) -> Fingerprint:
    """Read a file to its end and, if there is a target, write it there; say what it was."""
    digest = hashlib.sha256()
    size = 0
    while piece := source.read(_PIECE):
        digest.update(piece)
        size += len(piece)
        if target is not None:
            target.write(piece)
    return Fingerprint(size, digest.hexdigest())


def read_manifest(directory: Path) -> Manifest:
    """Read a backup's manifest.

    Raises:
        QscpdError: There is none that we understand.
        PermissionDeniedError: This user may not read it.
    """
    path = directory / MANIFEST
    if not directory.is_dir():
        raise QscpdError(f"{directory}: there is no such backup")
    if not path.exists():
        raise QscpdError(f"{directory}: is no finished backup: it has no {MANIFEST}")
    with file_errors(path), path.open("rb") as file:
        content = file.read(_MANIFEST_LIMIT)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise QscpdError(f"{path}: is no manifest: {error}") from None
    if manifest.format != BACKUP_FORMAT:
        raise QscpdError(
            f"{path}: made by qscpd {manifest.version[:40]} in format {manifest.format}; "
            f"this one knows {BACKUP_FORMAT}"
        )
    names = [file.name for file in manifest.files]
    if len(set(names)) != len(names) or not _NEEDED <= set(names) <= _NAMES:
        raise QscpdError(f"{path}: is no manifest: its list of files is not one that qscpd makes")
    return manifest
