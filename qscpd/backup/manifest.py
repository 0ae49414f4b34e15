"""Manifest of a backup, and the names of its files."""

import os
import re
from pathlib import Path
from typing import Annotated, Final

import msgspec

from qscpd.backup.content import open_regular, printable
from qscpd.errors import QscpdError
from qscpd.files import file_errors

BACKUP_FORMAT: Final = 1
"""Version of the folder and its manifest."""

BACKUP_NAME: Final = re.compile(r"qscp-([0-9]{8}T[0-9]{6}Z)(?:-([0-9]{1,4}))?")
"""Name of a finished backup's folder: its start time, and a number if there are several of that second."""

UNFINISHED: Final = ".part"
"""Suffix of a folder that is being made or removed."""

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

_SMALL: Final = 1 << 20
"""Bytes of a file of a backup at most, but for the store: they are read at once."""

_SHOWN: Final = 40
"""Characters of a version, a time or an epoch that are kept."""

_Count = Annotated[int, msgspec.Meta(ge=0)]


def backup_order(name: re.Match[str]) -> tuple[str, int]:
    """Return the place of a backup among others, from the match of `BACKUP_NAME`."""
    return name[1], int(name[2] or 1)


class BackupFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a backup."""

    name: str
    size: _Count
    sha256: str
    """Hash as lower-case hexadecimal digits."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Description of a backup."""

    format: int
    version: str
    """Version of the qscpd that made it."""
    created: str
    """Time of creation in UTC, such as 2026-11-24T07:00:00Z."""
    schema: _Count
    """Schema of the store."""
    epoch: str
    """Epoch of the store; a restored one gets another."""
    accounts: _Count
    """Number of accounts, deleted ones included."""
    conversations: _Count
    messages: _Count
    damaged: _Count = 0
    """Number of places whose messages could not be read when it was made."""
    files: tuple[BackupFile, ...]

    def has(self, name: str) -> bool:
        """Return whether the backup has a file of that name."""
        return any(file.name == name for file in self.files)

    def contents(self) -> str:
        """Return how much is in it, for people."""
        damaged = f", {self.damaged} damaged places" if self.damaged else ""
        return (
            f"{self.accounts} accounts, {self.conversations} conversations, {self.messages} messages{damaged}"
        )


def read_manifest(directory: Path) -> Manifest:
    """Read a backup's manifest; its texts are safe to print.

    Raises:
        QscpdError: The manifest is missing, invalid or of another format.
        PermissionDeniedError: This user has no permission to read it.
    """
    path = directory / MANIFEST
    if not directory.is_dir():
        raise QscpdError(f"{directory}: backup not found")
    if not os.path.lexists(path):
        raise QscpdError(f"{directory}: is not a finished backup: it has no {MANIFEST}")
    with file_errors(path), open_regular(path) as file:
        content = file.read(_MANIFEST_LIMIT + 1)
    if len(content) > _MANIFEST_LIMIT:
        raise QscpdError(f"{path}: is not a manifest: it has more than {_MANIFEST_LIMIT} bytes")
    try:
        decoded = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise QscpdError(f"{path}: is not a manifest: {printable(str(error))}") from None
    manifest = msgspec.structs.replace(
        decoded,
        version=printable(decoded.version[:_SHOWN]),
        created=printable(decoded.created[:_SHOWN]),
        epoch=printable(decoded.epoch[:_SHOWN]),
    )
    if manifest.format != BACKUP_FORMAT:
        raise QscpdError(
            f"{path}: made by qscpd {manifest.version} in format {manifest.format}; "
            f"this version reads format {BACKUP_FORMAT}"
        )
    names = [file.name for file in manifest.files]
    if len(set(names)) != len(names) or not _NEEDED <= set(names) <= _NAMES:
        raise QscpdError(f"{path}: is not a manifest: its list of files is not one of qscpd")
    for each in manifest.files:
        if each.size > _SMALL and each.name != STORE:
            raise QscpdError(f"{path}: is not a manifest: {each.name} has {each.size} bytes in it")
    return manifest
