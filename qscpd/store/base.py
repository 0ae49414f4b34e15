"""What a store does, whatever it keeps its rows in.

A store is synchronous and belongs to one thread at a time: to the thread of
`qscpd.store.writer` in the daemon, to the main thread in a command. Every method is one
transaction: when it returns, what it did is on disk; when it raises, nothing of it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from qscpd.domain.model import (
    Account,
    ConversationRow,
    Credentials,
    Found,
    Keep,
    LogRow,
    Mark,
    MessageRow,
    Moved,
    NewMessage,
    Outcome,
    RoomResult,
)
from qscpd.domain.rooms import DeniedError, Membership, RoomChange, RoomRow


class StoreReader(Protocol):
    """The part of a store that only looks."""

    def close(self) -> None:
        """Give the store back; only opening it again is allowed afterwards."""

    def epoch(self) -> str:
        """Which history this is; a restored store has another one."""

    def find_account(self, name: str, account: int | None = None) -> Account:
        """Find an account, also a deleted one, by its name or, if given, by its id.

        A name means the account that has it now; else the deleted one that had it.

        Raises:
            NotFoundError: There is none.
            UsageError: Several deleted accounts had that name, and nobody has it now.
        """

    def account_names(self) -> dict[int, str]:
        """The name of every account there ever was, by id; for showing who wrote a message."""

    def conversations(
        self, account: int, after: int = 0, limit: int = 1_000_000
    ) -> Sequence[ConversationRow]:
        """An account's conversations with a higher id than `after`, by id."""

    def export(self, account: int) -> Iterator[Found]:
        """Every message that an account may see, by conversation and seq."""

    def rooms(self) -> Sequence[RoomRow]:
        """Every room that is not deleted, by name."""

    def memberships(self, conversation: int) -> Mapping[int, Membership]:
        """Who is in a room, or has another membership there, by account id."""

    def find_room(self, name: str) -> RoomRow:
        """Find a room that is not deleted.

        Raises:
            NotFoundError: There is none of that name.
        """

    def room(self, conversation: int) -> RoomRow:
        """The room that a conversation is, also a deleted one."""

    def room_log(
        self, conversation: int, before: int | None = None, limit: int = 1_000_000
    ) -> Sequence[LogRow]:
        """A room's log of moderation, newest first, from the entries with a lower id than `before`."""

    def export_room(self, conversation: int) -> Iterator[MessageRow]:
        """Every message of a room, by seq."""


class Store(StoreReader, Protocol):
    """Accounts, conversations and messages."""

    def renew_epoch(self) -> None:
        """Begin another history: devices forget the positions that they had in this one."""

    # --- accounts

    def add_account(self, name: str, password_hash: str, *, reuse_name: bool = False) -> Account:
        """Make an account.

        Args:
            name: As `qscp.names.normalize_name` returns it.
            password_hash: In the form of passlib.
            reuse_name: Allow the name of a deleted account; the new account has a new id.

        Raises:
            ExistsError: The name is taken, or reserved by a deleted account.
        """

    def set_password(self, name: str, password_hash: str) -> Account:
        """Replace an account's password hash.

        Raises:
            NotFoundError: There is no such account, or it is deleted.
        """

    def set_locked(self, name: str, *, locked: bool) -> Account:
        """Lock or unlock an account; doing it twice changes nothing.

        Raises:
            NotFoundError: There is no such account, or it is deleted.
        """

    def delete_account(self, name: str) -> Account:
        """Delete an account: it can't log in, its name stays reserved, its password hash is gone.

        It leaves its rooms. A room that would be without an owner gets the highest of its members, the
        oldest of those; one that has no members is archived.

        Raises:
            NotFoundError: There is no such account, or it is deleted already.
        """

    def accounts(self) -> Sequence[Account]:
        """Every account that is not deleted, by name."""

    def credentials(self, name: str) -> Credentials | None:
        """What a login of that name is checked against; None if nobody has it or it is deleted."""

    def replace_hash(self, account: int, old_hash: str, new_hash: str) -> None:
        """Upgrade a password hash after a login, unless the password was changed meanwhile."""

    # --- messages

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark] = ()
    ) -> tuple[Sequence[Outcome], Sequence[Moved | None]]:
        """Store messages and move positions in one transaction, in the order given.

        Returns:
            The outcome of each message, and what each mark moved (None: nothing), in the same order.
            A mark of somebody who is no member moves nothing.

        Raises:
            StoreFullError: No room; nothing was stored.
            StoreBusyError: Locked by somebody else; nothing was stored.
            StoreError: An error of unknown outcome: the store must not be used any more.
        """

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """What became of messages whose ids may have been used before; None for each that is new.

        Only reads, so that it can answer when nothing can be written.
        """

    def conversation(self, account: int, conversation: int) -> ConversationRow | None:
        """One conversation; None if the account is no member of it."""

    def unread(self, account: int, conversation: int, read: int, most: int = 1000) -> tuple[int, int]:
        """How many messages after `read` others wrote, and how many of them mention the account.

        Counting stops at about `most`.
        """

    def messages_after(
        self, conversation: int, seq: int, limit: int, most_bytes: int, first: int = 1
    ) -> Sequence[MessageRow]:
        """The oldest messages after a seq, by seq; at least one if there is any, whatever its size.

        Nothing is told from before `first`, and not the new text of an edit of something from before it.
        """

    def messages_before(
        self, conversation: int, seq: int, limit: int, most_bytes: int, first: int = 1
    ) -> Sequence[MessageRow]:
        """The newest messages before a seq, by seq; otherwise like `messages_after`."""

    def search(
        self,
        account: int,
        words: Sequence[str],
        *,
        conversation: int | None,
        before: tuple[int, int, int],
        limit: int,
    ) -> tuple[Sequence[Found], bool]:
        """Look for messages with all of the words in an account's conversations.

        Returns:
            The newest ones before a (time_ms, conversation, seq), newest first; and whether the
            index is complete.
        """

    # --- rooms

    def change_room(self, change: RoomChange) -> RoomResult:
        """Do something in a room, as far as `qscpd.domain.rooms` allow it.

        With the action `create`, the room is made; its owner is the actor, or for the operator the target.

        Raises:
            DeniedError: It is not allowed, or makes no sense; nothing was changed.
            StoreFullError: No room on the disk.
        """

    def change_rooms(self, changes: Sequence[RoomChange]) -> Sequence[RoomResult | DeniedError]:
        """Do several things in rooms in one transaction, in the order given; each as `change_room` does it.

        Returns:
            What came of each; those that are denied don't hinder the others.

        Raises:
            StoreFullError: No room on the disk; nothing was changed.
        """

    # --- housekeeping

    def tend(self, keep: Keep) -> bool:
        """Do one small step (a few milliseconds) of indexing or pruning; return whether more waits."""

    def erase_step(self, account: int) -> bool:
        """Erase a few of an account's messages, leaving their places; return whether more waits.

        After the last step nothing of their text can be read, and nothing is in any of the store's
        files, unless `compaction_due` says so. Begin only when the account is deleted and its
        sessions are over; begin again after an interruption.
        """

    def compaction_due(self) -> bool:
        """Whether traces of erased text may be in unused parts of the files; opening it removes them."""

    def compact(self) -> None:
        """Rewrite the whole store, which takes a second for 100 MB, and as much room again.

        Raises:
            StoreFullError: There is not that much room.
        """
