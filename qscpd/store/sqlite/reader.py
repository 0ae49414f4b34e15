"""The reading half of the SQLite driver: no writer is in it, and its connection can't write."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from qscpd.domain.model import (
    Account,
    BlockRow,
    ConversationPage,
    ConversationRow,
    Credentials,
    ExportedMessage,
    FoundPage,
    HistoryPage,
    LogRow,
    MessageRow,
    ReplayPage,
)
from qscpd.domain.rooms import Membership, RoomRow
from qscpd.domain.search import Search
from qscpd.store.damage import DamageLog, OnDamage
from qscpd.store.sqlite.accounts import AccountReader
from qscpd.store.sqlite.blocks import BlockReader
from qscpd.store.sqlite.chunk_reader import ChunkReader
from qscpd.store.sqlite.database import DatabaseReader
from qscpd.store.sqlite.history import HistoryReader
from qscpd.store.sqlite.pace import PacedDatabaseReader
from qscpd.store.sqlite.rooms import RoomReader
from qscpd.store.sqlite.search import SearchReader
from qscpd.store.sqlite.tail import ReadTail, Tail

ALL = 1_000_000
"""A limit that no account and no room reaches."""


class SqliteReads:
    """The reads of `qscpd.store.base.StoreReader`, delegated to reading repositories.

    Args:
        db: The connection.
        on_damage: Called with each damaged place that is read; None: each is logged once.
        tail: The tail of the connection; None: read it from the journal at each snapshot.
    """

    def __init__(
        self, db: DatabaseReader, on_damage: OnDamage | None = None, tail: Tail | None = None
    ) -> None:
        on_damage = on_damage or DamageLog()
        tail = tail or ReadTail(db, on_damage)
        self._db = db
        self._account_reader = AccountReader(db)
        self._block_reader = BlockReader(db)
        self._room_reader = RoomReader(db, tail)
        self._chunk_reader = ChunkReader(db, tail, on_damage)
        self._history = HistoryReader(db, tail, self._account_reader, self._block_reader, self._chunk_reader)
        self._search = SearchReader(db, self._history, self._chunk_reader)

    def close(self) -> None:
        """See `StoreReader.close`."""
        self._search.close()
        self._db.close()

    def snapshot(self) -> AbstractContextManager[None]:
        """See `StoreReader.snapshot`."""
        return self._db.snapshot()

    def epoch(self) -> str:
        """See `StoreReader.epoch`."""
        return self._db.epoch()

    def steady_ms(self) -> int:
        """See `StoreReader.steady_ms`."""
        return self._db.read_clock().now().steady_ms

    # --- accounts

    def accounts(self) -> Sequence[Account]:
        """See `StoreReader.accounts`."""
        return self._account_reader.all()

    def account_names(self) -> Mapping[int, str]:
        """See `StoreReader.account_names`."""
        return self._account_reader.names()

    def find_account(self, name: str, account: int | None = None) -> Account:
        """See `StoreReader.find_account`."""
        return self._account_reader.find(name, account)

    def credentials(self, name: str) -> Credentials | None:
        """See `StoreReader.credentials`."""
        return self._account_reader.credentials(name)

    def blocks(self, account: int | None = None) -> Sequence[BlockRow]:
        """See `StoreReader.blocks`."""
        return self._block_reader.all(account)

    # --- conversations

    def conversations(self, account: int, after: int = 0, limit: int = ALL) -> Sequence[ConversationRow]:
        """See `StoreReader.conversations`."""
        return self._history.conversations(account, after, limit)

    def conversation_list(self, account: int, after: int, limit: int) -> ConversationPage:
        """See `StoreReader.conversation_list`."""
        return self._history.summaries(account, after, limit)

    # --- messages

    def history_page(
        self,
        account: int,
        conversation: int,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int,
        max_bytes: int,
    ) -> HistoryPage | None:
        """See `StoreReader.history_page`."""
        return self._history.history_page(
            account, conversation, before=before, after=after, limit=limit, max_bytes=max_bytes
        )

    def replay_page(
        self, account: int, conversation: int, *, after: int, limit: int, max_bytes: int
    ) -> ReplayPage | None:
        """See `StoreReader.replay_page`."""
        return self._history.replay_page(account, conversation, after=after, limit=limit, max_bytes=max_bytes)

    def search(self, search: Search) -> FoundPage | None:
        """See `StoreReader.search`."""
        return self._search.search(search)

    def export(self, account: int) -> Iterator[ExportedMessage]:
        """See `StoreReader.export`."""
        return self._history.export(account)

    def export_room(self, conversation: int) -> Iterator[MessageRow]:
        """See `StoreReader.export_room`."""
        return self._history.export_room(conversation)

    # --- rooms

    def rooms(self) -> Sequence[RoomRow]:
        """See `StoreReader.rooms`."""
        return self._room_reader.all()

    def find_room(self, name: str) -> RoomRow:
        """See `StoreReader.find_room`."""
        return self._room_reader.find(name)

    def room(self, conversation: int) -> RoomRow:
        """See `StoreReader.room`."""
        return self._room_reader.get(conversation)

    def memberships(self, conversation: int) -> Mapping[int, Membership]:
        """See `StoreReader.memberships`."""
        return self._room_reader.memberships(conversation)

    def last_mute(self, conversation: int, account: int) -> LogRow | None:
        """See `StoreReader.last_mute`."""
        return self._room_reader.last_mute(conversation, account)

    def room_log(self, conversation: int, before: int | None = None, limit: int = ALL) -> Sequence[LogRow]:
        """See `StoreReader.room_log`."""
        return self._room_reader.log(conversation, before, limit)


class SqliteReader(SqliteReads):
    """A `qscpd.store.base.StoreReader` of an SQLite file.

    Args:
        path: The file; the daemon may be writing to it.
        on_damage: Called with each damaged place that is read; None: each is logged once.
        paced: Whether reads are paced; see `qscpd.store.open_reader`.

    Raises:
        StoreError: The file can't be opened, or is no store with the newest schema.
        PermissionDeniedError: This user may not read it.
    """

    def __init__(self, path: Path, on_damage: OnDamage | None = None, *, paced: bool = False) -> None:
        super().__init__(PacedDatabaseReader(path) if paced else DatabaseReader(path), on_damage)
