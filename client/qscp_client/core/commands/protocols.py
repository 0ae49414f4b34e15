"""Protocols that the commands of the table run against."""

from typing import Protocol


class MessageActions(Protocol):
    """Actions on messages of the open chat."""

    def reply(self, argument: str) -> None:
        """Answer a message."""

    def edit(self, argument: str) -> None:
        """Replace the text of one of your messages."""

    def redact(self, argument: str) -> None:
        """Delete the text of a message."""

    def react(self, argument: str) -> None:
        """Add a reaction to a message."""

    def unreact(self, argument: str) -> None:
        """Remove your reaction from a message."""


class RoomActions(Protocol):
    """Actions on rooms; most of them on the open one."""

    def join(self, argument: str) -> None:
        """Become a member of a room, and enter it."""

    def leave(self, argument: str) -> None:
        """End your membership of a room."""

    def show_rooms(self) -> None:
        """List the rooms that you can see."""

    def create(self, argument: str) -> None:
        """Create a room, and enter it."""

    def topic(self, argument: str) -> None:
        """Show or change the topic."""

    def set(self, argument: str) -> None:
        """Change a setting."""

    def show_members(self) -> None:
        """List the members."""

    def show_log(self, argument: str) -> None:
        """Show the moderation log."""

    def invite(self, argument: str) -> None:
        """Invite a user."""

    def remove(self, argument: str) -> None:
        """Remove a member, who can rejoin."""

    def ban(self, argument: str) -> None:
        """Remove a member, who can't rejoin."""

    def unban(self, argument: str) -> None:
        """End a ban."""

    def mute(self, argument: str) -> None:
        """Make a member read-only."""

    def unmute(self, argument: str) -> None:
        """End a mute."""

    def role(self, argument: str) -> None:
        """Set the role of a member."""

    def archive(self) -> None:
        """Make the room read-only."""

    def unarchive(self) -> None:
        """Make the room active again."""


class PresenceActions(Protocol):
    """Actions on your presence."""

    def set_away(self, text: str) -> None:
        """Show yourself as away."""

    def hide(self) -> None:
        """Appear offline."""

    def end(self) -> None:
        """Show yourself as online again."""


class BlockActions(Protocol):
    """Actions on blocked users."""

    def block(self, argument: str) -> None:
        """Block a user."""

    def unblock(self, argument: str) -> None:
        """Stop blocking a user."""

    def show_blocks(self) -> None:
        """List the blocked users."""

    def show_folded(self, argument: str) -> None:
        """Show the newest messages of blocked users in the open chat."""


class Actions(Protocol):
    """All actions."""

    @property
    def presence(self) -> PresenceActions:
        """Actions on your presence."""

    @property
    def blocks(self) -> BlockActions:
        """Actions on blocked users."""

    @property
    def messages(self) -> MessageActions:
        """Actions on messages."""

    @property
    def rooms(self) -> RoomActions:
        """Actions on rooms."""

    def show_help(self) -> None:
        """Show the help."""

    def show_who(self) -> None:
        """Show who is online, your rooms, and what is unread."""

    def go_back(self) -> None:
        """Close the open chat."""

    def quit(self) -> None:
        """End the program, after everything sent was answered."""

    def say(self, body: str) -> None:
        """Send a message to the open chat."""

    def say_action(self, text: str) -> None:
        """Send an action, as in `/me waves`."""

    def show_history(self, argument: str) -> None:
        """Show older messages of the open chat."""

    def show_last(self, argument: str) -> None:
        """Show the newest messages of the open chat again, with their numbers."""

    def search(self, query: str) -> None:
        """Search all conversations."""

    def show_status(self) -> None:
        """Show the delivery state of your recent messages."""

    def retry(self, argument: str) -> None:
        """Send failed messages again: of the open chat, or all."""

    def discard(self, argument: str) -> None:
        """Discard failed messages: of the open chat, or all."""
