"""Two logins of one device: the second ends the first session, and nothing is lost or doubled."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscp import codec, frames
from qscpd.accounts.password_pool import Place
from tests.support.device import Device
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.oracle import judge
from tests.support.stores import FailingStore
from tests.support.waiting import patiently


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """Daemon without a network, for alice and bob."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob")
    async with InProcessServer(FailingStore(tmp_path / "qscpd.db")) as opened:
        yield opened


@pytest.fixture
def alice() -> Device:
    """Device of alice."""
    return Device("alice", device_id(1), IdMaker(1))


def detached(peer: InProcessPeer) -> InProcessPeer:
    """Detach a connection from its device, which receives nothing more from it."""
    peer.device = None
    return peer


async def test_a_second_login_replaces_the_first(server: InProcessServer, alice: Device) -> None:
    """The old session gets `bye replaced` without `reconnect`; only the new one is left."""
    old = detached(await server.login(alice))
    new = await server.login(alice)
    await server.settle()
    bye = old.frames[-1]
    assert isinstance(bye, frames.ServerBye)
    assert (bye.reason, bye.reconnect, old.link.ended) == ("replaced", False, "replaced")
    assert server.router.sessions_of(1) == [new.session]


@pytest.mark.parametrize("device", ["", device_id(2)])
async def test_others_are_not_replaced(server: InProcessServer, device: str) -> None:
    """A login replaces no other device, no device without an id, and no device of another user."""
    first = await server.login(Device("alice", device))
    await server.login(Device("alice", "" if not device else device_id(3)))
    await server.login(Device("bob", device))
    assert first.link.ended == ""


async def test_handled_messages_are_committed_before_auth_ack(
    server: InProcessServer, alice: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handled messages are committed and acked before `auth_ack`; the rest is discarded, and sent again."""
    old = await server.login(alice)
    await server.settle()
    for n in range(1500):  # more than a session can have in flight
        alice.send("bob", f"{n}")
    alice.flying = set(alice.outbox)
    burst = b"".join(map(codec.encode, alice.resend()))

    async def verify_slowly(_password: str, _hash: str | None, _place: Place) -> bool:
        detached(old).session.receive(burst)  # right before the old session ends
        while len(server.router.turns):
            server.router.turns.run()
        return True

    monkeypatch.setattr(server.passwords, "verify", verify_slowly)
    new = server.connect()
    stored_at_ack: list[int] = []
    write = new.link.write

    def watch(plaintext: bytes) -> None:
        if b"auth_ack" in plaintext:
            assert isinstance(server.store, FailingStore)
            stored_at_ack.append(sum(server.store.appended))
        write(plaintext)

    new.link.write = watch  # type: ignore[method-assign]  # to look at this moment
    new.send(alice.auth("x"))
    await server.settle()
    acked = [frame for frame in old.frames if isinstance(frame, frames.ChatAck)]
    assert isinstance(server.store, FailingStore)
    assert stored_at_ack == [sum(server.store.appended)] == [len(acked)] == [1000]
    assert old.frames[-1].type == "bye"
    new.device = alice
    new.take()
    alice.handle(next(frame for frame in new.frames if isinstance(frame, frames.AuthAck)))
    new.send(*alice.resume(), *alice.resend())
    await server.settle()
    assert len(alice.log.acked) == 1500
    judge([alice.log], {"alice": await server.book("alice")})


async def test_messages_behind_a_pending_request_of_the_old_session(
    server: InProcessServer, alice: Device
) -> None:
    """Messages behind a pending request of the old session are either stored and acked, or neither."""
    old = detached(await server.login(alice))
    await server.settle()
    old.send(
        frames.SendChat("bob", "before", "1" * 32),
        frames.ConversationsRequest(),
        frames.SendChat("bob", "behind", "2" * 32),
    )
    new = await server.login(alice)
    await server.settle()
    stored = [each.body for each in (await server.book("alice"))["c1"].messages]
    assert stored in (["before"], ["before", "behind"])
    acked = [frame.id[0] for frame in old.frames if isinstance(frame, frames.ChatAck)]
    assert len(acked) == len(stored)
    assert new.device is alice
    assert alice.live


async def test_two_logins_of_a_device_at_once(server: InProcessServer, alice: Device) -> None:
    """Of logins at the same time one session is left, and the others get `bye`."""
    old = detached(await server.login(alice))
    old.send(frames.SendChat("bob", "hello", "1" * 32))
    racing = [server.connect() for _ in range(3)]
    for peer in racing:
        peer.send(alice.auth("x"))
    await server.settle()
    kinds = [[kind for kind in peer.kinds() if kind not in ("resumed", "chat")] for peer in (old, *racing)]
    assert kinds[0] == ["auth_ack", "chat_ack", "bye"]
    assert sorted(kinds[1:]) == [["auth_ack"], ["auth_ack", "bye"], ["auth_ack", "bye"]]
    (left,) = server.router.sessions_of(1)
    assert left.link.ended == ""  # type: ignore[attr-defined]  # they are fake


async def test_the_new_session_receives_what_the_old_one_sent(server: InProcessServer, alice: Device) -> None:
    """Messages whose acks were lost are replayed, and acked again by id."""
    old = detached(await server.login(alice))
    old.send(*alice.send("bob", "one"), *alice.send("bob", "two"))
    new = await server.login(alice)
    await server.settle()
    assert [ack.seq for ack in alice.log.acked.values()] == [1, 2]
    replayed = [frame.seq for frame in new.frames if isinstance(frame, frames.Chat)]
    assert replayed == [1, 2]
    assert [each.body for each in alice.log.applied["c1"]] == ["one", "two"]


async def test_a_store_that_fails_while_a_session_is_replaced(server: InProcessServer, alice: Device) -> None:
    """If the store fails while a session is replaced, the login gets an `auth_nack`."""
    old = detached(await server.login(alice))
    await server.settle()
    assert isinstance(server.store, FailingStore)
    server.store.broken = True
    old.send(*alice.send("bob", "lost in the middle"))
    new = server.connect()
    new.send(alice.auth("x"))
    async with patiently():
        while not new.kinds():
            await server.settle()
    assert server.failure is not None
    assert [kind for kind in old.kinds() if kind.startswith("chat")] == []
    assert new.kinds() == ["auth_nack"]


@pytest.mark.parametrize("device", ["x", "A" * 32, "0" * 31])
async def test_a_device_id_has_one_form(server: InProcessServer, device: str) -> None:
    """A device id of another form is a violation."""
    peer = server.connect()
    peer.send(frames.Auth(user="alice", password="x", device=device))
    await server.settle()
    (error,) = peer.frames
    assert isinstance(error, frames.Error)
    assert (error.code, error.ref) == ("bad_field", None)
