"""Rising message ids, as a client makes them, without a clock."""

from itertools import count

from qscp.ids import make_message_id

__all__ = ["IdMaker", "device_id"]


class IdMaker:
    """Source of rising ids; two makers with different numbers never make the same one.

    Args:
        number: Part of every id.
    """

    def __init__(self, number: int = 0) -> None:
        self._number = number.to_bytes(10, "big")
        self._time = count(1_700_000_000_000)

    def __call__(self) -> str:
        """Return the next id."""
        return make_message_id(next(self._time), self._number)


def device_id(number: int) -> str:
    """Return the id of a device."""
    return f"{number:032x}"
