"""Handlers of `resume`, `history`, `conversations` and `search`."""

from functools import partial
from typing import Final, NamedTuple

from qscp import frames
from qscp.errors import ErrorCode
from qscp.limits import PAGE_LIMIT
from qscpd.chat.router import Router
from qscpd.domain.ids import conversation_id, parse_conversation
from qscpd.domain.model import ConversationRow, Found, MessageRow
from qscpd.sessions.answers import refusal
from qscpd.sessions.encoding import history_message
from qscpd.sessions.identity import Identity
from qscpd.sessions.replay import PAGE_BYTES, Replay
from qscpd.sessions.requests import RequestRunner
from qscpd.sessions.session import Session
from qscpd.store.base import Store
from qscpd.store.writer import StoreWriter

_CONVERSATIONS: Final = 100
"""Conversations in a page: with the longest names some 20 KiB."""

_READ_OVER: Final = 10
"""Pages without a message that one request reads: a user can react two thousand times in a row."""

_NEWEST: Final = (2**53, 0, 0)


class _Page(NamedTuple):
    """A page of history."""

    messages: list[MessageRow]
    cursor: int | None


class HistoryHandlers:
    """Handles them."""

    def __init__(self, router: Router, writer: StoreWriter[Session], requests: RequestRunner) -> None:
        self._writer = writer
        self._names = router.directory.names
        self._invitations = router.rooms.invitations
        self._requests = requests

    def resume(self, session: Session, identity: Identity, frame: frames.Resume) -> None:
        """Add a page of positions; after the last one, start the replay."""
        backlog = session.backlog
        if session.live or (backlog is not None and backlog.started):
            session.send(refusal(frame, ErrorCode.ALREADY_RESUMED))
            return
        if backlog is None:
            backlog = Replay(session, identity, self._writer, self._names, self._invitations)
            session.backlog = backlog
        if not backlog.add_positions(frame.positions):
            session.close(ErrorCode.BAD_FIELD, error=True)
        elif not frame.more:
            self._requests.start(session, backlog.start())

    def history(self, session: Session, identity: Identity, frame: frames.HistoryRequest) -> None:
        """Answer `history`."""
        self._requests.answer(session, identity, frame, self._history)

    def conversations(self, session: Session, identity: Identity, frame: frames.ConversationsRequest) -> None:
        """Answer `conversations`."""
        self._requests.answer(session, identity, frame, self._conversations)

    def search(self, session: Session, identity: Identity, frame: frames.SearchRequest) -> None:
        """Answer `search`."""
        self._requests.answer(session, identity, frame, self._search)

    async def _history(self, account: int, frame: frames.HistoryRequest) -> frames.ServerFrame:
        conversation = parse_conversation(frame.conversation)
        if frame.before is not None and frame.after is not None:
            return refusal(frame, ErrorCode.BAD_FIELD)

        def read(store: Store) -> tuple[ConversationRow, _Page] | None:
            row = store.conversation(account, conversation) if conversation is not None else None
            return (row, _page(store, row, frame)) if row is not None else None

        found = await self._writer.call(read)
        if found is None:
            return refusal(frame, ErrorCode.UNKNOWN_CONVERSATION)
        row, page = found
        return frames.History(
            conversation=frame.conversation,
            messages=[history_message(each, self._names, account) for each in page.messages],
            cursor=page.cursor,
            first_seq=row.first_seq,
        )

    async def _conversations(self, account: int, frame: frames.ConversationsRequest) -> frames.ServerFrame:
        after = parse_conversation(frame.cursor) or 0

        rows = await self._writer.call(lambda store: store.conversations(account, after, _CONVERSATIONS))
        page: list[frames.ConversationInfo] = []
        for row in rows:
            # One by one: each can be a thousand messages to count, and commits go in between.
            counts = await self._writer.call(partial(_count, account, row))
            page.append(_info(row, *counts))
        return frames.Conversations(page, page[-1].conversation if len(page) == _CONVERSATIONS else None)

    async def _search(self, account: int, frame: frames.SearchRequest) -> frames.ServerFrame:
        query = frame.query.replace("\0", " ")  # For FTS5 it ends the query.
        words = [word for word in query.split() if any(map(str.isalnum, word))]
        conversation = parse_conversation(frame.conversation) if frame.conversation is not None else None
        if frame.conversation is not None and conversation is None:
            return refusal(frame, ErrorCode.UNKNOWN_CONVERSATION)
        before = _parse_cursor(frame.cursor) if frame.cursor else _NEWEST
        if not words or before is None:
            return refusal(frame, ErrorCode.BAD_QUERY)

        def read(store: Store) -> tuple[list[Found], bool, dict[int, str]]:
            found, complete = store.search(
                account, words, conversation=conversation, before=before, limit=frame.limit
            )
            return list(found), complete, {row.id: row.name for row in store.conversations(account)}

        found, complete, names = await self._writer.call(read)
        shown = _fitting(found)
        more = len(found) == frame.limit or len(shown) < len(found)
        return frames.SearchResults(
            matches=[self._match(each, names) for each in shown],
            cursor=_search_cursor(shown[-1]) if more and shown else None,
            complete=complete,
        )

    def _match(self, found: Found, names: dict[int, str]) -> frames.Match:
        message = found.message
        return frames.Match(
            conversation=conversation_id(found.conversation),
            name=names.get(found.conversation, ""),
            seq=message.seq,
            sender=self._names.get(message.sender, ""),
            body=message.body or "",
            time=message.time_ms,
        )


def _page(store: Store, row: ConversationRow, frame: frames.HistoryRequest) -> _Page:
    """Read a page of messages; edits, redactions and reactions are skipped and not counted."""
    forward = frame.after is not None
    more = store.messages_after if forward else store.messages_before
    at = row.last_seq + 1 if frame.before is None else min(frame.before, row.last_seq + 1)
    if frame.after is not None:
        at = max(frame.after, row.first_seq - 1)
    shown: list[MessageRow] = []
    for _ in range(_READ_OVER):
        rows = more(row.id, at, PAGE_LIMIT, PAGE_BYTES, row.first_seq)
        if not rows:
            return _Page([], None)
        found = [each for each in rows if not each.meta.kind]
        shown = found[: frame.limit] if forward else found[-frame.limit :]
        edge = -1 if forward else 0
        at = (shown if len(shown) < len(found) else rows)[edge].seq
        if shown:
            break
    end = row.last_seq if forward else row.first_seq
    return _Page(shown, at if at != end else None)


def _count(account: int, row: ConversationRow, store: Store) -> tuple[int, int]:
    return store.unread(account, row.id, row.read)


def _info(row: ConversationRow, unread: int, mentions: int) -> frames.ConversationInfo:
    return frames.ConversationInfo(
        conversation=conversation_id(row.id),
        name=row.name,
        kind="room" if row.peer is None else "pair",
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        read=row.read,
        delivered=row.delivered,
        unread=unread,
        mentions=mentions,
    )


def _fitting(found: list[Found]) -> list[Found]:
    """Return as many matches as fit into a line, and at least one."""
    size = 0
    for index, each in enumerate(found):
        size += 300 + 2 * len((each.message.body or "").encode())
        if index and size > PAGE_BYTES:
            return found[:index]
    return found


def _search_cursor(last: Found) -> str:
    return f"{last.message.time_ms}.{last.conversation}.{last.message.seq}"


def _parse_cursor(text: str) -> tuple[int, int, int] | None:
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):  # noqa: PLR2004 - as made above
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])
