"""Users of the system: which one a daemon has, and acting as that user when root runs a command."""

import codecs
import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from qscpd.errors import PermissionDeniedError

DAEMON_USER: Final = "qscpd"
"""System user of the service."""

_CODECS: Final = ("ascii", "latin-1", "idna")
"""Codecs that Python imports at their first use; another user might have no right to read its directory."""


class SystemUser(NamedTuple):
    """A user of the system, with a name and a home if the system knows one."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    """All groups, `gid` among them."""
    name: str
    home: str


ROOT: Final = SystemUser(0, 0, (0,), "root", "/root")


def user_name(uid: int) -> str:
    """Return the name of a user; its number if the system has no name for it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def daemon_user(store: Path) -> SystemUser:
    """Return the user that a store's daemon has: for root its owner, otherwise the user of this process.

    Without a store the owner of its directory counts, without a directory the system user `qscpd`. If
    one of file and directory is root's, the other decides: a command of root has left it there.
    """
    if os.geteuid() != 0:
        return _user(os.geteuid(), os.getegid())
    real = Path(os.path.realpath(store))
    found = [status for path in (real, real.parent) if (status := _status(path)) is not None]
    for status in found:
        if status.st_uid != 0:
            return _user(status.st_uid, status.st_gid)
    named = None if found else named_user(DAEMON_USER)
    return named or _user(0, 0)


def named_user(name: str) -> SystemUser | None:
    """Return the user of a name; None if the system has none."""
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        return None
    return _user(account.pw_uid, account.pw_gid)


def service_user() -> SystemUser | None:
    """Return the user of the service, if it exists and we are root, who gives files to it."""
    return named_user(DAEMON_USER) if os.geteuid() == 0 else None


def owner_of(path: Path) -> SystemUser:
    """Return the owner of a file or directory.

    Raises:
        OSError: It can't be found or reached.
    """
    status = path.stat()
    return _user(status.st_uid, status.st_gid)


@contextlib.contextmanager
def acting_as(user: SystemUser) -> Iterator[None]:
    """Act as a user for a while: permissions are that user's, and new files, too.

    Nothing changes unless root runs this. Import what the block needs before it: the user might have no
    right to read the directory of a module.

    Raises:
        PermissionDeniedError: root lacks the capability, as in some containers.
    """
    if os.geteuid() != 0 or user.uid == 0:
        yield
        return
    for codec in _CODECS:
        codecs.lookup(codec)
    groups, gid = os.getgroups(), os.getegid()
    with _refusals(user):
        os.setgroups(user.groups)
        os.setegid(user.gid)
        os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def become(user: SystemUser) -> None:
    """Become a user for good: ids, groups, home directory; new files are closed to others.

    Raises:
        PermissionDeniedError: root lacks the capability, as in some containers.
    """
    with _refusals(user):
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    os.umask(0o077)
    os.environ.update(HOME=user.home, USER=user.name, LOGNAME=user.name)


@contextlib.contextmanager
def _refusals(user: SystemUser) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PermissionDeniedError(
            f"the store belongs to user {user.name}, and root is not allowed to act as that user here: "
            f"{error.strerror}; run this command as that user"
        ) from error


def _user(uid: int, gid: int) -> SystemUser:
    """Return a user; the group is the given one if the user is in it, and never root's by accident."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        own = gid or uid
        return SystemUser(uid, own, (own,), str(uid), "/")
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    own = gid if gid in groups else account.pw_gid
    return SystemUser(uid, own, tuple(groups), account.pw_name, account.pw_dir)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
