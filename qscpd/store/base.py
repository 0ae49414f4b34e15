"""Interface of a store, whatever it keeps its rows in.

A store is synchronous and belongs to one thread at a time: to the thread of
`qscpd.store.writer` in the daemon, to the main thread in a command. Every method is one
transaction: when it returns, its changes are on disk; when it raises, none of them is.
All times that one transaction writes are the same.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from qscpd.domain.clock import ClockDoubt
from qscpd.domain.events import Event, PositionMoved
from qscpd.domain.model import (
    Account,
    BlockRow,
    ConversationPage,
    ConversationRow,
    Credentials,
    ExportedMessage,
    FoundPage,
    HistoryPage,
    Keep,
    LogRow,
    Mark,
    MessageRow,
    NewMessage,
    Outcome,
    ReplayPage,
    RoomResult,
)
from qscpd.domain.rooms import DeniedError, Membership, RoomChange, RoomRow
from qscpd.domain.search import Search
from qscpd.errors import StoreFullError


class StoreReader(Protocol):
    """The reading half of a store; each method reads one state of it.

    Messages that can't be read are left out; pages say which, and `on_damage` of the store is called.
    """

    def close(self) -> None:
        """Close the store; nothing can be read afterwards."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Let everything that is read inside come from one state, also while another process writes."""

    def epoch(self) -> str:
        """Return the id of this history; a restored store has another one."""

    def steady_ms(self) -> int:
        """Return the time that the ends of mutes and bans are compared with; see `qscpd.domain.clock`."""

    # --- accounts

    def accounts(self) -> Sequence[Account]:
        """Return every account that is not deleted, by name."""

    def account_names(self) -> Mapping[int, str]:
        """Return the name of every account that ever existed, as it is shown, by id.

        `qscpd.domain.labels` says how a former holder of a name is shown.
        """

    def find_account(self, name: str, account: int | None = None) -> Account:
        """Find an account, also a deleted one, by its name or, if given, by its id.

        A name means the account that has it now; else the deleted one that had it.

        Raises:
            NotFoundError: It does not exist.
            UsageError: Several deleted accounts had that name, and no account has it now.
        """

    def credentials(self, name: str) -> Credentials | None:
        """Return what a login is checked against; None if the account does not exist or is deleted."""

    def blocks(self, account: int | None = None) -> Sequence[BlockRow]:
        """Return what an account blocks, or what all accounts block, by account and blocked account."""

    # --- conversations

    def conversations(
        self, account: int, after: int = 0, limit: int = 1_000_000
    ) -> Sequence[ConversationRow]:
        """Return an account's conversations with a higher id than `after`, by id."""

    def conversation_list(self, account: int, after: int, limit: int) -> ConversationPage:
        """Return a page of an account's conversations with their unread counts.

        Args:
            account: The account.
            after: Only conversations with a higher id.
            limit: Conversations at most.
        """

    # --- messages

    def history_page(
        self,
        account: int,
        conversation: int,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int,
        max_bytes: int,
    ) -> HistoryPage | None:
        """Return a page of a conversation's messages; None if the account is not a member of it.

        Args:
            account: The account.
            conversation: The conversation.
            before: The newest messages before this seq; None: the newest of all.
            after: The oldest messages after this seq instead.
            limit: Messages at most.
            max_bytes: Bytes on the wire at most, but for the first message.
        """

    def replay_page(
        self, account: int, conversation: int, *, after: int, limit: int, max_bytes: int
    ) -> ReplayPage | None:
        """Return the oldest messages and amendments after a seq; None if the account is not a member.

        Args:
            account: The account.
            conversation: The conversation.
            after: The seq.
            limit: Rows at most.
            max_bytes: Bytes on the wire at most, but for the first row.
        """

    def search(self, search: Search) -> FoundPage | None:
        """Do a step of a search; return its page, or None if another step has to follow.

        Any reader of the store can do the next step.

        Args:
            search: The search; it has what its steps have found so far.
        """

    def export(self, account: int) -> Iterator[ExportedMessage]:
        """Yield every message that an account can see, by conversation and seq."""

    def export_room(self, conversation: int) -> Iterator[MessageRow]:
        """Yield every message of a conversation, as of a room, by seq; also what no member can see."""

    # --- rooms

    def rooms(self) -> Sequence[RoomRow]:
        """Return every room that is not deleted, by name."""

    def find_room(self, name: str) -> RoomRow:
        """Find a room that is not deleted.

        Raises:
            NotFoundError: It does not exist.
        """

    def room(self, conversation: int) -> RoomRow:
        """Return the room that a conversation is, also a deleted one."""

    def memberships(self, conversation: int) -> Mapping[int, Membership]:
        """Return the memberships of a room by account id, also those of former and invited members."""

    def last_mute(self, conversation: int, account: int) -> LogRow | None:
        """Return the newest entry of a room's log that mutes an account; None if not found.

        Not all of a very long log is searched.
        """

    def room_log(
        self, conversation: int, before: int | None = None, limit: int = 1_000_000
    ) -> Sequence[LogRow]:
        """Return a room's moderation log, newest first, from the entries with a lower id than `before`."""


class Housekeeping(Protocol):
    """A driver's housekeeping: it has to be called, but when is up to the caller."""

    def step(self, keep: Keep) -> bool:
        """Do one small step (a few milliseconds) of indexing or pruning; return whether there is more.

        While the wall clock is not confirmed, nothing is removed by its age.
        """

    def clock_doubt(self) -> ClockDoubt | None:
        """Return what is wrong with the wall clock; None if it is confirmed."""

    def confirm_clock(self) -> int:
        """Confirm the wall clock as it is, and return its time.

        Raises:
            StoreFullError: There is no room; it is confirmed until the store is closed.
        """

    def erase_step(self, account: int) -> bool:
        """Erase a few of an account's messages, leaving their places; return whether there is more.

        After the last step none of their text can be read, and none is in any of the store's
        files, unless `compaction_due`. Begin only when the account is deleted and its
        sessions are closed; begin again after an interruption.
        """

    def erase_damaged(self, account: int) -> int:
        """Return how many damaged places the last `erase_step` of an account could not look into.

        They can have texts of the account. It is asked once, after the last step.
        """

    def compaction_due(self) -> bool:
        """Return whether unused parts of the files may have erased text; opening the store removes it."""

    def compact(self) -> None:
        """Rewrite the whole store, which takes a second for 100 MB, and as much room again.

        Raises:
            StoreFullError: There is not that much room.
        """


class Finding(NamedTuple):
    """What a store found when it was opened, for the operator."""

    event: str
    """Name in the log, as `journal_lost`."""
    text: str
    """What was found and what to do, as one line."""
    level: int
    """Level in the log, of `logging`: critical if something is lost."""
    daemon_only: bool = False
    """Whether a command need not print it, because it concerns a process that runs for longer."""


class Store(StoreReader, Protocol):
    """Accounts, conversations and messages."""

    @property
    def findings(self) -> Sequence[Finding]:
        """What the operator has to know of the store's opening; usually nothing."""

    @property
    def housekeeping(self) -> Housekeeping:
        """The store's housekeeping; it belongs to the same thread."""

    def listen(self, on_commit: Callable[[Sequence[Event]], None] | None) -> None:
        """Call a function with the events of each transaction, in order, as soon as it is committed.

        The thread of the transaction calls it, before the method that changed something returns.
        Nothing is called for a transaction that is undone or causes no event. While no function is
        set, events are dropped.

        `append` causes no events: its result says the same. While all messages are new, its caller
        can use the sequences it has for `MessagesStored`, and nothing is made for a single message.

        Args:
            on_commit: The function, instead of the one before; None for no function.
        """

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

    def check_new_name(self, name: str, *, reuse_name: bool = False) -> None:
        """Check that `add_account` would get the name; nothing is changed.

        Raises:
            ExistsError: As in `add_account`.
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
        """Delete an account: it can't log in, its name stays reserved, its password hash is removed.

        It leaves its rooms, as `qscpd.domain.succession` says. It blocks nobody any more; blocks by
        others stay, because what it wrote in rooms stays.

        Raises:
            NotFoundError: There is no such account, or it is deleted already.
        """

    def replace_hash(self, account: int, old_hash: str, new_hash: str) -> None:
        """Upgrade a password hash after a login, unless the password was changed meanwhile."""

    def block(self, account: int, blocked: int) -> None:
        """Block an account, also a deleted one; see `qscpd.domain.blocks`.

        Raises:
            DeniedError: It is blocked already, the same account, or one too many; nothing was changed.
            StoreFullError: No room on the disk.
        """

    def unblock(self, account: int, blocked: int) -> None:
        """Stop blocking an account.

        Raises:
            DeniedError: It is not blocked.
            StoreFullError: No room on the disk.
        """

    # --- messages

    def append(
        self, messages: Sequence[NewMessage], marks: Sequence[Mark] = (), *, deadline_s: float = math.inf
    ) -> tuple[Sequence[Outcome], Sequence[PositionMoved | None]]:
        """Store messages and move positions in one transaction, in the order given.

        An amendment can take a thousand times as long as a message. So the transaction ends at a deadline:
        behind it, at the first message that would take long. From there on messages are not looked at,
        and can be given to the next transaction. Each one comes further; marks move in any case. None is
        looked at if folding what came before has taken all of the time.

        The id of a message decides first. One that was stored is acknowledged again if it is the same
        message, sent to a name that its recipient has or had, and is a conflict if not. One that was
        refused gets the same code again. Both are remembered for 30 days, over all that happens to
        messages, recipients and rooms. Only then a `RefusedMessage` gets its code, and others are judged.

        Args:
            messages: The messages.
            marks: The positions.
            deadline_s: By `time.monotonic`.

        Returns:
            The outcome of each message, fewer than messages if the deadline has passed, and what each
            mark moved (None: nothing), in the same order. A mark of an account that
            is not a member moves nothing.

        Raises:
            StoreFullError: No room; nothing was stored.
            StoreBusyError: Locked by another program; nothing was stored.
            StoreDamagedError: It needs a damaged part of the store; nothing was stored.
            StoreError: An error of unknown outcome: the store must not be used any more.
        """

    def known(self, messages: Sequence[NewMessage]) -> Sequence[Outcome | None]:
        """Return the outcomes of messages whose ids may have been used before; None for each new one.

        Only reads, so that it can answer when nothing can be written.
        """

    # --- rooms

    def change_room(self, change: RoomChange) -> RoomResult:
        """Apply a change of a room, as far as `qscpd.domain.rooms` allows it.

        With the action `create`, the room is made; its owner is the actor, or for the operator the target.

        Raises:
            DeniedError: It is not allowed, or makes no sense; nothing was changed.
            StoreFullError: No room on the disk.
        """

    def change_rooms(
        self, changes: Sequence[RoomChange], *, deadline_s: float = math.inf
    ) -> Sequence[RoomResult | DeniedError | StoreFullError]:
        """Apply several changes in one transaction, in the order given; each as `change_room` does.

        Args:
            changes: The changes.
            deadline_s: By `time.monotonic`. Changes behind it are not applied, but for the first of all.

        Returns:
            The result of each, fewer than changes if the deadline has passed; a denied one does not
            prevent the others. On a full disk, protective ones can have a result, and the others
            `StoreFullError` (`qscpd.domain.moderation`).

        Raises:
            StoreFullError: No room on the disk; nothing was changed.
        """
