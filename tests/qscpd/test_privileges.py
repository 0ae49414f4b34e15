import os
import subprocess
import sys
from pathlib import Path

import pytest

from qscpd import privileges
from qscpd.errors import PermissionDeniedError
from qscpd.privileges import SystemUser, acting_as, daemon_user, user_name
from tests.support.users import NOBODY, as_user, passable

_NUMBER = 54321
"""A user that the system has no name for."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Path of a store, in a directory of root's."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user; run the tests as root")
    (tmp_path / "var").mkdir()
    return tmp_path / "var/qscpd.db"


def test_the_owner_of_the_store_runs_the_daemon(store: Path) -> None:
    """The store counts before its directory, and what root has left there counts last."""
    assert daemon_user(store).uid == 0
    os.chown(store.parent, NOBODY, NOBODY)
    assert daemon_user(store)[:2] == (NOBODY, NOBODY)
    store.touch()
    assert daemon_user(store).uid == NOBODY, "a store of root's in the directory of the daemon"
    os.chown(store, _NUMBER, 0)
    assert daemon_user(store) == SystemUser(_NUMBER, _NUMBER, (_NUMBER,), str(_NUMBER), "/")
    os.chown(store.parent, 0, 0)
    assert daemon_user(store).uid == _NUMBER


def test_a_link_leads_to_the_owner(store: Path, tmp_path: Path) -> None:
    """The store itself counts, not the link to it."""
    store.touch()
    os.chown(store, NOBODY, NOBODY)
    link = tmp_path / "link.db"
    link.symlink_to(store)
    assert daemon_user(link).uid == NOBODY


def test_without_a_directory_the_system_user_counts(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first start, the account of the service is known by its name."""
    nowhere = store.parent / "nowhere/qscpd.db"
    monkeypatch.setattr(privileges, "DAEMON_USER", "no-such-user")
    assert daemon_user(nowhere).uid == 0
    monkeypatch.setattr(privileges, "DAEMON_USER", "nobody")
    assert daemon_user(nowhere).name == "nobody"


def test_other_users_are_themselves(store: Path) -> None:
    """Only root can act as another user, so everybody else's commands are their own."""
    with as_user(store.parent):
        assert daemon_user(store).uid == NOBODY
        with acting_as(SystemUser(_NUMBER, _NUMBER, (_NUMBER,), "", "/")):
            assert os.geteuid() == NOBODY


def test_a_block_acts_as_the_user(store: Path) -> None:
    """New files are the user's, permissions too; afterwards, root is root again."""
    before = (os.geteuid(), os.getegid(), os.getgroups())
    os.chown(store.parent, NOBODY, NOBODY)
    with passable(store.parent), acting_as(daemon_user(store)):
        store.touch()
        assert not os.access(store.parent.parent, os.W_OK, effective_ids=True)
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before
    assert (store.stat().st_uid, store.stat().st_gid) == (NOBODY, NOBODY)


_BECOME = """
import os, sys
from pathlib import Path
from qscpd.privileges import become, daemon_user
become(daemon_user(Path(sys.argv[1])))
print(os.getresuid(), os.getresgid(), os.getgroups(), f"{os.umask(0):04o}", os.environ["HOME"])
try: os.setuid(0)
except PermissionError: print("for good")
"""


def test_a_process_becomes_the_user_for_good(store: Path) -> None:
    """No id and no group of root remains."""
    os.chown(store.parent, _NUMBER, 0)
    done = subprocess.run(
        [sys.executable, "-c", _BECOME, str(store)],
        capture_output=True,
        check=True,
        text=True,
        cwd=Path.cwd(),
    )
    ids = (_NUMBER,) * 3
    assert done.stdout.splitlines() == [f"{ids} {ids} [{_NUMBER}] 0077 /", "for good"]


def test_a_root_without_the_capability_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In some containers root can't change its user; the error says what to do."""
    os.chown(store.parent, NOBODY, NOBODY)
    user = daemon_user(store)

    def refuse(_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setgroups", refuse)
    with pytest.raises(PermissionDeniedError, match="run this command as that user"), acting_as(user):
        pass


def test_users_by_name() -> None:
    """A name that the system does not have is no user."""
    nobody = privileges.named_user("nobody")
    assert nobody is not None
    assert (nobody.uid, nobody.name, nobody.gid in nobody.groups) == (NOBODY, "nobody", True)
    assert privileges.named_user("no-such-user") is None


def test_names() -> None:
    """A user without a name is a number."""
    assert (user_name(0), user_name(_NUMBER)) == ("root", str(_NUMBER))
