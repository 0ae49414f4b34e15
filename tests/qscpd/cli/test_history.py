import contextlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qscpd.cli.group import cli
from qscpd.domain.model import NewMessage
from qscpd.errors import ExitCode
from qscpd.store.sqlite.lock import StoreLock
from qscpd.store.sqlite.store import SqliteStore
from tests.support.daemon import add_accounts
from tests.support.smalldisk import fill, small_disk
from tests.support.stores import rows_of

Run = Callable[..., Result]

STORE = Path("var/qscpd.db")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a directory with an installation in which alice and bob have talked."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("QSCPD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QSCPD_CONFIG", "config/qscpd.yaml")

    def run(*arguments: str, input: str | None = None) -> Result:  # noqa: A002 - as click calls it
        return CliRunner().invoke(cli, arguments, input=input, catch_exceptions=False)

    assert run("init", "--dev").exit_code == 0
    add_accounts(STORE, {"alice": "correct horse", "bob": "battery staple"})
    with contextlib.closing(SqliteStore(STORE)) as store:
        store.append([NewMessage(1, 2, f"{number:032x}", f"canary {number}") for number in range(600)])
        store.append([NewMessage(2, 1, f"{number:032x}", f"answer {number}") for number in range(3)])
    return run


def texts(store: Path = STORE) -> set[str | None]:
    """Return all texts, without their numbers."""
    with contextlib.closing(SqliteStore(store)) as opened:
        rows = rows_of(opened, 1)
    return {row.body.split()[0] if row.body else None for row in rows}


# --- export


def test_export_to_stdout(run: Run) -> None:
    """Stdout has only data."""
    result = run("export", "Alice")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, result.stderr) == (0, "")
    assert [lines[0]["name"], lines[1]["with"], len(lines)] == ["alice", "bob", 605]


def test_export_to_a_file(run: Run) -> None:
    """The file is readable by its owner only; an existing one is not changed."""
    result = run("export", "--id", "a1", "-o", "alice.jsonl")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "exported alice to alice.jsonl\n"
    assert stat.S_IMODE(Path("alice.jsonl").stat().st_mode) == 0o600
    content = Path("alice.jsonl").read_bytes()
    assert len(content.splitlines()) == 605
    again = run("export", "bob", "--output", "alice.jsonl")
    assert (again.exit_code, again.stdout) == (ExitCode.EXISTS, "")
    assert "alice.jsonl: already exists" in again.stderr
    assert Path("alice.jsonl").read_bytes() == content


def test_export_while_the_store_is_in_use(run: Run) -> None:
    """An export needs no lock."""
    with StoreLock(STORE):
        assert len(run("export", "bob").stdout.splitlines()) == 605


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("zoe",), ExitCode.NOT_FOUND, "account zoe not found; `qscpd listusers` shows all"),
        (("--id", "a9"), ExitCode.NOT_FOUND, "account a9 not found"),
        (("--id", "alice"), ExitCode.USAGE, "'alice' is not an account id"),
        (("no one",), ExitCode.USAGE, "name"),
        (("alice", "-o", "nowhere/x"), ExitCode.FAILED, "nowhere/x: No such file or directory"),
    ],
)
def test_an_export_that_can_t_be(run: Run, arguments: tuple[str, ...], code: ExitCode, expected: str) -> None:
    """Each failure is one sentence and an exit code."""
    result = run("export", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_export_to_a_full_disk(run: Run, tmp_path: Path) -> None:
    """A full disk leaves no partial export."""
    with small_disk(tmp_path / "disk", 64) as disk:
        fill(disk, leave=8192)
        result = run("export", "alice", "-o", str(disk / "alice.jsonl"))
        assert result.exit_code == ExitCode.FAILED
        assert "No space left on device" in result.stderr
        assert [each.name for each in disk.iterdir()] == ["filler"]


# --- erase


def test_erase_asks_for_the_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only typing the name again confirms."""
    monkeypatch.setattr("qscpd.cli.prompts.has_terminal", lambda: True)
    refused = run("erase", "alice", input="yes\n")
    assert refused.exit_code == ExitCode.USAGE
    assert "that is not alice; nothing was changed" in refused.stderr
    assert texts() == {"canary", "answer"}
    result = run("erase", "Alice", input="alice\n")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Type the name again to confirm: " in result.stderr
    assert texts() == {None, "answer"}


def test_erase_needs_a_terminal_or_yes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, --yes is required."""
    monkeypatch.setattr("qscpd.cli.prompts.has_terminal", lambda: False)
    result = run("erase", "alice")
    assert result.exit_code == ExitCode.USAGE
    assert "add --yes" in result.stderr
    assert texts() == {"canary", "answer"}


def test_erase_leaves_no_word_behind(run: Run) -> None:
    """The account is deleted, its text is in no file of the store, and remaining copies are reported."""
    copies = [STORE.with_name(f"qscpd.db{each}") for each in (".before-restore-20261124T070000Z", ".schema1")]
    for copy in copies:
        copy.write_text("an old copy")
    result = run("erase", "alice", "--yes")
    assert result.exit_code == 0
    assert result.stderr == (
        "erased all messages of alice (a1)\n"
        f"earlier backups and exports still contain them, {copies[0].absolute()}, {copies[1].absolute()}\n"
    )
    assert [user["name"] for user in json.loads(run("listusers", "--json").stdout)] == ["bob"]
    assert not [each for each in Path("var").iterdir() if b"canary" in each.read_bytes()]
    assert texts() == {None, "answer"}


def test_erase_a_deleted_account(run: Run) -> None:
    """A deleted account can be erased, by id if its name is in use again."""
    assert run("deluser", "alice", "--yes").exit_code == 0
    assert texts() == {"canary", "answer"}
    assert run("adduser", "alice", "--reuse-name", "--generate").exit_code == 0
    result = run("erase", "--id", "a1", "--yes")
    assert (result.exit_code, texts()) == (0, {None, "answer"})
    assert [user["name"] for user in json.loads(run("listusers", "--json").stdout)] == ["alice", "bob"]
    assert run("erase", "--id", "a1", "--yes").exit_code == 0


def test_erase_an_unknown_account(run: Run) -> None:
    """An unknown name is exit code 4."""
    result = run("erase", "zoe", "--yes")
    assert (result.exit_code, result.stdout) == (ExitCode.NOT_FOUND, "")
    assert result.stderr == "qscpd: account zoe not found; `qscpd listusers` shows all\n"
