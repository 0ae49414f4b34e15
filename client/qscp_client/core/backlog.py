"""Items of one conversation that were applied and wait to be shown. Sans-I/O."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from qscp import frames
from qscp_client.core.messages import Amendment, Item, Message, Missing, amended, items_from

CAPACITY: Final = 500
"""Items that a backlog keeps; older ones are requested from the server when the chat is opened."""


class Backlog:
    """Applied items in the order of seq, at most `CAPACITY`; the oldest are dropped first.

    Attributes:
        requested: Whether the messages before the backlog were requested, so that new ones wait behind them.
    """

    def __init__(self) -> None:
        self.requested = False
        self._items: list[Item] = []

    def __len__(self) -> int:
        """Number of buffered items."""
        return len(self._items)

    @property
    def text_size(self) -> int:
        """Characters of the texts that it has."""
        return sum(len(each.body) for each in self._items if not isinstance(each, Missing))

    @property
    def first(self) -> int | None:
        """The first seq that it has; None if it is empty."""
        return self._items[0].seq if self._items else None

    def reaches(self, seq: int) -> bool:
        """Whether the first item is not later than right after a seq."""
        return self.first is not None and self.first <= seq + 1

    def is_complete_after(self, seq: int) -> bool:
        """Whether it has every message after a seq that was not shown, without a missing range."""
        is_missing = any(
            isinstance(each, Missing) and each.last > seq and each.reason != "damaged" for each in self._items
        )
        return self.reaches(seq) and not is_missing

    def messages_of_others(self, me: str) -> list[Message]:
        """Return the messages that are not your own."""
        return [each for each in self._items if isinstance(each, Message) and each.sender != me]

    def add(self, item: Item) -> None:
        """Append an item; drop the oldest if there are too many."""
        self._items.append(item)
        if len(self._items) > CAPACITY:
            del self._items[0]

    def take(self) -> list[Item]:
        """Return all items, and forget them."""
        taken, self._items = self._items, []
        return taken

    def take_typed(self) -> list[Message | Amendment]:
        """Remove and return what was typed here: its pending line has to end."""
        typed = [each for each in self._items if not isinstance(each, Missing) and each.here]
        self._items = [each for each in self._items if isinstance(each, Missing) or not each.here]
        return typed

    def amend(self, amendment: Amendment, me: str) -> bool:
        """Apply an amendment to the message that it targets; return whether that message waits here.

        Args:
            amendment: The edit, redaction or reaction.
            me: Your name.
        """
        for index, item in enumerate(self._items):
            if isinstance(item, Message) and item.seq == amendment.target:
                self._items[index] = amended(item, amendment, me)
                return True
        return False

    def rewind(self, seq: int) -> None:
        """Drop what is after a seq."""
        self._items = [each for each in self._items if each.last <= seq]

    def drop_through(self, seq: int, reason: str) -> None:
        """Drop messages up to a seq, and amendments of them; what was not shown is missing now.

        What was typed here stays, to be shown as stored: its pending line has to end.

        Args:
            seq: The last seq to drop.
            reason: As in `Missing`.
        """
        old = [each for each in self._items if not isinstance(each, Missing) and _first(each) <= seq]
        kept = [each for each in self._items if isinstance(each, Missing) or _first(each) > seq]
        first = min((each.seq for each in old if not each.repeated), default=seq + 1)
        if first <= seq:
            # It continues the range of what was dropped earlier.
            ranges = [each for each in kept if isinstance(each, Missing) and each.reason == reason]
            first = min([each.seq for each in ranges if first <= each.last + 1] + [first])
            kept = [each for each in kept if not first <= each.seq <= seq]
            kept.append(Missing(first, seq, reason))
        kept += [_confirmed(each) for each in old if each.here]
        self._items = sorted(kept, key=lambda each: each.seq)

    def add_missing(self, missing: Missing) -> None:
        """Append a missing range; it continues the last one if that reaches it with the same reason."""
        last = self._items[-1] if self._items else None
        if isinstance(last, Missing) and last.reason == missing.reason and last.last + 1 >= missing.seq:
            self._items[-1] = Missing(last.seq, max(last.last, missing.last), missing.reason)
        else:
            self.add(missing)

    def prepend(self, page: frames.History, shown: Sequence[Message | Missing], start: int) -> None:
        """Put a page of history before the items.

        What neither has is marked as missing, and what both have is taken from the backlog.

        Args:
            page: The newest messages of the conversation.
            shown: Those of them that are not out of date, in their current form, and the gaps among them.
            start: The seq after which nothing was shown.
        """
        items: dict[int, Item] = {}
        for each in shown:
            if isinstance(each, Missing) and each.seq <= start < each.last:
                items[start + 1] = dataclasses.replace(each, seq=start + 1)
            elif each.seq > start:
                items[each.seq] = each
        first = min(items, default=start + 1)
        # A range without messages is no gap if the page goes beyond it: amendments have seqs, too.
        reaches_start = any(each.seq <= start for each in items_from(page))
        if not reaches_start and first > start + 1:
            if page.cursor is not None:
                items[start + 1] = Missing(start + 1, first - 1, "older")
            elif page.first_seq > start + 1:
                items[start + 1] = Missing(start + 1, page.first_seq - 1, "pruned")
        for item in self._items:
            if isinstance(item, Amendment) and item.target in items:
                # The page has the message as this left it.
                items[item.seq] = dataclasses.replace(item, folded=True)
            elif not isinstance(item, Missing) and (item.seq >= first or item.here):
                items[item.seq] = item
        self._items = [items[seq] for seq in sorted(items)]

    def mark_missing(self, start: int) -> None:
        """Put a missing range before the items, if they do not reach `start`.

        Args:
            start: The seq after which nothing was shown.
        """
        if self.first is not None and self.first > start + 1:
            self._items.insert(0, Missing(start + 1, self.first - 1, "older"))


def _first(item: Item) -> int:
    """Return the seq of an item, or of the message that it amends."""
    return item.target if isinstance(item, Amendment) else item.seq


def _confirmed(item: Message | Amendment) -> Message | Amendment:
    """Return an item of which only is shown that it was stored."""
    if isinstance(item, Amendment):
        return dataclasses.replace(item, repeated=True, before="")
    return dataclasses.replace(item, repeated=True)
