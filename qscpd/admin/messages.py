"""Requests and replies of the admin socket: one JSON line each way, then it closes.

Both ends are of one installation, but for a daemon that was not restarted after an upgrade: an unknown
message is an error, which `versions` explains. New fields of replies have defaults.
"""

from typing import Final

import msgspec

from qscp import __version__
from qscp.hints import one_line
from qscp.rooms import HistoryFrom, RoomKind
from qscpd.errors import (
    ConfigError,
    ExistsError,
    NotFoundError,
    NotRunningError,
    PermissionDeniedError,
    QscpdError,
    UsageError,
)

REQUEST_LIMIT: Final = 4096
"""Most bytes in a request: the largest has a name and a topic of 400 bytes, all escaped."""


NOT_A_REQUEST: Final = "not a request of qscpd"
"""Beginning of the reply to a request that the daemon does not know, in all versions."""


MISSING: Final = "missing required field"
"""Of msgspec's text about a message that lacks a field: its writer is the older one."""


class UnknownReplyError(QscpdError):
    """A reply is none of this version.

    Attributes:
        daemon_is_older: Whether it is one of an older or a newer version; None if it is neither.
    """

    def __init__(self, daemon_is_older: bool | None) -> None:
        super().__init__(
            "unexpected reply on the admin socket; if the daemon is of another version, restart it"
        )
        self.daemon_is_older = daemon_is_older


class _Request(msgspec.Struct, frozen=True, tag_field="request", forbid_unknown_fields=True):
    """Base of the requests; `repr` shows only the name, because a field can be a hash."""

    def __repr__(self) -> str:
        return f"{type(self).__name__} {getattr(self, 'name', '')[:40]}".rstrip()


class AddUser(_Request, frozen=True, tag="add_user"):
    """Add an account."""

    name: str
    password_hash: str
    reuse_name: bool = False


class SetPassword(_Request, frozen=True, tag="set_password"):
    """Change the password of an account."""

    name: str
    password_hash: str


class CheckNewUser(_Request, frozen=True, tag="check_new_user"):
    """Check that `AddUser` would get the name, without a change."""

    name: str
    reuse_name: bool = False


class CheckUser(_Request, frozen=True, tag="check_user"):
    """Check that an account exists, without a change."""

    name: str


class DeleteUser(_Request, frozen=True, tag="delete_user"):
    """Delete an account and close its sessions."""

    name: str


class EraseUser(_Request, frozen=True, tag="erase_user"):
    """Delete an account, if it is not deleted yet, and erase its messages.

    A running daemon erases a part: repeat the request, by id, until the reply is `done`.
    """

    name: str
    id: int | None = None
    """Id of the account, which takes precedence over the name."""


class LockUser(_Request, frozen=True, tag="lock_user"):
    """Lock an account and close its sessions."""

    name: str


class UnlockUser(_Request, frozen=True, tag="unlock_user"):
    """Unlock an account."""

    name: str


class ListUsers(_Request, frozen=True, tag="list_users"):
    """List all accounts."""


class CreateRoom(_Request, frozen=True, tag="create_room"):
    """Create a room with its owner."""

    name: str
    owner: str
    kind: RoomKind = RoomKind.OPEN
    history: HistoryFrom = HistoryFrom.JOINING
    topic: str = ""


class ArchiveRoom(_Request, frozen=True, tag="archive_room"):
    """Archive a room: make it read-only."""

    name: str


class DeleteRoom(_Request, frozen=True, tag="delete_room"):
    """Delete a room with all of its messages."""

    name: str


class Status(_Request, frozen=True, tag="status"):
    """Request the daemon's status; needs a running daemon."""


class ConfirmClock(_Request, frozen=True, tag="confirm_clock"):
    """Confirm the wall clock, so that removal by age goes on."""


class AccountInfo(msgspec.Struct, frozen=True):
    """An account as the operator sees it."""

    id: int
    name: str
    state: str
    created_ms: int


class _Reply(msgspec.Struct, frozen=True, tag_field="reply"):
    """Base of the replies."""


class Done(_Reply, frozen=True, tag="done"):
    """Success of a request about an account."""

    account: AccountInfo


class Checked(_Reply, frozen=True, tag="checked"):
    """Success of a check."""


class Erased(_Reply, frozen=True, tag="erased"):
    """Progress of an erasure."""

    account: AccountInfo
    done: bool
    """Whether the erasure is complete."""
    compaction_due: bool = False
    """Whether traces remain in unused parts of the store's file until the daemon is restarted."""
    damaged: int = 0
    """Number of damaged places of the store that could not be looked into."""


class RoomChanged(_Reply, frozen=True, tag="room_changed"):
    """Success of a request about a room."""

    id: int
    name: str


class Accounts(_Reply, frozen=True, tag="accounts"):
    """All accounts that are not deleted, by name."""

    accounts: list[AccountInfo]


class DaemonStatus(_Reply, frozen=True, tag="status"):
    """Status of the daemon."""

    version: str
    pid: int
    uptime_s: float
    connections: int
    """Open connections, logged in or not."""
    sessions: int
    """Connections that are logged in."""
    users_online: int
    clock_confirmed: bool
    """Whether the wall clock is trusted; otherwise nothing is removed by its age."""
    clock_ahead_s: int | None = None
    """How far the wall clock is ahead of the time that is expected; None while it is confirmed."""
    clock_left_s: int | None = None
    """How much longer it must run steadily to be confirmed; None while it is."""
    damaged: int = 0
    """Damaged places of the store that this run has met."""
    commit: str | None = None
    """Commit that the daemon was made from, if it is known."""
    schema: int | None = None
    """Schema of its store."""
    listen: list[str] = []
    """Addresses that the daemon listens on, with their actual ports."""
    listen_missing: list[str] = []
    """Those of `listen` that the machine lacks at this moment, so that nobody can connect to them."""
    listen_skipped: list[str] = []
    """Addresses that were skipped at the start, because the machine lacks their family."""
    certificate_ends: str | None = None
    """When clients begin to refuse the certificate, such as 2029-03-05T12:00:00Z."""
    certificate_problem: str | None = None
    """What is wrong with the certificate, or that it ends soon, and what to do; None if all is well."""
    log_dropped: int = 0
    """Lines of the log that were dropped, because standard error did not take them."""


class ClockConfirmed(_Reply, frozen=True, tag="clock_confirmed"):
    """Success of confirming the wall clock."""

    wall_ms: int
    """The time that was confirmed."""
    was_confirmed: bool
    """Whether it was confirmed before."""


class Failed(_Reply, frozen=True, tag="failed"):
    """Failure of a request."""

    exit_code: int
    """Exit code of the command."""
    message: str

    def error(self) -> QscpdError:
        """Return the exception that this reply was made from."""
        kind = _BY_EXIT_CODE.get(self.exit_code, QscpdError)
        return ConfigError([self.message]) if kind is ConfigError else kind(self.message)


RoomRequest = CreateRoom | ArchiveRoom | DeleteRoom
UserCheck = CheckNewUser | CheckUser
AccountChange = AddUser | SetPassword | DeleteUser | LockUser | UnlockUser
UserRequest = AccountChange | UserCheck | EraseUser | ListUsers
Request = UserRequest | RoomRequest | Status | ConfirmClock
Reply = Done | Checked | Erased | RoomChanged | Accounts | DaemonStatus | ClockConfirmed | Failed

_BY_EXIT_CODE: Final[dict[int, type[QscpdError]]] = {
    kind.exit_code: kind
    for kind in (UsageError, ConfigError, NotFoundError, ExistsError, PermissionDeniedError, NotRunningError)
}

_encoder = msgspec.json.Encoder()
_request_decoder = msgspec.json.Decoder(Request)
_reply_decoder = msgspec.json.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Return a message as a line, with its newline."""
    return _encoder.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Decode a request.

    Raises:
        UsageError: The line is not a request; the text does not quote its values.
    """
    try:
        request: Request = _request_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec's texts name types, fields and positions, and quote at most an unknown tag or field.
        raise UsageError(
            f"{NOT_A_REQUEST} {__version__}: {one_line(str(error)[:200])}. If the command is newer than the "
            "daemon, restart the daemon; if it is older, use the `qscpd` of the daemon's installation"
        ) from None
    return request


def decode_reply(line: bytes) -> Reply:
    """Decode a reply.

    Raises:
        UnknownReplyError: The line is not a reply; the daemon has another version, or is another program.
    """
    try:
        reply: Reply = _reply_decoder.decode(line)
    except msgspec.ValidationError as error:
        lacks_a_field = MISSING in str(error)
        raise UnknownReplyError(
            lacks_a_field if lacks_a_field or "`$.reply`" in str(error) else None
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnknownReplyError(None) from None
    return reply


def failed(error: QscpdError) -> Failed:
    """Return the reply for an exception."""
    return Failed(error.exit_code, str(error))
