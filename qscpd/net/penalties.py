"""Penalties of addresses: they add up, take effect above a threshold, and run out."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

_MOST: Final = 65_536
"""Penalised keys that are remembered, as in OpenSSH's `PerSourceMaxPenalties`; about 10 MiB."""

_CANDIDATES: Final = 8
"""Oldest entries of a full table of which the one that ends first is forgotten."""


class Penalties:
    """Times that keys have to wait, as OpenSSH's `PerSourcePenalties` (sshd_config(5)).

    Each failure adds seconds. A penalty is in force once the seconds that are left reach a
    threshold, until they have run out. Mistakes of a single user stay below it.

    Args:
        clock: Seconds that never go back.
        most: Most keys that are remembered.
    """

    def __init__(self, clock: Callable[[], float], most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._ends: OrderedDict[Hashable, tuple[float, bool]] = OrderedDict()
        """When the penalty of a key has run out, and whether it is in force; the last charged at the end."""

    def __len__(self) -> int:
        return len(self._ends)

    def charge(self, key: Hashable, seconds: float, *, threshold: float, longest: float) -> None:
        """Add to the penalty of a key.

        Args:
            key: Whose penalty it is.
            seconds: What the failure costs; 0 costs nothing.
            threshold: Seconds from which a penalty is in force.
            longest: Most seconds that are ever left.
        """
        if seconds <= 0:
            return
        now = self._clock()
        end, enforced = self._ends.pop(key, (now, False))
        if end <= now:
            end, enforced = now, False
        end = min(end + seconds, now + longest)
        self._make_room()
        self._ends[key] = (end, enforced or end - now >= min(threshold, longest))

    def remaining(self, key: Hashable) -> float:
        """Return for how many seconds a penalty is in force; 0 if none is."""
        end, enforced = self._ends.get(key, (0.0, False))
        return max(end - self._clock(), 0.0) if enforced else 0.0

    def has(self, key: Hashable, lately_s: float = 0.0) -> bool:
        """Return whether anything of a penalty is left, in force or not.

        Args:
            key: Whose penalty it is.
            lately_s: Seconds for which one that has run out counts, too.
        """
        end, _ = self._ends.get(key, (float("-inf"), False))
        return end > self._clock() - lately_s

    def _make_room(self) -> None:
        if len(self._ends) < self._most:
            return
        oldest = [key for key, _ in zip(self._ends, range(_CANDIDATES), strict=False)]
        del self._ends[min(oldest, key=lambda key: self._ends[key][0])]
