"""Interface of a driver: a kind of store, and what its database can do besides."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from qscpd.store.base import Store, StoreReader
from qscpd.store.clock import Clock
from qscpd.store.damage import OnDamage
from qscpd.store.upgrade import OnUpgrade


class Driver(Protocol):
    """A kind of store, named by the scheme of a URL; `location` is what follows `scheme://`."""

    def open_store(
        self,
        location: str,
        *,
        clock: Clock | None,
        edit_within_ms: int,
        keep_reserve: bool,
        on_damage: OnDamage,
        on_upgrade: OnUpgrade,
    ) -> Store:
        """See `qscpd.store.open_store`."""

    def open_reader(self, location: str, *, on_damage: OnDamage, paced: bool) -> StoreReader:
        """See `qscpd.store.open_reader`."""


@runtime_checkable
class Lockable(Protocol):
    """A driver that keeps other processes out: commands can use its stores while the daemon is stopped."""

    def lock(self, location: str) -> AbstractContextManager[object]:
        """See `qscpd.store.lock_store`."""

    def is_locked(self, location: str) -> bool:
        """See `qscpd.store.store_in_use`."""


class Contents(NamedTuple):
    """Contents of a copy of a store."""

    schema: int
    epoch: str
    """Empty in a copy of the oldest schema, which had none."""
    accounts: int
    """Including deleted ones."""
    conversations: int
    messages: int
    """Those that can be read."""
    damaged: int = 0
    """Places with messages that can't be read."""


@runtime_checkable
class Copyable(Protocol):
    """A driver whose stores can be copied to a file while they are in use."""

    @property
    def schema(self) -> int:
        """See `qscpd.store.newest_schema`."""

    def copy(self, location: str, target: Path, pause: Callable[[], None]) -> None:
        """See `qscpd.store.copy_store`."""

    def inspect(self, location: str, *, on_damage: OnDamage) -> Contents:
        """See `qscpd.store.inspect_copy`."""
