"""What changes accounts and rooms, done by the running daemon or by the command itself.

`messages` says what is asked and answered, `actions` does it on a store, `server` is the
daemon's end of the socket, and `client` finds out which of the two has to act.
"""

from qscpd.admin.actions import begin_erasing, perform
from qscpd.admin.client import call
from qscpd.admin.messages import (
    AccountInfo,
    Accounts,
    AddUser,
    ArchiveRoom,
    CreateRoom,
    DaemonStatus,
    DeleteRoom,
    DeleteUser,
    Done,
    Erased,
    EraseUser,
    Failed,
    ListUsers,
    LockUser,
    Reply,
    Request,
    RoomChanged,
    RoomRequest,
    SetPassword,
    Status,
    UnlockUser,
)
from qscpd.admin.server import AdminServer

__all__ = [
    "AccountInfo",
    "Accounts",
    "AddUser",
    "AdminServer",
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
    "begin_erasing",
    "call",
    "perform",
]
