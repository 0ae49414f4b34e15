"""Upgrade of a store with an old schema: a new file is written beside it, and takes its name when complete.

The old file becomes `<file>.schema<N>`. At each moment the store's name is that of the old store, unchanged,
or that of the new one: the new file is on the disk before a single rename puts it in place. What a crash
leaves is removed by the next start.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qscpd.errors import StoreBusyError, StoreDamagedError, StoreError, StoreFullError
from qscpd.files import sync
from qscpd.store.damage import OnDamage
from qscpd.store.sqlite.conversion import Conversion
from qscpd.store.sqlite.disk_space import lacks_space
from qscpd.store.sqlite.faults import code_of
from qscpd.store.sqlite.marker import remove_marker
from qscpd.store.sqlite.migrations import MIGRATIONS, Migration, copy_path, part_path
from qscpd.store.sqlite.uri import file_uri
from qscpd.store.upgrade import OnUpgrade, UpgradeProgress

_PROGRESS_S: Final = 1.0
"""Seconds between two reports of the progress."""

_INSTRUCTIONS: Final = 10_000
"""Instructions of SQLite's machine between two looks at the clock: about a millisecond."""

_CACHE_KIB: Final = 8 * 1024
"""Page cache of each connection. One of 32 MiB saves no time."""


def remove_left_over(path: Path) -> None:
    """Remove the second names that an upgrade gave to a store before it was cut off.

    Args:
        path: The file, its symbolic links resolved.
    """
    for schema in range(1, len(MIGRATIONS)):
        for name in (copy_path(path, schema), part_path(copy_path(path, schema))):
            with contextlib.suppress(OSError):
                if name.samefile(path):
                    name.unlink()


class Rewriting:
    """Writes a store of an old schema anew.

    Args:
        path: The file, its symbolic links resolved. It has no left-over names (`remove_left_over`).
        schema: Its schema.
        on_damage: Called with each place that can't be read and is left out.
        on_upgrade: Called at the beginning, about every second, and at the end.
    """

    def __init__(self, path: Path, schema: int, on_damage: OnDamage, on_upgrade: OnUpgrade) -> None:
        self._path = path
        self._schema = schema
        self._on_damage = on_damage
        self._on_upgrade = on_upgrade
        self._begin_s = time.monotonic()
        self._reported_s = self._begin_s
        self._stopped: BaseException | None = None
        """What a report has raised, such as `KeyboardInterrupt`."""

    def run(self, db: sqlite3.Connection, *, lost: bool) -> Migration:
        """Put a new file in the place of the old one.

        Args:
            db: The only connection to the old one; it is closed.
            lost: Whether the journal of the last run is lost, and the store does not say so yet.

        Raises:
            StoreBusyError: Another program reads the store.
            StoreDamagedError: A row refers to one that does not exist, or the like.
            StoreFullError: There is no room for the new file.
            StoreError: The file has other names, which would stay with the old store.
            OSError, sqlite3.Error: A file can't be read or written.
        """
        self._refuse_links()
        self._fold_journal(db, lost=lost)
        copy = copy_path(self._path, self._schema)
        with _part_of(self._path) as (part, descriptor):
            damaged = self._fill(part, lost=lost)
            os.fsync(descriptor)
            self._swap(part, copy)
        seconds = time.monotonic() - self._begin_s
        return Migration(str(self._path), self._schema, len(MIGRATIONS), seconds, str(copy), damaged)

    def _refuse_links(self) -> None:
        links = self._path.stat().st_nlink
        if links > 1:
            raise StoreError(
                f"{self._path}: has {links} names (hard links), and the upgrade to schema {len(MIGRATIONS)} "
                "writes a new file, which would have only this one. Delete the other names, then try again"
            )

    def _fold_journal(self, db: sqlite3.Connection, *, lost: bool) -> None:
        """Move the journal into the file, and remove it: nothing is beside what becomes the copy."""
        if not lost:
            remove_marker(db)  # before the journal: otherwise, it would be missed
        try:
            db.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise StoreBusyError(
                f"{self._path}: another program is reading it, and the upgrade to schema {len(MIGRATIONS)} "
                "puts a new file in its place; try again when that program has ended"
            ) from error
        db.close()

    def _fill(self, part: Path, *, lost: bool) -> int:
        """Write the new file; return how many ranges of messages were left out."""
        uri = file_uri(self._path, "mode=ro")
        try:
            with (
                contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)) as source,
                contextlib.closing(sqlite3.connect(part, isolation_level=None)) as db,
            ):
                source.execute("BEGIN")
                # A crash leaves no journal beside it; what it leaves of the file is not used.
                db.execute("PRAGMA journal_mode = MEMORY")
                db.execute("PRAGMA synchronous = OFF")
                conversion = Conversion(source, db, self._schema, self._on_damage)
                for each in (source, db):
                    each.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                    each.set_progress_handler(lambda: self._look_at_the_clock(conversion), _INSTRUCTIONS)
                self._report(conversion)
                conversion.run(keep_marker=lost)
                self._report(conversion)
                return conversion.damaged
        except StoreDamagedError as error:
            raise StoreDamagedError(f"{self._path}: {error}") from error
        except sqlite3.Error as error:
            if code_of(error) == sqlite3.SQLITE_INTERRUPT:
                raise self._stopped or KeyboardInterrupt from error
            # A used-up quota is an I/O error to SQLite.
            if lacks_space(part, self._path.stat().st_size):
                raise StoreFullError(
                    f"{self._path}: no room on the disk, or in its quota, for the store in its new form; "
                    "free some, then try again"
                ) from error
            raise

    def _look_at_the_clock(self, conversion: Conversion) -> bool:
        """Report the progress if it is time; return whether SQLite has to stop."""
        try:
            if time.monotonic() >= self._reported_s + _PROGRESS_S:
                self._report(conversion)
        except BaseException as error:  # noqa: BLE001 - SQLite drops it
            self._stopped = error
            return True
        return False

    def _report(self, conversion: Conversion) -> None:
        self._reported_s = time.monotonic()
        seconds = self._reported_s - self._begin_s
        self._on_upgrade(UpgradeProgress(self._path, conversion.done, conversion.total, seconds))

    def _swap(self, part: Path, copy: Path) -> None:
        """Give the old file its second name, then its first one to the new file."""
        directory = self._path.parent
        unfinished = part_path(copy)
        unfinished.unlink(missing_ok=True)
        os.link(self._path, unfinished)
        unfinished.replace(copy)  # of an earlier upgrade, before a downgrade
        sync(directory)
        part.replace(self._path)
        sync(directory)
        copy.chmod(0o600)


@contextlib.contextmanager
def _part_of(path: Path) -> Iterator[tuple[Path, int]]:
    """Yield the new file, empty, with owner and mode of the old one; remove it unless it was renamed.

    Its `StoreLock` has it locked already, so it is neither replaced nor opened by another process.
    """
    part = part_path(path)
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.ftruncate(descriptor, 0)
        old, new = path.stat(), os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, old.st_mode & 0o777)
        yield part, descriptor
    finally:
        part.unlink(missing_ok=True)
        os.close(descriptor)  # SQLite has closed it before
