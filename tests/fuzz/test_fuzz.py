"""Short form of `make fuzz`: all seeds, and a fixed set of their mutations."""

import contextlib
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from qscp import codec
from qscp.errors import RemoteProtocolError
from tests.fuzz import worker
from tests.fuzz.seeds import mutations, seeds_of
from tests.fuzz.targets import TARGETS

MUTATIONS = list(islice(mutations(Random(7727)), 2000))  # noqa: S311 - the same input in every run

SLOW = frozenset({"tls", "daemon_config", "client_config", "backup_manifest", "backup_store"})
"""Targets that take a millisecond or more for an input."""


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_their_mutations_do_no_harm(name: str) -> None:
    """Each target accepts all seeds, and two thousand mutations, or fifty if it is slow.

    They are the same in every run.
    """
    seeds = seeds_of(name)
    changed = mutations(Random(7727), seeds)  # noqa: S311 - the same input in every run
    for data in (*seeds, *islice(changed, 50 if name in SLOW else 2000)):
        TARGETS[name](data)


def test_mutations_are_mixed() -> None:
    """Some mutations are still frames, and most are not."""
    good = 0
    for data in MUTATIONS:
        with contextlib.suppress(RemoteProtocolError):
            good += codec.decode_server_frame(data) is not None
    assert 50 < good < 1000


def test_our_own_loop_stops_in_time_and_saves_failing_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without atheris the loop stops in time, and a failing input is saved and raised."""
    assert worker.fuzz_by_ourselves("splitter", 0, tmp_path) == 0

    def fails(data: bytes) -> None:
        raise ValueError("the parser broke", data)

    monkeypatch.setitem(TARGETS, "splitter", fails)
    with pytest.raises(ValueError, match="the parser broke") as caught:
        worker.fuzz_by_ourselves("splitter", 1, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [caught.value.args[1]]
