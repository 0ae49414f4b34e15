"""A wall clock that jumps: nothing is removed too early, and mutes, bans and slow mode end on time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qscp.errors import ErrorCode
from qscpd.domain.clock import CONFIRMING_MS, ClockDoubt
from qscpd.domain.model import Keep, MessageMeta, NewMessage, Outcome, Refused, StoredMessage
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.stores import ManualClock, StoreFactory, housekeep, kill, rows_of

ALICE, BOB = 1, 2
ROOM = 1
"""The conversation of #dev."""
HOUR, DAY = 3600, 86_400
START_MS = 1_700_000_000_000
MONTH = Keep(age_ms=30 * DAY * 1000)
SLOW_S = 30
JUMPS = [400 * DAY, -400 * DAY, -HOUR, HOUR, 7 * HOUR, -7 * HOUR]

make_id = IdMaker()


class Server:
    """A store that can be opened again, on clocks that can jump."""

    def __init__(self, factory: StoreFactory, folder: Path) -> None:
        self.clock = ManualClock()
        self._factory, self._folder = factory, folder
        self.store: Store = self._open()

    def _open(self) -> Store:
        return self._factory.open(self._folder, clock=self.clock, edit_within_ms=HOUR * 1000)

    def restart(self) -> None:
        """Close and open the store."""
        self.store.close()
        self.store = self._open()

    def run(self, seconds: float, keep: Keep = MONTH) -> None:
        """Let time pass, with all housekeeping ten times meanwhile."""
        self.do_housekeeping(keep)
        for _ in range(10):
            self.clock.wind(seconds / 10)
            self.do_housekeeping(keep)

    def do_housekeeping(self, keep: Keep = MONTH) -> None:
        """Do all housekeeping that is due."""
        housekeep(self.store, keep)

    def write(self, body: str = "hello") -> tuple[NewMessage, StoredMessage]:
        """Send a message from bob to alice."""
        message = NewMessage(BOB, ALICE, make_id(), body)
        return message, stored(self.send(message))

    def send(self, message: NewMessage) -> Outcome:
        """Send a message."""
        return self.store.append([message])[0][0]

    def say(self) -> Outcome:
        """Send a message from bob to the room."""
        return self.send(NewMessage(BOB, -ROOM, make_id(), "hello"))

    def bodies(self) -> list[str | None]:
        """Return the messages of the pair that are kept."""
        return [row.body for row in rows_of(self.store, 2)]

    def change(self, action: str, seconds: int | None = None) -> None:
        """Change the room as its owner, about bob."""
        self.store.change_room(
            RoomChange(action=action, room="#dev", actor=ALICE, target=BOB, seconds=seconds)
        )

    def join(self) -> ErrorCode | None:
        """Let bob join the room, and return why not."""
        try:
            self.store.change_room(RoomChange(action="join", room="#dev", actor=BOB))
        except DeniedError as error:
            return error.code
        return None

    def doubt(self) -> ClockDoubt | None:
        """What is wrong with the wall clock."""
        return self.store.housekeeping.clock_doubt()


def stored(outcome: Outcome) -> StoredMessage:
    """Return the place of a stored message."""
    assert isinstance(outcome, StoredMessage), outcome
    return outcome


@pytest.fixture
def server(store_factory: StoreFactory, tmp_path: Path) -> Iterator[Server]:
    """A server with alice, who owns #dev, and bob, who is a member; it has run for an hour."""
    made = Server(store_factory, tmp_path)
    for name in ("alice", "bob"):
        made.store.add_account(name, "x")
    made.store.change_room(RoomChange(action="create", room="#dev", actor=ALICE))
    assert made.join() is None
    made.run(HOUR)
    yield made
    made.store.close()


def is_known(server: Server, message: NewMessage, place: StoredMessage) -> bool:
    """Return whether a retry gets the first acknowledgement."""
    again = stored(server.send(message))
    return (again.seq, again.time_ms, again.new) == (place.seq, place.time_ms, False)


# --- removal by age


@pytest.mark.parametrize("restarted", ["running", "restart", "reboot"])
def test_a_jump_ahead_removes_nothing(server: Server, restarted: str) -> None:
    """A clock that jumps 400 days ahead, running or stopped, removes no message and no id."""
    message, place = server.write()
    server.run(HOUR)
    server.clock.jump(400 * DAY)
    if restarted == "reboot":
        server.clock.reboot(60)
    if restarted != "running":
        server.restart()
    server.run(23 * HOUR)
    assert server.bodies() == ["hello"]
    assert is_known(server, message, place)
    doubt = server.doubt()
    assert doubt is not None
    assert doubt.wall_ms - doubt.expected_ms == pytest.approx(400 * DAY * 1000, abs=61_000)


def test_a_killed_process_knows_what_was_expected(
    server: Server, store_factory: StoreFactory, tmp_path: Path
) -> None:
    """Without an orderly end, the next process still measures against the time of the one before."""
    message, place = server.write()
    killed = server.store
    kill(killed)
    server.clock.jump(400 * DAY)
    server.store = store_factory.open(tmp_path, clock=server.clock)
    server.run(HOUR)
    assert server.doubt() is not None
    assert server.bodies() == ["hello"]
    assert is_known(server, message, place)
    killed.close()


def test_many_small_jumps_remove_nothing(server: Server) -> None:
    """A month of small jumps within two days removes nothing."""
    message, place = server.write()
    for _ in range(40 * 24 // 5):
        server.clock.jump(5 * HOUR)
        server.run(15 * 60)
    assert server.bodies() == ["hello"]
    assert is_known(server, message, place)


def test_a_day_of_running_confirms(server: Server) -> None:
    """After a day, some of it before a restart, what is too old by the new time is removed."""
    message, _ = server.write()
    server.clock.jump(400 * DAY)
    server.run(12 * HOUR)
    server.restart()
    server.run(11 * HOUR)
    assert (server.doubt() is None, server.bodies()) == (False, ["hello"])
    server.run(2 * HOUR)
    assert (server.doubt(), server.bodies()) == (None, [])
    server.run(7 * HOUR)  # ids are looked at four times a day
    assert stored(server.send(message)).new


def test_the_operator_confirms(server: Server) -> None:
    """What the operator confirms holds at once, and after a restart."""
    server.write()
    server.clock.jump(400 * DAY)
    server.run(60)
    assert server.doubt() is not None
    assert server.store.housekeeping.confirm_clock() == server.clock.ms
    server.restart()
    assert server.doubt() is None
    server.run(60)
    assert server.bodies() == []


def test_a_clock_that_is_put_right_is_confirmed(server: Server) -> None:
    """When the wall clock returns, removal goes on by it, and only what is too old goes."""
    server.write("old")
    server.run(29 * DAY)
    server.clock.jump(-400 * DAY)
    server.run(HOUR)
    server.write("meanwhile")
    server.clock.jump(400 * DAY)
    server.run(12 * HOUR)
    assert (server.doubt(), server.bodies()) == (None, ["old", "meanwhile"])
    server.run(DAY)
    assert server.bodies() == ["meanwhile"]
    server.run(27 * DAY)
    assert server.bodies() == ["meanwhile"]
    server.run(2 * DAY)
    assert server.bodies() == []


@pytest.mark.parametrize("jump", JUMPS)
def test_messages_of_a_wrong_clock_are_not_removed_early(server: Server, jump: float) -> None:
    """What was written while the clock was wrong is kept for all of its time after it was put right."""
    server.clock.jump(jump)
    server.run(HOUR)
    server.write()
    server.run(HOUR)
    server.clock.jump(-jump)
    server.run(30 * DAY - 7 * HOUR)
    assert server.bodies() == ["hello"]


def test_pruning_by_count_needs_no_clock(server: Server) -> None:
    """Without trust in the wall clock, the limit of count still holds."""
    for number in range(4):
        server.write(f"{number}")
    server.clock.jump(400 * DAY)
    server.run(60, Keep(age_ms=MONTH.age_ms, messages=2))
    assert server.bodies() == ["2", "3"]


def test_a_clock_far_behind_does_not_stop_the_sweep(server: Server) -> None:
    """After a jump back that was confirmed, ids are still looked at, not only when that time comes again."""
    message, _ = server.write()
    server.run(20 * DAY)
    server.clock.jump(-5 * DAY)
    server.store.housekeeping.confirm_clock()
    server.run(16 * DAY)
    assert stored(server.send(message)).new


def test_a_weekend_without_power(server: Server) -> None:
    """A machine that was off for a weekend removes nothing for a day, then what is due."""
    server.write()
    server.run(29 * DAY)
    server.store.close()
    server.clock.reboot(62 * HOUR)
    server.restart()
    server.run(23 * HOUR)
    assert (server.doubt() is None, server.bodies()) == (False, ["hello"])
    server.run(2 * HOUR)
    assert (server.doubt(), server.bodies()) == (None, [])


def test_doubt_is_measured_from_the_last_hour(server: Server) -> None:
    """The doubt has both times and the running time that is left."""
    server.clock.jump(7 * HOUR)
    assert server.doubt() == ClockDoubt(START_MS + 8 * HOUR * 1000, START_MS + HOUR * 1000, CONFIRMING_MS)


# --- rules


@pytest.mark.parametrize("jump", JUMPS)
def test_slow_mode_is_by_real_seconds(server: Server, jump: float) -> None:
    """`retry_after` falls with the seconds and ends, wherever the wall clock is."""
    server.change("set", SLOW_S)
    stored(server.say())
    server.clock.wind(10)
    server.clock.jump(jump)
    assert server.say() == Refused(ErrorCode.SLOW_MODE, 20.0)
    server.clock.wind(19.999)
    assert server.say() == Refused(ErrorCode.SLOW_MODE, 0.001)
    server.clock.wind(0.001)
    stored(server.say())
    server.clock.wind(5)
    assert server.say() == Refused(ErrorCode.SLOW_MODE, 25.0)
    server.clock.wind(25)
    stored(server.say())


def test_slow_mode_when_a_jump_is_confirmed(server: Server) -> None:
    """The step of the time when a jump is confirmed makes no member wait longer."""
    server.change("set", SLOW_S)
    server.clock.jump(-400 * DAY)
    stored(server.say())
    server.store.housekeeping.confirm_clock()
    assert server.say() == Refused(ErrorCode.SLOW_MODE, 30.0)
    server.clock.wind(30)
    stored(server.say())


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("spoken", [False, True])
def test_a_short_mute_holds_and_ends(server: Server, jump: float, spoken: bool) -> None:
    """A mute of three seconds after a jump holds for three seconds, and ends."""
    if spoken:
        stored(server.say())  # the conversation has the time from before the jump
    server.clock.jump(jump)
    server.change("mute", 3)
    assert server.say() == Refused(ErrorCode.MUTED, 3.0)
    server.clock.wind(2.5)
    assert server.say() == Refused(ErrorCode.MUTED, 0.5)
    server.clock.wind(0.5)
    stored(server.say())


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("restarted", [False, True])
def test_a_jump_does_not_end_a_mute(server: Server, jump: float, restarted: bool) -> None:
    """A mute of an hour lasts an hour, whatever the wall clock does meanwhile, also over a restart."""
    server.change("mute", HOUR)
    server.run(HOUR / 2)
    server.clock.jump(jump)
    if restarted:
        server.restart()
    server.run(HOUR / 2 - 10)
    outcome = server.say()
    assert isinstance(outcome, Refused)
    assert outcome.retry_after_s == pytest.approx(10, abs=5)  # a thousandth is followed
    server.run(15)
    stored(server.say())


@pytest.mark.parametrize("off", [HOUR, 62 * HOUR])
def test_a_ban_ends_in_real_time_over_a_reboot(server: Server, off: float) -> None:
    """The time that the machine was off counts for a ban."""
    server.change("ban", 64 * HOUR)
    server.store.close()
    server.clock.reboot(off)
    server.restart()
    server.clock.wind(64 * HOUR - off - 1)
    assert server.join() is ErrorCode.BANNED
    server.clock.wind(1)
    assert server.join() is None


@pytest.mark.parametrize("jump", [-HOUR, -400 * DAY])
def test_the_edit_window_after_a_clock_was_set_back(server: Server, jump: float) -> None:
    """A message can be edited for its time, and no longer, after the clock was set back."""
    server.write()
    server.clock.jump(jump)
    server.run(2 * HOUR, Keep())
    _, place = server.write()
    server.clock.wind(HOUR - 10)
    edit = NewMessage(BOB, ALICE, make_id(), "better", MessageMeta(kind="edit", target=place.seq))
    stored(server.send(edit))
    server.clock.wind(20)
    late = NewMessage(BOB, ALICE, make_id(), "best", MessageMeta(kind="edit", target=place.seq))
    assert server.send(late) == Refused(ErrorCode.TOO_LATE)


@pytest.mark.parametrize("jump", [HOUR, 5 * HOUR, 400 * DAY])
def test_the_edit_window_after_a_clock_jumped_ahead(server: Server, jump: float) -> None:
    """A jump ahead does not take the time away that is left for an edit."""
    _, place = server.write()
    server.clock.jump(jump)
    server.clock.wind(HOUR - 10)
    edit = NewMessage(BOB, ALICE, make_id(), "better", MessageMeta(kind="edit", target=place.seq))
    stored(server.send(edit))
    server.clock.wind(10)
    late = NewMessage(BOB, ALICE, make_id(), "best", MessageMeta(kind="edit", target=place.seq))
    assert server.send(late) == Refused(ErrorCode.TOO_LATE)


def test_time_goes_on_while_the_clock_is_behind(server: Server) -> None:
    """Messages of a clock that was set back do not all have one time."""
    before = server.write()[1].time_ms
    server.clock.jump(-HOUR)
    server.clock.wind(60)
    assert server.write()[1].time_ms == before + 60_000
