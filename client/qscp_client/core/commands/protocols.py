"""What commands can make the engine do; `commands` has the table of them."""

from typing import Protocol

__all__ = ["Actions", "MessageActions", "RoomActions"]


class MessageActions(Protocol):
    """What is done to messages of the current chat."""

    def reply(self, argument: str) -> None:
        """Answer a message."""

    def edit(self, argument: str) -> None:
        """Give a message of your own another text."""

    def redact(self, argument: str) -> None:
        """Take the text of a message away."""

    def react(self, argument: str) -> None:
        """Put a reaction on a message."""

    def unreact(self, argument: str) -> None:
        """Take a reaction of yours away."""


class RoomActions(Protocol):
    """What is done with rooms; most of it in the current one."""

    def join(self, argument: str) -> None:
        """Become a member of a room, and enter it."""

    def leave(self, argument: str) -> None:
        """Be no member of a room any more."""

    def show_rooms(self) -> None:
        """Show all rooms that you may see."""

    def create(self, argument: str) -> None:
        """Make a room, and enter it."""

    def topic(self, argument: str) -> None:
        """Show or change the topic."""

    def set(self, argument: str) -> None:
        """Change a setting."""

    def show_members(self) -> None:
        """Show who is in the room."""

    def show_log(self, argument: str) -> None:
        """Show what was done in the room by those who may."""

    def invite(self, argument: str) -> None:
        """Let somebody join."""

    def remove(self, argument: str) -> None:
        """Put somebody out."""

    def ban(self, argument: str) -> None:
        """Put somebody out, and keep them out."""

    def unban(self, argument: str) -> None:
        """Let somebody in again."""

    def mute(self, argument: str) -> None:
        """Let somebody read only."""

    def unmute(self, argument: str) -> None:
        """Let somebody write again."""

    def role(self, argument: str) -> None:
        """Give somebody a role."""

    def archive(self) -> None:
        """Let the room be read, and nothing else."""

    def unarchive(self) -> None:
        """Let the room be used again."""


class Actions(Protocol):
    """Everything."""

    @property
    def messages(self) -> MessageActions:
        """What is done to messages."""

    @property
    def rooms(self) -> RoomActions:
        """What is done with rooms."""

    def show_help(self) -> None:
        """Show what can be typed."""

    def show_who(self) -> None:
        """Show who is online."""

    def go_back(self) -> None:
        """Leave the chat and choose somebody else."""

    def leave(self) -> None:
        """Leave the program, after everything sent was answered."""

    def say(self, body: str) -> None:
        """Send a message to the current chat."""

    def act(self, text: str) -> None:
        """Send what you do, as in `/me waves`."""

    def be_away(self, text: str) -> None:
        """Let others see that you are away."""

    def be_here(self) -> None:
        """Let others see that you are here again."""

    def show_history(self, argument: str) -> None:
        """Show older messages of the current chat; how many, if it is said."""

    def show_last(self, argument: str) -> None:
        """Show the newest messages of the current chat again, with their numbers."""

    def search(self, query: str) -> None:
        """Look for words in all conversations."""

    def show_status(self) -> None:
        """Show your own lines of late, and how far each has come."""

    def retry(self, argument: str) -> None:
        """Send again what failed: of the current chat, or all."""

    def drop(self, argument: str) -> None:
        """Give up what failed: of the current chat, or all."""
