"""``setproto gateway``: what the operator of a payment gateway looks at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from setproto.bank import records
from setproto.cli.audit import existing
from setproto.cli.ca.desk import AsJson, answering
from setproto.cli.console import printable
from setproto.cli.up import DATA, Data
from setproto.errors import UsageError
from setproto.roles.ports import Transaction
from setproto.server.config import GatewayConfig, load
from setproto.server.gateway import LINK

__all__ = ["gateway"]

gateway = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after a payment gateway.")

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Of the gateway's server.", show_default="DIR/gateway/gateway.toml"),
]


@contextmanager
def _link(data: Path, config: Path | None) -> Iterator[Transaction]:
    """What the gateway remembers of its line to the bank."""
    with answering():
        read = load(GatewayConfig, config or data.expanduser() / "gateway" / "gateway.toml")
        with existing(read.link_database, LINK) as transaction:
            yield transaction


@gateway.command()
def waiting(as_json: AsJson = False, data: Data = DATA, config: Config = None) -> None:
    """List what waits for the bank, and what waits for a person: what the bank refused that cannot be refused.

    Each payment with its retrieval reference (DE 37), under which the bank knows it.  The server may run or not.
    Exit status 1 if there is something for a person.
    """
    with _link(data, config) as transaction:
        reversals = [one.payment.rrn for _, one in records.queued(transaction)]
        left = records.left_to_a_person(transaction)
    if as_json:
        typer.echo(json.dumps({"reversals": reversals, "for_a_person": left}, indent=2))
    else:
        for rrn in reversals:
            typer.echo(printable(f"for the bank: reversal of {rrn}"))
        for one in left:
            typer.echo(printable(f"for a person: {one}"))
    if left:
        raise typer.Exit(1)


@gateway.command()
def done(
    digits: Annotated[str, typer.Argument(metavar="DIGITS", help="As setproto gateway waiting shows them.")],
    data: Data = DATA,
    config: Config = None,
) -> None:
    """A person has looked at it: it is not listed any more."""
    with _link(data, config) as transaction:
        count = records.looked_at(transaction, digits) if digits else 0
        if not count:
            raise UsageError(f"nothing waits for a person that begins with {digits[:40]!r}")
    typer.echo(f"done: {count}")
