"""Damage at any place of the file: opening, reading and verifying it end in our errors, never in others."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from qscp.rooms import HistoryFrom
from qscpd.domain.model import Keep, NewMessage
from qscpd.errors import QscpdError
from qscpd.store.base import StoreReader
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.snapshot import inspect_file
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import add_room

PAGE: Final = 4096
ALICE, BOB = 1, 2

make_id = IdMaker()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The content of a store with something in each table, on few pages."""
    path = tmp_path_factory.mktemp("sound") / "q.db"
    with contextlib.closing(SqliteStore(path)) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, f"hash of {name}")
        add_room(store, "garden", "alice", "bob", history=HistoryFrom.FULL)
        for number in range(6):
            store.append([NewMessage(ALICE, BOB, make_id(), f"word{number} " * 200)])
        store.delete_account("carol")
        while store.housekeeping.step(Keep()):
            pass
    return path.read_bytes()


def read_all(store: StoreReader) -> None:
    """Read everything that the daemon reads at its start, and what it serves."""
    store.epoch()
    store.accounts()
    store.account_names()
    for room in store.rooms():
        store.memberships(room.id)
        store.room_log(room.id)
        list(store.export_room(room.id))
    store.credentials("alice")
    for account in (ALICE, BOB):
        store.conversation_list(account, 0, 100)
        for row in store.conversations(account):
            store.history_page(account, row.id, limit=100, max_bytes=1 << 20)
            store.replay_page(account, row.id, after=0, limit=100, max_bytes=1 << 20)
        list(store.export(account))
        search_page(store, account, ["word1"], limit=10)


def run_daemon(path: Path) -> None:
    """Do what a daemon does with it."""
    with contextlib.closing(SqliteStore(path)) as store:
        read_all(store)
        store.append([NewMessage(ALICE, BOB, make_id(), "hello")])
        store.set_locked("bob", locked=True)
        while store.housekeeping.step(Keep(messages=2)):
            pass


def run_reader(path: Path) -> None:
    """Do what a command does that only reads."""
    with contextlib.closing(SqliteReader(path)) as reader, reader.snapshot():
        read_all(reader)


def run_verify(path: Path) -> None:
    """Do what `verify` does."""
    inspect_file(path, lambda _: None)


def zero_page(content: bytearray, page: int) -> None:
    """Fill a page with zeros, as a disk does that forgot it."""
    content[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)


def set_page(content: bytearray, page: int) -> None:
    """Fill a page with ones."""
    content[page * PAGE : (page + 1) * PAGE] = b"\xff" * PAGE


def swap_page(content: bytearray, page: int) -> None:
    """Put another page in its place."""
    content[page * PAGE : (page + 1) * PAGE] = content[-PAGE:]


def flip_some(content: bytearray, page: int) -> None:
    """Change some bytes of a page."""
    generator = random.Random(page)  # noqa: S311 - places, not secrets
    for _ in range(20):
        content[page * PAGE + generator.randrange(PAGE)] ^= generator.randrange(1, 256)


def flip_head(content: bytearray, page: int) -> None:
    """Change a byte in the head of a page."""
    content[page * PAGE + random.Random(page).randrange(24)] ^= 0x41  # noqa: S311 - places, not secrets


def flip_text(content: bytearray, page: int) -> None:
    """Make the texts at the end of a page something that is not UTF-8."""
    for at in range((page + 1) * PAGE - 60, (page + 1) * PAGE, 3):
        content[at] ^= 0x80


def cut(content: bytearray, page: int) -> None:
    """Cut the file in the middle of a page."""
    del content[page * PAGE + PAGE // 2 :]


def error_of(use: Callable[[Path], None], path: Path) -> str:
    """Return the text of the error that ends a use; empty if none does."""
    try:
        use(path)
    except QscpdError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("use", [run_daemon, run_reader, run_verify])
@pytest.mark.parametrize("damage", [zero_page, set_page, swap_page, flip_some, flip_head, flip_text, cut])
def test_damage_ends_in_our_errors(
    sound: bytes, tmp_path: Path, damage: Callable[[bytearray, int], None], use: Callable[[Path], None]
) -> None:
    """Whichever page is damaged, and how: no error of another kind, and no text of the store in ours."""
    path = tmp_path / "q.db"
    for page in range(len(sound) // PAGE):
        content = bytearray(sound)
        damage(content, page)
        path.write_bytes(content)
        error = error_of(use, path)
        assert "word1" not in error, page
        assert "hash of" not in error, page
        for each in tmp_path.iterdir():
            each.unlink()
