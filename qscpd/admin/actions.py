"""What each request does to a store."""

from qscp.errors import InvalidNameError
from qscp.names import normalize_name
from qscpd.admin.messages import (
    AccountInfo,
    Accounts,
    AddUser,
    DeleteUser,
    Done,
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
from qscpd.store.base import Account, Store

__all__ = ["perform"]


def perform(request: Request, store: Store) -> Reply:
    """Do what is asked for, in the thread that owns the store.

    The daemon also ends sessions after `DeleteUser` and `LockUser`, and answers `Status`
    itself, because a store knows nothing of either.

    Raises:
        StoreError: The store failed, which the daemon must know; anything else that a
            request may run into is a `Failed` reply.
    """
    try:
        return _perform(request, store)
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


def _info(account: Account) -> AccountInfo:
    return AccountInfo(account.id, account.name, account.state.value, account.created_ms)
