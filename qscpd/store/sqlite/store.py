"""The SQLite driver's store: repositories over one `Database`, composed."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from qscpd.domain.events import Event, PositionMoved
from qscpd.domain.model import Account, Mark, NewMessage, Outcome, RoomResult
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreFullError
from qscpd.store.base import Housekeeping
from qscpd.store.clock import Clock
from qscpd.store.sqlite.accounts import Accounts
from qscpd.store.sqlite.amendments import Amendments
from qscpd.store.sqlite.chunk_table import ChunkWriter
from qscpd.store.sqlite.clock_keeper import ClockKeeper
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.housekeeping import SqliteHousekeeping
from qscpd.store.sqlite.message_ids import MessageIds
from qscpd.store.sqlite.messages import Messages
from qscpd.store.sqlite.reader import SqliteReads
from qscpd.store.sqlite.retention import Eraser, Pruner
from qscpd.store.sqlite.rooms import ModerationLog, Rooms
from qscpd.store.sqlite.search_index import SearchIndex
from qscpd.store.sqlite.tail_cache import TailCache


class SqliteStore(SqliteReads):
    """A `qscpd.store.base.Store` in an SQLite file.

    Args:
        path: The file; it is made when it does not exist, readable by its owner only.
        clock: Reads the clocks; None: the system's.
        edit_within_ms: How long after its time a message can be edited.

    Raises:
        StoreError: The file can't be opened, is damaged, or is no store of ours.
        PermissionDeniedError: This user may not read and write it.
    """

    _db: Database

    def __init__(self, path: Path, *, clock: Clock | None = None, edit_within_ms: int = 0) -> None:
        db = Database(path, clock)
        super().__init__(db)
        log = ModerationLog(db)
        index = SearchIndex(db)
        self._ids = MessageIds(db)
        self._tails = TailCache(db, self._room_reader)
        self._accounts = Accounts(db)
        self._rooms = Rooms(db, self._room_reader, self._account_reader, log, self._tails.room_changed)
        chunk_writer = ChunkWriter(db, self._ids, index)
        amendments = Amendments(
            db,
            self._tails,
            self._chunk_reader,
            chunk_writer,
            self._ids,
            log,
            edit_within_ms=edit_within_ms,
        )
        self._messages = Messages(db, self._room_reader, self._tails, self._ids, amendments)
        compaction = Compaction(db)
        self._clock_keeper = ClockKeeper(db)
        self._housekeeping = SqliteHousekeeping(
            self._clock_keeper,
            self._ids,
            index,
            Pruner(db, chunk_writer),
            Eraser(db, chunk_writer, self._ids, index, log, compaction),
            compaction,
        )
        try:
            self._catch_up()
        except BaseException:
            super().close()
            raise

    def close(self) -> None:
        """See `StoreReader.close`."""
        self._clock_keeper.close()
        super().close()

    def _catch_up(self) -> None:
        """Do what the last run did not get to."""
        # After a crash under load some thousands of ids may be missing from the index.
        with self._db.transaction():
            self._ids.index_all()
        if self._housekeeping.compaction_due():
            with contextlib.suppress(StoreFullError):  # next time, then
                self._housekeeping.compact()

    @property
    def housekeeping(self) -> Housekeeping:
        """See `Store.housekeeping`."""
        return self._housekeeping

    def listen(self, on_commit: Callable[[Sequence[Event]], None] | None) -> None:
        """See `Store.listen`."""
        self._db.listen(on_commit)

    def renew_epoch(self) -> None:
        """See `Store.renew_epoch`."""
        self._db.renew_epoch()

    # --- accounts

    def add_account(self, name: str, password_hash: str, *, reuse_name: bool = False) -> Account:
        """See `Store.add_account`."""
        return self._accounts.add(name, password_hash, reuse_name=reuse_name)

    def set_password(self, name: str, password_hash: str) -> Account:
        """See `Store.set_password`."""
        return self._accounts.set_password(name, password_hash)

    def set_locked(self, name: str, *, locked: bool) -> Account:
        """See `Store.set_locked`."""
        return self._accounts.set_locked(name, locked=locked)

    def delete_account(self, name: str) -> Account:
        """See `Store.delete_account`."""
        with self._db.transaction():
            account = self._accounts.mark_deleted(name)
            self._rooms.leave_all(account.id)
        return account

    def replace_hash(self, account: int, old_hash: str, new_hash: str) -> None:
        """See `Store.replace_hash`."""
        self._accounts.replace_hash(account, old_hash, new_hash)

    # --- messages

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark] = ()
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        """See `Store.append`."""
        return self._messages.append(messages, marks)

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """See `Store.known`."""
        return self._ids.known(messages)

    # --- rooms

    def change_room(self, change: RoomChange) -> RoomResult:
        """See `Store.change_room`."""
        (outcome,) = self.change_rooms([change])
        if isinstance(outcome, DeniedError):
            raise outcome
        return outcome

    def change_rooms(self, changes: Sequence[RoomChange]) -> Sequence[RoomResult | DeniedError]:
        """See `Store.change_rooms`."""
        outcomes: list[RoomResult | DeniedError] = []
        with self._db.transaction():
            for change in changes:
                try:
                    outcomes.append(self._rooms.change(change))
                except DeniedError as error:
                    outcomes.append(error)  # raised before anything was written
        return outcomes
