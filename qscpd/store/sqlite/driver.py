"""The SQLite driver: stores that are a file each."""

from collections.abc import Callable
from pathlib import Path

from qscpd.store.base import Contents
from qscpd.store.damage import OnDamage
from qscpd.store.sqlite.lock import StoreLock
from qscpd.store.sqlite.migrations import MIGRATIONS
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.snapshot import copy_file, inspect_file
from qscpd.store.sqlite.store import SqliteStore


class SqliteDriver:
    """A `qscpd.store.base.Driver` that is `Lockable` and `Copyable`; a location is a path."""

    schema = len(MIGRATIONS)

    def open_store(
        self, location: str, *, clock_ms: Callable[[], int] | None, edit_within_ms: int, on_damage: OnDamage
    ) -> SqliteStore:
        """See `qscpd.store.open_store`."""
        return SqliteStore(
            Path(location), clock_ms=clock_ms, edit_within_ms=edit_within_ms, on_damage=on_damage
        )

    def open_reader(self, location: str, *, on_damage: OnDamage) -> SqliteReader:
        """See `qscpd.store.open_reader`."""
        return SqliteReader(Path(location), on_damage)

    def lock(self, location: str) -> StoreLock:
        """See `qscpd.store.lock_store`."""
        return StoreLock(Path(location))

    def copy(self, location: str, target: Path, pause: Callable[[], None]) -> None:
        """See `qscpd.store.copy_store`."""
        copy_file(Path(location), target, pause)

    def inspect(self, location: str, *, on_damage: OnDamage) -> Contents:
        """See `qscpd.store.inspect_copy`."""
        return inspect_file(Path(location), on_damage)
