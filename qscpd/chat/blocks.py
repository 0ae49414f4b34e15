"""The blocks in memory: who blocks whom, by account ids.

The store is the truth, and decides about messages and invitations. This copy is loaded when the daemon
starts, and each change is applied in the order of the commits. It decides what else passes between two
users: presence, typing indicators and receipts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from qscp import frames
from qscp.features import BLOCK
from qscpd.domain.events import BlockChanged
from qscpd.sessions.session import Session

_PAGE: Final = 200
"""Accounts in a frame: with the longest names some 20 KiB."""

_NONE: Final[frozenset[int]] = frozenset()


class Blocks:
    """All blocks.

    Args:
        names: Names of accounts, by id.
        sessions_of: Returns the logged-in sessions of an account.
        on_changed: Called with the two accounts of each changed block.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        sessions_of: Callable[[int], Sequence[Session]],
        on_changed: Callable[[int, int], None],
    ) -> None:
        self._names = names
        self._sessions_of = sessions_of
        self._on_changed = on_changed
        self._blocked: defaultdict[int, set[int]] = defaultdict(set)
        self._blockers: defaultdict[int, set[int]] = defaultdict(set)

    def load(self, account: int, blocked: int) -> None:
        """Add a block that the store has."""
        self._blocked[account].add(blocked)
        self._blockers[blocked].add(account)

    def has(self, account: int, blocked: int) -> bool:
        """Return whether an account blocks another one."""
        return blocked in self._blocked.get(account, _NONE)

    def between(self, one: int, other: int) -> bool:
        """Return whether one of two accounts blocks the other one."""
        return bool(self._blocked) and (self.has(one, other) or self.has(other, one))

    def hidden_among(self, account: int, others: AbstractSet[int]) -> frozenset[int]:
        """Return those of some accounts that an account blocks, or that block it."""
        blocked, blockers = self._blocked.get(account), self._blockers.get(account)
        if blocked is None and blockers is None:
            return _NONE
        return frozenset(others & (blocked or _NONE)) | (others & (blockers or _NONE))

    def pages(self, account: int) -> Iterator[frames.Blocks]:
        """Yield the frames with everything that an account blocks: at least one."""
        users = [self._user(each) for each in sorted(self._blocked.get(account, _NONE))]
        for start in range(0, max(len(users), 1), _PAGE):
            yield frames.Blocks(users[start : start + _PAGE], more=start + _PAGE < len(users))

    def apply(self, event: BlockChanged) -> None:
        """Apply a change, and notify the sessions of the account that blocks."""
        if event.removed:
            _discard(self._blocked, event.account, event.blocked)
            _discard(self._blockers, event.blocked, event.account)
        else:
            self.load(event.account, event.blocked)
        self._notify(event.account, event.blocked, removed=event.removed)
        self._on_changed(event.account, event.blocked)

    def renamed(self, account: int) -> None:
        """Notify the users who block an account that is shown under another name from now on."""
        for blocker in self._blockers.get(account, _NONE):
            self._notify(blocker, account)

    def _notify(self, account: int, blocked: int, *, removed: bool = False) -> None:
        user = self._user(blocked)
        for session in self._sessions_of(account):
            if session.supports(BLOCK):
                session.outbound.send_state(frames.BlockChanged(user.user, user.account, removed))

    def _user(self, account: int) -> frames.BlockedUser:
        return frames.BlockedUser(self._names.get(account, ""), f"a{account}")


def _discard(index: defaultdict[int, set[int]], key: int, value: int) -> None:
    index[key].discard(value)
    if not index[key]:
        del index[key]
