import contextlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qscpd.cli.group import cli
from qscpd.domain.model import MessageMeta, NewMessage
from qscpd.domain.rooms import RoomChange
from qscpd.errors import ExitCode
from qscpd.store.sqlite.lock import StoreLock
from qscpd.store.sqlite.store import SqliteStore
from tests.support.daemon import add_accounts

Run = Callable[..., Result]

STORE = Path("var/qscpd.db")

ALICE, BOB, CAROL, DAVE, ERIN = range(1, 6)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a directory with an installation that has five people and no room."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("QSCPD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QSCPD_CONFIG", "config/qscpd.yaml")

    def run(*arguments: str, input: str | None = None) -> Result:  # noqa: A002 - as click calls it
        return CliRunner().invoke(cli, arguments, input=input, catch_exceptions=False)

    assert run("init", "--dev").exit_code == 0
    add_accounts(STORE, dict.fromkeys(("alice", "bob", "carol", "dave", "erin"), "correct horse"))
    return run


@pytest.fixture
def lively(run: Run) -> Run:
    """Run a command with one room that has history, and an archived one."""
    assert run("room", "create", "#dev", "--owner", "alice", "--topic", "Where we talk").exit_code == 0
    assert run("room", "create", "Old", "--owner", "bob", "--kind", "closed").exit_code == 0
    assert run("room", "archive", "old").exit_code == 0
    with contextlib.closing(SqliteStore(STORE)) as store:
        for action, actor, target, fields in (
            ("join", BOB, None, {}),
            ("join", CAROL, None, {}),
            ("mute", ALICE, BOB, {"seconds": 3600, "text": "too loud"}),
            ("ban", ALICE, CAROL, {"text": "spam"}),
            ("mute", ALICE, ALICE, {"seconds": 0}),
            ("ban", ALICE, ERIN, {"seconds": 0}),
            ("invite", None, DAVE, {}),
        ):
            change = RoomChange(action=action, room="#dev", actor=actor, target=target, **fields)
            store.change_room(change)
        store.append([NewMessage(ALICE, -1, f"{number:032x}", f"message {number}") for number in range(5)])
        store.append([NewMessage(ALICE, -1, f"{5:032x}", "\U0001f600", MessageMeta(kind="react", target=2))])
    return run


def listed(run: Run) -> list[dict[str, Any]]:
    """Return the rooms of `room list --json`."""
    result = run("room", "list", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    rooms: list[dict[str, Any]] = json.loads(result.stdout)
    return rooms


# --- changing


def test_the_life_of_a_room(run: Run) -> None:
    """Each verb reports its action on stderr, and keeps stdout for data."""
    for arguments, expected in (
        (
            ("create", "#Dev", "--owner", "Alice", "--kind", "announcement", "--history", "full"),
            "created #dev",
        ),
        (("archive", "dev"), "archived #dev"),
        (("delete", "DEV", "--yes"), "deleted #dev; the daemon removes its messages in the background"),
        (("create", "dev", "--owner", "bob", "--topic", "Again"), "created #dev"),
    ):
        done = run("room", *arguments)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"{expected}\n")
    (room,) = listed(run)
    assert (room["id"], room["kind"], room["history"], room["topic"]) == ("c2", "open", "joining", "Again")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "sentence"),
    [
        (("create", "dev", "--owner", "bob"), ExitCode.EXISTS, "room #dev already exists"),
        (("create", "ops", "--owner", "zoe"), ExitCode.NOT_FOUND, "account zoe not found"),
        (("create", "ops", "--owner", "a b"), ExitCode.USAGE, "'a b' is not a valid name"),
        (("create", "o p", "--owner", "bob"), ExitCode.USAGE, "'o p' is not a valid name"),
        (("create", "\x1b[2J", "--owner", "bob"), ExitCode.USAGE, r"'\x1b[2J' is not a valid name"),
        (("create", "ops", "--owner", "bob", "--topic", "a\nb"), ExitCode.USAGE, "a topic is one line"),
        (("create", "ops", "--owner", "bob", "--topic", "x" * 9999), ExitCode.USAGE, "at most 400 bytes"),
        (("create", "ops", "--owner", "bob", "--topic", "\udcff"), ExitCode.USAGE, "not allowed: U+DCFF"),
        (("archive", "old"), ExitCode.FAILED, "#old is already archived"),
        (("archive", "ops"), ExitCode.NOT_FOUND, "room #ops not found; `qscpd room list` shows all"),
        (("delete", "ops"), ExitCode.NOT_FOUND, "room #ops not found; `qscpd room list` shows all"),
        (("delete", "ops", "--yes"), ExitCode.NOT_FOUND, "room #ops not found"),
        (("show", "ops"), ExitCode.NOT_FOUND, "room #ops not found"),
        (("export", "ops"), ExitCode.NOT_FOUND, "room #ops not found"),
        (("export", "dev", "-o", "nowhere/x"), ExitCode.FAILED, "nowhere/x: No such file or directory"),
        *(((verb,), ExitCode.USAGE, "a comment, so write dev") for verb in ("archive", "show", "export")),
        (("create", "--owner", "bob"), ExitCode.USAGE, "missing room name; to a shell an unquoted #dev is"),
    ],
)
def test_an_error_is_one_sentence_and_a_code(
    lively: Run, arguments: tuple[str, ...], exit_code: ExitCode, sentence: str
) -> None:
    """An error is one line on stderr with its exit code, and nothing changes."""
    before = listed(lively)
    done = lively("room", *arguments)
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert done.stderr.startswith("qscpd: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert listed(lively) == before


def test_an_invalid_choice(run: Run) -> None:
    """Click lists the valid choices."""
    done = run("room", "create", "dev", "--owner", "alice", "--kind", "secret")
    assert done.exit_code == ExitCode.USAGE
    assert "'open', 'closed', 'announcement'" in done.stderr
    assert listed(run) == []


def test_delete_asks_for_the_name(lively: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only typing the name again confirms; its `#` is optional."""
    monkeypatch.setattr("qscpd.cli.prompts.has_terminal", lambda: True)
    wrong = "that is not #dev; nothing was changed"
    for typed, sentence in (("yes", wrong), ("", "Aborted!"), ("old", wrong)):
        refused = lively("room", "delete", "dev", input=f"{typed}\n")
        assert refused.exit_code != 0
        assert len(listed(lively)) == 2
        assert sentence in refused.stderr
    result = lively("room", "delete", "#dev", input="dev\n")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (
        "This deletes #dev with its 2 members and 6 messages for good. Type the name again" in result.stderr
    )
    assert [room["name"] for room in listed(lively)] == ["#old"]


def test_delete_needs_a_terminal_or_yes(lively: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, --yes is required."""
    monkeypatch.setattr("qscpd.cli.prompts.has_terminal", lambda: False)
    result = lively("room", "delete", "dev")
    assert result.exit_code == ExitCode.USAGE
    assert "no terminal to confirm: delete #dev; add --yes" in result.stderr
    assert len(listed(lively)) == 2


# --- looking


def test_list_is_for_people_and_for_programs(run: Run, lively: Run) -> None:
    """There is a line for each room, by name, and the same as a JSON array."""
    assert lively("room", "list").stdout == (
        "#dev  open    active    2  6  Where we talk\n#old  closed  archived  1  0\n"
    )
    rooms = listed(run)
    assert rooms[0].pop("created").endswith("Z")
    assert rooms[0] == {
        "id": "c1",
        "name": "#dev",
        "kind": "open",
        "history": "joining",
        "state": "active",
        "topic": "Where we talk",
        "slow": 0,
        "members": 2,
        "messages": 6,
    }
    assert [room["state"] for room in rooms] == ["active", "archived"]


def test_no_rooms(run: Run) -> None:
    """An empty list is empty."""
    assert (run("room", "list").stdout, listed(run)) == ("", [])


def test_show_has_everything(lively: Run) -> None:
    """`show` has settings, people with their current mutes and bans, and the whole log entries."""
    result = lively("room", "show", "DEV", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    room = json.loads(result.stdout)
    assert {**room, "people": 0, "log": 0} == {**listed(lively)[0], "people": 0, "log": 0}
    nothing = {"role": None, "invited_by": None, "muted_until": None, "banned_until": None}
    muted = room["people"][1].pop("muted_until")
    assert room["people"] == [
        {**nothing, "account": "a1", "name": "alice", "role": "owner"},
        {"account": "a2", "name": "bob", "role": "member", "invited_by": None, "banned_until": None},
        {**nothing, "account": "a3", "name": "carol", "banned_until": "forever"},
        {**nothing, "account": "a4", "name": "dave", "invited_by": ""},
    ]
    log = [(each["by"], each["action"], each["user"], each["until"], each["text"]) for each in room["log"]]
    assert log[:3] == [
        ("", "create", "alice", None, "open, history joining, Where we talk"),
        ("alice", "mute", "bob", muted, "too loud"),
        ("alice", "ban", "carol", "forever", "spam"),
    ]
    assert log[-1] == ("", "invite", "dave", None, "")
    lines = lively("room", "show", "dev").stdout.splitlines()
    assert "topic:     Where we talk" in lines
    at = lines.index("people:")
    assert lines[at : at + 6] == [
        "people:",
        "  alice  owner",
        f"  bob    member  muted until {muted}",
        "  carol  -       banned forever",
        "  dave   -       invited by the operator",
        "",
    ]
    shown = [line.split("Z  ")[1] for line in lines[lines.index("end of the log:") + 1 :]]
    assert shown[1] == f"alice         mute bob until {muted}: too loud"
    assert shown[2] == "alice         ban carol forever: spam"
    assert shown[-1] == "the operator  invite dave"


def test_show_has_the_end_of_the_log_or_all_of_it(lively: Run) -> None:
    """Ten entries are shown without --log; the newest is last."""
    with contextlib.closing(SqliteStore(STORE)) as store:
        for number in range(20):
            store.change_room(RoomChange(action="topic", room="#dev", actor=ALICE, text=f"topic {number}"))

    def log(*options: str) -> list[str]:
        shown = json.loads(lively("room", "show", "dev", "--json", *options).stdout)
        return [each["text"] for each in shown["log"]]

    assert log() == [f"topic {number}" for number in range(10, 20)]
    assert log("--log")[-10:] == log()
    assert len(log("--log")) == 26
    assert lively("room", "show", "dev", "--log").stdout.splitlines()[-1].endswith("topic: topic 19")


def test_looking_needs_no_lock(lively: Run) -> None:
    """`list` and `show` work while the store is in use."""
    with StoreLock(STORE):
        assert len(listed(lively)) == 2
        assert lively("room", "show", "dev").exit_code == 0
        assert lively("room", "export", "dev").exit_code == 0


# --- export


def test_export_to_stdout(lively: Run) -> None:
    """Stdout has only data."""
    result = lively("room", "export", "#dev")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, result.stderr) == (0, "")
    assert [lines[0]["type"], lines[0]["name"], lines[-1]["type"]] == ["room", "#dev", "react"]


def test_export_to_a_file(lively: Run) -> None:
    """The file is readable by its owner only; an existing one is not changed."""
    result = lively("room", "export", "dev", "-o", "dev.jsonl")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "exported #dev to dev.jsonl\n")
    assert stat.S_IMODE(Path("dev.jsonl").stat().st_mode) == 0o600
    content = Path("dev.jsonl").read_bytes()
    again = lively("room", "export", "old", "--output", "dev.jsonl")
    assert (again.exit_code, again.stdout) == (ExitCode.EXISTS, "")
    assert Path("dev.jsonl").read_bytes() == content


def test_every_verb_has_help_and_takes_the_configuration(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each verb has help, and `-c` works in all places."""
    for verb in ("create", "list", "show", "archive", "delete", "export"):
        assert run("room", verb, "--help").exit_code == 0
        assert f"\n  {verb} " in run("room", "--help").stdout
    assert "write dev or '#dev'" in run("room", "--help").stdout
    monkeypatch.delenv("QSCPD_CONFIG")
    options = ("-c", "config/qscpd.yaml")
    for words in (
        (*options, "room", "list"),
        ("room", *options, "list"),
        ("room", "list", *options),
    ):
        assert run(*words).exit_code == 0
