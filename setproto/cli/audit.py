"""``setproto audit`` and ``setproto dispute``: what a record proves, to its owner and to others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from setproto.audit import audit as audit_record
from setproto.audit import evidence, prove
from setproto.cli.ca.desk import AsJson, answering
from setproto.cli.console import refuse
from setproto.errors import ProtocolError, UsageError
from setproto.reading.pem import blocks_in, from_pem, to_pem
from setproto.roles.journal import JournalDamaged, head_from
from setproto.roles.ports import Transaction
from setproto.store.sql import SQLStore

dispute = typer.Typer(help="Prove to others what happened in a purchase.", no_args_is_help=True)

StoreURL = Annotated[
    str, typer.Option("--store", metavar="URL", help="The party's database, like sqlite:///DIR/merchant.db.")
]
Space = Annotated[str, typer.Option("--space", metavar="NAME", help="The party's space in it, like merchant.")]
Roots = Annotated[list[Path], typer.Option("--root", metavar="FILE", help="Trusted root certificates (PEM).")]
XID_DIGITS: Final = 40


def audit(
    store: StoreURL,
    space: Space,
    root: Roots,
    noted: Annotated[
        str | None, typer.Option("--noted", metavar="N:HASH", help="A head noted before: the record must lead to it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a party's whole record again, from signatures alone.

    Exit status 1 if an entry was altered, removed, moved or cut off, or holds what nobody signed; the line names it.
    Note the head that is printed elsewhere, and give it to the next audit: without it, whoever can write the database
    can cut entries off at the end.
    """
    with _judging(), existing(store, space) as transaction:
        done = audit_record(transaction, _roots(root), None if noted is None else head_from(noted))
    if done.head.count == 0:
        refuse(f"there is no record in the space {space}")
    parties = ", ".join(map(str, done.parties))
    if as_json:
        counts = {
            "verified": done.verified,
            "closed": done.closed,
            "unkept": done.unkept,
            "disbelieved": done.disbelieved,
        }
        whole = {"head": str(done.head), "entries": done.head.count, "parties": list(map(str, done.parties)), **counts}
        typer.echo(json.dumps(whole, indent=2))
        return
    typer.echo(f"the record of {parties} is whole: {done.head.count} entries, {done.verified} messages verified")
    if done.closed:
        typer.echo(f"{done.closed} messages of registrations are sealed in the record: only their place was verified")
    if done.unkept:
        typer.echo(f"{done.unkept} messages were refused or repeated, and are recorded as digests")
    if done.disbelieved:
        typer.echo(f"{done.disbelieved} messages were sent under a certificate that was revoked: they prove nothing")
    typer.echo(f"head: {done.head}")


@dispute.command("export")
def export(
    store: StoreURL,
    space: Space,
    xid: Annotated[str, typer.Option("--xid", metavar="HEX", help="The purchase: 40 hexadecimal digits.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Written; it must not exist yet.")],
    merchant: Annotated[
        str | None, typer.Option("--merchant", metavar="NAME", help="Where several merchants chose the same XID.")
    ] = None,
) -> None:
    """Write what the record holds about one purchase to a small file, for others to verify.

    It tells what was ordered and for how much, and holds no card data.
    """
    with _judging():
        if len(xid) != XID_DIGITS or not set(xid.lower()) <= set("0123456789abcdef"):
            raise UsageError(f"{xid!r} is no XID: it has {XID_DIGITS} hexadecimal digits")
        with existing(store, space) as transaction:
            found = evidence.export(transaction, bytes.fromhex(xid), merchant)
        write(found, out)


def write(found: evidence.Evidence, out: Path) -> None:
    """What was found, in a new file, and a word about it."""
    with out.open("xb") as written:
        written.write(to_pem(evidence.LABEL, evidence.dump(found)))
    typer.echo(f"written: {out}, {len(found.items)} messages")


@dispute.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What setproto dispute export has written.")],
    root: Roots,
    as_json: AsJson = False,
) -> None:
    """Say what follows from a file for whoever trusts these roots; exit status 1 if anything in it does not hold."""
    with _judging():
        with file.open("rb") as opened:
            data = opened.read(2 * evidence.MAX_EVIDENCE)
        try:
            der = from_pem(data)
        except ValueError as failure:
            raise UsageError(f"{file}: {failure}") from None
        proved = prove(der, _roots(root))
    if as_json:
        said = [
            {"by": str(one.by), "at": one.at.isoformat(), "what": one.what, **one.facts} for one in proved.statements
        ]
        typer.echo(json.dumps({"xid": proved.xid.hex(), "statements": said}, indent=2))
        return
    typer.echo(f"purchase {proved.xid.hex()}")
    for one in proved.statements:
        typer.echo(str(one))


@contextmanager
def _judging() -> Iterator[None]:
    """Status 1 for what is refused; 2, as everywhere, for a request that makes no sense."""
    with answering():
        try:
            yield
        except JournalDamaged as failure:
            refuse(failure.detail, status=1)
        except ProtocolError as failure:
            refuse(f"refused: {failure}", status=1)


@contextmanager
def existing(url: str, space: str) -> Iterator[Transaction]:
    """A transaction of a store that must exist: looking at a database must not make one.  ``space`` is a part of it.
    UsageError if there is none."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError(f"{url!r} is no database URL") from None
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise UsageError(f"there is no database {parsed.database}")
    store = SQLStore(url, space)
    try:
        with store.transaction() as transaction:
            yield transaction
    finally:
        store.close()


def _roots(files: list[Path]) -> list[bytes]:
    return [der for file in files for der in blocks_in(file)]
