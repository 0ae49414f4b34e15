"""State of a client on disk, in memory."""

import dataclasses

from qscp_client.core.changes import (
    Added,
    Change,
    Failed,
    Forgotten,
    Hidden,
    Moved,
    Removed,
    Renewed,
    Reported,
    Saved,
    SavedPosition,
)
from qscp_client.core.outbox import Entry

__all__ = ["Disk"]


class Disk:
    """Saved state of the client, in memory."""

    def __init__(self) -> None:
        self.epoch = ("", "")
        self.hidden = False
        self.positions: dict[str, SavedPosition] = {}
        self.outbox: dict[str, Entry] = {}

    def save(self, changes: list[Change]) -> None:
        """Apply changes."""
        for change in changes:
            match change:
                case Added(entry):
                    self.outbox[entry.id] = entry
                case Removed(message_id):
                    self.outbox.pop(message_id, None)
                case Failed(message_id, failure):
                    self.outbox[message_id] = dataclasses.replace(self.outbox[message_id], failure=failure)
                case Moved(conversation, name, seq):
                    self.positions[conversation] = SavedPosition(conversation, name, seq)
                case Reported():
                    pass
                case Forgotten(conversation):
                    self.positions.pop(conversation, None)
                case Hidden(hidden):
                    self.hidden = hidden
                case Renewed(epoch, account):
                    self.epoch = (epoch, account)
                    self.positions.clear()

    def load(self) -> Saved:
        """Return the state that a client starts with."""
        return Saved(*self.epoch, tuple(self.positions.values()), tuple(self.outbox.values()), self.hidden)
