"""Measure the memory of the daemon for an idle connection, after real logins over TLS on 127.0.0.1.

Each connection is one account that logs in with its password (argon2id as shipped), resumes, reads its
list of conversations, and then answers pings only. The daemon's memory is read before the first login and
after the last. The clients are in a process of their own, of which nothing is counted.
"""

import argparse
import asyncio
import multiprocessing
import ssl
import sys
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final, cast

import uvloop
from accounts import make_accounts  # beside this file
from measured_daemon import cpu_s, daemon, free_port, make_certificates

from qscp import ALPN, codec, frames
from qscp.features import BLOCK, LOGIN_PRESENCE
from qscpd.process import raise_file_limit

_PASSWORD: Final = "secretpw"  # noqa: S105 - of a store that is made here

_CONFIG: Final = """
server:
  listen: ["127.0.0.1:{port}"]
  admin_socket: {folder}/admin.sock
  max_connections: {most}
tls:
  certificate: {folder}/certs/server.pem
  key: {folder}/certs/server.key
login:
  timeout: 600s
  connections_per_address: {most}
store:
  path: {folder}/qscpd.db
log:
  level: warning
  session_log: {folder}/sessions.log
"""

_SETTLE_S: Final = 15.0

_PROGRESS: Final = 500
"""Logins after which a line is printed."""

_FIGURES: Final = ("Rss", "Pss", "Private_Dirty")
"""Of proc(5), `smaps_rollup`, in KiB."""


class _Client(asyncio.Protocol):
    """A connection that logs in, then answers pings."""

    def __init__(self, user: str) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self._user = user
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        self._transport = cast("asyncio.Transport", transport)
        self._send(frames.Auth(user=self._user, password=_PASSWORD, features=[BLOCK, LOGIN_PRESENCE]))

    def data_received(self, data: bytes) -> None:
        """Answer what needs an answer, and forget the rest."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            kind = line[9:25]
            if kind.startswith(b'auth_ack"'):
                self._send(frames.Resume([]))
                self._send(frames.ConversationsRequest())
            elif kind.startswith(b'ping"'):
                self._send(frames.ClientPong())
            elif kind.startswith(b'conversations"'):
                self._finish()
            elif kind.startswith((b'error"', b'auth_nack"', b'bye"')):
                self._finish(ConnectionError(line.decode()))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait for the login, if it is not done."""
        self._finish(exc or ConnectionError("the server has closed the connection"))

    def _send(self, frame: frames.ClientFrame) -> None:
        self._transport.write(codec.encode(frame))

    def _finish(self, error: Exception | None = None) -> None:
        if self.ready.done():
            if error is not None:
                sys.exit(f"{self._user} was cut: {error}")
        elif error is None:
            self.ready.set_result(None)
        else:
            self.ready.set_exception(error)


async def _log_in(ca: Path, port: int, count: int, at_once: int, ready: Event) -> None:
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols([ALPN])
    loop = asyncio.get_running_loop()
    users = iter(range(count))
    clients = []

    async def worker() -> None:
        for number in users:
            _, client = await loop.create_connection(
                lambda number=number: _Client(f"u{number}"),
                "127.0.0.1",
                port,
                ssl=context,
                server_hostname="localhost",
                ssl_handshake_timeout=600,
            )
            clients.append(client)
            await client.ready
            if (number + 1) % _PROGRESS == 0:
                print(f"  {number + 1} logged in", flush=True)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    ready.set()
    await asyncio.sleep(24 * 3600)


def _run_clients(ca: Path, port: int, count: int, at_once: int, ready: Event) -> None:
    raise_file_limit()
    uvloop.run(_log_in(ca, port, count, at_once, ready))


def _memory(process: int) -> dict[str, int]:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    fields = dict(line.split()[:2] for line in lines)
    return {name: int(fields[f"{name}:"]) for name in _FIGURES}


def _report(what: str, before: dict[str, int], after: dict[str, int], count: int) -> None:
    each = ", ".join(f"{name} {(after[name] - before[name]) / count:.1f}" for name in _FIGURES)
    print(f"{what}: {each} KiB a connection; daemon's RSS {after['Rss'] / 1024:.0f} MiB", flush=True)


def _measure(folder: Path, arguments: argparse.Namespace) -> None:
    port = free_port()
    count = arguments.connections
    (folder / "qscpd.yaml").write_text(_CONFIG.format(port=port, folder=folder, most=count + 100))
    make_accounts(folder / "qscpd.db", count, _PASSWORD)
    with daemon(folder, port, arguments.checkout) as process:
        before, cpu = _memory(process), cpu_s(process)
        print(f"before the first login: RSS {before['Rss'] / 1024:.0f} MiB", flush=True)
        context = multiprocessing.get_context("spawn")
        ready = context.Event()
        where = (folder / "certs" / "ca.pem", port, count, arguments.at_once, ready)
        clients = context.Process(target=_run_clients, args=where)
        clients.start()
        try:
            while not ready.wait(1.0):
                if not clients.is_alive():
                    sys.exit("The clients have ended; their error is above.")
            # The last changes of presence take a second, and memory of hashes is released after 10.
            time.sleep(_SETTLE_S)
            used = cpu_s(process) - cpu
            _report(f"after {count} logins", before, _memory(process), count)
            print(f"daemon's CPU: {1000 * used / count:.1f} ms a login", flush=True)
            if arguments.silent:
                time.sleep(arguments.silent)
                _report(f"{arguments.silent} s later", before, _memory(process), count)
        finally:
            clients.terminate()
            clients.join()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=5000, help="accounts that log in")
    parser.add_argument("--at-once", type=int, default=16, help="logins at the same time")
    parser.add_argument("--silent", type=int, default=0, help="measure again after so many seconds")
    parser.add_argument("--checkout", type=Path, help="run this checkout's daemon instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qscp-idle-") as name:
        make_certificates(Path(name))
        _measure(Path(name), arguments)


if __name__ == "__main__":
    main()
