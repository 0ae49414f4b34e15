"""The messages that commands can target."""

from qscp_client.core.message_cache import CAPACITY, MessageCache
from qscp_client.core.outbox import EntryKind
from tests.support.items import amendment, message


def test_a_message_is_kept_in_its_current_form() -> None:
    """Amendments of messages that are not here change nothing."""
    cache = MessageCache()
    cache.add(message(1))
    cache.amend(amendment(2, 1), "alice")
    cache.amend(amendment(3, 9, EntryKind.REDACT), "alice")
    [kept] = cache
    assert (kept.body, kept.edited) == ("new", True)
    assert cache.get(9) is None


def test_the_first_entries_go_first() -> None:
    """At most `CAPACITY` are kept."""
    cache = MessageCache()
    for seq in range(1, CAPACITY + 2):
        cache.add(message(seq))
    assert len(list(cache)) == CAPACITY
    assert cache.get(1) is None
    assert cache.get(CAPACITY + 1) is not None


def test_what_the_server_lost_can_not_be_targeted() -> None:
    """Its seqs are given to other messages."""
    cache = MessageCache()
    for seq in (1, 2, 3):
        cache.add(message(seq))
    cache.rewind(2)
    assert [each.seq for each in cache] == [1, 2]
