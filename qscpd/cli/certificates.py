"""Commands for installations and certificates."""

from pathlib import Path
from typing import Final

import click

from qscpd.cli.help import Command
from qscpd.cli.options import chosen_config, config_file_option, config_options, load_chosen
from qscpd.cli.streams import report
from qscpd.config import TlsConfig
from qscpd.errors import UsageError

_APPLE_DAYS: Final = 824
"""Days from now: the certificate is valid since yesterday, and 825 days in all are accepted."""

_MOST_DAYS: Final = 3652
"""No certificate outlives its CA."""


@click.command(
    cls=Command,
    short_help="Create certificates, a configuration and directories.",
    examples=("init --name chat.example.org", "init --dev"),
)
@click.option(
    "--dev",
    is_flag=True,
    help="Set up this directory for development: config/, certs/, var/, this machine only.",
)
@click.option(
    "--keep", is_flag=True, help="Keep existing files and create the missing ones; implied by --dev."
)
@click.option(
    "--certs", type=click.Path(path_type=Path), metavar="DIR", help="Directory of the certificates."
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of store, session log and admin socket.",
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="DNS name or address of the server; repeatable."
)
@config_file_option("Path of the configuration; otherwise $QSCPD_CONFIG or the default path.")
@click.pass_context
def init(
    ctx: click.Context,
    *,
    dev: bool,
    keep: bool,
    certs: Path | None,
    state: Path | None,
    names: tuple[str, ...],
) -> None:
    """Create a private CA, a server certificate, a configuration and the directories.

    By default for a service: /etc/qscpd, /var/lib/qscpd, /var/log/qscpd and /run/qscpd.
    The certificate is for localhost, for this machine's host name, and for each --name.
    """
    from qscpd.setup.init import dev_layout, initialize, system_layout  # noqa: PLC0415 - as below

    make_layout = dev_layout if dev else system_layout
    layout = make_layout(chosen_config(ctx), certs, state)
    steps = initialize(layout, names, keep=keep or dev)
    for step in steps:
        action = "made" if step.made else "kept" if step.path.exists() else "left out"
        click.echo(f"{action} {step.path}  ({step.what})")
    if any(step.made for step in steps):
        option = "" if layout == system_layout() else f" -c {layout.config}"
        files = layout.authority
        handout = "the certificate of its CA to every user."
        if files.ca_certificate.exists():
            handout = f"{files.ca_certificate} to every user. Keep {files.ca_key} secret."
        click.echo(_next_steps(option, handout, dev=dev))


def _next_steps(option: str, handout: str, *, dev: bool) -> str:
    start = "qscpd run" + option if dev or option else "systemctl enable --now qscpd"
    return (
        f"\nNext: add an account with `qscpd adduser{option} NAME`, start with `{start}`,\nand give {handout}"
    )


@click.command(
    cls=Command,
    short_help="Renew the server's certificate.",
    examples=(
        "gencert",
        "gencert --name chat.example.org",
        "gencert --drop-name old.example.org",
        "gencert --days 90",
    ),
)
@click.option(
    "--certs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the CA, to work without a configuration.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="DNS name or address, besides those of the old certificate; repeatable.",
)
@click.option(
    "--drop-name",
    "dropped",
    multiple=True,
    metavar="NAME",
    help="DNS name or address of the old certificate to leave out; repeatable.",
)
@click.option(
    "--new-key",
    is_flag=True,
    help="Create a new private key too; clients that pinned the old one will refuse it.",
)
@click.option(
    "--days",
    type=click.IntRange(1, _MOST_DAYS),
    metavar="N",
    help="How long it is valid; by default as long as Apple's systems accept, 824 days from now.",
)
@config_options()
@click.pass_context
def gencert(
    ctx: click.Context,
    *,
    certs: Path | None,
    names: tuple[str, ...],
    dropped: tuple[str, ...],
    new_key: bool,
    days: int | None,
) -> None:
    """Renew the server's certificate with the private CA.

    The new certificate has the names of the old one, and each --name. Old files are kept under
    the date of today, such as server.pem.2026-11-30.
    """
    # `qscpd --help` imports this module: it must not wait for the library of certificates.
    from qscpd.setup.pki import AuthorityFiles, renew_server_certificate  # noqa: PLC0415

    files = AuthorityFiles(certs or _authority_directory(load_chosen(ctx).config.tls))
    renewal = renew_server_certificate(files, names, dropped, new_key=new_key, days=days)
    made = renewal.certificate
    click.echo(f"made {files.certificate}  (for {', '.join(made.names)}; until {made.not_after:%Y-%m-%d})")
    for what, changed in (
        ("kept", renewal.names.kept),
        ("added", renewal.names.added),
        ("dropped", renewal.names.dropped),
    ):
        if changed:
            click.echo(f"{what}: {', '.join(changed)}")
    for old in renewal.old:
        click.echo(f"old file: {old}")
    if days is not None and days > _APPLE_DAYS:
        click.echo(f"Apple's systems refuse it: they accept at most --days {_APPLE_DAYS}.")
    for warning in renewal.warnings():
        report(f"qscpd: warning: {warning}")
    click.echo("\nNext: restart the daemon, for example with `systemctl restart qscpd`.")


def _authority_directory(tls: TlsConfig) -> Path:
    """Return the directory of the daemon's files, if they have the names that `qscpd init` uses."""
    from qscpd.setup.pki import AuthorityFiles  # noqa: PLC0415 - as above

    files = AuthorityFiles(tls.certificate.parent)
    if (files.certificate, files.key) != (tls.certificate, tls.key):
        raise UsageError(
            f"the daemon uses {tls.certificate} and {tls.key}, which `qscpd init` did not make; "
            "renew them with their issuer, or name the directory of a CA with --certs"
        )
    return files.directory


COMMANDS: Final = {command.name: command for command in (init, gencert)}
