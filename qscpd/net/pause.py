"""Reasons for which a link is not read."""

from enum import Enum, auto


class Pause(Enum):
    """One reason to read nothing from a peer; its link is read again when no reason is left."""

    LOGIN = auto()
    """A login is being decided."""
    REQUEST = auto()
    """A request is being answered."""
    ANSWERS = auto()
    """Too many messages wait for the store's answer."""
    OUTPUT = auto()
    """Too much output waits for the peer."""
    REPLACED = auto()
    """Another session of the device is about to replace this one."""
    SHUTDOWN = auto()
    """The daemon is stopping."""
