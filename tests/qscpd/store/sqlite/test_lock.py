"""The lock that keeps a second process from opening a store."""

import subprocess
import sys
from pathlib import Path

import pytest

from qscpd.errors import PermissionDeniedError, StoreBusyError, StoreError
from qscpd.store.sqlite.lock import StoreLock
from tests.support.users import as_user
from tests.support.waiting import PATIENCE_S

_HOLD = """
import sys
from pathlib import Path
from qscpd.store.sqlite.lock import StoreLock
with StoreLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_is_exclusive(tmp_path: Path) -> None:
    """A second holder gets StoreBusyError; the lock is free once the first has released it."""
    store = tmp_path / "qscpd.db"
    for _ in range(2):
        with StoreLock(store), pytest.raises(StoreBusyError, match="another qscpd process"), StoreLock(store):
            pass


def test_the_lock_of_another_process_ends_with_it(tmp_path: Path) -> None:
    """A lock of another process is respected, and killing that process releases it."""
    store = tmp_path / "qscpd.db"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, store], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder.stdout, holder.stdin:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreBusyError), StoreLock(store):
            pass
        holder.kill()
        holder.wait(PATIENCE_S)
    with StoreLock(store):
        assert (tmp_path / "qscpd.db.lock").stat().st_mode & 0o777 == 0o600


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    """A child process does not keep the lock after its parent has released it."""
    store = tmp_path / "qscpd.db"
    with StoreLock(store):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with StoreLock(store):
        child.communicate(b"\n", PATIENCE_S)


def test_a_missing_and_an_unwritable_directory_are_named(tmp_path: Path) -> None:
    """Locking in a missing or unwritable directory raises an error with the path."""
    with pytest.raises(StoreError, match="nowhere"), StoreLock(tmp_path / "nowhere" / "qscpd.db"):
        pass
    with (
        as_user(tmp_path),
        pytest.raises(PermissionDeniedError, match="lock"),
        StoreLock(tmp_path / "qscpd.db"),
    ):
        pass
