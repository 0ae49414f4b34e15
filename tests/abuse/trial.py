"""One attack on a daemon of its own: measured without it, with it, and after it."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from qscpd.setup.pki import AuthorityFiles
from tests.abuse.catalogue import ATTACKS, Bounds
from tests.abuse.figures import Sample
from tests.abuse.group import NO_ALLOWANCE, make_store
from tests.abuse.process import START_LIMIT_S, expect, read_line, worker
from tests.support.daemon import Daemon, write_config

__all__ = ["Result", "run_trial"]

_MIB: Final = 1 << 20

_SETTINGS: Final = ("login.argon2.memory=19MiB", "login.argon2.iterations=2", NO_ALLOWANCE)
"""The defaults for a password's cost, which the configurations of tests lower; and no allowance."""

_STOP_LIMIT_S: Final = 25.0
"""`server.shutdown_grace`, and some time for a busy machine."""


class Result(msgspec.Struct, frozen=True):
    """What the group got, and what the attack cost the daemon."""

    name: str
    without: Sample
    during: Sample
    after: Sample
    memory: tuple[int, int, int]
    """Highest resident size of the daemon without, with and after the attack, in bytes."""
    cpu: tuple[float, float]
    """Processor time of the daemon without and with the attack, in seconds a second."""
    log: int
    """Bytes that the attack added to the daemon's logs."""
    did: dict[str, int]
    """What the attacker did."""
    stopped: bool
    """Whether the daemon ended properly at the end, when it was asked to."""

    @property
    def bounds(self) -> Bounds:
        """What the attack may do to others."""
        return ATTACKS[self.name].bounds

    def broken(self, *, times: bool = True) -> list[str]:
        """Return the promises that were broken, as sentences.

        Args:
            times: Whether those about times count, which other programs on the machine break, too.
        """
        return [*(self._slow() if times else ()), *self._harmful()]

    def _slow(self) -> list[str]:
        bounds, during = self.bounds, self.during
        slack = bounds.slack_ms + during.own_delay.p95
        found = [
            f"{what} {after.p95:.0f} ms (p95) with the attack, {before.p95:.0f} ms without it"
            for what, before, after in (
                ("acknowledged after", self.without.acks, during.acks),
                ("delivered after", self.without.deliveries, during.deliveries),
            )
            if after.p95 > max(before.p95 * bounds.ratio, before.p95 + slack)
        ]
        missing = during.acks.missing + during.deliveries.missing
        if missing:
            found.append(f"{missing} acknowledgements and deliveries were missing after 10 s")
        if during.logins.share < bounds.logins:
            found.append(f"{during.logins.in_time} of {during.logins.count} good logins took less than 3 s")
        return found

    def _harmful(self) -> list[str]:
        bounds, during = self.bounds, self.during
        found = []
        if during.cut or self.after.cut:
            found.append(f"sessions of others were cut: {'; '.join((during.cut + self.after.cut)[:5])}")
        if during.refused:
            found.append(f"{during.refused} messages of others were refused")
        if (grown := (max(self.memory[1:]) - self.memory[0]) / _MIB) > bounds.memory_mib:
            found.append(f"the daemon's memory grew by {grown:.0f} MiB")
        if self.log > bounds.log_mib * _MIB:
            found.append(f"the logs grew by {self.log / _MIB:.1f} MiB")
        if not self.stopped:
            found.append("the daemon did not end properly after SIGTERM")
        return found


def run_trial(name: str, authority: AuthorityFiles, seconds: float) -> Result:
    """Run one attack for some seconds, and return what the group got."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        make_store(directory / "qscpd.db", ATTACKS[name].prepare)
        daemon = Daemon(
            directory, write_config(directory, authority, default_limits=True), _SETTINGS, debug=False
        )
        try:
            daemon.wait_until_ready()
            with worker("members", authority.ca_certificate, daemon.port) as group:
                expect(group, "ready")
                used = _cpu(daemon)
                without = _measure(group, max(2.0, seconds / 2))
                cpu = [used.share(_cpu(daemon))]
                memory = [_peak(daemon)]
                logged = _logged(daemon)
                with worker("attacker", name, authority.ca_certificate, daemon.port, seconds) as attacker:
                    expect(attacker, "begun")
                    used = _cpu(daemon)
                    during = _measure(group, seconds)
                    cpu.append(used.share(_cpu(daemon)))
                    did = read_line(attacker)
                memory.append(_peak(daemon))
                after = _measure(group, max(2.0, seconds / 4))
                memory.append(_peak(daemon))
                logged = _logged(daemon) - logged
                stopped = _stop(daemon)
        finally:
            daemon.kill()
    return Result(
        name=name,
        without=without,
        during=during,
        after=after,
        memory=(memory[0], memory[1], memory[2]),
        cpu=(cpu[0], cpu[1]),
        log=logged,
        did=json.loads(did),
        stopped=stopped,
    )


def _measure(group: "subprocess.Popen[str]", seconds: float) -> Sample:
    assert group.stdin is not None
    group.stdin.write(f"measure {seconds}\n")
    group.stdin.flush()
    return msgspec.json.decode(read_line(group, seconds + START_LIMIT_S), type=Sample)


def _peak(daemon: Daemon) -> int:
    """Return the highest resident size since the last call, in bytes."""
    folder = Path(f"/proc/{daemon.process.pid}")
    status = (folder / "status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    (folder / "clear_refs").write_text("5")  # resets VmHWM; see proc_pid_clear_refs(5)
    return int(peak.split()[1]) * 1024


class _CpuTime(NamedTuple):
    used: float
    at: float

    def share(self, later: "_CpuTime") -> float:
        """Return the processor time used until a later moment, in seconds a second."""
        return round((later.used - self.used) / (later.at - self.at), 2)


def _cpu(daemon: Daemon) -> _CpuTime:
    """Return the processor time of the daemon so far, of all its threads, and the time of the reading."""
    # proc_pid_stat(5): fields 14 and 15, counted from behind the name, which can have blanks in it.
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return _CpuTime((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), time.monotonic())


def _logged(daemon: Daemon) -> int:
    """Return the size of the daemon's log and of its session log, in bytes."""
    return sum(map(len, daemon.text)) + (daemon.directory / "sessions.log").stat().st_size


def _stop(daemon: Daemon) -> bool:
    """Ask the daemon to end; return whether it did so properly and in time."""
    daemon.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return daemon.process.wait(_STOP_LIMIT_S) == 0
    return False
