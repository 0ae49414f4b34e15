"""A front end that shows codes and fields only, to prove that the core needs no texts."""

import dataclasses
import enum
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import msgspec

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.engine import Engine
from qscp_client.core.events import Event
from qscp_client.core.notices import Notice, Problem
from qscp_client.ui.base import FrontEnd
from tests.support.engine_harness import ack, ready, room, room_changed, room_message


class CodeFrontEnd:
    """Front end that shows each event as its kind, its code, and the fields that are set.

    Attributes:
        shown: One line for each event.
    """

    password_tries = 1
    counts_failures = False
    shows_at_once = True
    patience_s = None

    def __init__(self) -> None:
        self.shown: list[str] = []

    def private(self) -> AbstractContextManager[None]:
        """Hide nothing."""
        return nullcontext()

    async def ask_user(self) -> str:
        """Not reached."""
        return "alice"

    async def ask_password(self) -> str:
        """Not reached."""
        return "wonderland"

    def attached(self, engine: Engine, touched: Callable[[], None]) -> AbstractContextManager[None]:
        """Use nothing of the engine."""
        del engine, touched
        return nullcontext()

    async def drain(self) -> None:
        """Do nothing: events are kept in memory."""

    def check_output(self) -> None:
        """Do nothing: events are kept in memory."""

    def show(self, happened: Sequence[Event]) -> None:
        """Record events."""
        self.shown += [show_codes(event) for event in happened]

    async def read_lines(self) -> list[TypedLine]:
        """Not reached."""
        return []


def show_codes(event: Event) -> str:
    """Return an event as codes and fields: `notice muted name=#dev by=bob`."""
    kind = type(event).__name__
    code = f" {event.code}" if isinstance(event, Notice | Problem) else ""
    parts = [
        f" {field.name}={show_value(value)}"
        for field in dataclasses.fields(event)
        if field.name != "code" and (value := getattr(event, field.name)) not in (None, "", 0, (), False)
    ]
    return f"{kind}{code}{''.join(parts)}"


def show_value(value: object) -> str:
    """Return a field as a code or value."""
    match value:
        case enum.Enum():
            return value.name
        case tuple():
            return f"[{','.join(show_value(each) for each in value)}]"
        case msgspec.Struct():
            return type(value).__name__
        case _ if dataclasses.is_dataclass(value):
            return type(value).__name__
        case _:
            return str(value)


def texts(value: object) -> Iterator[str]:
    """Yield every text in an event that is not a code, at any depth."""
    match value:
        case str() if not isinstance(value, enum.Enum):
            yield value
        case tuple():
            yield from (text for each in value for text in texts(each))
        case _ if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield from texts(getattr(value, field.name))
        case _:
            pass


def test_a_front_end_needs_no_words() -> None:
    """A whole conversation can be shown as codes and fields."""
    codes = CodeFrontEnd()
    front: FrontEnd = codes
    harness = ready("bob")
    front.show(harness.enter("nosuch", "/nonsense", "/say"))
    front.show(harness.receive(frames.Whois("nosuch", known=False)))
    front.show(harness.enter("bob", "hello"))
    front.show(harness.receive(ack(1, 1)))
    front.show(harness.enter("/edit 7 x", "/history 0", "/join #dev"))
    front.show(harness.receive(room_changed(room()), frames.RoomAck("join", "#dev")))
    muted = ErrorCode.MUTED
    front.show(harness.enter("am I muted?"))
    front.show(harness.receive(frames.ChatNack(f"{2:032x}", muted, ERROR_CODES[muted].sentence, 59)))
    front.show(harness.enter("/mute carol 5x", "/invite carol"))
    code = ErrorCode.NOT_ALLOWED
    front.show(harness.receive(frames.Error(code, "No.", "room"), room_message(1, "hi")))
    harness.engine.disconnected()
    front.show(harness.engine.events_to_show())
    assert codes.shown == [
        "Problem unknown_user name=nosuch",
        "Problem unknown_command command=nonsense",
        "Problem usage command=say",
        "ChatOpened name=bob status=online known=True",
        f"MessageSent id={1:032x} to=bob body=hello kind=CHAT",
        (
            f"OwnMessage id={1:032x} to=bob body=hello time_ms=1001 state=STORED here=True "
            "place=THIS_CHAT details=Details seq=1"
        ),
        "Problem no_such_message count=7",
        "Problem usage command=history count=200",
        "RoomOpened name=#dev room=Room now_ms=1764000000000",
        f"MessageSent id={2:032x} to=#dev body=am I muted? kind=CHAT",
        f"MessageFailed to=#dev body=am I muted? failure=Failure id={2:032x} again=True kind=CHAT",
        "Problem invalid_duration text=5x command=mute",
        "Problem room_refused name=#dev user=carol text=No. error=NOT_ALLOWED",
        "MessageReceived sender=bob body=hi time_ms=1001 place=THIS_CHAT details=Details",
    ]


def test_no_event_of_the_engine_has_words_of_its_own() -> None:
    """No event contains a sentence, unless it was typed or sent by the server."""
    harness = ready("bob")
    shown = harness.enter("/who", "/status", "/help", "/retry", "/drop", "/away", "/here", "back", "/last")
    shown += harness.enter("/reply x", "/topic", "/rooms", "/search tea", "//x", "bob", "/redact why")
    assert len(shown) == 13
    assert not [text for event in shown for text in texts(event) if re.search(r"\S [a-z]", text)]
