"""Frames about blocks: the users that an account does not want to hear from."""

from qscp.frames.base import ClientFrame, Part, ServerFrame, ShortText


class Block(ClientFrame, tag="block"):
    """Block a user; answered by `block_ack`, or by `error`."""

    _shown = ("user",)
    user: ShortText
    """Their name as it is shown, also that of a deleted account or a former holder (`bob~1`)."""


class Unblock(ClientFrame, tag="unblock"):
    """Stop blocking a user; answered by `block_ack`, or by `error`."""

    _shown = ("user",)
    user: ShortText
    """As in `Block`."""


class BlockedUser(Part):
    """An account that the receiver blocks."""

    user: str
    """Its name as it is shown now."""
    account: str
    """Its id, which never changes."""


class Blocks(ServerFrame, tag="blocks"):
    """A page of the accounts that the receiver blocks; sent after `auth_ack`."""

    _shown = ("more",)
    users: list[BlockedUser]
    more: bool = False
    """Another page follows."""


class BlockChanged(ServerFrame, tag="block"):
    """The receiver blocks an account, or no longer does; or a blocked account is shown under another name."""

    _shown = ("user", "account", "removed")
    user: str
    account: str
    removed: bool = False


class BlockAck(ServerFrame, tag="block_ack"):
    """A `block` or `unblock` is done and on disk."""

    _shown = ("ref", "user")
    ref: str
    """Type of the client's frame."""
    user: str
    """Name as it is shown."""
