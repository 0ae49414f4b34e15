"""Presence as each account sees it: two users with a block between them are offline to each other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from qscp import codec
from qscp.frames import PresenceChanges, UserPresence
from qscpd.accounts.directory import Directory
from qscpd.chat.blocks import Blocks
from qscpd.chat.presence import Presence
from qscpd.domain.model import Account
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session

_PAGE: Final = 100
"""Users in one frame, as in `qscpd.chat.presence`."""


class Visibility:
    """Sends presence to sessions, and answers what an account sees of another one.

    Args:
        directory: The accounts.
        sessions: The logged-in sessions of each account; the router's own.

    Attributes:
        presence: Who is online, without blocks.
        blocks: The blocks.
    """

    def __init__(self, directory: Directory, sessions: Mapping[int, list[Session]]) -> None:
        self._directory = directory
        self._sessions = sessions
        self.presence = Presence(self._broadcast)
        self.blocks = Blocks(directory.names, lambda account: sessions.get(account, ()), self._renew)
        self._renewed: dict[int, set[int]] = {}
        """Account -> those whose presence it gets next, because a block between them has changed."""

    def of(self, viewer: int, account: Account) -> UserPresence:
        """Return the presence of an account, as another one sees it."""
        if self.blocks.between(viewer, account.id):
            return UserPresence(account.name, "offline")
        return self.presence.of(account.name)

    def pages(self, identity: Identity) -> Iterator[bytes]:
        """Yield the frames of a snapshot for a session of an account; see `Presence.pages`."""
        return self.presence.pages(identity.name, lambda name: self._hides(identity.account, name))

    def _hides(self, viewer: int, name: str) -> bool:
        account = self._directory.accounts.get(name)
        return account is not None and self.blocks.between(viewer, account.id)

    def _renew(self, account: int, blocked: int) -> None:
        """Let both accounts of a changed block have the presence of the other one, with the next changes.

        Not at once: who blocks and unblocks again and again causes no more frames than others.
        """
        for viewer, other in ((account, blocked), (blocked, account)):
            if viewer in self._sessions:
                self._renewed.setdefault(viewer, set()).add(other)
                self.presence.schedule()

    def _broadcast(self, pages: Sequence[PresenceChanges]) -> None:
        """Send changes to all sessions; each frame is encoded once for all who see the same of it."""
        accounts = self._directory.accounts
        changed = {accounts[user.user].id for page in pages for user in page.users if user.user in accounts}
        whole = [codec.encode(page) for page in pages]
        lines = {frozenset[int](): whole}
        for account, sessions in self._sessions.items():
            hidden = self.blocks.hidden_among(account, changed)
            if hidden not in lines:
                lines[hidden] = self._without(pages, whole, hidden)
            for session in sessions:
                session.outbound.send_presence(lines[hidden])
        self._send_renewed()

    def _without(
        self, pages: Sequence[PresenceChanges], whole: Sequence[bytes], hidden: frozenset[int]
    ) -> list[bytes]:
        """Return the lines without some accounts; a page without any of them is not encoded again."""
        names = {self._directory.names[each] for each in hidden}
        lines: list[bytes] = []
        for page, line in zip(pages, whole, strict=True):
            seen = [user for user in page.users if user.user not in names]
            if len(seen) == len(page.users):
                lines.append(line)
            elif seen:
                lines.append(codec.encode(PresenceChanges(page.version, seen)))
        return lines

    def _send_renewed(self) -> None:
        renewed, self._renewed = self._renewed, {}
        for viewer, others in renewed.items():
            found = [account for each in sorted(others) if (account := self._directory.by_id(each))]
            lines = [
                codec.encode(
                    PresenceChanges(
                        self.presence.next_version(),
                        [self.of(viewer, account) for account in found[start : start + _PAGE]],
                    )
                )
                for start in range(0, len(found), _PAGE)
            ]
            for session in self._sessions.get(viewer, ()):
                session.outbound.send_presence(lines)
