"""State that a peer has to be sent when it has taken what is queued for it.

What is sent to a session without its own request is a state: of a room, a position, a block. So whatever
happened to it while the queue was full, the newest state is enough. There is one entry per room, one per
conversation and kind of position, and one per blocked account.
"""

from qscp import frames
from qscpd.sessions.backlog import Snapshots

StateFrame = frames.Delivered | frames.ServerRead | frames.BlockChanged
"""A state that is sent in one frame."""


class MissedRoom:
    """Changes of a room that a peer was not notified of.

    Attributes:
        left: Says that the account left it, or lost an invitation; None if it did not.
        joined_at: The room's last seq when the account joined it, after leaving it if it left; None if
            it did not join.
    """

    __slots__ = ("joined_at", "left")

    def __init__(self) -> None:
        self.left: frames.RoomLeft | None = None
        self.joined_at: int | None = None


class Postponed:
    """Rooms, positions and blocks that a session has to be notified of.

    Attributes:
        rooms: By conversation.
    """

    __slots__ = ("_states", "rooms")

    def __init__(self) -> None:
        self.rooms: dict[int, MissedRoom] = {}
        self._states: dict[tuple[str, ...], StateFrame] = {}

    def __len__(self) -> int:
        return len(self.rooms) + len(self._states)

    def room(self, conversation: int) -> MissedRoom:
        """Return the entry of a room; it is made if there is none."""
        return self.rooms.setdefault(conversation, MissedRoom())

    def joined(self, conversation: int, last_seq: int) -> None:
        """Note that the account joined a room."""
        self.room(conversation).joined_at = last_seq

    def left(self, conversation: int, frame: frames.RoomLeft) -> None:
        """Note that the account left a room, or lost an invitation."""
        room = self.room(conversation)
        room.left, room.joined_at = frame, None

    def pop_room(self, snapshots: Snapshots | None) -> list[frames.ServerFrame]:
        """Remove the room that was noted last, and return the frames that say what happened to it.

        Args:
            snapshots: What the account sees; None before the login and after the end.

        Raises:
            KeyError: There is none.
        """
        conversation, missed = self.rooms.popitem()
        made: list[frames.ServerFrame] = [] if missed.left is None else [missed.left]
        if snapshots is not None:
            state = snapshots.room(conversation, missed.joined_at)
            made += () if state is None else (state,)
        return made

    def state(self, frame: StateFrame) -> None:
        """Note a position or a block; it takes the place of an earlier one of the same kind."""
        if isinstance(frame, frames.BlockChanged):
            key: tuple[str, ...] = (frame.type, frame.account)
        elif isinstance(frame, frames.ServerRead):
            key = (frame.type, frame.conversation, frame.user)
        else:
            key = (frame.type, frame.conversation)
        self._states[key] = frame

    def pop_states(self, count: int) -> list[StateFrame]:
        """Remove and return some positions and blocks."""
        return [self._states.popitem()[1] for _ in range(min(count, len(self._states)))]
