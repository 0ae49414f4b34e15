from pathlib import Path

import pytest

from qscpd.config import Config, ListenAddress, ServerConfig, ports
from qscpd.config.ports import explain_privileged, privileged_addresses
from tests.support.users import as_user

CONFIG = Config(
    server=ServerConfig(
        listen=(ListenAddress("127.0.0.1", 443), ListenAddress("::", 7727), ListenAddress("::1", 0))
    )
)


@pytest.mark.parametrize(
    ("first", "found"), [("1024\n", [443]), ("0\n", []), ("443\n", []), ("8000", [443, 7727])]
)
def test_the_system_says_which_ports_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, found: list[int]
) -> None:
    """`net.ipv4.ip_unprivileged_port_start` counts; port 0 is any free one."""
    (tmp_path / "start").write_text(first)
    monkeypatch.setattr(ports, "_FIRST_FREE", tmp_path / "start")
    with as_user(tmp_path):
        assert [address.port for address in privileged_addresses(CONFIG)] == found


def test_the_default_of_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not say, the first free port is 1024."""
    monkeypatch.setattr(ports, "_FIRST_FREE", tmp_path / "missing")
    with as_user(tmp_path):
        assert [address.port for address in privileged_addresses(CONFIG)] == [443]


@pytest.mark.parametrize(
    ("capabilities", "found"), [("000001ffffffffff", 0), ("0000000000000400", 0), ("0", 1)]
)
def test_the_capability_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capabilities: str, found: int
) -> None:
    """CAP_NET_BIND_SERVICE in effect allows every port (capabilities(7))."""
    (tmp_path / "start").write_text("1024")
    (tmp_path / "status").write_text(f"Name:\tqscpd\nCapEff:\t{capabilities}\n")
    monkeypatch.setattr(ports, "_FIRST_FREE", tmp_path / "start")
    monkeypatch.setattr(ports, "_STATUS", tmp_path / "status")
    assert len(privileged_addresses(CONFIG)) == found
    monkeypatch.setattr(ports, "_STATUS", tmp_path / "missing")
    assert len(privileged_addresses(CONFIG)) == 1


def test_the_sentence_has_the_drop_in() -> None:
    """It names the address, the user, and what the unit needs."""
    sentence = explain_privileged([ListenAddress("::", 443)], "qscpd")
    assert sentence.startswith("server.listen: [::]:443: user qscpd can't use a port this low")
    for line in ("AmbientCapabilities=CAP_NET_BIND_SERVICE", "PrivateUsers=no", "`systemctl edit qscpd`"):
        assert line in sentence
