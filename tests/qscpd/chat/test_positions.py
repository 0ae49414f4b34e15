"""The positions of a device: their limit, and answers no faster than the peer reads them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from qscp import codec, frames
from qscpd.domain.model import Mark, NewMessage, PositionKind
from qscpd.sessions.session import Session
from qscpd.store.base import Store
from qscpd.store.reads import StoreReads
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from qscpd.store.writer import StoreWriter
from tests.support.doubles import FakeLink, RouterDouble, make_handlers
from tests.support.waiting import patiently, until

MOST = 100_000
"""Largest number of positions of a session."""


@pytest.fixture
async def router() -> AsyncIterator[RouterDouble]:
    """A router that knows alice."""
    made = RouterDouble("alice")
    yield made
    made.close()


def resume(numbers: Iterable[int], *, more: bool, seq: int = 1) -> Iterator[bytes]:
    """Yield `resume` frames with a position in each of some conversations."""
    positions = [frames.Position(f"c{number}", seq) for number in numbers]
    for start in range(0, len(positions), 500):
        last = start + 500 >= len(positions)
        yield codec.encode(frames.Resume(positions[start : start + 500], more=more or not last))


async def test_the_number_of_positions_is_limited(router: RouterDouble) -> None:
    """One position above the limit ends the session; repeated and invalid ones do not count."""
    session, link = router.login("alice", live=False)
    for frame in resume(range(1, MOST + 1), more=True):
        session.receive(frame)
        router.run_turns()
    for frame in resume(range(1, 1001), more=True, seq=7):
        session.receive(frame)
        router.run_turns()
    session.receive(codec.encode(frames.Resume([frames.Position("nonsense", 1)], more=True)))
    assert link.ended == ""
    router.flush()
    link.take()
    session.receive(next(resume([MOST + 1], more=True)) + b'{"type":"ping"}\n')
    (error,) = link.take()
    assert isinstance(error, frames.Error)
    assert (error.code, error.ref, link.ended) == ("bad_field", None, "bad_field")


class NarrowLink(FakeLink):
    """A link that is congested by a few hundred frames.

    Attributes:
        most: Highest number of frames that waited in it.
    """

    most = 0

    def write(self, plaintext: bytes) -> None:
        """Keep the output, and count its frames."""
        super().write(plaintext)
        self.most = max(self.most, len(self.written))
        self.congested = len(self.written) > 200


class ResumingSession:
    """A router with handlers on a real store, and a session of alice that has not resumed yet."""

    def __init__(self, path: Path, tasks: asyncio.TaskGroup) -> None:
        self.store = SqliteStore(path)
        self.router = RouterDouble("alice")
        self.writer = StoreWriter[Session](
            self.store,
            self.router.bus,
            on_failed=print,
        )
        self.reads = StoreReads(partial(SqliteReader, path))
        self.router.handlers = make_handlers(self.router, self.writer, self.reads, tasks)
        self.link = NarrowLink()
        self.session, _ = self.router.login("alice", live=False, link=self.link)
        self.router.flush()
        self.link.take()

    async def read(self) -> list[frames.ServerFrame]:
        """Return all frames up to `resumed`; read only while the link is congested, or at the end."""
        got: list[frames.ServerFrame] = []
        while not isinstance(got[-1] if got else None, frames.Resumed):
            await until(lambda: self.link.congested or self.session.outbound.live)
            self.router.flush()
            got += self.link.take()
            self.link.congested = False
            self.session.writable()
        return got


@pytest.fixture
async def connected(tmp_path: Path) -> AsyncIterator[ResumingSession]:
    """A running router with a session of alice."""
    async with patiently(), asyncio.TaskGroup() as tasks:
        made = ResumingSession(tmp_path / "qscpd.db", tasks)
        with contextlib.closing(made.store), made.writer, made.reads:
            yield made
        made.router.close()


async def test_gaps_are_sent_no_faster_than_they_are_read(connected: ResumingSession) -> None:
    """Each unknown position gets its gap, with few frames queued at any time."""
    for frame in resume(range(1, 5001), more=False, seq=9):
        connected.session.receive(frame)
    gaps = [frame for frame in await connected.read() if isinstance(frame, frames.Gap)]
    assert gaps == [frames.Gap(f"c{number}", 1, 9, "ahead") for number in range(1, 5001)]
    assert connected.link.most < 500


def make_conversations(store: Store) -> None:
    """Store messages of alice to 2,000 users, and their positions of delivery."""
    alice, *others = [store.add_account(name, "x").id for name in ("alice", *map("p{}".format, range(2000)))]
    messages = [NewMessage(alice, each, f"{each:032x}", "hello") for each in others]
    marks = [Mark(each, number, PositionKind.DELIVERED, 1) for number, each in enumerate(others, 1)]
    store.append(messages, marks)


async def test_delivered_positions_are_sent_no_faster_than_they_are_read(connected: ResumingSession) -> None:
    """Thousands of `delivered` frames are sent with few frames queued at any time."""
    await connected.writer.perform(make_conversations)
    for frame in resume(range(1, 2001), more=False):
        connected.session.receive(frame)
    delivered = [frame for frame in await connected.read() if isinstance(frame, frames.Delivered)]
    assert delivered == [frames.Delivered(f"c{number}", 1) for number in range(1, 2001)]
    assert connected.link.most < 500
