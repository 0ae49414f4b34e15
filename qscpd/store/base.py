"""What a store does, whatever it keeps its rows in.

A store is synchronous and belongs to one thread at a time: to the thread of
`qscpd.store.writer` in the daemon, to the main thread in a command. Every method is one
transaction: when it returns, what it did is on disk; when it raises, nothing of it is.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

__all__ = ["Account", "AccountState", "Credentials", "NewMessage", "Store", "StoredMessage"]


class AccountState(enum.StrEnum):
    """Where an account is in its life."""

    ACTIVE = "active"
    LOCKED = "locked"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Account:
    """One account, without its password."""

    id: int
    """Never used again, also after the account was deleted."""
    name: str
    state: AccountState
    created_ms: int
    """Milliseconds since 1970-01-01 UTC."""


class Credentials(NamedTuple):
    """What a login is checked against."""

    account: Account
    password_hash: str
    """In the form of passlib, `$argon2id$...`."""


class NewMessage(NamedTuple):
    """A message that is to be stored."""

    sender: int
    """Account id."""
    recipient: int
    """Account id of the other one of the pair."""
    id: str
    """The client's id of the message."""
    body: str


class StoredMessage(NamedTuple):
    """Where and when a message was stored."""

    conversation: int
    seq: int
    time_ms: int


class Store(Protocol):
    """Accounts, conversations and messages."""

    def close(self) -> None:
        """Give the store back; only opening it again is allowed afterwards."""

    # --- accounts

    def add_account(self, name: str, password_hash: str, *, reuse_name: bool = False) -> Account:
        """Make an account.

        Args:
            name: As `qscp.names.normalize_name` returns it.
            password_hash: In the form of passlib.
            reuse_name: Allow the name of a deleted account; the new account has a new id.

        Raises:
            ExistsError: The name is taken, or reserved by a deleted account.
        """

    def set_password(self, name: str, password_hash: str) -> Account:
        """Replace an account's password hash.

        Raises:
            NotFoundError: There is no such account, or it is deleted.
        """

    def set_locked(self, name: str, *, locked: bool) -> Account:
        """Lock or unlock an account; doing it twice changes nothing.

        Raises:
            NotFoundError: There is no such account, or it is deleted.
        """

    def delete_account(self, name: str) -> Account:
        """Delete an account: it can't log in, its name stays reserved, its password hash is gone.

        Raises:
            NotFoundError: There is no such account, or it is deleted already.
        """

    def accounts(self) -> Sequence[Account]:
        """Every account that is not deleted, by name."""

    def credentials(self, name: str) -> Credentials | None:
        """What a login of that name is checked against; None if nobody has it or it is deleted."""

    def replace_hash(self, account: int, old_hash: str, new_hash: str) -> None:
        """Upgrade a password hash after a login, unless the password was changed meanwhile."""

    # --- messages

    def append(self, messages: Sequence[NewMessage]) -> Sequence[StoredMessage]:
        """Store messages in one transaction, in the order given; the answer is in the same order.

        Raises:
            StoreFullError: No room; nothing was stored.
            StoreBusyError: Locked by somebody else; nothing was stored.
            StoreError: An error of unknown outcome: the store must not be used any more.
        """
