"""The files of SQLite's journal: the header of `-wal`, the header of `-shm`, and cutting of the `-wal`.

Formats: https://sqlite.org/walformat.html
"""

import contextlib
import os
import struct
from pathlib import Path
from typing import Final, NamedTuple

HEADER: Final = 32
FRAME_HEADER: Final = 24

_MAGIC: Final = 0x377F0682
"""The lowest bit says whether the checksums are of big-endian words."""

_VERSION: Final = 3007000
_INDEX_COPY: Final = 48
"""Bytes of each of the two copies of the index's header."""

_BACKFILL_AT: Final = 2 * _INDEX_COPY
_INDEX_BYTES: Final = _BACKFILL_AT + 4
_HEADERS_AT_ONCE: Final = 1 << 16
"""Frames that one search looks at, at most: a journal of 256 MiB."""


def wal_path(store: Path) -> Path:
    """Return the path of a store's journal."""
    return Path(f"{store}-wal")


def index_path(store: Path) -> Path:
    """Return the path of the index of a store's journal."""
    return Path(f"{store}-shm")


class WalHeader(NamedTuple):
    """The valid header of a journal."""

    page_size: int
    salts: bytes
    """Eight bytes that every frame of this round through the file repeats."""

    @property
    def round(self) -> int:
        """The first salt: random in a new file, and one more in each round through it."""
        return int.from_bytes(self.salts[:4], "big")

    def offset(self, frame: int) -> int:
        """Return where a frame begins; the first one is 0."""
        return HEADER + frame * (FRAME_HEADER + self.page_size)


def read_header(store: Path) -> WalHeader | None:
    """Return the header of a store's journal; None if there is no valid one.

    Raises:
        OSError: The journal can't be read.
    """
    try:
        with wal_path(store).open("rb") as file:
            block = file.read(HEADER)
    except FileNotFoundError:
        return None
    if len(block) < HEADER:
        return None
    magic, version, page_size = struct.unpack_from(">III", block)
    if magic & ~1 != _MAGIC or version != _VERSION:
        return None
    order = ">" if magic & 1 else "<"
    if struct.pack(">II", *_checksum(block[:24], order)) != block[24:]:
        return None
    return WalHeader(page_size, block[16:24])


class WalIndex(NamedTuple):
    """The valid header of a journal's index."""

    page_size: int
    salts: bytes
    frames: int
    """Number of frames up to the last commit."""
    backfilled: int
    """Number of frames that are in the database file, too."""


def parse_index(block: bytes) -> WalIndex | None:
    """Return the header of an index from its first bytes; None if it is not valid."""
    first, second = block[:_INDEX_COPY], block[_INDEX_COPY : 2 * _INDEX_COPY]
    if len(block) < _INDEX_BYTES or first != second or not first[12]:
        return None
    if struct.pack("=II", *_checksum(first[:40], "=")) != first[40:]:
        return None
    page_size, frames = struct.unpack_from("=HI", first, 14)
    (backfilled,) = struct.unpack_from("=I", block, _BACKFILL_AT)
    return WalIndex(page_size if page_size > 1 else 1 << 16, first[32:40], frames, backfilled)


def read_index(store: Path) -> bytes:
    """Return the header of the index of a store that this process has not open; empty if there is none.

    Raises:
        OSError: The index can't be read.
    """
    try:
        with index_path(store).open("rb") as file:
            return file.read(_INDEX_BYTES)
    except FileNotFoundError:
        return b""


def commits_behind(store: Path, header: WalHeader, frames: int) -> int:
    """Return the number of commits of this round that are behind the end of the journal.

    Args:
        store: The store.
        header: The header of its journal.
        frames: Number of frames up to the end.

    Raises:
        OSError: The journal can't be read.
    """
    count = 0
    with wal_path(store).open("rb") as file:
        for frame in range(frames, frames + _HEADERS_AT_ONCE):
            block = os.pread(file.fileno(), FRAME_HEADER, header.offset(frame))
            if len(block) < FRAME_HEADER:
                break
            _, pages, salts = struct.unpack_from(">II8s", block)
            count += pages != 0 and salts == header.salts
    return count


class Cutter:
    """Cuts off the journal of an open store behind its last commit.

    It has the index open as long as SQLite has: closing it earlier would drop SQLite's locks on it.

    Args:
        store: The store, which SQLite has opened and read from.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._index = -1
        with contextlib.suppress(OSError):
            self._index = os.open(index_path(store), os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the index, after SQLite has."""
        if self._index >= 0:
            os.close(self._index)
            self._index = -1

    def cut(self) -> bool:
        """Cut off what is behind the last commit; return whether that worked.

        Without room for the index, a commit fails after it was written to the journal as a whole. It is
        void, but after a crash it would be recovered, although its messages were refused.
        """
        if self._index < 0:
            return False
        try:
            index = parse_index(os.pread(self._index, _INDEX_BYTES, 0))
            if index is None:
                return False
            size = WalHeader(index.page_size, index.salts).offset(index.frames)
            with wal_path(self._store).open("r+b") as wal:
                if os.fstat(wal.fileno()).st_size > size:
                    os.ftruncate(wal.fileno(), size)
                    os.fsync(wal.fileno())
        except OSError:
            return False
        return True


def _checksum(block: bytes, order: str) -> tuple[int, int]:
    """Return SQLite's checksum of a header."""
    first = second = 0
    for one, two in struct.iter_unpack(f"{order}II", block):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
