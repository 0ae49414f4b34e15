"""Programs in a network of their own, with the addresses that a test wants; needs root."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

__all__ = ["IPV6_OFF", "in_namespace", "run_inside"]

IPV6_OFF: Final = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6"
"""Shell command that removes all IPv6 addresses, as Docker's default network has none."""


def in_namespace(directory: Path, setup: str = "true", hosts: str = "") -> tuple[str, ...]:
    """Return a command that runs another one in a new network with its own /etc/hosts, as one process.

    Skip the test where this is not possible.

    Args:
        directory: Where files for it go.
        setup: Shell commands that prepare the network; its loopback interface is up.
        hosts: Content of /etc/hosts; empty keeps the machine's.
    """
    _require_namespaces()
    if hosts:
        (directory / "hosts").write_text(hosts, encoding="utf-8")
        setup = f"mount --bind '{directory}/hosts' /etc/hosts && {setup}"
    script = f'ip link set lo up && {setup} && exec "$@"'
    return ("unshare", "--net", "--mount", "sh", "-c", script, "sh")


def run_inside(pid: int, *command: str) -> None:
    """Run a command in the network of a process."""
    subprocess.run(["nsenter", "--net", "--target", str(pid), *command], check=True)


def _require_namespaces() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test ARGS=tests/integration/test_listen.py")
    for program, package in (("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: sudo apt-get install {package}")
    if subprocess.run(["unshare", "--net", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespaces here; in a container: docker run --privileged")
