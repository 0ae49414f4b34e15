"""Cursors of one conversation: how far it was applied, displayed and reported. Sans-I/O."""

import dataclasses


@dataclasses.dataclass(slots=True)
class Cursors:
    """Seqs up to which something was done in one conversation.

    Each moves one way only, by its own method; `rewind` alone takes them back. `received` is sent for what
    was applied, and `read` for what was displayed, never for more.
    """

    applied: int | None = None
    """The newest seq that was applied, as saved on disk; None before the first."""
    reported: int = 0
    """The newest seq sent by `received`, or that needs no report; 0 if the server may have lost it."""
    displayed: int = 0
    """The newest seq displayed in the chat that can be reported as read."""
    read_reported: int = 0
    """The newest seq that the server has as read, as far as we know."""
    shown: int = 0
    """The newest seq displayed in the chat, your own messages included."""
    oldest: int = 0
    """The seq before which older messages follow; 0 if none were displayed."""
    first: int = 1
    """The first seq that you may see and that the server still has."""

    def has_applied(self, seq: int) -> bool:
        """Whether a seq was applied before."""
        return self.applied is not None and seq <= self.applied

    def apply(self, seq: int, *, is_mine: bool = False) -> bool:
        """Advance `applied`; return False if the seq was applied before.

        Args:
            seq: The seq.
            is_mine: Whether it is of your own message or amendment: nobody waits for its receipt.
        """
        if self.has_applied(seq):
            return False
        if is_mine and self.applied is not None and not self.has_received_to_report:
            self.reported = seq
        self.applied = seq
        return True

    def display(self, seq: int) -> bool:
        """Advance `displayed` and `shown`; return whether `displayed` advanced."""
        self.show(seq)
        if seq <= self.displayed:
            return False
        self.displayed = seq
        return True

    def show(self, seq: int) -> None:
        """Advance `shown` alone, for what is not reported as read."""
        self.shown = max(self.shown, seq)

    def extend_back(self, seq: int) -> None:
        """Lower `oldest`: messages from this seq on were displayed, or there are none before it."""
        self.oldest = min(self.oldest or seq, seq)

    def prune(self, first: int) -> None:
        """Advance `first`: what was before it is gone, or not for you."""
        self.first = max(self.first, first)

    def take_received(self) -> int | None:
        """Return the seq to send by `received`, and count it as reported; None if there is nothing new."""
        if not self.has_received_to_report:
            return None
        self.reported = self.applied or 0
        return self.reported

    def skip_received(self, seq: int) -> bool:
        """Count a seq as reported that another device has reported; return whether it was not."""
        if seq <= self.reported:
            return False
        self.reported = seq
        return True

    @property
    def has_received_to_report(self) -> bool:
        """Whether `take_received` has something."""
        return self.applied is not None and self.applied > self.reported

    def take_read(self) -> int | None:
        """Return the seq to send by `read`, and count it as reported; None if there is nothing new."""
        if not self.has_read_to_report:
            return None
        self.read_reported = self.displayed
        return self.read_reported

    @property
    def has_read_to_report(self) -> bool:
        """Whether `take_read` has something."""
        return self.displayed > self.read_reported

    def repeat_received(self) -> None:
        """Report `applied` again: the last report may be lost."""
        self.reported = 0

    def confirm_read(self, seq: int) -> None:
        """Take the server's word for what it has as read; a report of ours may be lost."""
        self.read_reported = seq

    def rewind(self, seq: int) -> None:
        """Go back to a seq: the server has nothing after it."""
        self.applied = seq
        self.reported = min(self.reported, seq)
        self.displayed = min(self.displayed, seq)
        self.read_reported = min(self.read_reported, seq)
        self.shown = min(self.shown, seq)
