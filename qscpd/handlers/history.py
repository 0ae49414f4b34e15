"""Handlers of `resume`, `history`, `conversations` and `search`."""

from collections.abc import Sequence
from typing import Final

from qscp import frames
from qscp.errors import ErrorCode
from qscpd.chat.router import Router
from qscpd.domain.ids import conversation_id, parse_conversation
from qscpd.domain.model import ConversationSummary, Found
from qscpd.domain.search import Place, SearchQuery
from qscpd.fairness import Cost
from qscpd.sessions.answers import refusal
from qscpd.sessions.catch_up import PAGE_BYTES, Source
from qscpd.sessions.encoding import history_message
from qscpd.sessions.identity import Identity
from qscpd.sessions.replay import Backlogs
from qscpd.sessions.requests import RequestRunner
from qscpd.sessions.session import Session
from qscpd.store.reads import StoreReads
from qscpd.store.writer import StoreWriter

_CONVERSATIONS: Final = 100
"""Conversations in a page: with the longest names some 20 KiB."""

_NEWEST: Final = Place(2**53, 0, 0)


class HistoryHandlers:
    """Handlers of everything that reads the past.

    Before each read, what the session sent earlier is committed, so that it is in the answer.

    Args:
        router: The accounts and rooms.
        writer: Where that is committed.
        reads: The store.
        requests: Runs the requests.
    """

    def __init__(
        self, router: Router, writer: StoreWriter[Session], reads: StoreReads, requests: RequestRunner
    ) -> None:
        self._writer = writer
        self._reads = reads
        self._names = router.directory.names
        source = Source(writer, reads, router.directory.names, router.rooms.invitations)
        self._backlogs = Backlogs(source, requests.start)
        self._requests = requests

    def resume(self, session: Session, identity: Identity, frame: frames.Resume) -> None:
        """Add a page of positions; after the last one, start the replay."""
        session.inbound.count_request()
        match self._backlogs.resume(session, identity, frame):
            case ErrorCode.ALREADY_RESUMED as code:
                session.send(refusal(frame, code))
            case ErrorCode() as code:
                session.close(code, error=True)

    def history(self, session: Session, identity: Identity, frame: frames.HistoryRequest) -> None:
        """Answer `history`."""
        self._requests.answer(session, identity, frame, self._history, Cost.PAGE)

    def conversations(self, session: Session, identity: Identity, frame: frames.ConversationsRequest) -> None:
        """Answer `conversations`."""
        self._requests.answer(session, identity, frame, self._conversations, Cost.PAGE)

    def search(self, session: Session, identity: Identity, frame: frames.SearchRequest) -> None:
        """Answer `search`."""
        self._requests.answer(session, identity, frame, self._search, Cost.SEARCH)

    async def _history(self, account: int, frame: frames.HistoryRequest) -> frames.ServerFrame:
        conversation = parse_conversation(frame.conversation)
        if frame.before is not None and frame.after is not None:
            return refusal(frame, ErrorCode.BAD_FIELD)
        if conversation is None:
            return refusal(frame, ErrorCode.UNKNOWN_CONVERSATION)
        await self._writer.drained()
        page = await self._reads.history_page(
            account,
            conversation,
            before=frame.before,
            after=frame.after,
            limit=frame.limit,
            max_bytes=PAGE_BYTES,
        )
        if page is None:
            return refusal(frame, ErrorCode.UNKNOWN_CONVERSATION)
        return frames.History(
            conversation=frame.conversation,
            messages=[history_message(each, self._names, account) for each in page.messages],
            cursor=page.cursor,
            first_seq=page.conversation.first_seq,
            last_seq=page.conversation.last_seq,
            gaps=tuple(frames.HistoryGap(*each, "damaged") for each in page.damage),
        )

    async def _conversations(self, account: int, frame: frames.ConversationsRequest) -> frames.ServerFrame:
        after = parse_conversation(frame.cursor) or 0
        await self._writer.drained()
        page = await self._reads.conversation_list(account, after, _CONVERSATIONS)
        cursor = None if page.cursor is None else conversation_id(page.cursor)
        return frames.Conversations([_info(each) for each in page.conversations], cursor)

    async def _search(self, account: int, frame: frames.SearchRequest) -> frames.ServerFrame:
        query = frame.query.replace("\0", " ")  # For FTS5 it ends the query.
        words = [word for word in query.split() if any(map(str.isalnum, word))]
        conversation = parse_conversation(frame.conversation) if frame.conversation is not None else None
        if frame.conversation is not None and conversation is None:
            return refusal(frame, ErrorCode.UNKNOWN_CONVERSATION)
        before = _parse_cursor(frame.cursor) if frame.cursor else _NEWEST
        if not words or before is None:
            return refusal(frame, ErrorCode.BAD_QUERY)

        await self._writer.drained()
        page = await self._reads.search(SearchQuery(account, tuple(words), conversation, before, frame.limit))
        shown = _fitting(page.found)
        cursor = page.cursor
        if len(shown) < len(page.found):
            last = shown[-1]
            cursor = Place(last.message.time_ms, last.conversation, last.message.seq)
        return frames.SearchResults(
            matches=[self._match(each) for each in shown],
            cursor=None if cursor is None else ".".join(map(str, cursor)),
            complete=page.complete,
        )

    def _match(self, found: Found) -> frames.Match:
        message = found.message
        return frames.Match(
            conversation=conversation_id(found.conversation),
            name=found.name,
            seq=message.seq,
            sender=self._names.get(message.sender, ""),
            body=message.body or "",
            time=message.time_ms,
        )


def _info(summary: ConversationSummary) -> frames.ConversationInfo:
    row = summary.conversation
    return frames.ConversationInfo(
        conversation=conversation_id(row.id),
        name=row.name,
        kind="room" if row.peer is None else "pair",
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        read=row.read,
        delivered=row.delivered,
        unread=summary.unread,
        mentions=summary.mentions,
        deleted=row.deleted,
    )


def _fitting(found: Sequence[Found]) -> Sequence[Found]:
    """Return as many matches as fit into a line, and at least one."""
    size = 0
    for index, each in enumerate(found):
        size += 300 + 2 * len((each.message.body or "").encode())
        if index and size > PAGE_BYTES:
            return found[:index]
    return found


def _parse_cursor(text: str) -> Place | None:
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):  # noqa: PLR2004 - as made above
        return None
    return Place(*map(int, parts))
