"""Count how often one chat message changes file on its way through the daemon and through the client.

    python -m tools.count_hops [--path] [--most N]

A hop is a call in another of our files than the call before it. The first call of all is none; a call on
another thread counts. Returns, the standard library and libraries do not count. The daemon is the tests'
in-process server: from the bytes of a `chat` to the recipient's frame and the sender's `chat_ack`. The
client is the real one in a pipe, with a scripted server: from the line to `chat_ack`, and from a frame to
the line on standard output.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FrameType
from typing import Final, NamedTuple, Self

import trustme

from qscp import codec, frames
from qscp_client.cli import command
from qscpd.store.sqlite.store import SqliteStore
from tests.support.device import Device
from tests.support.doubles import FakeLink
from tests.support.in_process_server import InProcessPeer, InProcessServer, PagedLink, make_accounts
from tests.support.scripted_server import ScriptedServer, scripted_server
from tests.support.waiting import PATIENCE_S, patiently, until

_ROOT: Final = Path(__file__).resolve().parents[1]
_OURS: Final = tuple(f"{_ROOT / folder}/" for folder in ("qscp", "qscpd", "client/qscp_client"))

_DOUBLES: Final[frozenset[CodeType]] = frozenset({FakeLink.write.__code__, PagedLink.write.__code__})
"""They decode what the daemon has encoded, which no daemon does."""

_IDLE: Final = "StoreWriter._wait"
"""It waits for the next message: the store's thread calls it before this one has arrived, or after."""

_COMPREHENSIONS: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
"""Most are calls no more since Python 3.12."""

_ROUNDS: Final = 5
"""Of several messages the one with the fewest hops counts: housekeeping may come in between."""

_AFTER_S: Final = 0.1
"""What the client does within this time of what can be seen from outside belongs to a message."""

_QUIET_S: Final = 0.5
"""After this time nothing comes of a message any more: its position was reported as read."""


class Hop(NamedTuple):
    """A call in another file than the one before it."""

    thread: str
    file: str
    function: str

    def __str__(self) -> str:
        return f"{self.file}: {self.function}" + (f"  [{self.thread}]" if self.thread else "")


class Recorder:
    """Records hops on this thread and on those that were started within `installed`."""

    def __init__(self) -> None:
        self._main = threading.current_thread()
        self._on = False
        self._hops: list[Hop] = []
        self._last: dict[str, str] = {}
        """The file of the last call, on each thread."""

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Watch all calls of this thread and of threads started meanwhile; record after `begin` only."""
        sys.setprofile(self._profile)
        threading.setprofile(self._profile)
        try:
            yield
        finally:
            threading.setprofile(None)
            sys.setprofile(None)

    def begin(self) -> None:
        """Forget what was noted, and note from now on."""
        self._hops = []
        self._last.clear()
        self._on = True

    def end(self) -> list[Hop]:
        """Note nothing more; return the hops in their order."""
        self._on = False
        return self._hops

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if not self._on or event != "call" or not code.co_filename.startswith(_OURS):
            return
        if code.co_name in _COMPREHENSIONS or code.co_qualname == _IDLE:
            return
        if any(caller in _DOUBLES for caller in _callers(frame)):
            return
        thread = threading.current_thread()
        name = "" if thread is self._main else thread.name
        if self._last.get(name) != code.co_filename:
            self._last[name] = code.co_filename
            file = Path(code.co_filename).relative_to(_ROOT)
            self._hops.append(Hop(name, str(file).removeprefix("client/"), code.co_qualname))


def _callers(frame: FrameType) -> Iterator[CodeType]:
    caller = frame.f_back
    while caller is not None:
        yield caller.f_code
        caller = caller.f_back


# --- the daemon


async def _through_the_daemon(recorder: Recorder, folder: Path) -> list[Hop]:
    """Send messages from alice to bob; return the hops of the one with the fewest."""
    make_accounts(folder / "qscpd.db", "alice", "bob")
    async with InProcessServer(SqliteStore(folder / "qscpd.db")) as server:
        device = Device("alice", "")
        alice, bob = await server.login(device), await server.login(Device("bob", ""))
        ways = []
        for _ in range(_ROUNDS):
            await server.settle()
            line = b"".join(map(codec.encode, device.send("bob", "hello")))
            recorder.begin()
            alice.session.receive(line)
            await _written((bob, frames.Chat), (alice, frames.ChatAck))
            ways.append(recorder.end())
    return min(ways, key=len)


async def _written(*wanted: tuple[InProcessPeer, type[frames.ServerFrame]]) -> None:
    async with patiently():
        # A test double can't set an event, and a pause would give housekeeping a chance.
        while not all(any(isinstance(each, kind) for each in peer.link.written) for peer, kind in wanted):  # noqa: ASYNC110
            await asyncio.sleep(0)


# --- the client


class _Pipes:
    """Standard input, output and error of this process, for a while."""

    def __init__(self, folder: Path) -> None:
        self._output = folder / "output"
        reading, self._input = os.pipe()
        writing = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._kept = [os.dup(number) for number in range(3)]
        for number, replacement in enumerate((reading, writing, writing)):
            os.dup2(replacement, number)
        os.close(reading)
        os.close(writing)

    def type(self, *lines: str) -> None:
        """Write lines into the input."""
        os.write(self._input, "".join(f"{line}\n" for line in lines).encode())

    def end_input(self) -> None:
        """Close the input's other end."""
        os.close(self._input)

    async def until_shown(self, text: str) -> None:
        """Wait until the output has a text."""
        await until(lambda: text in self._output.read_text(encoding="utf-8"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Give this process its own ones back."""
        for number, kept in enumerate(self._kept):
            os.dup2(kept, number)
            os.close(kept)


async def _converse(server: ScriptedServer, pipes: _Pipes, recorder: Recorder) -> tuple[list[Hop], list[Hop]]:
    """Let alice and bob write to each other; return the fewest hops of sending and of receiving."""
    server.come("bob")
    pipes.type("alice", "wonderland", "bob", "hello 0")
    await pipes.until_shown("hello 0")
    outward, inward = [], []
    for number in range(1, _ROUNDS + 1):
        await asyncio.sleep(_QUIET_S)
        recorder.begin()
        pipes.type(f"hello {number}")
        await pipes.until_shown(f"hello {number}")
        await asyncio.sleep(_AFTER_S)
        outward.append(recorder.end())
        await asyncio.sleep(_QUIET_S)
        recorder.begin()
        server.write("bob", "alice", f"answer {number}")
        await pipes.until_shown(f"answer {number}")
        await asyncio.sleep(_AFTER_S)
        inward.append(recorder.end())
    return min(outward, key=len), min(inward, key=len)


def _through_the_client(recorder: Recorder, folder: Path) -> tuple[list[Hop], list[Hop]]:
    """Run a client in this thread and its server in another one, which is not recorded."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    os.environ |= {"XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(folder), "TZ": "UTC"}
    port: Future[int] = Future()

    async def serve() -> tuple[list[Hop], list[Hop]]:
        async with scripted_server(authority.issue_cert("localhost")) as server:
            port.set_result(server.port)
            try:
                return await _converse(server, pipes, recorder)
            finally:
                pipes.end_input()  # the client leaves
                await server.until(lambda script: not script.sessions)

    with ThreadPoolExecutor(1) as thread, _Pipes(folder) as pipes:
        serving = thread.submit(lambda: asyncio.run(serve()))
        server = f"localhost:{port.result(PATIENCE_S)}"
        with recorder.installed(), contextlib.suppress(SystemExit):
            command(["--ca", str(folder / "ca.pem"), "--server", server], standalone_mode=False)
        return serving.result()


def _main() -> int:
    parser = argparse.ArgumentParser(description="Count how often one chat message changes file.")
    parser.add_argument("--path", action="store_true", help="list every hop")
    parser.add_argument("--most", type=int, metavar="N", help="only look whether the daemon needs at most N")
    options = parser.parse_args()
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder:
        with recorder.installed():
            daemon = asyncio.run(_through_the_daemon(recorder, Path(folder)))
        ways = {"daemon": daemon}
        if options.most is None:
            ways["client, sending"], ways["client, receiving"] = _through_the_client(recorder, Path(folder))
    for name, hops in ways.items():
        print(f"{name}: {len({hop.file for hop in hops})} files, {len(hops) - 1} hops")
        if options.path:
            print(*(f"    {hop}" for hop in hops), sep="\n")
    if options.most is not None and len(daemon) - 1 > options.most:
        print(f"The daemon needs more than {options.most} hops.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
