"""Binding of the addresses in `server.listen`, and the check of them without binding."""

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from qscpd.config import Endpoint, ListenAddress
from qscpd.config.ports import FIRST_FREE_PORT, explain_privileged
from qscpd.errors import ConfigError, PermissionDeniedError, QscpdError
from qscpd.net.acceptor import BACKLOG
from qscpd.net.bound_addresses import BoundAddresses
from qscpd.net.listen_plan import missing_reason, plan_listening, skip_reason
from qscpd.net.local_addresses import open_socket, socket_address
from qscpd.privileges import user_name

_FREEBIND: Final = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}
"""IP_FREEBIND of <linux/in.h> and IPV6_FREEBIND of <linux/in6.h>, for which Python has no names. They let a
process bind an address that the machine lacks (ip(7))."""

_PORT_TRIES: Final = 16
"""Tries to find a port that is free on all addresses of a name; nearly every first one succeeds."""


class ListenCheck(NamedTuple):
    """Result of `check_listen`: sentences that begin with the key."""

    problems: list[str]
    warnings: list[str]


def bind_all(listen: Sequence[ListenAddress]) -> BoundAddresses:
    """Bind all addresses; the kernel queues connections from now on.

    Raises:
        ConfigError: Two entries are the same address.
        PermissionDeniedError: The process has no permission to use a port.
        QscpdError: An entry can't be used; the text says which one and why.
    """
    plan = plan_listening(listen)
    if plan.overlaps:
        raise ConfigError([f"server.listen: {sentence}" for sentence in plan.overlaps])
    if plan.problems:
        raise QscpdError(f"server.listen: {plan.problems[0]}")
    with contextlib.ExitStack() as bound:
        sockets = [
            (endpoint, bound.enter_context(each))
            for _, group in groupby(plan.usable, key=lambda endpoint: id(endpoint.entry))
            for endpoint, each in _bind_entry(list(group))
        ]
        bound.pop_all()  # success: keep them open
    return BoundAddresses(sockets, plan)


def check_listen(listen: Sequence[ListenAddress]) -> ListenCheck:
    """Return what `bind_all` would refuse or warn about at this moment, except ports; bind nothing."""
    plan = plan_listening(listen)
    warnings = [skip_reason(plan.skipped)] if plan.skipped else []
    warnings += [missing_reason(endpoint) for endpoint in plan.missing]
    return ListenCheck(
        problems=[f"server.listen: {sentence}" for sentence in (*plan.overlaps, *plan.problems)],
        warnings=[f"server.listen: {sentence}" for sentence in warnings],
    )


def _bind_entry(endpoints: Sequence[Endpoint]) -> list[tuple[Endpoint, socket.socket]]:
    """Bind all addresses of one entry; if the system chooses the port, to the same one if possible."""
    port = endpoints[0].entry.port
    if port == 0 and len(endpoints) > 1:
        for _ in range(_PORT_TRIES):
            with contextlib.suppress(_PortTakenError):
                return _bind_to_one_port(endpoints)
    with contextlib.ExitStack() as bound:
        sockets = [(endpoint, bound.enter_context(_bind(endpoint, port))) for endpoint in endpoints]
        bound.pop_all()
    return sockets


def _bind_to_one_port(endpoints: Sequence[Endpoint]) -> list[tuple[Endpoint, socket.socket]]:
    with contextlib.ExitStack() as bound:
        first = bound.enter_context(_bind(endpoints[0], 0))
        port = first.getsockname()[1]
        rest = [(endpoint, bound.enter_context(_bind(endpoint, port))) for endpoint in endpoints[1:]]
        bound.pop_all()
    return [(endpoints[0], first), *rest]


class _PortTakenError(QscpdError):
    """Another program listens on the port."""


def _bind(endpoint: Endpoint, port: int) -> socket.socket:
    try:
        with contextlib.ExitStack() as opened:
            bound = opened.enter_context(open_socket(endpoint.ip))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if sys.platform == "linux" and not (endpoint.ip.is_unspecified or endpoint.ip.is_loopback):
                bound.setsockopt(*_FREEBIND[endpoint.ip.version], 1)
            bound.bind(socket_address(endpoint.ip, port))
            bound.listen(BACKLOG)
            opened.pop_all()
    except OSError as error:
        raise _explain(error, endpoint) from error
    return bound


def _explain(error: OSError, endpoint: Endpoint) -> QscpdError:
    where = f"server.listen: {endpoint.describe()}"
    if error.errno == errno.EADDRINUSE:
        return _PortTakenError(f"{where}: the port is in use; stop the other program or change the port")
    if error.errno in (errno.EACCES, errno.EPERM):
        # It is checked before, but the capability of a sandbox can be without effect.
        if endpoint.entry.port < FIRST_FREE_PORT:
            user = user_name(os.geteuid())
            return PermissionDeniedError(explain_privileged([endpoint.entry], user))
        return PermissionDeniedError(
            f"{where}: this user has no permission to listen there; check the sandbox of the service and "
            "net.ipv4.ip_unprivileged_port_start"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return QscpdError(f"{where}: this machine lacks the address; correct or remove it")
    return QscpdError(f"{where}: {error.strerror or error}")
