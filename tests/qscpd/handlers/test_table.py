"""The table of handlers."""

from qscp import frames
from tests.support.doubles import RouterDouble


async def test_every_frame_of_a_client_has_a_handler(router: RouterDouble) -> None:
    """Every frame that a client can send has a handler."""
    known = {cls for cls in frames.ClientFrame.__subclasses__() if not cls.__name__.startswith("_")}
    assert {frames.Auth, *router.handlers.after_login} == known
