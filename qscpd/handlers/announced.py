"""The limits that a client is sent at its login."""

from qscp import frames
from qscp.limits import BODY_LIMIT, LINE_LIMIT
from qscpd.config import LimitsConfig


def announced_limits(limits: LimitsConfig) -> frames.Limits:
    """Return the limits of a configuration, and those of the protocol, for `auth_ack`."""
    return frames.Limits(
        line=LINE_LIMIT,
        body=BODY_LIMIT,
        messages_per_second=limits.messages_per_second,
        message_burst=limits.message_burst,
        bytes_per_second=limits.bytes_per_second,
        byte_burst=limits.byte_burst,
        requests_per_second=limits.requests_per_second,
        request_burst=limits.request_burst,
        sessions=limits.sessions_per_account,
        rooms=limits.rooms_per_account,
        joins_per_hour=limits.joins_per_hour,
        invitations_per_day=limits.invitations_per_day,
        stored_per_day=limits.stored_per_day_bytes,
    )
