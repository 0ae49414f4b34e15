"""The SQLite driver's store: repositories over one `Database`, composed."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from qscpd.domain.events import Event, PositionMoved
from qscpd.domain.model import Account, Mark, NewMessage, Outcome, RoomResult
from qscpd.domain.moderation import is_protective
from qscpd.domain.rooms import DeniedError, RoomChange, RoomRow, RoomState
from qscpd.errors import StoreDamagedError, StoreError, StoreFullError
from qscpd.store.base import Finding, Housekeeping
from qscpd.store.clock import Clock
from qscpd.store.damage import DamagedPlace, DamageLog, OnDamage
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.accounts import Accounts
from qscpd.store.sqlite.amendments import Amendments
from qscpd.store.sqlite.blocks import Blocks
from qscpd.store.sqlite.chunk_table import ChunkWriter
from qscpd.store.sqlite.clock_keeper import ClockKeeper
from qscpd.store.sqlite.compaction import Compaction
from qscpd.store.sqlite.conversation_cache import ConversationCache
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.fold import DUE_BYTES, DUE_MESSAGES, Fold
from qscpd.store.sqlite.housekeeping import SqliteHousekeeping
from qscpd.store.sqlite.ids import MessageIds
from qscpd.store.sqlite.journal import Part, read_rows, repair_range, row_range
from qscpd.store.sqlite.messages import Messages
from qscpd.store.sqlite.old_texts import OldTexts
from qscpd.store.sqlite.piece_folder import PieceFolder
from qscpd.store.sqlite.piece_queue import PieceQueue
from qscpd.store.sqlite.positions import Positions
from qscpd.store.sqlite.reader import SqliteReads
from qscpd.store.sqlite.reserve import SHARED_BYTES, Reserve
from qscpd.store.sqlite.retention import Eraser, Pruner
from qscpd.store.sqlite.rooms import ModerationLog, Rooms
from qscpd.store.sqlite.search_index import SearchIndex
from qscpd.store.sqlite.tail import Tail
from qscpd.store.upgrade import OnUpgrade


class SqliteStore(SqliteReads):
    """A `qscpd.store.base.Store` in an SQLite file.

    Args:
        path: The file; it is made when it does not exist, readable by its owner only.
        clock: Reads the clocks; None: the system's.
        edit_within_ms: How long after its time a message can be edited.
        keep_reserve: Keep space for changes that have to work on a full disk; see `Reserve`.
        on_damage: Called with each damaged place that is read; None: each is logged once.
        on_upgrade: See `qscpd.store.open_store`.

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
        clock: Clock | None = None,
        edit_within_ms: int = 0,
        keep_reserve: bool = False,
        on_damage: OnDamage | None = None,
        on_upgrade: OnUpgrade | None = None,
    ) -> None:
        self._reserve = Reserve(path, keep=keep_reserve)
        on_damage = on_damage or DamageLog()
        db = self._reserve.spend_on_opening(
            lambda: Database(path, clock, on_damage=on_damage, on_upgrade=on_upgrade)
        )
        self._tail = Tail()
        super().__init__(db, on_damage, self._tail)
        self._findings = tuple(_findings(db))
        log = ModerationLog(db)
        index = SearchIndex(db)
        compaction = Compaction(db)
        self._ids = MessageIds(db, self._chunk_reader, on_damage)
        chunk_writer = ChunkWriter(db, self._ids, index)
        old_texts = OldTexts(db, index, compaction, on_damage)
        self._fold = Fold(
            db,
            self._tail,
            self._chunk_reader,
            chunk_writer,
            self._ids,
            PieceQueue(db, PieceFolder(db, self._chunk_reader, chunk_writer, index), on_damage),
            old_texts,
            on_damage,
        )
        self._conversations = ConversationCache(
            db, self._chunk_reader, self._tail, self._room_reader, self._block_reader
        )
        self._positions = Positions(db, self._tail)
        self._accounts = Accounts(db)
        self._blocks = Blocks(db, self._block_reader, self._account_reader, self._conversations.block_changed)
        self._rooms = Rooms(
            db,
            self._room_reader,
            self._account_reader,
            self._block_reader,
            log,
            self._room_changed,
        )
        amendments = Amendments(
            db,
            self._conversations,
            self._chunk_reader,
            self._ids,
            index,
            log,
            on_text_replaced=old_texts.note,
            edit_within_ms=edit_within_ms,
        )
        self._messages = Messages(db, self._tail, self._conversations, self._ids, amendments, self._positions)
        self._clock_keeper = ClockKeeper(db)
        self._housekeeping = SqliteHousekeeping(
            self._clock_keeper,
            self._fold,
            self._ids,
            Pruner(db, self._chunk_reader, chunk_writer, self._fold, old_texts),
            Eraser(
                db,
                self._chunk_reader,
                chunk_writer,
                self._fold,
                index,
                log,
                compaction,
                on_damage,
            ),
            compaction,
            self._reserve,
            on_damage,
        )
        self._reserve.attach(compaction)
        try:
            self._catch_up(on_damage)
        except BaseException:
            super().close()
            raise

    def _room_changed(self, room: RoomRow) -> None:
        """Forget what a change of a room or of a membership may have made invalid."""
        self._conversations.room_changed(room)
        self._positions.room_changed(room)
        if room.state is RoomState.DELETED:
            self._fold.request(makes_space=True)  # only what is in chunks can be removed

    def _catch_up(self, on_damage: OnDamage) -> None:
        """Read what the last run has not folded, and do what it did not get to."""
        wrong = repair_range(self._db)
        damaged: list[DamagedPlace] = [] if wrong is None else [wrong]
        folded, _ = row_range(self._db)
        for row, parts in read_rows(self._db, folded, damaged.append):
            self._tail.add(row, parts)
            self._ids.add_journaled(_messages_of(parts))
        if damaged:
            # Their seqs can be given again, if they were the newest ones. Once folded, they are no damage.
            self._db.renew_epoch()
            self._fold.request()
        for place in damaged:
            on_damage(place)
        if self._housekeeping.compaction_due():
            try:
                self._housekeeping.compact()
            except StoreFullError:
                pass  # next time, then
            except StoreDamagedError as error:
                on_damage(DamagedPlace(f"unused parts of the file can't be removed: {error}"))
        self._reserve.take_back()
        self._reserve.maintain()

    def close(self) -> None:
        """See `StoreReader.close`; what is in the journal is folded first, if there is room for that."""
        if not self._closed:
            self._closed = True
            self._clock_keeper.close()
            with contextlib.suppress(StoreError):  # the next run does it, then
                self._fold.fold_messages()
        super().close()
        self._reserve.take_back()  # The journal is gone, if nobody else reads.

    @property
    def findings(self) -> Sequence[Finding]:
        """See `Store.findings`."""
        return self._findings

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

    def check_new_name(self, name: str, *, reuse_name: bool = False) -> None:
        """See `Store.check_new_name`."""
        self._accounts.check_new_name(name, reuse_name=reuse_name)

    def set_password(self, name: str, password_hash: str) -> Account:
        """See `Store.set_password`."""
        return self._reserve.spend(lambda: self._accounts.set_password(name, password_hash))

    def set_locked(self, name: str, *, locked: bool) -> Account:
        """See `Store.set_locked`."""
        return self._reserve.spend(lambda: self._accounts.set_locked(name, locked=locked))

    def delete_account(self, name: str) -> Account:
        """See `Store.delete_account`."""
        return self._reserve.spend(lambda: self._delete_account(name))

    def _delete_account(self, name: str) -> Account:
        with self._db.transaction():
            account = self._accounts.mark_deleted(name)
            self._rooms.leave_all(account.id)
            self._blocks.remove_all(account.id)
        return account

    def replace_hash(self, account: int, old_hash: str, new_hash: str) -> None:
        """See `Store.replace_hash`."""
        self._accounts.replace_hash(account, old_hash, new_hash)

    def block(self, account: int, blocked: int) -> None:
        """See `Store.block`."""
        self._reserve.spend(lambda: self._blocks.block(account, blocked), leave=SHARED_BYTES)

    def unblock(self, account: int, blocked: int) -> None:
        """See `Store.unblock`."""
        self._reserve.spend(lambda: self._blocks.unblock(account, blocked), leave=SHARED_BYTES)

    # --- messages

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark] = (), *, deadline_s: float = math.inf
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        """See `Store.append`."""
        try:
            return self._append(messages, marks, deadline_s)
        except StoreFullError as error:
            return self._reserve.retry(error, lambda: self._append(messages, marks, deadline_s))

    def _append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark], deadline_s: float
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        # Whoever sends faster than is folded waits for that, so that the tail is bounded.
        is_due = self._tail.count >= DUE_MESSAGES or self._tail.size >= DUE_BYTES
        if is_due and self._fold.catch_up(deadline_s):
            messages = ()
        return self._messages.append(messages, marks, deadline_s)

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """See `Store.known`."""
        return self._messages.known(messages)

    # --- rooms

    def change_room(self, change: RoomChange) -> RoomResult:
        """See `Store.change_room`."""
        (outcome,) = self.change_rooms([change])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def change_rooms(
        self, changes: Sequence[RoomChange], *, deadline_s: float = math.inf
    ) -> Sequence[RoomResult | DeniedError | StoreFullError]:
        """See `Store.change_rooms`."""
        try:
            return self._change_rooms(changes, deadline_s)
        except StoreFullError as error:
            protective = [each for each in changes if is_protective(each)]
            if not protective:
                raise
            full = error
        by_operator = all(each.actor is None for each in protective)
        made = iter(
            self._reserve.spend(
                lambda: self._change_rooms(protective), leave=0 if by_operator else SHARED_BYTES
            )
        )
        return [next(made) if is_protective(each) else full for each in changes]

    def _change_rooms(
        self, changes: Sequence[RoomChange], deadline_s: float = math.inf
    ) -> Sequence[RoomResult | DeniedError]:
        outcomes: list[RoomResult | DeniedError] = []
        with self._db.transaction():
            for change in changes:
                if outcomes and time.monotonic() >= deadline_s:
                    break
                try:
                    outcomes.append(self._rooms.change(change))
                except DeniedError as error:
                    outcomes.append(error)  # raised before anything was written
        return outcomes


def _messages_of(parts: Sequence[Part]) -> Iterator[tuple[int, str, int, int]]:
    """Yield account, id, conversation and seq of the messages in a row of the journal."""
    for part in parts:
        with contextlib.suppress(StoreDamagedError):
            for seq, (account, message_id) in enumerate(chunks.senders(part.packed), part.first_seq):
                yield account, message_id, part.conversation, seq


def _findings(db: Database) -> Iterator[Finding]:
    if db.lost is not None:
        yield Finding("journal_lost", db.lost, logging.CRITICAL)
    if db.migration is not None:
        yield Finding("migrated", str(db.migration), logging.INFO)
    if not db.marked:
        sentence = (
            f"{db.path}: no room on the disk to mark the store as in use, so a loss of its journal "
            "would not be noticed; free some space and restart"
        )
        yield Finding("unmarked", sentence, logging.WARNING, daemon_only=True)
