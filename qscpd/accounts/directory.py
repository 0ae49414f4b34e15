"""Directory of the accounts, in memory: a name is looked up without a read of the store.

The store is the truth. This copy is loaded when the daemon starts, and each change is applied in the
order of the commits. A thousand accounts are about 300 KiB.
"""

from collections.abc import Iterable, Mapping

from qscp.errors import InvalidNameError
from qscp.names import normalize_name
from qscpd.bus.base import Commit
from qscpd.domain.events import AccountChanged
from qscpd.domain.model import Account, AccountState


class Directory:
    """Accounts by name and by id.

    Attributes:
        names: The name of every account that ever existed, by id: old messages still have a sender.
    """

    def __init__(self, accounts: Iterable[Account], names: Mapping[int, str]) -> None:
        self.names = dict(names)
        self._by_name: dict[str, Account] = {}
        self._by_id: dict[int, Account] = {}
        for account in accounts:
            self.update(account)

    def __len__(self) -> int:
        return len(self._by_name)

    def on_commit(self, commit: Commit[object]) -> None:
        """Apply the changes of accounts in a commit."""
        for event in commit.events:
            if isinstance(event, AccountChanged):
                self.update(event.account)

    def update(self, account: Account) -> None:
        """Add or replace an account; of a deleted one only the name is kept."""
        self.names[account.id] = account.name
        if account.state is AccountState.DELETED:
            known = self._by_id.pop(account.id, None)
            if known is not None and self._by_name.get(known.name) is known:
                del self._by_name[known.name]
            return
        self._by_name[account.name] = self._by_id[account.id] = account

    def by_name(self, name: str) -> Account | None:
        """Return the account of a name, however it is written; None if it does not exist."""
        account = self._by_name.get(name)
        if account is None:
            try:
                account = self._by_name.get(normalize_name(name))
            except InvalidNameError:
                return None
        return account

    def by_id(self, account: int) -> Account | None:
        """Return the account of an id; None if it does not exist or is deleted."""
        return self._by_id.get(account)
