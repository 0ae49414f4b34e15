"""The commands `qscpd status` and `qscpd confirmclock`."""

import json

import click
import msgspec

from qscpd import admin
from qscpd.cli.help import Command
from qscpd.cli.options import config_options, load_chosen
from qscpd.cli.output import roughly, utc
from qscpd.cli.streams import report
from qscpd.errors import QscpdError


@click.command(cls=Command, examples=("status", "status --json"))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options()
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Show the status of the running daemon.

    The exit code is 7 if it is not running, or does not answer within 3 s. Sentences on stderr say
    what needs attention: an address that the machine lacks, a certificate that clients refuse or
    that expires soon, a wall clock that is not trusted.
    """
    reply = admin.call(load_chosen(ctx).config, admin.Status())
    if not isinstance(reply, admin.DaemonStatus):
        raise QscpdError(f"unexpected reply {type(reply).__name__} from the daemon (different version?)")
    fields = msgspec.structs.asdict(reply)
    if as_json:
        click.echo(json.dumps(fields, indent=2))
        return
    for name, value in fields.items():
        if value not in (None, []) and name != "certificate_problem":
            click.echo(f"{name}: {_shown(value)}")
    for address in reply.listen_missing:
        report(
            f"qscpd: this machine lacks {address} (server.listen), so nobody can connect to it. It works as "
            "soon as the machine has the address; check that it is not mistyped"
        )
    if reply.certificate_problem is not None:
        report(f"qscpd: warning: {reply.certificate_problem}")
    if reply.clock_ahead_s is not None:
        report(f"qscpd: {_clock_sentence(reply.clock_ahead_s, reply.clock_left_s or 0)}")


def _shown(value: object) -> str:
    """Return a field of the status as text."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _clock_sentence(ahead_s: int, left_s: int) -> str:
    """Return what is wrong with the wall clock, and what to do."""
    where = f"{roughly(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'}"
    return (
        f"the wall clock is {where} the expected time, so nothing is removed by its age. Set it; if it is "
        f"right, run `qscpd confirmclock`, or wait: it is trusted when it has run steadily for another "
        f"{roughly(left_s)}"
    )


@click.command(cls=Command, examples=("confirmclock",))
@config_options()
@click.pass_context
def confirmclock(ctx: click.Context) -> None:
    """Confirm that the wall clock is right after it has jumped.

    Until then, or until it has run steadily for a day, nothing is removed by its age; see
    `qscpd status`. Check the clock first, with `date`.
    """
    reply = admin.call(load_chosen(ctx).config, admin.ConfirmClock())
    if not isinstance(reply, admin.ClockConfirmed):
        raise QscpdError(f"unexpected reply {type(reply).__name__} from the daemon (different version?)")
    before = "was confirmed already" if reply.was_confirmed else "is confirmed"
    report(f"the wall clock {before}: {utc(reply.wall_ms)}")
