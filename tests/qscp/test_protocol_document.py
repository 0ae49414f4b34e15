"""docs/protocol.md, compared with the code: nothing in one that is not in the other."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from msgspec import inspect

from qscp import ALPN, DEFAULT_PORT, PROTOCOL_VERSION, frames, limits
from qscp.codec import decode_client_frame, decode_server_frame, encode
from qscp.connection import ClientConnection, ServerConnection
from qscp.errors import ERROR_CODES, Action
from qscp.features import FEATURES
from qscp.frames import CLIENT_FRAMES, SERVER_FRAMES
from qscp.ids import is_message_id
from qscp.names import normalize_name
from qscp.rooms import (
    PERMISSIONS,
    RANKS,
    ROOM_FIELDS,
    HistoryFrom,
    RoomKind,
    RoomRole,
    check_reaction,
    check_topic,
    is_room,
    mentioned,
    normalize_room,
)
from qscp.states import FATAL_ERROR, TRANSITIONS, Sender, State
from qscp.text import check_body
from tests.support.strategies import OBJECTS as OBJECTS_OF_FRAMES

DOCUMENT = (Path(__file__).parents[2] / "docs/protocol.md").read_text(encoding="utf-8")
SIDES: dict[str, tuple[type[frames.Frame], ...]] = {"Client": CLIENT_FRAMES, "Server": SERVER_FRAMES}
OBJECTS: dict[str, type[msgspec.Struct]] = {
    "limits": frames.Limits,
    "retention": frames.Retention,
    "person": frames.UserPresence,
    "blocked": frames.BlockedUser,
    "position": frames.Position,
    "message": frames.Message,
    "range": frames.HistoryGap,
    "conversation": frames.ConversationInfo,
    "match": frames.Match,
    "reaction": frames.Reaction,
    "room": frames.Room,
    "member": frames.Member,
    "change": frames.MemberChange,
    "moderation": frames.ModerationAction,
    "entry": frames.LogEntry,
}
LITERALS: dict[str, tuple[object, ...]] = {
    "status": get_args(frames.Status),
    "origin": get_args(frames.Origin),
    "kind": ("pair", "room"),
    "room kind": tuple(RoomKind),
    "room history": tuple(HistoryFrom),
    "role": tuple(RoomRole),
    "action": get_args(frames.RoomAction),
}


def section(title: str) -> str:
    """Return the text under a heading, up to the next heading."""
    return re.split(r"^#+ .*$", DOCUMENT.split(f"{title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows in a text."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def blocks(info: str) -> list[str]:
    """Return the lines of all code blocks of a kind."""
    found = re.findall(rf"^```{info}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines()]


CONVERSATIONS = [
    block.splitlines()
    for block in re.findall(r"^```text\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    if block.startswith("C: ")
]
EACH_CONVERSATION = pytest.mark.parametrize("conversation", CONVERSATIONS, ids=["first", "again", "room"])
EVENTS = ("chat", "edit", "redact", "react")
SAID = [line for conversation in CONVERSATIONS for line in conversation]
CLIENT_LINES = blocks("json client") + [line[3:] for line in SAID if line.startswith("C: ")]
SERVER_LINES = blocks("json server") + [line[3:] for line in SAID if line.startswith("S: ")]


# --- frames and fields


def documented(sender: str) -> set[str]:
    """Return the frames that have a heading."""
    return set(re.findall(rf"^#### {sender} sends `(\w+)`$", DOCUMENT, re.MULTILINE))


@pytest.mark.parametrize("sender", SIDES)
def test_every_frame_has_a_heading_and_every_heading_a_frame(sender: str) -> None:
    """Headings and frames match one to one."""
    assert documented(sender) == {cls.__struct_config__.tag for cls in SIDES[sender]}


def type_in_words(kind: inspect.Type) -> str:  # noqa: C901, PLR0911 - a case for each kind of type
    """Return the name of a type in the specification."""
    match kind:
        case inspect.StrType():
            return "string"
        case inspect.IntType():
            return "integer"
        case inspect.FloatType():
            return "seconds"
        case inspect.BoolType():
            return "boolean"
        case inspect.LiteralType(values=values):
            return next(name for name, known in LITERALS.items() if set(known) == set(values))
        case inspect.EnumType(cls=enum):
            return next(name for name, known in LITERALS.items() if set(known) == set(enum))
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return f"list of {type_in_words(item)}"
        case inspect.TupleType(item_types=(inspect.IntType(), inspect.IntType())):
            return "two integers"
        case inspect.StructType(cls=cls):
            return next(name for name, struct in OBJECTS.items() if struct is cls)
        case inspect.UnionType(types=(inner, inspect.NoneType())):
            return type_in_words(inner)
    raise NotImplementedError(kind)


def fields_in_words(cls: type[msgspec.Struct]) -> list[tuple[str, str, str]]:
    """Return name, type and default of each field, in the words of the specification."""
    kind = inspect.type_info(cls)
    assert isinstance(kind, inspect.StructType)
    words = []
    for field in kind.fields:
        if field.required:
            default = "required"
        else:
            value = field.default_factory() if callable(field.default_factory) else field.default
            default = "absent" if value is None else f"`{msgspec.json.encode(value).decode()}`"
        words.append((f"`{field.encode_name}`", type_in_words(field.type), default))
    return words


def test_the_words_for_types_are_explained() -> None:
    """The table of types lists the values of each literal, and all objects are described."""
    for name, values in LITERALS.items():
        (row,) = re.findall(rf"^\| {name} \| (.*) \|$", section("## Lines and frames"), re.MULTILINE)
        assert set(re.findall(r'`"(\w+)"`', row)) == set(values)
    assert set(OBJECTS.values()) == set(OBJECTS_OF_FRAMES)
    assert set(re.findall(r"^#### Object `(\w+)`$", DOCUMENT, re.MULTILINE)) == set(OBJECTS)


def test_the_reasons_of_gaps_are_explained() -> None:
    """Each reason has a row with the reaction of a client."""
    table = [reason for reason, *rest in rows(section("#### Server sends `gap`")) if len(rest) == 2]
    assert table == ["Reason", *(f"`{reason}`" for reason in get_args(frames.GapReason))]


# --- rooms


def codes_in(cell: str) -> list[str]:
    """Return the code spans in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_permissions_is_the_permissions() -> None:
    """Each permission has a row with "yes" for the roles that have it."""
    (head, *table) = rows(section("### Who may do what"))
    roles = [RoomRole(role.lower()) for role in head[1:-1]]
    assert set(roles) == set(RoomRole)
    in_document = [(codes_in(name), cells) for name, *cells, _ in table]
    assert in_document == [
        ([name], ["yes" if RANKS[role] >= RANKS[lowest] else "-" for role in roles])
        for name, lowest in PERMISSIONS.items()
    ]


def test_the_table_of_actions_is_the_fields_of_actions() -> None:
    """Each action of a `room` frame has a row with its required and optional fields."""
    (_, *table) = rows(section("### Actions"))
    in_document = [
        (codes_in(action), set(codes_in(needed)), set(codes_in(allowed)))
        for action, needed, allowed, _ in table
    ]
    assert in_document == [
        ([action], set(needed), set(allowed)) for action, (needed, allowed) in ROOM_FIELDS.items()
    ]


def test_kinds_and_settings_of_rooms_are_explained() -> None:
    """Each kind and each history setting has a row."""
    table = rows(section("## Rooms"))
    assert [codes_in(kind)[0] for kind, *rest in table if len(rest) == 2 and kind != "Kind"] == list(RoomKind)
    past = [codes_in(setting)[0] for setting, *rest in table if len(rest) == 1 and setting != "History"]
    assert past == list(HistoryFrom)


def test_the_codes_that_are_named_in_the_text_are_codes() -> None:
    """Codes in the sections about rooms and events are in the table of codes."""
    for title in (
        "## Changing messages",
        "## Rooms",
        "### Coming and going",
        "### Actions",
        "### Moderation",
        "## Blocking",
    ):
        named = {word for word in codes_in(section(title)) if "_" in word}
        other_names = {
            "room_ack",
            "room_left",
            "room_log",
            "room_members",
            "chat_ack",
            "chat_nack",
            "first_seq",
        }
        assert named - other_names - {"reply_to"} <= set(ERROR_CODES)


TABLES = [
    *(
        pytest.param(f"#### {side} sends `{cls.__struct_config__.tag}`", cls)
        for side in SIDES
        for cls in SIDES[side]
    ),
    *(pytest.param(f"#### Object `{name}`", cls) for name, cls in OBJECTS.items()),
]


@pytest.mark.parametrize(("title", "cls"), TABLES)
def test_every_field_is_documented_with_its_type_and_default(title: str, cls: type[msgspec.Struct]) -> None:
    """A frame's table has exactly its fields, in order; a frame without fields says so."""
    text = section(title)
    cells = [row for row in rows(text) if len(row) == 4 and row[0] != "Field"]
    in_document = [(name, kind, default) for name, kind, default, _ in cells]
    assert in_document == fields_in_words(cls)
    assert in_document or "No fields." in text


# --- codes, limits, states, numbers


def test_the_tables_of_codes_are_the_codes() -> None:
    """Each code has one row, with its sentence and the reaction of a client."""
    text = section("## Codes")
    table = [(code, sentence, action) for code, sentence, action in rows(text) if code != "Code"]
    assert sorted(table) == sorted(
        (f"`{code}`", entry.sentence, entry.action.value) for code, entry in ERROR_CODES.items()
    )
    assert {f"*{action.value}*" for action in Action} == set(
        re.findall(r"^- (\*[^*]+\*):", text, re.MULTILINE)
    )


def test_the_table_of_limits_is_the_limits() -> None:
    """The table has every constant of `qscp.limits`, and no other number."""
    table = [int(value.split()[0]) for what, value in rows(section("## Limits")) if what != "What"]
    assert sorted(table) == sorted(getattr(limits, name) for name in limits.__all__)


@pytest.mark.parametrize(
    ("number", "times"),
    [
        (limits.LINE_LIMIT, 4),
        (limits.LINE_LIMIT_BEFORE_LOGIN, 2),
        (limits.BODY_LIMIT, 4),
        (limits.PASSWORD_LIMIT, 2),
    ],
)
def test_limits_in_the_text_are_the_limits(number: int, times: int) -> None:
    """Limits in the running text have the same values."""
    assert len(re.findall(rf"\b{number}\b", DOCUMENT)) >= times


def test_the_table_of_states_is_the_table_of_transitions() -> None:
    """The table lists the frames that the code allows in each state."""
    for state, *cells in rows(section("## States")):
        if state != "State":
            for sender, cell in zip(Sender, cells, strict=True):
                assert names_in(cell) == set(TRANSITIONS[State(state), sender])


def names_in(cell: str) -> set[str]:
    """Return the frames in a cell; `error` alone stands for both kinds."""
    names = re.findall(
        r"`(\w+)`(?! without| with)", cell.replace("`error` without `ref`", f"`{FATAL_ERROR_WORD}`")
    )
    found = {FATAL_ERROR if name == FATAL_ERROR_WORD else name for name in names}
    return found | {FATAL_ERROR} if "error" in found else found


FATAL_ERROR_WORD = "fatal"


def test_port_protocol_and_version_are_those_of_the_code() -> None:
    """Port, ALPN name and version are those of the code."""
    assert f"port {DEFAULT_PORT}." in section("## Transport").replace(" and at once", ".")
    assert f"select `{ALPN}`" in section("## Transport")
    assert f"This is version {PROTOCOL_VERSION}." in section("## Versions and features")


def test_the_features_are_those_of_the_code() -> None:
    """The table of features has a row for each feature of the code, and no others."""
    head, *table = rows(section("## Versions and features"))
    assert head[0] == "Feature"
    assert {row[0].strip("`") for row in table} == FEATURES


def test_reserved_types_are_not_used_yet() -> None:
    """No frame uses a reserved type."""
    reserved = set(re.findall(r"`(\w+)`", section("## Versions and features").split("Reserved for later")[1]))
    assert "token" in reserved
    assert not reserved & {cls.__struct_config__.tag for cls in (*CLIENT_FRAMES, *SERVER_FRAMES)}


# --- examples


@pytest.mark.parametrize("line", CLIENT_LINES)
def test_examples_of_a_client_pass_the_codec_both_ways(line: str) -> None:
    """Client examples decode strictly, and encode to the same JSON."""
    frame = decode_client_frame(line.encode())
    assert json.loads(encode(frame)) == json.loads(line)
    if isinstance(frame, frames.SendChat | frames.SendEdit | frames.SendRedaction | frames.SendReaction):
        assert is_message_id(frame.id)
        normalize = normalize_room if is_room(frame.to) else normalize_name
        assert normalize(frame.to) == frame.to
    match frame:
        case frames.SendChat(body=body) | frames.SendEdit(body=body):
            check_body(body)
        case frames.SendReaction(text=text):
            check_reaction(text)
        case frames.SendRedaction(reason=reason):
            check_topic(reason)
        case frames.RoomRequest(action=action, text=text):
            check_topic(text or "")
            given = {name for name in json.loads(line) if name not in {"type", "action", "room"}}
            needed, allowed = ROOM_FIELDS[action]
            assert needed <= given <= needed | allowed


@pytest.mark.parametrize("line", SERVER_LINES)
def test_examples_of_a_server_pass_the_codec_both_ways(line: str) -> None:
    """Server examples decode, have only known fields, and encode to the same bytes."""
    frame = decode_server_frame(line.encode())
    assert frame is not None
    assert encode(frame).decode() == line + "\n"


@pytest.mark.parametrize("line", [line for line in SERVER_LINES if '"body":"' in line])
def test_mentions_of_examples_are_those_of_their_text(line: str) -> None:
    """`mentions` in an example are the names in its text."""
    frame = json.loads(line)
    for message in frame.get("messages") or frame.get("matches") or [frame]:
        assert message.get("mentions", []) == mentioned(message["body"])


def test_every_frame_has_an_example() -> None:
    """Each frame of each side has a single example."""
    for lines, classes in ((blocks("json client"), CLIENT_FRAMES), (blocks("json server"), SERVER_FRAMES)):
        shown = {json.loads(line)["type"] for line in lines}
        assert shown == {cls.__struct_config__.tag for cls in classes}


@pytest.mark.parametrize("line", [line for line in SERVER_LINES if '"message"' in line])
def test_sentences_in_examples_are_those_of_their_codes(line: str) -> None:
    """An example's message is its code's sentence, possibly followed by a place."""
    value = json.loads(line)
    sentences = {str(code): entry.sentence for code, entry in ERROR_CODES.items()}
    assert value["message"].startswith(sentences[value.get("code") or value["reason"]])


@EACH_CONVERSATION
def test_an_example_conversation_can_be_replayed(conversation: list[str]) -> None:
    """Two connections replay each whole example line by line, and end in CLOSED."""
    client, server = ClientConnection(), ServerConnection()
    for line in conversation:
        who, wire = line[:3], line[3:].encode() + b"\n"
        if who == "C: ":
            sent = decode_client_frame(wire)
            client.send(sent)
            server.receive_data(wire)
            assert list(server.events()) == [sent]
        else:
            answer = decode_server_frame(wire)
            assert answer is not None
            server.send(answer)
            assert server.data_to_send() == wire
            client.receive_data(wire)
            assert list(client.events()) == [answer]
    assert client.state is server.state is State.CLOSED


def said(conversation: list[str], who: str, *kinds: str) -> list[dict[str, Any]]:
    """Return the frames of some types that one side sends in an example."""
    sent = [json.loads(line[3:]) for line in conversation if line[0] == who]
    return [frame for frame in sent if frame["type"] in kinds]


@EACH_CONVERSATION
def test_a_conversation_keeps_the_rules(conversation: list[str]) -> None:
    """Each message, event and request has one answer; seqs and versions rise; no message is early."""
    sent = said(conversation, "C", *EVENTS)
    answers = said(conversation, "S", "chat_ack", "chat_nack")
    assert sorted(frame["id"] for frame in sent) == sorted(frame["id"] for frame in answers)
    asked = [frame["type"] for frame in said(conversation, "C", "join", "leave", "room")]
    assert [frame["ref"] for frame in said(conversation, "S", "room_ack", "error")] == asked
    for kinds, counter in ((EVENTS, "seq"), (("presence", "online_users"), "version")):
        counts = [frame[counter] for frame in said(conversation, "S", *kinds)]
        assert counts == sorted(set(counts))
    origins = [frame.get("origin") for frame in said(conversation, "S", *EVENTS, "resumed")]
    assert origins == sorted(origins, key=["replay", None, "live"].index)
    types = [json.loads(line[3:])["type"] for line in conversation]
    assert types.index("resume") < types.index("resumed")
    assert (
        "chat"
        not in [kind for line, kind in zip(conversation, types, strict=True) if line[0] == "S"][
            : types.index("resume")
        ]
    )


def test_the_second_conversation_goes_on_with_the_first() -> None:
    """The stored position is the applied one; the resent message is delivered once, with its seq."""
    first, again, _ = CONVERSATIONS
    last_ack = said(first, "S", "chat_ack")[-1]
    (resume,) = said(again, "C", "resume")
    assert resume["positions"] == [{"conversation": last_ack["conversation"], "seq": last_ack["seq"]}]
    replayed = [frame for frame in said(again, "S", "chat") if frame["origin"] == "replay"]
    assert [frame["seq"] for frame in replayed] == [last_ack["seq"] + 1, last_ack["seq"] + 2]
    (ack,) = said(again, "S", "chat_ack")
    assert (ack["id"], ack["seq"], ack["time"]) == tuple(replayed[0][name] for name in ("id", "seq", "time"))


def test_links_inside_the_document_lead_somewhere() -> None:
    """Every linked anchor is a heading."""
    titles = re.findall(r"^#+ (.*)$", DOCUMENT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", DOCUMENT)) <= anchors
