"""Promises of delivery, each tested on a daemon without a network or on the real one.

A docstring is the promise that its test covers; `docs/durability.md` lists them.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from qscp import frames
from tests.support.daemon import StartDaemon
from tests.support.device import Device
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.oracle import judge
from tests.support.programs import unmeasured
from tests.support.quota import Quota
from tests.support.stores import FailingStore
from tests.support.wire import Wires, chat


@pytest.fixture
async def chat_server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """Daemon without a network, for alice, bob and carol."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob", "carol")
    async with InProcessServer(FailingStore(tmp_path / "qscpd.db")) as opened:
        yield opened


@pytest.fixture
def store(chat_server: InProcessServer) -> FailingStore:
    """The server's store, which fails on demand."""
    assert isinstance(chat_server.store, FailingStore)
    return chat_server.store


@pytest.fixture
def alice() -> Device:
    """Device of alice."""
    return Device("alice", device_id(1), IdMaker(1))


@pytest.fixture
def bob() -> Device:
    """Device of bob."""
    return Device("bob", device_id(2), IdMaker(2))


def answers(connected: InProcessPeer) -> list[str]:
    """Return acks by seq and nacks by code, in the order of arrival."""
    short = []
    for frame in connected.frames:
        if isinstance(frame, frames.ChatAck):
            short.append(str(frame.seq))
        elif isinstance(frame, frames.ChatNack):
            short.append(frame.code)
    return short


def send(connected: InProcessPeer, number: int, body: str = "hello", to: str = "bob") -> None:
    """Send a message with the id of that number."""
    connected.send(frames.SendChat(to, body, f"{number:032x}"))


# --- conversations and seqs


async def test_both_directions_share_one_seq(
    chat_server: InProcessServer, alice: Device, bob: Device
) -> None:
    """Each conversation has its own `seq`, dense and rising, over both directions."""
    peers = [await chat_server.login(alice), await chat_server.login(bob)]
    for n in range(6):
        author, to = ((alice, "bob"), (bob, "alice"))[n % 2]
        peers[n % 2].send(*author.send(to, f"{n}"))
        await chat_server.settle()
    peers[0].send(*alice.send("carol", "elsewhere"))
    await chat_server.settle()
    assert [ack.seq for ack in alice.log.acked.values()] == [1, 3, 5, 1]
    assert [ack.seq for ack in bob.log.acked.values()] == [2, 4, 6]
    assert [each.body for each in bob.log.applied["c1"]] == ["0", "1", "2", "3", "4", "5"]
    judge(
        [alice.log, bob.log], {"alice": await chat_server.book("alice"), "bob": await chat_server.book("bob")}
    )


async def test_seqs_survive_pruning_to_empty(chat_server: InProcessServer, alice: Device) -> None:
    """Seqs are never re-used, and `last_seq` survives pruning to empty."""
    connected = await chat_server.login(alice)
    connected.send(*alice.send("bob", "one"), *alice.send("bob", "two"))
    await chat_server.settle()
    await chat_server.prune(0)
    book = await chat_server.book("bob")
    assert (book["c1"].first_seq, book["c1"].last_seq, book["c1"].messages) == (3, 2, [])
    connected.send(*alice.send("bob", "three"))
    await chat_server.settle()
    assert [each.seq for each in (await chat_server.book("bob"))["c1"].messages] == [3]


async def test_nothing_is_seen_before_the_commit(
    chat_server: InProcessServer,
    store: FailingStore,
    alice: Device,
    bob: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is acked, published or visible to `history` before COMMIT returned."""
    connected, other = await chat_server.login(alice), await chat_server.login(bob)
    await chat_server.settle()
    append, seen = store.append, []

    def slowly(*arguments: Any, **bounds: Any) -> Any:  # noqa: ANN401 - as they came
        result = append(*arguments, **bounds)
        seen.extend([*connected.link.written, *other.link.written])
        return result

    monkeypatch.setattr(store, "append", slowly)
    connected.send(*alice.send("bob", "hello"))
    await chat_server.settle()
    assert seen == []
    assert (answers(connected), other.kinds()[-1]) == (["1"], "chat")
    monkeypatch.setattr(store, "append", append)
    store.full = True
    connected.send(*alice.send("bob", "not stored"))
    await chat_server.settle()
    assert (answers(connected), other.kinds().count("chat")) == (["1", "storage_full"], 1)
    assert [each.body for each in (await chat_server.book("bob"))["c1"].messages] == ["hello"]


# --- ids


async def test_a_retry_gets_the_original_ack(
    chat_server: InProcessServer, alice: Device, bob: Device
) -> None:
    """A retry with the same id and hash gets the original ack, even in the same batch."""
    connected, other = await chat_server.login(alice), await chat_server.login(bob)
    await chat_server.settle()
    connected.device = None
    send(connected, 1)
    send(connected, 1)
    await chat_server.settle()
    send(connected, 1)
    await chat_server.settle()
    assert answers(connected) == ["1", "1", "1"]
    assert other.kinds().count("chat") == 1


async def test_a_retry_by_another_device_is_a_retry(chat_server: InProcessServer) -> None:
    """A retry can come from every device and session of the account."""
    first, second = await chat_server.visitor("alice"), await chat_server.visitor("alice")
    send(first, 1)
    await chat_server.settle()
    send(second, 1)
    await chat_server.settle()
    assert answers(first) == answers(second) == ["1"]


async def test_another_message_under_the_same_id(chat_server: InProcessServer) -> None:
    """Another message under the same id gets `chat_nack id_conflict`."""
    connected = await chat_server.visitor("alice")
    send(connected, 1, "hello")
    send(connected, 1, "something else")
    send(connected, 1, "hello", to="carol")
    await chat_server.settle()
    assert answers(connected) == ["1", "id_conflict", "id_conflict"]
    assert [each.body for each in (await chat_server.book("bob"))["c1"].messages] == ["hello"]
    assert await chat_server.book("carol") == {}


async def test_a_refused_row_is_refused_alone(chat_server: InProcessServer) -> None:
    """A row that is refused is nacked alone, and the rest of its batch is stored."""
    connected = await chat_server.visitor("alice")
    send(connected, 1)
    await chat_server.settle()
    send(connected, 2)
    send(connected, 1, "something else")
    send(connected, 3)
    await chat_server.settle()
    assert sorted(answers(connected)) == ["1", "2", "3", "id_conflict"]


@pytest.mark.parametrize(("why", "code"), [("full", "storage_full"), ("busy", "storage_failed")])
async def test_a_nacked_id_stored_nothing(
    chat_server: InProcessServer, store: FailingStore, alice: Device, why: str, code: str
) -> None:
    """If a full or busy disk rolls a batch back, all of it is nacked, and its seqs are used again."""
    connected = await chat_server.login(alice)
    await chat_server.settle()
    setattr(store, why, True)
    connected.send(*alice.send("bob", "one"), *alice.send("bob", "two"))
    await chat_server.settle()
    assert answers(connected) == [code, code]
    setattr(store, why, False)
    connected.send(*alice.resend())
    await chat_server.settle()
    assert answers(connected)[2:] == ["1", "2"]


# --- order


async def test_nothing_overtakes_a_refused_message(chat_server: InProcessServer, store: FailingStore) -> None:
    """After a retryable `chat_nack`, the session's later messages to that conversation are nacked."""
    connected, other = await chat_server.visitor("alice"), await chat_server.visitor("alice")
    store.full = True
    send(connected, 1)
    await chat_server.settle()
    store.full = False
    send(connected, 2)
    send(connected, 3, to="carol")
    await chat_server.settle()
    assert answers(connected) == ["storage_full", "out_of_order", "1"]
    send(other, 4)
    await chat_server.settle()
    assert answers(other) == ["1"]
    send(connected, 1)
    send(connected, 2)
    await chat_server.settle()
    assert answers(connected)[3:] == ["2", "3"]


async def test_skip_lets_later_messages_through(chat_server: InProcessServer, store: FailingStore) -> None:
    """`skip` of the first nacked id lets the later messages through."""
    connected = await chat_server.visitor("alice")
    store.full = True
    send(connected, 1)
    await chat_server.settle()
    store.full = False
    connected.send(frames.Skip("9" * 32))
    send(connected, 2)
    await chat_server.settle()
    connected.send(frames.Skip(f"{1:032x}"))
    send(connected, 2)
    await chat_server.settle()
    assert answers(connected) == ["storage_full", "out_of_order", "1"]


async def test_a_new_session_is_not_blocked(
    chat_server: InProcessServer, store: FailingStore, alice: Device
) -> None:
    """After a reconnect the outbox is stored in order, before anything new."""
    connected = await chat_server.login(alice)
    await chat_server.settle()
    store.full = True
    connected.send(*alice.send("bob", "one"), *alice.send("bob", "two"))
    await chat_server.settle()
    connected.lose()
    store.full = False
    connected = await chat_server.login(alice)
    connected.send(*alice.send("bob", "three"))
    await chat_server.settle()
    assert [each.body for each in (await chat_server.book("bob"))["c1"].messages] == [
        "one",
        "two",
        "three",
    ]


# --- positions


async def test_delivered_is_the_highest_of_the_receivers_devices(
    chat_server: InProcessServer, alice: Device
) -> None:
    """`delivered` is the highest over the receiver's devices; own devices don't count."""
    connected = await chat_server.login(alice)
    for n in range(5):
        connected.send(*alice.send("bob", f"{n}"))
    await chat_server.settle()
    connected.send(frames.Received("c1", 5))  # her own
    await chat_server.settle()  # a login does not wait for it
    mobile, tablet = await chat_server.visitor("bob"), await chat_server.visitor("bob")
    mobile.send(frames.Received("c1", 3))
    await chat_server.settle()
    tablet.send(frames.Received("c1", 2), frames.Received("c1", 4))
    mobile.send(frames.Received("c1", 99), frames.Received("c1", 1))
    await chat_server.settle()
    delivered = [each.seq for each in connected.frames if isinstance(each, frames.Delivered)]
    assert delivered == [3, 4, 5]
    assert not [each for each in mobile.frames if isinstance(each, frames.Delivered)]


async def test_read_is_one_for_all_devices(chat_server: InProcessServer, alice: Device) -> None:
    """A user's devices share one `read` per conversation; the server clamps it and ignores lower values."""
    connected = await chat_server.login(alice)
    for n in range(5):
        connected.send(*alice.send("bob", f"{n}"))
    mobile, tablet = await chat_server.visitor("bob"), await chat_server.visitor("bob")
    await chat_server.settle()
    mobile.send(frames.ClientRead("c1", 3))
    await chat_server.settle()
    tablet.send(frames.ClientRead("c1", 2), frames.ClientRead("c1", 99))
    await chat_server.settle()
    assert [(each.user, each.seq) for each in tablet.frames if isinstance(each, frames.ServerRead)] == [
        ("bob", 3)
    ]
    assert [(each.user, each.seq) for each in mobile.frames if isinstance(each, frames.ServerRead)] == [
        ("bob", 5)
    ]
    assert (await chat_server.book("bob"))["c1"].read == 5


async def test_unread_is_derived(chat_server: InProcessServer, alice: Device, bob: Device) -> None:
    """Unread messages are those of others after `read`; sending does not move `read`."""
    connected, other = await chat_server.login(alice), await chat_server.login(bob)
    connected.send(*alice.send("bob", "1"), *alice.send("bob", "2"))
    await chat_server.settle()
    other.send(*bob.send("alice", "3"))
    await chat_server.settle()
    books = await chat_server.book("alice"), await chat_server.book("bob")
    assert [(book["c1"].read, book["c1"].unread) for book in books] == [(0, 1), (0, 2)]
    other.send(frames.ClientRead("c1", 1))
    await chat_server.settle()
    assert (await chat_server.book("bob"))["c1"].unread == 1


@pytest.mark.parametrize("reader", [True, False])
@pytest.mark.parametrize("writer", [True, False])
async def test_read_receipts_need_both(
    chat_server: InProcessServer, alice: Device, reader: bool, writer: bool
) -> None:
    """`read` goes to the peer only if both opted in, and does not move `delivered`."""
    opted = ("read_receipts",)
    alice.features = opted if writer else ()
    connected = await chat_server.login(alice)
    connected.send(*alice.send("bob", "1"))
    mobile = await chat_server.login(Device("bob", "", features=opted if reader else ()))
    await chat_server.settle()
    mobile.send(frames.ClientRead("c1", 1))
    await chat_server.settle()
    received = [
        (each.conversation, each.user, each.seq)
        for each in connected.frames
        if isinstance(each, frames.ServerRead)
    ]
    assert received == ([("c1", "bob", 1)] if reader and writer else [])
    assert not [each for each in connected.frames if isinstance(each, frames.Delivered)]


@pytest.mark.parametrize("conversation", ["c1", "c99", "nonsense"])
async def test_positions_in_foreign_conversations_are_ignored(
    chat_server: InProcessServer, alice: Device, conversation: str
) -> None:
    """Positions in a conversation of others change nothing, and are sent to no one."""
    connected = await chat_server.login(alice)
    connected.send(*alice.send("bob", "1"))
    await chat_server.settle()
    carol = await chat_server.visitor("carol")
    carol.send(frames.ClientRead(conversation, 1), frames.Received(conversation, 1), frames.ClientPing())
    await chat_server.settle()
    assert carol.kinds()[-1] == "pong"
    history = (await chat_server.book("alice"))["c1"]
    assert (history.read, history.delivered) == (0, 0)
    assert connected.kinds().count("delivered") == connected.kinds().count("read") == 0


# --- several devices, and absence


async def test_own_messages_reach_other_devices(chat_server: InProcessServer, alice: Device) -> None:
    """A message sent on one device reaches the user's others; the sending one gets only the ack."""
    connected = await chat_server.login(alice)
    tablet = Device("alice", device_id(9), IdMaker(9))
    other = await chat_server.login(tablet)
    await chat_server.settle()
    connected.send(*alice.send("bob", "hello"))
    await chat_server.settle()
    (line,) = [each for each in other.frames if isinstance(each, frames.Chat)]
    assert (line.sender, line.to, line.body, line.origin) == ("alice", "bob", "hello", "live")
    assert "chat" not in connected.kinds()
    assert [each.id for each in tablet.log.applied["c1"]] == list(alice.log.acked)


async def test_messages_to_an_offline_user(chat_server: InProcessServer, alice: Device, bob: Device) -> None:
    """A message to an offline user is stored and replayed at the next login, never as live."""
    connected = await chat_server.login(alice)
    for n in range(5):
        connected.send(*alice.send("bob", f"{n}"))
    await chat_server.settle()
    for _ in range(2):
        connected = await chat_server.login(bob)
        await chat_server.settle()
        connected.lose()
        chat_server.peers.remove(connected)
    assert [each.body for each in bob.log.applied["c1"]] == ["0", "1", "2", "3", "4"]
    assert (bob.log.live, bob.log.replayed) == (0, 5)


async def test_a_new_epoch_forgets_positions_and_keeps_the_outbox(
    chat_server: InProcessServer, alice: Device
) -> None:
    """With a new epoch a client drops its positions, and keeps its outbox under the same ids."""
    connected = await chat_server.login(alice)
    connected.send(*alice.send("bob", "one"))
    await chat_server.settle()
    (ack,) = [each for each in connected.frames if isinstance(each, frames.AuthAck)]
    with chat_server.reader() as reader:
        assert ack.epoch == reader.epoch() == alice.epoch
    alice.epoch = "another one"
    alice.send("bob", "two")
    connected.lose()
    again = await chat_server.login(alice, resume=False)
    assert alice.positions == {}
    again.send(*alice.resume(), *alice.resend())
    await chat_server.settle()
    assert [ack.seq for ack in alice.log.acked.values()] == [1, 2]


# --- an error of unknown outcome


async def test_an_unknown_outcome_is_not_answered(
    chat_server: InProcessServer, store: FailingStore, alice: Device, bob: Device
) -> None:
    """An I/O error of unknown outcome gets neither ack nor nack."""
    connected, other = await chat_server.login(alice), await chat_server.login(bob)
    await chat_server.settle()
    store.broken = True
    send(connected, 1)
    send(connected, 2)
    while chat_server.failure is None:
        await chat_server.settle()
    assert answers(connected) == []
    assert "chat" not in other.kinds()


async def test_a_disk_that_fails_ends_the_daemon(
    start_daemon: StartDaemon, wires: Wires, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A failed write ends the sessions and the daemon, with exit code 1; acked messages are stored."""
    disk = Quota(tmp_path, tmp_path / "library")
    for name in os.environ.keys() - unmeasured().keys():
        monkeypatch.delenv(name)
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    daemon = start_daemon()
    daemon.expected_errors.update(["store.failed", "store.refused", "sessionlog.failed"])
    (alice,) = await wires.login(daemon, "alice")
    alice.send(chat("bob", "before", 1))
    await alice.receive_type("chat_ack")
    disk.break_disk()
    sent = 50
    alice.send(*(chat("bob", "x" * 10_000, 2 + n) for n in range(sent)))
    rest = await alice.rest()
    acked = [frame["id"] for frame in rest if frame["type"] == "chat_ack"]
    assert [frame for frame in rest if frame["type"] == "chat_nack"] == []
    assert len(acked) < sent
    assert rest[-1]["type"] == "bye"
    await alice.close()
    assert await asyncio.to_thread(daemon.wait) == 1
    disk.lift()
    again = start_daemon()
    (bob,) = await wires.login(again, "bob", resume=False)
    bob.send({"type": "history", "conversation": "c1", "after": 0, "limit": 200})
    history = await bob.receive_type("history")
    stored = [message["id"] for message in history["messages"]]
    assert len(stored) == len(set(stored))
    assert set(acked) < set(stored)
