"""Trust in the wall clock: which time rules go by, and when removing by age is safe. Pure.

The wall clock can jump; the time since the boot can't, and it counts suspension too. So times are carried
by the time since the boot from a point where the wall clock was trusted:

- the *confirmed* time, for removal: only a wall clock that ran steadily for a day moves it. The wall clock is
  *confirmed* while it is near this time.
- the *steady* time, for mutes, bans and the edit window: likewise, but it follows small differences at once.

Over a reboot, or on another machine, the time between is unknown: the confirmed time then continues where it
was, and the steady time believes a wall clock that is ahead.
"""

from typing import Final, NamedTuple

import msgspec

TOLERANCE_MS: Final = 6 * 3600 * 1000
"""How far the wall clock can be from the confirmed time: above all zones' summer time and most power cuts,
and little beside the days for which messages are kept."""

CONFIRMING_MS: Final = 24 * 3600 * 1000
"""How long a wall clock that has jumped must run steadily to be confirmed: time to notice and mend it."""

_OFF_MS: Final = 4 * 24 * 3600 * 1000
"""A step ahead over a reboot up to which a day of steady running goes on: off for a night or a long weekend.
Otherwise a machine that is switched off each night would never be confirmed."""

_DRIFT: Final = 1000
"""The steady time follows by at most one part of this many: NTP slews by 500 in a million."""

_AGREES_MS: Final = 1000
"""A difference that is none: a leap second, and rounding."""


class Reading(NamedTuple):
    """A reading of the system's clocks at one moment."""

    wall_ms: int
    """Milliseconds since 1970-01-01 UTC."""
    boot_ms: int
    """Milliseconds since the boot, suspension included."""
    boot_id: str
    """Names the boot; another one means that `boot_ms` began anew."""


class ClockState(msgspec.Struct, frozen=True):
    """What is known of the clocks at a moment; it is stored, and continues in the next process."""

    boot_id: str
    boot_ms: int
    """The moment, as in `Reading`."""
    confirmed_ms: int
    """The confirmed time then."""
    steady_ms: int
    """The steady time then."""
    trial_ms: int | None = None
    """What the wall clock said when it left the confirmed time, carried on; None while it agrees."""
    ran_ms: int = 0
    """How long the machine ran since then without another jump."""


class Now(NamedTuple):
    """The time of one moment, for each purpose; milliseconds since 1970-01-01 UTC, but for `boot_ms`."""

    stamp_ms: int
    """For messages and log entries. Never behind the steady time: what looks older than it is would be
    removed too early."""
    steady_ms: int
    """For rules about times that are stored, as the end of a mute."""
    boot_ms: int
    """For intervals: milliseconds since the boot."""
    removal_ms: int | None
    """For removing by age; None while the wall clock is not confirmed."""


class ClockDoubt(NamedTuple):
    """A wall clock that is not confirmed."""

    wall_ms: int
    expected_ms: int
    """The confirmed time."""
    left_ms: int
    """How much longer it has to run steadily to be confirmed."""


def begin(reading: Reading, newest_ms: int | None) -> ClockState:
    """Return the state of a store that has none.

    Args:
        reading: The clocks now.
        newest_ms: Time of the newest message; None if the store is empty, which any clock can't harm.
    """
    wall_ms = reading.wall_ms
    if newest_ms is None:
        return ClockState(reading.boot_id, reading.boot_ms, wall_ms, wall_ms)
    steady_ms = wall_ms if wall_ms >= newest_ms - TOLERANCE_MS else newest_ms
    return observe(ClockState(reading.boot_id, reading.boot_ms, newest_ms, steady_ms), reading)


def observe(state: ClockState, reading: Reading) -> ClockState:
    """Return the state at a later moment; to be called about each minute, and when the process starts.

    Args:
        state: The state before, of this boot or of an earlier one.
        reading: The clocks now.
    """
    wall_ms = reading.wall_ms
    # A clock of the boot that went back is another one: a container was moved or restored.
    rebooted = reading.boot_id != state.boot_id or reading.boot_ms < state.boot_ms
    passed_ms = 0 if rebooted else reading.boot_ms - state.boot_ms
    confirmed_ms, steady_ms = state.confirmed_ms + passed_ms, state.steady_ms + passed_ms
    if rebooted:
        steady_ms = max(steady_ms, wall_ms)
    trial_ms, ran_ms = None, 0
    if abs(wall_ms - confirmed_ms) > _AGREES_MS:
        trial_ms, ran_ms = _trial(state, wall_ms, passed_ms, rebooted=rebooted)
    if trial_ms is not None and ran_ms >= CONFIRMING_MS:
        confirmed_ms = _nearest(wall_ms, confirmed_ms, trial_ms)
        steady_ms = _nearest(wall_ms, steady_ms, trial_ms)
        trial_ms, ran_ms = None if abs(wall_ms - confirmed_ms) <= _AGREES_MS else wall_ms, 0
    elif abs(wall_ms - confirmed_ms) <= TOLERANCE_MS:
        # It is far off only when it believed a wall clock that was put right later.
        far = abs(wall_ms - steady_ms) > TOLERANCE_MS
        steady_ms = wall_ms if far else _follow(steady_ms, wall_ms, passed_ms)
    return ClockState(reading.boot_id, reading.boot_ms, confirmed_ms, steady_ms, trial_ms, ran_ms)


def confirm(reading: Reading) -> ClockState:
    """Return the state after the operator has confirmed the wall clock."""
    return ClockState(reading.boot_id, reading.boot_ms, reading.wall_ms, reading.wall_ms)


def doubt(state: ClockState, reading: Reading) -> ClockDoubt | None:
    """Return what is wrong with the wall clock; None if it is confirmed.

    Args:
        state: A state of the same boot.
        reading: The clocks now.
    """
    expected_ms = state.confirmed_ms + reading.boot_ms - state.boot_ms
    if abs(reading.wall_ms - expected_ms) <= TOLERANCE_MS:
        return None
    return ClockDoubt(reading.wall_ms, expected_ms, CONFIRMING_MS - state.ran_ms)


def time_of(state: ClockState, reading: Reading) -> Now:
    """Return the time of a moment.

    Args:
        state: A state of the same boot.
        reading: The clocks at the moment.
    """
    wall_ms, boot_ms, _ = reading
    passed_ms = boot_ms - state.boot_ms
    steady_ms, confirmed_ms = state.steady_ms + passed_ms, state.confirmed_ms + passed_ms
    if abs(wall_ms - steady_ms) <= _AGREES_MS:
        steady_ms = wall_ms  # the same for rules and stamps, without the milliseconds of rounding
    removal_ms = min(wall_ms, confirmed_ms) if abs(wall_ms - confirmed_ms) <= TOLERANCE_MS else None
    return Now(max(wall_ms, steady_ms), steady_ms, boot_ms, removal_ms)


def _trial(state: ClockState, wall_ms: int, passed_ms: int, *, rebooted: bool) -> tuple[int, int]:
    """Return `trial_ms` and `ran_ms` of a wall clock that does not agree with the confirmed time."""
    if state.trial_ms is None:
        return wall_ms, 0
    trial_ms = state.trial_ms + passed_ms
    step_ms = wall_ms - trial_ms
    if abs(step_ms) <= TOLERANCE_MS:
        return trial_ms, state.ran_ms + passed_ms
    if rebooted and 0 < step_ms <= _OFF_MS:
        return wall_ms, state.ran_ms
    return wall_ms, 0


def _nearest(wall_ms: int, time_ms: int, trial_ms: int) -> int:
    """Return a time that follows a wall clock which has been at `trial_ms` for a day.

    Beyond that it was not seen for a day; and if it has gone back since, only the rest is followed.
    """
    return min(max(wall_ms, min(time_ms, trial_ms)), max(time_ms, trial_ms))


def _follow(time_ms: int, wall_ms: int, passed_ms: int) -> int:
    """Return a time a little nearer to the wall clock."""
    most_ms = passed_ms // _DRIFT
    return time_ms + max(-most_ms, min(most_ms, wall_ms - time_ms))
