"""Verification of a backup, from its manifest down to each message of its store."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from qscpd.backup.content import copy_stream, open_regular, printable
from qscpd.backup.manifest import (
    CA_CERTIFICATE,
    CA_KEY,
    CERTIFICATE,
    CONFIG,
    KEY,
    STORE,
    BackupFile,
    Manifest,
    read_manifest,
)
from qscpd.config import load_config
from qscpd.errors import ConfigError, QscpdError
from qscpd.store import inspect_copy, newest_schema, store_url
from qscpd.store.damage import DamagedPlace, DamageLog, OnDamage

_LISTED: Final = 20
"""Damaged places that a problem lists."""

_PROBLEMS: Final = 100
"""Problems that are returned at most."""

_NOTHING: Final = MappingProxyType[str, str]({})


def find_problems(directory: Path, on_damage: OnDamage | None = None) -> list[str]:
    """Return all problems of a backup, one sentence each; an empty list if it is as it was made.

    The backup may come from an attacker. So only regular files of the sizes in the manifest are read, the
    schema of the store must be one of ours, and the sentences are safe to print.

    Args:
        directory: The backup.
        on_damage: Called with each place whose messages can't be read, also if it was so from the beginning.
    """
    try:
        manifest = read_manifest(directory)
    except QscpdError as error:
        return [printable(str(error))]
    return find_problems_of(directory, manifest, on_damage)


def find_problems_of(directory: Path, manifest: Manifest, on_damage: OnDamage | None = None) -> list[str]:
    """Return all problems of a backup that should have what a manifest says; see `find_problems`.

    Args:
        directory: The backup.
        manifest: What it should have.
        on_damage: As in `find_problems`.
    """
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
    return [printable(problem) for problem in problems[:_PROBLEMS]]


def _check_file(directory: Path, expected: BackupFile) -> str | None:
    path = directory / expected.name
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            found = copy_stream(file, None, expected.size) if size == expected.size else None
    except QscpdError as error:
        return str(error)
    except FileNotFoundError:
        return f"{path}: is missing"
    except OSError as error:
        return f"{path}: can't be read: {error.strerror}"
    if found is None or found.size != expected.size:
        return f"{path}: has {size} bytes; the manifest has {expected.size}"
    if found.sha256 != expected.sha256:
        return f"{path}: was changed after the backup was made: its sha256 differs"
    return None


def _check_store(path: Path, manifest: Manifest, on_damage: OnDamage | None) -> Iterator[str]:
    places: list[str] = []

    def report(place: DamagedPlace) -> None:
        places.append(str(place))
        if on_damage is not None:
            on_damage(place._replace(problem=printable(place.problem)))

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
            f"{path}: made by qscpd {manifest.version} with schema {found['schema']}; this version "
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
        public = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        yield f"{certificate}: contains no certificate in PEM form"
        return
    try:
        # Whether an RSA key is made of primes is a question of minutes if it is large enough.
        private = serialization.load_pem_private_key(
            key.read_bytes(), password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield f"{key}: contains no private key in PEM form without a passphrase"
        return
    if private.public_key() != public:
        yield f"{key}: does not match the certificate {certificate.name}"


def _check_authority(directory: Path, *, with_key: bool) -> Iterator[str]:
    path = directory / CA_CERTIFICATE
    try:
        authority = x509.load_pem_x509_certificate(path.read_bytes())
        server = x509.load_pem_x509_certificates((directory / CERTIFICATE).read_bytes())[0]
        server.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        yield f"{path}: did not issue {CERTIFICATE}"
    if with_key:
        yield from _check_pair(path, directory / CA_KEY)
