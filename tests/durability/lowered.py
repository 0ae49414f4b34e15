"""`qscpd` with a store that skips the flush of a commit; the test of system calls must detect it."""

import functools
import sqlite3

from qscpd.cli import main


class _LoweredConnection(sqlite3.Connection):
    """Connection that replaces `synchronous = FULL` by NORMAL."""

    def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous = FULL", "synchronous = NORMAL"), *parameters)  # type: ignore[arg-type]  # as they came


sqlite3.connect = functools.partial(sqlite3.connect, factory=_LoweredConnection)  # type: ignore[assignment]  # for this process

if __name__ == "__main__":
    main()
