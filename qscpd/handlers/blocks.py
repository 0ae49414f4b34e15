"""Handlers of `block` and `unblock`."""

from qscp import frames
from qscp.errors import ErrorCode
from qscpd.chat.router import Router
from qscpd.domain.rooms import DeniedError
from qscpd.errors import StoreBusyError, StoreDamagedError, StoreFullError
from qscpd.sessions.answers import refusal
from qscpd.sessions.identity import Identity
from qscpd.sessions.requests import RequestRunner
from qscpd.sessions.session import Session
from qscpd.store.writer import StoreWriter


class BlockHandlers:
    """Handlers of blocking and unblocking; `qscpd.domain.blocks` decides, in the store.

    Args:
        router: The accounts.
        writer: Changes the store. What was sent before a block is committed before it.
        requests: Runs the requests.
    """

    def __init__(self, router: Router, writer: StoreWriter[Session], requests: RequestRunner) -> None:
        self._directory = router.directory
        self._barrier = router.submissions.barrier
        self._writer = writer
        self._requests = requests

    def block(self, session: Session, identity: Identity, frame: frames.Block) -> None:
        """Answer `block`."""
        self._requests.answer(session, identity, frame, self._change)

    def unblock(self, session: Session, identity: Identity, frame: frames.Unblock) -> None:
        """Answer `unblock`."""
        self._requests.answer(session, identity, frame, self._change)

    async def _change(self, account: int, frame: frames.Block | frames.Unblock) -> frames.ServerFrame:
        other = self._directory.labelled(frame.user)
        if other is None:
            return refusal(frame, ErrorCode.UNKNOWN_USER)
        blocks = isinstance(frame, frames.Block)
        self._barrier()
        try:
            await self._writer.perform(
                lambda store: store.block(account, other) if blocks else store.unblock(account, other)
            )
        except DeniedError as error:
            return refusal(frame, error.code)
        except StoreFullError:
            return refusal(frame, ErrorCode.STORAGE_FULL)
        except (StoreBusyError, StoreDamagedError):
            return refusal(frame, ErrorCode.STORAGE_FAILED)
        return frames.BlockAck(frame.type, self._directory.names[other])
