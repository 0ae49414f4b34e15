"""Accounts in memory: look-ups by name and id without the store.

The store is the source of truth. This copy is loaded when the daemon starts, and each change is
applied in the order of the commits. A thousand accounts are about 300 KiB.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from qscp.errors import InvalidNameError
from qscp.names import normalize_name
from qscpd.domain.events import AccountChanged
from qscpd.domain.labels import AccountLabels
from qscpd.domain.model import Account, AccountState


class Directory:
    """Accounts by name and by id, without deleted ones.

    Args:
        accounts: Every account that is not deleted.
        names: `names`, as the store has them.

    Attributes:
        names: Name of every account as it is shown, deleted ones included, by id: old messages still have
            a sender. `qscpd.domain.labels` says how former holders of a name are shown.
        accounts: Every account that is not deleted, by name.
        on_renamed: Called with the id of each account that is shown under another name from now on.
    """

    def __init__(self, accounts: Iterable[Account], names: Mapping[int, str]) -> None:
        self._labels = AccountLabels(names)
        self.names: Mapping[int, str] = self._labels.by_id
        self.accounts: dict[str, Account] = {}
        self.on_renamed: Callable[[int], None] | None = None
        self._by_id: dict[int, Account] = {}
        self._unstored_locks: set[int] = set()
        """Accounts that are locked here although the store could not be changed, by id."""
        for account in accounts:
            self.update(account)

    def __len__(self) -> int:
        return len(self.accounts)

    def apply(self, event: AccountChanged) -> None:
        """Apply a change of an account."""
        self.update(event.account)

    def update(self, account: Account) -> None:
        """Apply a change of an account; of a deleted one only the name is kept."""
        former = self._labels.add(account.id, account.name)
        if former is not None and self.on_renamed is not None:
            self.on_renamed(former)
        if account.state is not AccountState.ACTIVE:
            self._unstored_locks.discard(account.id)
        elif account.id in self._unstored_locks:  # another password, for one
            account = replace(account, state=AccountState.LOCKED)
        if account.state is AccountState.DELETED:
            known = self._by_id.pop(account.id, None)
            if known is not None and self.accounts.get(known.name) is known:
                del self.accounts[known.name]
            return
        self.accounts[account.name] = self._by_id[account.id] = account

    def lock_unstored(self, account: Account) -> None:
        """Lock an account in memory, as long as the daemon runs or until the store has it locked, too."""
        self.update(replace(account, state=AccountState.LOCKED))
        self._unstored_locks.add(account.id)

    def drop_unstored_lock(self, account: Account) -> None:
        """Unlock an account that is locked in memory only; any other stays as it is."""
        if account.id in self._unstored_locks:
            self._unstored_locks.discard(account.id)
            self.update(replace(account, state=AccountState.ACTIVE))

    def by_name(self, name: str) -> Account | None:
        """Return the account with that name, in any spelling; None if not found."""
        account = self.accounts.get(name)
        if account is None:
            try:
                account = self.accounts.get(normalize_name(name))
            except InvalidNameError:
                return None
        return account

    def labelled(self, label: str) -> int | None:
        """Return the id of the account that is shown under a name, also of a deleted one; None if not found.

        Args:
            label: The name, in any spelling; of a former holder like `bob~1`.
        """
        name = label.strip()
        return self._labels.find(name.lower() if name.isascii() else name)

    def by_id(self, account: int) -> Account | None:
        """Return the account with that id; None if not found."""
        return self._by_id.get(account)
