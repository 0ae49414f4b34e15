"""Put the configuration together: a flag goes before the environment, that before the file.

Everything that is wrong is told at once, in the order of its place.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from qscpd.config.model import (
    Argon2Config,
    Config,
    HistoryConfig,
    LimitsConfig,
    LogConfig,
    LoginConfig,
    ServerConfig,
    StoreConfig,
    TlsConfig,
)
from qscpd.config.relations import check_relations
from qscpd.config.schema import SETTINGS, Setting, did_you_mean
from qscpd.config.source import Written, read_yaml
from qscpd.config.values import ListenAddress, Listeners
from qscpd.errors import ConfigError, PermissionDeniedError

__all__ = ["LoadedConfig", "Origin", "load_config", "parse_config"]

_FILE_LIMIT: Final = 1 << 20
"""Bytes in a configuration file; the sample has a few thousand."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from."""

    place: str
    """`file:line`, the name of a variable or a flag; empty for a default."""

    def __str__(self) -> str:
        """For `config show --origin`."""
        return self.place or "default"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and where each of its values comes from."""

    config: Config
    origins: Mapping[str, Origin]
    """By the setting's key."""
    path: Path
    """The file, as it was named."""


def load_config(
    path: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, str] = MappingProxyType({}),
) -> LoadedConfig:
    """Read, check and merge everything.

    Args:
        path: The configuration file.
        environ: Variables such as `QSCPD_LOG__LEVEL` are used.
        overrides: Texts by the setting's key, from the command line.

    Raises:
        ConfigError: With every problem there is.
        PermissionDeniedError: The file exists and may not be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_LIMIT + 1)
    except FileNotFoundError:
        raise ConfigError(
            [f"{path}: there is no such file; make one with `qscpd init`, or name another one with -c FILE"]
        ) from None
    except PermissionError:
        raise PermissionDeniedError(f"{path}: this user may not read the configuration") from None
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from error
    if len(raw) > _FILE_LIMIT:
        raise ConfigError([f"{path}: is larger than 1 MiB, so it is no configuration of qscpd"])
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: this is not UTF-8"]) from None
    return parse_config(text, path, cwd=Path.cwd(), environ=environ, overrides=overrides)


def parse_config(
    text: str,
    path: Path,
    *,
    cwd: Path,
    environ: Mapping[str, str] = MappingProxyType({}),
    overrides: Mapping[str, str] = MappingProxyType({}),
) -> LoadedConfig:
    """Check and merge everything, without a look at the system.

    Args:
        text: The configuration file.
        path: Its path; relative paths in it start from its directory.
        cwd: Where relative paths in `path`, `environ` and `overrides` start from.
        environ: As in `load_config`.
        overrides: As in `load_config`.

    Raises:
        ConfigError: With every problem there is.
    """
    merged = _Merged()
    written, problems = read_yaml(text)
    found = [(line, f"{path}:{line}: {sentence}") for line, sentence in problems]
    for key, value in written.items():
        found += merged.take_file(SETTINGS[key], value, path, (cwd / path).parent)
    merged.problems = [sentence for _, sentence in sorted(found, key=lambda item: item[0])]
    merged.take_environ(environ, cwd)
    merged.take_overrides(overrides, cwd)
    config = _build(merged.values)
    merged.problems += check_relations(config, merged.places, merged.failed)
    if merged.problems:
        raise ConfigError(merged.problems)
    origins = {key: Origin(merged.places.get(key, "")) for key in SETTINGS}
    return LoadedConfig(config, MappingProxyType(origins), path)


class _Merged:
    """The values so far: what is taken later goes before what is there."""

    def __init__(self) -> None:
        self.values = {key: setting.default for key, setting in SETTINGS.items()}
        self.places: dict[str, str] = {}
        self.failed: set[str] = set()
        self.problems: list[str] = []

    def take_file(self, setting: Setting, written: Written, path: Path, base: Path) -> list[tuple[int, str]]:
        """Take a value of the file; its problems come with their lines."""
        if not isinstance(setting.kind, Listeners):
            problem = self._take(setting, written.texts[0], f"{path}:{written.line}", base)
            return [(written.line, problem)] if problem else []
        items: list[ListenAddress] = []
        problems = []
        for text, line in zip(written.texts, written.lines, strict=True):
            try:
                items.append(setting.kind.parse_item(text))
            except ValueError as error:
                problems.append((line, f"{path}:{line}: {setting.key}: {error}"))
        self._set(setting.key, tuple(items), f"{path}:{written.line}", failed=bool(problems))
        return problems

    def take_environ(self, environ: Mapping[str, str], cwd: Path) -> None:
        """Take every variable that is ours by its form; the others have another meaning or none."""
        by_variable = {setting.variable: setting for setting in SETTINGS.values()}
        for name in sorted(environ):
            if not (name.startswith("QSCPD_") and "__" in name):
                continue
            setting = by_variable.get(name)
            if setting is None:
                near = did_you_mean(name[len("QSCPD_") :].replace("__", "."), SETTINGS)
                hint = near.partition("did you mean ")[2].rstrip("?")
                known = f"did you mean {SETTINGS[hint].variable}?" if hint else "see docs/configuration.md"
                self.problems.append(f"{name}: is not a known variable; {known}")
            elif problem := self._take(setting, environ[name], name, cwd):
                self.problems.append(problem)

    def take_overrides(self, overrides: Mapping[str, str], cwd: Path) -> None:
        """Take what the command line says."""
        for key, text in overrides.items():
            place = f"--set {key}"
            if key not in SETTINGS:
                self.problems.append(f"{place}: is not a known key; {did_you_mean(key, SETTINGS)}")
            elif problem := self._take(SETTINGS[key], text, place, cwd):
                self.problems.append(problem)

    def _take(self, setting: Setting, text: str, place: str, base: Path) -> str | None:
        """Take a value, or keep what is there and return what is wrong."""
        try:
            value = setting.parse(text, base)
        except ValueError as error:
            self._set(setting.key, self.values[setting.key], place, failed=True)
            return (
                f"{place}: {error}"
                if place.endswith(f" {setting.key}")
                else f"{place}: {setting.key}: {error}"
            )
        self._set(setting.key, value, place, failed=False)
        return None

    def _set(self, key: str, value: object, place: str, *, failed: bool) -> None:
        self.values[key] = value
        self.places[key] = place
        if failed:
            self.failed.add(key)


def _build(values: Mapping[str, object]) -> Config:
    """Put the values into the model; each is of its field's type, because its kind made it."""
    argon2 = Argon2Config(**_fields("login.argon2", values))
    return Config(
        server=ServerConfig(**_fields("server", values)),
        tls=TlsConfig(**_fields("tls", values)),
        login=LoginConfig(argon2=argon2, **_fields("login", values)),
        limits=LimitsConfig(**_fields("limits", values)),
        store=StoreConfig(**_fields("store", values)),
        history=HistoryConfig(**_fields("history", values)),
        log=LogConfig(**_fields("log", values)),
    )


def _fields(section: str, values: Mapping[str, object]) -> dict[str, Any]:
    return {
        setting.fields[-1]: values[key]
        for key, setting in SETTINGS.items()
        if key.rpartition(".")[0] == section
    }
