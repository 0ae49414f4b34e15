"""The same device twice: the second login ends the first session, and nothing is lost or doubled."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscp import codec, frames
from tests.support.device import Device
from tests.support.ids import IdMaker, device_id
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts
from tests.support.oracle import judge
from tests.support.stores import FailingStore
from tests.support.waiting import patiently


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A daemon without a network, for alice and bob."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob")
    async with InProcessServer(FailingStore(tmp_path / "qscpd.db")) as opened:
        yield opened


@pytest.fixture
def alice() -> Device:
    """A device of alice."""
    return Device("alice", device_id(1), IdMaker(1))


def ghost(peer: InProcessPeer) -> InProcessPeer:
    """The device does not hear of that connection any more."""
    peer.device = None
    return peer


async def test_a_second_login_replaces_the_first(server: InProcessServer, alice: Device) -> None:
    """The old session gets `bye replaced` and should not come back; the new one is alone."""
    old = ghost(await server.login(alice))
    new = await server.login(alice)
    await server.settle()
    bye = old.frames[-1]
    assert isinstance(bye, frames.ServerBye)
    assert (bye.reason, bye.reconnect, old.link.ended) == ("replaced", False, "replaced")
    assert server.router.sessions_of(1) == [new.session]


@pytest.mark.parametrize("device", ["", device_id(2)])
async def test_others_are_not_replaced(server: InProcessServer, device: str) -> None:
    """Neither another device of the account, nor one without an id, nor somebody else's with the same one."""
    first = await server.login(Device("alice", device))
    await server.login(Device("alice", "" if not device else device_id(3)))
    await server.login(Device("bob", device))
    assert first.link.ended == ""


async def test_what_the_old_one_sent_is_committed_before_auth_ack(
    server: InProcessServer, alice: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that was handled is stored and acknowledged first; the rest is discarded, and sent again."""
    old = await server.login(alice)
    await server.settle()
    for n in range(1500):  # more than a session may have in the store at once
        alice.send("bob", f"{n}")
    alice.flying = set(alice.outbox)
    burst = b"".join(map(codec.encode, alice.resend()))

    async def verify_slowly(_password: str, _hash: str | None) -> bool:
        ghost(old).session.receive(burst)  # in the very moment before the old one is ended
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

    new.link.write = watch  # type: ignore[method-assign]  # to look at the moment
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


async def test_a_question_of_the_old_one_lets_nothing_more_through(
    server: InProcessServer, alice: Device
) -> None:
    """Frames behind a question that is under way count as not handled."""
    old = ghost(await server.login(alice))
    await server.settle()
    old.send(
        frames.SendChat("bob", "before", "1" * 32),
        frames.ConversationsRequest(),
        frames.SendChat("bob", "behind", "2" * 32),
    )
    new = await server.login(alice)
    await server.settle()
    stored = [told.body for told in (await server.book("alice"))["c1"].messages]
    assert stored in (["before"], ["before", "behind"])
    acked = [frame.id[0] for frame in old.frames if isinstance(frame, frames.ChatAck)]
    assert len(acked) == len(stored)
    assert new.device is alice
    assert alice.live


async def test_two_logins_of_a_device_at_once(server: InProcessServer, alice: Device) -> None:
    """Whoever is second wins; one session is left, and the others were told."""
    old = ghost(await server.login(alice))
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


async def test_the_new_session_is_told_what_the_old_one_sent(server: InProcessServer, alice: Device) -> None:
    """Acks that the device did not hear: its own lines come by `resume`, and the acks again by id."""
    old = ghost(await server.login(alice))
    old.send(*alice.send("bob", "one"), *alice.send("bob", "two"))
    new = await server.login(alice)
    await server.settle()
    assert [ack.seq for ack in alice.log.acked.values()] == [1, 2]
    replayed = [frame.seq for frame in new.frames if isinstance(frame, frames.Chat)]
    assert replayed == [1, 2]
    assert [each.body for each in alice.log.applied["c1"]] == ["one", "two"]


async def test_a_store_that_fails_while_a_session_is_replaced(server: InProcessServer, alice: Device) -> None:
    """The login is told of an internal error; the error does not get any further."""
    old = ghost(await server.login(alice))
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
    """Anything else is a violation."""
    peer = server.connect()
    peer.send(frames.Auth(user="alice", password="x", device=device))
    await server.settle()
    (error,) = peer.frames
    assert isinstance(error, frames.Error)
    assert (error.code, error.ref) == ("bad_field", None)
