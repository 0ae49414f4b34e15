"""Runs of message ids: between which ids an account wrote, and where its messages are; see `ids.py`."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from qscpd.domain.model import NewMessage, Outcome, StoredMessage

_RUN_PLACES: Final = 8
"""Ranges of seqs in a run at most."""

_RUN_MESSAGES: Final = 256
"""Places in the ranges of a run at most, unless a single commit has more: a look-up reads them all."""

_Number = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]

Range = tuple[_Number, _Number, _Number]
"""Conversation, first and last seq; there can be messages of others in it."""


class Run(NamedTuple):
    """Messages of an account whose ids rise."""

    last_id: str
    first_id: str
    places: tuple[Range, ...]


class RunsInMemory:
    """Runs of what is in the journal, by account; each account's are in the order of ids."""

    def __init__(self) -> None:
        self._runs: dict[int, list[Run]] = {}
        self._folding: dict[int, list[Run]] = {}
        """Those that the running fold writes."""

    def add(self, account: int, run: Run) -> None:
        """Add the newest messages of an account."""
        runs = self._runs.setdefault(account, [])
        if runs and (joined := _join(runs[-1], run)) is not None:
            runs[-1] = joined
        else:
            runs.append(run)

    def add_stored(
        self, messages: Sequence[NewMessage], outcomes: Sequence[Outcome], exceptions: Collection[int]
    ) -> None:
        """Add what a commit has stored.

        Args:
            messages: The messages, in order.
            outcomes: Those of the first ones.
            exceptions: Indexes of messages whose ids have not risen: they are in no run.
        """
        account = conversation = first_seq = last_seq = 0
        first_id = last_id = ""
        for index, (message, outcome) in enumerate(zip(messages, outcomes, strict=False)):
            if type(outcome) is not StoredMessage or not outcome.new or index in exceptions:
                continue
            if message.sender != account or outcome.conversation != conversation:
                if account:
                    self.add(account, Run(last_id, first_id, ((conversation, first_seq, last_seq),)))
                account, conversation = message.sender, outcome.conversation
                first_id, first_seq = message.id, outcome.seq
            last_id, last_seq = message.id, outcome.seq
        if account:
            self.add(account, Run(last_id, first_id, ((conversation, first_seq, last_seq),)))

    def containing(self, account: int, message_id: str) -> Run | None:
        """Return the run in which an id can be."""
        for runs in (self._folding, self._runs):
            for run in runs.get(account, ()):
                if run.first_id <= message_id <= run.last_id:
                    return run
        return None

    def last_of(self, account: int) -> str:
        """Return the highest id of an account; empty if it has none here."""
        for runs in (self._runs, self._folding):
            if account in runs:
                return runs[account][-1].last_id
        return ""

    def begin_fold(self) -> None:
        """Take what there is as what is folded."""
        if not self._folding:
            self._runs, self._folding = {}, self._runs

    def folding(self) -> Iterator[tuple[int, Run]]:
        """Yield the accounts and runs that are folded."""
        for account, runs in self._folding.items():
            for run in runs:
                yield account, run

    def end_fold(self) -> None:
        """Forget what is folded: it is in the file."""
        self._folding = {}


def _join(before: Run, run: Run) -> Run | None:
    """Return two runs of an account as one; None if that would be too large."""
    places = before.places
    conversation, first, last = run.places[0]
    if len(run.places) == 1 and places[-1][0] == conversation and places[-1][1] <= first:
        places = (*places[:-1], (conversation, places[-1][1], last))
    else:
        places += run.places
    if len(places) > _RUN_PLACES or sum(end - begin + 1 for _, begin, end in places) > _RUN_MESSAGES:
        return None
    return Run(run.last_id, before.first_id, places)
