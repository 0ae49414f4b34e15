"""Outbox: messages that were typed and are not acknowledged, in the order in which they can be sent.

A message is *pending* from the moment it is typed until its `chat_ack`, over any number of
connections, under one id. When the server could not store it, everything to the same person
waits with it and is sent again after a pause, the first one first. What can't be stored at
all, or is too old to be sent again, has *failed* and waits for the user's decision.
"""

import dataclasses
import enum
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Self

from qscp import frames
from qscp.errors import ErrorCode

LONGEST_TRY_MS: Final = 7 * 24 * 3600 * 1000
"""How long a message is sent again and again. Servers know an id for 30 days."""

_TEMPORARY: Final = (ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_FAILED, ErrorCode.OUT_OF_ORDER)
"""Refusals that pass: the message stays pending."""

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0


class EntryKind(enum.StrEnum):
    """Kind of an outbox entry; on disk it has these names."""

    CHAT = "chat"
    EDIT = "edit"
    REDACT = "redact"
    REACT = "react"
    UNREACT = "unreact"


class FailureCode(enum.StrEnum):
    """Why a message was not sent, apart from the server's own codes; on disk it has these names."""

    EXPIRED = "expired"
    """It could not be sent for 7 days."""
    ACCOUNT_DELETED = "account_deleted"
    """The account that it was for is deleted."""
    NOT_ENCODABLE = "not_encodable"
    """It is not UTF-8."""
    UNANSWERED = "unanswered"
    """The server did not answer; it might be stored."""
    UNANSWERED_KEPT = "unanswered_kept"
    """The same, and the next start of the client sends it again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why a message was not sent."""

    code: str
    """Of `FailureCode` or `ErrorCode`, or of a newer server; empty if an earlier version saved words only."""
    message: str = ""
    """The server's words."""
    wait_s: float | None = None
    """Seconds after which it would be accepted."""

    @property
    def saved(self) -> str:
        """The form on disk: a code that is known here, else the server's words."""
        return self.code if _is_known(self.code) else self.message or self.code

    @classmethod
    def load(cls, saved: str) -> Self:
        """Return a failure from its form on disk."""
        return cls(saved) if _is_known(saved) else cls("", saved)


def _is_known(code: str) -> bool:
    return code in list(FailureCode) or code in list(ErrorCode)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A message of yours, or an edit, redaction or reaction, without a `chat_ack`."""

    id: str
    to: str
    """A user or a room."""
    body: str
    """The text; of a redaction the reason, of a reaction what it is."""
    first_try_ms: int
    """When it was typed, by this computer's clock."""
    failure: str = ""
    """`Failure.saved`; empty while it is pending."""
    kind: EntryKind = EntryKind.CHAT
    target: int = 0
    """The seq of the message that it is about, or that it answers; 0 if there is none."""
    conversation: str = ""
    """The conversation that it was typed in: it must not go to another account with the same name. Empty if
    that was not known."""

    def frame(self) -> frames.ClientFrame:
        """Return the frame to send."""
        conversation = self.conversation or None
        match self.kind:
            case EntryKind.CHAT:
                return frames.SendChat(self.to, self.body, self.id, self.target or None, conversation)
            case EntryKind.EDIT:
                return frames.SendEdit(self.to, self.target, self.body, self.id, conversation)
            case EntryKind.REDACT:
                return frames.SendRedaction(self.to, self.target, self.id, self.body, conversation)
            case EntryKind.REACT | EntryKind.UNREACT:
                remove = self.kind is EntryKind.UNREACT
                return frames.SendReaction(self.to, self.target, self.body, self.id, remove, conversation)


@dataclasses.dataclass(slots=True)
class _Block:
    """A recipient whose messages wait, because the server could not store one."""

    first: str
    """The id that was refused for itself, not for being out of order."""
    refused: bool = True
    """Whether something was refused since the last time that all were sent."""
    tries: int = 0
    due: float | None = None
    """When to send again; None while answers are waited for."""


class Outbox:
    """The messages, in the order typed.

    Args:
        entries: What was kept from last time.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        kept = list(entries)
        self._pending = {entry.id: entry for entry in kept if not entry.failure}
        self._failed = {entry.id: entry for entry in kept if entry.failure}
        self._flying: dict[str, str] = {}
        self._flying_to: Counter[str] = Counter()
        self._blocks: dict[str, _Block] = {}
        self._online = False

    def __len__(self) -> int:
        """Number of pending messages."""
        return len(self._pending)

    def __iter__(self) -> Iterator[Entry]:
        """The pending ones, in order."""
        return iter(list(self._pending.values()))

    @property
    def failed(self) -> list[Entry]:
        """The failed ones, in the order in which they failed."""
        return list(self._failed.values())

    @property
    def refused_to(self) -> list[str]:
        """Recipients whose messages wait, because the server could not store one."""
        return list(self._blocks)

    # --- the connection

    def connected(self) -> list[Entry]:
        """Start a new connection; return everything pending, to be sent in order."""
        self.disconnected()
        self._online = True
        return self._take_off(self)

    def disconnected(self) -> None:
        """Stop expecting answers."""
        self._online = False
        self._flying.clear()
        self._flying_to.clear()
        self._blocks.clear()

    def add(self, entry: Entry) -> list[Entry]:
        """Add a message; return what can be sent now: it, or nothing."""
        self._pending[entry.id] = entry
        if not self._online or entry.to in self._blocks:
            return []
        return self._take_off([entry])

    def history_changed(self) -> None:
        """Forget the conversations of all entries: their ids can be those of others now."""
        for entries in (self._pending, self._failed):
            for entry in entries.values():
                entries[entry.id] = dataclasses.replace(entry, conversation="")

    def stored(self, message_id: str) -> Entry | None:
        """Remove and return a message that the server has stored; None if it is not here."""
        entry = self._pending.pop(message_id, None)
        if entry is None:
            # The server stored it after all, such as one that had expired.
            entry = self._failed.pop(message_id, None)
        self._land(message_id)
        return entry

    def is_bound(self, message_id: str) -> bool:
        """Whether a pending message is for one conversation, whatever account has the name by now."""
        entry = self._pending.get(message_id)
        return entry is not None and bool(entry.conversation)

    def has_refused(self, message_id: str) -> bool:
        """Whether the server waits for this message before it takes others to the same person."""
        return any(block.first == message_id for block in self._blocks.values())

    def refused(self, message_id: str, failure: Failure) -> Entry | None:
        """Apply a refusal.

        Returns:
            The message, with a failure if it is final; None if it is not here.
        """
        entry = self._pending.get(message_id)
        if entry is None:
            return None
        if failure.code not in _TEMPORARY:
            self._land(message_id)
            return self.fail(entry, failure)
        block = self._blocks.setdefault(entry.to, _Block(message_id))
        block.refused = True
        if failure.code != ErrorCode.OUT_OF_ORDER:
            block.first = message_id
        self._land(message_id)
        return entry

    def fail(self, entry: Entry, failure: Failure) -> Entry:
        """Move a message to those that failed."""
        failed = dataclasses.replace(entry, failure=failure.saved)
        self._pending.pop(entry.id, None)
        self._failed[entry.id] = failed
        return failed

    def forget(self, message_id: str) -> None:
        """Remove a message that failed."""
        self._failed.pop(message_id, None)

    def expired(self, wall_ms: int) -> list[Entry]:
        """The pending messages that are too old to be sent again, and not on their way."""
        oldest = wall_ms - LONGEST_TRY_MS
        return [entry for entry in self if entry.first_try_ms < oldest and entry.id not in self._flying]

    # --- sending again

    def due(self, now: float) -> list[Entry]:
        """Return the messages to send again now, in order."""
        again: list[Entry] = []
        for to, block in list(self._blocks.items()):
            if self._flying_to[to]:
                continue
            if not block.refused:
                del self._blocks[to]
                again += self._take_off(entry for entry in self if entry.to == to)
            elif block.due is None:
                block.due = now + min(_FIRST_PAUSE_S * 2**block.tries, _LONGEST_PAUSE_S)
                block.tries += 1
            elif block.due <= now:
                block.due = None
                block.refused = False
                again += self._take_off(entry for entry in self if entry.to == to)
        return again

    def next_due(self) -> float | None:
        """When `due` has something next; call it after each answer, too."""
        return min((block.due for block in self._blocks.values() if block.due is not None), default=None)

    def retry_now(self, to: str | None) -> list[str]:
        """Make refused messages due at once; return their recipients.

        Args:
            to: The recipient; None for all.
        """
        retried = [name for name in self._blocks if to in (None, name)]
        for name in retried:
            if self._blocks[name].due is not None:
                self._blocks[name].due = float("-inf")
        return retried

    def take_failed(self, to: str | None) -> list[Entry]:
        """Remove and return failed messages.

        Args:
            to: The recipient; None for all.
        """
        taken = [entry for entry in self._failed.values() if to in (None, entry.to)]
        for entry in taken:
            del self._failed[entry.id]
        return taken

    def discard_refused(self, to: str | None) -> tuple[list[Entry], list[str]]:
        """Remove what waits because the server could not store it, unless it is on its way again.

        Returns:
            The messages, and the ids to `skip`.
        """
        discarded: list[Entry] = []
        skipped: list[str] = []
        for name, block in list(self._blocks.items()):
            if to not in (None, name) or self._flying_to[name]:
                continue
            discarded += [self._pending.pop(entry.id) for entry in self if entry.to == name]
            skipped.append(block.first)
            del self._blocks[name]
        return discarded, skipped

    def _take_off(self, entries: Iterable[Entry]) -> list[Entry]:
        flying = list(entries)
        for entry in flying:
            self._flying[entry.id] = entry.to
            self._flying_to[entry.to] += 1
        return flying

    def _land(self, message_id: str) -> None:
        if (to := self._flying.pop(message_id, None)) is not None:
            self._flying_to[to] -= 1
