"""Log in over the wire, and receive what was missed."""

from typing import NamedTuple

from tests.support.daemon import PASSWORD, Daemon
from tests.support.wire import Frame, Wire, Wires

__all__ = ["Resumed", "resume"]


class Resumed(NamedTuple):
    """Live session, with its answers to the login."""

    wire: Wire
    ack: Frame
    """The answer to the login."""
    missed: list[Frame]
    """Frames between `resume` and `resumed`, without presence."""


async def resume(wires: Wires, daemon: Daemon, user: str, positions: dict[str, int] | None = None) -> Resumed:
    """Log a user in, and resume from positions by conversation."""
    wire = await wires.connect(daemon)
    wire.send({"type": "auth", "user": user, "password": PASSWORD})
    ack = await wire.receive()
    assert ack["type"] == "auth_ack", ack
    pairs = (positions or {}).items()
    wire.send({"type": "resume", "positions": [{"conversation": name, "seq": seq} for name, seq in pairs]})
    missed = []
    while (frame := await wire.receive())["type"] != "resumed":
        if frame["type"] not in ("online_users", "presence"):
            missed.append(frame)
    return Resumed(wire, ack, missed)
