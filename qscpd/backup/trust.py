"""Whether a backup's configuration decides where root writes.

It does not if others can change the backup, or if its paths meant other places where they were written.
"""

from pathlib import Path
from typing import Final

from qscpd.backup.manifest import CONFIG
from qscpd.config import Config, LoadedConfig
from qscpd.config.load import parse_config
from qscpd.errors import ConfigError, PermissionDeniedError
from qscpd.permissions import check_unchangeable

_ELSEWHERE: Final = Path("/elsewhere/a/b/c") / CONFIG
"""A second place of the configuration: only relative paths differ between the two."""


def check_relative_paths(directory: Path, text: str, loaded: LoadedConfig, present: Config | None) -> None:
    """Check that relative paths of a backup's configuration mean here what they meant where it was made.

    Those that leave the configuration's directory, as in a checkout, can lead to places that nobody named.

    Args:
        directory: The backup.
        text: Its configuration.
        loaded: The same, at its place on this machine.
        present: The configuration of this machine, if there is a valid one.

    Raises:
        ConfigError: A path leads elsewhere; the text says what to do.
    """
    here, elsewhere = (
        _paths(parse_config(text, path, environ={}, cwd=path.parent).config)
        for path in (loaded.path.absolute(), _ELSEWHERE)
    )
    known = _known(present)
    for key, path in _paths(loaded.config).items():
        is_relative = path == here[key] != elsewhere[key]
        is_at_home = path in known or path.is_relative_to(loaded.path.absolute().parent)
        # Where the directory exists, it is the one that was meant.
        if is_relative and not is_at_home and not path.parent.is_dir():
            sentence = (
                f"{directory / CONFIG}: {key}: relative to where the backup was made; here it would "
                f"lead to {path}. Restore only the store with --store-only, or all with --into DIR. "
                "Nothing was changed"
            )
            raise ConfigError([sentence])


def check_paths(directory: Path, loaded: LoadedConfig, present: Config | None) -> None:
    """Check the paths in a backup's configuration before root writes there.

    Those of a backup that only root can change are right. Others, as the service's user makes them, can
    name the defaults, what the present configuration names, and what is below the configuration's directory.

    Args:
        directory: The backup.
        loaded: Its configuration.
        present: The configuration of this machine, if there is a valid one.

    Raises:
        PermissionDeniedError: A path is none of these; the text says what to do.
    """
    try:
        check_unchangeable(directory / CONFIG, (directory / CONFIG).stat())
    except PermissionDeniedError:
        pass
    else:
        return
    home = loaded.path.absolute().parent
    known = _known(present)
    for key, path in _paths(loaded.config).items():
        if path not in known and not (path.is_relative_to(home) and ".." not in path.parts):
            raise PermissionDeniedError(
                f"{directory}: users other than root can change this backup, so it does not decide where "
                f"root writes ({key}: {path}). Check its {CONFIG}; then set the same path in {loaded.path}, "
                "or give the backup and its directory to root. Nothing was changed"
            )


def _known(present: Config | None) -> set[Path]:
    """Return the paths that the defaults and this machine's configuration name."""
    return {path for config in (Config(), present) if config for path in _paths(config).values()}


def _paths(config: Config) -> dict[str, Path]:
    return {
        "store.path": config.store.path,
        "tls.certificate": config.tls.certificate,
        "tls.key": config.tls.key,
        "log.session_log": config.log.session_log,
    }
