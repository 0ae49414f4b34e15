"""Backup of a daemon under load, and a daemon restored from it."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from qscpd.config import load_config
from tests.support.daemon import Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.storage import stored_messages
from tests.support.waiting import PATIENCE_S, patiently
from tests.support.wire import Wires, chat


def qscpd(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that needs no configuration."""
    command = [sys.executable, "-m", "qscpd", *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=PATIENCE_S)


async def back_up(daemon: Daemon, directory: Path) -> Path:
    """Make a backup of a daemon, without blocking the event loop."""
    done = await asyncio.to_thread(daemon.run, "backup", str(directory))
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


async def test_a_backup_under_load(start_daemon: StartDaemon, wires: Wires, tmp_path: Path) -> None:
    """A backup under load is consistent, and messages are acked and delivered meanwhile."""
    daemon = start_daemon()
    alice, _, _ = await resume(wires, daemon, "alice")
    bob, _, _ = await resume(wires, daemon, "bob")
    making = asyncio.create_task(back_up(daemon, tmp_path / "backups"))
    number = 0
    while not making.done() or number <= 10:
        number += 1
        alice.send(chat("bob", f"{number}", number))
        async with patiently():
            await alice.receive_type("chat_ack")
            assert (await bob.receive_type("chat"))["body"] == f"{number}"
    backup = await making
    assert qscpd("verify", str(backup)).returncode == 0
    kept = [row.body for row in stored_messages(backup / "qscpd.db")]
    assert kept == [f"{n}" for n in range(1, len(kept) + 1)]
    assert len(kept) <= number


async def test_a_backup_of_a_stopped_and_of_a_killed_daemon(
    start_daemon: StartDaemon, wires: Wires, tmp_path: Path
) -> None:
    """A backup has every acked message, even from the journal that a crash left."""
    daemon = start_daemon()
    alice, _, _ = await resume(wires, daemon, "alice")
    alice.send(*(chat("bob", f"{number}", number) for number in range(50)))
    await alice.receive_count("chat_ack", 50)
    daemon.process.kill()
    daemon.wait()
    assert daemon.store.with_name("qscpd.db-wal").stat().st_size
    backup = await back_up(daemon, tmp_path / "backups")
    assert len(stored_messages(backup / "qscpd.db")) == 50
    again = start_daemon()
    assert again.stop() == 0
    assert len(stored_messages(await back_up(daemon, tmp_path / "backups") / "qscpd.db")) == 50


async def test_a_restored_daemon_has_a_new_epoch(
    start_daemon: StartDaemon, wires: Wires, tmp_path: Path
) -> None:
    """A restore changes the epoch; later positions are `ahead`, and retries are stored again."""
    daemon = start_daemon()
    alice, first, _ = await resume(wires, daemon, "alice")
    alice.send(chat("bob", "before", 1))
    before = await alice.receive_type("chat_ack")
    backup = await back_up(daemon, tmp_path / "backups")
    alice.send(chat("bob", "after", 2))
    await alice.receive_type("chat_ack")
    await wires.close()  # which the shutdown would wait for
    assert daemon.stop() == 0
    into = tmp_path / "new"
    assert qscpd("restore", str(backup), "--into", str(into)).returncode == 0
    with contextlib.ExitStack() as stack:
        restored = start_restored(stack, into)
        alice, second, missed = await resume(wires, restored, "alice", {before["conversation"]: 2})
        assert second["epoch"] != first["epoch"]
        assert [frame for frame in missed if frame["type"] == "gap"] == [
            {"type": "gap", "conversation": before["conversation"], "from": 2, "to": 2, "reason": "ahead"}
        ]
        alice.send(chat("bob", "before", 1), chat("bob", "after", 2))
        acks = await alice.receive_count("chat_ack", 2)
        assert [ack["seq"] for ack in acks] == [1, 2]
        missed = (await resume(wires, restored, "bob")).missed
        assert [frame["body"] for frame in missed if frame["type"] == "chat"] == ["before", "after"]
        await wires.close()


def start_restored(stack: contextlib.ExitStack, into: Path) -> Daemon:
    """Start the daemon of a restored installation, with its own configuration."""
    config = into / "config" / "qscpd.yaml"
    paths = load_config(config, environ={}).config
    assert paths.store.path == into / "var" / "qscpd.db"
    restored = Daemon(into / "var", config, [])
    stack.callback(lambda: restored.process.poll() is not None or restored.stop())
    restored.wait_until_ready()
    return restored


async def test_a_restored_daemon_shares_nothing(
    start_daemon: StartDaemon, wires: Wires, tmp_path: Path
) -> None:
    """A restored daemon runs beside the old one, and shares no file with it."""
    daemon = start_daemon()
    backup = await back_up(daemon, tmp_path / "backups")
    into = tmp_path / "new"
    assert qscpd("restore", str(backup), "--into", str(into)).returncode == 0
    shutil.rmtree(backup)
    with contextlib.ExitStack() as stack:
        restored = start_restored(stack, into)
        await resume(wires, restored, "alice")
        await resume(wires, daemon, "bob")
        status = [statistics(each) for each in (daemon, restored)]
        assert status[0]["pid"] != status[1]["pid"]
        assert [each["users_online"] for each in status] == [1, 1]
        refused = qscpd("restore", str(tmp_path), "--into", str(into))
        assert "a running qscpd uses this store" in refused.stderr
        await wires.close()


def statistics(daemon: Daemon) -> dict[str, Any]:
    """Return the output of `qscpd status`."""
    found: dict[str, Any] = json.loads(daemon.run("status", "--json").stdout)
    return found
