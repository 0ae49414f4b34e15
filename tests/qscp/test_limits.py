from qscp import codec, frames, limits
from qscp.rooms import HistoryFrom, RoomKind, RoomRole


def test_a_body_fits_into_a_line_however_it_is_escaped() -> None:
    """The longest body fits into a line even if escapes triple its bytes."""
    around = frames.Chat(
        conversation="c" * 40,
        seq=2**53 - 1,
        id="f" * 32,
        sender="a" * limits.NAME_LIMIT,
        to="b" * limits.NAME_LIMIT,
        body="",
        time=2**53 - 1,
        origin="replay",
    )
    assert len(codec.encode(around)) + 3 * limits.BODY_LIMIT <= limits.LINE_LIMIT


def test_a_body_fits_with_all_that_a_message_can_have() -> None:
    """The longest body fits with the most mentions and reactions, all escaped."""
    around = frames.Chat(
        conversation="c" * 40,
        seq=2**53 - 1,
        id="f" * 32,
        sender="a" * limits.NAME_LIMIT,
        to="#" + "b" * limits.NAME_LIMIT,
        body="",
        time=2**53 - 1,
        origin="replay",
        reply_to=2**53 - 1,
        mentions=("m" * limits.NAME_LIMIT,) * limits.MENTIONS_LIMIT,
        edited=2**53 - 1,
        reactions=(frames.Reaction("r" * 3 * limits.REACTION_LIMIT, 2**53 - 1, True),)
        * limits.REACTIONS_LIMIT,
    )
    assert len(codec.encode(around)) + 3 * limits.BODY_LIMIT <= limits.LINE_LIMIT


def test_a_page_of_rooms_and_one_of_a_log_fit_into_a_line() -> None:
    """Fifty rooms with the longest names and topics, or entries with the longest reasons, fit into a line."""
    name, user = "#" + "a" * limits.NAME_LIMIT, "a" * limits.NAME_LIMIT
    room = frames.Room(
        name,
        "c" * 40,
        RoomKind.ANNOUNCEMENT,
        HistoryFrom.JOINING,
        2**53 - 1,
        "x" * limits.TOPIC_LIMIT,
        limits.SLOW_LIMIT_S,
        True,
        RoomRole.MODERATOR,
        True,
    )
    entry = frames.LogEntry(
        2**53 - 1, user, "unarchive", user, 2**53 - 1, 2**53 - 1, "x" * limits.TOPIC_LIMIT
    )
    assert len(codec.encode(frames.Rooms([room] * 50, "x" * limits.QUERY_LIMIT))) <= limits.LINE_LIMIT
    assert (
        len(codec.encode(frames.RoomLog(name, [entry] * 50, "x" * limits.QUERY_LIMIT))) <= limits.LINE_LIMIT
    )


def test_the_longest_login_fits_into_the_small_line() -> None:
    """The longest password, escaped, fits into a line before login with name and version."""
    around = frames.Auth(user="a" * limits.NAME_LIMIT, password="", device="f" * 32, client="c" * 100)
    assert len(codec.encode(around)) + 3 * limits.PASSWORD_LIMIT <= limits.LINE_LIMIT_BEFORE_LOGIN


def test_a_page_of_people_fits_into_a_line() -> None:
    """A hundred users with the longest names and texts, escaped, fit into a line."""
    person = frames.UserPresence("a" * limits.NAME_LIMIT, "online", "x" * limits.STATUS_TEXT_LIMIT)
    page = frames.OnlineUsers(2**53 - 1, [person] * 100, more=True)
    assert len(codec.encode(page)) <= limits.LINE_LIMIT


def test_a_page_of_positions_fits_into_a_line() -> None:
    """The most positions, with long ids, fit into a line."""
    position = frames.Position("c" * 40, 2**53 - 1)
    page = frames.Resume([position] * limits.POSITIONS_LIMIT, more=True)
    assert len(codec.encode(page)) <= limits.LINE_LIMIT


def test_the_longest_search_fits_into_a_line() -> None:
    """The longest search, each character six bytes on the wire, fits into a line with a cursor."""
    around = frames.SearchRequest(
        "\x01" * limits.QUERY_LIMIT, "c" * 40, "\x01" * limits.QUERY_LIMIT, limits.PAGE_LIMIT
    )
    assert len(codec.encode(around)) <= limits.LINE_LIMIT
