"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from qscpd.config import DEFAULT_CONFIG_PATH, LoadedConfig, load_config
from qscpd.config.schema import SETTINGS

__all__ = ["ConfigChoice", "chosen_config", "config_file_option", "config_options", "load_chosen"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class ConfigChoice:
    """What the command line says about the configuration, before and after the command's name."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.overrides: dict[str, str] = {}


def chosen_config(ctx: click.Context) -> Path | None:
    """Return the file that a flag or QSCPD_CONFIG names, if any."""
    return ctx.ensure_object(ConfigChoice).path


def load_chosen(ctx: click.Context) -> LoadedConfig:
    """Load what the command line and the environment say.

    Raises:
        ConfigError: With every problem there is.
        PermissionDeniedError: The file may not be read.
    """
    choice = ctx.ensure_object(ConfigChoice)
    return load_config(choice.path or Path(DEFAULT_CONFIG_PATH), overrides=choice.overrides)


def config_options(*, envvar: bool = False) -> Callable[[CommandT], CommandT]:
    """Add `-c` and `--set`, which may stand before or after a command's name.

    Args:
        envvar: Let QSCPD_CONFIG stand in for `-c`; for the root command.
    """

    def decorate(command: CommandT) -> CommandT:
        command = click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            expose_value=False,
            callback=_take_overrides,
            shell_complete=_complete_key,
            help="Use this value instead of the file's, such as log.level=debug; may be repeated.",
        )(command)
        text = f"The configuration; otherwise $QSCPD_CONFIG or {DEFAULT_CONFIG_PATH}."
        return config_file_option(text, envvar=envvar)(command)

    return decorate


def config_file_option(text: str, *, envvar: bool = False) -> Callable[[CommandT], CommandT]:
    """Add `-c` alone, with its help text."""
    return click.option(
        "-c",
        "--config",
        "config",
        type=click.Path(path_type=Path, readable=False),  # reading it has its own sentence and exit code
        metavar="FILE",
        envvar="QSCPD_CONFIG" if envvar else None,
        expose_value=False,
        callback=_take_path,
        help=text,
    )


def _take_path(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None:
        ctx.ensure_object(ConfigChoice).path = path


def _take_overrides(ctx: click.Context, _: click.Parameter, overrides: tuple[str, ...]) -> None:
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise click.BadParameter(f"{override!r} has no '='; write KEY=VALUE, such as log.level=debug")
        ctx.ensure_object(ConfigChoice).overrides[key] = text


def _complete_key(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(f"{key}=") for key in SETTINGS if key.startswith(incomplete)]
