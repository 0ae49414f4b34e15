"""The installed service with addresses that the machine lacks, in the sandbox of the unit."""

from collections.abc import Callable, Iterator

import pytest

from tests.systemd.machine import Machine, Service, wait_until

pytestmark = pytest.mark.systemd

_DROP_IN = "/run/systemd/system/qscpd.service.d/listen.conf"
_LATER = "203.0.113.7"


@pytest.fixture
def listen(machine: Machine) -> Iterator[Callable[[str], None]]:
    """Sets the addresses of the service's next start."""

    def configure(addresses: str) -> None:
        machine.write(_DROP_IN, f'[Service]\nEnvironment="QSCPD_SERVER__LISTEN={addresses}"\n')
        machine.run("systemctl", "daemon-reload")

    machine.run("mkdir", "-p", _DROP_IN.rpartition("/")[0])
    yield configure
    machine.run("rm", "-f", _DROP_IN)
    machine.run("systemctl", "daemon-reload")


def test_an_address_comes_after_the_service(
    machine: Machine, service: Service, listen: Callable[[str], None]
) -> None:
    """The service starts without it, says so, and answers on it as soon as the machine has it."""
    listen(f"127.0.0.1:7727,{_LATER}:7727")
    service.start()
    assert f"this machine lacks {_LATER}:7727" in service.property("StatusText")
    assert f"listen_missing: {_LATER}:7727" in machine.run("qscpd", "status")
    machine.run("ip", "address", "add", f"{_LATER}/32", "dev", "lo")
    try:
        assert "listen_missing" not in machine.run("qscpd", "status")
        connect = f"import socket; socket.create_connection(('{_LATER}', 7727)).close()"
        machine.run("python3", "-c", connect)
        wait_until(lambda: "lacks" not in service.property("StatusText"), "the status has forgotten it")
    finally:
        machine.run("ip", "address", "del", f"{_LATER}/32", "dev", "lo")


def test_a_privileged_port_fails_once(service: Service, listen: Callable[[str], None]) -> None:
    """The unit has no capability for it; the status names the setting that helps, and nothing is retried."""
    listen("127.0.0.1:80")
    service.start_fails()
    assert service.property("ExecMainStatus") == "6"
    assert service.property("NRestarts") == "0"
    status = "Failed: server.listen: 127.0.0.1:80: user qscpd can't use a port this low"
    assert service.property("StatusText").startswith(status)
    assert "CAP_NET_BIND_SERVICE" in service.property("StatusText")
