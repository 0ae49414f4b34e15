"""Front end for a terminal: a line editor below, the conversation above.

Events are printed above the line being typed, which stays as it is. The prompt, the list of who is online and
the status line below are made from the engine's state whenever something happens.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import DummyHistory
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.output import Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from qscp.rooms import is_room
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.connection_state import ConnectionState
from qscp_client.core.engine import Engine
from qscp_client.core.events import Event, PickerOpened, PresenceChanged, RoomLine
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.errors import InterruptedByUserError
from qscp_client.text import INDENT, Line
from qscp_client.ui.cluster_keys import cluster_keys
from qscp_client.ui.clusters import settle, width
from qscp_client.ui.completion import complete
from qscp_client.ui.echo import echo
from qscp_client.ui.pending_lines import PendingLines
from qscp_client.ui.render import describe, describe_connection, list_people, name_person
from qscp_client.ui.render_rooms import describe_typing, list_rooms
from qscp_client.ui.screen import create_screen
from qscp_client.ui.stand_ins import StandIns
from qscp_client.ui.wrap import draw, draw_row, draw_sentence

_STYLE: Final = Style.from_dict(
    {
        "message": "bold ansicyan",
        "mention": "bold reverse ansicyan",
        "own_message": "bold",
        "notice": "",  # no grey: it can't be read on every background
        "problem": "ansired",
        "direction": "italic",  # invisible; see `wrap`
        "stand-in": "underline",  # an emoji whose modifiers are not shown while it is typed
    }
)

_PASSWORD_TRIES: Final = 3
_ROSTER_ROWS: Final = 4
"""Rows of the list of who is online, at most."""

_UNREAD: Final = 3
"""Users and rooms with unread messages that the status line names."""

_ROOMS_ROWS: Final = 3
"""Rows of the list of rooms, and of that of invitations, at most."""

_PRESENCE: Final = {"online": "", "away": " (away)", "offline": " (hidden)"}
"""Your status -> what follows your name."""


class TerminalFrontEnd:
    """Lines from the keyboard, lines to the screen.

    Args:
        keyboard: Source of keys; the terminal by default.
        screen: Target of output; the terminal by default.
    """

    password_tries = _PASSWORD_TRIES
    counts_failures = False
    shows_at_once = False
    patience_s = None

    def __init__(self, keyboard: Input | None = None, screen: Output | None = None) -> None:
        self._keyboard = keyboard or create_input()
        self._screen = screen or create_screen()
        self._engine: Engine | None = None
        self._editor: PromptSession[str] | None = None
        self._app: Application[str] | None = None
        self._pasted = False
        self._pending = PendingLines("", self._fits)

    def private(self) -> AbstractContextManager[None]:
        """Switch the terminal's own echo off: a password can be typed before it is asked for."""
        return echo(self._keyboard.fileno(), on=False)

    async def ask_user(self) -> str:
        """Ask for the user name."""
        return await self._ask("User name: ", StandIns())

    async def ask_password(self) -> str:
        """Ask for the password without showing it, nor how long it is."""
        return await self._ask("Password: ", _Hidden())

    @contextlib.contextmanager
    def attached(self, engine: Engine, touched: Callable[[], None]) -> Iterator[None]:
        """Run a line editor, whose prompt and completion come from the engine.

        The terminal is raw also between two lines, so that what is typed then is neither echoed nor taken for
        a signal.
        """
        self._engine = engine
        self._pending = PendingLines(engine.me, self._fits)
        self._editor = PromptSession(
            lambda: FormattedText([(style, settle(text)) for style, text in self._prompt(engine)]),
            bottom_toolbar=lambda: settle(_status(engine)),
            completer=_EngineCompleter(engine),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            enable_suspend=True,
            erase_when_done=True,
            input_processors=[StandIns()],
            interrupt_exception=InterruptedByUserError,
            key_bindings=merge_key_bindings([cluster_keys(), self._keys()]),
            style=_STYLE,
            input=self._keyboard,
            output=self._screen,
        )
        self._app = self._editor.app
        self._editor.default_buffer.on_text_changed += self._notice_empty
        self._editor.default_buffer.on_text_changed += self._note_typing
        self._editor.app.key_processor.before_key_press += lambda _: touched()
        with self._keyboard.raw_mode():
            try:
                yield
            finally:
                self._print([line for event in self._pending.flush() for line in describe(event, engine.me)])

    async def drain(self) -> None:
        """Do nothing: events are written when they are shown."""

    def check_output(self) -> None:
        """Do nothing: a terminal that takes no output is gone, with its input."""

    def show(self, happened: Sequence[Event]) -> None:
        """Print events above the line, and redraw the line."""
        me = self._engine.me if self._engine else ""
        printed = [each for event in happened for each in self._pending.apply(event)]
        has_status = self._editor is not None
        news = [event for event in printed if _is_news(event, has_status=has_status)]
        self._print([line for event in news for line in describe(event, me)])
        if self._editor is not None:
            self._editor.app.invalidate()

    async def read_lines(self) -> list[TypedLine]:
        """Let the user type a line."""
        if self._editor is None:
            raise RuntimeError("a line can only be read while `attached`")
        self._pasted = False
        try:
            text = await self._editor.prompt_async()
        except EOFError:
            return []
        line = TypedLine(text, pasted=self._pasted)
        self._editor.default_buffer.text = ""  # notifies us, which prompt-toolkit's own reset does not
        return [line]

    async def _ask(self, question: str, processor: Processor) -> str:
        editor: PromptSession[str] = PromptSession(
            question,
            history=DummyHistory(),
            input_processors=[processor],
            interrupt_exception=InterruptedByUserError,
            eof_exception=InterruptedByUserError,
            key_bindings=merge_key_bindings([cluster_keys(), self._keys_of_question()]),
            input=self._keyboard,
            output=self._screen,
        )
        self._app = editor.app
        return await editor.prompt_async()

    def _keys_of_question(self) -> KeyBindings:
        """Return the keys for a question whose answer is one line."""
        keys = KeyBindings()

        @keys.add(Keys.BracketedPaste)
        def paste(event: KeyPressEvent) -> None:
            # The end of a line comes along when a line is copied. Enter is for the user to press.
            lines = [line for line in re.split(r"[\r\n]+", event.data) if line]
            event.current_buffer.insert_text("".join(lines[:1]))
            if len(lines) > 1:
                self.show([Problem(ProblemCode.PASTED_LINES)])

        return keys

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add(Keys.BracketedPaste)
        def paste(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            # A paste is text, unless a command was begun by hand.
            by_hand = buffer.document.text_before_cursor.lstrip().startswith("/") and not self._pasted
            buffer.insert_text(event.data.replace("\r\n", "\n").replace("\r", "\n"))
            self._pasted = bool(buffer.text) and not by_hand

        @keys.add(Keys.ControlC)
        def clear_or_leave(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.text = ""  # notifies us, which reset() does not
                event.current_buffer.reset()
            else:
                event.app.exit(exception=InterruptedByUserError())

        @keys.add(Keys.Escape, Keys.Enter)
        def new_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        return keys

    def _notice_empty(self, buffer: Buffer) -> None:
        if not buffer.text:
            self._pasted = False

    def _prompt(self, engine: Engine) -> list[tuple[str, str]]:
        columns = self._screen.get_size().columns
        if not engine.ready:
            return [("", "Waiting for the server. Ctrl-C leaves.\n")]
        if engine.partner is None:
            room = _ROSTER_ROWS * columns - len("Nobody else is online.  and 1000 more (/who)")
            lists = [list_people(tuple(engine.roster), engine.unread, room)]
            room = _ROOMS_ROWS * columns - len("Invitations:  and 1000 more (/who)")
            lists += list_rooms(engine.rooms, engine.invitations, room)
            return [("", "".join(draw_sentence(text, columns) for text in lists) + "Chat with: ")]
        lines, more = self._pending.lines(engine.partner)
        prompt = [part for line in lines for part in draw_row(line, columns)]
        if more:
            prompt.append(("", f"{INDENT}and {more} more pending (/status)\n"))
        return [*prompt, ("", f"to {engine.partner}: ")]

    def _note_typing(self, buffer: Buffer) -> None:
        if self._engine is not None:
            self._engine.typing.edit_line(self._engine.partner, buffer.text)

    def _fits(self, line: Line) -> bool:
        return "\n" not in line.text and width(str(line)) < self._screen.get_size().columns

    def _print(self, lines: list[Line]) -> None:
        if not lines:
            return
        columns = self._screen.get_size().columns
        text = FormattedText([part for line in lines for part in draw(line, columns)])

        app = self._app
        if app is None or not app.is_running:
            print_formatted_text(self._screen, text, _STYLE)
            return
        # Not prompt-toolkit's run_in_terminal: it gives the terminal its echo back for a moment.
        app.renderer.erase()
        print_formatted_text(self._screen, text, _STYLE)
        if not app.is_done:
            app.renderer.request_absolute_cursor_position()
            app.invalidate()


class _Hidden(Processor):
    """Processor that shows nothing of what is typed."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace the line by nothing, and keep the cursor where it is."""
        del transformation_input
        return Transformation([], source_to_display=lambda _: 0, display_to_source=lambda _: 0)


class _EngineCompleter(Completer):
    """Completer of prompt-toolkit that asks the `completion` module."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Complete the line up to the cursor."""
        del complete_event
        typed = document.text_before_cursor
        for word in complete(self._engine, typed):
            yield Completion(word, start_position=-len(typed))


def _is_news(event: Event, *, has_status: bool) -> bool:
    """Whether an event gets a line; the lists in the prompt show the others, and the status line."""
    match event:
        case Notice(code=NoticeCode.WAITING_FOR_SERVER):
            return not has_status
        case PickerOpened():
            return False
        case PresenceChanged():
            return event.is_partner
        case _:
            return True


def _status(engine: Engine) -> str:
    """Return the line at the bottom of the screen."""
    parts = [engine.me + _PRESENCE[engine.presence.status]]
    if engine.connection.state is not ConnectionState.ONLINE:
        parts.append(describe_connection(engine.connection))
    if engine.partner is not None:
        person = engine.roster.get(engine.partner)
        if is_room(engine.partner):
            parts.append(f"in {engine.partner}")
        else:
            absent = "deleted" if engine.is_read_only else "offline"
            absent = "blocked" if engine.partner in engine.blocks else absent
            parts.append(f"with {name_person(person)}" if person else f"with {engine.partner} ({absent})")
        names, has_more = engine.typing.users_in(engine.partner), engine.typing.has_more(engine.partner)
        if typing := describe_typing(names, has_more=has_more):
            parts.append(typing)
        if unread := _unread(engine):
            more = f" and {len(unread) - _UNREAD} more (/who)" if len(unread) > _UNREAD else ""
            parts.append(f"unread: {', '.join(unread[:_UNREAD])}{more}")
    if engine.pending:
        parts.append(f"{engine.pending} pending")
    if engine.failures:
        parts.append(f"{engine.failures} failed (/status)")
    parts.append("/help, back, quit" if engine.partner is not None else "Tab completes, /help, quit")
    return " | ".join(parts)


def _unread(engine: Engine) -> list[str]:
    """Return the other users and rooms with unread messages, rooms that mention you before the rest."""
    users = [f"{name} ({count})" for name, count in engine.unread.items() if name != engine.partner]
    rooms = [room for room in engine.rooms if room.unread and room.name != engine.partner]
    return users + [_count(room) for room in sorted(rooms, key=lambda room: not room.mentions)]


def _count(room: RoomLine) -> str:
    mentions = f", {room.mentions} mention{'' if room.mentions > 1 else 's'} you" if room.mentions else ""
    return f"{room.name} ({room.unread}{mentions})"
