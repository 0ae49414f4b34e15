"""Accounts: their states, names and ids."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.domain.model import Account, AccountState
from qscpd.errors import ExistsError, NotFoundError
from qscpd.store.base import Store
from tests.support.stores import StoreFactory


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path) -> Iterator[Store]:
    """A store with alice, bob and carol as 1, 2 and 3."""
    with contextlib.closing(store_factory.open(tmp_path)) as opened:
        for name in ("alice", "bob", "carol"):
            opened.add_account(name, f"hash of {name}")
        yield opened


def test_the_states_of_an_account(store: Store) -> None:
    """Adding, locking, unlocking, a new password and deleting each return and store the new state."""
    dora = store.add_account("dora", "first")
    assert (dora.id, dora.name, dora.state) == (4, "dora", AccountState.ACTIVE)
    assert store.credentials("dora") == (dora, "first")
    assert store.set_locked("dora", locked=True).state is AccountState.LOCKED
    assert store.set_locked("dora", locked=True).state is AccountState.LOCKED
    assert store.set_password("dora", "second").state is AccountState.LOCKED
    assert store.set_locked("dora", locked=False) == dora
    assert store.credentials("dora") == (dora, "second")
    assert store.delete_account("dora").state is AccountState.DELETED
    assert store.credentials("dora") is None
    assert [account.name for account in store.accounts()] == ["alice", "bob", "carol"]


def test_a_taken_name_is_refused(store: Store) -> None:
    """The name of a locked account is taken, even with `reuse_name`."""
    store.set_locked("alice", locked=True)
    for reuse_name in (False, True):
        with pytest.raises(ExistsError, match="alice already"):
            store.add_account("alice", "x", reuse_name=reuse_name)


def test_a_deleted_name_stays_reserved(store: Store) -> None:
    """The name of a deleted account needs `reuse_name`, and its new account gets a new id."""
    for new_id in (4, 5):
        store.delete_account("alice")
        with pytest.raises(ExistsError, match="--reuse-name"):
            store.add_account("alice", "x")
        assert store.add_account("alice", "x", reuse_name=True).id == new_id


def test_account_ids_are_never_reused(store: Store, store_factory: StoreFactory, tmp_path: Path) -> None:
    """The highest id is not reused after its account was deleted and the store reopened."""
    store.delete_account(store.add_account("dora", "x").name)
    store.close()
    with contextlib.closing(store_factory.open(tmp_path)) as again:
        assert again.add_account("emil", "x").id == 5


@pytest.mark.parametrize("name", ["unknown", "deleted"])
def test_changing_a_missing_account_is_an_error(store: Store, name: str) -> None:
    """Changing an unknown or deleted account raises NotFoundError with its name."""
    store.add_account("deleted", "x")
    store.delete_account("deleted")
    with pytest.raises(NotFoundError, match=name):
        store.set_password(name, "x")
    with pytest.raises(NotFoundError, match=name):
        store.set_locked(name, locked=True)
    with pytest.raises(NotFoundError, match=name):
        store.delete_account(name)


def test_only_an_unchanged_hash_is_upgraded(store: Store) -> None:
    """`replace_hash` does not overwrite a hash that has changed meanwhile."""
    store.replace_hash(1, "hash of alice", "upgraded")
    store.replace_hash(2, "not the hash of bob", "upgraded")
    hashes = [found.password_hash for name in ("alice", "bob") if (found := store.credentials(name))]
    assert hashes == ["upgraded", "hash of bob"]


def test_accounts_survive_a_restart(store: Store, store_factory: StoreFactory, tmp_path: Path) -> None:
    """A reopened store lists the same accounts."""
    before = store.accounts()
    store.close()
    with contextlib.closing(store_factory.open(tmp_path)) as again:
        assert again.accounts() == before
        assert all(isinstance(account, Account) for account in before)
