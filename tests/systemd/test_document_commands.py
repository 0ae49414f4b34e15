"""The commands of the operator's pages, run in the order of the pages on one machine."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.systemd.documents import commands, cron_lines, run_on_terminal
from tests.systemd.machine import Machine

pytestmark = pytest.mark.systemd

_PASSWORD: Final = "correct horse battery staple"

_ANSWERS: Final = {
    r"[Pp]assword[^\n]*: ": _PASSWORD,
    r"\[y/N\]: ": "y",
    r"to confirm[^\n]*: ": "alice",
}

_ENVIRONMENT: Final = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SYSTEMD_PAGER": "cat",
    "TERM": "xterm",
    "WHEELS": "/opt/wheels",
}
"""`WHEELS`: the machine has no network."""

_BACKUP: Final = "/srv/backups/qscp-20261124T070000Z"
"""The backup that backup.md names."""

_BEFORE: Final = {
    "sudo make install WHEELS=dist/wheelhouse": "mkdir -p dist && ln -sfn /opt/wheels dist/wheelhouse",
    "qscpd init --name chat.example.org": "systemctl stop qscpd; rm -r /etc/qscpd /var/lib/qscpd/*",
    f"qscpd restore --system {_BACKUP}": f"mv /srv/backups/qscp-*Z {_BACKUP}",
    f"sudo qscpd restore --system {_BACKUP}": "systemctl stop qscpd",  # on a new machine it never ran
    "qscpd lock mallory": "qscpd adduser mallory --generate",
}
"""What the text around a command says has happened before it."""

_EXPECTED: Final = {
    "journalctl -u qscpd | grep store.damaged": 1,  # nothing is damaged
}
"""Exit codes of commands that find nothing here."""

_PAGES: Final = {"installation.md": 14, "operations.md": 18, "backup.md": 22}
"""The pages, and how many commands of each run at least."""


@pytest.fixture(scope="module")
def reader(bare_machine: Callable[[], contextlib.AbstractContextManager[Machine]]) -> Iterator[Machine]:
    """A machine with a checkout, from which a reader of the pages begins."""
    with bare_machine() as machine:
        # Root needs no sudo, and a small system has none.
        machine.write("/usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n')
        machine.write("/usr/local/bin/git", "#!/bin/sh\nmkdir -p qscp\n")  # the checkout is there
        machine.run("chmod", "755", "/usr/local/bin/sudo", "/usr/local/bin/git")
        yield machine


@pytest.mark.parametrize("page", _PAGES)
def test_the_commands_of_a_page_work(reader: Machine, page: str) -> None:
    """Each command that can run without a network ends with 0, in the order of the page."""
    if page != "installation.md":
        reader.run("make", "-C", "/opt/qscp", "install", "WHEELS=/opt/wheels")
    failed, ran = [], 0
    for command in commands(page, reader):
        line = command.line.replace("<this repository>", "/opt/qscp")
        if not command.runs_here:
            continue
        if line in _BEFORE:
            reader.run("sh", "-c", f"cd /opt/qscp; {_BEFORE[line]}")
        code, written = run_on_terminal(reader, f"cd /opt/qscp; {line}", _ANSWERS, _ENVIRONMENT)
        ran += 1
        if code != _EXPECTED.get(line, 0):
            failed.append(f"{line}\nended with {code}:\n{written}")
    assert not failed, "\n\n".join(failed)
    assert ran >= _PAGES[page]


def test_the_cron_lines_work_with_the_path_of_cron(reader: Machine) -> None:
    """They find their programs in cron's PATH, print nothing, and make a backup."""
    (line,) = cron_lines("backup.md")
    before = reader.run("ls", "/srv/backups").split()
    done = reader.attempt("env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", line)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(reader.run("ls", "/srv/backups").split()) == len(before) + 1
