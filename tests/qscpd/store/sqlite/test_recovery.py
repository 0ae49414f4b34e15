"""Journals after a crash: a lost one is noticed, and a crash alone never looks like a loss."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from qscpd.domain.model import Keep
from qscpd.errors import StoreDamagedError, StoreError
from qscpd.store.sqlite import marker
from qscpd.store.sqlite.snapshot import copy_file
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.sqlite.wal import FRAME_HEADER, HEADER
from tests.support.crashed_store import append, crash, in_child

FRAME = FRAME_HEADER + 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of the store."""
    return tmp_path / "q.db"


def wal_of(path: Path) -> Path:
    """Return the path of a store's journal."""
    return Path(f"{path}-wal")


def shm_of(path: Path) -> Path:
    """Return the path of the journal's index."""
    return Path(f"{path}-shm")


def epoch_of(path: Path) -> str:
    """Return the epoch, as a reader sees it, without a change of the files."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as db:
        return str(db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0])


class Opened(NamedTuple):
    """A store as it was when it was opened."""

    events: list[str]
    epoch: str
    last_seq: int
    text: str


def open_and_close(path: Path) -> Opened:
    """Open the store as the next run would, and end it cleanly."""
    with contextlib.closing(SqliteStore(path)) as store:
        rows = store.conversations(1)
        return Opened(
            [each.event for each in store.findings],
            store.epoch(),
            rows[0].last_seq if rows else 0,
            " ".join(each.text for each in store.findings),
        )


def assert_noticed(path: Path, epoch: str) -> Opened:
    """Check that a loss is reported once, with a new epoch that stays."""
    found = open_and_close(path)
    assert found.events == ["journal_lost"], found
    assert found.epoch != epoch
    assert "\n" not in found.text
    assert str(path) in found.text
    again = open_and_close(path)
    assert (again.events, again.epoch, again.last_seq) == ([], found.epoch, found.last_seq)
    return found


# --- nothing is lost


def test_a_crash_is_no_loss(path: Path) -> None:
    """After SIGKILL the store has everything that was acknowledged, under the same epoch, each time."""
    crash(path, 5)
    epoch = epoch_of(path)
    for run in range(2, 5):
        crash(path, 5)
        assert epoch_of(path) == epoch, run
    found = open_and_close(path)
    assert found == ([], epoch, 20, "")


def test_a_clean_end_leaves_no_journal(path: Path) -> None:
    """A clean end leaves one file; the next run finds nothing, also as a copy of that one file."""
    crash(path, 5)
    epoch = open_and_close(path).epoch
    assert [each.name for each in path.parent.iterdir()] == ["q.db"]
    shutil.copy(path, path.with_name("copy.db"))
    assert open_and_close(path.with_name("copy.db")) == ([], epoch, 5, "")


def test_a_reader_after_a_crash_changes_nothing(path: Path) -> None:
    """A reader recovers the journal, leaves it in place, and the next run finds nothing."""
    crash(path, 5)
    epoch = epoch_of(path)
    copy_file(path, path.with_name("copy.db"), lambda: None)
    assert open_and_close(path) == ([], epoch, 5, "")
    assert open_and_close(path.with_name("copy.db")) == ([], epoch, 5, "")


def test_a_store_of_an_older_version(path: Path) -> None:
    """A store that crashed before there was a marker counts as whole, with a journal and without one."""
    crash(path, 5)
    open_and_close(path)

    def old_run() -> None:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("INSERT INTO meta VALUES ('old', 'run')")
        os.kill(os.getpid(), signal.SIGKILL)

    in_child(old_run)
    epoch = epoch_of(path)
    assert wal_of(path).stat().st_size
    assert open_and_close(path) == ([], epoch, 5, "")


def test_the_journal_is_never_empty(path: Path) -> None:
    """After compaction the journal has something again, so that its loss would be noticed."""

    def erase(store: SqliteStore) -> None:
        store.housekeeping.compact()
        append(store, 1000)

    crash(path, 5, keep_open=erase)
    assert wal_of(path).stat().st_size
    epoch = epoch_of(path)
    wal_of(path).unlink()
    assert_noticed(path, epoch)


def test_kills_at_random_moments(path: Path) -> None:
    """Kills while it opens, writes, compacts and closes lose nothing, and never change the epoch."""
    crash(path, 1)
    epoch = epoch_of(path)
    generator = random.Random(7727)  # noqa: S311 - moments, not secrets
    acknowledged = 1

    def run(said: int) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, generator.uniform(0.0005, 0.06))
        while True:
            store = SqliteStore(path)
            assert store.findings == (), store.findings[0].text
            number = store.conversations(1)[0].last_seq
            for step in range(generator.randrange(40)):
                append(store, number + step, "x" * generator.choice((1, 500, 9000)))
                os.write(said, b".")
                if generator.random() < 0.05:
                    store.housekeeping.compact()
            store.close()

    for _ in range(60):
        generator.random()
        ours, theirs = os.pipe()
        status = in_child(lambda said=theirs: run(said))  # type: ignore[misc]
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            acknowledged += len(pipe.read())
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGALRM
    found = open_and_close(path)
    assert (found.events, found.epoch) == ([], epoch)
    assert found.last_seq >= acknowledged


# --- something is lost


def delete(path: Path) -> None:
    """Delete the journal."""
    wal_of(path).unlink()


def empty(path: Path) -> None:
    """Empty the journal."""
    os.truncate(wal_of(path), 0)


def cut_the_header(path: Path) -> None:
    """Leave a part of the header."""
    os.truncate(wal_of(path), HEADER - 5)


def cut_to_the_header(path: Path) -> None:
    """Leave the header alone."""
    os.truncate(wal_of(path), HEADER)


def cut_in_half(path: Path) -> None:
    """Leave a half of the pages."""
    os.truncate(wal_of(path), wal_of(path).stat().st_size // 2)


def cut_the_last(path: Path) -> None:
    """Cut off the last byte."""
    os.truncate(wal_of(path), wal_of(path).stat().st_size - 1)


def overwrite(offset: int) -> Callable[[Path], None]:
    """Overwrite bytes at an offset, counted from the end if it is negative."""

    def damage(path: Path) -> None:
        with wal_of(path).open("r+b") as file:
            file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
            old = file.read(8)
            file.seek(-len(old), os.SEEK_CUR)
            file.write(bytes(each ^ 0xFF for each in old))

    damage.__name__ = f"overwrite at {offset}"
    return damage


def without_index(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    """Delete the index, too."""

    def more(path: Path) -> None:
        damage(path)
        shm_of(path).unlink()

    more.__name__ = f"{damage.__name__} without index"
    return more


DAMAGES = (
    delete,
    empty,
    cut_the_header,
    cut_to_the_header,
    cut_in_half,
    cut_the_last,
    overwrite(0),
    overwrite(17),
    overwrite(HEADER + 2),
    overwrite(HEADER + FRAME // 2),
    overwrite(-10),
    overwrite(-3 * FRAME),
    *map(without_index, (delete, empty, cut_the_header, overwrite(0), overwrite(HEADER + FRAME // 2))),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_journal_is_noticed(path: Path, damage: Callable[[Path], None]) -> None:
    """A journal that was deleted, cut or changed after a crash is reported once, and renews the epoch."""
    crash(path, 2)
    open_and_close(path)
    crash(path, 40)
    epoch = epoch_of(path)
    damage(path)
    assert assert_noticed(path, epoch).last_seq < 42


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_journal_after_checkpoints(path: Path, damage: Callable[[Path], None]) -> None:
    """With a part of the journal in the file already, everything is there, or the loss is noticed."""

    def checkpoint(store: SqliteStore) -> None:
        store._db.read("PRAGMA wal_checkpoint(PASSIVE)")
        for number in range(1000, 1010):
            append(store, number)

    crash(path, 2)
    open_and_close(path)
    crash(path, 40, keep_open=checkpoint)
    epoch = epoch_of(path)
    damage(path)
    copy = path.parent / "copy"
    copy.mkdir()
    for each in (path, wal_of(path), shm_of(path)):
        if each.exists():
            shutil.copy(each, copy / each.name)
    if open_and_close(path) != ([], epoch, 52, ""):
        assert assert_noticed(copy / "q.db", epoch).last_seq <= 52


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("index", [True, False])
def test_the_journal_of_another_store(
    path: Path, index: bool, near: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal of another store is not applied, whatever its round: it is set aside, and reported."""
    if near:
        monkeypatch.setattr(marker, "_ROUNDS", 1 << 32)
    other = path.with_name("other.db")
    for each in (path, other):
        crash(each, 2)
        open_and_close(each)
        crash(each, 40)
    epoch = epoch_of(path)
    wal_of(other).replace(wal_of(path))
    if index:
        shm_of(other).replace(shm_of(path))
    found = assert_noticed(path, epoch)
    assert f"{wal_of(path)}.unusable" in found.text
    assert Path(f"{wal_of(path)}.unusable").exists()


def test_an_older_journal_of_the_same_store(path: Path, tmp_path: Path) -> None:
    """An older copy of the journal is not applied over a newer file."""

    def copy_journal(store: SqliteStore) -> None:
        shutil.copy(wal_of(path), tmp_path / "older")
        store._db.read("PRAGMA wal_checkpoint(RESTART)")
        for number in range(1000, 1010):
            append(store, number)

    crash(path, 40, keep_open=copy_journal)
    epoch = epoch_of(path)
    (tmp_path / "older").replace(wal_of(path))
    assert assert_noticed(path, epoch).last_seq == 40


def test_a_copy_of_the_file_alone(path: Path, tmp_path: Path) -> None:
    """A copy that was made of the file of a running daemon, without its journal, is noticed."""
    copy = tmp_path / "copy.db"
    crash(path, 40, keep_open=lambda _: shutil.copy(path, copy))
    assert_noticed(copy, epoch_of(path))
    assert open_and_close(path).events == []


def test_a_backup_is_whole(path: Path, tmp_path: Path) -> None:
    """A copy by `copy_store` of a store in use has no journal and needs none."""
    copy = tmp_path / "copy.db"
    crash(path, 40, keep_open=lambda _: copy_file(path, copy, lambda: None))
    assert open_and_close(copy) == ([], epoch_of(path), 40, "")


def test_a_loss_is_found_again_until_the_epoch_is_new(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the start fails before the epoch was renewed, the next one notices the loss as well."""
    crash(path, 40)
    epoch = epoch_of(path)
    cut_in_half(path)
    with monkeypatch.context() as patch:
        patch.setattr("qscpd.store.sqlite.database.Database.renew_epoch", _no_room)
        with pytest.raises(StoreError, match="no room"):
            SqliteStore(path)
    assert_noticed(path, epoch)


def _no_room(_: object) -> None:
    raise StoreError("no room")


def test_another_name_of_the_file(path: Path) -> None:
    """After a crash the store is refused under a second name, beside which its journal is not."""
    other = path.parent / "sub" / "other.db"
    other.parent.mkdir()
    crash(path, 40)
    os.link(path, other)
    with pytest.raises(StoreError, match=r"hard links.*used then in store.path") as caught:
        SqliteStore(other)
    assert not isinstance(caught.value, StoreDamagedError)
    assert open_and_close(path).last_seq == 40
    assert open_and_close(other) == ([], epoch_of(path), 40, "")


def test_a_loss_that_leaves_a_damaged_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the rest can't be used without the journal, the error names both."""
    crash(path, 40)
    wal_of(path).unlink()
    monkeypatch.setattr("qscpd.store.sqlite.opening._check", _find_damage)
    with pytest.raises(StoreDamagedError, match=r"pages differ.*q\.db-wal is missing"):
        SqliteStore(path)


def _find_damage(*_: object, **__: object) -> None:
    raise StoreDamagedError("pages differ")


def test_a_journal_without_its_file(path: Path) -> None:
    """If the file itself is gone, its journal is not applied to a new store; both stay as they are."""
    crash(path, 40)
    path.rename(path.with_name("moved.db"))
    before = wal_of(path).read_bytes()
    with pytest.raises(StoreDamagedError, match=r"the file is missing.*Put the file back"):
        SqliteStore(path)
    assert not path.exists()
    assert wal_of(path).read_bytes() == before
    path.with_name("moved.db").rename(path)
    assert open_and_close(path).last_seq == 40


def test_a_backup_beside_the_journal_of_another_store(path: Path, tmp_path: Path) -> None:
    """A backup that is put in the place of a crashed store does not get that store's journal."""
    other = tmp_path / "other.db"
    crash(other, 3)
    open_and_close(other)
    crash(path, 40, keep_open=lambda store: store.housekeeping.step(Keep()))
    epoch = epoch_of(other)
    other.replace(path)
    found = assert_noticed(path, epoch)
    assert found.last_seq == 3
    assert f"{wal_of(path)}.unusable" in found.text
