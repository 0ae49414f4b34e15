"""Quotas of accounts: shared by their sessions, kept while they matter, and by the present configuration."""

import asyncio
from dataclasses import replace

from qscp import codec, frames
from qscpd.chat.quotas import ROW_BYTES, Quotas
from qscpd.config import LimitsConfig
from qscpd.domain.model import RefusedMessage
from qscpd.store.items import PendingChat
from tests.support.clock import in_virtual_time
from tests.support.doubles import RouterDouble

_MIB = 1 << 20


def test_an_account_that_is_gone_is_forgotten_when_all_is_regained() -> None:
    """What is used is kept without a session; memory has no account that has used nothing."""

    async def test() -> None:
        here = {1}
        quotas = Quotas(lambda: LimitsConfig(joins_per_hour=60), here.__contains__)
        assert quotas.of(1).joins.take() == 0
        assert quotas.of(2).joins.take() == 0
        await asyncio.sleep(30)
        assert (len(quotas), round(quotas.of(2).joins.used, 2)) == (2, 0.5)
        await asyncio.sleep(60)
        assert len(quotas) == 1
        use = quotas.of(1)
        here.clear()
        await asyncio.sleep(20)
        assert len(quotas) == 0
        assert quotas.of(1) is not use
        quotas.close()

    in_virtual_time(test())


def test_another_configuration_counts_within_a_round() -> None:
    """The limit that a session looks at follows the configuration, also for sessions that are open."""

    async def test() -> None:
        limits = LimitsConfig(stored_per_day_bytes=_MIB)
        quotas = Quotas(lambda: limits, lambda _: True)
        stored = quotas.of(1).stored
        assert stored.limit == _MIB
        limits = replace(limits, stored_per_day_bytes=2 * _MIB)
        await asyncio.sleep(11)
        assert stored.limit == 2 * _MIB
        quotas.close()

    in_virtual_time(test())


def _send(router: RouterDouble, number: int, body: str) -> bool:
    """Let alice send a message, answered by the store; return whether it was refused for the quota."""
    (session, *_) = router.sessions_of(1)
    session.receive(codec.encode(frames.SendChat("bob", body, f"{number:032x}")))
    router.flush()
    (item,) = router.writer.waiting
    assert isinstance(item, PendingChat)
    message = item.message
    if isinstance(message, RefusedMessage):
        assert message.code == "quota_exceeded"
        router.writer.refuse(router, message.code)
        return True
    router.writer.answer(router)
    return False


def test_what_is_stored_is_charged_and_regained() -> None:
    """Texts count in bytes, and each message a fixed cost; after a while the account can store again."""

    async def test() -> None:
        router = RouterDouble("alice", "bob")
        router.config = replace(router.config, limits=LimitsConfig(stored_per_day_bytes=_MIB))
        session, _ = router.login("alice")
        assert session.identity is not None
        stored = router.quotas.of(1).stored
        session.identity = replace(session.identity, stored=stored)
        assert not _send(router, 1, "é" * 5000)
        assert stored.used == 10_000 + ROW_BYTES
        number = 1
        while not _send(router, number := number + 1, "é" * 5000):
            pass
        assert number == _MIB // (10_000 + ROW_BYTES) + 2
        before = stored.used
        assert _send(router, 1000, "short")
        assert stored.used - before == ROW_BYTES
        wait_s = router.quotas.of(1).stored.wait_s
        await asyncio.sleep(wait_s - 1)
        assert _send(router, 1001, "short")
        await asyncio.sleep(router.quotas.of(1).stored.wait_s + 0.01)
        assert not _send(router, 1002, "short")
        router.close()

    in_virtual_time(test())
