"""Storage of accounts, rooms and messages; `open_store` is the way in.

`base` defines what a store does, `sqlite` is the driver that ships, and `writer` is the thread
that owns the store inside the daemon. A store is named by a URL, whose scheme chooses the driver.
Drivers are imported only here, and only when they are used.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from qscpd.errors import StoreError
from qscpd.store.base import Store, StoreReader
from qscpd.store.clock import Clock
from qscpd.store.damage import DamageLog, OnDamage
from qscpd.store.driver import Contents, Copyable, Driver, Lockable
from qscpd.store.upgrade import OnUpgrade

__all__ = [
    "copy_store",
    "inspect_copy",
    "lock_store",
    "newest_schema",
    "open_reader",
    "open_store",
    "store_in_use",
    "store_url",
]


def store_url(path: Path) -> str:
    """Return the URL of the store in a file, as the configuration names it."""
    return f"sqlite://{path}"


def open_store(
    url: str,
    *,
    clock: Clock | None = None,
    edit_within_ms: int = 0,
    keep_reserve: bool = False,
    on_damage: OnDamage | None = None,
    on_upgrade: OnUpgrade | None = None,
) -> Store:
    """Open a store, making or upgrading it as needed; hold `lock_store` as long as it is open.

    Args:
        url: Names it, as `sqlite:///var/lib/qscp/qscpd.db`.
        clock: Reads the clocks; None: the system's.
        edit_within_ms: How long after its time a message can be edited.
        keep_reserve: Keep space on the disk for changes that have to work when it is full, such as
            locking an account. Without it, only what another process has kept is used.
        on_damage: Called with each damaged place that is read; None: each is logged once.
        on_upgrade: Called about every second while a store of an older schema is upgraded, which can take
            minutes; None: nothing is.

    Raises:
        StoreError: It can't be opened; the text says why and what to do.
        PermissionDeniedError: This user may not read and write it.
    """
    driver, location = _driver(url)
    return driver.open_store(
        location,
        clock=clock,
        edit_within_ms=edit_within_ms,
        keep_reserve=keep_reserve,
        on_damage=on_damage or DamageLog(),
        on_upgrade=on_upgrade or (lambda _: None),
    )


def open_reader(url: str, *, on_damage: OnDamage | None = None, paced: bool = False) -> StoreReader:
    """Open a store for reading only, also while another process uses it; no lock is needed.

    Args:
        url: As of `open_store`.
        on_damage: As of `open_store`.
        paced: Whether it reads on a thread beside an event loop: it lets the loop run often, and ends pages
            that cost much early.

    Raises:
        StoreError: It can't be opened; the text says why and what to do.
        PermissionDeniedError: This user may not read it.
    """
    driver, location = _driver(url)
    return driver.open_reader(location, on_damage=on_damage or DamageLog(), paced=paced)


def lock_store(url: str) -> AbstractContextManager[object]:
    """Return a context manager that keeps every other process from writing to a store; a missing one is made.

    Enter it before the store is opened, and leave it after the store is closed.

    Args:
        url: As of `open_store`.

    Raises:
        StoreBusyError: On entering: another process has the lock.
        PermissionDeniedError: On entering: this user may not lock it.
        StoreError: On entering, that it can't be locked; at once, that no store of this kind can.
    """
    driver, location = _driver(url)
    if not isinstance(driver, Lockable):
        raise StoreError(f"{url}: stores of this kind can be changed only by the running daemon")
    return driver.lock(location)


def store_in_use(url: str) -> bool:
    """Return whether a process has the lock of a store; False where no store is.

    Args:
        url: As of `open_store`; this process has it not open.
    """
    driver, location = _driver(url)
    return isinstance(driver, Lockable) and driver.is_locked(location)


def copy_store(url: str, target: Path, pause: Callable[[], None]) -> None:
    """Copy a store as it is now to a file, also while another process writes to it.

    Args:
        url: As of `open_store`.
        target: An empty file.
        pause: Called after every few megabytes, to leave the disk to others for a moment.

    Raises:
        StoreError: Stores of this kind can't be copied, or reading or writing failed.
    """
    driver, location = _copying(url)
    driver.copy(location, target, pause)


def inspect_copy(url: str, *, on_damage: OnDamage | None = None) -> Contents:
    """Read a copy from the first to the last byte without changing anything.

    Args:
        url: As of `open_store`.
        on_damage: As of `open_store`; messages that can't be read are no error.

    Raises:
        StoreError: Its file is damaged, or is not a store.
    """
    driver, location = _copying(url)
    return driver.inspect(location, on_damage=on_damage or DamageLog())


def newest_schema(url: str) -> int:
    """Return the newest schema of a copy that can be opened.

    Args:
        url: As of `open_store`.
    """
    driver, _ = _copying(url)
    return driver.schema


def _copying(url: str) -> tuple[Copyable, str]:
    driver, location = _driver(url)
    if not isinstance(driver, Copyable):
        raise StoreError(f"{url}: stores of this kind are backed up with their database's own tools")
    return driver, location


def _sqlite() -> Driver:
    from qscpd.store.sqlite.driver import SqliteDriver  # noqa: PLC0415 - only when it is used

    return SqliteDriver()


_DRIVERS: Final[Mapping[str, Callable[[], Driver]]] = {"sqlite": _sqlite}


def _driver(url: str) -> tuple[Driver, str]:
    scheme, separator, location = url.partition("://")
    make = _DRIVERS.get(scheme)
    if not separator or make is None:
        known = ", ".join(f"{each}://" for each in _DRIVERS)
        raise StoreError(f"{url}: is not the URL of a store; it has to begin with one of: {known}")
    return make(), location
