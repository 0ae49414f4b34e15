"""The commands that make an installation and its certificates."""

from pathlib import Path
from typing import Final

import click

from qscpd.cli.options import chosen_config, config_file_option, config_options, load_chosen
from qscpd.config import TlsConfig
from qscpd.errors import UsageError

__all__ = ["COMMANDS"]


@click.command(short_help="Make certificates, a configuration and directories.")
@click.option(
    "--dev", is_flag=True, help="For trying out, in this directory: config/, certs/, var/, this machine only."
)
@click.option(
    "--keep", is_flag=True, help="Keep what is there and make what is missing; --dev does so anyway."
)
@click.option("--certs", type=click.Path(path_type=Path), metavar="DIR", help="Where the certificates go.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where store, session log and admin socket go.",
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="DNS name or address of the server; repeatable."
)
@config_file_option("Where the configuration goes; otherwise $QSCPD_CONFIG or the usual place.")
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
    """Make a private authority, a server certificate, a configuration and the directories.

    Without options it does so for a service: /etc/qscpd, /var/lib/qscpd, /var/log/qscpd and
    /run/qscpd. The certificate is for localhost, for this machine's host name, and for each --name.
    """
    from qscpd.setup.init import dev_layout, initialize, system_layout  # noqa: PLC0415 - as below

    make_layout = dev_layout if dev else system_layout
    layout = make_layout(chosen_config(ctx), certs, state)
    steps = initialize(layout, names, keep=keep or dev)
    for step in steps:
        click.echo(f"{'made' if step.made else 'kept'} {step.path}  ({step.what})")
    if any(step.made for step in steps):
        option = "" if layout == system_layout() else f" -c {layout.config}"
        start = "qscpd run" + option if dev or option else "systemctl enable --now qscpd"
        click.echo(
            f"\nNext: make an account with `qscpd adduser{option} NAME`, start with `{start}`,\n"
            f"and give {layout.authority.ca_certificate} to everybody who connects. "
            f"Keep {layout.authority.ca_key} secret."
        )


@click.command(short_help="Renew the server's certificate.")
@click.option(
    "--certs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the authority is, without a configuration.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="DNS name or address, on top of this machine's own; none at all keeps the old ones.",
)
@click.option(
    "--new-key", is_flag=True, help="Make a new private key, too; clients that pinned the old one notice."
)
@config_options()
@click.pass_context
def gencert(ctx: click.Context, *, certs: Path | None, names: tuple[str, ...], new_key: bool) -> None:
    """Renew the server's certificate with the private authority; the old one stays as server.pem.old."""
    # `qscpd --help` imports this module: it must not wait for the library of certificates.
    from qscpd.setup.pki import AuthorityFiles, default_names, renew_server_certificate  # noqa: PLC0415

    files = AuthorityFiles(certs or _authority_directory(load_chosen(ctx).config.tls))
    all_names = (*default_names(), *names) if names else ()
    info = renew_server_certificate(files, all_names, new_key=new_key)
    click.echo(f"made {files.certificate}  (for {', '.join(info.names)}; until {info.not_after:%Y-%m-%d})")
    click.echo("\nNext: restart the daemon, for example with `systemctl restart qscpd`.")


def _authority_directory(tls: TlsConfig) -> Path:
    """Return the directory of the files that the daemon uses, if `qscpd init` could have made them."""
    from qscpd.setup.pki import AuthorityFiles  # noqa: PLC0415 - as above

    files = AuthorityFiles(tls.certificate.parent)
    if (files.certificate, files.key) != (tls.certificate, tls.key):
        raise UsageError(
            f"the daemon uses {tls.certificate} and {tls.key}, which `qscpd init` did not make; "
            "renew them where they came from, or name the directory of an authority with --certs"
        )
    return files.directory


COMMANDS: Final = {command.name: command for command in (init, gencert)}
