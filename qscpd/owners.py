"""The service's user, and the owner of its files: what root makes for the service belongs to its user."""

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from qscpd.errors import PermissionDeniedError

SERVICE_USER: Final = "qscpd"
"""System user of the service, as the package's sysusers file creates it."""


class Owner(NamedTuple):
    """Owner of a file: a user and a group, by their ids."""

    user: int
    group: int


def service_user() -> Owner | None:
    """Return the user of the service, if it exists and we are root, who gives files to it."""
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None
    return Owner(found.pw_uid, found.pw_gid)


def owner_of(directory: Path) -> Owner:
    """Return the owner of a directory, and so of the files in it.

    Raises:
        OSError: It can't be found or reached.
    """
    status = directory.stat()
    return Owner(status.st_uid, status.st_gid)


@contextlib.contextmanager
def acting_as(owner: Owner) -> Iterator[None]:
    """Act as another user if we are root, so that new files belong to that user.

    Raises:
        PermissionDeniedError: root lacks the capability, as in some containers.
    """
    if os.geteuid() != 0 or owner.user == 0:
        yield
        return
    groups = os.getgroups()
    try:
        os.setgroups(_groups_of(owner))
        os.setegid(owner.group)
        os.seteuid(owner.user)
    except OSError as error:
        raise PermissionDeniedError(
            f"the store belongs to user {owner.user}, and root is not allowed to act as that user here: "
            f"{error.strerror}; run this command as that user"
        ) from error
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _groups_of(owner: Owner) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(owner.user).pw_name, owner.group)
    except KeyError:
        return [owner.group]
