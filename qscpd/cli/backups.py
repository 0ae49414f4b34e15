"""The commands for backups."""

from pathlib import Path
from typing import Final

import click

from qscpd.cli.options import config_options, load_chosen
from qscpd.errors import ExitCode

__all__ = ["COMMANDS"]

_DIRECTORY: Final = click.Path(path_type=Path)


@click.command(short_help="Copy store, configuration and certificates, also while the daemon runs.")
@click.argument("destination", type=_DIRECTORY)
@config_options()
@click.pass_context
def backup(ctx: click.Context, destination: Path) -> None:
    """Make a backup in a new folder of DESTINATION, and print its name.

    It has the store as it is at one moment, the configuration, and certificates with their keys,
    so keep it where only root can read it. It is checked before it gets its name.
    """
    # `qscpd --help` imports this module: it must not wait for the libraries of stores and certificates.
    from qscpd.backup import make_backup, read_manifest  # noqa: PLC0415
    from qscpd.backup.manifest import CA_KEY  # noqa: PLC0415

    folder = make_backup(destination, load_chosen(ctx))
    manifest = read_manifest(folder)
    click.echo(f"backed up {manifest.contents()}", err=True)
    if not manifest.has(CA_KEY):
        click.echo("without the authority's key, which is not on this machine", err=True)
    click.echo(folder)


@click.command(short_help="Find out whether backups are whole.")
@click.argument("backups", metavar="BACKUP...", nargs=-1, required=True, type=_DIRECTORY)
@click.pass_context
def verify(ctx: click.Context, backups: tuple[Path, ...]) -> None:
    """Check each BACKUP: its manifest, every file, the whole store, and that keys fit certificates."""
    from qscpd.backup import find_problems, read_manifest  # noqa: PLC0415 - as above

    damaged = False
    for backup in backups:
        problems = find_problems(backup)
        for problem in problems:
            click.echo(f"qscpd: {problem}", err=True)
        damaged |= bool(problems)
        if not problems:
            manifest = read_manifest(backup)
            made = f"made {manifest.created} by qscpd {manifest.version}"
            click.echo(f"{backup}: whole, {made}: {manifest.contents()}")
    if damaged:
        ctx.exit(ExitCode.FAILED)


@click.command(short_help="Turn a backup into an installation.")
@click.argument("backup", type=_DIRECTORY)
@click.option(
    "--into", required=True, type=_DIRECTORY, metavar="DIR", help="An empty directory, or a new one."
)
def restore(backup: Path, into: Path) -> None:
    """Check BACKUP and lay it out in DIR, ready to run: config/, certs/, var/.

    Clients notice that the history is another one: they ask for everything anew, and send what was
    not acknowledged again.
    """
    from qscpd.backup import restore_backup  # noqa: PLC0415 - as above

    restored = restore_backup(backup, into)
    click.echo(f"restored {restored.manifest.contents()}, as of {restored.manifest.created}", err=True)
    click.echo(
        f"\nNext: look at {restored.config} (addresses, limits), check it with\n"
        f"`qscpd -c {restored.config} checkconfig`, stop the old daemon for good, and start\n"
        f"`qscpd -c {restored.config} run`. What was said after the backup was made is not in it.",
        err=True,
    )


@click.command(short_help="Remove old backups.")
@click.argument("destination", type=_DIRECTORY)
@click.option(
    "--keep", required=True, type=click.IntRange(min=1), metavar="N", help="How many of the newest stay."
)
def prune(destination: Path, keep: int) -> None:
    """Remove all but the newest N backups in DESTINATION.

    Only what `qscpd backup` made is removed, and never the last backup that is whole.
    """
    from qscpd.backup import prune_backups  # noqa: PLC0415 - as above

    pruned = prune_backups(destination, keep)
    for folder in pruned.removed:
        click.echo(f"removed {folder}")
    if pruned.spared is not None:
        click.echo(f"qscpd: {pruned.spared}: kept, because all newer ones are damaged", err=True)
    for folder in pruned.incomplete:
        click.echo(f"qscpd: {folder}: is not finished; look at it, and remove it by hand", err=True)


COMMANDS: Final = {command.name: command for command in (backup, verify, restore, prune)}
