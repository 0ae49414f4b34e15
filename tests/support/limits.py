"""Limits for tests that are not about them: a test sends thousands of messages at once."""

from typing import Final

from qscpd.config.model import LimitsConfig

__all__ = ["NO_RATES", "NO_RATES_YAML"]

NO_RATES: Final = LimitsConfig(messages_per_second=0, bytes_per_second=0, requests_per_second=0)
"""Limits without rates."""

NO_RATES_YAML: Final = "{messages_per_second: 0, bytes_per_second: 0B, requests_per_second: 0}"
"""The same, as the section of a file."""
