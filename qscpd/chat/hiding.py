"""Hiding: accounts that appear offline although they have sessions, and what is withheld meanwhile.

An account is hidden while any of its sessions has the status `offline`, and for a while after the
connection of such a session was lost. So neither another device nor a reconnect shows a user who wants to
appear offline. `delivered` would show it as well: so those positions wait until the account is visible.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from qscpd.domain.model import Mark
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session

HIDDEN_GRACE_S: Final = 600.0
"""How long a hidden session whose link was lost still hides its account, if the device does not return: a
client reconnects within a minute or two, and a computer that sleeps must not hide a phone for days."""

_WITHHELD: Final = 500
"""Positions withheld of an account, some 50 KiB; of other conversations the next `received` comes in time."""


class Hiding:
    """The hidden accounts.

    Args:
        submit: Submits a position of a session to the store.
        changed: Called when an account might be visible again.
    """

    def __init__(self, submit: Callable[[Session, Mark], None], changed: Callable[[Identity], None]) -> None:
        self._submit = submit
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._lost: dict[int, tuple[str, asyncio.TimerHandle]] = {}
        """Account -> device of the hidden session that was lost last, and the end of the grace period."""
        self._withheld: dict[int, dict[int, Mark]] = {}
        """Account -> conversation -> the highest position."""

    def hides(self, account: int, sessions: Iterable[Session]) -> bool:
        """Return whether an account with these sessions is hidden."""
        return account in self._lost or any(each.status == "offline" for each in sessions)

    # --- hidden sessions that were lost

    def lost(self, identity: Identity) -> None:
        """Go on hiding an account: the connection of a hidden session was lost."""
        self.end_grace(identity.account)
        timer = self._loop.call_later(HIDDEN_GRACE_S, self._expire, identity)
        self._lost[identity.account] = identity.device, timer

    def returned(self, identity: Identity) -> None:
        """Let a device that was lost decide by its new session."""
        if (found := self._lost.get(identity.account)) is not None and found[0] == identity.device:
            self.end_grace(identity.account)

    def end_grace(self, account: int) -> None:
        """Hide an account no longer for a session that was lost."""
        if (found := self._lost.pop(account, None)) is not None:
            found[1].cancel()

    def _expire(self, identity: Identity) -> None:
        del self._lost[identity.account]
        self._changed(identity)

    # --- positions

    def withhold(self, mark: Mark) -> None:
        """Keep a `DELIVERED` position of a hidden account back; there is one for each conversation."""
        waiting = self._withheld.setdefault(mark.account, {})
        before = waiting.get(mark.conversation)
        if before is None and len(waiting) >= _WITHHELD:
            return
        if before is None or before.seq < mark.seq:
            waiting[mark.conversation] = mark

    def release(self, account: int, session: Session) -> None:
        """Submit what was withheld of an account that is visible now, as positions of one of its sessions."""
        for mark in self._withheld.pop(account, {}).values():
            self._submit(session, mark)

    def drop(self, account: int) -> None:
        """Forget what was withheld of an account without sessions: its devices report it again."""
        self._withheld.pop(account, None)

    def close(self) -> None:
        """Stop all timers."""
        for _, timer in self._lost.values():
            timer.cancel()
