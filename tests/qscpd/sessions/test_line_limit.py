"""Frames of the daemon are never over the line limit, whatever they contain."""

import asyncio
from collections.abc import Sequence
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qscp import codec, frames
from qscp.errors import ErrorCode, InvalidTextError
from qscp.limits import (
    BODY_LIMIT,
    LINE_LIMIT,
    LINE_LIMIT_BEFORE_LOGIN,
    MENTIONS_LIMIT,
    NAME_LIMIT,
    PAGE_LIMIT,
    REACTION_LIMIT,
    REACTIONS_LIMIT,
    STATUS_TEXT_LIMIT,
    TOPIC_LIMIT,
)
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscp.text import check_body
from qscpd.accounts.directory import Directory
from qscpd.chat import room_summaries
from qscpd.chat.presence import Presence
from qscpd.domain.model import (
    NO_META,
    Account,
    AccountState,
    ConversationRow,
    ConversationSummary,
    Found,
    LogRow,
    MessageMeta,
    MessageRow,
)
from qscpd.domain.pages import split, take
from qscpd.handlers import history
from qscpd.handlers import rooms as room_handlers
from qscpd.handlers.messages import MessageHandlers
from qscpd.sessions.catch_up import PAGE_BYTES
from qscpd.sessions.encoding import frame_for_row, history_message
from qscpd.sessions.identity import Identity

HIGHEST = 2**53 - 1
NAME = "n" * NAME_LIMIT + "~99999"
"""The longest name, of one of many former holders."""

NAMES = {1: NAME}
CONVERSATION = 10**15 - 1
"""The highest number that `parse_conversation` accepts."""

FULL = MessageMeta(
    reply_to=HIGHEST,
    mentions=(1,) * MENTIONS_LIMIT,
    edited_ms=HIGHEST,
    reactions={'"' * (REACTION_LIMIT - 2) + f"{n:02}": (1,) for n in range(REACTIONS_LIMIT)},
)
"""The longest metadata of a message."""

bodies = st.none() | st.builds(
    lambda character, size: character * (size // len(character.encode())) or "x",
    st.sampled_from(['"', "\\", "\n", "a", "\u00e9", "\u20ac", "\U0001f600"]),
    st.sampled_from([1, 100, 250, 3000, BODY_LIMIT - 3, BODY_LIMIT]),
)
pages = st.builds(
    lambda some, times, meta: rows((some * times)[:PAGE_LIMIT], meta),
    st.lists(bodies, min_size=1, max_size=12),
    st.integers(1, 30),
    st.sampled_from([NO_META, FULL]),
)


def rows(texts: list[str | None], meta: MessageMeta = NO_META) -> list[MessageRow]:
    """Return messages with these bodies, and the longest values elsewhere."""
    return [MessageRow(HIGHEST, HIGHEST, 1, "f" * 32, body, meta) for body in texts]


def size(frame: frames.ServerFrame) -> int:
    """Return the bytes of a frame's line, without the newline."""
    return len(codec.encode(frame)) - 1


def allowed_in_a_body(character: str) -> bool:
    """Return whether a body can have a character."""
    try:
        check_body(f"x{character}")
    except InvalidTextError:
        return False
    return True


@pytest.fixture(scope="module")
def handlers() -> history.HistoryHandlers:
    """Handlers of history, for an account with the longest name."""
    directory = Directory([Account(1, NAME, AccountState.ACTIVE, 0)], NAMES)
    return history.HistoryHandlers(mock.Mock(directory=directory), mock.Mock(), mock.Mock(), mock.Mock())


def test_a_character_takes_at_most_twice_its_bytes_on_the_wire() -> None:
    """Only four characters of a body are escaped, each to two bytes, as pages assume."""
    allowed = "".join(filter(allowed_in_a_body, map(chr, range(0x110000))))
    escaped = [
        character
        for character in allowed[:200]
        if size(frames.Error("", character)) > size(frames.Error("", "x" * len(character.encode())))
    ]
    assert escaped == ["\t", "\n", '"', "\\"]
    beyond = allowed[200:]
    assert size(frames.Error("", beyond)) == size(frames.Error("", "")) + len(beyond.encode())


@given(page=pages)
@example(page=rows(['"' * BODY_LIMIT] * PAGE_LIMIT))
@example(page=rows(['"' * BODY_LIMIT] * PAGE_LIMIT, FULL))
@example(page=rows(["x"] * PAGE_LIMIT))
@example(page=rows(["x"] * PAGE_LIMIT, FULL))
@example(page=rows([None] * PAGE_LIMIT))
@example(page=rows(['"' * (PAGE_BYTES // 2 - 200), *['"'] * PAGE_LIMIT]))
def test_a_page_of_history_is_a_line(page: list[MessageRow]) -> None:
    """A page of history has at least one message, and fits in a line."""
    taken = take(page, PAGE_LIMIT, PAGE_BYTES)
    frame = frames.History(
        conversation=f"c{CONVERSATION}",
        messages=[history_message(row, NAMES, 1) for row in split(taken)[0]],
        first_seq=HIGHEST,
        last_seq=HIGHEST,
        cursor=HIGHEST,
    )
    assert taken
    assert size(frame) <= LINE_LIMIT


@given(page=pages)
@example(page=rows(['"' * BODY_LIMIT] * PAGE_LIMIT))
@example(page=rows(["x"] * PAGE_LIMIT))
def test_a_page_of_a_search_is_a_line(handlers: history.HistoryHandlers, page: list[MessageRow]) -> None:
    """A page of matches has at least one, and fits in a line."""
    found = [Found(CONVERSATION, row, NAME) for row in page]
    shown = history._fitting(found)
    frame = frames.SearchResults(
        matches=[handlers._match(each) for each in shown],
        cursor=".".join(map(str, (HIGHEST, HIGHEST, HIGHEST))),
        complete=False,
    )
    assert shown
    assert size(frame) <= LINE_LIMIT


@pytest.mark.parametrize("body", ['"' * BODY_LIMIT, "\u20ac" * (BODY_LIMIT // 3), None])
def test_a_message_is_a_line(body: str | None) -> None:
    """The longest message and the longest edit fit in a line."""
    for meta in (FULL, MessageMeta(kind="edit", target=HIGHEST, mentions=FULL.mentions)):
        row = rows([body], meta)[0]
        sent = frame_for_row(CONVERSATION, row, to=NAME, origin="replay", names=NAMES, viewer=1)
        assert size(sent) <= LINE_LIMIT


def test_a_page_of_conversations_is_a_line() -> None:
    """A page of the longest names and the highest numbers fits in a line."""
    row = ConversationRow(CONVERSATION, 1, NAME, HIGHEST, HIGHEST, HIGHEST, HIGHEST)
    page = [history._info(ConversationSummary(row, HIGHEST, HIGHEST))] * history._CONVERSATIONS
    assert size(frames.Conversations(page, page[-1].conversation)) <= LINE_LIMIT


ROOM = frames.Room(
    "#" + NAME,
    f"c{CONVERSATION}",
    RoomKind.ANNOUNCEMENT,
    HistoryFrom.JOINING,
    HIGHEST,
    '"' * TOPIC_LIMIT,
    HIGHEST,
    archived=True,
    role=RoomRole.MODERATOR,
    invited=True,
)
"""The longest room."""


def test_pages_of_rooms_are_lines() -> None:
    """Pages of rooms, members and log entries fit in a line with the longest values."""
    member = frames.Member(NAME, RoomRole.MODERATOR, "offline", HIGHEST)
    row = LogRow(HIGHEST, HIGHEST, 1, "unarchive", 1, HIGHEST, HIGHEST - 1, '"' * (TOPIC_LIMIT + 60))
    entry = room_handlers.RoomHandlers._entry(mock.Mock(_directory=mock.Mock(names=NAMES)), row)
    change = frames.MemberChange(NAME, RoomRole.MODERATOR)
    for frame in (
        frames.Rooms([ROOM] * room_handlers._PAGE, ROOM.name),
        frames.RoomMembers(ROOM.name, [member] * room_handlers._MEMBERS, NAME),
        frames.RoomLog(ROOM.name, [entry] * room_handlers._LOG, str(HIGHEST)),
        frames.MembersChanged(ROOM.conversation, HIGHEST, [change] * room_summaries._LISTED, HIGHEST),
    ):
        assert size(frame) <= LINE_LIMIT


async def test_a_page_of_presence_is_a_line() -> None:
    """Pages of presence fit in a line with the longest names and away texts."""
    sent: asyncio.Future[Sequence[frames.PresenceChanges]] = asyncio.get_running_loop().create_future()
    presence = Presence(sent.set_result)
    for number in range(250):
        presence.update(f"{number:032}", [("offline", ""), ("away", '"' * STATUS_TEXT_LIMIT)])
    changes = await sent
    presence.close()
    lines = [*map(codec.encode, changes), *presence.pages("")]
    assert len(lines) == 6
    assert max(map(len, lines)) <= LINE_LIMIT


@pytest.mark.parametrize("character", ["0", '"', "\x01", "\u20ac"])
def test_the_refusal_of_a_chat_is_a_line(character: str) -> None:
    """The nack of a `chat` whose id fills its line fits in a line."""
    empty = size_of_chat("")
    chat = frames.SendChat(
        to="", body="", id=character * ((LINE_LIMIT - empty) // (size_of_chat(character) - empty))
    )
    session, router = mock.Mock(), mock.Mock()
    router.directory.accounts, router.directory.by_name.return_value = {}, None
    MessageHandlers(router).chat(session, Identity(1, "alice"), chat)
    (answer,) = session.send.call_args.args
    assert answer.code is ErrorCode.BAD_ID
    assert chat.id.startswith(answer.id)
    assert size(answer) <= LINE_LIMIT_BEFORE_LOGIN


def size_of_chat(message_id: str) -> int:
    """Return the bytes in the line of a chat that has only an id."""
    return len(codec.encode(frames.SendChat(to="", body="", id=message_id))) - 1
