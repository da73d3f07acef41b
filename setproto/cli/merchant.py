"""``setproto merchant``: what the people of a shop do, through its server, which alone owns the state."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from setproto.cli.ca.desk import AsJson, answering
from setproto.cli.console import refuse
from setproto.cli.up import DATA, Data, reach
from setproto.errors import Unreachable, UsageError
from setproto.server.config import MerchantConfig, load

__all__ = ["merchant"]

_SECONDS: Final = 30
merchant = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Run a shop: its orders, shipments, refunds and batches."
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Of the merchant's server.", show_default="DIR/merchant/merchant.toml"
    ),
]
Order = Annotated[
    str, typer.Argument(metavar="ORDER", help="As setproto merchant orders lists it, its first digits, or last.")
]


class Operation(enum.StrEnum):
    """What can be done with a batch."""

    LOOK = "look"
    OPEN = "open"
    CLOSE = "close"
    PURGE = "purge"


@merchant.command()
def orders(
    everything: Annotated[bool, typer.Option("--all", help="Those, too, that nobody has paid.")] = False,
    as_json: AsJson = False,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """List the orders, the oldest first."""
    with _asking(data, config) as ask:
        found = [one for one in ask("GET", "/operator/orders")["orders"] if everything or one["xid"] is not None]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for one in found:
        typer.echo(_line(one))
        for line in one["description"]["lines"]:
            typer.echo(f"    {line['quantity']} × {line['name']}")
        delivery = one["description"]["delivery"]
        typer.echo(f"    to {delivery['recipient']}, {delivery['deliver_to']}, by {delivery['deliver_by']}")


@merchant.command()
def ship(order: Order, data: Data = DATA, config: Config = None) -> None:
    """The goods go out: take the money that was authorised.  A sale was captured when it was authorised."""
    with _asking(data, config) as ask:
        done = ask("POST", f"/operator/orders/{_meant(ask, order)}/ship", {})
    _report(done, _line(done))


@merchant.command()
def refund(
    order: Order,
    amount: Annotated[str | None, typer.Option("--amount", metavar="AMOUNT", help="EUR 5.00; else all of it.")] = None,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Goods come back: give the money back, or a part of it."""
    with _asking(data, config) as ask:
        done = ask("POST", f"/operator/orders/{_meant(ask, order)}/refund", {"amount": amount})
    _report(done, _line(done))


@merchant.command()
def batch(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0)],
    operation: Annotated[Operation, typer.Argument(metavar="look|open|close|purge")] = Operation.LOOK,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Look at a batch of captures and refunds at the gateway, open it, close it, or take back what is in it.

    Captures and refunds go into batch 1 by themselves, when that is closed into 2, and so on.
    """
    with _asking(data, config) as ask:
        done = ask("POST", "/operator/batch", {"batch": number, "operation": operation.value})
    _report(done, f"batch {number}")
    if "captures" in done:
        typer.echo(
            f"    {done['captures']} captures, {done['captured']}; {done['refunds']} refunds, {done['refunded']}"
        )
    if "opened" in done:
        typer.echo(
            f"    opened {done['opened']}, {'still open' if done['closed'] is None else 'closed ' + done['closed']}"
        )


def _meant(ask: Any, order: str) -> str:
    """The one order that begins like this; ``last``: the last that somebody paid.  UsageError if there is not one."""
    known = ask("GET", "/operator/orders")["orders"]
    if order == "last":
        found = [one["order"] for one in known if one["xid"] is not None][-1:]
    else:
        found = [one["order"] for one in known if one["order"].startswith(order.lower())]
    if len(found) != 1:
        raise UsageError(f"{'several orders begin with' if found else 'no such order:'} {order[:40]!r}")
    return str(found[0])


@contextmanager
def _asking(data: Path, config: Path | None) -> Iterator[Any]:
    """A function that asks the server; whatever goes wrong is one clear line."""
    with answering():
        file = config or data.expanduser() / "merchant" / "merchant.toml"
        read = load(MerchantConfig, file)
        secret = {"authorization": f"Bearer {read.operator.secret.get_secret_value()}"}
        try:
            with reach(read, read.operator.listen, timeout=_SECONDS) as server:
                yield lambda method, path, form=None: server.json(method, path, form, secret)
        except Unreachable as failure:
            refuse(f"the merchant's server does not answer: {failure.detail}", status=1)


def _line(one: dict[str, Any]) -> str:
    sums = ", ".join(
        f"{name} {one[name]}"
        for name in ("authorized", "captured", "credited")
        if one[name] and one[name][-4:] != "0.00"
    )
    return f"{one['order']} {one['status']:<9} {one['amount']} {one['customer'] or ''} {sums}".rstrip()


def _report(done: dict[str, Any], line: str) -> None:
    """Status 1 if the gateway refused."""
    if done["result"] == "waiting":
        typer.echo(f"{line}: the gateway does not answer yet; it is asked again until it does")
        return
    typer.echo(f"{line}: {done['result']}")
    if done["result"] != "success":
        raise typer.Exit(1)
