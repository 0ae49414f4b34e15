"""A daemon that hangs: questions end soon, changes say that they wait."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from qscpd import admin
from qscpd.admin import exchange as exchange_module
from qscpd.admin.exchange import exchange
from qscpd.admin.messages import encode
from qscpd.errors import NotRunningError, UnansweredError
from tests.support.waiting import PATIENCE_S

_HANGING = (
    "import socket, sys, time\n"
    "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1); print('up', flush=True)\n"
    "time.sleep(3600)\n"
)
QUESTIONS = [admin.Status(), admin.ListUsers(), admin.CheckUser("alice"), admin.CheckNewUser("alice")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of the admin socket."""
    return tmp_path / "admin.sock"


@pytest.fixture
def hanging(path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that listens, and accepts nothing."""
    monkeypatch.setattr(exchange_module, "QUESTION_S", 0.2)
    with subprocess.Popen([sys.executable, "-c", _HANGING, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.parametrize("question", QUESTIONS, ids=repr)
def test_a_question_is_given_up(
    path: Path, hanging: "subprocess.Popen[bytes]", question: admin.Request
) -> None:
    """Nothing was asked to be changed, so the daemon counts as not running; the error names the process."""
    with pytest.raises(
        NotRunningError, match=rf"\(process {hanging.pid}\).*did not answer.*systemctl restart"
    ):
        exchange(path, question)


def test_a_stopped_daemon_is_named(path: Path, hanging: "subprocess.Popen[bytes]") -> None:
    """A process that Ctrl-Z or SIGSTOP has stopped needs another cure than a restart."""
    hanging.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, hanging.pid, os.WSTOPPED | os.WNOWAIT)
    with pytest.raises(NotRunningError, match=rf"`kill -CONT {hanging.pid}`"):
        exchange(path, admin.Status())


@pytest.mark.parametrize("request_", [admin.Status(), admin.LockUser("alice")], ids=repr)
def test_a_full_queue_is_a_daemon_that_hangs(
    path: Path, hanging: "subprocess.Popen[bytes]", request_: admin.Request
) -> None:
    """What other commands have left in the queue does not make it another error; nothing was sent."""
    del hanging
    with contextlib.ExitStack() as waiting:
        full = False
        while not full:
            connection = waiting.enter_context(socket.socket(socket.AF_UNIX))
            connection.setblocking(False)
            full = connection.connect_ex(str(path)) != 0
        with pytest.raises(NotRunningError, match="did not answer within"):
            exchange(path, request_)


def test_a_change_waits_and_says_so(
    path: Path,
    hanging: "subprocess.Popen[bytes]",
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is not known whether a change was done, so it waits longer, and the error says that."""
    # Between two looks at this clock 0.1 s pass, however slow the machine is.
    clock = SimpleNamespace(monotonic=itertools.count(0, 0.1).__next__)
    monkeypatch.setattr(exchange_module, "time", clock)
    monkeypatch.setattr(exchange_module, "_CHANGE_S", 0.5)
    with pytest.raises(UnansweredError, match="can still be done"):
        exchange(path, admin.LockUser("alice"))
    assert capsys.readouterr().err == (
        f"qscpd: waiting for the daemon (process {hanging.pid}), which has not answered yet\n"
    )


def test_a_slow_answer_is_read_to_its_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long list may come in parts, each within the time of a question."""
    monkeypatch.setattr(exchange_module, "QUESTION_S", PATIENCE_S)
    line = encode(admin.Accounts([admin.AccountInfo(n, f"user{n}", "active", 1) for n in range(9000)]))

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            for at in range(0, len(line), 1 << 14):
                connection.sendall(line[at : at + (1 << 14)])

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        assert exchange(path, admin.ListUsers()) == line
        server.join()
