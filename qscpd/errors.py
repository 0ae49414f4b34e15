"""Exit codes of `qscpd`'s commands, and the errors that lead to them.

QscpdError                1  failed
├── UsageError            2  wrong arguments or input
├── ConfigError           3  the configuration, with every problem in it
├── NotFoundError         4  no such account
├── ExistsError           5  the account, the file or the name is there already
├── PermissionDeniedError 6  a file or socket that this user may not use
├── NotRunningError       7  the daemon is needed and does not run
└── StoreError            1  the store can't be opened, read or written
    ├── StoreFullError       the disk is full; nothing of the transaction was stored
    ├── StoreBusyError       somebody else holds the store; nothing was stored
    └── StoreDamagedError    the file is no store of ours, damaged, or made by a newer version
"""

import enum
from typing import ClassVar

__all__ = [
    "ConfigError",
    "ExistsError",
    "ExitCode",
    "NotFoundError",
    "NotRunningError",
    "PermissionDeniedError",
    "QscpdError",
    "StoreBusyError",
    "StoreDamagedError",
    "StoreError",
    "StoreFullError",
    "UsageError",
]


class ExitCode(enum.IntEnum):
    """What a command of `qscpd` ends with; part of its interface (docs/operations.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    NOT_FOUND = 4
    EXISTS = 5
    PERMISSION = 6
    NOT_RUNNING = 7


class QscpdError(Exception):
    """Root of everything that ends a command; its text says what, where, and what to do next."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class UsageError(QscpdError):
    """The command was called with something that can't work."""

    exit_code = ExitCode.USAGE


class ConfigError(QscpdError):
    """The configuration can't be used.

    Attributes:
        problems: One sentence each, `file:line: section.key: what is wrong`.
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        """All problems, one a line."""
        return "\n".join(self.problems)


class NotFoundError(QscpdError):
    """There is no such account."""

    exit_code = ExitCode.NOT_FOUND


class ExistsError(QscpdError):
    """Something of that name is there already, and is left as it is."""

    exit_code = ExitCode.EXISTS


class PermissionDeniedError(QscpdError):
    """This user may not do that, or a file's permissions are unsafe."""

    exit_code = ExitCode.PERMISSION


class NotRunningError(QscpdError):
    """The daemon does not run."""

    exit_code = ExitCode.NOT_RUNNING


class StoreError(QscpdError):
    """The store can't be opened, read or written."""


class StoreFullError(StoreError):
    """No room on the disk; the transaction was rolled back."""


class StoreBusyError(StoreError):
    """Another process holds the store; the transaction was rolled back."""


class StoreDamagedError(StoreError):
    """The file is not a store of this program, is damaged, or was made by a newer version."""
