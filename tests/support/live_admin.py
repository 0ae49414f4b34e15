"""Admin requests to an in-process daemon."""

from qscpd.admin.live import LiveAdmin
from qscpd.admin.status import StatusReport
from qscpd.chat.router import Router
from qscpd.net.bound_addresses import BoundAddresses
from qscpd.sessions.session import Session
from qscpd.store.damage import DamageLog
from qscpd.store.writer import StoreWriter
from tests.support.certificates import quiet_watch

__all__ = ["live_admin"]


def live_admin(router: Router, writer: StoreWriter[Session]) -> LiveAdmin:
    """Return the admin requests' handler of a daemon that listens on nothing."""
    report = StatusReport(router, writer, DamageLog(), BoundAddresses(), quiet_watch(), lambda: 0, schema=5)
    return LiveAdmin(router, writer, report)
