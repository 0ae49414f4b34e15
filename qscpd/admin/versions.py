"""Sentences about a daemon and a command that are of different versions, as after an upgrade."""

from pathlib import Path

import msgspec

from qscp import __version__
from qscpd.admin.exchange import exchange
from qscpd.admin.messages import MISSING, NOT_A_REQUEST, Failed, Status, UnknownReplyError
from qscpd.build import commit
from qscpd.errors import ExitCode, QscpdError


class _Build(msgspec.Struct, frozen=True):
    """What the status of any version has of a daemon."""

    version: str = ""
    commit: str | None = None

    def __str__(self) -> str:
        return f"qscpd {self.version}" + (f", commit {self.commit}" if self.commit else "")


def check_understood(path: Path, reply: Failed) -> None:
    """Check that the daemon knew the request.

    Raises:
        QscpdError: It did not: the daemon or this command is older than the other.
    """
    if reply.exit_code == ExitCode.USAGE and reply.message.startswith(NOT_A_REQUEST):
        raise _mismatch(path, daemon_is_older=MISSING not in reply.message)


def explain_reply(path: Path, error: UnknownReplyError) -> QscpdError:
    """Return the error for a reply that this command does not understand."""
    if error.daemon_is_older is None:
        return error
    return _mismatch(path, daemon_is_older=error.daemon_is_older)


def _mismatch(path: Path, *, daemon_is_older: bool) -> QscpdError:
    ours = _Build(__version__, commit())
    theirs = _build_of_daemon(path)
    versions = f" ({theirs}; this command is {ours})" if theirs.version else f" than this command ({ours})"
    if theirs.version and _order(theirs) != _order(ours):
        daemon_is_older = _order(theirs) < _order(ours)
    if daemon_is_older:
        return QscpdError(
            f"the running daemon is older{versions}; restart it (`systemctl restart qscpd`), then try again"
        )
    return QscpdError(
        f"the running daemon is newer{versions}; use the `qscpd` of its installation, "
        "or if you went back to this version on purpose, restart the daemon"
    )


def _order(build: _Build) -> tuple[int, ...]:
    """Return the numbers of a version, which compare in the order of the releases."""
    return tuple(int(part) for part in build.version.split(".") if part.isdecimal())


def _build_of_daemon(path: Path) -> _Build:
    """Ask a daemon of any version what it is; all fields are empty if it does not say."""
    try:
        line = exchange(path, Status())
        return msgspec.json.decode(line or b"{}", type=_Build)
    except (QscpdError, msgspec.DecodeError, UnicodeDecodeError):
        return _Build()
