"""Durations in sentences."""

import pytest

from qscpd.cli.output import roughly


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 minute"),
        (89, "1 minute"),
        (90, "2 minutes"),
        (7199, "120 minutes"),
        (7200, "2 hours"),
        (86_399, "24 hours"),
        (172_800, "2 days"),
        (400 * 86_400 - 1, "400 days"),
    ],
)
def test_a_duration_is_rounded(seconds: int, text: str) -> None:
    """A duration is a whole number of the largest unit of which it has two."""
    assert roughly(seconds) == text
