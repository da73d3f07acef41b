"""``setproto demo``: a purchase from end to end, on the screen, as JSON, and as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from setproto.cli.console import Algorithms, Suite, console, refuse, title
from setproto.cli.timeline import SIZES, messages, timeline
from setproto.demo import Demonstration, KeepRefused, demonstrate, keep, prepare


def demo(
    suite: Algorithms = Suite.P256,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the report.")] = False,
    keep_in: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="DIR",
            help="Write messages, CMS objects, certificates, keys, and what merchant and gateway held, to a new or "
            "empty directory; DIR/CHECK.sh checks them with the stock openssl command.",
        ),
    ] = None,
) -> None:
    """Run a complete purchase, show who sees what, and attack it.

    Builds a certificate hierarchy, certifies a cardholder, a merchant and a payment gateway, and makes a purchase:
    PInit, P, Auth, Cap and an inquiry.  Then four attacks on that same purchase, each on the real messages.

    Exit status 0 only if the purchase completed, every attack was refused, and the card number is nowhere in what
    the merchant received, decrypted or stored; otherwise 1.
    """
    try:
        directory = None if keep_in is None else prepare(keep_in)
        shown = demonstrate(suite.value)
        if directory is not None:
            keep(shown, directory)
    except KeepRefused as refusal:
        refuse(refusal.detail)
    except OSError as failure:
        refuse(f"{keep_in}: {failure.strerror or failure}")
    if as_json:
        typer.echo(json.dumps(report(shown), indent=2))
    else:
        with console() as out:
            show(shown, out)
        if directory is not None:
            typer.echo(f"\nKept in {directory}; check it with: sh {directory / 'CHECK.sh'}")
    raise typer.Exit(0 if shown.succeeded else 1)


def report(shown: Demonstration) -> dict[str, Any]:
    """The demonstration as JSON has it."""
    code, scan = shown.purchase.completion_code, shown.merchant_scan
    return {
        "suite": shown.market.suite,
        "completion_code": None if code is None else code.name,
        "amount": str(shown.amount),
        "test_card": shown.test_card,
        "messages": messages(shown.steps),
        "attacks": [
            {"name": a.name, "refused_by": a.refused_by if a.refused else None, "error": a.error} for a in shown.attacks
        ],
        "merchant_scan": {
            "bytes_scanned": scan.bytes_scanned,
            "encodings": list(scan.encodings),
            "hits": len(scan.hits),
            "places": [f"{hit.where}: {hit.encoding}" for hit in scan.hits],
        },
        "succeeded": shown.succeeded,
        "seconds": round(shown.seconds, 3),
    }


# --- the report -----------------------------------------------------------------------------------


def show(shown: Demonstration, out: Console) -> None:
    """The whole report."""
    title(out, f"A purchase of {shown.amount}, suite {shown.market.suite}")
    for endpoint in shown.market.parties.values():
        out.print(Text.assemble((f"{endpoint.party.role.name:10}  ", "dim"), endpoint.party.name))
    out.print()
    out.print(timeline(shown.steps))
    out.print(SIZES, style="dim")
    out.print()
    title(out, "The same purchase as the merchant saw it, and as the gateway saw it")
    out.print(_facts(shown))
    out.print()
    title(out, "Four attacks on it")
    out.print(_attacks(shown))
    title(out, "The card number in what the merchant held")
    out.print(_scan(shown))
    out.print()
    out.print(_verdict(shown))


def _facts(shown: Demonstration) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("the merchant", overflow="fold")
    table.add_column("the gateway", overflow="fold")
    for fact in shown.facts:
        table.add_row(Text(fact.about, style="bold" if fact.hidden else ""), Text(fact.merchant), Text(fact.gateway))
    return table


def _attacks(shown: Demonstration) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for attack in shown.attacks:
        verdict = ("NOT REFUSED: ", "bold red")
        if attack.refused:
            verdict = (f"refused by the {attack.refused_by}: ", "green")
        result = Text.assemble(verdict, (attack.error, "bold"))
        table.add_row(Text(attack.name, style="bold"), Group(attack.deed, result, attack.reason, ""))
    return table


def _scan(shown: Demonstration) -> Group:
    scan = shown.merchant_scan
    found = Text("Found nowhere.", style="bold green")
    if scan.hits:
        places = ", ".join(sorted({hit.where for hit in scan.hits}))
        found = Text(f"FOUND {len(scan.hits)} times: {places}", style="bold red")
    count = len(shown.merchant_holds)
    return Group(
        f"{scan.bytes_scanned:,} octets, in {count} strings that the merchant received, made, decrypted or stored.",
        f"Searched for as {'; '.join(scan.encodings)}.",
        found,
    )


def _verdict(shown: Demonstration) -> Text:
    code = shown.purchase.completion_code
    refused = sum(attack.refused for attack in shown.attacks)
    text = (
        f"{'no result' if code is None else code.name}; {refused} of {len(shown.attacks)} attacks refused; "
        f"card number found {len(shown.merchant_scan.hits)} times; {shown.seconds:.2f} s"
    )
    return Text(text, style="bold green" if shown.succeeded else "bold red")
