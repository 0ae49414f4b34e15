"""A router with users, for the tests of handlers."""

from collections.abc import AsyncIterator, Callable

import pytest

from qscp import codec, frames
from qscp.frames import ServerFrame
from tests.support.doubles import RouterDouble


@pytest.fixture
async def router() -> AsyncIterator[RouterDouble]:
    """A router that knows four users; alice, bob and carol are online."""
    made = RouterDouble("alice", "bob", "carol", "dora")
    yield made
    made.close()


@pytest.fixture
def say(router: RouterDouble) -> Callable[[frames.ClientFrame], list[ServerFrame]]:
    """Let alice send a frame, and return the answers of that tick."""
    router.login("bob")
    router.login("carol")
    session, link = router.login("alice")
    router.flush()
    link.take()

    def say(frame: frames.ClientFrame) -> list[ServerFrame]:
        session.receive(codec.encode(frame))
        router.flush()
        return link.take()

    return say
