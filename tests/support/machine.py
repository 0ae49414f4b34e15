"""A machine with a wall clock that can be wrong, and a process that observes its clocks."""

from qscpd.domain.clock import Now, Reading, begin, doubt, observe, time_of

__all__ = ["DAY", "HOUR", "MINUTE", "SECOND", "START", "Machine"]

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
START = 1_700_000_000_000


class Machine:
    """A machine with true time, a wall clock that may be off, and a process that observes them.

    Attributes:
        true_ms: The true time.
        off_ms: How far the wall clock is ahead of it.
        state: What the process knows.
    """

    def __init__(self, newest_ms: int | None = None) -> None:
        self.true_ms = START
        self.off_ms = 0
        self.boot_ms = 5 * HOUR
        self.boots = 1
        self.state = begin(self.reading(), newest_ms)

    def reading(self) -> Reading:
        """Read the clocks."""
        return Reading(self.true_ms + self.off_ms, self.boot_ms, f"boot-{self.boots}")

    def run(self, ms: int, step_ms: int = 10 * MINUTE) -> None:
        """Let the machine and the process run."""
        while ms > 0:
            passed = min(ms, step_ms)
            self.true_ms += passed
            self.boot_ms += passed
            ms -= passed
            self.observe()

    def pause(self, ms: int) -> None:
        """Let the machine run without the process, which starts again then."""
        self.true_ms += ms
        self.boot_ms += ms
        self.observe()

    def jump(self, ms: int) -> None:
        """Set the wall clock."""
        self.off_ms += ms
        self.observe()

    def reboot(self, off_ms: int, jump_ms: int = 0) -> None:
        """Let the machine be off for a while, and boot with another wall clock."""
        self.true_ms += off_ms
        self.boot_ms, self.boots = 10 * SECOND, self.boots + 1
        self.jump(jump_ms)

    def observe(self) -> None:
        """Observe the clocks."""
        self.state = observe(self.state, self.reading())

    @property
    def now(self) -> Now:
        """The time as the process knows it."""
        return time_of(self.state, self.reading())

    def confirmed(self) -> bool:
        """Whether the wall clock is confirmed, by both questions."""
        confirmed = doubt(self.state, self.reading()) is None
        assert confirmed is (self.now.removal_ms is not None)
        return confirmed
