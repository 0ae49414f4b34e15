"""A store that folds while messages come, in a process that is killed at an SQL statement.

Run as a program, it makes a folder for each statement: 1, 1 + stride, ... Each has the store as the killed
process left it, and the number of commits that it had acknowledged.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple
from unittest import mock

from qscp.rooms import HistoryFrom
from qscpd.domain.model import NO_META, Keep, Mark, MessageMeta, NewMessage, PositionKind
from qscpd.store.sqlite import chunks, fold, ids, piece_queue
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.stores import ManualClock, add_room

__all__ = ["ACCOUNTS", "CONVERSATIONS", "Commit", "Killed", "commits", "kill_at_statements", "open_for_fold"]

ALICE, BOB, CAROL = ACCOUNTS = 1, 2, 3
ROOM, PAIR, OTHER_PAIR = CONVERSATIONS = 1, 2, 3
_TO: Final = {ROOM: -ROOM, PAIR: BOB, OTHER_PAIR: CAROL}
_ACKED: Final = "acknowledged"


class Commit(NamedTuple):
    """What one transaction stores, and how many steps of folding follow it."""

    messages: Sequence[NewMessage]
    marks: Sequence[Mark]
    steps: int
    begin: bool = False
    """Whether a fold is requested before the steps."""


class Killed(NamedTuple):
    """What a killed process left."""

    folder: Path
    statement: int
    acknowledged: int
    """Commits that it had acknowledged."""


@contextlib.contextmanager
def small_steps() -> Iterator[None]:
    """Let a fold of few messages have many steps and chunks."""
    with contextlib.ExitStack() as stack:
        for module, name, value in (
            (piece_queue, "_STEP_MESSAGES", 4),
            (piece_queue, "_STEP_CONVERSATIONS", 2),
            (fold, "_STEP_JOURNAL", 600),
            (chunks, "BOUND", 700),
            (chunks, "GROWING", 300),
            (ids, "_ACCOUNTS", 1),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def open_for_fold(path: Path) -> SqliteStore:
    """Open or make a store with three accounts, and a room that all are in; its clock stands still."""
    store = SqliteStore(path, clock=ManualClock(), edit_within_ms=3_600_000)
    if not store.accounts():
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        add_room(store, "#dev", "alice", "bob", "carol", history=HistoryFrom.FULL)
    return store


def commits() -> list[Commit]:
    """Return commits that meet a fold in each of its steps; each text has a word of its own."""
    make_id, number = IdMaker(), count()

    def say(conversation: int, sender: int = ALICE, meta: MessageMeta = NO_META) -> NewMessage:
        """Make a message or an amendment."""
        to = _TO[conversation] if sender == ALICE or conversation == ROOM else ALICE
        text = "+1" if meta.kind == "react" else f"word{next(number)} often"
        return NewMessage(sender, to, make_id(), text, meta)

    def everywhere(each: int) -> list[NewMessage]:
        """Make some messages in each conversation."""
        return [
            say(conversation, sender)
            for conversation, sender in ((ROOM, BOB), (PAIR, ALICE), (OTHER_PAIR, ALICE), (PAIR, BOB))
            for _ in range(each)
        ]

    def amend(old: int, new: int) -> list[Commit]:
        """Make commits with amendments of a message that is in a chunk, and of one that is not yet."""
        on_old, on_new = MessageMeta(kind="react", target=old), MessageMeta(kind="react", target=new)
        edit_old, edit_new = MessageMeta(kind="edit", target=old), MessageMeta(kind="edit", target=new)
        redact_old, redact_new = (
            MessageMeta(kind="redact", target=old),
            MessageMeta(kind="redact", target=new),
        )
        return [
            Commit([say(ROOM, CAROL, on_old)], (), 1),
            Commit([say(ROOM, BOB, edit_new)], [Mark(CAROL, ROOM, PositionKind.READ, new)], 1),
            Commit([say(PAIR, ALICE, edit_old), say(PAIR, BOB, on_old)], (), 1),
            Commit([say(OTHER_PAIR, ALICE, redact_new), say(ROOM, CAROL)], (), 1),
            Commit([say(ROOM, ALICE, on_new), say(PAIR, BOB)], (), 1),
            Commit([say(ROOM, BOB, redact_old)], (), 1),
        ]

    late = make_id()
    marks = [Mark(BOB, PAIR, PositionKind.READ, 2), Mark(CAROL, ROOM, PositionKind.DELIVERED, 3)]
    found = [Commit(everywhere(2), (), 0), Commit(everywhere(3), marks, 30, begin=True)]
    found += [Commit(everywhere(1), (), 0) for _ in range(3)]
    not_rising = NewMessage(ALICE, BOB, late, "notrising")
    refused = say(PAIR, ALICE, MessageMeta(kind="react", target=99))
    found.append(
        Commit([not_rising, refused, say(ROOM, BOB, MessageMeta(mentions=(CAROL,)))], (), 1, begin=True)
    )
    return [*found, *amend(1, 6), *amend(2, 7), *amend(3, 8), Commit(everywhere(1), marks, 30, begin=True)]


class _Acknowledged:
    """The number of commits that were acknowledged, in a file."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / _ACKED, os.O_WRONLY | os.O_CREAT, 0o600)

    def add(self) -> None:
        """Add one."""
        os.write(self._descriptor, b"x")


def _work(folder: Path, kill_at: int) -> None:
    """Store and fold all commits; be killed at a statement."""
    statements = 0

    def trace(_: str) -> None:
        nonlocal statements
        statements += 1
        if statements == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    store = open_for_fold(folder / "q.db")
    acknowledged = _Acknowledged(folder)
    store._db.connection.set_trace_callback(trace)
    for commit in commits():
        store.append(commit.messages, commit.marks)
        acknowledged.add()
        if commit.begin:
            store._fold.request()
        for _ in range(commit.steps):
            store.housekeeping.step(Keep())


def kill_at_statements(folder: Path, stride: int, first: int = 1) -> Iterator[Killed]:
    """Yield what is left of processes that are killed at one statement after the other.

    The last one ends without being killed.
    """
    subprocess.run(
        [sys.executable, "-m", __name__, str(folder), str(first), str(stride)], check=True, timeout=300
    )
    for each in sorted(folder.iterdir(), key=lambda each: int(each.name)):
        yield Killed(each, int(each.name), (each / _ACKED).stat().st_size)


def _main(folder: Path, first: int, stride: int) -> None:
    """Kill a process at each of some statements."""
    for statement in count(first, stride):
        own = folder / str(statement)
        own.mkdir()
        child = os.fork()
        if not child:
            with small_steps():
                _work(own, statement)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.WTERMSIG(status) == signal.SIGKILL, status


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
