"""`docs/architecture.md` agrees with the import contracts, and names existing files."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
CONTRACTS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def drawn(package: str) -> list[set[str]]:
    """Return the layers of a package's diagram, from top to bottom."""
    diagram = PAGE.split(f"### {package}\n")[1].split("```text\n")[1].split("```")[0]
    return [set(line.split("  ")[0].split()) for line in diagram.splitlines()]


@pytest.mark.parametrize("package", ["qscpd", "qscp_client"])
def test_the_diagram_shows_the_layers_of_the_contract(package: str) -> None:
    """Diagram and contract have the same layers in the same order, without `__main__`."""
    (layers,) = [each["layers"] for each in CONTRACTS if each.get("containers") == [package]]
    contract = [set(layer.split(" | ")) for layer in layers if layer != "__main__"]
    assert drawn(package) == contract


def test_files_of_the_table_exist() -> None:
    """Every path of "Where to look" exists; a bare name is in the folder of the path before it."""
    for row in PAGE.split("## Where to look")[1].splitlines()[4:]:
        folder = ROOT
        for path in re.findall(r"`([\w/.]+(?:\.py|/))`", row.rsplit("|", 2)[1]):
            found = ROOT / path if path.startswith(("qscp", "client")) else folder / path
            if not found.exists():
                found = folder.parent / path
            assert found.exists(), f"{path} in: {row}"
            folder = found.parent
