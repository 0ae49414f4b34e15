import os
from pathlib import Path

import pytest

from qscpd.unit import Unit, unit_with

_SHIPPED = {
    "User": "qscpd",
    "ExecStart": "{ path=/usr/local/bin/qscpd ; argv[]=/usr/local/bin/qscpd run ; ignore_errors=no ; pid=0 }",
    "AmbientCapabilities": "",
    "CapabilityBoundingSet": "",
    "PrivateUsers": "yes",
    "ProtectHome": "yes",
    "ProtectSystem": "strict",
    "ReadWritePaths": "",
    "StateDirectory": "qscpd",
    "LogsDirectory": "qscpd",
    "RuntimeDirectory": "qscpd",
    "CacheDirectory": "",
}
"""What `systemctl show` prints of the unit in `systemd/`."""

CONFIG = Path("/etc/qscpd/qscpd.yaml")

_GRANTED = {
    "AmbientCapabilities": "cap_net_bind_service",
    "CapabilityBoundingSet": "cap_chown cap_net_bind_service",
    "PrivateUsers": "no",
}


def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **properties: str) -> Unit:
    """Return the unit that a `systemctl` prints."""
    lines = "".join(f"{name}={value}\n" for name, value in {**_SHIPPED, **properties}.items())
    (tmp_path / "shown").write_text(lines)
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\ncat {tmp_path}/shown\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    unit = unit_with(CONFIG, default=CONFIG)
    assert unit is not None
    return unit


def test_the_shipped_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no low ports, no homes, and its own directories only."""
    own = (Path("/var/lib/qscpd"), Path("/var/log/qscpd"), Path("/run/qscpd"))
    assert show(tmp_path, monkeypatch) == Unit(user="qscpd", low_ports=False, hides_homes=True, writable=own)


@pytest.mark.parametrize("name", ["", *_GRANTED])
def test_low_ports_need_all_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The capability has to be granted, allowed, and reach the network of the system."""
    properties = {each: value for each, value in _GRANTED.items() if each != name}
    assert show(tmp_path, monkeypatch, **properties).low_ports is (name == "")


def test_a_unit_that_was_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further paths are writable; a unit without protection leaves all to the modes of files."""
    unit = show(tmp_path, monkeypatch, ReadWritePaths="/srv/qscp -/mnt/log", ProtectHome="read-only")
    assert unit.writable is not None
    assert unit.writable[:2] == (Path("/srv/qscp"), Path("/mnt/log"))
    assert not unit.hides_homes
    assert show(tmp_path, monkeypatch, ProtectSystem="full").writable is None


def test_obstacles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the unit hides or protects is named, with what to write into the unit."""
    unit = show(tmp_path, monkeypatch)
    fine = (
        [Path("/etc/qscpd/server.pem")],
        [Path("/var/lib/qscpd"), Path("/run/qscpd"), Path("/var/log/qscpd/x")],
    )
    assert list(unit.find_obstacles(*fine)) == []
    found = list(
        unit.find_obstacles([Path("/home/alice/server.key")], [Path("/srv/qscp"), Path("/home/alice/var")])
    )
    assert [each.partition(":")[0] for each in found] == [
        "/home/alice/server.key",
        "/home/alice/var",
        "/srv/qscp",
        "/home/alice/var",
    ]
    assert "ReadWritePaths=/srv/qscp" in found[2]
    assert (
        list(Unit(user="qscpd", low_ports=True, hides_homes=False, writable=None).find_obstacles(*fine)) == []
    )


@pytest.mark.parametrize("option", ["-c /srv/q.yaml", "--config /srv/q.yaml", "--config=/srv/q.yaml"])
def test_a_unit_with_another_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """What a unit lets its daemon do says nothing of one with another configuration."""
    show(tmp_path, monkeypatch)
    assert unit_with(Path("/srv/q.yaml"), default=CONFIG) is None
    (tmp_path / "shown").write_text(
        f"User=qscpd\nExecStart={{ path=/bin/qscpd ; argv[]=/bin/qscpd run {option} ; ignore_errors=no }}\n"
    )
    assert unit_with(CONFIG, default=CONFIG) is None
    assert unit_with(Path("/srv/q.yaml"), default=CONFIG) is not None


def test_no_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that is not installed has no user, and without systemd there is none."""
    show(tmp_path, monkeypatch)
    (tmp_path / "shown").write_text("User=\nProtectHome=no\n")
    assert unit_with(CONFIG, default=CONFIG) is None
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert unit_with(CONFIG, default=CONFIG) is None
