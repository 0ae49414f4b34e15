"""Whom to chat with: the name that is typed, and what waits until the server knows it, without I/O."""

import collections

from qscp import frames
from qscp.errors import InvalidNameError
from qscp.names import normalize_name
from qscp.rooms import is_room, normalize_room
from qscp_client.core import events
from qscp_client.core.commands.table import TypedLine
from qscp_client.core.effects import Output

__all__ = ["Choosing"]


class Choosing:
    """Checks names, and keeps the lines that were typed behind one until the server has answered.

    Args:
        me: Your name.
        out: Where frames and events go.

    Attributes:
        waiting: Whether a line waits for something else than a name; others wait behind it.
        failed: Whether the last name typed could not be chosen.
        asked: The name that the server was asked for and did not answer yet: of somebody, or of a room
            that is to be entered.
    """

    def __init__(self, me: str, out: Output) -> None:
        self.waiting = False
        self.failed = False
        self.asked: str | None = None
        self._me = me
        self._out = out
        self._held: collections.deque[TypedLine] = collections.deque()

    def check(self, typed: str) -> str | None:
        """Return the name that was typed; None if it can't be chosen, which is told."""
        self.failed = True
        try:
            name = normalize_room(typed) if is_room(typed) else normalize_name(typed)
        except InvalidNameError as error:
            self._problem(f"{error}. Nothing was sent: choose somebody by their name before you write.")
            return None
        if name == self._me:
            self._problem(f"{name} is your own name. Choose somebody else.")
            return None
        self.failed = False
        return name

    def ask(self, name: str) -> None:
        """Ask the server whether somebody has a name."""
        self.asked = name
        self._out.frames.append(frames.WhoisRequest(name))

    def expect(self, room: str) -> None:
        """Let later lines wait until a room can be entered."""
        self.failed = True
        self.asked = room

    def take_asked(self) -> str | None:
        """Return the name that was asked for, and forget it."""
        name, self.asked = self.asked, None
        return name

    def refuse(self, name: str) -> None:
        """Tell that nobody has a name."""
        self.failed = True
        self._problem(f"There is nobody called {name} here.")

    def refuse_room(self, room: str, *, invited: bool) -> None:
        """Tell that you are not in a room."""
        self.failed = True
        if invited:
            self._problem(f"You are invited to {room}, and not in it yet. /join {room} enters it.")
        else:
            self._problem(f"You are not in {room}. /join {room} enters it, if there is such a room for you.")

    def give_up(self) -> int:
        """Forget what waits; return how many lines were typed behind the name."""
        count = len(self._held)
        self.asked = None
        self._held.clear()
        return count

    def hold(self, line: TypedLine) -> bool:
        """Keep a line for later, if something has to come first; return whether it does."""
        if self.holds:
            self._held.append(line)
        return self.holds

    def wait_with(self, line: TypedLine) -> None:
        """Keep a line for later, before all others."""
        self.waiting = True
        self._held.appendleft(line)

    @property
    def holds(self) -> bool:
        """Whether lines have to wait."""
        return self.waiting or self.asked is not None

    def next_held(self) -> TypedLine | None:
        """Return the next line that was kept; None if there is none, or something has to come first."""
        return self._held.popleft() if self._held and not self.holds else None

    def _problem(self, sentence: str) -> None:
        self._out.events.append(events.Problem(sentence))
