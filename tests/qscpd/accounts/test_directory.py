"""Accounts in memory."""

import pytest

from qscpd.accounts.directory import Directory
from qscpd.domain.model import Account, AccountState

ALICE = Account(1, "alice", AccountState.ACTIVE, 0)


@pytest.fixture
def directory() -> Directory:
    """A directory with alice only."""
    return Directory([ALICE], {7: "gone", 1: "alice"})


@pytest.mark.parametrize("name", ["alice", "ALICE", " Alice "])
def test_a_name_is_found_in_any_spelling(directory: Directory, name: str) -> None:
    """Case and surrounding blanks of a name do not matter."""
    assert directory.by_name(name) is ALICE


@pytest.mark.parametrize("name", ["", "bob", "no name!", "al\u0131ce", "x" * 1000])
def test_other_names_are_not_found(directory: Directory, name: str) -> None:
    """Unknown and invalid names are not found."""
    assert directory.by_name(name) is None


def test_a_change_replaces_the_account(directory: Directory) -> None:
    """A change applies by name and by id."""
    locked = Account(1, "alice", AccountState.LOCKED, 0)
    directory.update(locked)
    assert directory.by_name("alice") is directory.by_id(1) is locked
    assert len(directory) == 1


def test_a_deleted_account_is_removed(directory: Directory) -> None:
    """Deleting is idempotent and keeps a newer account of the same name."""
    deleted = Account(1, "alice", AccountState.DELETED, 0)
    reused = Account(2, "alice", AccountState.ACTIVE, 0)
    directory.update(reused)
    directory.update(deleted)
    assert directory.by_name("alice") is reused
    directory.update(deleted)
    assert directory.by_id(1) is None
    directory.update(Account(2, "alice", AccountState.DELETED, 0))
    assert (directory.by_name("alice"), len(directory)) == (None, 0)


def test_a_name_that_is_given_away(directory: Directory) -> None:
    """The former holder is shown with a number at once; those who keep the mapping see it."""
    names = directory.names
    directory.update(Account(1, "alice", AccountState.DELETED, 0))
    assert names == {7: "gone", 1: "alice"}
    directory.update(Account(8, "alice", AccountState.ACTIVE, 0))
    assert names == {7: "gone", 1: "alice~1", 8: "alice"}
    directory.update(Account(8, "alice", AccountState.LOCKED, 0))
    directory.update(Account(8, "alice", AccountState.DELETED, 0))
    assert names == {7: "gone", 1: "alice~1", 8: "alice"}
    assert directory.by_name("alice~1") is None


def test_a_lock_that_is_not_stored(directory: Directory) -> None:
    """A lock in memory outlives other changes of the account, until it is stored or dropped."""

    def state() -> str:
        return directory.accounts["alice"].state.value

    alice = Account(1, "alice", AccountState.ACTIVE, 0)
    directory.lock_unstored(alice)
    directory.update(alice)  # as after a new password
    assert state() == "locked"
    directory.drop_unstored_lock(alice)
    assert state() == "active"
    directory.lock_unstored(alice)
    directory.update(Account(1, "alice", AccountState.LOCKED, 0))  # stored
    directory.drop_unstored_lock(alice)
    assert state() == "locked"
    directory.update(alice)  # unlocked
    assert state() == "active"
