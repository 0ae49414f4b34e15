"""New installations: configuration, certificates, directories, owners."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from qscp import DEFAULT_PORT
from qscpd.config import DEFAULT_CONFIG_PATH, load_config
from qscpd.errors import ExistsError
from qscpd.files import file_errors, write_new_file
from qscpd.permissions import check_key_if_exists, check_unchangeable
from qscpd.privileges import SystemUser, service_user
from qscpd.setup.names import check_names, default_names
from qscpd.setup.pki import (
    AuthorityFiles,
    certificate_names,
    make_authority,
    make_server_certificate,
    renew_server_certificate,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Locations of an installation's files."""

    config: Path
    certs: Path
    state: Path
    logs: Path
    admin_socket: Path
    listen: tuple[str, ...]
    relative: bool
    """Whether paths in the configuration are relative to it, so that the whole directory can move."""

    @property
    def authority(self) -> AuthorityFiles:
        """Files of the CA and the certificate."""
        return AuthorityFiles(self.certs)

    @property
    def store(self) -> Path:
        """File of the store, created by its first use."""
        return self.state / "qscpd.db"

    @property
    def session_log(self) -> Path:
        """The session log, created by the daemon."""
        return self.logs / "sessions.log"


class Step(NamedTuple):
    """A path that `initialize` created, kept, or left out."""

    path: Path
    what: str
    made: bool


def system_layout(config: Path | None = None, certs: Path | None = None, state: Path | None = None) -> Layout:
    """Return the layout of a service.

    Certificates are beside the configuration; a given state directory also has logs and socket.
    """
    config = (config or Path(DEFAULT_CONFIG_PATH)).absolute()
    return Layout(
        config=config,
        certs=(certs or config.with_name("certs")).absolute(),
        state=(state or Path("/var/lib/qscpd")).absolute(),
        logs=(state or Path("/var/log/qscpd")).absolute(),
        admin_socket=(state or Path("/run/qscpd")).absolute() / "admin.sock",
        listen=(f"0.0.0.0:{DEFAULT_PORT}", f"[::]:{DEFAULT_PORT}"),
        relative=False,
    )


def dev_layout(config: Path | None = None, certs: Path | None = None, state: Path | None = None) -> Layout:
    """Return the layout of a checkout; only this machine can connect."""
    state = state or Path("var")
    return Layout(
        config=config or Path("config/qscpd.yaml"),
        certs=certs or Path("certs"),
        state=state,
        logs=state,
        admin_socket=state / "admin.sock",
        listen=(f"127.0.0.1:{DEFAULT_PORT}", f"[::1]:{DEFAULT_PORT}"),
        relative=True,
    )


def initialize(layout: Layout, names: Sequence[str], *, keep: bool) -> list[Step]:
    """Create an installation.

    Args:
        layout: Locations of its files.
        names: DNS names and addresses of the server, besides this machine's own.
        keep: Keep existing files and create the missing ones; otherwise none can exist.

    Raises:
        ExistsError: A file exists; nothing was changed.
        UsageError: A name is neither a DNS name nor an address.
        PermissionDeniedError: This user has no permission to write there, or a kept file is open to others.
    """
    check_names(names)
    files = layout.authority
    existing = [
        str(path)
        for path in (layout.config, files.ca_certificate, files.ca_key, files.certificate, files.key)
        if path.exists()
    ]
    if existing and not keep:
        raise ExistsError(
            f"already exists: {', '.join(existing)}; nothing was changed. "
            "Add --keep to create only what is missing. For a new installation move them away; "
            "it has a new CA, and every client needs its ca.pem"
        )
    if layout.config.exists():
        check_unchangeable(layout.config, layout.config.stat())
    check_key_if_exists(files.ca_key)
    check_key_if_exists(files.key)
    owner = service_user() if not layout.relative else None
    return list(_steps(layout, names, owner))


def _steps(layout: Layout, names: Sequence[str], owner: SystemUser | None) -> Iterator[Step]:
    files = layout.authority
    for directory, mode in ((layout.config.parent, 0o755), (layout.certs, 0o755)):
        _make_directory(directory, mode, None)
    yield _authority(files)
    yield _server_certificate(files, names, owner)
    for directory, mode, what in (
        (layout.state, 0o700, "directory of accounts and messages"),
        (layout.logs, 0o750, "directory of the session log"),
    ):
        if directory != layout.state or what.startswith("directory of accounts"):
            yield Step(directory, what, _make_directory(directory, mode, owner))
    made = not layout.config.exists()
    if made:
        write_new_file(layout.config, _config_text(layout).encode(), mode=0o644)
        load_config(layout.config, environ={})
    yield Step(layout.config, "configuration", made)


def _authority(files: AuthorityFiles) -> Step:
    """Create the CA, unless there is one, or a server's certificate that another CA has issued."""
    path = files.ca_certificate
    if path.exists():
        return Step(path, "certificate of the private CA: give this file to every client", made=False)
    if not files.ca_key.exists() and (files.certificate.exists() or files.key.exists()):
        what = (
            f"no CA was made, because {files.certificate} has one elsewhere; hand out the certificate of that"
        )
        return Step(path, what, made=False)
    make_authority(files)
    return Step(path, "certificate of the private CA: give this file to every client", made=True)


def _server_certificate(files: AuthorityFiles, more_names: Sequence[str], owner: SystemUser | None) -> Step:
    what = "the server's certificate"
    if files.certificate.exists() and files.key.exists():
        missing = [name for name in more_names if name.lower() not in certificate_names(files.certificate)]
        hint = (
            f", which does not include {', '.join(missing)}; add it with `qscpd gencert --name`"
            if missing
            else ""
        )
        return Step(files.certificate, what + hint, made=False)
    names = tuple(dict.fromkeys((*default_names(), *more_names)))
    if files.certificate.exists() or files.key.exists():
        # An interruption left only one of the two: create the other one to match.
        renew_server_certificate(files, names)
    else:
        make_server_certificate(files, names)
    if owner is not None:
        with file_errors(files.key):
            os.chown(files.key, 0, owner.gid)
            files.key.chmod(0o640)
    return Step(files.certificate, f"{what}, for {', '.join(names)}", made=True)


def _make_directory(path: Path, mode: int, owner: SystemUser | None) -> bool:
    """Create a directory and its parents, and return whether it is new; an existing one is not changed."""
    with file_errors(path):
        if path.is_dir():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        path.chmod(mode)
        if owner is not None:
            os.chown(path, owner.uid, owner.gid)
    return True


def _config_text(layout: Layout) -> str:
    def shown(path: Path) -> str:
        if layout.relative:
            path = Path(os.path.relpath(path, layout.config.parent))
        return json.dumps(str(path), ensure_ascii=False)

    return f"""\
# Configuration of qscpd, created by `qscpd init`. Other keys have their defaults:
# config/qscpd.sample.yaml explains every key, `qscpd config show --origin` shows all values.
# Relative paths start from the directory of this file. Check a change with `qscpd checkconfig`.

server:
  listen: {json.dumps(layout.listen)}
  admin_socket: {shown(layout.admin_socket)}

tls:
  certificate: {shown(layout.authority.certificate)}
  key: {shown(layout.authority.key)}

store:
  path: {shown(layout.store)}

log:
  session_log: {shown(layout.session_log)}
"""
