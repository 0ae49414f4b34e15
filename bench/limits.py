"""What the limits cost: CPU time of a message from `Session.receive` to the writer's queue, with and without.

    python bench/limits.py [--frames N] [--rounds N]

The session, its handlers and the queue are the daemon's own; link and writer do nothing. The limits are
as shipped, except for rates that the run does not reach, so that no time passes in pauses. Without limits
the session counts nothing and asks nothing. Both run in turns; the medians count.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from qscp import codec, frames
from qscpd.accounts.directory import Directory
from qscpd.bus.local import LocalBus
from qscpd.chat.router import Router
from qscpd.config import Config, LimitsConfig
from qscpd.domain.model import Account, AccountState
from qscpd.errors import StoreError
from qscpd.handlers.table import handler_table
from qscpd.net.link import Link
from qscpd.net.pause import Pause
from qscpd.net.peer_log import PeerLog
from qscpd.sessions.identity import Identity
from qscpd.sessions.inbound import Inbound
from qscpd.sessions.log import LoggedSession, SessionLog
from qscpd.sessions.requests import RequestRunner
from qscpd.sessions.session import Session
from qscpd.sessions.turns import TURN_FRAMES
from qscpd.store.base import StoreReader
from qscpd.store.items import Item
from qscpd.store.reads import StoreReads
from qscpd.store.writer import StoreWriter

LIMITS: Final = replace(
    LimitsConfig(), messages_per_second=1_000_000, bytes_per_second=1 << 30, requests_per_second=1_000_000
)
"""As shipped, but with rates that are not reached."""

AT_ONCE: Final = (1, 8, 32)
"""Frames that come in together."""


class NullLink(Link):
    """Link without a socket."""

    def __init__(self) -> None:
        self.paused: set[Pause] = set()
        self.undecrypted = b""
        self.congested = False
        self.last_in = 0.0

    def write(self, plaintext: bytes) -> None:
        """Drop it."""

    def pause_reading(self, reason: Pause) -> None:
        """Note the reason."""
        self.paused.add(reason)

    def resume_reading(self, reason: Pause) -> None:
        """Forget the reason."""
        self.paused.discard(reason)


class NullLog(SessionLog):
    """Session log without a file."""

    def __init__(self) -> None:
        self.journal = PeerLog("never", 1)

    def opened(self, session: LoggedSession) -> None:
        """Drop it."""


class NullWriter(StoreWriter[Session]):
    """Writer without a store."""

    def __init__(self) -> None:
        pass

    def append(self, items: Sequence[Item[Session]]) -> None:
        """Drop the items."""


class NoLimits(Inbound[Session]):
    """Input that is neither counted nor limited."""

    __slots__ = ()

    def log_in(self, account: int) -> None:
        """Draw from no rates."""

    def _allowance(self, _: Session) -> int:
        return TURN_FRAMES

    def _handle_frames(self, session: Session, plaintext: bytes) -> None:
        identity = session.identity
        if identity is None:
            super()._handle_frames(session, plaintext)
            return
        after_login, connection, paused = self._handlers.after_login, self._connection, self._link.paused
        connection.receive_data(plaintext)
        left = TURN_FRAMES
        while left and connection.lines and (frame := connection.next_event()) is not None:
            left -= 1
            if after_login[type(frame)](session, identity, frame):
                self.pending += 1
            if paused:
                break


def no_reader() -> StoreReader:
    """Fail: nothing here reads the store."""
    raise StoreError("the benchmark has no store")


class Bench:
    """A logged-in session, with or without limits."""

    def __init__(self, *, limited: bool) -> None:
        accounts = [
            Account(number, name, AccountState.ACTIVE, 0) for number, name in ((1, "alice"), (2, "bob"))
        ]
        writer = NullWriter()
        router = Router(Config(limits=LIMITS), Directory(accounts, {}), NullLog(), LocalBus(), writer)
        reads = StoreReads(no_reader)
        requests = RequestRunner(asyncio.TaskGroup(), router.passed)
        handlers = handler_table(router, writer, reads, requests, lambda _session, _auth: None)
        self.router = router
        self.session = session = router.open_session(handlers, NullLink())
        if not limited:
            session.inbound = NoLimits(session, handlers, router.turns, router.rates)
            session.receive = session.inbound.receive
        session.receive(codec.encode(frames.Auth(user="alice", password=session.id)))
        announced = frames.Limits(65536, 16384)
        session.send(
            frames.AuthAck(
                user="alice",
                account="a1",
                session=session.id,
                protocol=1,
                features=[],
                limits=announced,
                retention=frames.Retention(),
                epoch="e",
            )
        )
        session.inbound.resume(Pause.LOGIN)
        router.register(session, Identity(1, "alice"))

    def run(self, chunk: bytes, times: int) -> float:
        """Receive a chunk many times; return the CPU time in seconds."""
        session, submissions, turns = self.session, self.router.submissions, self.router.turns
        inbound = session.inbound
        before = session.frames_in
        begin = time.process_time()
        for _ in range(times):
            session.receive(chunk)
            while len(turns):
                turns.run()
            inbound.pending = 0  # as if all were answered
            submissions.hand_over()
        took = time.process_time() - begin
        if session.frames_in - before != times * chunk.count(b"\n"):
            sys.exit("Some frames were not handled; a limit was reached.")
        return took


async def measure(count: int, rounds: int) -> None:
    """Print the medians."""
    limited, free = Bench(limited=True), Bench(limited=False)
    lines = [
        codec.encode(frames.SendChat("bob", "x" * 64, f"{number:032x}")) for number in range(max(AT_ONCE))
    ]
    sys.stdout.write("frames at once   with limits   without   difference (ns a frame)\n")
    for at_once in AT_ONCE:
        chunk = b"".join(lines[:at_once])
        times = count // at_once
        results = [(limited.run(chunk, times), free.run(chunk, times)) for _ in range(rounds + 1)]
        scale = 1e9 / (times * at_once)
        with_ns, without_ns = (statistics.median(each) * scale for each in zip(*results[1:], strict=True))
        difference = statistics.median(one - other for one, other in results[1:]) * scale
        sys.stdout.write(f"{at_once:14} {with_ns:13.0f} {without_ns:9.0f} {difference:12.0f}\n")
    for bench in (limited, free):
        bench.router.presence.close()
        bench.router.submissions.close()


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description="Measure what the limits cost.")
    parser.add_argument("--frames", type=int, default=100_000, help="frames in a round")
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    with asyncio.Runner() as runner:
        runner.run(measure(chosen.frames, chosen.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
