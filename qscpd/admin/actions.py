"""Requests performed on a store."""

import contextlib
import time
from collections.abc import Callable
from typing import Final, TypeVar, assert_never

from qscp.errors import ErrorCode, InvalidNameError, InvalidTextError
from qscp.names import normalize_name
from qscp.rooms import check_topic, normalize_room
from qscpd.accounts.passwords import check_hash
from qscpd.admin.messages import (
    AccountInfo,
    Accounts,
    AddUser,
    ArchiveRoom,
    CreateRoom,
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
    failed,
)
from qscpd.domain.model import Account, AccountState
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import (
    ExistsError,
    NotFoundError,
    NotRunningError,
    QscpdError,
    StoreDamagedError,
    StoreError,
    UsageError,
)
from qscpd.store.base import Store

R = TypeVar("R")

_PAUSE_S: Final = 0.001
"""Pause between two steps of an erasure, so that waiting for a reader is not a busy loop."""


def perform(request: Request, store: Store) -> Reply:
    """Perform a request, in the thread that owns the store.

    The daemon does `Status` and `EraseUser` itself: a store knows nothing of the first, and must not be
    held up by the second.

    Raises:
        StoreError: The store failed, which the daemon must know; any other error is a
            `Failed` reply.
    """
    return _reply_on_error(lambda: _perform(request, store))


def begin_erasing(request: EraseUser, store: Store) -> Done | Failed:
    """Delete the account, if it is not deleted yet; `Housekeeping.erase_step` erases its messages.

    Raises:
        StoreError: As in `perform`.
    """
    return _reply_on_error(lambda: Done(account_info(_deleted(request, store))))


def _reply_on_error(work: Callable[[], R]) -> R | Failed:
    try:
        return work()
    except StoreError:
        raise
    except QscpdError as error:
        return failed(error)
    except (InvalidNameError, InvalidTextError) as error:
        return failed(UsageError(str(error)))


def _perform(request: Request, store: Store) -> Reply:
    match request:
        case ListUsers():
            return Accounts([account_info(account) for account in store.accounts()])
        case Status():
            raise NotRunningError("qscpd is not running; start it with `qscpd run`")
        case EraseUser():
            return _erase(request, store)
        case CreateRoom() | ArchiveRoom() | DeleteRoom():
            return _change_room(request, store)
        case AddUser():
            check_hash(request.password_hash)
            name = normalize_name(request.name)
            account = store.add_account(name, request.password_hash, reuse_name=request.reuse_name)
        case SetPassword():
            check_hash(request.password_hash)
            account = store.set_password(normalize_name(request.name), request.password_hash)
        case DeleteUser():
            account = store.delete_account(normalize_name(request.name))
        case LockUser() | UnlockUser():
            locked = isinstance(request, LockUser)
            account = store.set_locked(normalize_name(request.name), locked=locked)
        case _:
            assert_never(request)
    return Done(account_info(account))


def _change_room(request: RoomRequest, store: Store) -> RoomChanged:
    """Change a room as the operator, who has every permission."""
    change = _room_change(request, store)
    try:
        room = store.change_room(change).room
    except DeniedError as error:
        raise _operator_error(error, request, change.room) from None
    return RoomChanged(room.id, room.name)


def _room_change(request: RoomRequest, store: Store) -> RoomChange:
    """Return the change that a request means; actor None is the operator."""
    room = normalize_room(request.name)
    if not isinstance(request, CreateRoom):
        action = "archive" if isinstance(request, ArchiveRoom) else "delete"
        return RoomChange(action=action, room=room, actor=None)
    check_topic(request.topic)
    name = normalize_name(request.owner)
    owner = store.credentials(name)
    if owner is None:
        raise NotFoundError(f"account {name} not found; `qscpd listusers` shows all")
    return RoomChange(
        action="create",
        room=room,
        actor=None,
        target=owner.account.id,
        kind=request.kind,
        history=request.history,
        text=request.topic,
    )


def _operator_error(error: DeniedError, request: RoomRequest, room: str) -> QscpdError:
    """Return the error for the operator; the protocol's sentences are for members."""
    match error.code:
        case ErrorCode.ROOM_EXISTS:
            return ExistsError(f"room {room} already exists; choose another name")
        case ErrorCode.UNKNOWN_ROOM:
            return NotFoundError(f"room {room} not found; `qscpd room list` shows all")
        case ErrorCode.ROOM_ARCHIVED:
            return QscpdError(f"{room} is already archived")
        case ErrorCode.TOO_MANY_ROOMS if isinstance(request, CreateRoom):
            return QscpdError(
                f"{normalize_name(request.owner)} has reached the limit of rooms; choose another owner"
            )
        case _:
            return QscpdError(str(error))


def _deleted(request: EraseUser, store: Store) -> Account:
    name = normalize_name(request.name) if request.id is None else ""
    account = store.find_account(name, request.id)
    return account if account.state is AccountState.DELETED else store.delete_account(account.name)


def _erase(request: EraseUser, store: Store) -> Erased:
    """Erase in one go; nobody else uses the store."""
    account = _deleted(request, store)
    while store.housekeeping.erase_step(account.id):
        time.sleep(_PAUSE_S)
    damaged = store.housekeeping.erase_damaged(account.id)
    if store.housekeeping.compaction_due():
        with contextlib.suppress(StoreDamagedError):  # it is still due then
            store.housekeeping.compact()
    due = store.housekeeping.compaction_due()
    return Erased(account_info(account), done=True, compaction_due=due, damaged=damaged)


def account_info(account: Account) -> AccountInfo:
    """Return an account as replies have it."""
    return AccountInfo(account.id, account.name, account.state.value, account.created_ms)
