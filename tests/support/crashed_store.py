"""Stores of a process that was killed: the files as the kernel has them afterwards."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from qscpd.domain.model import NewMessage, StoredMessage
from qscpd.store.sqlite.store import SqliteStore

__all__ = ["append", "crash", "in_child"]


def append(store: SqliteStore, number: int, body: str = "x" * 500) -> int:
    """Store a message of account 1 to account 2, with an id made from a number; return its seq."""
    outcomes, _ = store.append([NewMessage(1, 2, f"{number:032x}", body)])
    (outcome,) = outcomes
    assert isinstance(outcome, StoredMessage)
    return outcome.seq


def in_child(work: Callable[[], object]) -> int:
    """Do something in a process of its own; return its wait status."""
    child = os.fork()
    if child == 0:
        _work_and_exit(work)
    return os.waitpid(child, 0)[1]


def _work_and_exit(work: Callable[[], object]) -> NoReturn:
    try:
        work()
    except Exception:  # noqa: BLE001 - pytest must not go on in the child
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


def crash(path: Path, messages: int, *, keep_open: Callable[[SqliteStore], object] | None = None) -> None:
    """Store messages in a process that is killed right after the last was acknowledged.

    Args:
        path: The store; it has alice and bob as 1 and 2, and is made if needed.
        messages: Number of messages.
        keep_open: Called with the open store before the kill.
    """

    def work() -> None:
        store = SqliteStore(path)
        if not store.accounts():
            for name in ("alice", "bob"):
                store.add_account(name, "x")
        row = next(iter(store.conversations(1)), None)
        first = row.last_seq if row else 0
        for number in range(first, first + messages):
            append(store, number)
        if keep_open is not None:
            keep_open(store)
        os.kill(os.getpid(), signal.SIGKILL)

    with contextlib.suppress(ChildProcessError):
        status = in_child(work)
        assert os.WIFSIGNALED(status), f"the child ended with {status}"
        assert os.WTERMSIG(status) == signal.SIGKILL
