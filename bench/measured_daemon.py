"""A daemon on this machine whose cost is measured: certificates, start and end, and its CPU time."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def make_certificates(folder: Path) -> None:
    """Make the authority and the server's certificate, in `certs`."""
    init = [sys.executable, "-P", "-m", "qscpd", "init", "--config", str(folder / "init.yaml")]
    init += ["--certs", str(folder / "certs"), "--state", str(folder / "state")]
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def daemon(folder: Path, port: int, checkout: Path | None = None) -> Iterator[int]:
    """Run the daemon with the configuration `qscpd.yaml`; yield its process id.

    Args:
        folder: Its folder.
        port: Its port.
        checkout: Run that one's `qscpd`; None: this one's.
    """
    environment = os.environ if checkout is None else {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-P", "-m", "qscpd", "run", "--config", str(folder / "qscpd.yaml")]
    process = subprocess.Popen(command, env=environment, cwd=folder)  # noqa: S603 - ours
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_s(process: int) -> float:
    """Return the CPU time of all threads of a process, in seconds, by its clock (clock_getcpuclockid(3))."""
    return time.clock_gettime(~process << 3 | 2)
