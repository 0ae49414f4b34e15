"""The unit `qscpd.service` of this system: what it lets the daemon do, for `checkconfig` of root."""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

_ANSWER_WAIT_S: Final = 3.0
"""Time that systemd has to show the unit."""

_CONFIG: Final = re.compile(r" (?:-c|--config)[ =]?(\S+)")
"""Option of the daemon's command that names its configuration."""

_LOW_PORTS: Final = "cap_net_bind_service"
_HOMES: Final = tuple(map(Path, ("/home", "/root", "/run/user")))
"""What `ProtectHome=` hides (systemd.exec(5))."""

_OWN: Final = (
    ("StateDirectory", Path("/var/lib")),
    ("LogsDirectory", Path("/var/log")),
    ("RuntimeDirectory", Path("/run")),
    ("CacheDirectory", Path("/var/cache")),
)
_PROPERTIES: Final = (
    *("User", "ExecStart", "AmbientCapabilities", "CapabilityBoundingSet", "PrivateUsers"),
    *("ProtectHome", "ProtectSystem", "ReadWritePaths"),
    *(name for name, _ in _OWN),
)


class Unit(NamedTuple):
    """What a unit lets the daemon do."""

    user: str
    """Name of the daemon's user."""
    low_ports: bool
    """Whether it can listen on ports below 1024."""
    hides_homes: bool
    """Whether it finds nothing in home directories."""
    writable: tuple[Path, ...] | None
    """Directories that it can write to; None if the unit leaves that to their modes."""

    def find_obstacles(self, read: Iterable[Path], written: Iterable[Path]) -> Iterator[str]:
        """Yield what the unit hides or protects from the daemon, one sentence each.

        Args:
            read: Files that the daemon reads.
            written: Directories that it writes to.
        """
        written = tuple(written)
        for path in (*read, *written) if self.hides_homes else ():
            if any(path.is_relative_to(home) for home in _HOMES):
                yield (
                    f"{path}: the unit qscpd.service hides home directories (ProtectHome=); put it elsewhere"
                )
        for directory in written if self.writable is not None else ():
            if not any(directory.is_relative_to(each) for each in self.writable or ()):
                yield (
                    f"{directory}: the unit qscpd.service lets the daemon only read it (ProtectSystem=); run "
                    f"`systemctl edit qscpd`, and write [Service] and ReadWritePaths={directory}, each on a "
                    "line of its own"
                )


def unit_with(config: Path, *, default: Path) -> Unit | None:
    """Return the unit if it runs the daemon with a configuration; None if not, or if systemd does not answer.

    Args:
        config: The configuration.
        default: The configuration of a daemon whose command names none.
    """
    try:
        done = subprocess.run(  # noqa: S603 - no argument comes from elsewhere
            ["systemctl", "show", "qscpd.service", f"--property={','.join(_PROPERTIES)}"],  # noqa: S607 - the distribution decides where it is
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=_ANSWER_WAIT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    shown = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    named = _CONFIG.search(shown.get("ExecStart", ""))
    used = named[1] if named else default
    ours = shown.get("User") and os.path.realpath(used) == os.path.realpath(config)
    return _parse(shown) if ours else None


def _parse(shown: dict[str, str]) -> Unit:
    granted = all(
        _LOW_PORTS in shown.get(name, "").split() for name in ("AmbientCapabilities", "CapabilityBoundingSet")
    )
    writable = [Path(each.lstrip("-+")) for each in shown.get("ReadWritePaths", "").split()]
    for name, base in _OWN:
        # Each is a name, or `name:link`.
        writable += [base / each.partition(":")[0] for each in shown.get(name, "").split()]
    return Unit(
        user=shown["User"],
        # In a user namespace of its own, a capability does not reach the network of the system.
        low_ports=granted and shown.get("PrivateUsers") == "no",
        hides_homes=shown.get("ProtectHome") in ("yes", "tmpfs"),
        writable=tuple(writable) if shown.get("ProtectSystem") == "strict" else None,
    )
