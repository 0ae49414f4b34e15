"""Reasons for which a link is not read."""

from enum import Enum, auto


class Pause(Enum):
    """One reason to read nothing from a peer; its link is read again when no reason is left."""

    LOGIN = auto()
    """A login is being decided."""
    REQUEST = auto()
    """A request is being answered."""
    ANSWERS = auto()
    """Too much of what the peer sent waits for the store."""
    OUTPUT = auto()
    """Too much output waits for the peer."""
    TURN = auto()
    """The peer has used its turn; it is the turn of others."""
    RATE = auto()
    """The peer sends faster than it may."""
    REPLACED = auto()
    """Another session of the device is about to replace this one."""
    SHUTDOWN = auto()
    """The daemon is stopping."""
