"""Retention: which messages and message ids have outlived their time. Pure."""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Final

from qscpd.domain.model import Keep, MessageRow

KEEP_IDS_MS: Final = 30 * 24 * 3600 * 1000
"""How long an id is kept: clients retry for 7 days at most, and a laptop may be off for a while."""


def first_kept(keep: Keep, first_seq: int, last_seq: int) -> int:
    """Return the first seq of a conversation that is kept by count."""
    return first_seq if keep.messages is None else max(first_seq, last_seq - keep.messages + 1)


def oldest_kept_ms(keep: Keep, now_ms: int | None) -> int:
    """Return the time from which messages are kept by age.

    Args:
        keep: The limits.
        now_ms: The time; None while it is not known for sure, so that every message is kept.
    """
    return 0 if keep.age_ms is None or now_ms is None else now_ms - keep.age_ms


def outlived(rows: Iterable[MessageRow], first_seq: int, oldest_ms: int) -> Iterator[MessageRow]:
    """Return the rows of a conversation that are pruned: those before a seq or a time, a prefix."""
    # Neither seq nor time ever falls, so nothing behind the first kept row is pruned.
    return takewhile(lambda row: row.seq < first_seq or row.time_ms < oldest_ms, rows)


def id_is_outlived(time_ms: int, now_ms: int) -> bool:
    """Return whether a message id of a time is forgotten."""
    return time_ms < now_ms - KEEP_IDS_MS
