"""Keep-alive of a session."""

from qscpd.sessions.keepalive import KeepAlive


def test_a_silent_peer_is_pinged_twice() -> None:
    """A silent peer gets two pings and then times out, at equal intervals."""
    keepalive = KeepAlive(0.0)
    due = [keepalive.check(float(now), 0.0, 30.0) for now in range(91)]
    assert [(now, each) for now, each in enumerate(due) if each] == [
        (30, "ping"),
        (60, "ping"),
        (90, "timeout"),
    ]


def test_any_byte_restarts_the_interval() -> None:
    """A byte of the peer restarts the interval before the next ping."""
    keepalive = KeepAlive(0.0)
    assert keepalive.check(30.0, 0.0, 30.0) == "ping"
    assert keepalive.check(60.0, 31.0, 30.0) == ""
    assert keepalive.check(61.0, 31.0, 30.0) == "ping"
    assert keepalive.check(90.0, 31.0, 30.0) == ""
    assert keepalive.check(91.0, 31.0, 30.0) == "ping"
    assert keepalive.check(121.0, 31.0, 30.0) == "timeout"
