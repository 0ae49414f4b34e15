"""Texts that are gone are in no file: counted by bytes in the store, its journal and the journal's index.

A rare word is counted, and the word without its first two letters: the search index stores words without the
letters that they share with the word before.
"""

import contextlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from qscp.rooms import HistoryFrom
from qscpd.domain.model import Keep, MessageMeta, NewMessage, StoredMessage
from qscpd.store.sqlite import old_texts, piece_queue
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.memory import memory_folder
from tests.support.stores import ManualClock, add_room, close_killed, kill

ALICE, BOB, CAROL = 1, 2, 3
ROOM: Final = 1
STEM: Final = "xqzsecret"
TO: Final = ((ALICE, BOB), (BOB, ALICE), (ALICE, -ROOM), (CAROL, -ROOM), (ALICE, CAROL))


class Fixture:
    """A store whose secrets are counted.

    Attributes:
        secrets: Sender, recipient, conversation and seq of messages with a secret.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.random = random.Random(8)  # noqa: S311 - the same in each run
        self.make_id = IdMaker()
        self.words = ["".join(self.random.choices("aeioubdgkmnrst", k=6)) for _ in range(900)]
        self.secrets: list[tuple[int, int, int, int]] = []
        self.killed: list[SqliteStore] = []
        self.store = self.open()
        for name in ("alice", "bob", "carol"):
            self.store.add_account(name, "x")
        add_room(self.store, "#dev", "alice", "bob", "carol", history=HistoryFrom.FULL)

    def open(self) -> SqliteStore:
        """Open the store."""
        store = SqliteStore(self.folder / "q.db", clock=self.clock, edit_within_ms=10**9)
        store._db.run("PRAGMA synchronous = OFF")
        return store

    def crash(self) -> None:
        """Open the store again as after SIGKILL."""
        kill(self.store)
        close_killed(self.store)
        self.store = self.open()

    def traces(self) -> Counter[str]:
        """Count the secrets in each file, and the rest of their words."""
        found: Counter[str] = Counter()
        for file in self.folder.iterdir():
            content = file.read_bytes().lower()
            found[file.name] += content.count(STEM[2:].encode())
        return +found

    def text(self) -> str:
        """Make a text; some are long."""
        count = self.random.choice((2, 5, 9, 12, 400))
        return " ".join(self.random.choices(self.words, k=count))

    def say(self, count: int, *, secret: bool = True) -> None:
        """Send messages, many of them with a secret."""
        for _ in range(count):
            sender, to = self.random.choice(TO)
            text = self.text()
            if secret:
                text += f" {STEM}{self.random.randrange(10**6)}"
            self.append([NewMessage(sender, to, self.make_id(), text)], secret=secret)

    def append(self, messages: Sequence[NewMessage], *, secret: bool = False) -> None:
        """Store messages."""
        outcomes, _ = self.store.append(messages)
        for message, outcome in zip(messages, outcomes, strict=True):
            assert isinstance(outcome, StoredMessage)
            if secret:
                self.secrets.append((message.sender, message.recipient, outcome.conversation, outcome.seq))

    def amend(self, kind: str, count: int) -> None:
        """Edit or redact the messages with a secret, some in each commit."""
        self.random.shuffle(self.secrets)
        while self.secrets:
            taken, self.secrets = self.secrets[:count], self.secrets[count:]
            self.append(
                [
                    NewMessage(
                        *(sender, to, self.make_id(), self.text() if kind == "edit" else ""),
                        MessageMeta(kind=kind, target=seq),  # type: ignore[arg-type]
                    )
                    for sender, to, _, seq in taken
                ]
            )

    def wait(self, seconds: float = 31) -> None:
        """Let time pass, and do what is due then."""
        self.clock.wind(seconds)
        while self.store.housekeeping.step(Keep()):
            pass


@pytest.fixture
def erasing() -> Iterator[Fixture]:
    """A store in memory."""
    with memory_folder() as folder:
        fixture = Fixture(Path(folder))
        try:
            yield fixture
        finally:
            fixture.store.close()


@pytest.mark.parametrize("kind", ["edit", "redact"])
@pytest.mark.parametrize("where", ["tail", "chunks", "both"])
@pytest.mark.parametrize("count", [1, 20])
def test_a_text_is_gone_after_the_next_fold(erasing: Fixture, kind: str, where: str, count: int) -> None:
    """Half a minute after an edit or a redaction nothing is left of the old text, wherever it was."""
    for _ in range(3):
        erasing.say(40, secret=where != "tail")
        erasing.wait()
    erasing.say(60, secret=where != "chunks")
    erasing.store._db.run("PRAGMA wal_checkpoint(TRUNCATE)")
    assert erasing.traces()["q.db"]
    erasing.amend(kind, count)
    assert erasing.traces()
    erasing.wait()
    assert not erasing.traces()


@pytest.mark.parametrize("steps", range(0, 60, 3))
def test_a_crash_in_the_fold(erasing: Fixture, steps: int) -> None:
    """The fold of the next run leaves nothing, wherever the one before was cut off."""
    erasing.say(30)
    erasing.wait()
    erasing.say(15)
    erasing.amend("redact", 5)
    erasing.store._fold.request()
    with mock.patch.object(piece_queue, "_STEP_MESSAGES", 10):
        for _ in range(steps):
            erasing.store._fold.step()
    erasing.crash()
    erasing.wait()
    assert not erasing.traces()


@pytest.mark.parametrize("steps", range(0, 24, 2))
def test_a_redaction_in_the_middle_of_a_fold(erasing: Fixture, steps: int) -> None:
    """The next fold removes the text, whatever the running one has done already."""
    erasing.say(30)
    erasing.wait()
    erasing.say(15)
    erasing.store._fold.request()
    with mock.patch.object(piece_queue, "_STEP_MESSAGES", 10):
        for _ in range(steps):
            erasing.store._fold.step()
        erasing.say(10)
        erasing.amend("redact", 5)
        erasing.wait(0)
    erasing.wait()
    assert not erasing.traces()


def test_a_reader_keeps_it_until_its_end(erasing: Fixture) -> None:
    """While a reader reads an older state, the old text stays; some seconds after its end it is gone."""
    erasing.say(30)
    erasing.wait()
    with contextlib.closing(SqliteReader(erasing.folder / "q.db")) as reader:
        with reader.snapshot():
            before = list(reader.export_room(ROOM))
            erasing.amend("redact", 5)
            erasing.wait()
            assert erasing.traces()
            assert list(reader.export_room(ROOM)) == before
        erasing.wait(6)
        assert not erasing.traces()


def test_random_amendments_between_folds(erasing: Fixture) -> None:
    """However messages, amendments and folds follow each other, nothing is left after the last fold."""
    for number in range(25):
        erasing.say(erasing.random.choice((3, 20, 60)))
        erasing.say(10, secret=False)
        if number % 3:
            erasing.wait()
        erasing.amend(erasing.random.choice(("edit", "redact")), erasing.random.choice((1, 4, 30)))
        erasing.wait()
        assert not erasing.traces()


def test_a_large_store_is_merged_later(erasing: Fixture) -> None:
    """Words of old texts can stay in the search index of a large store, for six hours; texts do not."""
    with mock.patch.object(old_texts, "_MERGED_AT_ONCE", 0):
        erasing.say(30)
        erasing.wait()
        erasing.amend("redact", 30)
        erasing.wait()
        assert erasing.traces().keys() == {"q.db"}
        assert f" {STEM}".encode() not in (erasing.folder / "q.db").read_bytes()
        erasing.wait(7 * 3600)
        assert not erasing.traces()


def test_pruned_messages(erasing: Fixture) -> None:
    """What is pruned is gone after the next fold."""
    erasing.say(60)
    erasing.wait()
    while erasing.store.housekeeping.step(Keep(messages=1)):
        pass
    erasing.say(20, secret=False)
    erasing.wait()
    while erasing.store.housekeeping.step(Keep(messages=1)):
        pass
    erasing.wait()
    assert not erasing.traces()


@pytest.mark.parametrize("where", ["tail", "chunks", "both"])
def test_an_erased_account(erasing: Fixture, where: str) -> None:
    """When erasing has ended, nothing of the account's texts is in any file; after a crash, too."""
    for secret in (where != "tail", where != "chunks"):
        for _ in range(60):
            to = erasing.random.choice((BOB, CAROL, -ROOM))
            text = erasing.text() + (f" {STEM}{erasing.random.randrange(10**6)}" if secret else "")
            erasing.append([NewMessage(ALICE, to, erasing.make_id(), text)])
        if secret is not (where != "chunks") or where == "both":
            erasing.wait()
    erasing.store.delete_account("alice")
    for _ in range(5):
        erasing.store.housekeeping.erase_step(ALICE)
    erasing.crash()
    while erasing.store.housekeeping.erase_step(ALICE):
        pass
    assert not erasing.traces()
    assert not erasing.store.housekeeping.compaction_due()
