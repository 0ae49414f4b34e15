"""What the log and the status say of a certificate, as time passes."""

from datetime import UTC, datetime, timedelta

import pytest
import structlog.testing

from qscpd.certificates.validity import Period
from qscpd.certificates.watch import CertificateWatch
from tests.support.certificates import certificate_with

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    """A wall clock that the test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


def lines(watch: CertificateWatch, clock: Clock, begin: datetime, days: int) -> list[tuple[int, str, str]]:
    """Tick twice a day; return the days, levels and events of the log."""
    found: list[tuple[int, str, str]] = []
    for half in range(2 * days):
        clock.now = begin + half * DAY / 2
        with structlog.testing.capture_logs() as logged:
            watch.tick()
        found += [(half // 2, line["log_level"], line["event"]) for line in logged]
    return found


def make_watch(now: datetime, **kinds: tuple[str, ...]) -> tuple[CertificateWatch, Clock]:
    """Return a watch and its clock."""
    clock = Clock(now)
    return CertificateWatch(
        certificate_with(Period("server.pem", BEGIN, END, "renew it"), **kinds), clock
    ), clock


def test_the_end_is_announced_louder_and_louder() -> None:
    """It is a warning each week from 30 days before, and an error each day from 7 days before."""
    watch, clock = make_watch(END - 40 * DAY)
    assert lines(watch, clock, END - 40 * DAY, 44) == [
        *((day, "warning", "certificate.ends_soon") for day in (10, 17, 24, 31)),
        *((day, "error", "certificate.ends_soon") for day in range(33, 40)),
        *((day, "error", "certificate.expired") for day in range(40, 44)),
    ]


def test_a_clock_that_is_set_ends_the_complaint() -> None:
    """A clock that was wrong at boot is noticed when it is set, without a restart."""
    watch, clock = make_watch(datetime(1970, 1, 1, tzinfo=UTC))
    with structlog.testing.capture_logs() as logged:
        watch.start()
        watch.tick()
        clock.now = BEGIN + DAY
        watch.tick()
        watch.tick()
    assert [(line["log_level"], line["event"]) for line in logged] == [
        ("error", "certificate.not_yet_valid"),
        ("info", "certificate.valid"),
    ]
    assert (
        "is not valid before 2026-01-01 00:00 UTC, and this machine's clock says 1970" in logged[0]["reason"]
    )


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (END - 31 * DAY, None),
        (END - 29 * DAY, "server.pem expires soon, on 2027-01-01 (29 days left); renew it"),
        (END - DAY / 2, "server.pem expires soon, on 2027-01-01 (12 hours left); renew it"),
        (END + DAY, "server.pem expired on 2027-01-01; renew it"),
    ],
)
def test_the_status_has_the_worst(now: datetime, sentence: str | None) -> None:
    """The status has one sentence, from 30 days before the end."""
    watch, _ = make_watch(now)
    assert watch.problem() == sentence
    assert watch.ends == END


def test_faults_and_warnings_are_logged_at_the_start() -> None:
    """What is wrong besides the time is in the log once, and in the status always."""
    watch, _ = make_watch(BEGIN + DAY, faults=("another CA",), warnings=("some doubt",))
    with structlog.testing.capture_logs() as logged:
        watch.start()
        watch.tick()
    assert [(line["log_level"], line["event"], line["reason"]) for line in logged] == [
        ("error", "certificate.refused", "another CA"),
        ("warning", "certificate.warning", "some doubt"),
    ]
    assert watch.problem() == "another CA"
