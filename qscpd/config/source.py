"""Reading of the YAML file into texts with their lines.

The text is parsed only to YAML's nodes: nodes know their lines, duplicate keys are still
visible, and no value has been converted yet.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from qscpd.config.schema import SECTIONS, SETTINGS, did_you_mean
from qscpd.config.values import Integer, ListKind

_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "timestamp"))

# An alias repeats a text or a list for a few bytes, and each problem is looked up in its line. So a file of
# 1 MiB could cost gigabytes and hours; a backup can have one from an attacker.
_PROBLEMS: Final = 100
"""Problems after which the rest of the file is not looked at."""

_ITEMS: Final = 1000
"""Items of a list."""

_LONGEST: Final = 4096
"""Characters of a value; the longest path on Linux has as many."""


class Problem(NamedTuple):
    """A problem in the file."""

    line: int
    sentence: str
    since: int = 0
    """Line where what can't be read begins, if it is another one."""


class Written(NamedTuple):
    """A value as written in the file: one text, or one for each item of a list."""

    line: int
    texts: tuple[str, ...]
    lines: tuple[int, ...]


def read_yaml(text: str) -> tuple[dict[str, Written], list[Problem]]:
    """Return every setting in the text of a file.

    Returns:
        The values by the setting's key, and all problems with the structure of the file.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        since = error.context_mark.line + 1 if error.context_mark else 0
        sentence = f"is not YAML: {error.problem or error.context}"
        return {}, [Problem(mark.line + 1 if mark else 1, sentence, since)]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return {}, [Problem(line, f"is not YAML: the character U+{error.character:04X} is not allowed")]
    except RecursionError:
        return {}, [Problem(1, "is nested too deeply")]
    if root is None:
        return {}, []
    reader = _Reader()
    reader.section("", root)
    return reader.written, reader.problems


class _Reader:
    """Walk of the nodes along the schema, and so never deeper."""

    def __init__(self) -> None:
        self.written: dict[str, Written] = {}
        self.problems: list[Problem] = []

    def section(self, prefix: str, node: Node) -> None:
        """Read a section; one with all keys commented out is empty and valid."""
        if node.tag == _TAG + "null":
            return
        if not isinstance(node, MappingNode):
            subject = f"{prefix}: this section" if prefix else "the file"
            self._report(node, f"{subject} must be a mapping of keys to values, not {_describe(node)}")
            return
        known = list(_names(prefix))
        first_seen: dict[str, int] = {}
        for key_node, value in node.value:
            if len(self.problems) >= _PROBLEMS:
                return
            name = key_node.value if isinstance(key_node, ScalarNode) else None
            if name not in known:
                self._unknown(prefix, key_node, name, known)
                continue
            key = f"{prefix}.{name}" if prefix else name
            if name in first_seen:
                self._report(key_node, f"{key}: is set twice, first on line {first_seen[name]}; keep one")
                continue
            first_seen[name] = key_node.start_mark.line + 1
            if key in SECTIONS:
                self.section(key, value)
            else:
                self._setting(key, value)

    def _unknown(self, prefix: str, node: Node, name: str | None, known: list[str]) -> None:
        if name is None:
            self._report(node, f"{prefix or 'the file'}: a key must be a word, not {_describe(node)}")
            return
        if len(name) > _LONGEST:
            self._report(node, f"{prefix or 'the file'}: a key has {len(name)} characters")
            return
        where = f"{prefix}.{name}" if prefix else name
        elsewhere = [key for key in SETTINGS if key.rpartition(".")[2] == name]
        hint = f"did you mean {elsewhere[0]}?" if len(elsewhere) == 1 else did_you_mean(name, known)
        self._report(node, f"{where}: unknown key; {hint}")

    def _setting(self, key: str, node: Node) -> None:
        kind = SETTINGS[key].kind
        if isinstance(kind, ListKind):
            self._list(key, kind, node)
        elif (text := self._text(key, node)) is not None:
            line = node.start_mark.line + 1
            self.written[key] = Written(line, (text,), (line,))

    def _list(self, key: str, kind: ListKind, node: Node) -> None:
        if not isinstance(node, SequenceNode):
            self._report(node, f'{key}: must be a list such as ["{kind.example}"], not {_describe(node)}')
            return
        if not node.value and not kind.can_be_empty:
            self._report(node, f"{key}: the list is empty; add at least one address")
            return
        if len(node.value) > _ITEMS:
            self._report(node, f"{key}: the list has {len(node.value)} items; {_ITEMS} are allowed")
            return
        texts = [self._text(key, item) for item in node.value]
        if None not in texts:
            lines = tuple(item.start_mark.line + 1 for item in node.value)
            self.written[key] = Written(
                node.start_mark.line + 1, tuple(text for text in texts if text is not None), lines
            )

    def _text(self, key: str, node: Node) -> str | None:
        """Return a scalar's text as written; report any other node."""
        if isinstance(node, ScalarNode) and node.tag in _TEXT_TAGS:
            if isinstance(SETTINGS[key].kind, Integer) and node.style is not None:
                self._report(node, f"{key}: must be a number, not quoted text; remove the quotes")
                return None
            if len(node.value) > _LONGEST:
                self._report(node, f"{key}: has {len(node.value)} characters; {_LONGEST} are allowed")
                return None
            return str(node.value)
        if node.tag == _TAG + "null":
            self._report(node, f"{key}: has no value; set one, or remove the key for the default")
        else:
            self._report(node, f"{key}: must be a single value, not {_describe(node)}")
        return None

    def _report(self, node: Node, sentence: str) -> None:
        if len(self.problems) < _PROBLEMS:
            self.problems.append(Problem(node.start_mark.line + 1, sentence))


def _names(prefix: str) -> Iterator[str]:
    """Yield the keys of a section, in the order of the model."""
    start = f"{prefix}." if prefix else ""
    names = dict.fromkeys(key[len(start) :].partition(".")[0] for key in SETTINGS if key.startswith(start))
    yield from names


def _describe(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if node.tag == _TAG + "null":
        return "nothing"
    if node.tag in _TEXT_TAGS:
        return f"the single value {str(node.value)[:40]!r}"
    return f"a value of the type {node.tag[:60]}"
