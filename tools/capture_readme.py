"""Regenerate the picture in README.md: two real clients on terminals, side by side.

    make picture

starts a daemon with a throw-away authority, types the conversation into two clients, and writes what
is on their screens between the markers in README.md. `tests/test_readme.py` fails if they differ.
"""

import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from itertools import zip_longest
from pathlib import Path
from typing import Final

from qscpd.setup.pki import AuthorityFiles, make_authority, make_server_certificate
from tests.support.daemon import PASSWORD, Daemon, running_daemon
from tests.support.terminal import Terminal, on_terminal

README: Final = Path(__file__).parents[1] / "README.md"

_BEGIN: Final = "<!-- picture: written by `make picture` -->\n"
_END: Final = "<!-- end of the picture -->\n"

_COLUMNS: Final = 54
"""Width of one terminal: both, and the line between them, fit on a page of GitHub."""

_ROWS: Final = 30
"""Height of one terminal: more than the conversation needs, so that nothing scrolls away."""

_CLOCK: Final = "07:27"
"""The time that the picture shows for every message."""

_COMMAND: Final = "$ .venv/bin/qscp-client --ca certs/ca.pem --user {}"
"""What a reader types; the client of the picture has another port and authority."""


def replace_picture(document: str, picture: str) -> str:
    """Return the text of README.md with another picture between its markers.

    Raises:
        ValueError: A marker is missing.
    """
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"README.md needs the lines {_BEGIN.strip()} and {_END.strip()}")
    return f"{before}{begin}```text\n{picture}```\n{end}{after}"


async def take_picture(directory: Path) -> str:
    """Hold the conversation and return the picture.

    Args:
        directory: Where the files of daemon and clients go; empty.

    Raises:
        pytest.fail.Exception: A screen never showed what it should.
    """
    authority = AuthorityFiles(directory)
    make_authority(authority)
    make_server_certificate(authority, ["localhost"])
    with running_daemon(directory, authority, ("alice", "bob")) as daemon:
        async with (
            _client("alice", daemon, authority, directory) as alice,
            _client("bob", daemon, authority, directory) as bob,
        ):
            await _converse(alice, bob)
            return _side_by_side(_column("alice", alice), _column("bob", bob))


@contextlib.asynccontextmanager
async def _client(
    name: str, daemon: Daemon, authority: AuthorityFiles, directory: Path
) -> AsyncIterator[Terminal]:
    """Start a client on a terminal of its own, logged in."""
    command = (sys.executable, "-m", "client", "--ca", str(authority.ca_certificate))
    arguments = ("--server", f"localhost:{daemon.port}", "--user", name)
    environment = os.environ | {
        "XDG_CONFIG_HOME": str(directory / name),
        "XDG_STATE_HOME": str(directory / name),
        "TERM": "xterm",
        "TZ": _time_zone_at_noon(),
    }
    async with on_terminal((*command, *arguments), environment, _COLUMNS, _ROWS) as terminal:
        await terminal.until("Password:")
        terminal.type(f"{PASSWORD}\r")
        await terminal.until("Chat with:")
        yield terminal


def _time_zone_at_noon() -> str:
    """Return a time zone in which it is about noon: at midnight messages would get a date."""
    return f"UTC{time.gmtime().tm_hour - 12:+d}"


async def _converse(alice: Terminal, bob: Terminal) -> None:
    """Type the conversation of the picture; every line waits until the one before has arrived."""
    await alice.until_like("Online: bob.*")
    await _open_chat(alice, "bob")
    await _say(alice, "Lunch at twelve?", bob, r"\[alice\]")
    await _open_chat(bob, "alice")
    await _say(bob, "Gladly. Where?", alice, "bob:")
    await _say(alice, "The usual place.", bob, "alice:")
    await _say(alice, "Bring the umbrella", bob, "alice:")
    bob.type("See you th")
    await bob.until("to alice: See you th")
    await alice.until_like(r"alice \| with bob \| bob is .*")


async def _open_chat(terminal: Terminal, name: str) -> None:
    terminal.type(f"{name}\r")
    await terminal.until(f"to {name}:")


async def _say(sender: Terminal, text: str, receiver: Terminal, shown_as: str) -> None:
    """Send a message, and wait until both screens show that it has arrived."""
    sender.type(f"{text}\r")
    await receiver.until_like(rf"\d\d:\d\d {shown_as} {re.escape(text)}")
    await sender.until_like(rf"\d\d:\d\d .*{re.escape(text)}  \u2713\u2713 delivered")


def _column(name: str, terminal: Terminal) -> tuple[list[str], str]:
    """Return what is on a screen: the lines above, and the status line below."""
    *above, status = [line for line in terminal.lines if line]
    clocked = [re.sub(r"^\d\d:\d\d ", f"{_CLOCK} ", line) for line in above]
    return [_COMMAND.format(name), *clocked], status


def _side_by_side(left: tuple[list[str], str], right: tuple[list[str], str]) -> str:
    """Return two columns; the status lines stand below the longer one."""
    pairs = [*zip_longest(left[0], right[0], fillvalue=""), ("", ""), (left[1], right[1])]
    return "".join(f"{one:{_COLUMNS}}\u2502 {other}".rstrip() + "\n" for one, other in pairs)


def _main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        picture = asyncio.run(take_picture(Path(directory)))
    README.write_text(replace_picture(README.read_text(encoding="utf-8"), picture), encoding="utf-8")
    print(picture, end="")


if __name__ == "__main__":
    _main()
