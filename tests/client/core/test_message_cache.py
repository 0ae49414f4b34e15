"""Cache of messages that commands can target."""

from qscp_client.core.message_cache import CAPACITY, MessageCache
from qscp_client.core.outbox import EntryKind
from tests.support.items import amendment, message


def test_a_message_is_kept_in_its_current_form() -> None:
    """Amendments update cached messages; those of other messages change nothing."""
    cache = MessageCache()
    cache.add(message(1), "alice")
    cache.amend(amendment(2, 1), "alice")
    cache.amend(amendment(3, 9, EntryKind.REDACT), "alice")
    [kept] = cache
    assert (kept.body, kept.edited) == ("new", True)
    assert cache.get(9) is None


def test_the_cache_is_bounded() -> None:
    """The cache keeps the newest `CAPACITY` messages."""
    cache = MessageCache()
    for seq in range(1, CAPACITY + 2):
        cache.add(message(seq), "alice")
    assert len(list(cache)) == CAPACITY
    assert cache.get(1) is None
    assert cache.get(CAPACITY + 1) is not None


def test_rewind_removes_lost_messages() -> None:
    """Rewind removes messages that the server lost, as their seqs are used again."""
    cache = MessageCache()
    for seq in (1, 2, 3):
        cache.add(message(seq), "alice")
    cache.rewind(2)
    assert [each.seq for each in cache] == [1, 2]
