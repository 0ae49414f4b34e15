"""Message ids that rise, as a client's do, without a clock."""

from itertools import count

from qscp.ids import make_message_id

__all__ = ["IdMaker", "device_id"]


class IdMaker:
    """Makes ids; those of different makers differ if their numbers do.

    Args:
        number: Whose ids they are.
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
