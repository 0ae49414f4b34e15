"""Frames that ask the store something: `resume`, `history`, `conversations`, `search`.

Each runs as a task. While one of a session is under way, the session's next frames wait (but for
`resume`, which may take long): answers come in the order of the questions, and a peer
can't have more than one question in the store at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, TypeVar

import structlog

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscpd.directory import Directory
from qscpd.replay import PAGE_BYTES, Replay, conversation_id, parse_conversation
from qscpd.session import Session
from qscpd.store.base import ConversationRow, Found, MessageRow, Store
from qscpd.store.writer import StoreWriter

__all__ = ["Queries"]

_CONVERSATIONS: Final = 100
"""In a page: with the longest names some 20 KiB."""

_NEWEST: Final = (2**53, 0, 0)

_log = structlog.stdlib.get_logger("qscpd.queries")

F = TypeVar("F", bound=frames.ClientFrame)


class Queries:
    """Answers them.

    Args:
        tasks: Where the tasks run; none lets an error get there.
    """

    def __init__(self, writer: StoreWriter[Session], directory: Directory, tasks: asyncio.TaskGroup) -> None:
        self._writer = writer
        self._directory = directory
        self._tasks = tasks

    def resume(self, session: Session, frame: frames.Resume) -> None:
        """Take in a page of positions; after the last one, begin to replay."""
        if session.live or (session.replay is not None and session.replaying):
            session.send(_error(frame, ErrorCode.ALREADY_RESUMED))
            return
        if session.replay is None:
            session.replay = Replay(session, self._writer, self._directory.names)
        if not session.replay.add(frame.positions):
            session.fail(ErrorCode.BAD_FIELD)
        elif not frame.more:
            session.replaying = True
            self._tasks.create_task(self._guard(session, session.replay.run()))

    def history(self, session: Session, frame: frames.HistoryRequest) -> None:
        """Answer `history`."""
        self._ask(session, frame, self._history)

    def conversations(self, session: Session, frame: frames.ConversationsRequest) -> None:
        """Answer `conversations`."""
        self._ask(session, frame, self._conversations)

    def search(self, session: Session, frame: frames.SearchRequest) -> None:
        """Answer `search`."""
        self._ask(session, frame, self._search)

    def _ask(
        self, session: Session, frame: F, answer: Callable[[int, F], Awaitable[frames.ServerFrame]]
    ) -> None:
        account = session.account
        assert account is not None  # noqa: S101 - nobody else may ask

        async def run() -> None:
            reply = await answer(account.id, frame)
            if not session.closed:
                session.send(reply)
            session.release()

        session.hold()
        self._tasks.create_task(self._guard(session, run()))

    async def _guard(self, session: Session, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - one session's question must not end the others
            _log.error("query.failed", session=session.id, exc_info=error)
            session.fail(ErrorCode.INTERNAL)

    async def _history(self, account: int, frame: frames.HistoryRequest) -> frames.ServerFrame:
        conversation = parse_conversation(frame.conversation)
        if frame.before is not None and frame.after is not None:
            return _error(frame, ErrorCode.BAD_FIELD)

        def read(store: Store) -> tuple[ConversationRow | None, list[MessageRow]]:
            row = store.conversation(account, conversation) if conversation is not None else None
            if row is None:
                return None, []
            if frame.after is not None:
                return row, list(store.messages_after(row.id, frame.after, frame.limit, PAGE_BYTES))
            before = row.last_seq + 1 if frame.before is None else min(frame.before, row.last_seq + 1)
            return row, list(store.messages_before(row.id, before, frame.limit, PAGE_BYTES))

        row, messages = await self._writer.call(read)
        if row is None:
            return _error(frame, ErrorCode.UNKNOWN_CONVERSATION)
        return frames.History(
            conversation=frame.conversation,
            messages=[self._message(each) for each in messages],
            cursor=_cursor(row, messages, forward=frame.after is not None),
            first_seq=row.first_seq,
        )

    def _message(self, row: MessageRow) -> frames.Message:
        sender = self._directory.names.get(row.sender, "")
        return frames.Message(row.seq, row.id, sender, row.body or "", row.time_ms, erased=row.body is None)

    async def _conversations(self, account: int, frame: frames.ConversationsRequest) -> frames.ServerFrame:
        after = parse_conversation(frame.cursor) or 0

        def read(store: Store) -> list[frames.ConversationInfo]:
            return [
                _info(row, store.unread(account, row.id, row.read))
                for row in store.conversations(account, after, _CONVERSATIONS)
            ]

        page = await self._writer.call(read)
        return frames.Conversations(page, page[-1].conversation if len(page) == _CONVERSATIONS else None)

    async def _search(self, account: int, frame: frames.SearchRequest) -> frames.ServerFrame:
        query = frame.query.replace("\0", " ")  # FTS5 takes it for the end of the query
        words = [word for word in query.split() if any(map(str.isalnum, word))]
        conversation = parse_conversation(frame.conversation) if frame.conversation is not None else None
        if frame.conversation is not None and conversation is None:
            return _error(frame, ErrorCode.UNKNOWN_CONVERSATION)
        before = _parse_cursor(frame.cursor) if frame.cursor else _NEWEST
        if not words or before is None:
            return _error(frame, ErrorCode.BAD_QUERY)

        def read(store: Store) -> tuple[list[Found], bool, dict[int, str]]:
            found, complete = store.search(
                account, words, conversation=conversation, before=before, limit=frame.limit
            )
            return list(found), complete, {row.id: row.peer_name for row in store.conversations(account)}

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
            sender=self._directory.names.get(message.sender, ""),
            body=message.body or "",
            time=message.time_ms,
        )


def _error(frame: frames.ClientFrame, code: ErrorCode) -> frames.Error:
    return frames.Error(code=code, message=ERROR_CODES[code].sentence, ref=frame.type)


def _cursor(row: ConversationRow, messages: list[MessageRow], *, forward: bool) -> int | None:
    if not messages:
        return None
    if forward:
        return messages[-1].seq if messages[-1].seq < row.last_seq else None
    return messages[0].seq if messages[0].seq > row.first_seq else None


def _info(row: ConversationRow, unread: int) -> frames.ConversationInfo:
    return frames.ConversationInfo(
        conversation=conversation_id(row.id),
        name=row.peer_name,
        kind="pair",
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        read=row.read,
        delivered=row.delivered,
        unread=unread,
    )


def _fitting(found: list[Found]) -> list[Found]:
    """As many as fit into a line, and at least one."""
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
