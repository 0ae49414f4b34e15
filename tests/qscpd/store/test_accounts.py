"""Accounts: their states, names and ids."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.domain.model import Account, AccountState, NewMessage
from qscpd.errors import ExistsError, NotFoundError
from qscpd.store.base import Store
from tests.support.searches import search_page
from tests.support.stores import StoreFactory, housekeep


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


def test_old_and_new_holders_of_a_name_are_told_apart(store: Store) -> None:
    """Every read shows a former holder of a name with a number, and the last one with the plain name."""
    for peer in (2, 3):
        store.append([NewMessage(1, peer, f"{peer:032x}", "hello")])
    store.delete_account("bob")
    store.delete_account("carol")
    assert store.account_names() == {1: "alice", 2: "bob", 3: "carol"}
    assert peers_of(store) == {2: ("bob", True), 3: ("carol", True)}
    for peer in (4, 5):
        assert store.add_account("bob", "x", reuse_name=True).id == peer
        store.append([NewMessage(1, peer, f"{peer:032x}", "hello")])
        if peer == 4:
            store.delete_account("bob")
    assert store.account_names() == {1: "alice", 2: "bob~1", 3: "carol", 4: "bob~2", 5: "bob"}
    assert peers_of(store) == {2: ("bob~1", True), 3: ("carol", True), 4: ("bob~2", True), 5: ("bob", False)}
    store.delete_account("bob")
    assert peers_of(store)[5] == ("bob", True)
    assert store.find_account("bob", 2).name == "bob"


def peers_of(store: Store) -> dict[int | None, tuple[str, bool]]:
    """Return names of alice's peers and whether they are deleted, as all reads of conversations agree."""
    rows = store.conversations(1)
    assert [each.conversation for each in store.conversation_list(1, 0, 100).conversations] == rows
    for row in rows:
        limits = {"limit": 10, "max_bytes": 1000}
        history = store.history_page(1, row.id, **limits)
        replay = store.replay_page(1, row.id, after=0, **limits)
        assert history is not None
        assert replay is not None
        assert history.conversation == replay.conversation == row
    housekeep(store)
    found = search_page(store, 1, ["hello"], limit=10).found
    assert {each.conversation: each.name for each in found} == {row.id: row.name for row in rows}
    return {row.peer: (row.name, row.deleted) for row in rows}


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
