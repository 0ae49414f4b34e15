"""The handlers of `ping`, `pong` and `bye`."""

from collections.abc import Callable

from qscp import frames
from qscp.frames import ServerFrame

Say = Callable[[frames.ClientFrame], list[ServerFrame]]


def test_ping_pong_and_bye(say: Say) -> None:
    """`ping` is answered with `pong`, `pong` is not answered, and `bye` is answered with `bye`."""
    assert say(frames.ClientPing()) == [frames.ServerPong()]
    assert say(frames.ClientPong()) == []
    (bye,) = say(frames.ClientBye())
    assert isinstance(bye, frames.ServerBye)
