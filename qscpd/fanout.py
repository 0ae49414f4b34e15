"""What is written in a room, on its way to the sessions of its members.

Telling a thousand sessions of one message costs nearly as much as telling them of eight: a record and a
system call each. So a room that was just told of something rests for as long as that took, and for one
commit more if something for it is being committed. What is written meanwhile goes out together, and a busy
room never takes more than half of the loop's time from everybody else. What is written in a room that has
rested goes out at once.
"""

import asyncio
from typing import Final

from msgspec import Raw

from qscp import frames
from qscpd.session import Session

__all__ = ["Fanout"]

_REST_S: Final = 12e-6
"""Rest for each session that was told: what telling it costs (docs/performance.md)."""


class Fanout:
    """The way out of one room.

    Args:
        conversation: The room's.

    Attributes:
        sessions: Of the room's members, logged in.
    """

    __slots__ = (
        "_coming",
        "_conversation",
        "_lines",
        "_loop",
        "_rested",
        "_seqs",
        "_timer",
        "_told",
        "_waited",
        "sessions",
    )

    def __init__(self, conversation: int) -> None:
        self.sessions: set[Session] = set()
        self._conversation = conversation
        self._loop = asyncio.get_running_loop()
        self._lines: list[bytes] = []
        self._seqs: list[int] = []
        self._told: dict[Session, int] = {}
        """How many of the lines somebody was told of already, who wrote between them."""
        self._coming = 0
        """Messages that the store did not answer yet."""
        self._rested = float("-inf")
        self._waited = False
        """Whether what has rested waits for one commit more."""
        self._timer: asyncio.TimerHandle | None = None

    def expect(self) -> None:
        """A message for the room is handed to the store."""
        self._coming += 1

    def answered(self) -> None:
        """The store came back with a message for the room, whatever it says of it; `settle` follows."""
        self._coming -= 1

    def add(self, seq: int, line: bytes) -> None:
        """Something was written."""
        self._lines.append(line)
        self._seqs.append(seq)

    def tell(self, session: Session, out: list[frames.ServerFrame | Raw]) -> None:
        """Tell a session now of what it was not told yet, because it is going to be answered.

        Args:
            session: Who is going to be answered.
            out: What goes out to it.
        """
        start = self._told.get(session, 0)
        self._told[session] = len(self._lines)
        if session not in self.sessions:
            return
        if session.live:
            out += [Raw(line[:-1]) for line in self._lines[start:]]
            session.messages_out += len(self._lines) - start
        else:
            self._hold(session, start)

    def wrote(self, session: Session) -> None:
        """What was added last is that session's own."""
        self._told[session] = len(self._lines)

    def settle(self) -> None:
        """A commit has been added: let it go out when the room has rested."""
        if self._loop.time() < self._rested:
            if self._timer is None:
                self._timer = self._loop.call_at(self._rested, self._has_rested)
        elif self._coming and not self._waited:
            self._waited = True  # the next commit comes here, too
        else:
            self.hurry()

    def _has_rested(self) -> None:
        self._timer = None
        self.settle()

    def hurry(self) -> None:
        """Let everything go out now."""
        self.close()
        if not self._lines:
            return
        piece, count = b"".join(self._lines), len(self._lines)
        # A copy, because somebody whose connection breaks at this leaves the room.
        for session in tuple(self.sessions):
            if self._told and session in self._told:
                self._send_rest(session, self._told[session])
            elif session.live:
                session.send_piece(piece, count)
            else:
                self._hold(session, 0)
        self._lines, self._seqs, self._told = [], [], {}
        self._waited = False
        self._rested = self._loop.time() + len(self.sessions) * _REST_S

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_rest(self, session: Session, start: int) -> None:
        if not session.live:
            self._hold(session, start)
        elif start < len(self._lines):
            session.send_piece(b"".join(self._lines[start:]), len(self._lines) - start)

    def _hold(self, session: Session, start: int) -> None:
        """Keep lines for a session that is being told what it missed; before that, the store has them."""
        if session.replay is not None:
            for seq, line in zip(self._seqs[start:], self._lines[start:], strict=True):
                session.replay.hold(self._conversation, seq, line)
