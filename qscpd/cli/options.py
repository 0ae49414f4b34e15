"""Options shared by several commands."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from qscpd.config import DEFAULT_CONFIG_PATH, LoadedConfig, load_config
from qscpd.config.load import parse_config
from qscpd.config.schema import SETTINGS

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class ConfigChoice:
    """Configuration options of the command line, from before and after the command's name."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.overrides: dict[str, str] = {}


def chosen_config(ctx: click.Context) -> Path | None:
    """Return the file that `-c` or QSCPD_CONFIG names, if any."""
    return ctx.ensure_object(ConfigChoice).path


def load_chosen(ctx: click.Context) -> LoadedConfig:
    """Load the configuration that command line and environment select, unless others can change it.

    Raises:
        ConfigError: With all problems.
        PermissionDeniedError: This user has no permission to read the file, or others can change it.
    """
    choice = ctx.ensure_object(ConfigChoice)
    return load_config(choice.path or Path(DEFAULT_CONFIG_PATH), overrides=choice.overrides, trusted=True)


def choose_text(ctx: click.Context, text: str) -> LoadedConfig:
    """Return the configuration that the command line would select if the chosen file had a text.

    Raises:
        ConfigError: With all problems.
    """
    choice = ctx.ensure_object(ConfigChoice)
    path = choice.path or Path(DEFAULT_CONFIG_PATH)
    return parse_config(text, path, cwd=Path.cwd(), environ=os.environ, overrides=choice.overrides)


def config_options(*, envvar: bool = False) -> Callable[[CommandT], CommandT]:
    """Add `-c` and `--set`, which work before and after a command's name.

    Args:
        envvar: Use QSCPD_CONFIG in place of `-c`; for the root command.
    """

    def decorate(command: CommandT) -> CommandT:
        command = click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            expose_value=False,
            callback=_store_overrides,
            shell_complete=_complete_key,
            help="Override a setting, such as log.level=debug; repeatable.",
        )(command)
        text = f"Configuration file; otherwise $QSCPD_CONFIG or {DEFAULT_CONFIG_PATH}."
        return config_file_option(text, envvar=envvar)(command)

    return decorate


def config_file_option(text: str, *, envvar: bool = False) -> Callable[[CommandT], CommandT]:
    """Add `-c` alone, with its help text."""
    return click.option(
        "-c",
        "--config",
        "config",
        type=click.Path(path_type=Path, readable=False),  # reading it has its own error and exit code
        metavar="FILE",
        envvar="QSCPD_CONFIG" if envvar else None,
        expose_value=False,
        callback=_store_path,
        help=text,
    )


def _store_path(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None:
        ctx.ensure_object(ConfigChoice).path = path


def _store_overrides(ctx: click.Context, _: click.Parameter, overrides: tuple[str, ...]) -> None:
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise click.BadParameter(f"{override!r} has no '='; write KEY=VALUE, such as log.level=debug")
        ctx.ensure_object(ConfigChoice).overrides[key] = text


def _complete_key(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(f"{key}=") for key in SETTINGS if key.startswith(incomplete)]
