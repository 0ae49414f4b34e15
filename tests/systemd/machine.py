"""Driver of `machine.sh`: boots a machine, runs commands in it, inspects its service."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

__all__ = ["Machine", "Service", "wait_until"]

_PATIENCE_S = 60.0
_COMMAND_LIMIT_S = 300.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds, and fail with its name if it does not."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"in {_PATIENCE_S:g} s it did not happen: {what}"
        time.sleep(0.05)


class Machine:
    """A booted machine with its own disk over a shared, unchanged root tree."""

    SCRIPT: ClassVar = Path(__file__).with_name("machine.sh")

    def __init__(self, rootfs: Path, state: Path) -> None:
        self._rootfs = rootfs
        self._state = state

    def __enter__(self) -> Self:
        """Boot."""
        self._call("start", self._rootfs, self._state)
        return self

    def __exit__(self, *_: object) -> None:
        """Power off."""
        self._call("stop", self._state)

    def reboot(self) -> None:
        """Power off and boot again from the same disk."""
        self._call("stop", self._state)
        self._call("start", self._rootfs, self._state)

    def put(self, source: Path, destination: str) -> None:
        """Copy a file or folder into a folder of the machine."""
        self._call("put", self._state, source, destination)

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command in the machine and return its output; fail if it failed."""
        done = self.attempt(*command, stdin=stdin)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in the machine, which can fail."""
        return subprocess.run(
            [self.SCRIPT, *self.arguments(*command)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_COMMAND_LIMIT_S,
            check=False,
        )

    def arguments(self, *command: str) -> list[str]:
        """Return the arguments of `SCRIPT` that run a command in the machine."""
        return ["run", str(self._state), *command]

    def converse(self, *command: str) -> subprocess.Popen[str]:
        """Start an interactive command in the machine; stdout and stderr are one stream."""
        return subprocess.Popen(
            [self.SCRIPT, *self.arguments(*command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def write(self, path: str, content: str) -> None:
        """Write a file; an existing one keeps its owner and mode."""
        self.run("sh", "-c", 'cat > "$1"', "sh", path, stdin=content)

    def _call(self, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self.SCRIPT, *arguments], capture_output=True, text=True, timeout=_COMMAND_LIMIT_S, check=False
        )
        assert done.returncode == 0, f"machine.sh {arguments} failed:\n{done.stdout}{done.stderr}"


class Service:
    """The unit `qscpd.service` of a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._invocation = ""

    def start(self) -> None:
        """Start the service, as an administrator would."""
        self._machine.run("systemctl", "start", "qscpd")
        self._invocation = self.property("InvocationID")

    def start_fails(self) -> None:
        """Start the service, and expect systemctl to fail."""
        assert self._machine.attempt("systemctl", "start", "qscpd").returncode != 0
        self._invocation = self.property("InvocationID")

    def stop(self) -> None:
        """Stop the service and reset earlier failures."""
        self._machine.run("systemctl", "stop", "qscpd")
        self._machine.attempt("systemctl", "reset-failed", "qscpd")

    def property(self, name: str) -> str:
        """Return a property of `systemctl show`."""
        return self._machine.run("systemctl", "show", "qscpd", "--property", name, "--value").strip()

    def log(self) -> list[dict[str, str]]:
        """Return the daemon's journal entries since the latest start."""
        self._machine.run("journalctl", "--sync")
        lines = self._machine.run(
            "journalctl", "--output", "json", "--no-pager", f"_SYSTEMD_INVOCATION_ID={self._invocation}"
        )
        return [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
