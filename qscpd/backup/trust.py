"""Whether a backup's configuration decides where root writes: not if others can change the backup."""

from pathlib import Path

from qscpd.backup.manifest import CONFIG
from qscpd.config import Config, LoadedConfig
from qscpd.errors import PermissionDeniedError
from qscpd.permissions import check_unchangeable


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
    known = {path for config in (Config(), present) if config for path in _paths(config).values()}
    for key, path in _paths(loaded.config).items():
        if path not in known and not (path.is_relative_to(home) and ".." not in path.parts):
            raise PermissionDeniedError(
                f"{directory}: users other than root can change this backup, so it does not decide where "
                f"root writes ({key}: {path}). Check its {CONFIG}; then set the same path in {loaded.path}, "
                "or give the backup and its directory to root. Nothing was changed"
            )


def _paths(config: Config) -> dict[str, Path]:
    return {
        "store.path": config.store.path,
        "tls.certificate": config.tls.certificate,
        "tls.key": config.tls.key,
        "log.session_log": config.log.session_log,
    }
