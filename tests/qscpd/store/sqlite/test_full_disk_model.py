"""Random work on a disk that fills up and gets space again: nothing is lost, and nothing waits for ever."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from qscpd.domain.model import Keep, NewMessage, StoredMessage
from qscpd.errors import StoreFullError
from qscpd.store.sqlite.reserve import RESERVE_BYTES
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.smalldisk import fill
from tests.support.stores import ManualClock, close_killed, kill, rows_of

USERS: Final = 8
KEPT: Final = 10
"""Messages of a conversation that pruning leaves."""


class Model:
    """A store on a small disk, and what it has acknowledged."""

    def __init__(self, disk: Path, seed: int) -> None:
        self.disk = disk
        self.random = random.Random(seed)  # noqa: S311 - the same in each run
        self.make_id = IdMaker()
        self.clock = ManualClock()
        self.words = ["".join(self.random.choices("abcdefghij", k=7)) for _ in range(3000)]
        self.acknowledged: dict[int, dict[int, tuple[int, str]]] = {}
        self.erased: set[int] = set()
        self.keep = Keep()
        self.filler: Path | None = None
        self.refused = 0
        self.store = self.open()
        for number in range(USERS):
            self.store.add_account(f"user{number}", "x")

    def open(self) -> SqliteStore:
        """Open the store as the daemon does."""
        return SqliteStore(self.disk / "q.db", clock=self.clock, keep_reserve=True)

    def send(self, count: int) -> None:
        """Store messages, if there is space."""
        users = sorted(set(range(1, USERS + 1)) - self.erased)
        messages: list[NewMessage] = []
        for _ in range(count):
            sender, recipient = self.random.sample(users, 2)
            text = " ".join(self.random.choices(self.words, k=self.random.choice((1, 20, 100, 1500))))
            messages.append(NewMessage(sender, recipient, self.make_id(), text))
        try:
            outcomes, _ = self.store.append(messages)
        except StoreFullError:
            self.refused += 1
            return
        for message, outcome in zip(messages, outcomes, strict=True):
            assert isinstance(outcome, StoredMessage)
            known = self.acknowledged.setdefault(outcome.conversation, {})
            known[outcome.seq] = message.sender, message.body

    def fill_or_free(self) -> None:
        """Fill the disk, or free it again."""
        if self.filler is None:
            self.filler = fill(self.disk, self.random.choice((0, 50_000, 300_000, 1_000_000, 3_000_000)))
        elif self.random.random() < 0.3:
            self.free()

    def free(self) -> None:
        """Free the disk."""
        if self.filler is not None:
            self.filler.unlink()
            self.filler = None

    def housekeep(self, steps: int) -> None:
        """Do some steps of housekeeping, half a minute later."""
        self.clock.wind(31)
        with contextlib.suppress(StoreFullError):
            for _ in range(steps):
                if not self.store.housekeeping.step(self.keep):
                    return

    def erase(self) -> None:
        """Delete an account, and erase what it wrote."""
        account = min(set(range(2, USERS + 1)) - self.erased)
        if len(self.erased) < USERS // 2:
            self.store.delete_account(f"user{account - 1}")
            self.erased.add(account)
            while self.store.housekeeping.erase_step(account):
                pass

    def crash(self) -> None:
        """Open the store again as after SIGKILL."""
        kill(self.store)
        close_killed(self.store)
        self.store = self.open()

    def lock(self) -> None:
        """Lock and unlock an account."""
        for locked in (True, False) * 5:
            self.store.set_locked("user0", locked=locked)

    def step(self) -> None:
        """Do something."""
        number = self.random.random()
        if number < 0.45:
            self.send(self.random.choice((1, 5, 40)))
        elif number < 0.57:
            self.fill_or_free()
        elif number < 0.8:
            self.housekeep(self.random.choice((1, 3, 10, 40)))
        elif number < 0.9:
            self.lock()
        elif number < 0.92:
            self.erase()
        elif number < 0.93:
            self.keep = Keep(messages=KEPT)
        else:
            self.crash()

    def check(self) -> None:
        """Check that what was acknowledged is there, unless it was erased or pruned."""
        for conversation, sent in self.acknowledged.items():
            rows = {row.seq: row for row in rows_of(self.store, conversation)}
            assert max(rows) == max(sent)
            for seq, (sender, body) in sent.items():
                row = rows.get(seq)
                if row is None:
                    assert self.keep != Keep()
                    assert seq <= max(rows) - KEPT
                else:
                    assert row.body == body or (row.body is None and sender in self.erased)


@pytest.fixture
def model(disk: Path, request: pytest.FixtureRequest) -> Iterator[Model]:
    """A store with some users."""
    found = Model(disk, request.param)
    try:
        yield found
    finally:
        found.store.close()


@pytest.mark.parametrize("model", range(4), indirect=True)
def test_a_disk_that_fills_up_at_any_moment(model: Model) -> None:
    """What was acknowledged stays, accounts can be locked and erased, and with space all goes on."""
    for number in range(120):
        model.step()
        if number % 20 == 0:
            model.check()
    model.free()
    model.filler = fill(model.disk, 1_000_000)
    while not model.refused:
        model.send(40)
    model.free()
    for _ in range(3):
        model.housekeep(100_000)
    model.check()
    assert model.store._tail.count == 0
    assert (model.disk / "q.db.reserve").stat().st_size == RESERVE_BYTES
    assert model.store._db.read("PRAGMA integrity_check") == [("ok",)]
    refused = model.refused
    model.send(3)
    assert model.refused == refused
