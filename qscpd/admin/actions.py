"""What each request does to a store."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from qscp.errors import InvalidNameError
from qscp.names import normalize_name
from qscpd.admin.messages import (
    AccountInfo,
    Accounts,
    AddUser,
    DeleteUser,
    Done,
    Erased,
    EraseUser,
    Failed,
    ListUsers,
    LockUser,
    Reply,
    Request,
    SetPassword,
    Status,
    UnlockUser,
    failed,
)
from qscpd.errors import NotRunningError, QscpdError, StoreError, UsageError
from qscpd.passwords import check_hash
from qscpd.store.base import Account, AccountState, Store

__all__ = ["begin_erasing", "perform"]

R = TypeVar("R")

_PAUSE_S: Final = 0.001
"""Between two steps: when there is nothing to do but to wait for a reader, that is not a busy loop."""


def perform(request: Request, store: Store) -> Reply:
    """Do what is asked for, in the thread that owns the store.

    The daemon also ends sessions after `DeleteUser` and `LockUser`, and does `Status` and
    `EraseUser` itself, because a store knows nothing of the one and must not be held up by the other.

    Raises:
        StoreError: The store failed, which the daemon must know; anything else that a
            request may run into is a `Failed` reply.
    """
    return _answered(lambda: _perform(request, store))


def begin_erasing(request: EraseUser, store: Store) -> Done | Failed:
    """Delete the account, if it is not deleted yet; `Store.erase_step` does the rest.

    Raises:
        StoreError: As in `perform`.
    """
    return _answered(lambda: Done(_info(_deleted(request, store))))


def _answered(work: Callable[[], R]) -> R | Failed:
    try:
        return work()
    except StoreError:
        raise
    except QscpdError as error:
        return failed(error)
    except InvalidNameError as error:
        return failed(UsageError(str(error)))


def _perform(request: Request, store: Store) -> Reply:
    match request:
        case ListUsers():
            return Accounts([_info(account) for account in store.accounts()])
        case Status():
            raise NotRunningError("qscpd is not running")
        case EraseUser():
            return _erase(request, store)
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
    return Done(_info(account))


def _deleted(request: EraseUser, store: Store) -> Account:
    name = normalize_name(request.name) if request.id is None else ""
    account = store.find_account(name, request.id)
    return account if account.state is AccountState.DELETED else store.delete_account(account.name)


def _erase(request: EraseUser, store: Store) -> Erased:
    """Erase to the end; nobody else is using the store."""
    account = _deleted(request, store)
    while store.erase_step(account.id):
        time.sleep(_PAUSE_S)
    if store.compaction_due():
        store.compact()
    return Erased(_info(account), done=True)


def _info(account: Account) -> AccountInfo:
    return AccountInfo(account.id, account.name, account.state.value, account.created_ms)
