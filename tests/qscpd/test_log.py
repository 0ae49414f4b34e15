"""The daemon's log, written by a separate program."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.waiting import PATIENCE_S

_PROGRAM = """
import logging, os, sys
import structlog
if "journal" in sys.argv:
    stat = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{stat.st_dev}:{stat.st_ino}"
from qscpd.config.model import LogConfig
from qscpd.log import configure_log
log = structlog.stdlib.get_logger("qscpd.test")
configure_log(LogConfig(format=sys.argv[1], level=sys.argv[2]))
log.debug("detail")
log.info("link.open", remote="192.0.2.7", odd="a\\nb \\x1b[2J")
logging.getLogger("asyncio").warning("from %s", "asyncio")
def broken():
    body = "-".join(["canary", "text"])
    raise ValueError("broken")
try:
    broken()
except ValueError as error:
    log.error("session.bug", exc_info=error)
"""


_UNPRINTABLE = """
import structlog
from qscpd.config.model import LogConfig
from qscpd.log import configure_log
class Unprintable:
    def __repr__(self):
        raise ZeroDivisionError("a bug")
configure_log(LogConfig(format="json", level="info"))
structlog.stdlib.get_logger("qscpd.test").info("link.open", odd=Unprintable())
structlog.stdlib.get_logger("qscpd.test").info("link.close")
"""


def test_a_value_that_can_not_be_rendered() -> None:
    """A bug of a value costs its own line only, which says so; nothing is raised into the daemon."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _UNPRINTABLE],
        stderr=subprocess.PIPE,
        check=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stderr.startswith("a line of the log can't be rendered: Traceback")
    assert json.loads(done.stderr.splitlines()[-1])["event"] == "link.close"


def run(*arguments: str) -> str:
    """Return the program's standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM, *arguments],
        stderr=subprocess.PIPE,
        check=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return done.stderr


def entries(text: str) -> list[dict[str, Any]]:
    """Return the lines, decoded from JSON."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["detail", "link.open", "from asyncio", "session.bug"]),
        ("info", ["link.open", "from asyncio", "session.bug"]),
        ("warning", ["from asyncio", "session.bug"]),
        ("error", ["session.bug"]),
    ],
)
def test_levels(level: str, events: list[str]) -> None:
    """Entries below the level are left out, also of other libraries."""
    assert [entry["event"] for entry in entries(run("json", level))] == events


def test_json_is_one_object_per_line() -> None:
    """Each object begins with time, level, logger and event; newlines and tracebacks stay inside."""
    opened, _, bug = entries(run("json", "info"))
    assert list(opened) == ["time", "level", "logger", "event", "remote", "odd"]
    assert (opened["level"], opened["logger"], opened["odd"]) == ("info", "qscpd.test", "a\nb \x1b[2J")
    assert bug["exception"][0]["exc_type"] == "ValueError"


def test_auto_is_json_on_a_pipe() -> None:
    """The format `auto` is JSON if the output is not a terminal."""
    assert entries(run("auto", "error"))


def test_text_on_a_pipe_has_no_escape_sequences() -> None:
    """Text on a pipe has neither colours nor escape sequences of a peer."""
    text = run("text", "info")
    assert "link.open" in text
    assert "\x1b" not in text
    assert "ValueError: broken" in text


def test_the_journal_gets_a_priority_on_every_line_and_no_time() -> None:
    """In the journal every line, even of a traceback, has a priority and no time."""
    text = run("text", "info", "journal")
    lines = text.splitlines()
    assert lines[0].startswith("<6>")
    assert lines[1].startswith("<4>")
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines[2:])
    assert "time" not in json.loads(run("json", "error", "journal").removeprefix("<3>"))


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_has_no_values_of_variables(form: str) -> None:
    """A traceback does not show values of variables, which could be messages or passwords."""
    shown = run(form, "error")
    assert "broken" in shown
    assert "canary-text" not in shown


_DROPS_LINES = """
import logging, os, sys
from qscpd.config.model import LogConfig
from qscpd.log import configure_log
if "journal" in sys.argv:
    stat = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{stat.st_dev}:{stat.st_ino}"
handler = configure_log(LogConfig(format=sys.argv[1]))
for number in range(3000):
    logging.getLogger("test").info("x" * 1000)
print(handler.dropped, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("form", ["json", "text", "journal"])
def test_dropped_lines_have_a_line_in_their_place(form: str) -> None:
    """Lines that did not fit while nothing was read are one line, in the form of the others."""
    arguments = ["json", "journal"] if form == "journal" else [form]
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _DROPS_LINES, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        dropped = int(process.stdout.readline())
        # The program goes on until all was read: its end waits only for a while.
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "log.dropped" in line:
                break
        process.stdin.close()
        lines += process.stderr.readlines()
    assert len(lines) == 3000 - dropped + 1
    assert 1500 < dropped < 2500
    if form == "text":
        assert "log.dropped" in lines[-1]
        assert f"lines={dropped}" in lines[-1]
        return
    assert lines[-1].startswith("<4>") == (form == "journal")
    entry = json.loads(lines[-1].removeprefix("<4>"))
    assert (entry["event"], entry["level"], entry["lines"]) == ("log.dropped", "warning", dropped)
    assert entry["reason"] == "standard error was not read"
