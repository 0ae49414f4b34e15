"""Accounts, in SQLite."""

from collections.abc import Sequence
from typing import Final

from qscpd.domain.model import Account, AccountState, Credentials
from qscpd.errors import ExistsError, NotFoundError, UsageError
from qscpd.store.sqlite.database import Database

__all__ = ["Accounts"]

_ACCOUNT_COLUMNS: Final = "id, name, state, created_ms"


class Accounts(Database):
    """The life of accounts."""

    def add_account(self, name: str, password_hash: str, *, reuse_name: bool = False) -> Account:
        """See `Store.add_account`."""
        with self._transaction() as db:
            states = {row[0] for row in db.execute("SELECT state FROM accounts WHERE name = ?", (name,))}
            if states - {AccountState.DELETED}:
                raise ExistsError(f"there is an account {name} already; choose another name")
            if states and not reuse_name:
                raise ExistsError(
                    f"the name {name} belonged to a deleted account; add --reuse-name to give it away again"
                )
            now = self._clock_ms()
            row = db.execute(
                "INSERT INTO accounts (name, state, password_hash, created_ms) "
                "VALUES (?, ?, ?, ?) RETURNING id",
                (name, AccountState.ACTIVE, password_hash, now),
            ).fetchall()
        return Account(row[0][0], name, AccountState.ACTIVE, now)

    def set_password(self, name: str, password_hash: str) -> Account:
        """See `Store.set_password`."""
        with self._transaction():
            return self._update_account(name, "password_hash = ?", password_hash)

    def set_locked(self, name: str, *, locked: bool) -> Account:
        """See `Store.set_locked`."""
        state = AccountState.LOCKED if locked else AccountState.ACTIVE
        with self._transaction():
            return self._update_account(name, "state = ?", state)

    def delete_account(self, name: str) -> Account:
        """See `Store.delete_account`."""
        with self._transaction():
            account = self._update_account(name, "state = ?, password_hash = ''", AccountState.DELETED)
            self._leave_everything(account.id)
        return account

    def _leave_everything(self, account: int) -> None:
        """Take a deleted account out of what it is a member of; inside the transaction."""

    def _update_account(self, name: str, assignment: str, value: str) -> Account:
        rows = self._db.execute(
            f"UPDATE accounts SET {assignment} WHERE name = ? AND state <> 'deleted' "  # noqa: S608 - ours
            f"RETURNING {_ACCOUNT_COLUMNS}",
            (value, name),
        ).fetchall()
        if not rows:
            raise NotFoundError(f"there is no account {name}; `qscpd listusers` shows all")
        return _account(rows[0])

    def accounts(self) -> Sequence[Account]:
        """See `Store.accounts`."""
        sql = f"SELECT {_ACCOUNT_COLUMNS} FROM accounts WHERE state <> 'deleted' ORDER BY name"  # noqa: S608
        return [_account(row) for row in self._read(sql)]

    def find_account(self, name: str, account: int | None = None) -> Account:
        """See `Store.find_account`."""
        if account is not None:
            rows = self._read(f"SELECT {_ACCOUNT_COLUMNS} FROM accounts WHERE id = ?", account)  # noqa: S608
            if not rows:
                raise NotFoundError(f"there is no account with the id a{account}")
            return _account(rows[0])
        sql = f"SELECT {_ACCOUNT_COLUMNS} FROM accounts WHERE name = ? ORDER BY state = 'deleted', id"  # noqa: S608
        found = [_account(row) for row in self._read(sql, name)]
        if not found:
            raise NotFoundError(f"there is no account {name}; `qscpd listusers` shows all")
        if found[0].state is AccountState.DELETED and len(found) > 1:
            ids = ", ".join(f"a{each.id}" for each in found)
            raise UsageError(f"{name} was the name of several deleted accounts; say which with --id: {ids}")
        return found[0]

    def credentials(self, name: str) -> Credentials | None:
        """See `Store.credentials`."""
        rows = self._read(
            f"SELECT {_ACCOUNT_COLUMNS}, password_hash FROM accounts WHERE name = ? AND state <> 'deleted'",  # noqa: S608
            name,
        )
        return Credentials(_account(rows[0][:4]), rows[0][4]) if rows else None

    def replace_hash(self, account: int, old_hash: str, new_hash: str) -> None:
        """See `Store.replace_hash`."""
        with self._transaction() as db:
            db.execute(
                "UPDATE accounts SET password_hash = ? WHERE id = ? AND password_hash = ?",
                (new_hash, account, old_hash),
            )

    def _is_there(self, account: int) -> bool:
        """Whether there is an account of that id that is not deleted."""
        sql = "SELECT EXISTS (SELECT 1 FROM accounts WHERE id = ? AND state <> 'deleted')"
        return bool(self._read(sql, account)[0][0])

    def account_names(self) -> dict[int, str]:
        """See `Store.account_names`."""
        return dict(self._read("SELECT id, name FROM accounts"))


def _account(row: tuple[int, str, str, int]) -> Account:
    return Account(row[0], row[1], AccountState(row[2]), row[3])
