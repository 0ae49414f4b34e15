"""The served certificate over time: lines of the log, and what `qscpd status` says of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from qscpd.certificates.check import ServerCertificate
from qscpd.certificates.validity import Stage

_DAY: Final = timedelta(days=1)

_REPEAT: Final = {
    Stage.ENDING: 7 * _DAY,
    Stage.URGENT: _DAY,
    Stage.NOT_YET_VALID: _DAY,
    Stage.EXPIRED: _DAY,
}
"""Time after which the log has a stage again."""

_EVENTS: Final = {
    Stage.ENDING: "certificate.ends_soon",
    Stage.URGENT: "certificate.ends_soon",
    Stage.NOT_YET_VALID: "certificate.not_yet_valid",
    Stage.EXPIRED: "certificate.expired",
}


class CertificateWatch:
    """Watches a certificate while the daemon serves it.

    Nothing ends with the certificate: the daemon serves it before its begin and after its end, because
    this machine's clock might be wrong and the client's right. A clock that is set is noticed at the next
    tick.

    Args:
        certificate: The certificate that is served.
        wall: The wall clock.
    """

    def __init__(
        self, certificate: ServerCertificate, wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._certificate = certificate
        self._wall = wall
        self._log = structlog.stdlib.get_logger("qscpd.certificate")
        self._stage = Stage.VALID
        self._logged_at: datetime | None = None

    @property
    def ends(self) -> datetime:
        """When clients begin to refuse the certificate."""
        return self._certificate.not_after

    def problem(self) -> str | None:
        """Return the worst that an operator should know now, with what to do; None if all is well."""
        now = self._wall()
        found = [*self._certificate.problems(now), *self._certificate.validity.warnings(now)]
        return found[0] if found else None

    def start(self) -> None:
        """Log what is wrong with the certificate besides the time, and then as `tick` does."""
        for fault in self._certificate.faults:
            self._log.error("certificate.refused", reason=fault)
        for warning in self._certificate.warnings:
            self._log.warning("certificate.warning", reason=warning)
        self.tick()

    def tick(self) -> None:
        """Log a stage when it begins, and again after some time; call it about once a second."""
        now = self._wall()
        stage = self._certificate.validity.stage(now)
        if stage is self._stage and not self._is_due(stage, now):
            return
        before, self._stage, self._logged_at = self._stage, stage, now
        if stage is Stage.VALID:
            if before.refused:
                self._log.info("certificate.valid", ends=f"{self.ends:%Y-%m-%d}")
            return
        validity = self._certificate.validity
        sentences = validity.refusals(now) if stage.refused else validity.warnings(now)
        level = self._log.warning if stage is Stage.ENDING else self._log.error
        level(_EVENTS[stage], reason="; ".join(sentences), ends=f"{self.ends:%Y-%m-%d}")

    def _is_due(self, stage: Stage, now: datetime) -> bool:
        return (
            stage in _REPEAT and self._logged_at is not None and abs(now - self._logged_at) >= _REPEAT[stage]
        )
