"""Block requests, and the notices shown when a block begins or ends. Sans-I/O."""

from qscp import frames
from qscp_client.core import events
from qscp_client.core.blocks import Blocks
from qscp_client.core.effects import Output
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.requests import PendingBlock, PendingRequests
from qscp_client.core.rooms import Rooms
from qscp_client.core.roster import Roster


class BlockRequests:
    """Applies the list of blocks, its changes, and the answers to requests.

    Args:
        out: Where events go.
        blocks: The list.
        requests: What was asked and is not answered.
        roster: Who is online: a blocked user is not.
        rooms: The rooms: invitations by a blocked user are forgotten.

    Attributes:
        blocks: The list.
    """

    def __init__(
        self, out: Output, blocks: Blocks, requests: PendingRequests, roster: Roster, rooms: Rooms
    ) -> None:
        self._out = out
        self.blocks = blocks
        self._requests = requests
        self._roster = roster
        self._rooms = rooms
        self._is_list_wanted = False

    def ask(self, frame: frames.Block | frames.Unblock) -> None:
        """Send a request."""
        self._requests.ask(PendingBlock(frame))

    def show_list(self) -> None:
        """List the blocked users, when the requests typed before are answered."""
        self._is_list_wanted = True
        self._show_wanted()

    def disconnected(self) -> None:
        """Stop waiting for answers: the connection is lost."""
        self._show_wanted()

    def receive(self, frame: frames.Blocks | frames.BlockChanged | frames.BlockAck | frames.Error) -> None:
        """Apply a frame."""
        match frame:
            case frames.Blocks():
                self.blocks.learn(frame)
            case frames.BlockChanged():
                self._change(frame)
            case _:
                self._answer(frame)

    def _answer(self, frame: frames.BlockAck | frames.Error) -> None:
        pending = self._requests.take_block(frame.ref or "")
        if pending is not None and isinstance(frame, frames.Error):
            asked = pending.frame
            self._out.fail(
                Problem(
                    ProblemCode.BLOCK_REFUSED,
                    error=frame.code,
                    text=frame.message,
                    user=asked.user,
                    command=asked.type,
                )
            )
        self._show_wanted()

    def _show_wanted(self) -> None:
        if self._is_list_wanted and not any(isinstance(each, PendingBlock) for each in self._requests):
            self._is_list_wanted = False
            self._out.show(events.BlocksListed(tuple(self.blocks)))

    def _change(self, frame: frames.BlockChanged) -> None:
        if not self.blocks.change(frame):
            return
        if not frame.removed:
            # The server says so, too, but no user has gone offline.
            self._roster.remove(frame.user)
            self._rooms.forget_invitations_by(frame.user)
        code = NoticeCode.UNBLOCKED if frame.removed else NoticeCode.BLOCKED
        self._out.show(Notice(code, name=frame.user))
