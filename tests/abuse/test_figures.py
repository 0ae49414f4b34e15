"""Percentiles, and what counts as a broken promise; the suite itself is `make abuse`."""

from pathlib import Path

import msgspec
import pytest

from tests.abuse.catalogue import ATTACKS
from tests.abuse.figures import Logins, Sample, Times, percentile, summarize
from tests.abuse.table import HEAD, explain, row
from tests.abuse.trial import Result

MIB = 1 << 20
PAGE = (Path(__file__).parents[2] / "docs/reliability.md").read_text(encoding="utf-8")


def sample(p95: float = 10.0, **changes: object) -> Sample:
    """Return a sample in which all times are alike."""
    times = Times(100, 0, p95 / 2, p95, p95)
    quiet = Sample(times, times, Logins(20, 20, 50.0), [], 0, Times(100, 0, 0.1, 1.0, 2.0))
    return msgspec.structs.replace(quiet, **changes)


def result(during: Sample, **changes: object) -> Result:
    """Return the result of an attack."""
    kept = Result(
        name="pongs",
        without=sample(),
        during=during,
        after=sample(),
        memory=(90 * MIB, 100 * MIB, 100 * MIB),
        cpu=(0.1, 0.2),
        log=1000,
        did={"frames": 7},
        stopped=True,
    )
    return msgspec.structs.replace(kept, **changes)


def test_percentiles_are_of_nearest_rank() -> None:
    """A percentile is one of the values; what never came counts with its age."""
    assert percentile([], 0.95) == 0
    assert percentile([7.0], 0.99) == 7.0
    assert percentile(list(map(float, range(100))), 0.95) == 95.0
    assert summarize([0.001] * 97, [10.0] * 3) == Times(100, 3, 1.0, 1.0, 10_000.0)


def test_an_attack_that_nobody_feels_breaks_no_promise() -> None:
    """Times within 20 ms, and by what the group's own process was late, are the same."""
    assert result(sample()).broken() == []
    assert result(sample(30.9)).broken() == []
    late = sample(60.0, own_delay=Times(100, 0, 1.0, 35.0, 35.0))
    assert result(late).broken() == []


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (result(sample(31.1)), "acknowledged after"),
        (result(sample(cut=["member01: stalled"])), "member01: stalled"),
        (result(sample(), after=sample(cut=["reader1: lost"])), "reader1: lost"),
        (result(sample(refused=2)), "2 messages of others were refused"),
        (result(sample(acks=Times(100, 5, 1, 1, 1))), "5 acknowledgements and deliveries were missing"),
        (result(sample(logins=Logins(20, 18, 50.0))), "18 of 20 good logins"),
        (result(sample(), memory=(90 * MIB, 219 * MIB, 100 * MIB)), "memory grew by 129 MiB"),
        (result(sample(), memory=(90 * MIB, 100 * MIB, 219 * MIB)), "memory grew by 129 MiB"),
        (result(sample(), log=3 * MIB), "logs grew by 3.0 MiB"),
        (result(sample(), stopped=False), "did not end properly"),
    ],
)
def test_each_broken_promise_is_named(broken: Result, sentence: str) -> None:
    """What others felt, and what the daemon should not need, is named in a sentence."""
    assert any(sentence in each for each in broken.broken())
    assert sentence in explain(broken)
    assert row(broken).endswith("| no |")


def test_a_row_has_the_columns_of_the_head() -> None:
    """Each row of the table has as many cells as its head."""
    assert row(result(sample())).count("|") == HEAD.splitlines()[0].count("|")


@pytest.mark.parametrize("name", ATTACKS)
def test_each_attack_is_described(name: str) -> None:
    """Each attack says what it does, and is listed in the documentation."""
    assert len(ATTACKS[name].what) > 10
    assert f"`{name}`" in PAGE
