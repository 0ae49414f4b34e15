"""Blocks: the accounts that you block, and the name under which each is shown now. Sans-I/O."""

from collections.abc import Iterator

from qscp import frames
from qscp.features import BLOCK


class Blocks:
    """The server's list, which is the same on all of your devices.

    Attributes:
        supported: Whether the server can block users.
    """

    def __init__(self) -> None:
        self.supported = False
        self._names: dict[str, str] = {}
        """By account id."""
        self._shown: frozenset[str] = frozenset()
        """The names: each message in a room is looked up."""
        self._is_new = True

    def __contains__(self, name: object) -> bool:
        """Whether you block the user who is shown under a name."""
        return name in self._shown

    def __iter__(self) -> Iterator[str]:
        """The names of all of them, in order."""
        return iter(sorted(self._shown))

    @property
    def kept(self) -> int:
        """Number of names that are kept."""
        return len(self._names)

    def connected(self, ack: frames.AuthAck) -> None:
        """Expect the list of a new connection; the one of the last connection counts until then."""
        self.supported = BLOCK in ack.features
        self._is_new = True

    def learn(self, page: frames.Blocks) -> None:
        """Apply a page of the list."""
        if self._is_new:
            self._is_new = False
            self._names.clear()
        self._names |= {each.account: each.user for each in page.users}
        self._shown = frozenset(self._names.values())

    def change(self, frame: frames.BlockChanged) -> bool:
        """Apply a change; return whether it is a block that begins or ends, and not another name."""
        was_known = frame.account in self._names
        if frame.removed:
            self._names.pop(frame.account, None)
        else:
            self._names[frame.account] = frame.user
        self._shown = frozenset(self._names.values())
        return was_known is frame.removed
