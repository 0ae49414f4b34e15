"""Sessions that send as fast as they can, against a real daemon: others are served in between."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import Daemon, running_daemon
from tests.support.waiting import until
from tests.support.wire import Frame, Wire, Wires, chat

ROUNDS = 50
"""Messages of the others during a flood."""

FLOODS: dict[str, Callable[[int], Frame]] = {
    "pong": lambda _: {"type": "pong"},
    "read": lambda number: {"type": "read", "conversation": "c1", "seq": number % 7},
    "received": lambda number: {"type": "received", "conversation": f"c{number % 1000 + 1}", "seq": 1},
    "skip": lambda number: {"type": "skip", "id": f"{number:032x}"},
    "chat": lambda number: chat("dave", "x" * 100, number),
    "whois": lambda _: {"type": "whois", "user": "dave"},
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, authority: AuthorityFiles) -> Iterator[Daemon]:
    """A daemon with the limits as shipped."""
    shipped = [
        "limits.message_burst=1000",
        "limits.byte_burst=8MiB",
        "limits.request_burst=200",
    ]
    names = ("alice", "bob", "carol", "dave")
    with running_daemon(tmp_path_factory.mktemp("floods"), authority, names, shipped) as running:
        yield running


@contextlib.asynccontextmanager
async def flooding(wire: Wire, make: Callable[[int], Frame]) -> AsyncIterator[Callable[[], int]]:
    """Send frames as fast as the server reads them; yield a function that returns how many were written."""
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            chunk = b"".join(json.dumps(make(number)).encode() + b"\n" for number in range(sent, sent + 500))
            wire.send_plaintext(chunk)
            sent += 500
            await wire.writer.drain()

    async def swallow() -> None:
        while True:
            await wire.receive()

    tasks = [asyncio.create_task(flood()), asyncio.create_task(swallow())]
    try:
        yield lambda: sent
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        wire.writer.transport.abort()


@pytest.mark.parametrize("kind", FLOODS)
async def test_others_are_served_during_a_flood(daemon: Daemon, wires: Wires, kind: str) -> None:
    """While a session sends without end, each message of others is delivered and acknowledged."""
    flood, alice, bob = await wires.login(daemon, "carol", "alice", "bob")
    async with flooding(flood, FLOODS[kind]) as sent:
        await until(lambda: sent() >= 20_000 or flood.writer.transport.get_write_buffer_size() > 0)
        for number in range(ROUNDS):
            alice.send(chat("bob", str(number)))
            await alice.receive_type("chat_ack")
            assert (await bob.receive_type("chat"))["body"] == str(number)


async def test_a_flood_is_announced_and_loses_nothing(daemon: Daemon, wires: Wires) -> None:
    """Messages beyond the burst are announced with `throttled`, and all are stored in order."""
    dave, alice = await wires.login(daemon, "dave", "alice")
    count = 1300
    numbers = range(1 << 80, (1 << 80) + count)
    dave.send(*(chat("alice", str(number), number) for number in numbers))
    dave.send({"type": "ping"})
    seen: list[Frame] = []
    while not seen or seen[-1]["type"] != "pong":
        seen.append(await dave.receive())
    acks = [frame["id"] for frame in seen if frame["type"] == "chat_ack"]
    notices = [frame for frame in seen if frame["type"] == "throttled"]
    # The pong is behind the messages, so the last of them wait for the store at most.
    while len(acks) < count:
        acks.append((await dave.receive_type("chat_ack"))["id"])
    assert acks == [f"{number:032x}" for number in numbers]
    assert {frame["reason"] for frame in notices} == {"messages"}
    assert all(frame["seconds"] >= 0 for frame in notices)
    bodies = [frame["body"] for frame in await alice.receive_count("chat", count)]
    assert bodies == [str(number) for number in numbers]


async def test_a_session_that_leaves_while_throttled(daemon: Daemon, wires: Wires) -> None:
    """`bye` behind a flood is answered after everything before it."""
    bob, carol = await wires.login(daemon, "bob", "carol")
    numbers = range(1 << 90, (1 << 90) + 1200)
    bob.send(*(chat("carol", "x", number) for number in numbers))
    rest = await bob.bye()
    assert [frame["id"] for frame in rest if frame["type"] == "chat_ack"] == [f"{n:032x}" for n in numbers]
    assert rest[-1]["type"] == "bye"
    assert len(await carol.receive_count("chat", len(numbers))) == len(numbers)
