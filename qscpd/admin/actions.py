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
    AccountChange,
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
    StoreFullError,
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
        case CheckNewUser() | CheckUser():
            return _check(request, store)
        case ConfirmClock():
            return _confirm_clock(store)
        case _:
            return Done(account_info(_change_account(request, store)))


def _change_account(request: AccountChange, store: Store) -> Account:
    name = normalize_name(request.name)
    match request:
        case AddUser():
            check_hash(request.password_hash)
            return store.add_account(name, request.password_hash, reuse_name=request.reuse_name)
        case SetPassword():
            check_hash(request.password_hash)
            return store.set_password(name, request.password_hash)
        case DeleteUser():
            return store.delete_account(name)
        case LockUser() | UnlockUser():
            return store.set_locked(name, locked=isinstance(request, LockUser))
        case _:
            assert_never(request)


def _check(request: UserCheck, store: Store) -> Checked:
    name = normalize_name(request.name)
    if isinstance(request, CheckNewUser):
        store.check_new_name(name, reuse_name=request.reuse_name)
    else:
        _require_account(name, store)
    return Checked()


def _confirm_clock(store: Store) -> ClockConfirmed:
    before = store.housekeeping.clock_doubt()
    wall_ms = store.housekeeping.confirm_clock()
    return ClockConfirmed(wall_ms, was_confirmed=before is None)


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
    owner = _require_account(normalize_name(request.owner), store)
    return RoomChange(
        action="create",
        room=room,
        actor=None,
        target=owner.id,
        kind=request.kind,
        history=request.history,
        text=request.topic,
    )


def _require_account(name: str, store: Store) -> Account:
    found = store.credentials(name)
    if found is None:
        raise NotFoundError(f"account {name} not found; `qscpd listusers` shows all")
    return found.account


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
        # It needs as much room again, and undamaged pages; the reply says that it is still due.
        with contextlib.suppress(StoreFullError, StoreDamagedError):
            store.housekeeping.compact()
    due = store.housekeeping.compaction_due()
    return Erased(account_info(account), done=True, compaction_due=due, damaged=damaged)


def account_info(account: Account) -> AccountInfo:
    """Return an account as replies have it."""
    return AccountInfo(account.id, account.name, account.state.value, account.created_ms)
