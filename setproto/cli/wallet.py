"""``setproto wallet``: the buyer's electronic wallet (trade.md T5 to T15)."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from setproto.audit import evidence
from setproto.cli.audit import write
from setproto.cli.ca.desk import AsJson, fingerprint
from setproto.cli.console import console, printable, terminal
from setproto.cli.opening import (
    CardFile,
    PassphraseFile,
    ShopFile,
    WalletFile,
    answering,
    connected,
    day,
    default_shop,
    default_wallet,
    now,
    opened,
    passphrase,
    read_card,
)
from setproto.crypto.locked import RECOMMENDED, Cost
from setproto.errors import SetError, UsageError
from setproto.messages.registration import RegFormOrReferral
from setproto.roles.enrolment import State
from setproto.wallet import printing, recorder
from setproto.wallet.paying import Standing, Till
from setproto.wallet.recorder import Entry, Query
from setproto.wallet.registering import Outcome
from setproto.wallet.registering import register as register_card
from setproto.wallet.statements import ask_statement
from setproto.wallet.trust import read_shop
from setproto.wallet.vault import Vault, shut

__all__ = ["wallet"]

wallet = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The buyer's electronic wallet: cards, certificates, purchases and receipts in one locked file.",
)


class Cipher(enum.StrEnum):
    """The ciphers, as the command line takes them: held equal to ``crypto.locked.CIPHERS`` by a test."""

    AES = "aes-256-gcm"
    CHACHA = "chacha20-poly1305"


class Form(enum.StrEnum):
    """What is printed."""

    TEXT = "text"
    HTML = "html"
    PDF = "pdf"


Memory = Annotated[int | None, typer.Option("--memory", metavar="MIB", help="Memory that one guess takes.")]
Passes = Annotated[int | None, typer.Option("--passes", help="Passes over that memory.")]
Lanes = Annotated[int | None, typer.Option("--lanes", help="Lanes that are worked on at a time.")]
CardName = Annotated[str, typer.Argument(metavar="CARD", help="The card's label.")]
Which = Annotated[str, typer.Argument(metavar="ORDER", help="The order's number, its first digits, or last.")]
NewPassphraseFile = Annotated[
    Path | None, typer.Option("--new-passphrase-file", metavar="FILE", help="The new one, in a file; else asked for.")
]


# --- the wallet itself ----------------------------------------------------------------------------


@wallet.command()
def create(
    cipher: Cipher = Cipher.AES,
    memory: Memory = None,
    passes: Passes = None,
    lanes: Lanes = None,
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a wallet.  Its passphrase has at least 15 characters; nobody can open it without."""
    with answering():
        path = default_wallet(file)
        if path.exists():
            raise UsageError(f"{path} exists already: nothing was done")
        chosen = passphrase(passphrase_file, "New passphrase", new=True)
        with Vault.create(path, chosen, cipher=cipher.value, cost=_cost(RECOMMENDED, memory, passes, lanes)) as vault:
            typer.echo(f"created: {path} ({vault.cipher}; {vault.cost})")


@wallet.command()
def passwd(
    new_passphrase_file: NewPassphraseFile = None, file: WalletFile = None, passphrase_file: PassphraseFile = None
) -> None:
    """Change the passphrase.  If somebody knows the old one, change the protection too."""
    with answering(), opened(file, passphrase_file) as own:
        own.vault.change_passphrase(passphrase(new_passphrase_file, "New passphrase", new=True))
        typer.echo("the passphrase is changed; copies made before still open with the old one")


@wallet.command()
def protection(
    cipher: Annotated[Cipher | None, typer.Option("--cipher")] = None,
    memory: Memory = None,
    passes: Passes = None,
    lanes: Lanes = None,
    renew: Annotated[bool, typer.Option("--renew", help="New keys, everything else as it is.")] = False,
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Show how the wallet is encrypted; or encrypt it anew, under new keys, in another way."""
    with answering():
        known = passphrase(passphrase_file)
        with Vault.open(default_wallet(file), known) as vault:
            if renew or (cipher, memory, passes, lanes) != (None, None, None, None):
                chosen = None if cipher is None else cipher.value
                vault.change_protection(known, cipher=chosen, cost=_cost(vault.cost, memory, passes, lanes))
            typer.echo(f"{vault.cipher}; {vault.cost}")


@wallet.command()
def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Copy the wallet, encrypted as it is, after making sure that it opens."""
    with answering(), opened(file, passphrase_file) as own:
        own.vault.copy_to(to)
        typer.echo(f"written: {to}")


@wallet.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Put a backup in the place of a wallet that is lost.  It knows nothing of what was bought since."""
    with answering():
        path = default_wallet(file)
        Vault.restore(source, path, passphrase(passphrase_file))
        typer.echo(f"restored: {path}")


@wallet.command()
def lock(file: WalletFile = None) -> None:
    """Refuse everything until ``unlock``.  Needs no passphrase.  (Nothing stays open between commands anyway.)"""
    with answering():
        shut(default_wallet(file))
        typer.echo("locked")


@wallet.command()
def unlock(file: WalletFile = None, passphrase_file: PassphraseFile = None) -> None:
    """Take ``lock`` back, with the passphrase."""
    with answering(), Vault.open(default_wallet(file), passphrase(passphrase_file), release=True):
        typer.echo("unlocked")


def _cost(before: Cost, memory: int | None, passes: int | None, lanes: int | None) -> Cost:
    return replace(
        before,
        memory=before.memory if memory is None else memory << 10,
        passes=before.passes if passes is None else passes,
        lanes=before.lanes if lanes is None else lanes,
    )


# --- cards ----------------------------------------------------------------------------------------


@wallet.command("add-card")
def add_card(
    label: Annotated[str | None, typer.Argument(metavar="[CARD]", help="What to call it.")] = None,
    card_file: CardFile = None,
    brand: Annotated[str | None, typer.Option("--brand", help="Its brand; else that of the shop.")] = None,
    shop: ShopFile = None,
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Put a card in."""
    with answering(), opened(file, passphrase_file) as own:
        card = read_card(card_file, brand or read_shop(default_shop(shop)).trust.brand)
        item = own.add_card(label or f"card-{card.pan.last_four()}", card)
        typer.echo(f"added: {item.label}; setproto wallet register {item.label} makes it ready to pay")


@wallet.command()
def register(
    label: CardName,
    person: Annotated[str | None, typer.Option("--person", help="The answer to the field Name.")] = None,
    answer: Annotated[
        list[str] | None, typer.Option("--answer", metavar="FIELD=TEXT", help="The answer to another field.")
    ] = None,
    shop: ShopFile = None,
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Get a card its certificate from the bank's CA; called again after an interruption, go on."""
    with answering():
        given = _answers(person, answer or [])
        place = read_shop(default_shop(shop))
        with opened(file, passphrase_file) as own, connected(place.ca) as wire:
            for root in place.trust.roots:
                typer.echo(f"trusting the root {fingerprint(root)}")
            done = register_card(own, label, place.trust, wire, lambda form: _fill(form, given))
        typer.echo(_said(label, done))
        if done.state is not State.COMPLETE:
            raise typer.Exit(1)


def _answers(person: str | None, answers: list[str]) -> dict[str, str]:
    given = {} if person is None else {"Name": person}
    for text in answers:
        name, found, value = text.partition("=")
        if not found:
            raise UsageError(f"{text!r} is no answer: it is written like FIELD=TEXT")
        given[name] = value
    return given


def _fill(form: RegFormOrReferral, given: Mapping[str, str]) -> Mapping[str, str]:
    """The form, filled in with what was given and what is asked for now."""
    data = form.reg_form_data
    if data is None or data.reg_template is None:
        return {}
    typer.echo(printable(f"the CA says: {data.policy_text}"))
    answers = {}
    for asked in data.reg_template.reg_field_seq or []:
        name = asked.field_name
        if name in given:
            answers[name] = given[name]
        elif asked.field_required and terminal():
            hint = "" if asked.field_desc is None else f" ({asked.field_desc})"
            answers[name] = typer.prompt(printable(f"{name}{hint}"), hide_input=bool(asked.field_invisible), err=True)
        elif asked.field_required:
            raise UsageError(f"the form asks for {name}: --answer {name}=…")
    return answers


def _said(label: str, done: Outcome) -> str:
    if done.state is State.COMPLETE:
        return f"registered: {label}"
    word = {State.PENDING: "not decided yet; ask again later", State.FORM_RECEIVED: "the form was filled in wrongly"}
    return f"{label}: {word.get(done.state, 'refused')}{f': {printable(done.said)}' if done.said else ''}"


@wallet.command("list")
def list_(as_json: AsJson = False, file: WalletFile = None, passphrase_file: PassphraseFile = None) -> None:
    """List what is in the wallet."""
    with answering(), opened(file, passphrase_file) as own:
        cards = own.cards()
    found = [
        {
            "label": item.label,
            "kind": item.kind.name.lower(),
            "brand": item.brand,
            "ends": item.card.pan.last_four(),
            "expiry": f"{item.expiry[:4]}-{item.expiry[4:]}",
            "state": item.state,
        }
        for item in cards
    ]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _table(["label", "kind", "brand", "ends", "expiry", "state"], [list(row.values()) for row in found])


@wallet.command()
def statement(
    label: CardName,
    since: Annotated[str | None, typer.Option("--since", metavar="DAY", help="Else 30 days ago.")] = None,
    as_json: AsJson = False,
    shop: ShopFile = None,
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Ask the bank for a statement of a card's account."""
    with answering():
        first = day(since)
        start = now() - timedelta(days=30) if first is None else datetime.combine(first, time(), UTC)
        place = read_shop(default_shop(shop))
        with opened(file, passphrase_file) as own, connected(place.bank) as bank:
            told = ask_statement(own, label, bank, start)
    columns = ["date", "what", "amount", "merchant", "reference", "code"]
    rows = []
    for line in told.lines:
        moment, sign = line.date.as_datetime(), "+" if line.credit else "-"
        amount = f"{sign}{line.amount}"
        rows.append([f"{moment:%Y-%m-%d %H:%M}", line.kind, amount, line.merchant, line.rrn, line.code or ""])
    sums = {
        "balance": f"{'-' if told.overdrawn else ''}{told.balance}",
        "held": str(told.held),
        "available": str(told.available),
    }
    if as_json:
        lines = [dict(zip(columns, row, strict=True)) for row in rows]
        typer.echo(json.dumps({"card": told.card, **sums, "lines": lines}, indent=2))
    else:
        _table(columns, rows)
        typer.echo(f"card ending {told.card}: " + ", ".join(f"{name} {amount}" for name, amount in sums.items()))


# --- the recorder ---------------------------------------------------------------------------------


@wallet.command()
def history(
    since: Annotated[str | None, typer.Option("--since", metavar="DAY")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DAY")] = None,
    merchant: Annotated[str | None, typer.Option("--merchant", help="Part of the name.")] = None,
    item: Annotated[str | None, typer.Option("--item", help="Part of the item's name.")] = None,
    card: Annotated[str | None, typer.Option("--card", help="Paid with this.")] = None,
    sums: Annotated[bool, typer.Option("--sums", help="How much of what was bought, instead.")] = False,
    as_json: AsJson = False,
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """List what was ordered and what became of it."""
    with answering():
        query = Query(day(since), day(until), merchant, item, card)
        with opened(file, passphrase_file) as own:
            found = recorder.entries(own, query)
    if sums:
        columns = ["merchant", "item", "quantity", "amount"]
        rows = [[one.merchant, one.name, str(one.quantity), str(one.amount)] for one in recorder.bought(found)]
    else:
        columns = ["order", "ordered", "merchant", "items", "total", "card", "standing", "receipt"]
        rows = [[entry.number if as_json else entry.short, *_row(entry)] for entry in found]
    if as_json:
        typer.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
    else:
        _table(columns, rows)


def _row(entry: Entry) -> list[str]:
    items = ", ".join(f"{line.quantity} {line.name}" for line in entry.description.lines)
    return [
        f"{entry.at:%Y-%m-%d %H:%M}",
        entry.merchant,
        items,
        str(entry.description.total),
        entry.means or "",
        entry.standing.value,
        "" if entry.kept is None else "yes",
    ]


@wallet.command()
def show(number: Which = "last", file: WalletFile = None, passphrase_file: PassphraseFile = None) -> None:
    """Show an order, its payment and its receipt."""
    with answering(), opened(file, passphrase_file) as own:
        typer.echo(printing.as_text(recorder.find(own, number)), nl=False)


@wallet.command("print")
def print_(
    number: Which = "last",
    form: Annotated[Form, typer.Option("--as")] = Form.TEXT,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A new file; else standard output.")] = None,
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Print a receipt as text, HTML or PDF."""
    with answering():
        if form is Form.PDF and out is None:
            raise UsageError("a PDF goes into a file: --out FILE")
        with opened(file, passphrase_file) as own:
            entry = recorder.find(own, number)
        if form is Form.PDF:
            data = printing.as_pdf(entry)
        else:
            data = (printing.as_html(entry) if form is Form.HTML else printing.as_text(entry)).encode()
        if out is None:
            typer.echo(data.decode(), nl=False)
            return
        with out.open("xb") as opened_file:
            opened_file.write(data)
        typer.echo(f"written: {out}")


@wallet.command("dispute")
def dispute_(
    number: Which = "last",
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new file.")] = Path("dispute.pem"),
    file: WalletFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write what the wallet can prove about an order, for setproto dispute verify; no card data is in it."""
    with answering(), opened(file, passphrase_file) as own:
        xid = recorder.xid(own, recorder.find(own, number))
        if xid is None:
            raise UsageError("nothing was paid for this order")
        with own.vault.transaction() as transaction:
            found = evidence.export(transaction, xid)
        write(found, out)


@wallet.command()
def resume(shop: ShopFile = None, file: WalletFile = None, passphrase_file: PassphraseFile = None) -> None:
    """Find out what became of payments that were interrupted, and fetch receipts that are missing."""
    with answering():
        place = read_shop(default_shop(shop))
        with opened(file, passphrase_file) as own, connected(place.merchant) as server:
            till = Till(own, place.trust, server, place.merchant)
            for entry in recorder.entries(own, Query(shop=place.merchant)):
                outcome = till.settle(entry.order.lid_m)
                if outcome.standing.is_paid and entry.kept is None:
                    _fetch(till, entry.order.lid_m)
                if outcome.standing is not entry.standing or outcome.standing is Standing.PENDING:
                    said = f" ({outcome.said})" if outcome.said else ""
                    typer.echo(f"{entry.short}: {outcome.standing.value}{said}")


def _fetch(till: Till, lid_m: bytes) -> None:
    try:
        till.fetch_receipt(lid_m)
    except SetError as failure:
        typer.echo(f"no receipt yet: {failure.detail}")


def _table(columns: list[str], rows: list[list[str]]) -> None:
    with console() as out:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        out.print(table)
