"""Configuration file of the client: a few YAML keys, read strictly.

All problems are reported at once, with file and line. For an unknown key the nearest known one is named.
`config/client.sample.yaml` is the manual.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import platformdirs
import yaml

from qscp.errors import InvalidNameError
from qscp.hints import invisible_hint, one_line, quotes_hint, yaml_lines
from qscp.names import normalize_name
from qscp_client.errors import ConfigError
from qscp_client.net.address import ServerAddress, parse_server

_DEFAULT_SERVER: Final = ServerAddress("localhost")


@dataclasses.dataclass(frozen=True, slots=True)
class ClientConfig:
    """Settings of the configuration file; options of the command line override them."""

    server: ServerAddress = _DEFAULT_SERVER
    """Address of the server."""
    ca: Path | None = None
    """File with the private CA's certificate, which the operator hands out."""
    user: str | None = None
    """The account; None asks for it."""
    read_receipts: bool = False
    """Whether read receipts are sent to others, and received from them."""
    typing: bool = True
    """Whether typing indicators are sent to others, and received from them."""
    hidden: bool = False
    """Whether the user appears offline from the start."""


def default_path() -> Path | None:
    """Return the default path of the configuration file: `~/.config/qscp/client.yaml` on Linux.

    Returns:
        None without a home: neither an environment variable nor the system has one for this user.
    """
    folder = _of_this_user(platformdirs.user_config_path)
    return folder / "client.yaml" if folder else None


def state_directory(server: ServerAddress, user: str) -> Path | None:
    """Return the directory of an account's saved state: below `~/.local/state/qscp` on Linux.

    Returns:
        None without a home, as `default_path`.
    """
    place = re.sub(r"[^A-Za-z0-9.-]", "_", str(server).lower())
    folder = _of_this_user(platformdirs.user_state_path)
    return folder / "client" / place / user if folder else None


def _of_this_user(find: Callable[..., Path]) -> Path | None:
    try:
        folder = find("qscp", appauthor=False)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def expand_home(path: Path) -> Path:
    """Replace `~` or `~user` at the beginning of a path, which a shell leaves in `--ca=~/ca.pem`.

    Raises:
        ValueError: There is no such home.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{path}: {path.parts[0]} is no directory: no home is known; write the path in full"
        ) from error


def load(path: Path) -> ClientConfig:
    """Read a configuration file.

    Args:
        path: The file; relative paths in it are relative to its directory.

    Raises:
        ConfigError: The file has problems; it lists all of them.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from error
    reader = _Reader(path, text)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark, since = error.problem_mark, error.context_mark
        line = mark.line + 1 if mark else 1
        sentence = f"is not YAML: {error.problem}"
        raise ConfigError([reader.explain(line, sentence, since.line + 1 if since else line)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        sentence = f"is not YAML: the character U+{error.character:04X} on line {line} is not allowed"
        raise ConfigError([f"{path}: {sentence}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{path}: is nested too deeply"]) from error
    return reader.read(root)


class _Reader:
    """Walks the YAML nodes, which know their lines, and collects all problems."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = yaml_lines(text)
        self._problems: list[str] = []
        self._values: dict[str, ServerAddress | Path | str | bool] = {}

    def read(self, root: yaml.Node | None) -> ClientConfig:
        if root is not None and not isinstance(root, yaml.MappingNode):
            line = root.start_mark.line + 1
            raise ConfigError(
                [self.explain(line, "must be keys with values, such as `server: localhost`", line)]
            )
        for key, node in self._pairs(root):
            if node.tag != "tag:yaml.org,2002:null":
                self._read_value(key, node)
        if self._problems:
            raise ConfigError(self._problems)
        return dataclasses.replace(ClientConfig(), **self._values)  # type: ignore[arg-type]  # _convert gives each key its type

    def _pairs(self, root: yaml.MappingNode | None) -> Iterator[tuple[str, yaml.Node]]:
        known = [field.name for field in dataclasses.fields(ClientConfig)]
        seen: set[str] = set()
        for key_node, node in root.value if root else ():
            key = str(key_node.value)
            if key in seen:
                self._report(key_node, key, "is set twice")
            elif key not in known:
                nearest = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {nearest[0]}?" if nearest else f"known keys: {', '.join(known)}"
                self._report(key_node, key, f"unknown key; {hint}")
            else:
                yield key, node
            seen.add(key)

    def _read_value(self, key: str, node: yaml.Node) -> None:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            self._report(node, key, "must be text")
            return
        try:
            self._values[key] = self._convert(key, node.value)
        except (ValueError, InvalidNameError) as error:
            self._report(node, key, str(error))

    def _convert(self, key: str, value: str) -> ServerAddress | Path | str | bool:
        match key:
            case "server":
                return parse_server(value)
            case "ca":
                return self._path.parent / expand_home(Path(value))
            case "read_receipts" | "typing" | "hidden":
                if value.lower() not in ("true", "false"):
                    raise ValueError("must be true or false")
                return value.lower() == "true"
            case _:
                return normalize_name(value)

    def _report(self, node: yaml.Node, key: str, sentence: str) -> None:
        line = node.start_mark.line + 1
        self._problems.append(self.explain(line, f"{key}: {sentence}", line))

    def explain(self, line: int, sentence: str, since: int) -> str:
        """Return a problem with its place, and a hint about the two lines where it begins and was found."""
        source = "".join(self._lines[each - 1] for each in {since, line})
        hints = quotes_hint(source) + invisible_hint(source)
        return f"{self._path}:{line}: {one_line(sentence)}{hints}"
