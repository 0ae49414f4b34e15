"""`qscpd` with a store that does not flush at every commit: the test of system calls must notice."""

import functools
import sqlite3

from qscpd.cli import main


class _Careless(sqlite3.Connection):
    """Takes `synchronous = FULL` for NORMAL."""

    def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous = FULL", "synchronous = NORMAL"), *parameters)  # type: ignore[arg-type]  # as they came


sqlite3.connect = functools.partial(sqlite3.connect, factory=_Careless)  # type: ignore[assignment]  # for this process

if __name__ == "__main__":
    main()
