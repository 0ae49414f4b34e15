"""When a certificate is valid, and what an operator should know about its end."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

RENEWAL_TIME: Final = timedelta(days=30)
"""Time before the end from which there is a warning."""

URGENT_TIME: Final = timedelta(days=7)
"""Time before the end from which the warning is an error."""

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


class Stage(enum.IntEnum):
    """Where the present is in the life of a certificate, from the best to the worst."""

    VALID = 0
    ENDING = 1
    """Less than `RENEWAL_TIME` is left."""
    URGENT = 2
    """Less than `URGENT_TIME` is left."""
    NOT_YET_VALID = 3
    EXPIRED = 4

    @property
    def refused(self) -> bool:
        """Whether clients whose clock shows the same time refuse the certificate."""
        return self >= Stage.NOT_YET_VALID


@dataclass(frozen=True, slots=True)
class Period:
    """Time in which one certificate is valid.

    Attributes:
        where: File and subject, to begin a sentence.
        begin: Its first moment.
        end: Its last.
        cure: What to do when it ends.
    """

    where: str
    begin: datetime
    end: datetime
    cure: str

    def stage(self, now: datetime) -> Stage:
        """Return the stage of this certificate."""
        if now > self.end:
            return Stage.EXPIRED
        if now < self.begin:
            return Stage.NOT_YET_VALID
        if self.end - now < URGENT_TIME:
            return Stage.URGENT
        return Stage.ENDING if self.end - now < RENEWAL_TIME else Stage.VALID

    def sentence(self, now: datetime) -> str:
        """Return what its stage is, and what to do; empty if it is valid for long."""
        match self.stage(now):
            case Stage.EXPIRED:
                return f"{self.where} expired on {self.end:%Y-%m-%d}; {self.cure}"
            case Stage.NOT_YET_VALID:
                return (
                    f"{self.where} is not valid before {_minute(self.begin)}, and this machine's clock says "
                    f"{_minute(now)}; check this machine's clock, and set it if it is wrong"
                )
            case Stage.ENDING | Stage.URGENT:
                left = _left(self.end - now)
                return f"{self.where} expires soon, on {self.end:%Y-%m-%d} ({left}); {self.cure}"
            case _:
                return ""


@dataclass(frozen=True, slots=True)
class Validity:
    """Periods of the server's certificate and of all that it depends on."""

    periods: tuple[Period, ...]

    @property
    def end(self) -> datetime:
        """When the first of them ends; clients refuse the server from then on."""
        return min(period.end for period in self.periods)

    def stage(self, now: datetime) -> Stage:
        """Return the worst stage."""
        return max(period.stage(now) for period in self.periods)

    def refusals(self, now: datetime) -> list[str]:
        """Return why clients with the same time refuse it, a sentence each, the worst first."""
        return [each.sentence(now) for each in self._sorted(now) if each.stage(now).refused]

    def warnings(self, now: datetime) -> list[str]:
        """Return a sentence for each certificate that ends soon, the first to end first."""
        return [
            text for each in self._sorted(now) if not each.stage(now).refused and (text := each.sentence(now))
        ]

    def _sorted(self, now: datetime) -> list[Period]:
        return sorted(self.periods, key=lambda period: (-period.stage(now), period.end))


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _left(left: timedelta) -> str:
    if left >= 2 * _DAY:
        return f"{left // _DAY} days left"
    return f"{left // _HOUR} hours left" if left >= 2 * _HOUR else "less than 2 hours left"
