"""Commands for backups."""

import shlex
from pathlib import Path
from typing import Final

import click

from qscp.hints import one_line
from qscpd.admin.exchange import is_listening
from qscpd.cli.help import Command
from qscpd.cli.options import choose_text, chosen_config, config_options, load_chosen
from qscpd.cli.output import echo_damage
from qscpd.cli.streams import report
from qscpd.config import Config
from qscpd.errors import ExitCode, QscpdError, StoreBusyError

_DIRECTORY: Final = click.Path(path_type=Path)

_quiet_option: Final = click.option("-q", "--quiet", is_flag=True, help="Print only what needs attention.")


@click.command(
    cls=Command,
    short_help="Back up store, configuration and certificates.",
    examples=("backup /var/backups/qscp",),
)
@click.argument("destination", type=_DIRECTORY)
@_quiet_option
@config_options()
@click.pass_context
def backup(ctx: click.Context, destination: Path, *, quiet: bool) -> None:
    """Back up the server to a new folder in DESTINATION, and print its path.

    A backup contains a snapshot of the store, the configuration, and the certificates with their
    keys: keep it where only root can read it. It works with the daemon running or stopped.
    The key of the CA is left out if another user than root runs it, who can't read it.
    """
    # `qscpd --help` imports this module: it must not wait for the libraries of stores and certificates.
    from qscpd.backup import make_backup, read_manifest  # noqa: PLC0415
    from qscpd.backup.manifest import CA_KEY  # noqa: PLC0415
    from qscpd.setup.pki import AuthorityFiles  # noqa: PLC0415

    loaded = load_chosen(ctx)
    folder = make_backup(destination, loaded, echo_damage)
    if quiet:
        return
    manifest = read_manifest(folder)
    report(f"backed up {manifest.contents()}")
    if not manifest.has(CA_KEY):
        here = AuthorityFiles(loaded.config.tls.certificate.parent).ca_key.exists()
        why = "this user has no permission to read it" if here else "it is not on this machine"
        report(f"the CA key is not included, because {why}")
    click.echo(folder)


@click.command(cls=Command, short_help="Check backups.", examples=("verify /var/backups/qscp/*",))
@click.argument("backups", metavar="BACKUP...", nargs=-1, required=True, type=_DIRECTORY)
@click.pass_context
def verify(ctx: click.Context, backups: tuple[Path, ...]) -> None:
    """Check each BACKUP: manifest, files, the whole store, certificates and keys."""
    from qscpd.backup import find_problems, read_manifest  # noqa: PLC0415 - as above

    damaged = False
    for backup in backups:
        problems = find_problems(backup, echo_damage)
        for problem in problems:
            report(f"qscpd: {problem}")
        damaged |= bool(problems)
        if not problems:
            manifest = read_manifest(backup)
            made = f"made {manifest.created} by qscpd {manifest.version}"
            click.echo(f"{one_line(str(backup))}: ok, {made}: {manifest.contents()}")
    if damaged:
        ctx.exit(ExitCode.FAILED)


@click.command(
    cls=Command,
    short_help="Restore a backup.",
    examples=(
        "restore --system /var/backups/qscp/qscp-20261124T070000Z",
        "restore /var/backups/qscp/qscp-20261124T070000Z --into /srv/qscp",
    ),
)
@click.argument("backup", type=_DIRECTORY)
@click.option("--system", is_flag=True, help="Put it in the place of the service, which must be stopped.")
@click.option("--store-only", is_flag=True, help="With --system: keep configuration and certificates.")
@click.option("--into", type=_DIRECTORY, metavar="DIR", help="Empty or new directory.")
@config_options()
@click.pass_context
def restore(ctx: click.Context, backup: Path, into: Path | None, *, system: bool, store_only: bool) -> None:
    """Check BACKUP, and restore it as the service of this machine or into a directory.

    With --system every file gets its place and its owner, and the present files are kept beside
    them. With --into it becomes an installation of its own: config/, certs/, var/.

    Clients detect the restore: they reload the history, and resend unacknowledged messages.
    """
    if system == (into is not None):
        raise click.UsageError("name the target: either --system or --into DIR")
    if store_only and not system:
        raise click.UsageError("--store-only needs --system")
    if into is not None:
        _restore_into(backup, into)
    else:
        _restore_system(ctx, backup, store_only=store_only)


def _restore_into(backup: Path, into: Path) -> None:
    from qscpd.backup import restore_backup  # noqa: PLC0415 - as above

    restored = restore_backup(backup, into)
    report(f"restored {restored.manifest.contents()}, as of {restored.manifest.created}")
    report(
        f"\nNext: review {restored.config} (addresses, limits), check it with\n"
        f"`qscpd -c {restored.config} checkconfig`, stop the old daemon for good, and start\n"
        f"`qscpd -c {restored.config} run`. Messages from after the backup are not included."
    )


def _restore_system(ctx: click.Context, backup: Path, *, store_only: bool) -> None:
    from qscpd.backup import restore_system  # noqa: PLC0415 - as above
    from qscpd.backup.manifest import CA_KEY  # noqa: PLC0415
    from qscpd.backup.system import check_root  # noqa: PLC0415

    check_root()
    present = _present_config(ctx)
    if present is not None:
        _refuse_running(present)
    restored = restore_system(
        backup,
        lambda text: load_chosen(ctx) if store_only else choose_text(ctx, text),
        present=present,
        store_only=store_only,
    )
    report(f"restored {restored.manifest.contents()}, as of {restored.manifest.created}")
    for change in restored.changes:
        what = "restored" if change.restored else "set aside, because it belongs to another CA"
        report(f"{change.path}: {what}" + (f"; the earlier one is {change.kept}" if change.kept else ""))
    if not (store_only or restored.manifest.has(CA_KEY)):
        report("the CA key is not in the backup; put it beside the certificate if this machine renews it")
    chosen = "" if chosen_config(ctx) is None else f" -c {shlex.quote(str(restored.config))}"
    report(
        f"\nNext: check the configuration with `qscpd{chosen} checkconfig`, and start the service with\n"
        "`systemctl start qscpd`. Messages from after the backup are not included."
    )
    if any(change.kept for change in restored.changes):
        report("Delete the earlier files when you don't need them any more: they contain messages and keys.")


def _present_config(ctx: click.Context) -> Config | None:
    """Return the configuration of this machine; None for a missing or broken one, a reason to restore."""
    try:
        return load_chosen(ctx).config
    except QscpdError:
        return None


def _refuse_running(config: Config) -> None:
    """Refuse if a daemon listens on the socket of a configuration, whatever its store is."""
    from qscpd.backup.system import STOP_FIRST  # noqa: PLC0415 - as above

    if is_listening(config.server.admin_socket):
        raise StoreBusyError(f"{config.server.admin_socket}: the daemon is running; {STOP_FIRST}")


@click.command(cls=Command, short_help="Remove old backups.", examples=("prune /var/backups/qscp --keep 14",))
@click.argument("destination", type=_DIRECTORY)
@click.option(
    "--keep", required=True, type=click.IntRange(min=1), metavar="N", help="Number of newest backups to keep."
)
@_quiet_option
def prune(destination: Path, keep: int, *, quiet: bool) -> None:
    """Remove all but the newest N backups in DESTINATION.

    Only backups of `qscpd backup` are removed, and never the last intact one.
    """
    from qscpd.backup import prune_backups  # noqa: PLC0415 - as above

    pruned = prune_backups(destination, keep)
    for folder in () if quiet else pruned.removed:
        click.echo(f"removed {one_line(str(folder))}")
    if pruned.spared is not None:
        report(f"qscpd: {pruned.spared}: kept, because all newer ones are damaged")
    for folder in pruned.closed:
        report(f"qscpd: {folder}: not counted, because this user has no permission to read it")
    for folder in pruned.incomplete:
        report(f"qscpd: {folder}: is not finished; check it and remove it by hand")


COMMANDS: Final = {command.name: command for command in (backup, verify, restore, prune)}
