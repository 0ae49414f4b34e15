"""Exit codes of `qscpd`'s commands, and the errors that lead to them.

QscpdError                1  failed
├── UsageError            2  wrong arguments or input
├── ConfigError           3  an invalid configuration, with all of its problems
├── NotFoundError         4  an account, room or file was not found
├── ExistsError           5  an account, room or file already exists
├── PermissionDeniedError 6  no permission, or unsafe permissions of a file
├── NotRunningError       7  the daemon is needed and is not running
├── UnansweredError       1  the daemon got a request, and it is unknown whether it was done
└── StoreError            1  the store can't be opened, read or written
    ├── StoreFullError       the disk is full; nothing of the transaction was stored
    ├── StoreBusyError       another process holds the store; nothing was stored
    └── StoreDamagedError    the file is not a store, is damaged, or is of a newer version; nothing was stored
"""

import enum
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """Exit code of a `qscpd` command; part of its interface (docs/operations.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    NOT_FOUND = 4
    EXISTS = 5
    PERMISSION = 6
    NOT_RUNNING = 7


class QscpdError(Exception):
    """Base of all errors that end a command; the text says what, where, and what to do next."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class UsageError(QscpdError):
    """The arguments or the input of a command are wrong."""

    exit_code = ExitCode.USAGE


class ConfigError(QscpdError):
    """The configuration is invalid.

    Attributes:
        problems: One sentence each, `file:line: section.key: what is wrong`.
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        """Return all problems, one per line."""
        return "\n".join(self.problems)


class NotFoundError(QscpdError):
    """An account, a room or a file was not found."""

    exit_code = ExitCode.NOT_FOUND


class ExistsError(QscpdError):
    """An account, a room or a file already exists; it was not changed."""

    exit_code = ExitCode.EXISTS


class PermissionDeniedError(QscpdError):
    """This user lacks a permission, or a file's permissions are unsafe."""

    exit_code = ExitCode.PERMISSION


class NotRunningError(QscpdError):
    """The daemon is not running."""

    exit_code = ExitCode.NOT_RUNNING


class UnansweredError(QscpdError):
    """The daemon did not answer a request; it is unknown whether it was done."""


class StoreError(QscpdError):
    """The store can't be opened, read or written."""


class StoreFullError(StoreError):
    """The disk is full; the transaction was rolled back."""


class StoreBusyError(StoreError):
    """Another process holds the store; the transaction was rolled back."""


class StoreDamagedError(StoreError):
    """The file is not a store of this program, is damaged, or was made by a newer version."""
