"""Effects the engine requests: frames to send, events to show, changes to save."""

import dataclasses
from collections.abc import Callable

from qscp.frames import ClientFrame
from qscp_client.core.changes import Added, Change
from qscp_client.core.events import Event
from qscp_client.core.notices import Problem
from qscp_client.core.withheld import Withheld


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """The time, as two functions."""

    now: Callable[[], float]
    """Seconds of a monotonic clock, for deadlines."""
    wall_ms: Callable[[], int]
    """Milliseconds since 1970 in UTC, for what is saved."""


@dataclasses.dataclass(slots=True)
class Output:
    """Frames to send, events to show, changes to save; each in its order."""

    frames: list[ClientFrame] = dataclasses.field(default_factory=list)
    events: list[Event] = dataclasses.field(default_factory=list)
    changes: list[Change] = dataclasses.field(default_factory=list)
    failed: int = 0
    """How much of what was typed in this run was refused, here or by the server."""
    is_shown: bool = True
    """Whether the user can see the events; if not, positions are neither sent nor saved until then."""
    withheld: Withheld = dataclasses.field(default_factory=Withheld)

    def send(self, frame: ClientFrame) -> None:
        """Add a frame."""
        self.frames.append(frame)

    def show(self, event: Event) -> None:
        """Add an event."""
        self.events.append(event)

    def fail(self, problem: Problem) -> None:
        """Add a problem that counts as a failure of this run."""
        self.failed += 1
        self.events.append(problem)

    def take_frames(self) -> list[ClientFrame]:
        """Remove and return the frames."""
        taken, self.frames = self.frames, []
        return self.withheld.frames(taken, is_shown=self.is_shown)

    def take_events(self) -> list[Event]:
        """Remove and return the events."""
        taken, self.events = self.events, []
        return taken

    def take_changes(self) -> list[Change]:
        """Remove and return the changes."""
        taken, self.changes = self.changes, []
        return self.withheld.changes(taken, is_shown=self.is_shown)

    def take_additions(self) -> list[Change]:
        """Remove and return the new entries of the outbox."""
        taken: list[Change] = [each for each in self.changes if isinstance(each, Added)]
        self.changes = [each for each in self.changes if not isinstance(each, Added)]
        return taken
