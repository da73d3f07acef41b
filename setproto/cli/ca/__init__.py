"""``setproto ca``: a hierarchy of certification authorities on one machine."""

import typer

from setproto.cli.ca.admit import approve, refuse, waiting
from setproto.cli.ca.look import export, list_, log, show, verify
from setproto.cli.ca.register import register
from setproto.cli.ca.work import bci, crl, example, init, issue, renew, revoke, rollover

__all__ = ["ca"]

ca = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run a hierarchy of certification authorities: issue, revoke, publish, validate, roll over.",
)
ca.command()(example)
ca.command()(init)
ca.add_typer(issue, name="issue")
ca.add_typer(register, name="register")
ca.command()(waiting)
ca.command()(approve)
ca.command()(refuse)
ca.command()(renew)
ca.command()(revoke)
ca.command()(crl)
ca.command()(bci)
ca.command()(rollover)
ca.command("list")(list_)
ca.command()(show)
ca.command()(verify)
ca.command()(export)
ca.command()(log)
