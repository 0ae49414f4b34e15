"""State of the typed line: every state of it and every legal step, in one table.

    PICKER --OPEN--> CHAT --CLOSE--> PICKER
    PICKER --FIND--> RESOLVING --OPEN--> CHAT
                     RESOLVING --REFUSE--> PICKER
    PICKER --JOIN--> JOINING --OPEN--> CHAT
                     JOINING --REFUSE--> PICKER
                     JOINING --JOIN--> JOINING
    CHAT   --JOIN--> JOINING

A known user or room opens at once. JOINING goes to itself when the room's name turns out to be valid.
`tests/client/core/test_chat_state.py` compares this picture with the table.
"""

import dataclasses
import enum
from typing import Final


@dataclasses.dataclass(frozen=True, slots=True)
class TypedLine:
    """A line as it was entered."""

    text: str
    pasted: bool = False
    """Whether (part of) it was pasted: then it is text, whatever it looks like."""


class ChatState(enum.Enum):
    """Meaning of a typed line."""

    PICKER = enum.auto()
    """A name: nothing is open."""
    RESOLVING = enum.auto()
    """Queued: the server was asked about the name that was typed."""
    JOINING = enum.auto()
    """Queued: the server was asked to let you into a room, or to create it."""
    CHAT = enum.auto()
    """A message to the partner, or into the room."""


class Step(enum.Enum):
    """Step from one state to the next."""

    FIND = enum.auto()
    """The server is asked about a name."""
    JOIN = enum.auto()
    """A room is to be joined or created."""
    OPEN = enum.auto()
    """The chat is opened."""
    REFUSE = enum.auto()
    """The server does not know the name, or does not let you in."""
    CLOSE = enum.auto()
    """The chat is closed."""


_P, _R, _J, _C = ChatState

TRANSITIONS: Final[dict[ChatState, dict[Step, ChatState]]] = {
    _P: {Step.FIND: _R, Step.JOIN: _J, Step.OPEN: _C},
    _R: {Step.OPEN: _C, Step.REFUSE: _P},
    _J: {Step.JOIN: _J, Step.OPEN: _C, Step.REFUSE: _P},
    _C: {Step.JOIN: _J, Step.CLOSE: _P},
}
"""State -> step -> next state."""


class CurrentChat:
    """The state of the line, with the user or room that it is about. Only `ChatSwitcher` changes it.

    Attributes:
        state: The state.
        name: The user or room that is open, asked about or being joined; empty in the picker.
        conversation: The id of the conversation that is open; empty if it has none yet.
    """

    def __init__(self) -> None:
        self.state = ChatState.PICKER
        self.name = ""
        self.conversation = ""

    @property
    def partner(self) -> str | None:
        """The user or room that messages go to; None if no chat is open."""
        return self.name if self.state is ChatState.CHAT else None

    @property
    def joining(self) -> str | None:
        """The room that is being joined; None if there is none."""
        return self.name if self.state is ChatState.JOINING else None

    @property
    def is_undecided(self) -> bool:
        """Whether the server has to answer before it is known where lines go."""
        return self.state in (ChatState.RESOLVING, ChatState.JOINING)

    def change(self, step: Step, name: str = "") -> None:
        """Take a step.

        Args:
            step: The step.
            name: The user or room that it is about.

        Raises:
            KeyError: The table does not have this step in the present state.
        """
        self.state = TRANSITIONS[self.state][step]
        self.name = name
        self.conversation = ""

    def bind(self, conversation: str, name: str) -> None:
        """Note the conversation of the chat that is open, and the name that it has now."""
        self.conversation = conversation
        self.name = name
