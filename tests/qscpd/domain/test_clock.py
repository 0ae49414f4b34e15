"""Trust in the wall clock: jumps, drift, reboots, and what confirms it."""

import pytest

from qscpd.domain.clock import CONFIRMING_MS, TOLERANCE_MS, Now, confirm, doubt
from tests.support.machine import DAY, HOUR, MINUTE, SECOND, START, Machine


@pytest.fixture
def machine() -> Machine:
    """A machine with a new store."""
    return Machine()


def test_a_clock_that_does_not_jump_is_the_time(machine: Machine) -> None:
    """Without a jump all times are the wall clock's, to the millisecond."""
    machine.run(40 * DAY + 1)
    wall_ms = START + 40 * DAY + 1
    assert machine.now == Now(wall_ms, wall_ms, machine.boot_ms, wall_ms)


@pytest.mark.parametrize("jump", [TOLERANCE_MS + 1, -TOLERANCE_MS - 1, 400 * DAY, -400 * DAY])
def test_a_jump_is_not_confirmed(machine: Machine, jump: int) -> None:
    """A jump beyond the tolerance is noticed at once, and the steady time does not move."""
    machine.jump(jump)
    assert not machine.confirmed()
    assert doubt(machine.state, machine.reading()) == (START + jump, START, CONFIRMING_MS)
    assert machine.now.steady_ms == START
    machine.run(3 * SECOND)
    assert machine.now.steady_ms == START + 3 * SECOND


@pytest.mark.parametrize("jump", [TOLERANCE_MS, -TOLERANCE_MS, -HOUR, 2 * HOUR])
def test_a_jump_within_the_tolerance(machine: Machine, jump: int) -> None:
    """It pauses nothing; removal is by the earlier time, and the steady time goes on."""
    machine.jump(jump)
    assert machine.confirmed()
    assert machine.now == Now(max(START, START + jump), START, machine.boot_ms, min(START, START + jump))


@pytest.mark.parametrize("difference", [1, -1, 1000, -1000])
def test_rounding_makes_no_difference(machine: Machine, difference: int) -> None:
    """Rules and stamps have one time while the clocks agree to a second, so a mute ends as it is logged."""
    machine.jump(difference)
    assert machine.now.steady_ms == machine.now.stamp_ms == START + difference


def test_many_small_jumps_are_one(machine: Machine) -> None:
    """Small jumps add up: it is not the last reading that a jump is measured against."""
    for _ in range(6):
        machine.jump(HOUR)
        assert machine.confirmed()
        machine.run(10 * MINUTE)
    machine.jump(HOUR)
    assert not machine.confirmed()
    assert abs(machine.now.steady_ms - machine.true_ms) < 10 * SECOND


def test_a_day_of_steady_running_confirms(machine: Machine) -> None:
    """After a day without another jump the wall clock is confirmed, and the steady time is its time."""
    machine.jump(400 * DAY)
    machine.run(DAY - MINUTE, MINUTE)
    assert not machine.confirmed()
    assert doubt(machine.state, machine.reading()) == (
        START + 401 * DAY - MINUTE,
        START + DAY - MINUTE,
        MINUTE,
    )
    machine.run(MINUTE)
    assert machine.confirmed()
    assert machine.now.steady_ms == machine.now.removal_ms == START + 401 * DAY


def test_another_jump_begins_the_day_anew(machine: Machine) -> None:
    """A second jump makes the hours before it worthless."""
    machine.jump(400 * DAY)
    machine.run(23 * HOUR)
    machine.jump(100 * DAY)
    machine.run(23 * HOUR)
    assert not machine.confirmed()
    machine.run(HOUR)
    assert machine.confirmed()


def test_a_small_jump_is_followed_after_a_day(machine: Machine) -> None:
    """A jump within the tolerance is followed by the steady time after a day, not before."""
    machine.jump(-3 * HOUR)
    machine.run(23 * HOUR)
    assert machine.now.steady_ms - machine.reading().wall_ms > 2 * HOUR
    machine.run(HOUR)
    assert machine.now.steady_ms == machine.reading().wall_ms


def test_only_what_was_seen_for_a_day_is_followed(machine: Machine) -> None:
    """A jump an hour before the day is over is not confirmed together with the first."""
    machine.jump(5 * HOUR)
    machine.run(23 * HOUR)
    machine.jump(5 * HOUR)
    assert not machine.confirmed()
    machine.run(HOUR)
    assert machine.now.steady_ms == machine.true_ms + 5 * HOUR


def test_a_small_jump_that_went_back_is_not_followed(machine: Machine) -> None:
    """When the wall clock has gone back before the day is over, nothing is followed at its end."""
    machine.jump(5 * HOUR)
    machine.run(23 * HOUR)
    machine.jump(-5 * HOUR + 30 * SECOND)
    machine.run(2 * HOUR)
    assert abs(machine.now.steady_ms - machine.true_ms) < 2 * MINUTE
    assert machine.now.removal_ms is not None
    assert machine.now.removal_ms <= machine.true_ms + 30 * SECOND


@pytest.mark.parametrize("back", [HOUR, 5 * HOUR, 6 * HOUR])
def test_a_jump_that_went_back_in_part(machine: Machine, back: int) -> None:
    """What is followed after a day is the part that stayed."""
    machine.jump(5 * HOUR)
    machine.run(12 * HOUR)
    machine.jump(-back)
    machine.run(12 * HOUR)
    assert machine.now.steady_ms == pytest.approx(machine.true_ms + max(0, 5 * HOUR - back), abs=2 * MINUTE)


@pytest.mark.parametrize("jump", [400 * DAY, -400 * DAY, 8 * HOUR])
def test_a_return_confirms(machine: Machine, jump: int) -> None:
    """A wall clock that is put right is confirmed at once, and the steady time never left."""
    machine.jump(jump)
    machine.run(5 * HOUR)
    machine.jump(-jump)
    assert machine.confirmed()
    assert machine.now.steady_ms == machine.now.stamp_ms == machine.true_ms


def test_the_operator_confirms(machine: Machine) -> None:
    """What the operator confirms is the time at once."""
    machine.jump(-400 * DAY)
    machine.state = confirm(machine.reading())
    assert machine.confirmed()
    assert set(machine.now[:2]) == {START - 400 * DAY}


def test_a_stamp_is_never_behind_the_steady_time(machine: Machine) -> None:
    """While the wall clock is behind, stamps go on: otherwise they look too old when it is put right."""
    machine.jump(-400 * DAY)
    machine.run(HOUR)
    assert machine.now.stamp_ms == machine.true_ms
    machine.jump(800 * DAY)
    assert machine.now.stamp_ms == machine.true_ms + 400 * DAY


@pytest.mark.parametrize("drift", [43_000, -43_000])
def test_drift_is_followed(machine: Machine, drift: int) -> None:
    """Half a per mille a day, the most that NTP slews, is followed for a year without a doubt."""
    for _ in range(365):
        machine.run(DAY // 2, HOUR)
        machine.jump(drift // 2)
        machine.run(DAY // 2, HOUR)
        machine.jump(drift - drift // 2)
        assert machine.confirmed()
        assert abs(machine.now.steady_ms - machine.reading().wall_ms) < MINUTE
        assert machine.now.removal_ms is not None
        assert abs(machine.now.removal_ms - machine.reading().wall_ms) < 3 * MINUTE


# --- restarts and reboots


@pytest.mark.parametrize("jump", [400 * DAY, -400 * DAY])
def test_a_jump_between_two_processes_of_a_boot(machine: Machine, jump: int) -> None:
    """While the machine ran on, a jump is noticed at the start; steady running counts over restarts."""
    machine.off_ms += jump
    machine.pause(2 * DAY)
    assert not machine.confirmed()
    assert machine.now.steady_ms == machine.true_ms
    machine.pause(23 * HOUR)
    assert not machine.confirmed()
    machine.pause(HOUR)
    assert machine.confirmed()


def test_a_quick_reboot_is_no_jump(machine: Machine) -> None:
    """After some hours without power the wall clock is confirmed, and rules go by it."""
    machine.reboot(5 * HOUR)
    assert machine.confirmed()
    assert machine.now.steady_ms == machine.now.stamp_ms == machine.true_ms
    assert machine.now.removal_ms == START


def test_many_reboots_add_up(machine: Machine) -> None:
    """A wall clock that gains some hours at each boot is noticed."""
    machine.reboot(MINUTE, 3 * HOUR)
    assert machine.confirmed()
    machine.reboot(MINUTE, 3 * HOUR)
    assert not machine.confirmed()


def test_a_weekend_without_power(machine: Machine) -> None:
    """After a weekend the wall clock is confirmed by a day of running; mutes and bans go by it at once."""
    machine.reboot(62 * HOUR)
    assert not machine.confirmed()
    assert machine.now.steady_ms == machine.now.stamp_ms == machine.true_ms
    machine.run(DAY)
    assert machine.confirmed()
    assert machine.now.removal_ms == machine.true_ms


def test_a_machine_that_is_off_each_night(machine: Machine) -> None:
    """The hours of several working days add up to the day that confirms."""
    for _ in range(3):
        machine.reboot(16 * HOUR)
        assert not machine.confirmed()
        machine.run(8 * HOUR)
    assert machine.confirmed()
    machine.reboot(16 * HOUR)
    machine.run(8 * HOUR)
    machine.reboot(16 * HOUR, -300 * DAY)  # but not with a clock that fell, or that jumped for months
    machine.run(8 * HOUR)
    machine.reboot(16 * HOUR, 300 * DAY)
    machine.run(16 * HOUR)
    assert not machine.confirmed()


@pytest.mark.parametrize("jump", [-START, -400 * DAY])
def test_a_machine_without_a_clock(machine: Machine, jump: int) -> None:
    """A clock that begins in 1970 and is put right by the network is confirmed then."""
    machine.reboot(5 * MINUTE, jump)
    assert not machine.confirmed()
    assert machine.now.stamp_ms == machine.now.steady_ms == START
    machine.run(30 * SECOND)
    machine.jump(-jump)
    assert machine.confirmed()
    assert machine.now.stamp_ms == machine.true_ms


def test_a_wrong_clock_after_a_reboot_is_left_when_it_is_put_right(machine: Machine) -> None:
    """A steady time that believed a wall clock which was ahead comes back with it."""
    machine.reboot(5 * MINUTE, 400 * DAY)
    assert machine.now.steady_ms == machine.true_ms + 400 * DAY
    machine.run(HOUR)
    machine.jump(-400 * DAY)
    assert machine.confirmed()
    assert machine.now.steady_ms == machine.true_ms


def test_another_machine_with_a_long_uptime(machine: Machine) -> None:
    """A store that moves to another machine does not take its uptime for time that has passed."""
    machine.true_ms += HOUR
    machine.boot_ms, machine.boots = 100 * DAY, 2
    machine.observe()
    assert machine.confirmed()
    assert machine.now.stamp_ms == machine.true_ms


def test_a_clock_of_the_boot_that_went_back(machine: Machine) -> None:
    """A restored container, in which the time since the boot is less than before, counts as a reboot."""
    machine.true_ms += 3 * HOUR
    machine.boot_ms -= HOUR
    machine.observe()
    assert machine.confirmed()
    assert machine.now.steady_ms == machine.true_ms
    assert machine.state.boot_ms == machine.boot_ms


# --- a store from before


@pytest.mark.parametrize(
    ("newest", "confirmed"),
    [(None, True), (START - HOUR, True), (START - DAY, False), (START + DAY, False)],
    ids=str,
)
def test_a_store_without_a_state(newest: int | None, confirmed: bool) -> None:
    """Without a state the newest message tells the time; an empty store believes the wall clock."""
    machine = Machine(newest)
    assert machine.confirmed() is confirmed
    assert machine.now.steady_ms == (newest if newest and newest > START else START)
    machine.run(DAY)
    assert machine.confirmed()
