"""Durations, as typed and as shown."""

import pytest

from qscp_client.durations import describe_duration, describe_wait, parse_duration, split_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("10m", 600),
        ("2H", 7200),
        ("7d", 604800),
        ("1w", 604800),
        ("10 s", 10),
        ("10sec", 10),
        ("5 minutes", 300),
        ("2 Hours", 7200),
        ("1h30m", 5400),
        ("1 day 2 hours", 93600),
        ("30m1h", None),
        ("1h 1h", None),
        ("0s", None),
        ("5 months", None),
        ("5m spam", None),
        ("", None),
        ("10", None),
        ("m", None),
        ("-1m", None),
        ("1.5h", None),
        ("\u0661m", None),
        ("spam", None),
    ],
)
def test_durations_are_parsed(text: str, seconds: int | None) -> None:
    """A duration is one or more numbers with units, the largest first."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("10m spam", (600, "spam")),
        ("1h 3 times warned", (3600, "3 times warned")),
        ("7d", (604800, "")),
        ("spam 7d", None),
        ("10m 2 hours of spam", None),
        ("10many", None),
    ],
)
def test_a_reason_follows_a_duration(text: str, split: tuple[int, str] | None) -> None:
    """Text after a duration is a reason, unless it could belong to the duration."""
    assert split_duration(text) == split


def test_durations_are_at_most_a_hundred_years() -> None:
    """Longer durations are limited to a hundred years, so that a date can hold them."""
    assert parse_duration("999999999w") == 100 * 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 second"), (12.5, "13 seconds"), (119, "119 seconds"), (121, "3 minutes"), (7300, "3 hours")],
)
def test_a_wait_is_rounded_up(seconds: float, text: str) -> None:
    """A wait is rounded up, to the largest unit in which it is at least two."""
    assert describe_wait(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(86400, "1 day"), (5400, "90 minutes"), (61, "61 seconds")])
def test_a_duration_is_described_exactly(seconds: int, text: str) -> None:
    """A duration is described in the largest unit that is exact."""
    assert describe_duration(seconds) == text
