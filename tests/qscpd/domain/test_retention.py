"""Retention: what has outlived its time, to the message and the millisecond."""

import pytest

from qscpd.domain.model import Keep, MessageRow
from qscpd.domain.retention import KEEP_IDS_MS, first_kept, id_is_outlived, oldest_kept_ms, outlived

NOW = 1_700_000_000_000


@pytest.mark.parametrize(("messages", "first"), [(None, 5), (100, 5), (6, 5), (5, 6), (1, 10)], ids=str)
def test_the_newest_are_kept_by_count(messages: int | None, first: int) -> None:
    """Of seq 5 to 10; what was pruned before stays pruned."""
    assert first_kept(Keep(messages=messages), 5, 10) == first


def test_without_an_age_nothing_is_too_old() -> None:
    """Otherwise, the boundary is exact."""
    assert oldest_kept_ms(Keep(), NOW) == 0
    assert oldest_kept_ms(Keep(age_ms=1000), NOW) == NOW - 1000


def test_a_prefix_is_pruned() -> None:
    """A message that is kept keeps all behind it, also when the clock was set back."""
    rows = [MessageRow(seq, time, 1, "", "x") for seq, time in ((1, 10), (2, 20), (3, 20), (4, 5))]
    assert [row.seq for row in outlived(rows, 3, 0)] == [1, 2]
    assert [row.seq for row in outlived(rows, 0, 20)] == [1]
    assert [row.seq for row in outlived(rows, 0, 21)] == [1, 2, 3, 4]
    assert list(outlived(rows, 1, 0)) == []


def test_an_id_is_known_for_thirty_days() -> None:
    """To the millisecond."""
    assert KEEP_IDS_MS == 30 * 86_400_000
    assert not id_is_outlived(NOW - KEEP_IDS_MS, NOW)
    assert id_is_outlived(NOW - KEEP_IDS_MS - 1, NOW)
