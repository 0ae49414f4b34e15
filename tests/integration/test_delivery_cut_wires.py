"""Connections cut at any byte, in both directions: in a record, in a frame, in the handshake."""

import asyncio
import ssl
from random import Random, SystemRandom

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.cutter import Cut, WireCutter
from tests.support.daemon import StartDaemon
from tests.support.device import Device
from tests.support.ids import IdMaker, device_id
from tests.support.network_device import NetworkDevice, read_book
from tests.support.oracle import judge
from tests.support.waiting import patiently
from tests.support.wire import client_context

MESSAGES = 150
"""Messages that each device sends in a round."""

WINDOW = 8


async def write_all(device: Device, to: str, port: int, context: ssl.SSLContext, goal: int) -> int:
    """Send until so many messages have their ack, over any number of logins; return that number."""
    tries = 0
    while len(device.log.acked) < goal:
        tries += 1
        try:
            on_network = await NetworkDevice.login(device, port, context)
        except (OSError, EOFError):
            continue
        try:
            while len(device.log.acked) < goal:
                while len(device.flying) < WINDOW and len(device.log.sent) < goal:
                    number = len(device.log.sent)
                    on_network.send(
                        *device.send(to, f"{device.log.user} {number} " + "x" * (number % 7 * 300))
                    )
                await on_network.receive()
                on_network.send(*device.receipts())
        except (OSError, EOFError):
            pass
        finally:
            on_network.drop()
    return tries


async def catch_up(device: Device, port: int, context: ssl.SSLContext) -> None:
    """Log in without the proxy, and receive what is missing."""
    on_network = await NetworkDevice.login(device, port, context)
    await on_network.until(lambda: device.live)
    await on_network.bye()


@pytest.mark.parametrize("most", [3000, 30_000], ids=["in the handshake or soon after it", "later"])
async def test_a_cut_wire_loses_and_doubles_nothing(
    start_daemon: StartDaemon, authority: AuthorityFiles, most: int
) -> None:
    """Over connections that are cut at random, each message is applied once and in order."""
    daemon = start_daemon()
    context = client_context(authority.ca_certificate)
    seed = SystemRandom().getrandbits(32)
    random = Random(seed)  # noqa: S311 - to be repeated

    def choose() -> Cut | None:
        if random.random() < 0.1:
            return None
        bytes_each_way = random.randrange(most), random.randrange(most)
        return Cut(*bytes_each_way, reset=random.random() < 0.5, chunk=random.choice([100, 65536]))

    devices = [
        Device(user, device_id(n), IdMaker(n)) for n, user in enumerate(("alice", "bob", "alice", "bob"))
    ]
    goal = 0
    async with WireCutter(daemon.port, choose) as cutter, patiently():
        # The cuts are random, so the devices write until there were enough of them.
        while cutter.cuts <= 10 or (most <= 3000 and cutter.handshakes_cut <= 3):
            goal += MESSAGES
            await asyncio.gather(
                *(
                    write_all(
                        device, "bob" if device.log.user == "alice" else "alice", cutter.port, context, goal
                    )
                    for device in devices
                )
            )
    for device in devices:
        await catch_up(device, daemon.port, context)
    books = {user: await read_book(user, daemon.port, context) for user in ("alice", "bob")}
    try:
        judge([device.log for device in devices], books)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    assert books["alice"]["c1"].last_seq == goal * len(devices)
