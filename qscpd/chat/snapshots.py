"""State that an account sees, for sessions that missed changes of it."""

from collections.abc import Iterator

from qscp import frames
from qscpd.chat.rooms import Rooms
from qscpd.chat.visibility import Visibility
from qscpd.sessions.identity import Identity


class Snapshots:
    """What one account sees of the others and of its rooms.

    Args:
        visibility: Who is online, as each account sees it.
        rooms: The rooms.
        identity: The account.
    """

    __slots__ = ("_identity", "_rooms", "_visibility")

    def __init__(self, visibility: Visibility, rooms: Rooms, identity: Identity) -> None:
        self._visibility = visibility
        self._rooms = rooms
        self._identity = identity

    def presence(self) -> Iterator[bytes]:
        """Return the frames of a presence snapshot."""
        return self._visibility.pages(self._identity)

    def room(self, conversation: int, last_seq: int | None) -> frames.ServerFrame | None:
        """Return the frame of a room's state; None if the account is neither a member nor invited.

        Args:
            conversation: The room's conversation.
            last_seq: The last seq to give, if it is not the newest one.
        """
        return self._rooms.state(conversation, self._identity.account, last_seq)
