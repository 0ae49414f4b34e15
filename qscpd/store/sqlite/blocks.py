"""Blocks: which accounts an account blocks, in SQLite; `qscpd.domain.blocks` decides."""

from collections.abc import Callable, Sequence

from qscp.errors import ErrorCode
from qscpd.domain.blocks import block_refusal
from qscpd.domain.events import BlockChanged
from qscpd.domain.model import BlockRow
from qscpd.domain.rooms import DeniedError
from qscpd.store.sqlite.accounts import AccountReader
from qscpd.store.sqlite.database import Database, DatabaseReader


class BlockReader:
    """Reads blocks."""

    def __init__(self, db: DatabaseReader) -> None:
        self._db = db

    def all(self, account: int | None = None) -> Sequence[BlockRow]:
        """See `StoreReader.blocks`."""
        sql = "SELECT account, blocked, time_ms FROM blocks WHERE ? IS NULL OR account = ?"
        rows = self._db.read(f"{sql} ORDER BY account, blocked", account, account)
        return [BlockRow(*row) for row in rows]

    def blocked_by(self, account: int) -> frozenset[int]:
        """Return the accounts that an account blocks."""
        return frozenset(
            row[0] for row in self._db.read("SELECT blocked FROM blocks WHERE account = ?", account)
        )

    def blockers(self, one: int, other: int) -> frozenset[int]:
        """Return those of two accounts that block the other one."""
        sql = "SELECT account FROM blocks WHERE (account, blocked) IN (VALUES (?, ?), (?, ?))"
        return frozenset(row[0] for row in self._db.read(sql, one, other, other, one))


class Blocks:
    """Writes blocks.

    Args:
        db: The database.
        reader: Reads blocks.
        accounts: Reads accounts.
        on_changed: Called inside the transaction with the two accounts of each changed block.
    """

    def __init__(
        self,
        db: Database,
        reader: BlockReader,
        accounts: AccountReader,
        on_changed: Callable[[int, int], None],
    ) -> None:
        self._db = db
        self._reader = reader
        self._accounts = accounts
        self._on_changed = on_changed

    def block(self, account: int, blocked: int) -> None:
        """See `Store.block`."""
        known = self._reader.blocked_by(account)
        code = block_refusal(account, blocked, known, exists=self._accounts.exists(account))
        if code is not None:  # Not in the transaction: to undo it costs the caches.
            raise DeniedError(code)
        with self._db.transaction() as db:
            db.execute("INSERT INTO blocks VALUES (?, ?, ?)", (account, blocked, self._db.now_ms))
            self._changed(BlockChanged(account, blocked))

    def unblock(self, account: int, blocked: int) -> None:
        """See `Store.unblock`."""
        if blocked not in self._reader.blocked_by(account):
            raise DeniedError(ErrorCode.UNCHANGED)
        with self._db.transaction() as db:
            db.execute("DELETE FROM blocks WHERE account = ? AND blocked = ?", (account, blocked))
            self._changed(BlockChanged(account, blocked, removed=True))

    def remove_all(self, account: int) -> None:
        """Remove what a deleted account blocks."""
        with self._db.transaction() as db:
            sql = "DELETE FROM blocks WHERE account = ? RETURNING blocked"
            for (blocked,) in db.execute(sql, (account,)).fetchall():
                self._changed(BlockChanged(account, blocked, removed=True))

    def _changed(self, event: BlockChanged) -> None:
        self._on_changed(event.account, event.blocked)
        self._db.emit(event)
