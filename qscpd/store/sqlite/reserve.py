"""The reserve: space on the disk for changes that have to work when it is full.

Locking an abuser, or removing what is not kept, needs some pages of the journal. So the daemon keeps a file
without content beside the store. It is cut for such a change, and filled up again at once, before any
message can take the space.
"""

import contextlib
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from qscpd.errors import StoreError, StoreFullError
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.lock import resolve

RESERVE_BYTES: Final = 4 * 1024 * 1024
"""As much as SQLite writes to the journal before it moves it into the store's file (1,000 pages).

So the journal can be moved on a full disk, and then its own space is free again.
"""

SHARED_BYTES: Final = RESERVE_BYTES // 2
"""What is left to the operator; moderation by users, and housekeeping, get the other half only."""

_OPERATORS_BYTES: Final = 256 * 1024
"""What moving the journal leaves, in case a reader keeps it from being cut: some 30 changes of accounts."""

_FIRST_CUT: Final = 64 * 1024
"""Cut off first: enough for a change of an account, and little for other programs to take meanwhile."""

_LARGEST_STEP: Final = 4 * 1024 * 1024
_SMALLEST_STEP: Final = 16 * 1024
"""The file is filled up by so many bytes at a time, as far as there is space."""

T = TypeVar("T")


class Reserve:
    """The file `<store>.reserve`, and its use; it belongs to the thread that owns the store.

    Args:
        store: The store's file.
        keep: Make the file when there is space. Otherwise only an existing one is used.
    """

    def __init__(self, store: Path, *, keep: bool) -> None:
        real = resolve(store)
        self.path = real.with_name(f"{real.name}.reserve")
        self._keep = keep
        self._size = min(self.size(), RESERVE_BYTES)
        """Its largest so far, to which it is filled up after it was cut."""
        self._compaction: Compaction | None = None

    def attach(self, compaction: Compaction) -> None:
        """Use the journal's space, too, now that the store is open."""
        self._compaction = compaction

    def size(self) -> int:
        """Return the size of the file in bytes; 0 if it does not exist."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def spend(self, change: Callable[[], T], *, leave: int | None = 0) -> T:
        """Make a change; if the disk is full, make space and try again.

        Args:
            change: A transaction, or one step of several; after `StoreFullError` it can be called again.
            leave: Bytes of the reserve that are not for this change; None as in `retry`.

        Raises:
            StoreFullError: There is no space even so; nothing was changed.
        """
        try:
            return change()
        except StoreFullError as error:
            return self.retry(error, change, leave=leave)

    def retry(self, full: StoreFullError, change: Callable[[], T], *, leave: int | None = None) -> T:
        """Make space for a change that has failed, and try it again, four times at most.

        Args:
            full: Its error.
            change: As in `spend`.
            leave: As in `spend`; None for a change that adds something, such as a message. It gets the
                space that moving the journal makes. If it fits into unused pages of the store's file, as
                after pruning, it gets half of the reserve for the journal, which can be moved then.

        Raises:
            StoreFullError: There is no space even so; nothing was changed.
        """
        _close_cursors(full)
        self._size = max(self._size, min(self.size(), RESERVE_BYTES))
        if leave is None:
            fits = self._compaction is not None and self._compaction.free_bytes() >= SHARED_BYTES
            leave = SHARED_BYTES if fits else RESERVE_BYTES
        try:
            for make_space in self._ways(leave):
                if make_space():
                    try:
                        return change()
                    except StoreFullError as error:
                        full = error
                        _close_cursors(full)
        finally:
            self.take_back()
        raise full

    def spend_on_opening(self, open_store: Callable[[], T]) -> T:
        """Open the store; if the disk is full, with the whole reserve, until `take_back`.

        Raises:
            StoreFullError: There is no space even so.
        """
        try:
            return open_store()
        except StoreFullError:
            if not self._cut(0):
                raise
        try:
            return open_store()
        except BaseException:
            self.take_back()
            raise

    def take_back(self) -> None:
        """Fill the file up after it was cut, as far as there is space."""
        if self.size() < self._size and not self._fill(self._size):
            self._empty_journal()

    def maintain(self) -> bool:
        """Make the file, or fill it up, unless that would take most of the space that is left.

        On a full disk it gets the space of unused pages of the store's file, some in each call.

        Returns:
            Whether there are more such pages that it needs.
        """
        self.take_back()
        size = self.size()
        if size < self._size:
            return self._shrink_store()
        missing = RESERVE_BYTES - size
        if self._keep and missing > 0 and _free(self.path.parent) >= 2 * missing:
            if not self._fill(RESERVE_BYTES):  # a quota, perhaps
                self._cut(size)
            self._size = self.size()
        return False

    def _shrink_store(self) -> bool:
        """Fill the file up with unused pages of the store's file; return whether that helped."""
        compaction, size = self._compaction, self.size()
        if compaction is None or not compaction.free_bytes():
            return False
        with contextlib.suppress(StoreError):
            self.spend(compaction.release_step, leave=_OPERATORS_BYTES)
            self._empty_journal()
        return self.size() > size

    def _ways(self, leave: int) -> list[Callable[[], bool]]:
        """Return the ways to make space, the cheapest first; each returns whether it may have helped."""
        return [
            self._restart_journal,
            lambda: self._cut(max(leave, self.size() - _FIRST_CUT)),
            self._empty_journal,
            lambda: self._cut(leave),
        ]

    # What is committed is in the journal, so an error of moving it changes nothing: the change that is
    # tried next shows whether there is space now.

    def _restart_journal(self) -> bool:
        """Move the journal into the store's file, so that its space is used again."""
        if self._compaction is None:
            return False
        with contextlib.suppress(StoreError):
            return self._compaction.restart_journal()
        return False

    def _empty_journal(self) -> bool:
        """Let the store's file grow by the journal's pages with the reserve's space, and cut the journal.

        The journal has each of these pages at least once. So this makes more space than it takes, and the
        file is filled up again.
        """
        if self._compaction is None:
            return False
        emptied = False
        with contextlib.suppress(StoreError, OSError):
            growth = self._compaction.growth()
            if growth > 0:
                if self.size() - growth < _OPERATORS_BYTES:
                    return False
                self._cut(_OPERATORS_BYTES)
            emptied = self._compaction.empty_journal()
        self._fill(self._size)
        return emptied

    def _cut(self, size: int) -> bool:
        """Cut the file to a size, so that the rest of its space is free; return whether it was larger."""
        if self.size() <= size:
            return False
        try:
            os.truncate(self.path, size)
        except OSError:
            return False
        return True

    def _fill(self, wanted: int) -> bool:
        """Fill the file up to a size, or as far as there is space; return whether it has that size."""
        allocate = getattr(os, "posix_fallocate", None)  # macOS has none
        if allocate is None:
            return False
        with contextlib.suppress(OSError), self._opened() as descriptor:
            size, step = os.fstat(descriptor).st_size, _LARGEST_STEP
            while size < wanted and step >= _SMALLEST_STEP:
                try:
                    allocate(descriptor, size, min(step, wanted - size))
                except OSError:
                    os.ftruncate(descriptor, size)  # a part of the step can be there
                    step //= 4
                else:
                    size += min(step, wanted - size)
            return size >= wanted
        return False

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _close_cursors(error: BaseException | None) -> None:
    """Clear the variables of an error's traceback: an open cursor in one keeps the journal where it is."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__


def _free(directory: Path) -> int:
    """Return the bytes that are free on a disk; 0 if that can't be read."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
