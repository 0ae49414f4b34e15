"""Links and commands in README.md, CONTRIBUTING.md and docs/*.md, compared with files and code."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from qscp_client.cli import command as client_command
from qscpd.cli.group import cli as daemon_command

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "config/*.md", "certs/*.md", "bench/*.md")
    for path in ROOT.glob(pattern)
)
COMMAND_PAGES = [ROOT / "docs" / name for name in ("operations.md", "backup.md", "client.md")]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
EACH_PAGE_WITH_CALLS = pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name != "bench"],  # there `qscpd` is one of several servers
    ids=lambda page: str(page.relative_to(ROOT)),
)


def read(page: Path) -> str:
    """Return a page's text."""
    return page.read_text(encoding="utf-8")


def without_code_blocks(text: str) -> str:
    """Return a page's text without fenced blocks, which have no links or headings."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


# --- links


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Return the anchors of all headings; a repeated heading gets a number."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*)$", without_code_blocks(read(page)), re.MULTILINE):
        name = anchor(heading)
        numbered = (f"{name}-{number}" for number in range(1, 1000))
        found.add(name if name not in found else next(each for each in numbered if each not in found))
    return found


def links(page: Path) -> list[str]:
    """Return the targets of all links of a page except those to other sites."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code_blocks(read(page)))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


@EACH_PAGE
def test_every_link_has_a_target(page: Path) -> None:
    """The file and the heading of every link exist."""
    broken = []
    for target in links(page):
        name, _, fragment = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (fragment and fragment not in anchors(path)):
            broken.append(target)
    assert broken == []


def test_the_anchors_are_those_of_github() -> None:
    """Anchors are made as on GitHub: punctuation is removed, blanks become hyphens."""
    assert anchor("Ids: sending again does no harm") == "ids-sending-again-does-no-harm"
    assert anchor("#### Object `member`".lstrip("# ")) == "object-member"
    assert anchor("In a pipe, and `--help`") == "in-a-pipe-and---help"


# --- commands


def commands(command: click.Command, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command with the words that name it, such as `room list`."""
    if not isinstance(command, click.Group):
        yield " ".join(words), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from commands(inner, *words, name)


def options(*of: click.Command) -> set[str]:
    """Return all options, short ones too."""
    found = {"--help", "-h"}
    for command in of:
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                found.update(parameter.opts, parameter.secondary_opts)
    return found


DAEMON = dict(commands(daemon_command))
CLIENT_OPTIONS = options(client_command)


def code(page: Path) -> list[str]:
    """Return the code of a page: spans, and lines of indented or fenced blocks."""
    text = read(page)
    fenced = [
        line
        for block in re.findall(r"^```.*?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    rest = without_code_blocks(text)
    indented = re.findall(r"^ {4,}(\S.*)$", rest, re.MULTILINE)
    return [*fenced, *indented, *re.findall(r"`([^`\n]+)`", rest)]


def calls(page: Path, program: str) -> list[list[str]]:
    """Return the words after each call of a program, up to a comment or the end of the call."""
    called = re.compile(rf"(?<![\w.-]){program} +([^|&;#()>\s][^|&;#()>]*)")
    lines = (line for line in code(page) if "bench/" not in line)  # those name servers, not commands
    return [words.split() for line in lines for words in called.findall(line)]


def unknown_options(words: list[str], known: set[str]) -> list[str]:
    """Return the options among some words that are not known."""
    named = (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word))
    return [name for name in named if name not in known]


def called_command(words: list[str]) -> click.Command | None:
    """Return the command of `qscpd` that is called, or None; without a word, `qscpd` itself."""
    if all(word.startswith("-") for word in words):
        return daemon_command
    plain = [word for word in words if re.fullmatch(r"[a-z]+", word)]
    return DAEMON.get(" ".join(plain[:2])) or DAEMON.get(" ".join(plain[:1]))


@EACH_PAGE_WITH_CALLS
def test_every_call_of_qscpd_is_valid(page: Path) -> None:
    """Every call of `qscpd` on a page names an existing command and existing options."""
    for words in calls(page, "qscpd"):
        command = called_command(words)
        assert command is not None, words
        assert unknown_options(words, options(daemon_command, command)) == [], words


@EACH_PAGE_WITH_CALLS
def test_every_call_of_the_client_is_valid(page: Path) -> None:
    """Every call of `qscp-client` on a page has existing options."""
    for words in calls(page, "qscp-client"):
        assert unknown_options(words, CLIENT_OPTIONS) == [], words


@pytest.mark.parametrize("name", DAEMON)
def test_every_command_of_qscpd_is_documented(name: str) -> None:
    """The operator's pages name every command of `qscpd` and its long options."""
    text = "\n".join(map(read, COMMAND_PAGES))
    assert re.search(rf"qscpd {name}\b", text), f"qscpd {name} is in none of the operator's pages"
    names = options(DAEMON[name]) - options(daemon_command)
    missing = [each for each in names if each.startswith("--") and not re.search(rf"{each}\b", text)]
    assert missing == []


def test_every_option_of_the_client_is_documented() -> None:
    """The client's page names every option of `qscp-client`."""
    text = read(ROOT / "docs/client.md")
    assert [option for option in CLIENT_OPTIONS if option not in text] == []
