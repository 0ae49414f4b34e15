"""Your own presence: online, away, or hidden, on this connection and on the next ones. Sans-I/O."""

from collections.abc import Callable

from qscp import frames
from qscp.errors import InvalidTextError
from qscp.features import LOGIN_PRESENCE
from qscp.text import check_status_text
from qscp_client.core.changes import Hidden
from qscp_client.core.effects import Output
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.receipts import Receipts
from qscp_client.core.typing_status import TypingStatus


class OwnPresence:
    """Your presence as others see it, and the commands that set it.

    While you are hidden, this device reports nothing that others would see: neither what it has received
    nor that you are typing. A server that knows how withholds that anyway, also from your other devices.

    Args:
        out: Where frames, notices and changes go.
        online: Whether there is a connection.
        receipts: What is reported to the server.
        typing: Typing indicators.
        hidden: Whether the login of the first connection hides you.
    """

    def __init__(
        self,
        out: Output,
        online: Callable[[], bool],
        receipts: Receipts,
        typing: TypingStatus,
        *,
        hidden: bool,
    ) -> None:
        self._out = out
        self._online = online
        self._receipts = receipts
        self._typing = typing
        self._wanted = self._at_login = frames.SetPresence("offline" if hidden else "online")
        self._is_hidden_elsewhere = False
        receipts.hide(hidden=hidden)
        typing.hidden = hidden

    @property
    def status(self) -> frames.Status:
        """What you have set; `offline` if you are hidden."""
        return self._wanted.status

    # --- commands

    def set_away(self, text: str) -> None:
        """Show yourself as away."""
        text = text.strip()
        try:
            check_status_text(text)
        except InvalidTextError as error:
            self._out.show(Problem(ProblemCode.INVALID_TEXT, error=error.code, text=str(error)))
        else:
            self._set(frames.SetPresence("away", text))
            self._out.show(Notice(NoticeCode.AWAY, text=text))

    def hide(self) -> None:
        """Appear offline."""
        self._set(frames.SetPresence("offline"))
        self._out.show(Notice(NoticeCode.HIDDEN))

    def end(self) -> None:
        """Show yourself as online again."""
        was_hidden = self.status == "offline"
        self._set(frames.SetPresence("online"))
        self._out.show(Notice(NoticeCode.NO_LONGER_HIDDEN if was_hidden else NoticeCode.NO_LONGER_AWAY))

    def _set(self, wanted: frames.SetPresence) -> None:
        hidden = wanted.status == "offline"
        if hidden is not (self.status == "offline"):
            self._out.changes.append(Hidden(hidden))
        self._wanted = wanted
        self._receipts.hide(hidden=hidden)
        self._typing.hidden = hidden
        if self._online():
            self._out.send(wanted)

    # --- the connection

    def for_login(self) -> frames.SetPresence:
        """Return what the next login is to set."""
        self._at_login = self._wanted
        return self._at_login

    def connected(self, ack: frames.AuthAck) -> None:
        """Set on a new connection what its login has not set."""
        can_hide = LOGIN_PRESENCE in ack.features
        if self._wanted != (self._at_login if can_hide else frames.SetPresence("online")):
            self._out.send(self._wanted)
        if self.status == "offline" and not can_hide:
            self._out.show(Notice(NoticeCode.HIDDEN_LATE))
        self._show_elsewhere(hidden=ack.hidden)

    def show(self) -> None:
        """Show that you are hidden, at the start."""
        if self.status == "offline":
            self._out.show(Notice(NoticeCode.HIDDEN))

    def receive(self, ack: frames.PresenceAck) -> None:
        """Show that others do not see what you have set."""
        self._is_hidden_elsewhere = False
        self._show_elsewhere(hidden=ack.hidden)

    def _show_elsewhere(self, *, hidden: bool) -> None:
        """Show that another device hides you; not at each reconnect."""
        if hidden and not self._is_hidden_elsewhere:
            self._out.show(Notice(NoticeCode.HIDDEN_ELSEWHERE))
        self._is_hidden_elsewhere = hidden
