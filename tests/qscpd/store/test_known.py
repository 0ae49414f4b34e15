"""`known`: the outcomes of message ids, without writing."""

from pathlib import Path

from qscpd.domain.model import NewMessage, Refused, StoredMessage
from tests.support.stores import StoreFactory, housekeep


def test_ids_are_known_before_and_after_indexing(store_factory: StoreFactory, tmp_path: Path) -> None:
    """`known` gives the same outcomes before and after indexing, and None for ids of other accounts."""
    store = store_factory.open(tmp_path)
    try:
        for name in ("alice", "bob"):
            store.add_account(name, "hash")
        first = NewMessage(1, 2, f"{1:032x}", "first")
        second = NewMessage(1, 2, f"{2:032x}", "second")
        store.append([first, second])
        asked = [
            second,
            NewMessage(1, 2, second.id, "another text"),
            NewMessage(2, 1, second.id, "second"),
            NewMessage(1, 2, f"{3:032x}", "new"),
        ]
        before = store.known(asked)
        housekeep(store)
        assert store.known(asked) == before
    finally:
        store.close()
    assert isinstance(before[0], StoredMessage)
    assert (before[0].seq, before[0].new) == (2, False)
    assert before[1:] == [Refused(), None, None]
