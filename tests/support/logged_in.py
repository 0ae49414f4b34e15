"""Somebody who is logged in and has been told what they missed."""

from typing import NamedTuple

from tests.support.daemon import PASSWORD, Daemon
from tests.support.wire import Frame, Wire, Wires

__all__ = ["Resumed", "resume"]


class Resumed(NamedTuple):
    """A session that is live."""

    wire: Wire
    ack: Frame
    """The answer to the login."""
    missed: list[Frame]
    """What came between `resume` and `resumed`, but for presence."""


async def resume(wires: Wires, daemon: Daemon, user: str, positions: dict[str, int] | None = None) -> Resumed:
    """Log somebody in and resume from some positions, by conversation."""
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
