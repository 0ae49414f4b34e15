"""Table of commands, and the meaning of a typed line: message, name, word or command.

`interpret` gives a line exactly one meaning. The dispatcher, `/help`, usage errors and completion are made
from `COMMANDS`. What a command is for, in words, is in `qscp_client.ui.help`.
"""

import dataclasses
import difflib
import enum
import re
from collections.abc import Callable
from typing import Final

from qscp_client.core.chat_state import TypedLine
from qscp_client.core.commands.protocols import Actions
from qscp_client.core.notices import Problem, ProblemCode


class Group(enum.Enum):
    """Section of the help that a command is listed in."""

    GENERAL = enum.auto()
    CHAT = enum.auto()
    ROOM = enum.auto()
    MODERATION = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A row of the table of commands."""

    name: str
    argument: str
    """The argument as it is shown: in brackets if it is optional; empty if there is none."""
    group: Group
    run: Callable[[Actions, str], None]
    has_target: bool = False
    """Whether it is about a message; then all messages of the chat have to be known first."""
    enters: bool = False
    """Whether it enters a room; then lines typed after it are for that room only."""
    exits: bool = False
    """Whether it ends what lines are sent to."""

    @property
    def moves(self) -> bool:
        """Whether lines typed after it are for another chat."""
        return self.enters or self.exits

    @property
    def usage(self) -> str:
        """The command as it is typed."""
        return f"/{self.name} {self.argument}".rstrip()

    @property
    def needs_argument(self) -> bool:
        """Whether the argument is required."""
        return bool(re.sub(r"\[[^]]*\]", "", self.argument).strip())


_ROWS: Final = (
    Command("help", "", Group.GENERAL, lambda do, _: do.show_help()),
    Command("who", "", Group.GENERAL, lambda do, _: do.show_who()),
    Command("back", "", Group.GENERAL, lambda do, _: do.go_back(), exits=True),
    Command("quit", "", Group.GENERAL, lambda do, _: do.quit(), exits=True),
    Command("away", "[TEXT]", Group.GENERAL, lambda do, text: do.presence.set_away(text)),
    Command("hide", "", Group.GENERAL, lambda do, _: do.presence.hide()),
    Command("here", "", Group.GENERAL, lambda do, _: do.presence.end()),
    Command("search", "WORDS", Group.GENERAL, lambda do, text: do.search(text)),
    Command("status", "", Group.GENERAL, lambda do, _: do.show_status()),
    Command("retry", "[all]", Group.GENERAL, lambda do, text: do.retry(text)),
    Command("drop", "[all]", Group.GENERAL, lambda do, text: do.discard(text)),
    Command("block", "NAME", Group.GENERAL, lambda do, text: do.blocks.block(text)),
    Command("unblock", "NAME", Group.GENERAL, lambda do, text: do.blocks.unblock(text)),
    Command("blocks", "", Group.GENERAL, lambda do, _: do.blocks.show_blocks()),
    Command("say", "TEXT", Group.CHAT, lambda do, text: do.say(text)),
    Command("me", "TEXT", Group.CHAT, lambda do, text: do.say_action(text)),
    Command("history", "[N]", Group.CHAT, lambda do, text: do.show_history(text)),
    Command("last", "[N]", Group.CHAT, lambda do, text: do.show_last(text)),
    Command("show", "[N]", Group.CHAT, lambda do, text: do.blocks.show_folded(text)),
    Command("reply", "[N] TEXT", Group.CHAT, lambda do, text: do.messages.reply(text), has_target=True),
    Command("edit", "[N] TEXT", Group.CHAT, lambda do, text: do.messages.edit(text), has_target=True),
    Command("redact", "[N] [WHY]", Group.CHAT, lambda do, text: do.messages.redact(text), has_target=True),
    Command("react", "[N] EMOJI", Group.CHAT, lambda do, text: do.messages.react(text), has_target=True),
    Command("unreact", "[N] EMOJI", Group.CHAT, lambda do, text: do.messages.unreact(text), has_target=True),
    Command("rooms", "", Group.ROOM, lambda do, _: do.rooms.show_rooms()),
    Command("join", "#ROOM", Group.ROOM, lambda do, text: do.rooms.join(text), enters=True),
    Command("leave", "[#ROOM]", Group.ROOM, lambda do, text: do.rooms.leave(text), exits=True),
    Command(
        "create", "#ROOM [KIND] [HISTORY]", Group.ROOM, lambda do, text: do.rooms.create(text), enters=True
    ),
    Command("topic", "[TEXT]", Group.ROOM, lambda do, text: do.rooms.topic(text)),
    Command("members", "", Group.ROOM, lambda do, _: do.rooms.show_members()),
    Command("invite", "NAME", Group.ROOM, lambda do, text: do.rooms.invite(text)),
    Command("remove", "NAME [WHY]", Group.MODERATION, lambda do, text: do.rooms.remove(text)),
    Command("ban", "NAME [TIME] [WHY]", Group.MODERATION, lambda do, text: do.rooms.ban(text)),
    Command("unban", "NAME", Group.MODERATION, lambda do, text: do.rooms.unban(text)),
    Command("mute", "NAME [TIME] [WHY]", Group.MODERATION, lambda do, text: do.rooms.mute(text)),
    Command("unmute", "NAME", Group.MODERATION, lambda do, text: do.rooms.unmute(text)),
    Command("role", "NAME ROLE", Group.MODERATION, lambda do, text: do.rooms.role(text)),
    Command("set", "KEY VALUE", Group.MODERATION, lambda do, text: do.rooms.set(text)),
    Command("archive", "", Group.MODERATION, lambda do, _: do.rooms.archive()),
    Command("unarchive", "", Group.MODERATION, lambda do, _: do.rooms.unarchive()),
    Command("log", "[N]", Group.MODERATION, lambda do, text: do.rooms.show_log(text)),
)

COMMANDS: Final = {command.name: command for command in _ROWS}
"""name -> command"""

WORDS: Final = {"back": COMMANDS["back"], "quit": COMMANDS["quit"]}
"""Commands that can be typed without the slash, as a whole line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Nothing:
    """An empty line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Say:
    """A message."""

    body: str


@dataclasses.dataclass(frozen=True, slots=True)
class Pick:
    """The name of a user or room."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A command."""

    command: Command
    argument: str


@dataclasses.dataclass(frozen=True, slots=True)
class Refuse:
    """A line that can't be carried out."""

    problem: Problem
    enters: bool = False
    """Whether it was to enter a room; then lines typed after it are not for the open chat."""
    moves: bool = False
    """Whether it might have been meant to change the chat; then lines of a pipe after it are not, either."""


Meaning = Nothing | Say | Pick | Run | Refuse


def interpret(line: TypedLine, *, chatting: bool) -> Meaning:
    """Return the one meaning of a line.

    Args:
        line: What was entered.
        chatting: Whether a chat is open; else the line is a name.
    """
    text = line.text.rstrip("\r\n")
    if not text or text.isspace():
        return Nothing()
    if not line.pasted:
        if word := WORDS.get(text.rstrip()):
            return Run(word, "")
        # A blank before a command must not make a message of it.
        bare = text.lstrip()
        if bare.startswith("//"):
            return Say(bare[1:])
        if bare.startswith("/"):
            return _interpret_command(bare)
    if chatting:
        return Say(text)
    return Pick(text.strip().removeprefix("@"))


def _interpret_command(text: str) -> Meaning:
    name, argument = re.fullmatch(r"/(\S*)\s?(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]  # matches all that begins with a slash
    command = COMMANDS.get(name)
    if command is None:
        nearest = difflib.get_close_matches(name, COMMANDS, n=1)
        moves = not nearest or COMMANDS[nearest[0]].moves
        return Refuse(Problem(ProblemCode.UNKNOWN_COMMAND, command=name, text="".join(nearest)), moves=moves)
    if command.needs_argument and not argument.strip():
        return Refuse(Problem(ProblemCode.USAGE, command=name), enters=command.enters)
    if argument.strip() and not command.argument:
        return Refuse(Problem(ProblemCode.TAKES_NO_ARGUMENT, command=name), moves=command.moves)
    return Run(command, argument)


def typed_name(name: str) -> str:
    """Return what to type to open a chat: the name, or `@name` if the name is a word of `WORDS`."""
    return f"@{name}" if name in WORDS else name
