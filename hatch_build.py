"""Build hook of hatchling: writes the commit into wheels and source archives, which have no `.git`."""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):
    """Add `qscpd/commit.txt` to what is built from a checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file, unless it is an editable installation, which uses the checkout itself."""
        if version == "editable":
            return
        root = Path(self.root)
        spec = importlib.util.spec_from_file_location("build_of_qscpd", root / "qscpd/build.py")
        if spec is None or spec.loader is None:
            raise RuntimeError("qscpd/build.py can't be loaded")
        build = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(build)
        commit = build.commit_of_checkout(root)
        if commit is None:
            return
        self._directory = tempfile.TemporaryDirectory()
        written = Path(self._directory.name) / "commit.txt"
        written.write_text(f"{commit}\n", encoding="utf-8")
        written.chmod(0o644)
        build_data["force_include"][str(written)] = "qscpd/commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the file, once it is in the archive."""
        del version, build_data, artifact_path
        if hasattr(self, "_directory"):
            self._directory.cleanup()
