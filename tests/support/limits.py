"""Limits for tests that are not about them: a test sends thousands of messages at once."""

from typing import Final

from qscpd.config.model import LimitsConfig

__all__ = ["NO_RATES", "NO_RATES_YAML"]

NO_RATES: Final = LimitsConfig(message_burst=10_000_000, byte_burst=1 << 30, request_burst=10_000_000)
"""Limits with rates that no test reaches."""

NO_RATES_YAML: Final = "{message_burst: 10000000, byte_burst: 1GiB, request_burst: 10000000}"
"""The same, as the section of a file."""
