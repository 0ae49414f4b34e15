"""Retention: limits of count and age, exact to the message and the millisecond."""

import pytest

from qscpd.domain.model import Keep, MessageRow
from qscpd.domain.retention import KEEP_IDS_MS, first_kept, id_is_outlived, oldest_kept_ms, outlived

NOW = 1_700_000_000_000


@pytest.mark.parametrize(("messages", "first"), [(None, 5), (100, 5), (6, 5), (5, 6), (1, 10)], ids=str)
def test_the_newest_are_kept_by_count(messages: int | None, first: int) -> None:
    """`first_kept` is the first of the newest messages, and never below the current first seq."""
    assert first_kept(Keep(messages=messages), 5, 10) == first


def test_the_limit_of_age_is_exact() -> None:
    """Without a limit of age nothing is too old; otherwise the limit is exact."""
    assert oldest_kept_ms(Keep(), NOW) == 0
    assert oldest_kept_ms(Keep(age_ms=1000), NOW) == NOW - 1000


def test_a_prefix_is_pruned() -> None:
    """All messages after a kept one are kept, even if the clock was set back."""
    rows = [MessageRow(seq, time, 1, "", "x") for seq, time in ((1, 10), (2, 20), (3, 20), (4, 5))]
    assert [row.seq for row in outlived(rows, 3, 0)] == [1, 2]
    assert [row.seq for row in outlived(rows, 0, 20)] == [1]
    assert [row.seq for row in outlived(rows, 0, 21)] == [1, 2, 3, 4]
    assert list(outlived(rows, 1, 0)) == []


def test_an_id_is_known_for_thirty_days() -> None:
    """An id is outlived after thirty days, to the millisecond."""
    assert KEEP_IDS_MS == 30 * 86_400_000
    assert not id_is_outlived(NOW - KEEP_IDS_MS, NOW)
    assert id_is_outlived(NOW - KEEP_IDS_MS - 1, NOW)
