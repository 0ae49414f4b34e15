"""How long something lasts, typed and read."""

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
def test_what_is_typed(text: str, seconds: int | None) -> None:
    """A number and a unit, and nothing else."""
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
def test_what_stands_behind_a_time(text: str, split: tuple[int, str] | None) -> None:
    """It is a reason, unless it could belong to the time."""
    assert split_duration(text) == split


def test_what_is_too_long_is_a_hundred_years() -> None:
    """No date can't hold it."""
    assert parse_duration("999999999w") == 100 * 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 second"), (12.5, "13 seconds"), (119, "119 seconds"), (121, "3 minutes"), (7300, "3 hours")],
)
def test_a_wait_is_never_said_too_short(seconds: float, text: str) -> None:
    """It is rounded up, to a unit in which it is at least two."""
    assert describe_wait(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(86400, "1 day"), (5400, "90 minutes"), (61, "61 seconds")])
def test_a_duration_is_said_exactly(seconds: int, text: str) -> None:
    """In the largest unit that can."""
    assert describe_duration(seconds) == text
