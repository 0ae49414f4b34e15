"""Saved state of a device, whatever happens to the process."""

import contextlib
import dataclasses
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qscp_client.core.changes import (
    Added,
    Failed,
    Forgotten,
    Hidden,
    Moved,
    Removed,
    Renewed,
    Reported,
    Saved,
    SavedPosition,
)
from qscp_client.core.outbox import Entry, EntryKind
from qscp_client.state.device import Device, Devices
from tests.client.conftest import REPOSITORY


def entry(number: int, failure: str = "") -> Entry:
    """Return a message of the outbox."""
    return Entry(f"{number:032x}", "bob", f"text {number}", 1000 + number, failure)


def acquire(directory: Path, device_id: str = "d" * 32) -> Device:
    """Return a device of the directory."""
    return Devices(directory, lambda: device_id).acquire()


def is_hidden(directory: Path) -> bool:
    """Return whether the next login hides the user."""
    devices = Devices(directory, lambda: "another")
    with contextlib.closing(devices):
        return devices.hidden


def test_all_state_is_saved(tmp_path: Path) -> None:
    """Epoch, positions, outbox and device id are saved; the outbox keeps its order."""
    with acquire(tmp_path / "new") as device:
        assert device.saved == Saved()
        device.save(
            [
                Renewed("e1", "a1"),
                *(Added(entry(number)) for number in (2, 1, 3)),
                Removed(entry(1).id),
                Failed(entry(3).id, "Too old."),
                Moved("c1", "bob", 5),
                Moved("c1", "", 6),
                Moved("c2", "carol", 9),
                Moved("c2", "carol", 2),
                Reported("c1", 6),
                Hidden(hidden=True),
            ]
        )
    with acquire(tmp_path / "new", "another") as device:
        assert device.id == "d" * 32
        assert device.saved == Saved(
            "e1",
            "a1",
            (SavedPosition("c1", "bob", 6, 6), SavedPosition("c2", "carol", 2)),
            (entry(2), entry(3, "Too old.")),
            hidden=True,
        )
        device.save([Renewed("e2", "a1")])
    assert is_hidden(tmp_path / "new")
    assert not is_hidden(tmp_path / "other")
    with acquire(tmp_path / "new") as device:
        assert device.saved == Saved("e2", "a1", (), (entry(2), entry(3, "Too old.")), hidden=True)
        device.save([Hidden(hidden=False)])
    assert not is_hidden(tmp_path / "new")


def test_amendments_are_saved(tmp_path: Path) -> None:
    """Outbox entries keep their kind and target; a forgotten room has no position."""
    entries = tuple(
        Entry(f"{number:032x}", "#dev", "text", 1000, kind=kind, target=number)
        for number, kind in enumerate(EntryKind)
    )
    with acquire(tmp_path) as device:
        device.save([*map(Added, entries), Moved("c1", "#dev", 5), Moved("c2", "#ops", 6), Forgotten("c1")])
    with acquire(tmp_path) as device:
        assert device.saved.outbox == entries
        assert device.saved.positions == (SavedPosition("c2", "#ops", 6),)


_SCHEMA_1 = """
CREATE TABLE device (id TEXT NOT NULL, epoch TEXT NOT NULL, account TEXT NOT NULL) STRICT;
CREATE TABLE position (
    conversation TEXT PRIMARY KEY, name TEXT NOT NULL,
    seq INTEGER NOT NULL, reported INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, recipient TEXT NOT NULL, body TEXT NOT NULL,
    first_try_ms INTEGER NOT NULL, failure TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO device VALUES ('dddddddddddddddddddddddddddddddd', 'e1', 'a1');
INSERT INTO position VALUES ('c1', 'bob', 5, 4);
INSERT INTO outbox (id, recipient, body, first_try_ms)
VALUES ('00000000000000000000000000000001', 'bob', 'text 1', 1001);
PRAGMA user_version = 1;
"""
"""Schema and rows of the first version."""

_TO_2 = """
ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'chat';
ALTER TABLE outbox ADD COLUMN target INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 2;
"""
"""What made the second version of it."""


_TO_3 = """
ALTER TABLE outbox ADD COLUMN conversation TEXT NOT NULL DEFAULT '';
PRAGMA user_version = 3;
"""
"""What made the third version of that."""


@pytest.mark.parametrize(
    "schema", [_SCHEMA_1, _SCHEMA_1 + _TO_2, _SCHEMA_1 + _TO_2 + _TO_3], ids=["1", "2", "3"]
)
def test_a_file_of_an_earlier_version_is_upgraded(tmp_path: Path, schema: str) -> None:
    """A file of an earlier version is upgraded with its positions and outbox."""
    database = sqlite3.connect(tmp_path / "device-1.db")
    database.executescript(schema)
    database.close()
    reaction = Entry(f"{2:032x}", "bob", "ok", 1002, kind=EntryKind.REACT, target=5, conversation="c1")
    with acquire(tmp_path, "another") as device:
        assert device.saved == Saved("e1", "a1", (SavedPosition("c1", "bob", 5, 4),), (entry(1),))
        device.save([Added(reaction)])
    with acquire(tmp_path, "another") as device:
        assert (device.id, device.saved.outbox) == ("d" * 32, (entry(1), reaction))


def test_the_conversation_of_an_entry_is_saved(tmp_path: Path) -> None:
    """The conversation that a message was typed in is kept, until the server has another history."""
    typed = dataclasses.replace(entry(1), conversation="c7")
    with acquire(tmp_path) as device:
        device.save([Renewed("e1", "a1"), Added(typed)])
    with acquire(tmp_path) as device:
        assert device.saved.outbox == (typed,)
        device.save([Renewed("e2", "a1")])
    with acquire(tmp_path) as device:
        assert device.saved.outbox == (entry(1),)


@pytest.mark.parametrize(("epoch", "kept"), [("e1", "c7"), ("e2", "")])
def test_a_moved_entry_keeps_its_conversation_in_the_same_history(
    tmp_path: Path, epoch: str, kept: str
) -> None:
    """An unsent message of another device forgets its conversation if that saw another history."""
    typed = dataclasses.replace(entry(1), conversation="c7")
    with acquire(tmp_path) as first:
        first.save([Renewed(epoch, "a1")])
        with acquire(tmp_path, "e" * 32) as second:
            second.save([Renewed("e1", "a1"), Added(typed)])
    with acquire(tmp_path) as first:
        assert first.saved.outbox == (dataclasses.replace(typed, conversation=kept),)


def test_only_the_owner_has_access(tmp_path: Path) -> None:
    """All files, and the directory, are accessible only to their owner."""
    with acquire(tmp_path / "new") as device:
        device.save([Added(entry(1))])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert len(modes) == 4
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_nothing_is_written_before_the_login(tmp_path: Path) -> None:
    """Nothing is written until a device is acquired."""
    Devices(tmp_path / "new", str).close()
    assert not (tmp_path / "new").exists()


def test_two_processes_are_two_devices(tmp_path: Path) -> None:
    """Concurrent processes get different devices; a free device is used again."""
    with acquire(tmp_path, "1" * 32) as first:
        with acquire(tmp_path, "2" * 32) as second:
            assert (first.id, second.id) == ("1" * 32, "2" * 32)
        with acquire(tmp_path, "3" * 32) as second:
            assert second.id == "2" * 32
    with acquire(tmp_path, "3" * 32) as again:
        assert again.id == "1" * 32


def test_unsent_messages_are_taken_over(tmp_path: Path) -> None:
    """The next process takes over unsent messages of a device whose process has ended."""
    with acquire(tmp_path) as first:
        first.save([Added(entry(1))])
        with acquire(tmp_path, "2" * 32) as second:
            assert second.saved.outbox == ()
            second.save([Added(entry(2))])
    with acquire(tmp_path) as again:
        assert again.saved.outbox == (entry(1), entry(2))
        with acquire(tmp_path) as other:
            assert other.saved.outbox == ()


def test_all_or_nothing_is_saved(tmp_path: Path) -> None:
    """Changes are saved together or not at all."""
    with acquire(tmp_path) as device:
        with pytest.raises(AssertionError):
            device.save([Added(entry(1)), object()])  # type: ignore[list-item]  # not a change
        device.save([Added(entry(2))])
        assert list(device.entries()) == [entry(2)]


def test_a_damaged_file_is_renamed(tmp_path: Path) -> None:
    """A damaged file is renamed, and a new one is started."""
    (tmp_path / "device-1.db").write_bytes(b"nonsense" * 1000)
    with acquire(tmp_path, "2" * 32) as device:
        assert device.id == "2" * 32
    assert any("damaged" in path.name for path in tmp_path.iterdir())


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    """A file of a newer version is left unchanged; nothing is saved, with a reason."""
    with acquire(tmp_path) as device:
        device._database.execute("PRAGMA user_version = 99")
    devices = Devices(tmp_path, str)
    assert devices.device_id == ""
    assert "newer version" in devices.problem
    with devices.acquire() as device:
        device.save([Added(entry(1))])
        assert (device.id, list(device.entries())) == ("", [entry(1)])


_WRITER = """
import os
import sys
from pathlib import Path
sys.path.insert(0, "client")
from qscp_client.core.changes import Added, Moved, Removed
from qscp_client.state.device import Devices
from qscp_client.core.outbox import Entry, EntryKind

def report(change, number):
    # A pipe accepts one short write completely or not at all; `print` can make several.
    os.write(1, f"{change} {number}\\n".encode())

with Devices(Path(sys.argv[1]), lambda: "d" * 32).acquire() as device:
    number = 0
    while True:
        number += 1
        device.save([Added(Entry(f"{number:032x}", "bob", "text", number))])
        report("added", number)
        device.save([Moved("c1", "bob", number), Removed(f"{number - 3:032x}")])
        report("moved", number)
"""


@pytest.mark.parametrize("lines", [1, 2, 7, 50])
def test_a_killed_process_loses_nothing(tmp_path: Path, lines: int) -> None:
    """After SIGKILL, every confirmed save is there, and the last one is complete or absent."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path / "state")],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    printed = [process.stdout.readline() for _ in range(lines)]
    os.kill(process.pid, signal.SIGKILL)
    printed += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    added = max(int(line.split()[1]) for line in printed if line.startswith("added"))
    moved = max((int(line.split()[1]) for line in printed if line.startswith("moved")), default=0)
    with acquire(tmp_path / "state", "another") as device:
        assert device.id == "d" * 32
        numbers = [int(each.id, 16) for each in device.saved.outbox]
        position = max((each.seq for each in device.saved.positions), default=0)
    assert numbers[-1] in (added, added + 1)
    assert position in (moved, moved + 1)
    assert numbers == list(range(max(position - 2, 1), numbers[-1] + 1))


def test_without_a_home_nothing_is_kept() -> None:
    """A user without a home has a device in memory, with a reason."""
    devices = Devices(None, str)
    assert (devices.device_id, devices.hidden) == ("", False)
    assert devices.problem == "this user has no home; set HOME or XDG_STATE_HOME to a directory"
    with devices.acquire() as device:
        device.save([Added(entry(1))])
        assert (device.id, list(device.entries())) == ("", [entry(1)])


def test_a_directory_that_goes_after_the_login(tmp_path: Path) -> None:
    """What can't be made when it is needed is a reason; the device is in memory then."""
    devices = Devices(tmp_path / "devices", lambda: "d" * 32)
    assert (devices.device_id, devices.problem) == ("d" * 32, "")
    (tmp_path / "devices").write_text("a file in its place")
    with devices.acquire() as device:
        device.save([Added(entry(1))])
        assert list(device.entries()) == [entry(1)]
    assert str(tmp_path / "devices") in devices.problem
