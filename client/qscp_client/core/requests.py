"""Requests in flight: what was asked of the server and is not answered yet.

The server answers the requests of one type in their order, so an answer belongs to the first request of its
type.
"""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from qscp import frames
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Output

_SEARCH_PAGES: Final = 100
"""Pages of a search that are asked for, so that it has an end: about a minute."""


@dataclasses.dataclass(slots=True, eq=False)
class PendingHistory:
    """Messages of a conversation that were asked for, over any number of pages."""

    conversation: Conversation
    before: int | None
    wanted: int
    """Messages that are still to come."""
    is_unread: bool = False
    """Whether they are what a chat that was opened has to show."""
    is_again: bool = False
    """Whether they are the last messages, which can have been shown before."""
    is_sent: bool = True
    """False while an earlier answer has to show where to begin."""
    page: frames.History | None = None
    """What came so far."""

    @property
    def frame(self) -> frames.HistoryRequest:
        """The frame that asks for the next page."""
        return frames.HistoryRequest(self.conversation.id, before=self.before, limit=self.wanted)

    def add(self, page: frames.History) -> None:
        """Put a page before those that came so far."""
        newer = self.page
        self.page = page
        if newer is not None:
            messages, gaps = [*page.messages, *newer.messages], (*page.gaps, *newer.gaps)
            self.page = msgspec.structs.replace(page, messages=messages, gaps=gaps)
        self.wanted -= len(page.messages)

    def next_before(self) -> int | None:
        """Return where the next page begins; None if there is enough, or no more.

        A page can have fewer messages than asked for, or none, and yet not be the last.
        """
        if self.page is None or self.page.cursor is None or self.wanted <= 0:
            return None
        if self.is_unread and any(each.seq <= self.conversation.start for each in self.page.messages):
            return None
        goes_on = self.before is None or self.page.cursor < self.before
        return self.page.cursor if goes_on and self.page.cursor > 0 else None


@dataclasses.dataclass(slots=True, eq=False)
class PendingSearch:
    """A search in all conversations, over any number of pages."""

    query: str
    wanted: int
    """Matches that are still to come."""
    cursor: str = ""
    """Where the next page begins."""
    pages_left: int = _SEARCH_PAGES
    found: list[frames.Match] = dataclasses.field(default_factory=list)
    """What came so far, the newest first."""
    complete: bool = True
    """Whether the server had every message in its index."""

    @property
    def frame(self) -> frames.SearchRequest:
        """The frame that asks for the next page."""
        return frames.SearchRequest(self.query, cursor=self.cursor, limit=self.wanted)

    def add(self, page: frames.SearchResults) -> bool:
        """Add a page; return whether to ask for the next one.

        A page can have fewer matches than asked for, or none, and yet not be the last.
        """
        self.found += page.matches[: self.wanted]
        self.wanted -= len(page.matches[: self.wanted])
        self.complete &= page.complete
        self.cursor = page.cursor or ""
        self.pages_left -= 1
        return bool(self.cursor) and self.wanted > 0 and self.pages_left > 0


@dataclasses.dataclass(slots=True, eq=False)
class PendingRoomRequest:
    """A request about rooms."""

    frame: frames.Join | frames.Leave | frames.RoomRequest | frames.RoomsRequest
    sought: str = ""
    """The one room that is looked for in a list; empty to show all of it."""
    opens: bool = False
    """Whether the room that is looked for is then opened; else its topic is shown."""
    is_silent: bool = False
    """Whether the room is only looked at: what it says about you might have changed."""
    wanted: int = 0
    """Entries of a log that are still to be shown."""
    entries: list[frames.LogEntry] = dataclasses.field(default_factory=list)
    named: set[str] = dataclasses.field(default_factory=set)
    """The rooms of all pages so far."""
    is_first: bool = True
    was_in: bool = False
    """Whether you were a member of the room before."""
    is_again: bool = False
    """Whether it was sent over an earlier connection, too, and might have been done."""

    @property
    def enters(self) -> bool:
        """Whether you enter the room when it is done."""
        match self.frame:
            case frames.Join():
                return True
            case frames.RoomRequest(action="create"):
                return True
            case _:
                return False


@dataclasses.dataclass(slots=True, eq=False)
class PendingBlock:
    """A request to block or unblock a user."""

    frame: frames.Block | frames.Unblock


PendingRequest = PendingHistory | PendingSearch | PendingRoomRequest | PendingBlock

_Pending = TypeVar("_Pending", PendingHistory, PendingSearch, PendingRoomRequest, PendingBlock)


class PendingRequests:
    """The requests, in the order in which they were made.

    Args:
        out: Where their frames go.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._pending: collections.deque[PendingRequest] = collections.deque()

    def __len__(self) -> int:
        """Number of missing answers."""
        return len(self._pending)

    def __iter__(self) -> Iterator[PendingRequest]:
        """All of them, in order."""
        return iter(list(self._pending))

    @property
    def awaits_messages(self) -> bool:
        """Whether messages or matches were asked for."""
        return any(isinstance(each, PendingHistory | PendingSearch) for each in self._pending)

    @property
    def history(self) -> list[PendingHistory]:
        """Requests for messages."""
        return [each for each in self._pending if isinstance(each, PendingHistory)]

    @property
    def room_requests(self) -> list[frames.RoomRequest]:
        """The changes of rooms, and other requests to them."""
        return [each.frame for each in self._pending if isinstance(each.frame, frames.RoomRequest)]

    def ask(self, pending: PendingRequest) -> None:
        """Send a request."""
        self._pending.append(pending)
        self._out.send(pending.frame)

    def delay(self, pending: PendingHistory) -> None:
        """Add a request that is sent by `send_delayed`."""
        pending.is_sent = False
        self._pending.append(pending)

    def send_delayed(self, pending: PendingHistory) -> None:
        """Send a request that was delayed; its answer comes after those to requests sent before."""
        pending.is_sent = True
        self._pending.remove(pending)
        self._pending.append(pending)
        self._out.send(pending.frame)

    def take_history(self) -> PendingHistory | None:
        """Remove and return the request that a page of history answers; None if there is none."""
        return self._remove(next((each for each in self.history if each.is_sent), None))

    def take_search(self) -> PendingSearch | None:
        """Remove and return the request that a list of matches answers; None if there is none."""
        return self._remove(next((each for each in self._pending if isinstance(each, PendingSearch)), None))

    def take_room(self, frame_type: str) -> PendingRoomRequest | None:
        """Remove and return the request that an answer about rooms is for; None if there is none.

        Args:
            frame_type: The type of the request's frame.
        """
        rooms = (each for each in self._pending if isinstance(each, PendingRoomRequest))
        return self._remove(next((each for each in rooms if each.frame.type == frame_type), None))

    def take_block(self, frame_type: str) -> PendingBlock | None:
        """Remove and return the request that an answer about blocks is for; None if there is none.

        Args:
            frame_type: The type of the request's frame.
        """
        found = (each for each in self._pending if isinstance(each, PendingBlock))
        return self._remove(next((each for each in found if each.frame.type == frame_type), None))

    def disconnected(self) -> list[PendingRequest]:
        """Remove and return the requests that stay unanswered: all but those that enter a room."""
        lost = [each for each in self._pending if not (isinstance(each, PendingRoomRequest) and each.enters)]
        self._pending = collections.deque(each for each in self._pending if each not in lost)
        return lost

    def connected(self) -> None:
        """Send the requests that enter a room again, over a new connection."""
        for pending in self._pending:
            if isinstance(pending, PendingRoomRequest):
                pending.is_again = True
            self._out.send(pending.frame)

    def _remove(self, pending: _Pending | None) -> _Pending | None:
        if pending is not None:
            self._pending.remove(pending)
        return pending
