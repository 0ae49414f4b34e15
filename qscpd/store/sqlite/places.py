"""Places of chunks around damaged pages: the next one that SQLite can read."""

from qscpd.errors import StoreDamagedError
from qscpd.store.sqlite.database import DatabaseReader


def next_place(db: DatabaseReader, low: int, high: int, *, falling: bool) -> int | None:
    """Return the first place of a chunk in a range, or the last one if falling; None if there is none.

    Only the pages of the table's own tree are read, and of these one at a time. If one is damaged, the search
    goes on behind it: in ever larger steps until a place can be read, and then back to the first such place.
    """

    def look(near: int) -> int | None:
        """Return the place that is nearest to one in the range."""
        if falling:
            sql, values = "SELECT max(place) FROM chunks WHERE place BETWEEN ? AND ?", (low, near)
        else:
            sql, values = "SELECT min(place) FROM chunks WHERE place BETWEEN ? AND ?", (near, high)
        found = db.read(sql, *values)[0][0]
        return None if found is None else int(found)

    sign = -1 if falling else 1
    begin = high if falling else low
    damaged, step = 0, 1
    """Distances from the beginning: the last one that is damaged."""
    if low > high:
        return None
    try:
        return look(begin)
    except StoreDamagedError:
        pass
    good = None
    while damaged < high - low:
        step = min(step, high - low)
        try:
            good = look(begin + sign * step)
            break
        except StoreDamagedError:
            damaged, step = step, step * 2
    else:
        return None
    while step - damaged > 1:
        middle = (step + damaged) // 2
        try:
            good = look(begin + sign * middle)
            step = middle
        except StoreDamagedError:
            damaged = middle
    return good
