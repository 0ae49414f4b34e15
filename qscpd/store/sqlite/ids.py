"""Message ids: which ids an account has used in the last 30 days, and what became of each.

(account, id) is the key that makes a retry harmless. Ids rise with time (`qscp.ids`), so an id above all that
the account has used is new without a look-up. Messages with rising ids need no row of their own: a *run* says
between which ids an account wrote, and in which ranges of seqs, and the messages have their ids. Runs of what
is in the journal are in memory; folding writes them to `id_runs`.

`sent_ids` has the exceptions, one row each: an id that is new although it did not rise; a message whose text
was replaced or removed, with a hash of what was sent; and a refusal, with the conversation 0, the seq 0, and
the code in the place of the hash (`UsedId`). So an id has one outcome, whenever it is sent again.
"""

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from qscp.errors import ErrorCode
from qscpd.domain.messages import id_hash, repeats
from qscpd.domain.model import Damage, MessageRow, NewMessage, Outcome, Refused, RefusedMessage, StoredMessage
from qscpd.domain.retention import id_is_outlived
from qscpd.store.damage import DamagedPlace, OnDamage
from qscpd.store.sqlite.chunk_reader import ChunkReader
from qscpd.store.sqlite.database import Database
from qscpd.store.sqlite.id_runs import Range, Run, RunsInMemory

_SWEEP: Final = 500
"""Rows that one step of forgetting old ids looks at."""

_SWEEP_EVERY_MS: Final = 6 * 3600 * 1000
"""How often all ids are looked at."""

_ACCOUNTS: Final = 200
"""Accounts whose runs one step writes."""

_INSERT: Final = "INSERT OR IGNORE INTO sent_ids VALUES (?, ?, ?, ?, ?, ?)"


class UsedId(NamedTuple):
    """What became of the message that used an id."""

    key: bytes
    """Its `id_hash`; of a refused one the code."""
    conversation: int
    """0 if it was refused."""
    seq: int
    time_ms: int

    @classmethod
    def by_refusal(cls, code: ErrorCode, time_ms: int) -> "UsedId":
        """Return what is kept of a refusal."""
        return cls(code.encode(), 0, 0, time_ms)

    @property
    def refusal(self) -> Refused | None:
        """The refusal; None if the message was stored."""
        if self.conversation:
            return None
        try:
            return Refused(ErrorCode(self.key.decode()))
        except ValueError:
            return Refused()  # the code of a newer version, before a downgrade


_places: Final = msgspec.msgpack.Decoder(tuple[Range, ...])


class MessageIds:
    """The index of message ids.

    Attributes:
        newest: The highest id that an account has used, by account id; see `newest_of`.
        unfolded: Runs of what is in the journal.
    """

    def __init__(self, db: Database, reader: ChunkReader, on_damage: OnDamage) -> None:
        self._db = db
        self._reader = reader
        self._on_damage = on_damage
        self.newest: dict[int, str] = {}
        self.unfolded = RunsInMemory()
        self._sweeps: dict[str, tuple[int, bytes]] = {}
        """Where the sweep of a table goes on."""
        self._next_sweep_ms = 0
        db.on_rollback(self.newest.clear)

    def newest_of(self, account: int) -> str:
        """Return the highest id that an account has used; empty if it has used none."""
        newest = self.newest.get(account)
        if newest is None:
            found: bytes = (
                self._db.read("SELECT max(id) FROM sent_ids WHERE account = ?", account)[0][0] or b""
            )
            newest = self.newest[account] = max(
                found.hex(), self._last_written(account), self.unfolded.last_of(account)
            )
        return newest

    def look_up(self, message: NewMessage) -> UsedId | None:
        """Return what the id of a message was used for; None if it is new."""
        rows = self._db.read(
            "SELECT hash, conversation, seq, time_ms FROM sent_ids WHERE account = ? AND id = ?",
            message.sender,
            bytes.fromhex(message.id),
        )
        if rows:
            return UsedId(*rows[0])
        for places in self._ranges(message.sender, message.id):
            for conversation, first, last in places:
                for row in self._rows(conversation, first, last):
                    if row.id == message.id and row.sender == message.sender:
                        recipient = self._recipient(row.sender, conversation)
                        key = id_hash(recipient, row.body or "", row.meta)
                        return UsedId(key, conversation, row.seq, row.time_ms)
        return None

    def _ranges(self, account: int, message_id: str) -> Iterator[Sequence[Range]]:
        """Yield the places of the runs in which an id can be."""
        run = self.unfolded.containing(account, message_id)
        if run is not None:
            yield run.places
        sql = """SELECT first_id, places FROM id_runs WHERE account = ? AND last_id >= ?
                 ORDER BY last_id LIMIT 1"""
        wanted = bytes.fromhex(message_id)
        for first, places in self._db.read(sql, account, wanted):
            if first <= wanted:
                yield self._places(account, places)

    def _places(self, account: int, packed: bytes) -> Sequence[Range]:
        """Return the places of a run; none if it is damaged."""
        try:
            return _places.decode(packed)
        except (msgspec.MsgspecError, TypeError) as error:
            self._on_damage(DamagedPlace(f"a run of ids of account {account} is damaged: {error}"))
            return ()

    def _rows(self, conversation: int, first: int, last: int) -> Iterator[MessageRow]:
        for item in self._reader.after(self._reader.scope(conversation), first - 1):
            if isinstance(item, Damage):
                continue
            if item.seq > last:
                return
            yield item

    def outcome(self, message: NewMessage, used: UsedId) -> Outcome:
        """Return the outcome of a message whose id was used before.

        Neither the recipient nor anything else matters, as it is now. The message is the stored one if it
        was sent to the name that the stored one's recipient has, or had.
        """
        refusal = used.refusal
        if refusal is not None:
            return refusal
        if not repeats(message, message.recipient, used.key):
            recipient = self._recipient(message.sender, used.conversation)
            if not repeats(message, recipient, used.key) or self._sent_to(message) != self._name(recipient):
                return Refused()
        return StoredMessage(used.conversation, used.seq, used.time_ms, new=False)

    def refuse(self, message: NewMessage, refusal: Refused) -> Refused:
        """Remember and return the refusal of a message with a new id."""
        used = UsedId.by_refusal(refusal.code, self._db.now_ms)
        with self._db.transaction() as db:
            db.execute(_INSERT, (message.sender, bytes.fromhex(message.id), *used))
        return refusal

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """Return what became of messages whose ids may have been used before; None for each new one."""
        found = ((message, self.look_up(message)) for message in messages)
        return [self.outcome(message, used) if used else None for message, used in found]

    def keep(self, conversation: int, rows: Iterable[MessageRow]) -> None:
        """Remember the ids of messages whose texts are replaced or removed, and what was sent."""
        removal_ms = self._db.now.removal_ms
        entries = [
            (
                row.sender,
                bytes.fromhex(row.id),
                id_hash(self._recipient(row.sender, conversation), row.body or "", row.meta),
                conversation,
                row.seq,
                row.time_ms,
            )
            for row in rows
            if removal_ms is None or not id_is_outlived(row.time_ms, removal_ms)
        ]
        with self._db.transaction() as db:
            db.executemany(_INSERT, entries)

    def keep_new(self, stored: Iterable[tuple[NewMessage, StoredMessage]]) -> None:
        """Remember ids that are new although they have not risen: they are in no run."""
        rows = [
            (
                message.sender,
                bytes.fromhex(message.id),
                id_hash(message.recipient, message.body, message.meta),
                place.conversation,
                place.seq,
                place.time_ms,
            )
            for message, place in stored
        ]
        with self._db.transaction() as db:
            db.executemany(_INSERT, rows)

    def add_journaled(self, rows: Iterable[tuple[int, str, int, int]]) -> None:
        """Add the runs of a row of the journal, when the store is opened.

        Args:
            rows: Account, id, conversation and seq of its messages.
        """
        for account, message_id, conversation, seq in sorted(rows, key=itemgetter(0, 1)):
            # A fold that a crash has cut off can have written runs of some rows. They are not written again:
            # a run of the rows that are left would hide those of the deleted ones.
            if message_id > (self.unfolded.last_of(account) or self._last_written(account)):
                self.unfolded.add(account, Run(message_id, message_id, ((conversation, seq, seq),)))

    def _last_written(self, account: int) -> str:
        """Return the highest id of an account's runs in the file; empty if there is none."""
        found = self._db.read("SELECT max(last_id) FROM id_runs WHERE account = ?", account)[0][0]
        return found.hex() if found else ""

    def write_runs(self, written: int, limit: int | None = None) -> int:
        """Write some of the runs that are folded.

        Args:
            written: How many are written.
            limit: How many at most; None: as many as a step takes.

        Returns:
            How many are written afterwards.
        """
        rows: list[tuple[int, bytes, bytes, bytes]] = []
        for number, (account, run) in enumerate(self.unfolded.folding()):
            if number < written:
                continue
            if len(rows) == (limit or _ACCOUNTS):
                break
            packed = msgspec.msgpack.encode(run.places)
            rows.append((account, bytes.fromhex(run.last_id), bytes.fromhex(run.first_id), packed))
        if rows:
            with self._db.transaction() as db:
                db.executemany("REPLACE INTO id_runs VALUES (?, ?, ?, ?)", rows)
        return written + len(rows)

    def sweep_step(self) -> bool:
        """Forget old ids among the next ones by key; return whether more are to be looked at."""
        now = self._db.now
        if now.removal_ms is None or now.boot_ms < self._next_sweep_ms:
            return False
        more = self._sweep_ids(now.removal_ms) or self._sweep_runs()
        if not more:
            self._sweeps.clear()
            self._next_sweep_ms = now.boot_ms + _SWEEP_EVERY_MS
        return more

    def _sweep_ids(self, removal_ms: int) -> bool:
        """Forget exceptions that are too old."""
        sql = "SELECT account, id, time_ms FROM sent_ids WHERE (account, id) > (?, ?) LIMIT ?"
        rows = self._next("sent_ids", sql)
        old = [(account, key) for account, key, time_ms in rows if id_is_outlived(time_ms, removal_ms)]
        if old:
            with self._db.transaction() as db:
                db.executemany("DELETE FROM sent_ids WHERE account = ? AND id = ?", old)
        return len(rows) == _SWEEP

    def _sweep_runs(self) -> bool:
        """Forget runs of which every message is pruned, and damaged ones."""
        sql = "SELECT account, last_id, places FROM id_runs WHERE (account, last_id) > (?, ?) LIMIT ?"
        rows = self._next("id_runs", sql)
        firsts: dict[int, int] = {}
        old: list[tuple[int, bytes]] = []
        for account, last_id, packed in rows:
            places = self._places(account, packed)
            for conversation in {each[0] for each in places} - firsts.keys():
                found = self._db.read("SELECT first_seq FROM conversations WHERE id = ?", conversation)
                firsts[conversation] = found[0][0] if found else 1
            if all(last < firsts[conversation] for conversation, _, last in places):
                old.append((account, last_id))
        if old:
            with self._db.transaction() as db:
                db.executemany("DELETE FROM id_runs WHERE account = ? AND last_id = ?", old)
        return len(rows) == _SWEEP

    def _next(self, table: str, sql: str) -> Sequence[tuple[int, bytes, Any]]:
        """Return the next rows of a sweep; none after the last."""
        begin = self._sweeps.get(table, (0, b""))
        rows = self._db.read(sql, *begin, _SWEEP)
        if rows:
            self._sweeps[table] = rows[-1][0], rows[-1][1]
        return rows

    def _recipient(self, sender: int, conversation: int) -> int:
        """Return the recipient of a stored message, as in `NewMessage`."""
        low, high = self._db.read("SELECT low, high FROM conversations WHERE id = ?", conversation)[0]
        return _recipient(sender, conversation, low, high)

    def _sent_to(self, message: NewMessage) -> str:
        """Return the name that a message was sent to; empty if it can't be one."""
        return message.name if isinstance(message, RefusedMessage) else self._name(message.recipient)

    def _name(self, recipient: int) -> str:
        """Return the name of a recipient, also of a deleted one."""
        if recipient > 0:
            rows = self._db.read("SELECT name FROM accounts WHERE id = ?", recipient)
        else:
            rows = self._db.read("SELECT name FROM rooms WHERE conversation = ?", -recipient)
        return str(rows[0][0])


def _recipient(sender: int, conversation: int, low: int | None, high: int | None) -> int:
    """Return the recipient, as in `NewMessage`, from the two accounts of a pair; a room has none."""
    if low is None or high is None:
        return -conversation
    return high if sender == low else low
