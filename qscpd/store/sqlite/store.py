"""The SQLite driver's store: repositories over one `Database`, composed."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from qscpd.domain.events import Event, PositionMoved
from qscpd.domain.model import Account, Mark, NewMessage, Outcome, RoomResult
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreDamagedError, StoreError, StoreFullError
from qscpd.store.base import Housekeeping
from qscpd.store.damage import DamagedPlace, DamageLog, OnDamage
from qscpd.store.sqlite.accounts import Accounts
from qscpd.store.sqlite.amendments import Amendments
from qscpd.store.sqlite.chunk_scan import ChunkScan
from qscpd.store.sqlite.chunk_table import ChunkWriter
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
        clock_ms: Milliseconds since 1970-01-01 UTC; None: the system's clock.
        edit_within_ms: How long after its time a message can be edited.
        on_damage: Called with each damaged place that is read; None: each is logged once.

    Raises:
        StoreError: The file can't be opened, is damaged, or is no store of ours.
        PermissionDeniedError: This user may not read and write it.
    """

    _db: Database
    _closed = False

    def __init__(
        self,
        path: Path,
        *,
        clock_ms: Callable[[], int] | None = None,
        edit_within_ms: int = 0,
        on_damage: OnDamage | None = None,
    ) -> None:
        db = Database(path, clock_ms)
        on_damage = on_damage or DamageLog()
        super().__init__(db, on_damage)
        log = ModerationLog(db)
        scan = ChunkScan(db, self._chunk_reader)
        index = SearchIndex(db, scan)
        self._ids = MessageIds(db, scan, on_damage)
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
        self._housekeeping = SqliteHousekeeping(
            self._ids,
            index,
            Pruner(db, self._chunk_reader, chunk_writer),
            Eraser(db, self._chunk_reader, chunk_writer, self._ids, index, log, compaction, on_damage),
            compaction,
            on_damage,
        )
        try:
            self._catch_up(on_damage)
        except BaseException:
            self.close()
            raise

    def _catch_up(self, on_damage: OnDamage) -> None:
        """Do what the last run did not get to."""
        # After a crash under load some thousands of ids may be missing from the index.
        self._chunk_reader.trusts_new = False
        try:
            with self._db.transaction():
                self._ids.index_all()
        except StoreDamagedError:
            self._ids.index_all()  # each step for itself, around what is damaged
        self._chunk_reader.trusts_new = True
        if self._housekeeping.compaction_due():
            try:
                self._housekeeping.compact()
            except StoreFullError:
                pass  # next time, then
            except StoreDamagedError as error:
                on_damage(DamagedPlace(f"unused parts of the file can't be removed: {error}"))

    def close(self) -> None:
        """See `StoreReader.close`; the index of message ids is completed first.

        It shows which seqs are right should a chunk be damaged before the store is opened again.
        """
        if not self._closed:
            self._closed = True
            with contextlib.suppress(StoreError):  # opening completes it, too
                self._ids.index_all()
        super().close()

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
