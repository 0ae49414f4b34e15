"""Pauses before the client reconnects."""

import random
from collections.abc import Callable
from typing import Final

_FIRST_S: Final = (1.0, 5.0)
"""Range of the first pause: random, so that clients do not all reconnect in the same moment."""

_LONGEST_S: Final = 60.0


class Backoff:
    """Exponential backoff with jitter: 1 to 5 s first, 30 to 60 s in the end.

    Args:
        uniform: Returns a random number between two others.
    """

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._uniform = uniform
        self._tries = 0

    def next(self) -> float:
        """Return the next pause in seconds."""
        self._tries += 1
        if self._tries == 1:
            return self._uniform(*_FIRST_S)
        longest = min(_FIRST_S[1] * 2 ** min(self._tries - 1, 10), _LONGEST_S)
        return self._uniform(longest / 2, longest)
