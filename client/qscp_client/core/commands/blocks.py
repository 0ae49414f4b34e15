"""Block commands: `/block`, `/unblock`, `/blocks`, and `/show` for folded messages."""

from collections.abc import Callable
from typing import Final

from qscp import frames
from qscp.errors import InvalidNameError
from qscp.limits import PAGE_LIMIT
from qscp.names import normalize_name
from qscp_client.core.block_requests import BlockRequests
from qscp_client.core.chat_state import CurrentChat
from qscp_client.core.conversations import FORMER
from qscp_client.core.effects import Output
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.sync import Sync

_SHOWN: Final = 10
"""Folded messages that `/show` shows without a number."""


class BlockCommands:
    """Carries out commands about blocked users: the `BlockActions` of the table.

    Args:
        out: Where events go.
        chat: The open chat.
        sync: The conversations.
        requests: Sends requests, and shows the list.
        online: Whether there is a connection.
    """

    def __init__(
        self,
        out: Output,
        chat: CurrentChat,
        sync: Sync,
        requests: BlockRequests,
        online: Callable[[], bool],
    ) -> None:
        self._out = out
        self._chat = chat
        self._sync = sync
        self._requests = requests
        self._online = online

    def is_blocked(self, name: str) -> bool:
        """Whether you block the user who is shown under a name."""
        return name in self._requests.blocks

    def block(self, argument: str) -> None:
        """Block a user."""
        if (user := self._user("block", argument)) is not None and self._can_ask():
            self._requests.ask(frames.Block(user))

    def unblock(self, argument: str) -> None:
        """Stop blocking a user."""
        if (user := self._user("unblock", argument)) is not None and self._can_ask():
            self._requests.ask(frames.Unblock(user))

    def show_blocks(self) -> None:
        """List the blocked users."""
        self._requests.show_list()

    def show_folded(self, argument: str) -> None:
        """Show the newest messages of blocked users in the open chat."""
        count, partner = argument.strip() or str(_SHOWN), self._chat.partner
        if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= PAGE_LIMIT):
            self._out.fail(Problem(ProblemCode.USAGE, command="show", count=PAGE_LIMIT))
            return
        if partner is None:
            self._out.fail(Problem(ProblemCode.CHAT_COMMAND, command="show"))
            return
        conversation = self._sync.conversations.named(partner)
        shown = self._sync.timeline.show_folded(conversation, int(count)) if conversation is not None else 0
        if not shown:
            self._out.show(Notice(NoticeCode.NOTHING_FOLDED, name=partner))

    def _user(self, command: str, argument: str) -> str | None:
        typed = argument.strip().removeprefix("@")
        if len(typed.split()) > 1:
            self._out.fail(Problem(ProblemCode.USAGE, command=command))
            return None
        if FORMER in typed:
            return typed.lower()
        try:
            return normalize_name(typed)
        except InvalidNameError:
            self._out.fail(Problem(ProblemCode.INVALID_NAME, text=typed))
            return None

    def _can_ask(self) -> bool:
        if not self._online():
            self._out.fail(Problem(ProblemCode.NO_CONNECTION))
        elif not self._requests.blocks.supported:
            self._out.fail(Problem(ProblemCode.BLOCKS_UNSUPPORTED))
        else:
            return True
        return False
