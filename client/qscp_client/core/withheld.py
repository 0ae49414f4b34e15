"""Positions that are neither saved nor sent while messages can't be shown. Sans-I/O."""

import dataclasses

from qscp.frames import ClientFrame, ClientRead, Received
from qscp_client.core.changes import Change, Forgotten, Moved, Renewed, Reported


@dataclasses.dataclass(slots=True)
class Withheld:
    """The newest position of each kind and conversation, until messages are shown again."""

    _frames: dict[tuple[type, str], ClientFrame] = dataclasses.field(default_factory=dict)
    _changes: dict[tuple[type, str], Change] = dataclasses.field(default_factory=dict)

    def frames(self, taken: list[ClientFrame], *, is_shown: bool) -> list[ClientFrame]:
        """Return the frames that can be sent now."""
        if is_shown:
            withheld, self._frames = self._frames, {}
            return [*withheld.values(), *taken] if withheld else taken
        allowed = []
        for frame in taken:
            if isinstance(frame, Received | ClientRead):
                self._frames[type(frame), frame.conversation] = frame
            else:
                allowed.append(frame)
        return allowed

    def changes(self, taken: list[Change], *, is_shown: bool) -> list[Change]:
        """Return the changes that can be saved now."""
        allowed: list[Change] = []
        if is_shown:
            allowed += self._changes.values()
            self._changes.clear()
        for change in taken:
            match change:
                case Moved(conversation=conversation) | Reported(conversation=conversation) if not is_shown:
                    self._changes[type(change), conversation] = change
                    continue
                case Forgotten(conversation):
                    self._forget(conversation)
                case Renewed():
                    self._frames.clear()
                    self._changes.clear()
                case _:
                    pass
            allowed.append(change)
        return allowed

    def disconnected(self) -> None:
        """Drop the frames: the next connection makes its own."""
        self._frames.clear()

    def _forget(self, conversation: str) -> None:
        for withheld in (self._frames, self._changes):
            for key in [key for key in withheld if key[1] == conversation]:
                del withheld[key]
