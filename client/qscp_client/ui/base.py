"""Front end: the protocol between the client and what its user sees."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from qscp_client.core.chat_state import TypedLine
from qscp_client.core.engine import Engine
from qscp_client.core.events import Event


class FrontEnd(Protocol):
    """Source of typed lines, and display of events; see `terminal` and `plain`."""

    @property
    def password_tries(self) -> int:
        """Number of times that a password can be asked for."""

    @property
    def counts_failures(self) -> bool:
        """Whether messages whose refusal was shown change the exit code."""

    @property
    def shows_at_once(self) -> bool:
        """Whether messages of all conversations are shown when they come, whichever is open."""

    @property
    def patience_s(self) -> float | None:
        """Seconds for which a lost connection is tried again; None is for ever."""

    def private(self) -> AbstractContextManager[None]:
        """Return a context in which nothing that is typed is shown, even between questions."""

    async def ask_user(self) -> str:
        """Return the user name as entered.

        Raises:
            UsageError: The input ended.
            InterruptedByUserError: The user wants to leave.
        """

    async def ask_password(self) -> str:
        """Return the password; raises as `ask_user`."""

    def attached(self, engine: Engine, touched: Callable[[], None]) -> AbstractContextManager[None]:
        """Return a context in which prompts and completion are made from the state of an engine.

        Args:
            engine: The engine.
            touched: To be called when a key is pressed.
        """

    async def drain(self) -> None:
        """Wait until everything that was shown is written, or can't be."""

    def check_output(self) -> None:
        """Check at the end that everything could be shown.

        Raises:
            OutputError: Something could not be written.
            BrokenPipeError: The reader of the output has left.
        """

    def show(self, happened: Sequence[Event]) -> None:
        """Show events; those of the login come before `attached`."""

    async def read_lines(self) -> list[TypedLine]:
        """Return the next lines, at least one; none at the end of input.

        Raises:
            InterruptedByUserError: The user wants to leave at once.
        """
