"""How a connection ended, if the server said so."""

import dataclasses

__all__ = ["Ending"]


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How the server ended the connection."""

    code: str
    message: str
    reconnect: bool = False
