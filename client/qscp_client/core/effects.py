"""Effects the engine requests: frames to send, events to show, changes to save."""

import dataclasses
from collections.abc import Callable

from qscp.frames import ClientFrame, ClientRead, Received
from qscp_client.core.changes import Added, Change, Moved, Reported
from qscp_client.core.events import Event
from qscp_client.core.notices import Problem


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
    """Whether the user can see the events; if not, positions are neither sent nor saved."""

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
        return taken if self.is_shown else [x for x in taken if not isinstance(x, Received | ClientRead)]

    def take_events(self) -> list[Event]:
        """Remove and return the events."""
        taken, self.events = self.events, []
        return taken

    def take_changes(self) -> list[Change]:
        """Remove and return the changes."""
        taken, self.changes = self.changes, []
        return taken if self.is_shown else [x for x in taken if not isinstance(x, Moved | Reported)]

    def take_additions(self) -> list[Change]:
        """Remove and return the new entries of the outbox."""
        taken: list[Change] = [each for each in self.changes if isinstance(each, Added)]
        self.changes = [each for each in self.changes if not isinstance(each, Added)]
        return taken
