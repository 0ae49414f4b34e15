"""Commands of `qscpd`; `docs/operations.md` describes them and their exit codes."""

from qscpd.cli.group import main

__all__ = ["main"]
