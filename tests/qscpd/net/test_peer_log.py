"""Lines of the daemon's log that peers cause."""

import logging

import structlog
import structlog.testing

from qscpd.net.peer_log import PeerLog
from tests.support.clock import ManualClock

LOG = structlog.stdlib.get_logger("test")


def test_a_flood_is_ten_lines_and_a_summary() -> None:
    """Lines of an address beyond ten are counted; the summary has the address in the same place."""
    clock = ManualClock()
    log = PeerLog("always", 10, clock)
    with structlog.testing.capture_logs() as logged:
        for _ in range(1000):
            log.write(LOG, "link.refused", "192.0.2.1", level=logging.WARNING, reason="address")
        clock.now += 60
        log.tick()
        log.tick()
    assert len(logged) == 11
    line = {"event": "link.refused", "log_level": "warning", "remote": "192.0.2.1", "reason": "address"}
    assert logged[:10] == [line] * 10
    assert logged[10] == {
        "event": "link.refused",
        "log_level": "warning",
        "remote": "192.0.2.1",
        "count": 990,
    }


def test_after_the_login_the_account_counts() -> None:
    """Lines of a session are counted for its account, at whatever address, and have no address."""
    log = PeerLog("always", 1)
    with structlog.testing.capture_logs() as logged:
        for number in range(3):
            log.write(LOG, "session.violation", f"192.0.2.{number}", 12, code="not_json")
        log.close()
    assert [entry.get("count") for entry in logged] == [None, 2]
    assert [entry["account"] for entry in logged] == ["a12", "a12"]
    assert not any("remote" in entry for entry in logged)


def test_the_address_policy_holds_for_summaries() -> None:
    """Lines and summaries show addresses as `log.addresses` says."""
    for policy, shown in (("never", None), ("truncated", "192.0.2.0"), ("failures", "192.0.2.7")):
        log = PeerLog(policy, 1)
        with structlog.testing.capture_logs() as logged:
            for _ in range(2):
                log.write(LOG, "link.timeout", "192.0.2.7")
            log.close()
        assert [entry["remote"] for entry in logged] == [shown, shown]


def test_many_addresses_have_one_summary() -> None:
    """Beyond the bound, addresses are summed up without a name."""
    log = PeerLog("always", 1)
    with structlog.testing.capture_logs() as logged:
        for number in range(3000):
            log.write(LOG, "link.refused", f"10.0.{number // 250}.{number % 250}")
        log.close()
    assert len(logged) < 2100
    assert sum(entry.get("count", 1) for entry in logged) == 3000
    assert sum(bool(entry.get("others")) for entry in logged) == 1
