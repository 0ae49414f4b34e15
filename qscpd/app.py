"""The daemon's composition root: builds its objects in order, and ends them in the opposite order.

This is the one place where objects get references to each other; there are no globals.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from qscp import __version__
from qscp.frames import Retention
from qscpd.accounts.directory import Directory
from qscpd.accounts.password_pool import PasswordPool
from qscpd.accounts.passwords import PasswordHasher
from qscpd.admin import AdminServer
from qscpd.admin.live import LiveAdmin
from qscpd.admin.status import StatusReport
from qscpd.bus.local import LocalBus
from qscpd.certificates.watch import CertificateWatch
from qscpd.chat.router import Router
from qscpd.config import Config, HistoryConfig, find_warnings
from qscpd.domain.model import Keep
from qscpd.errors import ExitCode, QscpdError, StoreError
from qscpd.files import DESCRIPTOR_RESERVE, descriptor_limit
from qscpd.handlers.login import Login
from qscpd.handlers.login_guard import LoginGuard
from qscpd.handlers.table import handler_table
from qscpd.log import LogHandler, configure_log
from qscpd.net.admission import Admission
from qscpd.net.listener import Listener
from qscpd.net.tls import load_pair
from qscpd.process import raise_file_limit, release_memory, share_memory, take_user
from qscpd.sessions.log import SessionLog
from qscpd.sessions.requests import RequestRunner
from qscpd.sessions.session import Session
from qscpd.signals import ignore_early_hangup, watch_signals
from qscpd.store import lock_store, newest_schema, open_reader, open_store, store_url
from qscpd.store.damage import DamageLog
from qscpd.store.reads import StoreReads
from qscpd.store.upgrade import UpgradeLog, UpgradeProgress
from qscpd.store.writer import StoreWriter
from qscpd.systemd import Notifier, watchdog_interval_s

_TICK_S: Final = 1.0

_GC_THRESHOLD: Final = 50_000
"""New objects between two garbage collections."""

_NEW_STORE: Final = (
    "a new store, which never had an account. Add one with `qscpd adduser NAME`; if you had accounts, stop "
    "qscpd and put the store back, or restore a backup"
)

_log = structlog.stdlib.get_logger("qscpd")


def run(config: Config) -> ExitCode:
    """Serve until SIGTERM, SIGINT or the loss of the terminal; a second SIGTERM or SIGINT ends it at once.

    Returns:
        OK after an orderly end, FAILED when the store failed under way.

    Raises:
        QscpdError: The daemon could not start.
    """
    ignore_early_hangup()
    raise_file_limit()
    share_memory()
    loop_factory = _loop_factory()
    # An error of the start comes after the lines that were logged before it.
    with contextlib.closing(configure_log(config.log)) as log:
        try:
            take_user(config)
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(_serve(config, log))
        except QscpdError:
            raise
        except Exception as error:
            _log.critical("daemon.crashed", exc_info=True)
            raise QscpdError("internal error; the log has the details") from error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform != "linux":
        return None
    import uvloop  # noqa: PLC0415 - it exists on Linux only, as our pyproject says

    return uvloop.new_event_loop


async def _serve(config: Config, log_handler: LogHandler) -> ExitCode:
    with contextlib.closing(Notifier.from_environment()) as notifier, contextlib.ExitStack() as stack:
        certificate = load_pair(config.tls)
        watch = CertificateWatch(certificate)
        url = store_url(config.store.path)
        stack.enter_context(lock_store(url))
        damage = DamageLog()
        edit_within_ms = round(config.history.edit_within_s * 1000)
        store = stack.enter_context(
            contextlib.closing(
                open_store(
                    url,
                    edit_within_ms=edit_within_ms,
                    keep_reserve=True,
                    on_damage=damage,
                    on_upgrade=partial(_report_upgrade, UpgradeLog(notifier.starting)),
                )
            )
        )
        for found in store.findings:
            _log.log(found.level, f"store.{found.event}", found=found.text)
        epoch = store.epoch()
        names = store.account_names()
        directory = Directory(store.accounts(), names)
        log = stack.enter_context(
            SessionLog(config.log.session_log, config.log.addresses, config.log.lines_per_minute)
        )
        bus: LocalBus[Session] = LocalBus()
        daemon = _Daemon(config, notifier, watch)
        writer = StoreWriter[Session](store, bus, keep=_keep(config.history), on_failed=daemon.store_failed)
        router = Router(config, directory, log, bus, writer)
        stack.callback(router.presence.close)
        stack.callback(router.hiding.close)
        stack.callback(router.rooms.close)
        stack.callback(router.quotas.close)
        stack.callback(router.submissions.close)
        for room in store.rooms():
            router.rooms.load(room, store.memberships(room.id))
        for block in store.blocks():
            router.blocks.load(block.account, block.blocked)
        stack.enter_context(writer)
        reads = stack.enter_context(StoreReads(partial(open_reader, url, on_damage=damage, paced=True)))
        passwords = PasswordPool(
            PasswordHasher(config.login.argon2),
            workers=config.login.workers,
            queue=config.login.queue,
            release_memory=release_memory,
        )
        stack.callback(passwords.close)
        tasks = asyncio.TaskGroup()
        retention = _retention(config.history)
        admission = Admission(
            config, time.monotonic, descriptors=max(descriptor_limit() - DESCRIPTOR_RESERVE, 1)
        )
        guard = LoginGuard(admission, time.monotonic)
        login = Login(router, writer, reads, passwords, guard, log, tasks, retention=retention, epoch=epoch)
        requests = RequestRunner(tasks, router.passed)
        handlers = handler_table(router, writer, reads, requests, login.start)
        listener = Listener(
            config, certificate.context, partial(router.open_session, handlers), admission, log.journal
        )
        listener.bind()
        stack.callback(listener.stop_accepting)
        # Outside of the task group, which would wrap an error at the start in a group.
        report = StatusReport(
            router,
            writer,
            damage,
            listener.bound,
            watch,
            lambda: log_handler.dropped,
            schema=newest_schema(url),
        )
        async with AdminServer(config.server.admin_socket, LiveAdmin(router, writer, report).handle):
            if not names:
                _log.warning("store.new", found=f"{config.store.path}: {_NEW_STORE}")
            await daemon.serve(router, listener, writer, log, tasks, report)
        stack.close()
        daemon.ended()
    return daemon.exit_code


def _report_upgrade(report: UpgradeLog, progress: UpgradeProgress) -> None:
    """Report the progress of an upgrade, which runs on the loop; end it after Ctrl-C."""
    report(progress)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class _Daemon:
    """The running daemon: its signals, its tasks and its shutdown."""

    def __init__(self, config: Config, notifier: Notifier, watch: CertificateWatch) -> None:
        self.exit_code = ExitCode.OK
        self._config = config
        self._certificate = watch
        self._stop = asyncio.Event()
        self._notifier = notifier
        self._reason = ""

    async def serve(
        self,
        router: Router,
        listener: Listener,
        writer: StoreWriter[Session],
        log: SessionLog,
        tasks: asyncio.TaskGroup,
        report: StatusReport,
    ) -> None:
        """Listen, notify systemd that we are ready, and serve until a signal or a failure.

        Args:
            router: The sessions.
            listener: Where peers connect.
            writer: The store.
            log: The session log.
            tasks: Where logins and requests run; it is entered here.
            report: What the unit's status says.
        """
        watch_signals(asyncio.get_running_loop(), self._signalled)
        async with tasks:
            listener.accept()
            ticker = tasks.create_task(self._tick(listener, log))
            watchdog = tasks.create_task(self._watch(router, writer, report))
            self._ready(router, listener, report)
            await self._stop.wait()
            if self.exit_code is ExitCode.OK:
                self._notifier.stopping("Saying good-bye")
            else:
                self._notifier.stopping(f"Failing: {self._reason}")
            _log.info("daemon.stopping", reason=self._reason, sessions=len(router))
            await self._shut_down(router, listener)
            ticker.cancel()
            watchdog.cancel()

    def store_failed(self, error: StoreError) -> None:
        """Stop: it is unknown what is on disk. Nothing more is answered, and clients retry by id."""
        self.exit_code = ExitCode.FAILED
        self._reason = str(error)
        self._stop.set()

    def ended(self) -> None:
        """Leave a last status: how it ended."""
        if self.exit_code is ExitCode.OK:
            self._notifier.stopped()
        else:
            self._notifier.failed(self._reason)

    def _ready(self, router: Router, listener: Listener, report: StatusReport) -> None:
        # Objects that live as long as the daemon are left out of every collection.
        gc.collect()
        gc.freeze()
        # A message leaves no cycle behind (a test checks that). A collection at every 700 new
        # objects would be 3 % of all work under load, for nothing.
        gc.set_threshold(_GC_THRESHOLD)
        addresses = ", ".join(listener.bound.addresses)
        _log.info("daemon.ready", version=__version__, listen=addresses, accounts=len(router.directory))
        # Only now, because a daemon that can't start says why in one sentence.
        for warning in find_warnings(self._config):
            _log.warning("config.warning", reason=warning)
        self._certificate.start()
        self._notifier.ready("; ".join([f"Listening on {addresses}", *report.attention()]))

    def _signalled(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            if number is signal.SIGHUP:  # a shell and the kernel each send one
                return
            _log.warning("daemon.killed", signal=number.name)
            self._notifier.failed(f"ended by a second {number.name}")
            logging.shutdown()
            os._exit(ExitCode.FAILED)
        self._reason = number.name
        self._stop.set()

    async def _shut_down(self, router: Router, listener: Listener) -> None:
        """Stop accepting, answer what came in, say `bye` to all peers, and wait until they are gone.

        If the store has failed, nothing is answered.
        """
        listener.stop_accepting()
        listener.abort_handshakes("shutdown")
        if self.exit_code is ExitCode.OK:
            router.shut_down()
        else:
            router.store_failed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.server.shutdown_grace_s):
                await listener.all_gone()
        listener.abort_all("shutdown")
        await listener.all_gone()

    async def _tick(self, listener: Listener, log: SessionLog) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            listener.tick()
            log.tick()
            self._certificate.tick()

    async def _watch(self, router: Router, writer: StoreWriter[Session], report: StatusReport) -> None:
        """Notify systemd, again and again, that the loop runs and the store answers."""
        interval = watchdog_interval_s()
        while interval is not None:
            with contextlib.suppress(StoreError):  # It has failed, and we are stopping already.
                await writer.drained()
            self._notifier.alive()
            counts = f"{len(router.presence)} people online, {len(router)} sessions"
            self._notifier.status("; ".join([counts, *report.attention()]))
            await asyncio.sleep(interval)


def _keep(history: HistoryConfig) -> Keep:
    return Keep(
        age_ms=round(history.keep_for_s * 1000) or None,
        messages=history.keep_messages or None,
    )


def _retention(history: HistoryConfig) -> Retention:
    return Retention(seconds=round(history.keep_for_s) or None, messages=history.keep_messages or None)
