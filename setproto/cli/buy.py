"""``setproto shop list`` and ``setproto buy``: from the order form to the receipt (trade.md T54 to T70)."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from setproto.cli.console import complain, console, printable, terminal
from setproto.cli.opening import (
    PassphraseFile,
    ShopFile,
    WalletFile,
    answering,
    connected,
    default_shop,
    now,
    opened,
)
from setproto.errors import SetError, Unreachable, UsageError
from setproto.shop.orders import OrderForm
from setproto.wallet import description
from setproto.wallet.items import Wallet
from setproto.wallet.paying import OrderItem, Standing, Till, quote
from setproto.wallet.recorder import SHORT
from setproto.wallet.trust import read_shop

__all__ = ["buy", "shop"]

shop = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look around in a shop.")


@shop.callback()
def _shop() -> None:
    """A group, though it has one command."""


@shop.command("list")
def list_(file: ShopFile = None) -> None:
    """List what the shop sells."""
    with answering():
        place = read_shop(default_shop(file))
        with connected(place.merchant) as server:
            name = server.json("GET", "/merchant")
            found = server.json("GET", "/catalogue")
        try:
            merchant, items = str(name["name"]), [_item(item) for item in found["items"]]
        except (KeyError, TypeError):
            raise Unreachable(f"{place.merchant}: not a catalogue") from None
    with console() as out:
        out.print(Text(merchant, style="bold"))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("item", "name", "price", "description"):
            table.add_column(column, overflow="fold")
        for row in items:
            table.add_row(*map(Text, row))
        out.print(table)


def _item(item: dict[str, Any]) -> tuple[str, ...]:
    return tuple(printable(str(item[key])) for key in ("id", "name", "unit_price", "description"))


def buy(
    items: Annotated[list[str], typer.Argument(metavar="ITEM[=QUANTITY]...", help="What to buy, and how many.")],
    card: Annotated[
        list[str] | None,
        typer.Option(
            "--card", metavar="CARD", help="Pay with this card; several: with the next one if it is declined."
        ),
    ] = None,
    deliver_to: Annotated[str | None, typer.Option("--deliver-to", metavar="PLACE")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="DAY", help="Deliver by this day.")] = None,
    recipient: Annotated[
        str | None, typer.Option("--recipient", metavar="NAME", help="Deliver to this person.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: pay, and go on with the next card.")] = False,
    file: ShopFile = None,
    wallet: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Order, see the price, confirm, pay, get the receipt."""
    with answering():
        form = _form(items, deliver_to, by, recipient)
        place = read_shop(default_shop(file))
        with connected(place.merchant) as server:
            order = quote(server, form, place.merchant, now())
            typer.echo(_shown(order))
            _confirm("Order this?", yes)
            with opened(wallet, passphrase_file) as own:
                till = Till(own, place.trust, server, place.merchant)
                _settle_before(till, order, yes)
                till.take(order)
                standing = _pay(own, till, order, card or [], yes)
                if standing.is_paid:
                    _receipt(till, order)
        if not standing.is_paid:
            raise typer.Exit(1)


def _form(items: list[str], deliver_to: str | None, by: str | None, recipient: str | None) -> OrderForm:
    wanted: dict[str, int] = {}
    for text in items:
        name, _, quantity = text.partition("=")
        if not (quantity or "1").isdecimal():
            raise UsageError(f"{text!r} is no item: it is written like notebook or notebook=2")
        wanted[name] = wanted.get(name, 0) + int(quantity or "1")
    filled = {
        "items": [{"id": name, "quantity": quantity} for name, quantity in wanted.items()],
        "recipient": _asked("Deliver to whom", recipient, "--recipient"),
        "deliver_to": _asked("Deliver where", deliver_to, "--deliver-to"),
    }
    try:
        return OrderForm.model_validate({**filled, "deliver_by": by}, strict=False)
    except ValidationError as failure:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in failure.errors())
        raise UsageError(f"the order form: {'; '.join(faults)}") from None


def _asked(question: str, given: str | None, option: str) -> str:
    if given is not None:
        return given
    if not terminal():
        raise UsageError(f"{question}? {option} says it")
    return str(typer.prompt(question, err=True))


def _shown(order: OrderItem) -> str:
    said = description.read(order.description)
    lines = [f"{line.quantity} × {line.name} at {line.unit_price}: {line.amount}" for line in said.lines]
    delivery = said.delivery
    lines.append(f"delivery to {delivery.recipient}, {delivery.deliver_to}, by {delivery.deliver_by}: {delivery.cost}")
    return "\n".join([f"Order of {said.merchant}", *(f"  {line}" for line in lines), f"Total {said.total}"])


def _confirm(question: str, yes: bool) -> None:
    """Go on only if the answer is yes."""
    if yes:
        return
    if not terminal():
        raise UsageError("nobody to confirm it: there is no terminal to ask, and no --yes")
    if not typer.confirm(question, err=True):
        complain("nothing was ordered")
        raise typer.Exit(1)


def _settle_before(till: Till, order: OrderItem, yes: bool) -> None:
    """What was interrupted comes first; the same again while that is not known is asked about."""
    for before in till.unsettled():
        outcome = till.settle(before.lid_m)
        typer.echo(f"an earlier order, {before.lid_m.hex()[:SHORT]}: {outcome.standing.value}")
        if outcome.standing.is_paid:
            _receipt(till, before)
        if outcome.standing is Standing.PENDING and before.description == order.description:
            if yes:
                raise UsageError("the same order is not decided yet: setproto wallet resume asks about it")
            _confirm("The same order is not decided yet. Order it once more?", yes)


def _pay(own: Wallet, till: Till, order: OrderItem, named: list[str], yes: bool) -> Standing:
    """With one card after the other until one pays; where the order stands then."""
    ready = [item.label for item in own.cards() if item.registered is not None]
    for label in named:
        own.card(label).paid_with()
    cards = named if yes and named else [*named, *(label for label in ready if label not in named)]
    if not cards:
        raise UsageError("there is no registered card in the wallet: setproto wallet add-card, then register")
    standing = Standing.OPEN
    for number, label in enumerate(cards):
        if number > 0 and not _next(label, yes):
            continue
        typer.echo(f"the merchant is genuine: {till.approach(order.lid_m, label)}")
        if number == 0:
            _confirm(f"Pay {order.amount} with {label}?", yes)
        outcome = till.pay(order.lid_m)
        standing = outcome.standing
        typer.echo(f"{label}: {standing.value}{f' ({outcome.said})' if outcome.said else ''}")
        if standing is not Standing.DECLINED:
            break
    if standing is Standing.PENDING:
        typer.echo("what became of it is not known yet: setproto wallet resume asks")
    return standing


def _next(label: str, yes: bool) -> bool:
    return yes or (terminal() and typer.confirm(f"Try {label}?", err=True))


def _receipt(till: Till, order: OrderItem) -> None:
    try:
        verified = till.fetch_receipt(order.lid_m)
    except SetError as failure:
        complain(f"no receipt yet: {failure.detail}; setproto wallet resume fetches it")
        return
    if verified is None:
        typer.echo("no receipt yet: setproto wallet resume fetches it")
    else:
        typer.echo(f"receipt: setproto wallet show {order.lid_m.hex()[:SHORT]}")
