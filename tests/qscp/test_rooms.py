import unicodedata
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qscp import frames
from qscp.errors import ErrorCode, InvalidNameError, InvalidTextError
from qscp.limits import BODY_LIMIT, MENTIONS_LIMIT, NAME_LIMIT, REACTION_LIMIT, TOPIC_LIMIT
from qscp.names import normalize_name
from qscp.rooms import (
    PERMISSIONS,
    RANKS,
    ROOM_FIELDS,
    RoomAction,
    RoomRole,
    check_reaction,
    check_topic,
    is_room,
    mentioned,
    normalize_recipient,
    normalize_room,
)
from qscp.text import check_body

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,31}", fullmatch=True)
MENTIONABLE = NAMES.filter(lambda name: name[-1] not in ".-")
BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
KELVIN, CYRILLIC_A, FULLWIDTH_A = "\u212a", "\u0430", "\uff41"


# --- names of rooms


@given(NAMES)
def test_a_room_is_its_name_behind_the_sign(name: str) -> None:
    """A folded name stays the same; capitals, surrounding blanks and a missing sign do not matter."""
    assert normalize_room(f"#{name}") == f"#{name}"
    assert normalize_room(f" \t#{name.upper()}\n") == f"#{name}"
    assert normalize_room(name) == f"#{name}"


@given(NAMES)
def test_a_recipient_is_a_user_or_a_room(name: str) -> None:
    """With the sign a recipient is a room, without it a user."""
    assert normalize_recipient(f" {name.upper()} ") == name
    assert normalize_recipient(f" #{name.upper()} ") == f"#{name}"
    for text in ("", "#", f"{name}#", f"# {name}", f"##{name}"):
        with pytest.raises(InvalidNameError):
            normalize_recipient(text)


@given(st.text("#aA0.-_ \n\u202e" + KELVIN + CYRILLIC_A + FULLWIDTH_A) | st.text(max_size=NAME_LIMIT + 3))
@example("#" + KELVIN)
def test_whatever_is_accepted_as_a_room_has_the_one_form(text: str) -> None:
    """An accepted room name is the sign and a valid name, and so never a user's name."""
    try:
        room = normalize_room(text)
    except InvalidNameError:
        return
    assert room[0] == "#"
    assert normalize_name(room[1:]) == room[1:]
    assert room.isascii()
    assert normalize_room(room) == room
    assert is_room(room)
    with pytest.raises(InvalidNameError):
        normalize_name(room)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#",
        " ",
        "##dev",
        "# dev",
        "#\tdev",
        "#de v",
        "#.dev",
        "#dev#",
        "#dev\n#ops",
        "#../dev",
        "#" + "a" * (NAME_LIMIT + 1),
        "#" + KELVIN,
        "#d\u0435v",  # CYRILLIC SMALL LETTER IE
        "#" + FULLWIDTH_A,
        "\uff03dev",  # FULLWIDTH NUMBER SIGN
        "#dev\u200b",
        "\u200b#dev",
        "#\u202edev",
        "#dev\x00",
        "#\ud800",
    ],
)
def test_other_texts_are_no_rooms(text: str) -> None:
    """Two signs, inner blanks, look-alikes and invisible characters are refused with a safe error."""
    with pytest.raises(InvalidNameError) as caught:
        normalize_room(text)
    assert str(caught.value).isprintable()


def test_a_typed_name_is_recognized_as_a_room_or_a_user() -> None:
    """The sign marks a room, also behind blanks; look-alikes of it do not."""
    assert is_room("#dev")
    assert is_room(" \t#dev")
    assert not is_room("dev")
    assert not is_room("")
    assert not is_room("\uff03dev")


# --- topics and reactions


def refused(check: Callable[[str], None], text: str) -> bool:
    """Return whether a text is refused as `bad_text`."""
    try:
        check(text)
    except InvalidTextError as error:
        return error.code is ErrorCode.BAD_TEXT
    return False


@pytest.mark.parametrize(
    "text", ["", "plans, and coffee", "é" * (TOPIC_LIMIT // 2), "שלום", "a\tb", "\U0001f469\u200d\U0001f4bb"]
)
def test_one_line_of_any_language_is_a_topic(text: str) -> None:
    """An empty text, or one line up to the limit in bytes, is a topic."""
    assert not refused(check_topic, text)


@pytest.mark.parametrize(
    "text",
    ["a\nb", "a\r", "\x1b[2J", "\x00", "\x9b", "\ud800", *BIDI_CONTROLS, "a" * (TOPIC_LIMIT + 1), "é" * 201],
)
def test_other_topics_are_refused(text: str) -> None:
    """A second line, controls, bidi characters and an excess byte have one code."""
    assert refused(check_topic, text)
    assert refused(check_topic, f"a{text}")


@given(st.text(max_size=TOPIC_LIMIT + 10) | st.text(st.characters(codec="utf-8"), min_size=100))
def test_a_good_topic_is_one_safe_line(text: str) -> None:
    """An accepted topic has UTF-8, fits, and is valid in a message too."""
    if not refused(check_topic, text):
        assert len(text.encode()) <= TOPIC_LIMIT
        assert "\n" not in text
        check_body(f"x{text}")


@pytest.mark.parametrize(
    "text",
    [
        "+1",
        "ok",
        "\U0001f44d",
        "\U0001f44d\U0001f3fd",  # with a skin tone
        "\u2764\ufe0f",  # a heart, shown as an emoji
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",  # a family
        "\U0001f1e9\U0001f1ea",  # a flag
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # Scotland's, with tags
        "\U0001fae9",  # newer than some Pythons
        "é" * (REACTION_LIMIT // 2),
    ],
)
def test_an_emoji_or_a_short_word_is_a_reaction(text: str) -> None:
    """Emoji of all kinds are accepted, also those unknown to Python."""
    assert not refused(check_reaction, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        " a",
        "a\t",
        "a\u3000b",
        "a\n",
        "\x07",
        "\ud800",
        "\u200b",
        "\u200d\ufe0f",
        "\ufeff",
        "a" * (REACTION_LIMIT + 1),
        *BIDI_CONTROLS,
    ],
)
def test_other_reactions_are_refused(text: str) -> None:
    """Blanks, lines, controls, invisible texts and an excess byte have one code."""
    assert refused(check_reaction, text)


@given(st.text(max_size=REACTION_LIMIT))
def test_a_good_reaction_is_one_word(text: str) -> None:
    """An accepted reaction fits, has no blank, and is a valid topic too."""
    if not refused(check_reaction, text):
        assert text.split() == [text]
        assert 0 < len(text.encode()) <= REACTION_LIMIT
        assert not refused(check_topic, text)


# --- mentions


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("@bob", ["bob"]),
        ("Hello @Bob, and @CAROL: @bob!", ["bob", "carol"]),
        ("(@bob) «@carol» \"@dave\" '@erin' /@frank", ["bob", "carol", "dave", "erin", "frank"]),
        ("@bob's, @carol. @dave... @erin- @frank-.", ["bob", "carol", "dave", "erin", "frank"]),
        ("@j.r.r-tolkien_2.", ["j.r.r-tolkien_2"]),
        ("@bob\n@carol\t@dave", ["bob", "carol", "dave"]),
        ("你好@bob请看", ["bob"]),
        ("@" + "a" * NAME_LIMIT, ["a" * NAME_LIMIT]),
        ("write to bob@example.org or j.r@example.org", []),
        ("write to bob-@example.org, bob_@example.org, bob.@example.org", []),
        ("@bob@example.org", []),
        ("@@bob @ bob @", []),
        ("@", []),
        ("@.bob @-bob @_bob", []),
        ("@" + "a" * (NAME_LIMIT + 1), []),
        ("@" + "a." * NAME_LIMIT + "b", []),
        (f"@{KELVIN}elvin @{FULLWIDTH_A}lice \uff20bob", []),
        (f"@{CYRILLIC_A}lice @b{CYRILLIC_A}ob @bob{CYRILLIC_A} {CYRILLIC_A}@bob", []),
        ("@bobé @bob\u0301 @\u017fam é@bob", []),
        ("no at sign", []),
        ("", []),
    ],
)
def test_names_behind_an_at_sign_are_mentioned(body: str, names: list[str]) -> None:
    """Whole names are found, in lower case and once; addresses and longer words are not."""
    assert mentioned(body) == names


@given(MENTIONABLE, MENTIONABLE)
def test_every_name_can_be_mentioned_anywhere(one: str, other: str) -> None:
    """A mention works at both ends and inside a message, in capitals, and before punctuation."""
    assert mentioned(f"@{one}") == [one]
    assert mentioned(f"@{one.upper()}, see @{other}.") == list(dict.fromkeys([one, other]))
    assert mentioned(f"Hello @{one}") == [one]


@given(st.text() | st.text("@ab.-_ #" + KELVIN + CYRILLIC_A + "\u0301\u202e\u200b你"))
def test_only_names_that_stand_there_are_mentioned(body: str) -> None:
    """All mentions are valid names that follow an `@` in the text, without repeats."""
    names = mentioned(body)
    assert len(names) <= MENTIONS_LIMIT
    assert len(set(names)) == len(names)
    for name in names:
        assert normalize_name(name) == name
        assert f"@{name}" in body.lower()


@given(NAMES, st.characters(codec="utf-8", categories=["Ll", "Lu", "Mn"], max_codepoint=0x52F))
def test_a_longer_name_is_not_mentioned(name: str, letter: str) -> None:
    """A name that a look-alike letter extends on either side is no mention."""
    assert unicodedata.category(letter) in {"Ll", "Lu", "Mn"}
    if not letter.isascii():
        assert mentioned(f"@{name}{letter}") == []
        assert mentioned(f"@{letter}{name}") == []


def test_more_names_than_the_limit_are_not_mentioned() -> None:
    """Only the first names up to the limit count, and repeats do not count."""
    names = [f"u{number}" for number in range(MENTIONS_LIMIT + 5)]
    body = "@u0 " * 30 + " ".join(f"@{name}" for name in names)
    assert mentioned(body) == names[:MENTIONS_LIMIT]


@pytest.mark.parametrize(
    "repeated",
    [
        "@",
        "@a",
        "@a.",
        "@.",
        "@-a ",
        "a.",
        "@a" + "." * 40,
        "@" + "a" * 33 + " ",
        "@é",
        ".@a",
        "@a@",
        "@a.-",
        "a",
    ],
)
def test_the_search_for_mentions_never_backtracks(repeated: str) -> None:
    """Inputs far above the limit are searched in linear time; backtracking would take hours."""
    assert len(mentioned(f"@{repeated * BODY_LIMIT * 8}")) <= MENTIONS_LIMIT


# --- the tables


def test_the_tables_know_the_same_actions() -> None:
    """Each action of a `room` frame has its fields, and a lowest role unless it creates the room."""
    actions = get_args(RoomAction)
    assert set(ROOM_FIELDS) == set(actions)
    assert set(actions) - set(PERMISSIONS) == {"create"}
    assert set(PERMISSIONS) - set(actions) == {"write", "announce", "react", "redact"}


def test_the_fields_of_actions_are_fields_of_the_frame() -> None:
    """Required and optional fields are disjoint, and each field of the frame belongs to an action."""
    known = set(frames.RoomRequest.__struct_fields__) - {"action", "room"}
    for needed, allowed in ROOM_FIELDS.values():
        assert not needed & allowed
        assert needed | allowed <= known
    assert known == {field for fields in ROOM_FIELDS.values() for part in fields for field in part}


def test_ranks_put_the_roles_in_their_order() -> None:
    """The order is owner, moderator, member, non-member."""
    assert sorted(RANKS, key=RANKS.__getitem__) == [None, RoomRole.MEMBER, RoomRole.MODERATOR, RoomRole.OWNER]
    assert len(set(RANKS.values())) == len(RANKS)


def test_a_higher_role_has_all_permissions_of_a_lower_one() -> None:
    """A permission is a lowest role, so an owner has all permissions."""
    for lowest in PERMISSIONS.values():
        assert RANKS[lowest] <= RANKS[RoomRole.OWNER]
        assert RANKS[lowest] > RANKS[None]
