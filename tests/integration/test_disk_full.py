"""Disk that fills up under a running daemon, and is freed again."""

import asyncio
from pathlib import Path

from tests.support.daemon import Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.smalldisk import fill, small_disk
from tests.support.storage import stored_messages
from tests.support.wire import Frame, Wire, Wires, chat, message_id

BODY = "x" * 4000


async def answer(wire: Wire) -> Frame:
    """Return the next ack or nack."""
    while (frame := await wire.receive())["type"] not in ("chat_ack", "chat_nack"):
        pass
    return frame


async def fill_up(wire: Wire, number: int) -> int:
    """Send messages until one is refused; return its number."""
    while True:
        wire.send(chat("bob", BODY, number))
        frame = await answer(wire)
        if frame["type"] == "chat_nack":
            assert frame["code"] == "storage_full"
            return number
        number += 1


async def test_a_full_disk_and_room_again(start_daemon: StartDaemon, wires: Wires, tmp_path: Path) -> None:
    """A full disk refuses messages as `storage_full` but can be read; once freed, it stores in order."""
    with small_disk(tmp_path / "disk", 2048) as disk:
        daemon = start_on(start_daemon, disk)
        daemon.expected_errors |= {"store.refused", "store.housekeeping_failed"}
        alice, _, _ = await resume(wires, daemon, "alice")
        bob, _, _ = await resume(wires, daemon, "bob")
        alice.send(chat("bob", "before the flood", 1))
        conversation = (await answer(alice))["conversation"]
        filler = fill(disk, leave=200_000)
        refused = await fill_up(alice, 2)

        # Later messages must not overtake it, even when there is room again.
        alice.send(chat("bob", "behind it", refused + 1), chat("carol", BODY * 3, refused + 2))
        assert (await answer(alice))["code"] == "out_of_order"
        assert (await answer(alice))["code"] == "storage_full"

        # Reading needs no room.
        bob.send({"type": "history", "conversation": conversation, "limit": 1, "before": 2})
        page = await bob.receive_type("history")
        assert [each["body"] for each in page["messages"]] == ["before the flood"]
        bob.send({"type": "search", "query": "flood"})
        found = await bob.receive_type("search")
        assert [each["seq"] for each in found["matches"]] in ([1], [])
        carol, _, missed = await resume(wires, daemon, "carol")
        assert missed == []

        filler.unlink()
        alice.send(chat("bob", "behind it", refused + 1))
        assert (await answer(alice))["code"] == "out_of_order"
        alice.send(chat("bob", BODY, refused), chat("bob", "behind it", refused + 1))
        acks = [await answer(alice), await answer(alice)]
        assert [ack["type"] for ack in acks] == ["chat_ack", "chat_ack"]
        assert [ack["seq"] for ack in acks] == [refused, refused + 1]
        alice.send({"type": "skip", "id": message_id(refused + 2)}, chat("carol", "short", refused + 3))
        assert (await answer(alice))["type"] == "chat_ack"
        assert (await carol.receive_type("chat"))["body"] == "short"
        assert daemon.process.poll() is None
        await wires.close()  # which the shutdown would wait for
        assert daemon.stop() == 0
        rows = [row for row in stored_messages(disk / "qscpd.db") if row.conversation == 1]
        assert [row.id for row in rows] == [message_id(number) for number in range(1, refused + 2)]


async def test_thousands_at_a_full_disk(start_daemon: StartDaemon, wires: Wires, tmp_path: Path) -> None:
    """Whenever the disk fills up, acked messages are stored, and refused ones are not."""
    with small_disk(tmp_path / "disk", 4096) as disk:
        daemon = start_on(start_daemon, disk)
        daemon.expected_errors |= {"store.refused", "store.housekeeping_failed"}
        filler = fill(disk, leave=1_500_000)
        alice, _, _ = await resume(wires, daemon, "alice")
        acked: list[str] = []
        for begin in range(1, 3000, 100):
            alice.send(
                *(
                    chat("bob", f"{number} {BODY[: number % 900]}", number)
                    for number in range(begin, begin + 100)
                )
            )
            answers = [await answer(alice) for _ in range(100)]
            acked += [each["id"] for each in answers if each["type"] == "chat_ack"]
            for each in answers:
                assert each["type"] == "chat_ack" or each["code"] in ("storage_full", "out_of_order")
        assert 0 < len(acked) < 3000
        assert [row.id for row in stored_messages(disk / "qscpd.db")] == acked
        filler.unlink()
        alice.send({"type": "skip", "id": message_id(len(acked) + 1)}, chat("bob", "at last", 10**6))
        assert (await answer(alice))["type"] == "chat_ack"
        assert daemon.process.poll() is None
        await wires.close()
        assert daemon.stop() == 0
        # Hundreds of refused batches are one fault.
        events = [line["event"] for line in daemon.log if line["event"].startswith("store.refused")]
        assert events == ["store.refused", "store.refused.over"]


async def test_positions_at_a_full_disk(start_daemon: StartDaemon, wires: Wires, tmp_path: Path) -> None:
    """Positions that can't be stored end no session, and can be sent again once there is room."""
    with small_disk(tmp_path / "disk", 2048) as disk:
        daemon = start_on(start_daemon, disk)
        daemon.expected_errors |= {"store.refused", "store.housekeeping_failed"}
        alice, _, _ = await resume(wires, daemon, "alice")
        bob, _, _ = await resume(wires, daemon, "bob")
        alice.send(chat("bob", "hi", 1))
        conversation = (await bob.receive_type("chat"))["conversation"]
        filler = fill(disk)
        bob.send({"type": "received", "conversation": conversation, "seq": 1}, {"type": "ping"})
        await bob.receive_type("pong")
        filler.unlink()
        await asyncio.to_thread(daemon.run, "listusers")
        bob.send({"type": "received", "conversation": conversation, "seq": 1})
        assert (await alice.receive_type("delivered"))["seq"] == 1
        await wires.close()  # which the shutdown would wait for
        assert await asyncio.to_thread(daemon.stop) == 0  # before the disk is gone


def start_on(start_daemon: StartDaemon, disk: Path) -> Daemon:
    """Start a daemon whose store is on a small disk, with the usual accounts."""
    daemon = start_daemon()
    assert daemon.stop() == 0
    (disk / "qscpd.db").write_bytes(daemon.store.read_bytes())
    (disk / "qscpd.db").chmod(0o600)
    return start_daemon(f"store.path={disk / 'qscpd.db'}")
