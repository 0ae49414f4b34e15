"""The help lists everything that can be typed."""

import pytest

from qscp_client.core.commands.table import COMMANDS, Group
from qscp_client.text import Kind
from qscp_client.ui.help import HELP, describe_help, describe_usage


def test_every_command_has_its_help() -> None:
    """Every command has a help text, and only commands do."""
    assert list(HELP) == list(COMMANDS)
    assert all(HELP.values())


def test_the_help_fits_a_terminal() -> None:
    """The help fits eighty columns, with one heading for each group."""
    lines = describe_help()
    assert {line.kind for line in lines} == {Kind.NOTICE}
    assert max(len(line.text) for line in lines) < 80
    assert sum(line.text.endswith(":") and not line.text.startswith("/") for line in lines) == len(Group)


@pytest.mark.parametrize("name", COMMANDS)
def test_usage_comes_from_the_table(name: str) -> None:
    """The usage of a command comes from the command table."""
    assert describe_usage(name).startswith(f"Usage: /{name}")
    assert COMMANDS[name].usage in describe_usage(name)
