"""Where the configuration of a backup lets root write."""

from pathlib import Path

import pytest

from qscpd.backup.trust import check_relative_paths
from qscpd.config import LoadedConfig
from qscpd.config.load import parse_config
from qscpd.errors import ConfigError

BACKUP = Path("/srv/backups/qscp-20261124T070000Z")
CHECKOUT = "store: {path: ../var/qscpd.db}\n"


def at(path: Path, text: str, *, store: Path | None = None) -> LoadedConfig:
    """Return a configuration at a place, with another store by `--set` if one is given."""
    overrides = {} if store is None else {"store.path": str(store)}
    return parse_config(text, path, cwd=path.parent, overrides=overrides)


def test_relative_paths_of_a_checkout_do_not_lead_elsewhere(tmp_path: Path) -> None:
    """They are refused where they name a directory that nobody made, with the two ways that work."""
    place = tmp_path / "etc/qscpd/qscpd.yaml"
    store = tmp_path / "etc/var/qscpd.db"
    with pytest.raises(ConfigError, match=rf"store.path: .* to {store}\. .* --store-only, .* --into DIR"):
        check_relative_paths(BACKUP, CHECKOUT, at(place, CHECKOUT), None)
    store.parent.mkdir(parents=True)
    check_relative_paths(BACKUP, CHECKOUT, at(place, CHECKOUT), None)


@pytest.mark.parametrize("text", ["", "store: {path: qscpd.db}", "store: {path: /srv/none/qscpd.db}"])
def test_other_paths_are_no_question(tmp_path: Path, text: str) -> None:
    """Defaults, absolute paths and those below the configuration's directory mean the same everywhere."""
    check_relative_paths(BACKUP, text, at(tmp_path / "etc/qscpd.yaml", text), None)


def test_a_relative_path_that_this_machine_has_too_is_right(tmp_path: Path) -> None:
    """So is one that a flag replaces: it is not the backup's."""
    place = tmp_path / "etc/qscpd/qscpd.yaml"
    check_relative_paths(BACKUP, CHECKOUT, at(place, CHECKOUT), at(place, CHECKOUT).config)
    check_relative_paths(BACKUP, CHECKOUT, at(place, CHECKOUT, store=tmp_path / "none/qscpd.db"), None)
