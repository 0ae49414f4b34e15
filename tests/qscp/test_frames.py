from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from msgspec import inspect

from qscp import frames
from qscp.codec import decode_client_frame, decode_server_frame, encode
from qscp.frames import CLIENT_FRAMES, SERVER_FRAMES
from qscp.rooms import HistoryFrom, RoomKind
from tests.support.strategies import OBJECTS, client_frames, empty, server_frames, smallest

SECRET = "hunter2 secret"
ROOM = frames.Room("#dev", "c1", RoomKind.CLOSED, HistoryFrom.FULL, 3, topic=SECRET)


@pytest.mark.parametrize(
    "frame",
    [
        frames.Auth(user="alice", password=SECRET),
        frames.SendChat(to="bob", body=SECRET, id="0" * 32),
        frames.Chat(
            conversation="c1",
            seq=1,
            id="0" * 32,
            sender="alice",
            to="bob",
            body=SECRET,
            time=1764000000000,
            origin="live",
        ),
        frames.SearchRequest(SECRET),
        frames.History(
            conversation="c1", messages=[frames.Message(1, "", "a", SECRET, 0)], first_seq=1, last_seq=1
        ),
        frames.SearchResults([frames.Match("c1", "a", 1, "a", SECRET, 0)]),
        frames.SetPresence("away", SECRET),
        frames.PresenceAck("away", SECRET),
        frames.SendEdit("bob", 1, SECRET, "0" * 32),
        frames.SendRedaction("#dev", 1, "0" * 32, SECRET),
        frames.SendReaction("bob", 1, SECRET, "0" * 32),
        frames.Edit("c1", 2, "", "alice", "bob", 1, SECRET, 0, "live"),
        frames.React("c1", 2, "", "alice", "bob", 1, SECRET, 0, "live"),
        frames.RoomRequest("ban", "#dev", user="bob", text=SECRET),
        frames.RoomLeft("c1", "#dev", "banned", "alice", SECRET),
        frames.RoomChanged(ROOM, 1, 2, "alice"),
        frames.Invited(ROOM, "alice"),
        frames.Rooms([ROOM]),
        frames.RoomLog("#dev", [frames.LogEntry(0, "alice", "ban", "bob", text=SECRET)]),
        frames.Moderated("c1", [frames.ModerationAction("alice", "ban", "bob", text=SECRET)]),
    ],
)
def test_a_logged_frame_shows_no_secret(frame: frames.Frame) -> None:
    """`str` begins with the type, and has no password, message text, away text, topic or reason."""
    assert str(frame).startswith(frame.type)
    assert SECRET not in str(frame)


@pytest.mark.parametrize(
    "cls",
    [
        frames.Auth,
        frames.SendChat,
        frames.Chat,
        frames.SendEdit,
        frames.Edit,
        frames.SendRedaction,
        frames.SendReaction,
        frames.React,
        frames.RoomRequest,
        frames.RoomLeft,
        frames.LogEntry,
        frames.ModerationAction,
        frames.SearchRequest,
        frames.Message,
        frames.Match,
    ],
)
def test_a_frame_in_a_traceback_shows_no_secret(cls: type[frames.Part]) -> None:
    """`repr` shows all fields but the password, body, search, text or reason."""
    fields = dict.fromkeys(cls.__struct_fields__, SECRET)
    (hidden,) = cls._secret
    assert hidden in {"password", "body", "query", "text", "reason"}
    shown = repr(cls(**fields))
    assert shown.count(SECRET) == len(fields) - 1
    assert f"{hidden}=..." in shown


def test_a_page_in_a_traceback_shows_no_message_text() -> None:
    """`repr` of a page hides the text of its messages."""
    messages = [frames.Message(1, "", "alice", SECRET, 0)]
    shown = repr(frames.History(conversation="c1", messages=messages, first_seq=1, last_seq=1))
    assert "sender='alice', body=..." in shown
    assert SECRET not in shown


@given(client_frames() | server_frames())
def test_any_frame_is_logged_on_one_short_line(frame: frames.Frame) -> None:
    """`str` escapes control characters and truncates long values."""
    shown = str(frame)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert len(shown) < 40 + 5 * (40 * 10 + 20)


@pytest.mark.parametrize(
    ("classes", "decode"), [(CLIENT_FRAMES, decode_client_frame), (SERVER_FRAMES, decode_server_frame)]
)
def test_the_decoder_of_a_side_knows_all_of_its_frames(
    classes: tuple[type[frames.Frame], ...], decode: Callable[[bytes], frames.Frame | None]
) -> None:
    """Each class of a side survives its codec, and no two have the same type."""
    for cls in classes:
        frame = smallest(cls)
        assert decode(encode(frame)) == frame
    assert len({cls.__struct_config__.tag for cls in classes}) == len(classes)


def test_the_server_is_strict_and_the_client_lenient() -> None:
    """Only client frames other than `auth` forbid unknown fields."""
    classes = (*CLIENT_FRAMES, *SERVER_FRAMES, *OBJECTS)
    strict = {cls for cls in classes if cls.__struct_config__.forbid_unknown_fields}
    assert strict == {*CLIENT_FRAMES, frames.Position} - {frames.Auth}


@pytest.mark.parametrize("cls", [*CLIENT_FRAMES, *SERVER_FRAMES, *sorted(OBJECTS, key=str)])
def test_required_fields_are_always_on_the_wire(cls: type[frames.Part]) -> None:
    """Only defaults are omitted: a required 0, empty text or empty list is written."""
    kind = inspect.type_info(cls)
    least = empty(kind)
    frame = msgspec.convert(least, cls)
    tag = cls.__struct_config__.tag
    assert msgspec.to_builtins(frame) == ({"type": tag} if tag else {}) | least  # type: ignore[operator]


@pytest.mark.parametrize("cls", [*CLIENT_FRAMES, *SERVER_FRAMES, *sorted(OBJECTS, key=str)])
def test_the_package_exports_every_frame_and_object(cls: type[frames.Part]) -> None:
    """`qscp.frames` has each class of its modules under its own name."""
    assert getattr(frames, cls.__name__) is cls
