"""Checks of values against each other."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from qscpd.config.listen import Endpoint, find_overlaps
from qscpd.config.model import Config
from qscpd.config.schema import SETTINGS

_MEMORY_PER_LANE_KIB: Final = 8
"""RFC 9106, section 3.1: at least 8 KiB of memory for each lane."""

_WRITTEN_FILES: Final = ("server.admin_socket", "store.path", "log.session_log")
_READ_FILES: Final = ("tls.certificate", "tls.key")
_STORE_SUFFIXES: Final = ("-wal", "-shm", "-journal", ".new", ".lock")
"""Of the files beside the store; the last is the lock file of older versions, which is still respected."""


def check_relations(config: Config, places: Mapping[str, str], failed: set[str]) -> list[str]:
    """Check values against each other.

    Args:
        config: The valid values, and defaults for the others.
        places: Source of each value by its key; absent for defaults.
        failed: Keys with an invalid value; relations of these are not checked.
    """

    def problem(key: str, sentence: str) -> str:
        place = places.get(key)
        if place and place.endswith(f" {key}"):  # --set names the key
            return f"{place}: {sentence}"
        return f"{place}: {key}: {sentence}" if place else f"{key} (default): {sentence}"

    return [
        problem(key, sentence)
        for key, others, sentence in _all_relations(config)
        if not failed.intersection((key, *others))
    ]


def _all_relations(config: Config) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield the key with the problem, the other keys involved, and the problem."""
    yield from _listeners(config)
    yield from _argon2(config)
    yield from _early_drop(config)
    yield from _paths(config)


def _listeners(config: Config) -> Iterator[tuple[str, tuple[str, ...], str]]:
    # Names are looked up by `run` and `checkconfig` only.
    known = [Endpoint(entry, ip) for entry in config.server.listen for ip in entry.addresses]
    names = [entry for entry in config.server.listen if entry.port and not entry.addresses]
    twice = [entry for entry, count in Counter(names).items() if count > 1]
    for sentence in (*(f"{entry} is listed twice; keep one" for entry in twice), *find_overlaps(known)):
        yield "server.listen", (), sentence


def _argon2(config: Config) -> Iterator[tuple[str, tuple[str, ...], str]]:
    argon2 = config.login.argon2
    least = _MEMORY_PER_LANE_KIB * argon2.parallelism
    if argon2.memory_kib < least:
        shown = SETTINGS["login.argon2.memory"].kind.show(argon2.memory_kib)
        sentence = f"{shown} is too little for parallelism {argon2.parallelism}; write {least}KiB or more"
        yield "login.argon2.memory", ("login.argon2.parallelism",), sentence


def _early_drop(config: Config) -> Iterator[tuple[str, tuple[str, ...], str]]:
    login = config.login
    if login.drop_full < login.drop_start:
        sentence = f"{login.drop_full} is below login.drop_start ({login.drop_start}); raise it"
        yield "login.drop_full", ("login.drop_start",), sentence
    penalty = login.penalty
    if penalty.longest_s < penalty.threshold_s:
        show = SETTINGS["login.penalty.longest"].kind.show
        sentence = (
            f"{show(penalty.longest_s)} is below login.penalty.threshold ({show(penalty.threshold_s)}), so "
            "no penalty would ever be in force; raise it, or set the penalties to 0s"
        )
        yield "login.penalty.longest", ("login.penalty.threshold",), sentence


def _paths(config: Config) -> Iterator[tuple[str, tuple[str, ...], str]]:
    owner: dict[Path, str] = {}
    beside = {Path(f"{config.store.path}{suffix}") for suffix in _STORE_SUFFIXES}
    # A certificate and its key can share a file; files that the daemon writes cannot.
    for key in (*_READ_FILES, *_WRITTEN_FILES):
        path = SETTINGS[key].get(config)
        if not isinstance(path, Path):
            raise TypeError(f"{key} is not a path")
        if path in beside:
            yield key, ("store.path",), f"{path} belongs to store.path; choose another path"
        elif path in owner and key not in _READ_FILES:
            yield key, (owner[path],), f"{path} is already used by {owner[path]}; choose another path"
        owner.setdefault(path, key)
