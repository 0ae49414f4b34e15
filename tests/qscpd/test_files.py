"""Files that are made whole or not at all, and errors of files as sentences."""

import contextlib
import errno
from pathlib import Path

import pytest

from qscpd.errors import ExistsError, PermissionDeniedError, QscpdError
from qscpd.files import file_errors, new_file


def test_a_file_that_another_process_makes_meanwhile(tmp_path: Path) -> None:
    """The other one stays, and nothing is left beside it."""
    path = tmp_path / "server.key"
    with contextlib.ExitStack() as stack:
        stack.enter_context(new_file(path, mode=0o600)).write(b"ours")
        path.write_text("of another process")
        with pytest.raises(ExistsError, match="already exists"):
            stack.close()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [
        ("server.key", "of another process")
    ]


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        (errno.EACCES, PermissionDeniedError, "permission denied; run this as root or as the daemon's user"),
        (errno.EROFS, PermissionDeniedError, "read-only file system"),
        (errno.ENOSPC, QscpdError, "No space left on device"),
    ],
)
def test_an_error_of_a_file_is_a_sentence(code: int, kind: type[QscpdError], sentence: str) -> None:
    """It names the file and, if there is one, the cure; nobody sees a traceback."""
    with pytest.raises(kind) as raised, file_errors(Path("/etc/qscpd/qscpd.yaml")):
        raise OSError(code, "No space left on device")
    assert str(raised.value) == f"/etc/qscpd/qscpd.yaml: {sentence}"
