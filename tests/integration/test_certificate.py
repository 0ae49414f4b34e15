"""Certificates that a daemon serves although clients refuse them now, and what it says of them."""

import asyncio
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from qscpd.errors import ExitCode
from qscpd.setup.pki import AuthorityFiles
from tests.integration.test_start import one_sentence, refused
from tests.support.certificates import Issued, Shape, key_pem, make_ca, make_leaf, pem, write_pair
from tests.support.daemon import Daemon, StartDaemon, running_daemon
from tests.support.wall_clock import WallClock
from tests.support.wire import Wires, chat

DAY = 86_400
ROOT = make_ca("Root A")
INTERMEDIATE = make_ca("Inter A", ROOT)


class Served(NamedTuple):
    """A certificate that is served, and what is said of it."""

    leaf: Issued
    ca: Issued
    event: str
    level: str
    checked: ExitCode
    sentence: str


def dated(begin: float, end: float) -> Issued:
    """Make a certificate that is valid from one day to another, counted from today."""
    return make_leaf(ROOT, shape=Shape(days=(begin, end)))


@pytest.mark.parametrize(
    "served",
    [
        Served(dated(-9, -1), ROOT, "certificate.expired", "error", ExitCode.CONFIG, "expired on"),
        Served(
            dated(2, 90), ROOT, "certificate.not_yet_valid", "error", ExitCode.CONFIG, "is not valid before"
        ),
        Served(dated(-9, 20.5), ROOT, "certificate.ends_soon", "warning", ExitCode.OK, "(20 days left)"),
        Served(dated(-9, 5.5), ROOT, "certificate.ends_soon", "error", ExitCode.OK, "(5 days left)"),
        Served(
            make_leaf(INTERMEDIATE),
            ROOT,
            "certificate.refused",
            "error",
            ExitCode.CONFIG,
            'issued by "Inter A"',
        ),
        Served(
            make_leaf(ROOT),
            make_ca("Root A"),
            "certificate.refused",
            "error",
            ExitCode.CONFIG,
            "another CA of the same name",
        ),
    ],
)
def test_a_doubtful_certificate_is_served_and_named(tmp_path: Path, served: Served) -> None:
    """Log, `status` and `checkconfig` say the same sentence; `status` stays a success."""
    authority = AuthorityFiles(tmp_path)
    write_pair(tmp_path, pem(served.leaf), key_pem(served.leaf.key), pem(served.ca))
    with running_daemon(tmp_path, authority) as daemon:
        daemon.expected_errors.add(served.event)
        line = daemon.wait_for_log(served.event)
        assert line["level"] == served.level
        assert served.sentence in line["reason"]
        status = daemon.run("status")
        assert status.returncode == 0
        ends = f"{served.leaf.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        assert f"certificate_ends: {ends}\n" in status.stdout
        assert f"qscpd: warning: {authority.certificate}: " in status.stderr
        assert served.sentence in status.stderr
        reported = json.loads(daemon.run("status", "--json").stdout)
        assert served.sentence in reported["certificate_problem"]
        checked = daemon.run("checkconfig")
        assert checked.returncode == served.checked
        assert served.sentence in checked.stderr
        assert ("no problems" in checked.stdout) == (served.checked is ExitCode.OK)


def test_a_certificate_that_nobody_accepts_is_refused(tmp_path: Path) -> None:
    """What no client accepts stops the start with one sentence; it is the one of `checkconfig`."""
    authority = AuthorityFiles(tmp_path)
    nameless = make_leaf(ROOT, [])
    write_pair(tmp_path, pem(nameless), key_pem(nameless.key), pem(ROOT))
    code, text = refused(tmp_path, authority)
    assert code == ExitCode.CONFIG
    assert (
        f'{authority.certificate}: certificate "localhost" has no name that clients verify'
        in one_sentence(text)
    )


def test_a_good_certificate_is_no_topic(tmp_path: Path, authority: AuthorityFiles) -> None:
    """Neither the log nor `status` has a sentence about a certificate that is valid for long."""
    with running_daemon(tmp_path, authority) as daemon:
        status = daemon.run("status")
        assert "certificate_ends: " in status.stdout
        assert "certificate" not in status.stderr
        assert json.loads(daemon.run("status", "--json").stdout)["certificate_problem"] is None
        assert not [line for line in daemon.log if line["event"].startswith("certificate.")]


async def warning_of(daemon: Daemon) -> str:
    """Return what `status` says on standard error."""
    done = await asyncio.to_thread(daemon.run, "status")
    assert done.returncode == 0
    return done.stderr


async def test_a_clock_that_is_wrong_at_boot(
    start_daemon: StartDaemon, wires: Wires, wall_clock: WallClock
) -> None:
    """The daemon serves before the certificate's begin, and notices that the clock was set."""
    wall_clock.jump(-2000 * DAY)
    daemon = start_daemon()
    daemon.expected_errors.add("certificate.not_yet_valid")
    daemon.wait_for_log("certificate.not_yet_valid")
    assert "is not valid before" in await warning_of(daemon)
    alice, bob = await wires.login(daemon, "alice", "bob")
    alice.send(chat("bob", "still here"))
    assert (await bob.receive_type("chat"))["body"] == "still here"
    wall_clock.jump(2000 * DAY)
    await asyncio.to_thread(daemon.wait_for_log, "certificate.valid")
    assert "is not valid before" not in await warning_of(daemon)


async def test_the_end_of_a_certificate(
    start_daemon: StartDaemon, wires: Wires, wall_clock: WallClock
) -> None:
    """The running daemon announces the end, and serves after it; so does one that is started then."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    daemon.expected_errors |= {"certificate.ends_soon", "certificate.expired"}
    for days, event, level, sentence in (
        (804, "certificate.ends_soon", "warning", "expires soon"),
        (16, "certificate.ends_soon", "error", "expires soon"),
        (10, "certificate.expired", "error", "expired on"),
    ):
        count = 1 + sum(line["event"] == event for line in daemon.log)
        wall_clock.jump(days * DAY)
        line = await asyncio.to_thread(daemon.wait_for_log, event, count)
        assert (line["level"], sentence in line["reason"]) == (level, True)
        assert sentence in await warning_of(daemon)
        alice.send(chat("bob", sentence))
        assert (await bob.receive_type("chat"))["body"] == sentence
    await wires.close()  # which the shutdown would wait for
    assert await asyncio.to_thread(daemon.stop) == 0
    again = start_daemon()
    again.expected_errors.add("certificate.expired")
    again.wait_for_log("certificate.expired")
    await wires.login(again, "alice")
