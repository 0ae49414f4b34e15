"""Asking for a name again, before something is done that there is no way back from."""

import click

from qscpd.cli.newpassword import has_terminal
from qscpd.errors import UsageError

__all__ = ["type_again"]


def type_again(name: str, *, deed: str, warning: str) -> None:
    """Return only if somebody at a terminal has typed a name again; of a room, with or without its `#`.

    Args:
        name: Whom or what it is about.
        deed: What would be done, such as "erase alice".
        warning: What that means, as a sentence without its full stop.

    Raises:
        UsageError: They typed something else, or there is nobody to ask.
    """
    if not has_terminal():
        raise UsageError(f"there is no terminal to ask whether to {deed}; add --yes if you mean it")
    typed: str = click.prompt(f"{warning}. Type the name again to go on", err=True)
    if typed.strip() not in (name, name.removeprefix("#")):
        raise UsageError(f"that is not {name}; nothing was changed")
