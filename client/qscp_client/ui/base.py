"""What a front end does for the rest of the client."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from qscp_client.core.commands.table import TypedLine
from qscp_client.core.engine import Engine
from qscp_client.core.events import Event

__all__ = ["FrontEnd"]


class FrontEnd(Protocol):
    """Where lines come from and what they lead to is shown; see `terminal` and `plain`."""

    @property
    def password_tries(self) -> int:
        """How often a password may be asked for."""

    @property
    def counts_failures(self) -> bool:
        """Whether the exit code also tells of messages whose refusal was shown."""

    @property
    def shows_at_once(self) -> bool:
        """Whether messages of all conversations are shown when they come, whichever is open."""

    @property
    def patience_s(self) -> float | None:
        """How long a lost connection is tried again; None is for ever."""

    def private(self) -> AbstractContextManager[None]:
        """As long as this lasts, nothing that is typed may be seen, even when nothing is asked."""

    async def ask_user(self) -> str:
        """Return the user name as entered.

        Raises:
            UsageError: There is none.
            InterruptedByUserError: The person wants to leave.
        """

    async def ask_password(self) -> str:
        """Return the password; raises as `ask_user`."""

    def tell(self, sentence: str) -> None:
        """Show a sentence that is no event of the engine."""

    def attached(self, engine: Engine, touched: Callable[[], None]) -> AbstractContextManager[None]:
        """As long as this lasts, make prompts and completion from the state of an engine.

        Args:
            engine: The engine.
            touched: To be called when somebody presses a key.
        """

    def show(self, happened: Sequence[Event]) -> None:
        """Show events."""

    async def read_lines(self) -> list[TypedLine]:
        """Return the next lines, at least one; none at the end of input.

        Raises:
            InterruptedByUserError: The person wants to leave at once.
        """
