"""Fuzz targets for what an operator or a user has as a file: configurations, admin messages, backups."""

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from qscp.rooms import HistoryFrom
from qscp_client import config as client_config_file
from qscp_client.errors import ConfigError as ClientConfigError
from qscpd.admin.messages import Failed, decode_reply, decode_request, encode
from qscpd.backup.manifest import (
    BACKUP_FORMAT,
    CERTIFICATE,
    CONFIG,
    KEY,
    MANIFEST,
    STORE,
    BackupFile,
    Manifest,
    read_manifest,
)
from qscpd.backup.verify import find_problems
from qscpd.config import render_config
from qscpd.config.load import parse_config
from qscpd.domain.model import NewMessage
from qscpd.errors import ConfigError, QscpdError, UsageError
from qscpd.setup.pki import AuthorityFiles, make_authority, make_server_certificate
from qscpd.store import newest_schema, open_store, store_url
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.stores import add_room

__all__ = [
    "admin_reply",
    "admin_request",
    "backup_manifest",
    "backup_store",
    "client_config",
    "daemon_config",
    "sound_manifest",
]

_PATH: Final = Path("/etc/qscpd/qscpd.yaml")


def daemon_config(data: bytes) -> None:
    """Read a configuration, and overrides behind a zero byte: it survives being shown, or has problems."""
    parts = data.decode(errors="replace").split("\0")
    overrides = dict(each.partition("=")[::2] for each in parts[1:])
    try:
        loaded = parse_config(parts[0], _PATH, cwd=Path("/"), overrides=overrides)
    except ConfigError as error:
        _check_texts(*error.problems, quoted=10 * len(data))
        return
    assert parse_config(render_config(loaded), _PATH, cwd=Path("/")).config == loaded.config


def client_config(data: bytes) -> None:
    """Read a client's configuration: it is valid, or has problems."""
    path = _folder("client") / "client.yaml"
    path.write_bytes(data)
    try:
        client_config_file.load(path)
    except ClientConfigError as error:
        _check_texts(*str(error).split("\n"), quoted=10 * len(data))


def admin_request(data: bytes) -> None:
    """Decode a request to the admin socket: it survives its encoding, or is an error of usage."""
    try:
        request = decode_request(data)
    except UsageError as error:
        _check_texts(str(error))
        return
    assert decode_request(encode(request)) == request
    password_hash = getattr(request, "password_hash", "")
    assert len(password_hash) < 60 or password_hash not in repr(request)


def admin_reply(data: bytes) -> None:
    """Decode a reply of the admin socket: it survives its encoding, or is our error."""
    try:
        reply = decode_reply(data)
    except QscpdError:
        return
    assert decode_reply(encode(reply)) == reply
    if isinstance(reply, Failed):
        str(reply.error())


def backup_manifest(data: bytes) -> None:
    """Read a manifest: it is one of ours and names only our files, or is our error."""
    folder = _folder("manifest")
    (folder / MANIFEST).write_bytes(data)
    try:
        manifest = read_manifest(folder)
    except QscpdError:
        return
    assert all(os.sep not in file.name for file in manifest.files)
    _check_texts(*find_problems(folder))


def backup_store(data: bytes) -> None:
    """Verify a store with changes at some places: each is a problem, or does no harm."""
    folder = _folder("store")
    content = bytearray(_sound_store())
    for place, patch in _patches(data):
        start = place % len(content)
        content[start : start + len(patch)] = patch[: len(content) - start]
    (folder / STORE).write_bytes(content)
    (folder / MANIFEST).write_bytes(manifest_of(folder))
    _check_texts(*find_problems(folder))


def _check_texts(*texts: str, quoted: int = 0) -> None:
    """Check sentences for a person: nothing in them moves a terminal's cursor, and none is endless.

    Args:
        *texts: The sentences.
        quoted: Most characters that one can quote of what the user has typed.
    """
    for text in texts:
        assert text.isprintable(), text
        assert 0 < len(text) < 6000 + quoted, text


def _patches(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield places and bytes: three bytes of place, one of length, and so on."""
    while len(data) > 4:
        length = data[3] + 1
        yield int.from_bytes(data[:3]), data[4 : 4 + length]
        data = data[4 + length :]


def manifest_of(folder: Path) -> bytes:
    """Return the manifest of a backup as it is now, whatever its store has become."""
    files = []
    for name in (STORE, CONFIG, CERTIFICATE, KEY):
        content = (folder / name).read_bytes()
        files.append(BackupFile(name, len(content), hashlib.sha256(content).hexdigest()))
    manifest = Manifest(
        format=BACKUP_FORMAT,
        version="0.1",
        created="2026-11-24T07:00:00Z",
        schema=newest_schema(store_url(folder / STORE)),
        epoch="0" * 32,
        accounts=3,
        conversations=2,
        messages=6,
        files=tuple(files),
    )
    return msgspec.json.encode(manifest)


def sound_manifest() -> bytes:
    """Return the manifest of a sound backup, as a seed."""
    return manifest_of(_folder("manifest"))


@functools.cache
def _folder(name: str) -> Path:
    """Return a folder in memory with a sound backup; it is removed when the process ends."""
    kept = memory_folder()
    _folders.append(kept)
    folder = Path(kept.name, name)
    folder.mkdir()
    authority = AuthorityFiles(folder)
    make_authority(authority)
    make_server_certificate(authority, ["localhost"])
    (folder / CONFIG).write_text("log:\n  level: info\n")
    (folder / STORE).write_bytes(_sound_store())
    return folder


@functools.cache
def _sound_store() -> bytes:
    """Return the content of a small store with something in each table."""
    with memory_folder() as name:
        path = Path(name, "q.db")
        with contextlib.closing(open_store(store_url(path))) as store:
            for user in ("alice", "bob", "carol"):
                store.add_account(user, f"hash of {user}")
            add_room(store, "#garden", "alice", "bob", history=HistoryFrom.FULL)
            make_id = IdMaker()
            store.append([NewMessage(1, 2, make_id(), f"word{number} " * 50) for number in range(6)])
            store.delete_account("carol")
        return path.read_bytes()


_folders: Final["list[tempfile.TemporaryDirectory[str]]"] = []
