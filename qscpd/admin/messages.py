"""What is asked and answered on the admin socket: one JSON line each way, then it closes.

Both ends are of one installation, so there is no version; what an end does not know is an error.
"""

from typing import Final

import msgspec

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

__all__ = [
    "REQUEST_LIMIT",
    "AccountInfo",
    "Accounts",
    "AddUser",
    "ArchiveRoom",
    "CreateRoom",
    "DaemonStatus",
    "DeleteRoom",
    "DeleteUser",
    "Done",
    "EraseUser",
    "Erased",
    "Failed",
    "ListUsers",
    "LockUser",
    "Reply",
    "Request",
    "RoomChanged",
    "RoomRequest",
    "SetPassword",
    "Status",
    "UnlockUser",
    "decode_reply",
    "decode_request",
    "encode",
    "failed",
]

REQUEST_LIMIT: Final = 4096
"""Bytes in a request: the largest has a name and a topic, 400 bytes of which each may be escaped."""


class _Request(msgspec.Struct, frozen=True, tag_field="request", forbid_unknown_fields=True):
    """Base of the requests; its text has no fields, because one of them may be a hash."""

    def __repr__(self) -> str:
        return f"{type(self).__name__} {getattr(self, 'name', '')[:40]}".rstrip()


class AddUser(_Request, frozen=True, tag="add_user"):
    """Make an account."""

    name: str
    password_hash: str
    reuse_name: bool = False


class SetPassword(_Request, frozen=True, tag="set_password"):
    """Give an account another password."""

    name: str
    password_hash: str


class DeleteUser(_Request, frozen=True, tag="delete_user"):
    """Delete an account, and end its sessions."""

    name: str


class EraseUser(_Request, frozen=True, tag="erase_user"):
    """Delete an account if it is not yet, and erase what it wrote.

    A running daemon does a part of it and says so: ask again, by the id, until it is done.
    """

    name: str
    id: int | None = None
    """Means an account by its id, whatever the name."""


class LockUser(_Request, frozen=True, tag="lock_user"):
    """Lock an account, and end its sessions."""

    name: str


class UnlockUser(_Request, frozen=True, tag="unlock_user"):
    """Let a locked account log in again."""

    name: str


class ListUsers(_Request, frozen=True, tag="list_users"):
    """Ask for all accounts."""


class CreateRoom(_Request, frozen=True, tag="create_room"):
    """Make a room; it always has an owner."""

    name: str
    owner: str
    kind: RoomKind = RoomKind.OPEN
    history: HistoryFrom = HistoryFrom.JOINING
    topic: str = ""


class ArchiveRoom(_Request, frozen=True, tag="archive_room"):
    """Close a room: it can be read, and nothing else."""

    name: str


class DeleteRoom(_Request, frozen=True, tag="delete_room"):
    """Delete a room, with all that was written in it."""

    name: str


class Status(_Request, frozen=True, tag="status"):
    """Ask how the daemon is; only a running one can answer."""


class AccountInfo(msgspec.Struct, frozen=True):
    """An account as it is shown to the operator."""

    id: int
    name: str
    state: str
    created_ms: int


class _Reply(msgspec.Struct, frozen=True, tag_field="reply"):
    """Base of the replies."""


class Done(_Reply, frozen=True, tag="done"):
    """It was done, to this account."""

    account: AccountInfo


class Erased(_Reply, frozen=True, tag="erased"):
    """A part of what this account wrote was erased."""

    account: AccountInfo
    done: bool
    """Whether there is nothing left to do."""
    compaction_due: bool = False
    """Whether traces stay in unused parts of the store's file until the daemon is started again."""


class RoomChanged(_Reply, frozen=True, tag="room_changed"):
    """It was done, to this room."""

    id: int
    name: str


class Accounts(_Reply, frozen=True, tag="accounts"):
    """All accounts that are not deleted, by name."""

    accounts: list[AccountInfo]


class DaemonStatus(_Reply, frozen=True, tag="status"):
    """How the daemon is."""

    version: str
    pid: int
    uptime_s: float
    connections: int
    """Open connections, logged in or not."""
    sessions: int
    """Connections that are logged in."""
    users_online: int


class Failed(_Reply, frozen=True, tag="failed"):
    """It was not done."""

    exit_code: int
    """What the command ends with."""
    message: str

    def error(self) -> QscpdError:
        """The exception that this was made from, as good as it can be restored."""
        kind = _BY_EXIT_CODE.get(self.exit_code, QscpdError)
        return ConfigError([self.message]) if kind is ConfigError else kind(self.message)


RoomRequest = CreateRoom | ArchiveRoom | DeleteRoom
UserRequest = AddUser | SetPassword | DeleteUser | EraseUser | LockUser | UnlockUser | ListUsers
Request = UserRequest | RoomRequest | Status
Reply = Done | Erased | RoomChanged | Accounts | DaemonStatus | Failed

_BY_EXIT_CODE: Final[dict[int, type[QscpdError]]] = {
    kind.exit_code: kind
    for kind in (UsageError, ConfigError, NotFoundError, ExistsError, PermissionDeniedError, NotRunningError)
}

_encoder = msgspec.json.Encoder()
_request_decoder = msgspec.json.Decoder(Request)
_reply_decoder = msgspec.json.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Write one line, with its newline."""
    return _encoder.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Read a request.

    Raises:
        UsageError: It is none; the text says what is wrong, and quotes nothing of it.
    """
    try:
        request: Request = _request_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # msgspec's texts name types, fields and positions, and quote at most an unknown tag or field.
        raise UsageError(f"this is not a request of qscpd: {str(error)[:200]}") from None
    return request


def decode_reply(line: bytes) -> Reply:
    """Read a reply.

    Raises:
        QscpdError: It is none, so what answers is another version of qscpd or something else.
    """
    try:
        reply: Reply = _reply_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise QscpdError(
            "the answer on the admin socket makes no sense; is another version of qscpd running? "
            "Restart the daemon after an upgrade"
        ) from None
    return reply


def failed(error: QscpdError) -> Failed:
    """Turn an exception into the reply that says the same."""
    return Failed(error.exit_code, str(error))
