"""The tests that `docs/durability.md` names exist."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
NAMED: Final = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs/durability.md").read_text())


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_each_promise_has_its_test(path: str, name: str) -> None:
    """Each test that the document names exists."""
    tree = ast.parse((ROOT / "tests" / path).read_text())
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    names |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in names, f"docs/durability.md names {path}::{name}"


def test_there_are_promises() -> None:
    """The document's list of promises was found."""
    assert len(NAMED) > 40
