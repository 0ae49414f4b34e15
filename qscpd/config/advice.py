"""Warnings about a valid configuration; they go to the log of `run`, and to stderr of `checkconfig`."""

from pathlib import Path
from typing import Final

from qscpd.config.model import Argon2Config, Config
from qscpd.config.places import find_open_places
from qscpd.config.schema import SETTINGS
from qscpd.files import DESCRIPTOR_RESERVE, descriptor_limit
from qscpd.filesystems import network_mount_of

_MIB: Final = 1 << 10
"""In KiB, the unit of argon2's memory."""

_LEAST: Final = ((46 * _MIB, 1), (19 * _MIB, 2), (12 * _MIB, 3), (9 * _MIB, 4), (7 * _MIB, 5))
"""Memory and iterations that are equally strong, each with one lane: the minimum of OWASP's Password
Storage Cheat Sheet for argon2id. More lanes share the memory, and make a guess no cheaper."""


def find_warnings(config: Config) -> list[str]:
    """Return warnings, one sentence each, `section: what, why, what to do`."""
    return (
        _weak_hashes(config.login.argon2)
        + _few_descriptors(config.server.max_connections)
        + _network_store(config.store.path)
        + [place.sentence for place in find_open_places(config) if not place.refused]
    )


def _weak_hashes(argon2: Argon2Config) -> list[str]:
    if any(argon2.memory_kib >= memory and argon2.iterations >= passes for memory, passes in _LEAST):
        return []
    show = SETTINGS["login.argon2.memory"].kind.show
    enough = ", ".join(f"{show(memory)} and {passes}" for memory, passes in _LEAST)
    sentence = (
        f"login.argon2: memory {show(argon2.memory_kib)} and iterations {argon2.iterations} are less than "
        "OWASP's minimum, so passwords of a stolen store are guessed faster; "
        f"use at least one of {enough}"
    )
    return [sentence]


def _few_descriptors(connections: int) -> list[str]:
    limit = descriptor_limit()
    needed = connections + DESCRIPTOR_RESERVE
    if needed <= limit:
        return []
    sentence = (
        f"server.max_connections: {connections} connections need {needed} open files, but this process can "
        f"have only {limit}, so connections beyond {max(limit - DESCRIPTOR_RESERVE, 1)} are refused; raise "
        "LimitNOFILE of the service (ulimit -Hn in a shell), or lower server.max_connections"
    )
    return [sentence]


def _network_store(path: Path) -> list[str]:
    mount = network_mount_of(path)
    if mount is None:
        return []
    sentence = (
        f"store.path: {path} is on a file system of the network "
        f"({mount.kind}, {mount.source} at {mount.point}), which is not supported: "
        "its locks and shared memory can fail, and messages be lost; "
        "move the store to a disk of this machine"
    )
    return [sentence]
