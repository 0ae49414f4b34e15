"""The SQLite driver: stores that are a file each."""

from collections.abc import Callable
from pathlib import Path

from qscpd.store.clock import Clock
from qscpd.store.damage import OnDamage
from qscpd.store.driver import Contents
from qscpd.store.sqlite.lock import StoreLock, is_locked
from qscpd.store.sqlite.migrations import MIGRATIONS
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.snapshot import copy_file, inspect_file
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.upgrade import OnUpgrade


class SqliteDriver:
    """A `qscpd.store.driver.Driver` that is `Lockable` and `Copyable`; a location is a path."""

    schema = len(MIGRATIONS)

    def open_store(
        self,
        location: str,
        *,
        clock: Clock | None,
        edit_within_ms: int,
        keep_reserve: bool,
        on_damage: OnDamage,
        on_upgrade: OnUpgrade,
    ) -> SqliteStore:
        """See `qscpd.store.open_store`."""
        return SqliteStore(
            Path(location),
            clock=clock,
            edit_within_ms=edit_within_ms,
            keep_reserve=keep_reserve,
            on_damage=on_damage,
            on_upgrade=on_upgrade,
        )

    def open_reader(self, location: str, *, on_damage: OnDamage, paced: bool) -> SqliteReader:
        """See `qscpd.store.open_reader`."""
        return SqliteReader(Path(location), on_damage, paced=paced)

    def lock(self, location: str) -> StoreLock:
        """See `qscpd.store.lock_store`."""
        return StoreLock(Path(location))

    def is_locked(self, location: str) -> bool:
        """See `qscpd.store.store_in_use`."""
        return is_locked(Path(location))

    def copy(self, location: str, target: Path, pause: Callable[[], None]) -> None:
        """See `qscpd.store.copy_store`."""
        copy_file(Path(location), target, pause)

    def inspect(self, location: str, *, on_damage: OnDamage) -> Contents:
        """See `qscpd.store.inspect_copy`."""
        return inspect_file(Path(location), on_damage)
