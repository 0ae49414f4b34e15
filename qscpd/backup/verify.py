"""Verification of a backup, from its manifest down to each message of its store."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from qscpd.backup.manifest import (
    CA_CERTIFICATE,
    CA_KEY,
    CERTIFICATE,
    CONFIG,
    KEY,
    STORE,
    BackupFile,
    Manifest,
    copy_stream,
    read_manifest,
)
from qscpd.config import load_config
from qscpd.errors import ConfigError, QscpdError
from qscpd.store import inspect_copy, newest_schema, store_url
from qscpd.store.damage import DamagedPlace, DamageLog, OnDamage

_LISTED: Final = 20
"""Damaged places that a problem lists."""

_NOTHING: Final = MappingProxyType[str, str]({})


def find_problems(directory: Path, on_damage: OnDamage | None = None) -> list[str]:
    """Return all problems of a backup, one sentence each; an empty list if it is as it was made.

    Args:
        directory: The backup.
        on_damage: Called with each place whose messages can't be read, also if it was so from the beginning.
    """
    try:
        manifest = read_manifest(directory)
    except QscpdError as error:
        return [str(error)]
    broken = {file.name: problem for file in manifest.files if (problem := _check_file(directory, file))}
    problems = list(broken.values())
    if STORE not in broken:
        problems += _check_store(directory / STORE, manifest, on_damage)
    if CONFIG not in broken:
        problems += _check_config(directory / CONFIG)
    if CERTIFICATE not in broken and KEY not in broken:
        problems += _check_pair(directory / CERTIFICATE, directory / KEY)
    if manifest.has(CA_CERTIFICATE) and not {CA_CERTIFICATE, CA_KEY, CERTIFICATE} & broken.keys():
        problems += _check_authority(directory, with_key=manifest.has(CA_KEY))
    return problems


def _check_file(directory: Path, expected: BackupFile) -> str | None:
    path = directory / expected.name
    try:
        with path.open("rb") as file:
            found = copy_stream(file, None)
    except FileNotFoundError:
        return f"{path}: is missing"
    except OSError as error:
        return f"{path}: can't be read: {error.strerror}"
    if found.size != expected.size:
        return f"{path}: has {found.size} bytes; the manifest has {expected.size}"
    if found.sha256 != expected.sha256:
        return f"{path}: was changed after the backup was made: its sha256 differs"
    return None


def _check_store(path: Path, manifest: Manifest, on_damage: OnDamage | None) -> Iterator[str]:
    places: list[str] = []

    def report(place: DamagedPlace) -> None:
        places.append(str(place))
        if on_damage is not None:
            on_damage(place)

    try:
        found = inspect_copy(store_url(path), on_damage=DamageLog(report))._asdict()
    except QscpdError as error:
        yield str(error)
        return
    if found["damaged"] != manifest.damaged:
        more = f", and {len(places) - _LISTED} more" if len(places) > _LISTED else ""
        yield f"messages in the store are damaged: {'; '.join(places[:_LISTED])}{more} ({path})"
        del found["damaged"], found["messages"]
    for name, value in found.items():
        expected = getattr(manifest, name)
        if value != expected:
            yield f"{path}: {name} is {value}; the manifest has {expected}"
    known = newest_schema(store_url(path))
    if found["schema"] > known:
        yield (
            f"{path}: made by qscpd {manifest.version[:40]} with schema {found['schema']}; this version "
            f"knows {known}: install the newer version to restore it"
        )


def _check_config(path: Path) -> Iterator[str]:
    try:
        load_config(path, environ=_NOTHING)
    except ConfigError as error:
        yield from error.problems
    except QscpdError as error:
        yield str(error)


def _check_pair(certificate: Path, key: Path) -> Iterator[str]:
    """Yield problems of a certificate and its key; an expired certificate is not a problem."""
    try:
        loaded = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except ValueError:
        yield f"{certificate}: contains no certificate in PEM form"
        return
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (ValueError, TypeError):
        yield f"{key}: contains no private key in PEM form without a passphrase"
        return
    if private.public_key() != loaded.public_key():
        yield f"{key}: does not match the certificate {certificate.name}"


def _check_authority(directory: Path, *, with_key: bool) -> Iterator[str]:
    path = directory / CA_CERTIFICATE
    try:
        authority = x509.load_pem_x509_certificate(path.read_bytes())
        server = x509.load_pem_x509_certificates((directory / CERTIFICATE).read_bytes())[0]
        server.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        yield f"{path}: did not issue {CERTIFICATE}"
    if with_key:
        yield from _check_pair(path, directory / CA_KEY)
