import pytest

from qscpd.config import Config, find_warnings
from qscpd.config.model import Argon2Config, LoginConfig, ServerConfig

_MIB = 1 << 10


@pytest.fixture(autouse=True)
def _many_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine allows, let the process have many open files."""
    monkeypatch.setattr("qscpd.config.advice.descriptor_limit", lambda: 65_536)


def warnings(memory_mib: float, iterations: int, parallelism: int = 1) -> list[str]:
    """Return the warnings about a cost of hashes."""
    argon2 = Argon2Config(round(memory_mib * _MIB), iterations, parallelism)
    return find_warnings(Config(login=LoginConfig(argon2=argon2)))


def test_the_defaults_are_no_reason_to_warn() -> None:
    """The default is OWASP's first choice."""
    assert find_warnings(Config()) == []


@pytest.mark.parametrize(
    ("memory_mib", "iterations"),
    [(46, 1), (19, 2), (12, 3), (9, 4), (7, 5), (1024, 1), (20, 3), (7, 50), (64, 3)],
)
@pytest.mark.parametrize("parallelism", [1, 4])
def test_enough_is_enough(memory_mib: float, iterations: int, parallelism: int) -> None:
    """Each of OWASP's equivalents is enough, and more of anything is."""
    assert warnings(memory_mib, iterations, parallelism) == []


@pytest.mark.parametrize(
    ("memory_mib", "iterations"),
    [(45.9, 1), (18.9, 2), (11.9, 3), (8.9, 4), (6.9, 5), (6, 1000), (8 / _MIB, 1)],
)
@pytest.mark.parametrize("parallelism", [1, 4])
def test_too_little_is_a_warning(memory_mib: float, iterations: int, parallelism: int) -> None:
    """A cost below all of them is one sentence with the values, and what is enough."""
    (sentence,) = warnings(memory_mib, iterations, parallelism)
    assert f"iterations {iterations} are less than OWASP's minimum" in sentence
    assert "46MiB and 1, 19MiB and 2, 12MiB and 3, 9MiB and 4, 7MiB and 5" in sentence


@pytest.mark.parametrize(("connections", "limit", "accepted"), [(4096, 4159, 4095), (100, 70, 6), (1, 10, 1)])
def test_more_connections_than_descriptors_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, connections: int, limit: int, accepted: int
) -> None:
    """A process that can't have that many files open is one sentence with what it will accept."""
    monkeypatch.setattr("qscpd.config.advice.descriptor_limit", lambda: limit)
    (sentence,) = find_warnings(Config(server=ServerConfig(max_connections=connections)))
    assert sentence.startswith(
        f"server.max_connections: {connections} connections need {connections + 64} open"
    )
    assert f"can have only {limit}, so connections beyond {accepted} are refused" in sentence
    monkeypatch.setattr("qscpd.config.advice.descriptor_limit", lambda: connections + 64)
    assert find_warnings(Config(server=ServerConfig(max_connections=connections))) == []
