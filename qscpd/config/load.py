"""Loading of the configuration: a flag overrides the environment, which overrides the file.

All problems are reported at once, in the order of their places.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from qscp.hints import invisible_hint, one_line, quotes_hint, yaml_lines
from qscpd.config.model import (
    Argon2Config,
    Config,
    HistoryConfig,
    LimitsConfig,
    LogConfig,
    LoginConfig,
    PenaltyConfig,
    ServerConfig,
    StoreConfig,
    TlsConfig,
)
from qscpd.config.relations import check_relations
from qscpd.config.schema import SETTINGS, Setting, did_you_mean
from qscpd.config.source import Problem, Written, read_yaml
from qscpd.config.values import ListKind
from qscpd.errors import ConfigError, PermissionDeniedError
from qscpd.permissions import check_unchangeable

_FILE_LIMIT: Final = 1 << 20
"""Bytes in a configuration file; the sample has a few thousand."""

_PROBLEMS: Final = 100
"""Problems of a file that are reported."""

_HINTED: Final = 4096
"""Characters of a line in which the cause of a problem is looked for; the file can be a single line."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Source of a value."""

    place: str
    """`file:line`, the name of a variable or a flag; empty for a default."""

    def __str__(self) -> str:
        """Return the text for `config show --origin`."""
        return self.place or "default"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration with the source of each value."""

    config: Config
    origins: Mapping[str, Origin]
    """Sources by the setting's key."""
    path: Path
    """Path of the file, as given."""


def load_config(
    path: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, str] = MappingProxyType({}),
    trusted: bool = False,
) -> LoadedConfig:
    """Load the configuration from file, environment and overrides.

    Args:
        path: The configuration file.
        environ: Variables such as `QSCPD_LOG__LEVEL`.
        overrides: Values from the command line, by the setting's key.
        trusted: Whether to refuse a file that other users can change, as one that decides where a command
            writes and which daemon it reaches. The copy in a backup decides neither.

    Raises:
        ConfigError: With all problems.
        PermissionDeniedError: This user has no permission to read the file, or others can change it.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_LIMIT + 1)
            status = os.fstat(file.fileno())
    except FileNotFoundError:
        raise ConfigError(
            [f"{path}: not found; create it with `qscpd init`, or name another file with -c FILE"]
        ) from None
    except PermissionError:
        raise PermissionDeniedError(
            f"{path}: this user has no permission to read the configuration"
        ) from None
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from error
    if trusted:
        check_unchangeable(path, status)
    if len(raw) > _FILE_LIMIT:
        raise ConfigError([f"{path}: is larger than 1 MiB, so it is not a configuration of qscpd"])
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: is not UTF-8"]) from None
    return parse_config(text, path, cwd=Path.cwd(), environ=environ, overrides=overrides)


def parse_config(
    text: str,
    path: Path,
    *,
    cwd: Path,
    environ: Mapping[str, str] = MappingProxyType({}),
    overrides: Mapping[str, str] = MappingProxyType({}),
) -> LoadedConfig:
    """Build the configuration from texts, without access to the system.

    Args:
        text: Content of the configuration file.
        path: Its path; relative paths in it start from its directory.
        cwd: Base of relative paths in `path`, `environ` and `overrides`.
        environ: As in `load_config`.
        overrides: As in `load_config`.

    Raises:
        ConfigError: With all problems.
    """
    merged = _Merged()
    written, problems = read_yaml(text)
    for key, value in written.items():
        problems += merged.apply_file(SETTINGS[key], value, path, (cwd / path).parent)
    lines = yaml_lines(text)
    for problem in sorted(problems, key=lambda problem: problem.line)[:_PROBLEMS]:
        source = "".join(lines[line - 1] for line in {problem.since or problem.line, problem.line})[:_HINTED]
        merged.report(f"{path}:{problem.line}: {problem.sentence}{quotes_hint(source)}", source)
    merged.apply_environ(environ, cwd)
    merged.apply_overrides(overrides, cwd)
    config = _build(merged.values)
    merged.problems += check_relations(config, merged.places, merged.failed)
    if merged.problems:
        raise ConfigError(merged.problems)
    origins = {key: Origin(merged.places.get(key, "")) for key in SETTINGS}
    return LoadedConfig(config, MappingProxyType(origins), path)


class _Merged:
    """Values merged so far; a later value replaces an earlier one."""

    def __init__(self) -> None:
        self.values = {key: setting.default for key, setting in SETTINGS.items()}
        self.places: dict[str, str] = {}
        self.failed: set[str] = set()
        self.problems: list[str] = []

    def report(self, sentence: str, source: str) -> None:
        """Add a problem, with a hint about the text that has it."""
        self.problems.append(one_line(sentence) + invisible_hint(source))

    def apply_file(self, setting: Setting, written: Written, path: Path, base: Path) -> list[Problem]:
        """Apply a value of the file; return its problems."""
        if not isinstance(setting.kind, ListKind):
            place = f"{path}:{written.line}"
            problem = self._apply(setting, written.texts[0], place, base)
            return [Problem(written.line, problem.removeprefix(f"{place}: "))] if problem else []
        items: list[object] = []
        problems: list[Problem] = []
        for text, line in zip(written.texts, written.lines, strict=True):
            try:
                items.append(setting.kind.parse_item(text))
            except ValueError as error:
                problems.append(Problem(line, f"{setting.key}: {error}"))
        self._set(setting.key, tuple(items), f"{path}:{written.line}", failed=bool(problems))
        return problems

    def apply_environ(self, environ: Mapping[str, str], cwd: Path) -> None:
        """Apply every variable of the form `QSCPD_SECTION__KEY`."""
        by_variable = {setting.variable: setting for setting in SETTINGS.values()}
        for name in sorted(environ):
            if not (name.startswith("QSCPD_") and "__" in name):
                continue
            setting = by_variable.get(name)
            if setting is None:
                near = did_you_mean(name[len("QSCPD_") :].replace("__", "."), SETTINGS)
                hint = near.partition("did you mean ")[2].rstrip("?")
                known = f"did you mean {SETTINGS[hint].variable}?" if hint else "see docs/configuration.md"
                self.report(f"{name}: unknown variable; {known}", name)
            elif problem := self._apply(setting, environ[name], name, cwd):
                self.report(problem, environ[name])

    def apply_overrides(self, overrides: Mapping[str, str], cwd: Path) -> None:
        """Apply the values of the command line."""
        for key, text in overrides.items():
            place = f"--set {key}"
            if key not in SETTINGS:
                self.report(f"{place}: unknown key; {did_you_mean(key, SETTINGS)}", key)
            elif problem := self._apply(SETTINGS[key], text, place, cwd):
                self.report(problem, text)

    def _apply(self, setting: Setting, text: str, place: str, base: Path) -> str | None:
        """Apply a value; if it is invalid, keep the earlier one and return the problem."""
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
    """Build the model; each value has its field's type, because its kind parsed it."""
    penalty = PenaltyConfig(**_fields("login.penalty", values))
    argon2 = Argon2Config(**_fields("login.argon2", values))
    return Config(
        server=ServerConfig(**_fields("server", values)),
        tls=TlsConfig(**_fields("tls", values)),
        login=LoginConfig(penalty=penalty, argon2=argon2, **_fields("login", values)),
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
