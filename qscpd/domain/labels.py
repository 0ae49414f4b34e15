"""Labels of accounts: the names under which they are shown.

A name can be given to a new account after the account that had it was deleted. The new account is
shown with the plain name, and earlier ones as `bob~1`, `bob~2` in the order of their ids. No account
can have such a name, because `~` is not allowed in one.
"""

from collections.abc import Mapping


class AccountLabels:
    """Labels of all accounts that ever existed.

    Args:
        known: Labels by account id.

    Attributes:
        by_id: Labels by account id. The mapping is never replaced, so a caller that keeps it sees changes.
    """

    def __init__(self, known: Mapping[int, str] | None = None) -> None:
        self.by_id = dict(known or {})
        self._holders = {label: account for account, label in self.by_id.items()}

    def add(self, account: int, name: str) -> int | None:
        """Label an account with its name, and the one that had the name before with a number.

        Args:
            account: Its id. Accounts with one name have to be added by rising ids; one that is known is
                ignored.
            name: Its name.

        Returns:
            The account that had the name before; None if there is none.
        """
        if account in self.by_id:
            return None
        former = self._holders.get(name)
        if former is not None:
            number = 1
            while f"{name}~{number}" in self._holders:
                number += 1
            self._set(former, f"{name}~{number}")
        self._set(account, name)
        return former

    def find(self, label: str) -> int | None:
        """Return the id of the account with a label; None if not found."""
        return self._holders.get(label)

    def _set(self, account: int, label: str) -> None:
        self.by_id[account] = label
        self._holders[label] = account
