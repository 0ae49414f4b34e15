"""The core has codes and fields only; texts for users are written in the front ends."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import qscp_client.core

CORE = Path(qscp_client.core.__path__[0])
MODULES = sorted(CORE.rglob("*.py"))

SENTENCE = re.compile(r"\S [a-z]")
"""Two words, the second in lower case. No code and no argument of a command matches."""


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every string constant that is not a docstring."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(CORE)) for path in MODULES])
def test_a_module_of_the_core_has_no_sentence(path: Path) -> None:
    """No module of the core contains a sentence, so texts can change without it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [f"line {line}: {text}" for line, text in texts(tree) if SENTENCE.search(text)]


def test_the_check_finds_sentences() -> None:
    """The check finds sentences in strings and f-strings, and skips docstrings."""
    source = '"""a docstring"""\nx = "No user."\ny = f"{x} was not found"\nz = "NAME [TIME]"\n'
    found = [text for _, text in texts(ast.parse(source)) if SENTENCE.search(text)]
    assert found == ["No user.", " was not found"]


def test_the_core_loads_no_front_end() -> None:
    """Importing the engine loads no front end, network or storage module."""
    program = "import sys, qscp_client.core.engine; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith("qscp_client")}
    outside = {name for name in loaded if not name.startswith("qscp_client.core")}
    assert outside == {"qscp_client", "qscp_client.durations"}
