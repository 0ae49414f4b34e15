"""`history`, `conversations` and `search`: pages, cursors and refusals."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscp import frames
from qscpd.domain.model import Keep, MessageMeta, NewMessage
from qscpd.store.sqlite.store import SqliteStore
from tests.support.ids import IdMaker
from tests.support.in_process_server import InProcessPeer, InProcessServer, make_accounts

make_id = IdMaker()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A daemon without a network: alice wrote seven messages to bob, and carol one to him."""
    make_accounts(tmp_path / "qscpd.db", "alice", "bob", "carol")
    store = SqliteStore(tmp_path / "qscpd.db")
    store.append([NewMessage(1, 2, f"{n:032x}", f"message number {n}") for n in range(1, 8)])
    store.append([NewMessage(3, 2, f"{1:032x}", "Bonjour number one")])
    async with InProcessServer(store) as opened:
        yield opened


@pytest.fixture
async def bob(server: InProcessServer) -> InProcessPeer:
    """A session of bob."""
    return await server.visitor("bob")


async def history(server: InProcessServer, peer: InProcessPeer, **fields: int) -> frames.History:
    """Request a page of the first conversation."""
    answer = await server.ask(peer, frames.HistoryRequest("c1", **fields))
    assert isinstance(answer, frames.History)
    return answer


@pytest.mark.parametrize(
    ("fields", "seqs", "cursor"),
    [
        ({"limit": 3}, [5, 6, 7], 5),
        ({"before": 5, "limit": 3}, [2, 3, 4], 2),
        ({"before": 3, "limit": 3}, [1, 2], None),
        ({"before": 1}, [], None),
        ({"before": 2**53 - 1, "limit": 1}, [7], 7),
        ({"after": 0, "limit": 3}, [1, 2, 3], 3),
        ({"after": 4, "limit": 3}, [5, 6, 7], None),
        ({"after": 7}, [], None),
    ],
)
async def test_pages_of_history(
    server: InProcessServer, bob: InProcessPeer, fields: dict[str, int], seqs: list[int], cursor: int | None
) -> None:
    """Pages go backward from the end or a seq, or forward from a seq; the cursor continues them."""
    page = await history(server, bob, **fields)
    assert [message.seq for message in page.messages] == seqs
    assert (page.cursor, page.first_seq) == (cursor, 1)


async def react(server: InProcessServer, many: int) -> None:
    """Store amendments of the first message: bob adds and removes a reaction in turn."""
    metas = [MessageMeta(kind="react", target=1, removed=bool(n % 2)) for n in range(many)]
    amendments = [NewMessage(2, 1, make_id(), "ok", meta) for meta in metas]
    await server.writer.perform(lambda store: store.append(amendments))


async def write(server: InProcessServer, *texts: str) -> None:
    """Store messages of alice in the first conversation."""
    messages = [NewMessage(1, 2, make_id(), text) for text in texts]
    await server.writer.perform(lambda store: store.append(messages))


@pytest.mark.parametrize("direction", ["before", "after"])
@pytest.mark.parametrize("limit", [1, 4, 200])
async def test_pages_of_history_are_of_messages(
    server: InProcessServer, bob: InProcessPeer, direction: str, limit: int
) -> None:
    """Pages contain each message once, however many amendments are between them."""
    await react(server, 450)
    await write(server, "more", "and more")
    await react(server, 6)
    seqs: list[int] = []
    cursor: int | None = 0 if direction == "after" else 2**53 - 1
    while cursor is not None:
        page = await history(server, bob, **{direction: cursor, "limit": limit})
        page_seqs = [message.seq for message in page.messages]
        assert 0 < len(page_seqs) <= limit or (not page_seqs and page.cursor is None)
        seqs = seqs + page_seqs if direction == "after" else page_seqs + seqs
        cursor = page.cursor
    assert seqs == [1, 2, 3, 4, 5, 6, 7, 458, 459]


@pytest.mark.parametrize(("direction", "first", "last"), [("before", 2508, 7), ("after", 7, 2508)])
async def test_a_page_of_history_skips_a_limited_number_of_amendments(
    server: InProcessServer, bob: InProcessPeer, direction: str, first: int, last: int
) -> None:
    """With too many amendments and no message, a page is empty, and its cursor leads to the message."""
    await react(server, 2500)
    await write(server, "at last")
    page = await history(server, bob, **{direction: first, "limit": 1})
    assert page.messages == []
    assert page.cursor is not None
    page = await history(server, bob, **{direction: page.cursor, "limit": 1})
    assert [message.seq for message in page.messages] == [last]


async def test_history_has_the_first_seq(server: InProcessServer, bob: InProcessPeer) -> None:
    """After pruning a page has the first seq and the remaining messages only."""
    await server.prune(2)
    page = await history(server, bob, after=0)
    assert ([message.seq for message in page.messages], page.first_seq, page.cursor) == ([6, 7], 6, None)


@pytest.mark.parametrize("conversation", ["c2", "c9", "nonsense"])
async def test_conversations_of_others_are_unknown(server: InProcessServer, conversation: str) -> None:
    """History of another's, a missing or an invalid conversation is refused as unknown."""
    alice = await server.visitor("alice")
    answer = await server.ask(alice, frames.HistoryRequest(conversation))
    assert isinstance(answer, frames.Error)
    assert (answer.code, answer.ref) == ("unknown_conversation", "history")


async def test_before_and_after_exclude_each_other(server: InProcessServer, bob: InProcessPeer) -> None:
    """A request with both `before` and `after` is refused."""
    answer = await server.ask(bob, frames.HistoryRequest("c1", before=3, after=1))
    assert isinstance(answer, frames.Error)
    assert (answer.code, answer.ref) == ("bad_field", "history")


async def test_conversations_are_paged(server: InProcessServer, bob: InProcessPeer) -> None:
    """The pages of conversations contain each one once, with the peer's name."""

    def add(store: object) -> None:
        assert isinstance(store, SqliteStore)
        for n in range(150):
            account = store.add_account(f"u{n}", "x")
            store.append([NewMessage(account.id, 2, f"{1:032x}", "hello")])

    await server.writer.perform(add)
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await server.ask(bob, frames.ConversationsRequest(cursor))
        assert isinstance(page, frames.Conversations)
        pages.append([info.name for info in page.conversations])
        cursor = page.cursor
    assert [len(page) for page in pages] == [100, 52]
    assert sorted(name for page in pages for name in page) == sorted(
        ["alice", "carol", *(f"u{n}" for n in range(150))]
    )


async def test_a_search_covers_the_user_s_conversations(server: InProcessServer, bob: InProcessPeer) -> None:
    """A search matches all words, ignoring case and accents, in the user's own conversations."""
    await server.writer.perform(lambda store: [store.housekeeping.step(Keep()) for _ in range(5)])
    alice = await server.visitor("alice")
    found = await server.ask(bob, frames.SearchRequest("NUMBER bonjour"))
    assert isinstance(found, frames.SearchResults)
    assert [(match.name, match.sender, match.body) for match in found.matches] == [
        ("carol", "carol", "Bonjour number one")
    ]
    mine = await server.ask(alice, frames.SearchRequest("number"))
    assert isinstance(mine, frames.SearchResults)
    assert [match.seq for match in mine.matches] == [7, 6, 5, 4, 3, 2, 1]


async def test_a_search_is_paged(server: InProcessServer, bob: InProcessPeer) -> None:
    """The pages of a search of one conversation contain each match once."""
    await server.writer.perform(lambda store: [store.housekeeping.step(Keep()) for _ in range(5)])
    seqs: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await server.ask(
            bob, frames.SearchRequest("number", conversation="c1", cursor=cursor, limit=3)
        )
        assert isinstance(page, frames.SearchResults)
        seqs += [match.seq for match in page.matches]
        cursor = page.cursor
    assert seqs == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("query", ["", "  ", "!?"])
async def test_a_search_needs_a_word(server: InProcessServer, bob: InProcessPeer, query: str) -> None:
    """A search without a letter or digit is refused."""
    answer = await server.ask(bob, frames.SearchRequest(query))
    assert isinstance(answer, frames.Error)
    assert (answer.code, answer.ref) == ("bad_query", "search")


async def test_answers_come_in_the_order_of_the_requests(server: InProcessServer, bob: InProcessPeer) -> None:
    """Requests and messages sent at once are answered in order."""
    bob.frames.clear()
    bob.send(
        frames.HistoryRequest("c1", limit=1),
        frames.ClientPing(),
        frames.ConversationsRequest(),
        frames.SendChat("alice", "hello", "f" * 32),
        frames.HistoryRequest("c1", limit=1),
    )
    await server.settle()
    assert bob.kinds() == ["history", "pong", "conversations", "chat_ack", "history"]
    answer = bob.frames[-1]
    assert isinstance(answer, frames.History)
    assert [message.body for message in answer.messages] == ["hello"]  # sent before the request
