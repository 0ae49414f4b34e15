"""Completion with Tab: names in the picker, commands at the beginning of a line."""

from qscp.rooms import is_room
from qscp_client.core.commands.table import COMMANDS
from qscp_client.core.engine import Engine


def complete(engine: Engine, typed: str) -> list[str]:
    """Return the completions of a line.

    Args:
        engine: The known names, and the open chat.
        typed: The line up to the cursor.
    """
    if typed.startswith("/"):
        words = [f"/{name} " if command.needs_argument else f"/{name}" for name, command in COMMANDS.items()]
    elif engine.partner is None:
        sign = "@" if typed.startswith("@") else ""
        words = [f"{sign}{name}" for name in engine.names if not (sign and is_room(name))]
    else:
        return []
    return [word for word in words if word.startswith(typed.lower())]
