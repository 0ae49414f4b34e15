"""Exit codes of `qscp-client`, and the errors that cause them.

ClientError
├── OutputError         1  the output can't be written
├── UsageError          2  the command line or the first lines of the input can't be used
├── ConfigError         3  the configuration file, with every problem in it
├── TrustError          4  the server can't be trusted, or the CA can't be read
├── AuthRefusedError    5  the server refused the login
├── UnreachableError    6  no server answers, or the connection was lost
├── IncompatibleError   7  the server does not speak QSCP/1
├── EndedError          8  the server ended the session
└── NotDeliveredError   9  the connection was lost before everything was acknowledged

InterruptedByUserError is no failure: the user pressed Ctrl-C.
StateError does not end the client: it is shown, and nothing is saved from then on.
"""

import enum
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """Exit codes of `qscp-client`; part of its interface (docs/client.md)."""

    OK = 0
    OUTPUT = 1
    USAGE = 2
    CONFIG = 3
    TRUST = 4
    AUTH_REFUSED = 5
    UNREACHABLE = 6
    INCOMPATIBLE = 7
    ENDED = 8
    NOT_DELIVERED = 9
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """The meaning in a few words, for `--help` and the documentation."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "everything was sent and stored",
    ExitCode.OUTPUT: "output was lost: a full disk, or it is closed. What was sent is stored",
    ExitCode.USAGE: "wrong use of the command line or of the first piped lines",
    ExitCode.CONFIG: "a problem in the configuration file",
    ExitCode.TRUST: "the server's certificate is not trusted, or the CA file can't be read",
    ExitCode.AUTH_REFUSED: "the server refused the login",
    ExitCode.UNREACHABLE: "no server there, or the connection was lost",
    ExitCode.INCOMPATIBLE: "client and server have no protocol version in common",
    ExitCode.ENDED: "the server ended the session",
    ExitCode.NOT_DELIVERED: "a message was refused or not acknowledged",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}


class ClientError(Exception):
    """Base of all errors that end the client; the message says what happened, where, and what to do."""

    exit_code: ClassVar[ExitCode]


class OutputError(ClientError):
    """Standard output or standard error can't be written."""

    exit_code = ExitCode.OUTPUT


class UsageError(ClientError):
    """The command line, or the first piped lines, can't be used."""

    exit_code = ExitCode.USAGE


class ConfigError(ClientError):
    """The configuration file can't be used.

    Attributes:
        problems: One sentence each, `file:line: key: what is wrong`.
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        """Return all problems, one a line."""
        return "\n".join(self.problems)


class TrustError(ClientError):
    """The server could not be verified, so nothing was sent to it."""

    exit_code = ExitCode.TRUST


class AuthRefusedError(ClientError):
    """The server refused the login."""

    exit_code = ExitCode.AUTH_REFUSED


class UnreachableError(ClientError):
    """No server answers, or the connection was lost.

    Attributes:
        retry_after: Seconds for which the server asked not to be tried again; 0 if it did not.
    """

    exit_code = ExitCode.UNREACHABLE

    def __init__(self, sentence: str, *, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class IncompatibleError(ClientError):
    """The server does not speak a version of QSCP that this client speaks."""

    exit_code = ExitCode.INCOMPATIBLE


class EndedError(ClientError):
    """The server ended the session.

    Attributes:
        reconnect: Whether the client can reconnect automatically.
    """

    exit_code = ExitCode.ENDED

    def __init__(self, sentence: str, *, reconnect: bool = False) -> None:
        super().__init__(sentence)
        self.reconnect = reconnect


class NotDeliveredError(ClientError):
    """The connection was lost for good before everything was acknowledged."""

    exit_code = ExitCode.NOT_DELIVERED


class StateError(Exception):
    """The saved state can't be read or written; the client goes on without it."""


class InterruptedByUserError(Exception):
    """The user pressed Ctrl-C where it means to leave."""


def may_reconnect(error: ClientError) -> bool:
    """Whether to reconnect automatically."""
    return isinstance(error, UnreachableError) or (isinstance(error, EndedError) and error.reconnect)
