"""What a typed line means: message, name, word or command.

`interpret` gives a line exactly one meaning. `COMMANDS` is the one table of commands:
the dispatcher, `/help` and completion are made from it.
"""

import dataclasses
import difflib
import enum
import re
from collections.abc import Callable
from typing import Final

from qscp_client.core.commands.protocols import Actions

__all__ = [
    "COMMANDS",
    "WORDS",
    "Choose",
    "Command",
    "Group",
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


class Group(enum.Enum):
    """Where a command stands in the help."""

    GENERAL = "Everywhere"
    CHAT = "In a chat"
    ROOM = "Rooms"
    MODERATION = "For those who look after a room"


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A row of the table of commands."""

    name: str
    argument: str
    """What may follow, as in the help, in brackets if it may be left out; empty if nothing may."""
    help: str
    group: Group
    run: Callable[[Actions, str], None]
    points: bool = False
    """Whether it is about a message, so that it has to be known which messages there are."""
    opens: bool = False
    """Whether it opens another chat."""

    @property
    def usage(self) -> str:
        """As it is typed."""
        return f"/{self.name} {self.argument}".rstrip()

    @property
    def needs_argument(self) -> bool:
        """Whether something has to follow."""
        return bool(re.sub(r"\[[^]]*\]", "", self.argument).strip())


_ROWS: Final = (
    Command("help", "", "show what can be typed", Group.GENERAL, lambda do, _: do.show_help()),
    Command(
        "who",
        "",
        "show who is online, your rooms, and what is unread",
        Group.GENERAL,
        lambda do, _: do.show_who(),
    ),
    Command("back", "", "leave this chat and choose another", Group.GENERAL, lambda do, _: do.go_back()),
    Command("quit", "", "leave", Group.GENERAL, lambda do, _: do.leave()),
    Command(
        "away", "[TEXT]", "let others see that you are away", Group.GENERAL, lambda do, text: do.be_away(text)
    ),
    Command("here", "", "you are not away any more", Group.GENERAL, lambda do, _: do.be_here()),
    Command(
        "search",
        "WORDS",
        "find messages that have all the words",
        Group.GENERAL,
        lambda do, text: do.search(text),
    ),
    Command(
        "status",
        "",
        "show how far your own lines of late have come",
        Group.GENERAL,
        lambda do, _: do.show_status(),
    ),
    Command(
        "retry",
        "[all]",
        "send again what failed in this chat, or everywhere",
        Group.GENERAL,
        lambda do, scope: do.retry(scope),
    ),
    Command(
        "drop",
        "[all]",
        "give up what failed in this chat, or everywhere",
        Group.GENERAL,
        lambda do, scope: do.drop(scope),
    ),
    Command("say", "TEXT", "send TEXT, whatever it looks like", Group.CHAT, lambda do, text: do.say(text)),
    Command("me", "TEXT", "say what you do: /me waves", Group.CHAT, lambda do, text: do.act(text)),
    Command("history", "[N]", "show N older messages", Group.CHAT, lambda do, count: do.show_history(count)),
    Command(
        "last",
        "[N]",
        "show the last N messages again, with their numbers",
        Group.CHAT,
        lambda do, count: do.show_last(count),
    ),
    Command(
        "reply",
        "[N] TEXT",
        "answer message N; without N somebody else's last one",
        Group.CHAT,
        lambda do, text: do.messages.reply(text),
        points=True,
    ),
    Command(
        "edit",
        "[N] TEXT",
        "give message N of yours another text; or your last one",
        Group.CHAT,
        lambda do, text: do.messages.edit(text),
        points=True,
    ),
    Command(
        "redact",
        "[N] [WHY]",
        "take the text of message N away; or your last one",
        Group.CHAT,
        lambda do, text: do.messages.redact(text),
        points=True,
    ),
    Command(
        "react",
        "[N] EMOJI",
        "react to message N; or to somebody else's last one",
        Group.CHAT,
        lambda do, text: do.messages.react(text),
        points=True,
    ),
    Command(
        "unreact",
        "[N] EMOJI",
        "take your reaction away again",
        Group.CHAT,
        lambda do, text: do.messages.unreact(text),
        points=True,
    ),
    Command(
        "rooms",
        "",
        "show the rooms that you are in, or may join",
        Group.ROOM,
        lambda do, _: do.rooms.show_rooms(),
    ),
    Command(
        "join",
        "#ROOM",
        "become a member, and enter",
        Group.ROOM,
        lambda do, room: do.rooms.join(room),
        opens=True,
    ),
    Command("leave", "[#ROOM]", "be no member any more", Group.ROOM, lambda do, room: do.rooms.leave(room)),
    Command(
        "create",
        "#ROOM [KIND]",
        "make a room: open, closed or announcement",
        Group.ROOM,
        lambda do, text: do.rooms.create(text),
        opens=True,
    ),
    Command(
        "topic",
        "[TEXT]",
        "show or change the topic; - takes it away",
        Group.ROOM,
        lambda do, text: do.rooms.topic(text),
    ),
    Command("members", "", "show who is in the room", Group.ROOM, lambda do, _: do.rooms.show_members()),
    Command("invite", "NAME", "let somebody join", Group.ROOM, lambda do, name: do.rooms.invite(name)),
    Command(
        "remove",
        "NAME [WHY]",
        "put somebody out; they may join again",
        Group.MODERATION,
        lambda do, text: do.rooms.remove(text),
    ),
    Command(
        "ban",
        "NAME [TIME] [WHY]",
        "put somebody out and keep them out, for 10m, 2h, 7d",
        Group.MODERATION,
        lambda do, text: do.rooms.ban(text),
    ),
    Command(
        "unban", "NAME", "let somebody in again", Group.MODERATION, lambda do, name: do.rooms.unban(name)
    ),
    Command(
        "mute",
        "NAME [TIME] [WHY]",
        "let somebody only read, for a time or for good",
        Group.MODERATION,
        lambda do, text: do.rooms.mute(text),
    ),
    Command(
        "unmute", "NAME", "let somebody write again", Group.MODERATION, lambda do, name: do.rooms.unmute(name)
    ),
    Command(
        "role",
        "NAME ROLE",
        "make somebody owner, moderator or member",
        Group.MODERATION,
        lambda do, text: do.rooms.role(text),
    ),
    Command(
        "set",
        "KEY VALUE",
        "kind KIND, history full or joining, slow 30s or off",
        Group.MODERATION,
        lambda do, text: do.rooms.set(text),
    ),
    Command(
        "archive",
        "",
        "let the room be read, and nothing else",
        Group.MODERATION,
        lambda do, _: do.rooms.archive(),
    ),
    Command(
        "unarchive", "", "let the room be used again", Group.MODERATION, lambda do, _: do.rooms.unarchive()
    ),
    Command(
        "log",
        "[N]",
        "show the last N things that were done by those who may",
        Group.MODERATION,
        lambda do, count: do.rooms.show_log(count),
    ),
)

COMMANDS: Final = {command.name: command for command in _ROWS}
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
    """The name of somebody to chat with, or of a room."""

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
    closes: bool = False
    """Whether another chat was to be opened: what is typed behind it is not for the present one."""


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
        # A blank before it must not send to everybody what was meant as a command.
        bare = text.lstrip()
        if bare.startswith("//"):
            return Say(bare[1:])
        if bare.startswith("/"):
            return _interpret_command(bare)
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
    if command.needs_argument and not argument.strip():
        return Refuse(f"Type {command.usage}; nothing was sent.", closes=command.opens)
    if argument.strip() and not command.argument:
        return Refuse(f"/{name} has nothing after it; nothing was sent or done.")
    return Run(command, argument)


def pick_word(name: str) -> str:
    """What to type to choose somebody: the name, or `@name` where the name is a word of ours."""
    return f"@{name}" if name in WORDS else name
