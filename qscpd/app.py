"""The daemon put together: what is made in which order, and ended in the opposite one.

This is the one place where objects get to know each other; there are no globals.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Final

import structlog

from qscp import __version__
from qscp.frames import Retention
from qscpd.accounts.directory import Directory
from qscpd.accounts.passwords import PasswordHasher, PasswordPool
from qscpd.admin import AdminServer
from qscpd.admin.live import LiveAdmin
from qscpd.chat.router import Router
from qscpd.config import Config, HistoryConfig
from qscpd.domain.model import Keep
from qscpd.errors import ExitCode, StoreError
from qscpd.handlers.history import Queries
from qscpd.handlers.login import Login
from qscpd.handlers.messages import handlers
from qscpd.handlers.rooms import RoomRequests
from qscpd.log import configure_log
from qscpd.net.listener import Listener
from qscpd.net.tls import server_context
from qscpd.sessions.log import SessionLog
from qscpd.sessions.requests import Asking
from qscpd.sessions.session import Session
from qscpd.store import open_store
from qscpd.store.sqlite.lock import StoreLock
from qscpd.store.writer import StoreWriter
from qscpd.systemd import Notifier, watchdog_interval_s

_TICK_S: Final = 1.0

_M_ARENA_MAX: Final = -8
"""Of <malloc.h>; see mallopt(3)."""

_GC_THRESHOLD: Final = 50_000
"""New objects between two looks for reference cycles."""

_log = structlog.stdlib.get_logger("qscpd")


def run(config: Config) -> ExitCode:
    """Serve until SIGTERM, SIGINT or SIGHUP; a second signal ends the process at once.

    Returns:
        OK after an orderly end, FAILED when the store failed under way.

    Raises:
        QscpdError: The daemon could not start.
    """
    configure_log(config.log)
    _raise_file_limit()
    _share_memory()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform != "linux":
        return None
    import uvloop  # noqa: PLC0415 - it exists on Linux only, as our pyproject says

    return uvloop.new_event_loop


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets us; each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _share_memory() -> None:
    """Let all threads allocate from one heap.

    glibc gives each thread a heap of its own and keeps there what was freed: for us the 19 MiB of a
    password hash, twice. Our threads hardly ever allocate at the same time, because of Python's lock.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # another C library has no such heaps
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


async def _serve(config: Config) -> ExitCode:
    with contextlib.ExitStack() as stack:
        context = server_context(config.tls)
        stack.enter_context(StoreLock(config.store.path))
        store = stack.enter_context(
            contextlib.closing(
                open_store(config.store.path, edit_within_ms=round(config.history.edit_within_s * 1000))
            )
        )
        epoch = store.epoch()
        directory = Directory(store.accounts(), store.account_names())
        log = stack.enter_context(SessionLog(config.log.session_log, config.log.addresses))
        router = Router(config, directory, log)
        stack.callback(router.presence.close)
        stack.callback(router.rooms.close)
        for room in store.rooms():
            router.rooms.load(room, store.memberships(room.id))
        daemon = _Daemon(config, router, stack.enter_context(contextlib.closing(Notifier.from_environment())))
        writer = StoreWriter[Session](
            store,
            keep=_keep(config.history),
            on_committed=router.delivery.committed,
            on_refused=router.delivery.refused,
            on_failed=daemon.store_failed,
        )
        stack.enter_context(writer)
        router.attach(writer)
        passwords = PasswordPool(
            PasswordHasher(config.login.argon2), workers=config.login.workers, queue=config.login.queue
        )
        stack.callback(passwords.close)
        listener = Listener(config, context, router.open_session)
        listener.bind()
        stack.callback(listener.stop_accepting)
        # What can't start must be outside of the task group, which would wrap its error in a group of errors.
        async with AdminServer(config.server.admin_socket, LiveAdmin(router, writer).handle):
            await daemon.serve(listener, writer, passwords, log, epoch)
    return daemon.exit_code


class _Daemon:
    """The running daemon: its signals, its tasks and its end."""

    def __init__(self, config: Config, router: Router, notifier: Notifier) -> None:
        self.exit_code = ExitCode.OK
        self._config = config
        self._router = router
        self._stop = asyncio.Event()
        self._notifier = notifier
        self._reason = ""

    async def serve(
        self,
        listener: Listener,
        writer: StoreWriter[Session],
        passwords: PasswordPool,
        log: SessionLog,
        epoch: str,
    ) -> None:
        """Listen, say that we are ready, and serve until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled, number)
        async with asyncio.TaskGroup() as tasks:
            login = Login(
                self._router,
                writer,
                passwords,
                log,
                tasks,
                retention=_retention(self._config.history),
                epoch=epoch,
            )
            router, asking = self._router, Asking(tasks)
            queries = Queries(writer, router.directory, asking)
            rooms = RoomRequests(
                router.rooms, router.directory, router.presence, writer, asking, router.hand_over
            )
            router.handlers = handlers(login.start, queries, rooms)
            await listener.accept()
            ticker = tasks.create_task(self._tick(listener))
            watchdog = tasks.create_task(self._watch(writer))
            self._ready(listener)
            await self._stop.wait()
            self._notifier.stopping("Saying good-bye")
            _log.info("daemon.stopping", reason=self._reason, sessions=len(self._router))
            await self._shut_down(listener)
            ticker.cancel()
            watchdog.cancel()

    def store_failed(self, error: StoreError) -> None:
        """It is unknown what is on disk: answer nothing more, end everything, let clients retry by id."""
        self.exit_code = ExitCode.FAILED
        self._reason = str(error)
        self._stop.set()

    def _ready(self, listener: Listener) -> None:
        # What lives as long as the daemon need not be looked at by every collection.
        gc.collect()
        gc.freeze()
        # A message leaves no cycle behind (a test sees to that), so looking for them at every 700
        # new objects is work for nothing: 3 % of all under load.
        gc.set_threshold(_GC_THRESHOLD)
        addresses = ", ".join(listener.addresses)
        _log.info("daemon.ready", version=__version__, listen=addresses, accounts=len(self._router.directory))
        self._notifier.ready(f"Listening on {addresses}")

    def _signalled(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            _log.warning("daemon.killed", signal=number.name)
            os._exit(ExitCode.FAILED)
        self._reason = number.name
        self._stop.set()

    async def _shut_down(self, listener: Listener) -> None:
        """Stop accepting, answer what came in, say `bye` to everybody, and wait until they are gone.

        When the store has failed, nothing is answered.
        """
        listener.stop_accepting()
        listener.abort_handshakes("shutdown")
        if self.exit_code is ExitCode.OK:
            self._router.shut_down()
        else:
            self._router.store_failed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.server.shutdown_grace_s):
                await listener.all_gone()
        listener.abort_all("shutdown")
        await listener.all_gone()

    async def _tick(self, listener: Listener) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            listener.tick()

    async def _watch(self, writer: StoreWriter[Session]) -> None:
        """Tell systemd that the loop turns and the store answers."""
        interval = watchdog_interval_s()
        while interval is not None:
            with contextlib.suppress(StoreError):  # it has failed, and we are stopping for it already
                await writer.call(lambda _: None)
            self._notifier.alive()
            self._notifier.status(f"{len(self._router.presence)} people online, {len(self._router)} sessions")
            await asyncio.sleep(interval)


def _keep(history: HistoryConfig) -> Keep:
    return Keep(
        age_ms=round(history.keep_for_s * 1000) or None,
        messages=history.keep_messages or None,
    )


def _retention(history: HistoryConfig) -> Retention:
    return Retention(seconds=round(history.keep_for_s) or None, messages=history.keep_messages or None)
