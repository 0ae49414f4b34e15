"""The clocks of the system, and the time of a store that is judged by them."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from qscpd.domain.clock import ClockDoubt, ClockState, Now, Reading, begin, confirm, doubt, observe, time_of

Clock = Callable[[], Reading]
"""Reads the clocks."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_UPTIME: Final = Path("/proc/uptime")
_DAY_NS: Final = 86_400 * 10**9

_OBSERVED_MS: Final = 60_000
"""Interval of observations, so that small differences add up to something to follow."""


def boot_id() -> str:
    """Return the id of this boot of the system; empty if it is unknown."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


class SystemClock:
    """The clocks of the system."""

    def __init__(self) -> None:
        self._clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        boot_ns = time.clock_gettime_ns(self._clock)
        self._boot_id = boot_id()
        zero_ns = _zero_ns(boot_ns)
        if not self._boot_id or zero_ns is None:
            # Without a clock that is known to count from the boot, each process is a boot of its own.
            self._boot_id, zero_ns = f"process-{secrets.token_hex(8)}", boot_ns
        self._zero_ns = zero_ns

    def __call__(self) -> Reading:
        """Read the clocks."""
        boot_ns = time.clock_gettime_ns(self._clock) - self._zero_ns
        return Reading(time.time_ns() // 1_000_000, boot_ns // 1_000_000, self._boot_id)


def _zero_ns(boot_ns: int) -> int | None:
    """Return what a clock had at the boot; None if that can't be found out.

    Args:
        boot_ns: What it has now.
    """
    if abs(time.time_ns() - boot_ns) >= _DAY_NS:
        return 0
    # Under libfaketime every clock has the faked time. The kernel's file has the true one; it is not used
    # otherwise, because in a container it can begin anew with the container.
    try:
        return boot_ns - round(float(_UPTIME.read_text(encoding="ascii").split()[0]) * 1e9)
    except (OSError, ValueError):
        return None


class StoreClock:
    """The time of an open store.

    Args:
        clock: Reads the clocks; None: the system's.
        saved: The state that the store has; None if it has none.
        newest_ms: Time of the newest message of a store without a state; None if it is empty.

    Attributes:
        new_boot: Whether the store has no state of this boot.
    """

    def __init__(self, clock: Clock | None, saved: ClockState | None, newest_ms: int | None) -> None:
        self._read = clock or SystemClock()
        reading = self._read()
        self.new_boot = saved is None or saved.boot_id != reading.boot_id
        self._state = observe(saved, reading) if saved is not None else begin(reading, newest_ms)
        self._doubted = doubt(self._state, reading) is not None

    @property
    def state(self) -> ClockState:
        """What is known of the clocks, to be stored."""
        return self._state

    def now(self) -> Now:
        """Read the clocks, and return the time."""
        return time_of(self._state, self._read())

    def observe(self) -> bool:
        """Compare the clocks; return whether the wall clock lost or gained trust since the last time."""
        reading = self._read()
        doubted = doubt(self._state, reading) is not None
        if doubted is self._doubted and reading.boot_ms - self._state.boot_ms < _OBSERVED_MS:
            return False
        self._state = observe(self._state, reading)
        before, self._doubted = self._doubted, doubt(self._state, reading) is not None
        return self._doubted is not before

    def doubt(self) -> ClockDoubt | None:
        """Return what is wrong with the wall clock; None if it is confirmed."""
        return doubt(self._state, self._read())

    def confirm(self) -> int:
        """Trust the wall clock as it is, and return its time."""
        reading = self._read()
        self._state, self._doubted = confirm(reading), False
        return reading.wall_ms
