import subprocess
from pathlib import Path

import pytest

from qscpd import build
from qscpd.build import commit, commit_of_checkout


def git(folder: Path, *arguments: str) -> str:
    """Run git without the user's configuration, and return its output."""
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one commit."""
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=work/a")
    (root / "pyproject.toml").touch()
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "one")
    return root


def test_the_commit_of_a_branch(checkout: Path) -> None:
    """The branch is in a file of its own, or packed with the others."""
    head = git(checkout, "rev-parse", "HEAD")
    assert commit_of_checkout(checkout) == head
    git(checkout, "pack-refs", "--all")
    assert commit_of_checkout(checkout) == head


def test_the_commit_without_a_branch(checkout: Path) -> None:
    """As after `git checkout COMMIT`."""
    git(checkout, "checkout", "--quiet", "--detach")
    assert commit_of_checkout(checkout) == git(checkout, "rev-parse", "HEAD")


def test_the_commit_of_a_worktree(checkout: Path, tmp_path: Path) -> None:
    """A second worktree has a branch of its own, in the repository of the first."""
    git(checkout, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "second"))
    (tmp_path / "second/new").touch()
    git(tmp_path / "second", "add", ".")
    git(tmp_path / "second", "commit", "--quiet", "-m", "two")
    assert commit_of_checkout(tmp_path / "second") == git(tmp_path / "second", "rev-parse", "HEAD")
    assert commit_of_checkout(checkout) != commit_of_checkout(tmp_path / "second")


def test_no_checkout(checkout: Path, tmp_path: Path) -> None:
    """Another folder, a repository without a commit, and one of something else have none."""
    assert commit_of_checkout(tmp_path) is None
    git(checkout, "checkout", "--quiet", "--orphan", "empty")
    assert commit_of_checkout(checkout) is None
    git(checkout, "pack-refs", "--all")
    assert commit_of_checkout(checkout) is None
    (checkout / "pyproject.toml").unlink()
    assert commit_of_checkout(checkout) is None


def test_a_wheel_has_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the build hook has written comes first; without it and without `.git` there is no commit."""
    monkeypatch.setattr(build, "_PACKAGE", tmp_path)
    assert commit() is None
    (tmp_path / "commit.txt").write_text("0123456789abcdef" * 2 + "01234567\n")
    assert commit() == "0123456789ab"
    (tmp_path / "commit.txt").write_text("$Format:%H$\n")
    assert commit() is None
