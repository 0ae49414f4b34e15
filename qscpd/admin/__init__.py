"""Administration of accounts and rooms, by the running daemon or by the command itself.

`messages` has requests and replies, `actions` performs them on a store, `server` is the
daemon's end of the socket, and `client` decides where a request is performed.
"""

from qscpd.admin.actions import account_info, begin_erasing, perform
from qscpd.admin.client import call
from qscpd.admin.messages import (
    AccountInfo,
    Accounts,
    AddUser,
    ArchiveRoom,
    Checked,
    CheckNewUser,
    CheckUser,
    ClockConfirmed,
    ConfirmClock,
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
    UserCheck,
)
from qscpd.admin.server import AdminServer

__all__ = [
    "AccountInfo",
    "Accounts",
    "AddUser",
    "AdminServer",
    "ArchiveRoom",
    "CheckNewUser",
    "CheckUser",
    "Checked",
    "ClockConfirmed",
    "ConfirmClock",
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
    "UserCheck",
    "account_info",
    "begin_erasing",
    "call",
    "perform",
]
