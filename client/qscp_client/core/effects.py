"""What the client's mind wants done, collected until somebody does it."""

import dataclasses
from collections.abc import Callable

from qscp.frames import ClientFrame
from qscp_client.core.changes import Change
from qscp_client.core.events import Event

__all__ = ["Clock", "Output"]


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """Where the time comes from."""

    now: Callable[[], float]
    """Seconds of a clock that never goes back, for deadlines."""
    wall_ms: Callable[[], int]
    """Milliseconds since 1970 in UTC, for what is kept."""


@dataclasses.dataclass(slots=True)
class Output:
    """Frames to send, events to show, changes to save; in the order in which they came up."""

    frames: list[ClientFrame] = dataclasses.field(default_factory=list)
    events: list[Event] = dataclasses.field(default_factory=list)
    changes: list[Change] = dataclasses.field(default_factory=list)

    def take_frames(self) -> list[ClientFrame]:
        """Return the frames, and forget them."""
        taken, self.frames = self.frames, []
        return taken

    def take_events(self) -> list[Event]:
        """Return the events, and forget them."""
        taken, self.events = self.events, []
        return taken

    def take_changes(self) -> list[Change]:
        """Return the changes, and forget them."""
        taken, self.changes = self.changes, []
        return taken
