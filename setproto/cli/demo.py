"""``setproto demo``: a purchase from end to end, on the screen, as JSON, and as files."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from setproto.cli.console import console, refuse
from setproto.demo import Demonstration, KeepRefused, Step, demonstrate, keep, prepare


class Suite(enum.StrEnum):
    """The suites, as the command line takes them: held equal to ``crypto.suites.SUITES`` by a test."""

    P256 = "p256"
    RSA3072 = "rsa3072"
    ED25519 = "ed25519"
    MLDSA65 = "mldsa65"


def demo(
    suite: Annotated[Suite, typer.Option(help="Which algorithms to use.", case_sensitive=True)] = Suite.P256,
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
        "messages": [
            {"n": s.n, "name": s.name, "from": s.sender.name, "to": s.recipient.name, "bytes": s.size}
            for s in shown.steps
        ],
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
    _title(out, f"A purchase of {shown.amount}, suite {shown.market.suite}")
    for endpoint in shown.market.parties.values():
        out.print(Text.assemble((f"{endpoint.party.role.name:10}  ", "dim"), endpoint.party.name))
    out.print()
    out.print(_timeline(shown.steps))
    out.print("Sizes of sealed objects in parentheses, in octets.", style="dim")
    out.print()
    _title(out, "The same purchase as the merchant saw it, and as the gateway saw it")
    out.print(_facts(shown))
    out.print()
    _title(out, "Four attacks on it")
    out.print(_attacks(shown))
    _title(out, "The card number in what the merchant held")
    out.print(_scan(shown))
    out.print()
    out.print(_verdict(shown))


def _title(out: Console, text: str) -> None:
    out.print(Text(text, style="bold underline"))
    if not out.is_terminal:
        out.print("─" * len(text))
    out.print()


def _timeline(steps: list[Step]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("n", justify="right", style="dim", no_wrap=True)
    table.add_column("message", no_wrap=True)
    table.add_column("from → to", no_wrap=True)
    table.add_column("octets", justify="right", no_wrap=True)
    table.add_column("how it is protected, and who can read what", overflow="fold")
    for step in steps:
        table.add_row(
            str(step.n),
            Text(step.name, style="bold"),
            f"{step.sender.name} → {step.recipient.name}",
            f"{step.size:,}",
            Group(Text(step.protection, style="italic"), _details(step), ""),
        )
    return table


def _details(step: Step) -> Table:
    """A line per signature, per recipient of seals, and per circle of readers; long ones wrap under themselves."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for what, by in step.signed:
        grid.add_row(Text("signed", style="green"), _line([what], f"by the {by.name}"))
    for role in dict.fromkeys(to for _, to, _ in step.sealed):
        whats = [f"{what} ({size:,})" for what, to, size in step.sealed if to is role]
        grid.add_row(Text("sealed", style="magenta"), _line(whats, f"to the {role.name}"))
    if step.anyone:
        grid.add_row(Text("read", style="cyan"), _line(step.anyone, "by anyone"))
    for role, names in step.opens.items():
        grid.add_row(Text("read", style="cyan"), _line(names, f"by the {role.name} alone"))
    return grid


def _line(what: Sequence[str], whom: str) -> Text:
    return Text.assemble(", ".join(what), (f" {whom}", "dim"))


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
