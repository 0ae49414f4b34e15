"""What a typed line means: message, name, word or command.

`interpret` gives a line exactly one meaning. `COMMANDS` is the one table of commands:
the dispatcher, `/help` and completion are made from it.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable
from typing import Final, Protocol

__all__ = [
    "COMMANDS",
    "WORDS",
    "Actions",
    "Choose",
    "Command",
    "Meaning",
    "Nothing",
    "Refuse",
    "Run",
    "Say",
    "TypedLine",
    "interpret",
    "pick_word",
]


@dataclasses.dataclass(frozen=True, slots=True)
class TypedLine:
    """A line as it was entered."""

    text: str
    pasted: bool = False
    """Whether (part of) it was pasted: then it is text, whatever it looks like."""


class Actions(Protocol):
    """What a command can make the engine do."""

    def show_help(self) -> None:
        """Show what can be typed."""

    def show_who(self) -> None:
        """Show who is online."""

    def go_back(self) -> None:
        """Leave the chat and choose somebody else."""

    def leave(self) -> None:
        """Leave the program, after everything sent was answered."""

    def say(self, body: str) -> None:
        """Send a message to the person in the current chat."""

    def show_history(self, argument: str) -> None:
        """Show older messages of the current chat; how many, if it is said."""

    def search(self, query: str) -> None:
        """Look for words in all conversations."""

    def show_status(self) -> None:
        """Show your own lines of late, and how far each has come."""

    def retry(self, argument: str) -> None:
        """Send again what failed: to the person in the current chat, or all."""

    def drop(self, argument: str) -> None:
        """Give up what failed: to the person in the current chat, or all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A row of the table of commands."""

    name: str
    argument: str
    """How the argument is called in the help; empty if there is none, in brackets if it may be left out."""
    help: str
    run: Callable[[Actions, str], None]

    @property
    def usage(self) -> str:
        """As it is typed."""
        return f"/{self.name} {self.argument}".rstrip()


COMMANDS: Final = {
    command.name: command
    for command in (
        Command("help", "", "show what can be typed", lambda actions, _: actions.show_help()),
        Command(
            "who",
            "",
            "show who is online, and who has unread messages for you",
            lambda actions, _: actions.show_who(),
        ),
        Command("back", "", "leave this chat and choose somebody else", lambda actions, _: actions.go_back()),
        Command("quit", "", "leave", lambda actions, _: actions.leave()),
        Command("say", "TEXT", "send TEXT, whatever it looks like", lambda actions, text: actions.say(text)),
        Command(
            "history",
            "[N]",
            "show N older messages of this chat",
            lambda actions, count: actions.show_history(count),
        ),
        Command(
            "search",
            "WORDS",
            "find messages that have all the words",
            lambda actions, text: actions.search(text),
        ),
        Command(
            "status",
            "",
            "show how far your own lines of late have come",
            lambda actions, _: actions.show_status(),
        ),
        Command(
            "retry",
            "[all]",
            "send again what failed in this chat, or everywhere",
            lambda actions, scope: actions.retry(scope),
        ),
        Command(
            "drop",
            "[all]",
            "give up what failed in this chat, or everywhere",
            lambda actions, scope: actions.drop(scope),
        ),
    )
}
"""name -> command"""

WORDS: Final = {"back": COMMANDS["back"], "quit": COMMANDS["quit"]}
"""What counts without a slash, as a whole typed line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Nothing:
    """An empty line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Say:
    """A message."""

    body: str


@dataclasses.dataclass(frozen=True, slots=True)
class Choose:
    """The name of somebody to chat with."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A command."""

    command: Command
    argument: str


@dataclasses.dataclass(frozen=True, slots=True)
class Refuse:
    """A line that can't be carried out."""

    sentence: str


Meaning = Nothing | Say | Choose | Run | Refuse


def interpret(line: TypedLine, *, chatting: bool) -> Meaning:
    """Find the one meaning of a line.

    Args:
        line: What was entered.
        chatting: Whether there is a current chat; else the line is for choosing somebody.
    """
    text = line.text.rstrip("\r\n")
    if not text or text.isspace():
        return Nothing()
    if not line.pasted:
        if word := WORDS.get(text.rstrip()):
            return Run(word, "")
        if text.startswith("//"):
            return Say(text[1:])
        if text.startswith("/"):
            return _interpret_command(text)
    if chatting:
        return Say(text)
    return Choose(text.strip().removeprefix("@"))


def _interpret_command(text: str) -> Meaning:
    name, argument = re.fullmatch(r"/(\S*)\s?(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]  # matches whatever begins with a slash
    command = COMMANDS.get(name)
    if command is None:
        nearest = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"Did you mean /{nearest[0]}? " if nearest else ""
        return Refuse(
            f"There is no command /{name}; nothing was sent. {hint}"
            "/help lists the commands; to send a text that begins with /, type // in its place."
        )
    if command.argument and not command.argument.startswith("[") and not argument.strip():
        return Refuse(f"Type {command.usage}; nothing was sent.")
    if argument.strip() and not command.argument:
        return Refuse(f"/{name} has nothing after it; nothing was sent or done.")
    return Run(command, argument)


def pick_word(name: str) -> str:
    """What to type to choose somebody: the name, or `@name` where the name is a word of ours."""
    return f"@{name}" if name in WORDS else name
