"""Accounts, in SQLite."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from qscpd.domain.events import AccountChanged
from qscpd.domain.labels import AccountLabels
from qscpd.domain.model import Account, AccountState, Credentials
from qscpd.errors import ExistsError, NotFoundError, UsageError
from qscpd.store.sqlite.database import Database, DatabaseReader

_COLUMNS: Final = "id, name, state, created_ms"


class AccountReader:
    """Reads accounts."""

    def __init__(self, db: DatabaseReader) -> None:
        self._db = db

    def all(self) -> Sequence[Account]:
        """See `StoreReader.accounts`."""
        sql = f"SELECT {_COLUMNS} FROM accounts WHERE state <> 'deleted' ORDER BY name"  # noqa: S608 - ours
        return [_account(row) for row in self._db.read(sql)]

    def find(self, name: str, account: int | None) -> Account:
        """See `StoreReader.find_account`."""
        if account is not None:
            rows = self._db.read(f"SELECT {_COLUMNS} FROM accounts WHERE id = ?", account)  # noqa: S608 - ours
            if not rows:
                raise NotFoundError(f"account a{account} not found")
            return _account(rows[0])
        sql = f"SELECT {_COLUMNS} FROM accounts WHERE name = ? ORDER BY state = 'deleted', id"  # noqa: S608 - ours
        found = [_account(row) for row in self._db.read(sql, name)]
        if not found:
            raise NotFoundError(f"account {name} not found; `qscpd listusers` shows all")
        if found[0].state is AccountState.DELETED and len(found) > 1:
            ids = ", ".join(f"a{each.id}" for each in found)
            raise UsageError(f"{name} was the name of several deleted accounts; choose one with --id: {ids}")
        return found[0]

    def credentials(self, name: str) -> Credentials | None:
        """See `StoreReader.credentials`."""
        rows = self._db.read(
            f"SELECT {_COLUMNS}, password_hash FROM accounts WHERE name = ? AND state <> 'deleted'",  # noqa: S608 - ours
            name,
        )
        return Credentials(_account(rows[0][:4]), rows[0][4]) if rows else None

    def exists(self, account: int) -> bool:
        """Return whether an account exists and is not deleted."""
        sql = "SELECT EXISTS (SELECT 1 FROM accounts WHERE id = ? AND state <> 'deleted')"
        return bool(self._db.read(sql, account)[0][0])

    def names(self) -> Mapping[int, str]:
        """See `StoreReader.account_names`."""
        return _labels(self._db.read("SELECT id, name FROM accounts ORDER BY id"))

    def names_of_deleted(self) -> Mapping[int, str]:
        """Return the names, as they are shown, of all accounts that are deleted."""
        sql = """SELECT id, name FROM accounts
                 WHERE name IN (SELECT name FROM accounts WHERE state = 'deleted') ORDER BY id"""
        return _labels(self._db.read(sql))


class Accounts:
    """Writes accounts."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, name: str, password_hash: str, *, reuse_name: bool) -> Account:
        """See `Store.add_account`."""
        with self._db.transaction() as db:
            self.check_new_name(name, reuse_name=reuse_name)
            rows = db.execute(
                "INSERT INTO accounts (name, state, password_hash, created_ms) VALUES (?, ?, ?, ?) "
                "RETURNING id, name, state, created_ms",
                (name, AccountState.ACTIVE, password_hash, self._db.now_ms),
            ).fetchall()
            return self._changed(rows[0])

    def check_new_name(self, name: str, *, reuse_name: bool) -> None:
        """See `Store.check_new_name`."""
        states = {row[0] for row in self._db.read("SELECT state FROM accounts WHERE name = ?", name)}
        if states - {AccountState.DELETED}:
            raise ExistsError(f"account {name} already exists; choose another name")
        if states and not reuse_name:
            raise ExistsError(
                f"the name {name} belonged to a deleted account; add --reuse-name to give it away again"
            )

    def set_password(self, name: str, password_hash: str) -> Account:
        """See `Store.set_password`."""
        return self._update(name, "password_hash = ?", password_hash)

    def set_locked(self, name: str, *, locked: bool) -> Account:
        """See `Store.set_locked`."""
        return self._update(name, "state = ?", AccountState.LOCKED if locked else AccountState.ACTIVE)

    def mark_deleted(self, name: str) -> Account:
        """Mark an account as deleted and remove its password hash."""
        return self._update(name, "state = ?, password_hash = ''", AccountState.DELETED)

    def replace_hash(self, account: int, old_hash: str, new_hash: str) -> None:
        """See `Store.replace_hash`."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE accounts SET password_hash = ? WHERE id = ? AND password_hash = ?",
                (new_hash, account, old_hash),
            )

    def _update(self, name: str, assignment: str, value: str) -> Account:
        with self._db.transaction() as db:
            rows = db.execute(
                f"UPDATE accounts SET {assignment} WHERE name = ? AND state <> 'deleted' "  # noqa: S608 - ours
                f"RETURNING {_COLUMNS}",
                (value, name),
            ).fetchall()
            if rows:
                return self._changed(rows[0])
        raise NotFoundError(f"account {name} not found; `qscpd listusers` shows all")

    def _changed(self, row: tuple[int, str, str, int]) -> Account:
        account = _account(row)
        self._db.emit(AccountChanged(account))
        return account


def _labels(rows: Iterable[tuple[int, str]]) -> Mapping[int, str]:
    """Return the labels of accounts, from their ids and names by rising id."""
    labels = AccountLabels()
    for account, name in rows:
        labels.add(account, name)
    return labels.by_id


def _account(row: tuple[int, str, str, int]) -> Account:
    return Account(row[0], row[1], AccountState(row[2]), row[3])
