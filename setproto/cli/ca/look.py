"""The ``setproto ca`` commands that change nothing: list, show, verify, export, log.  None needs the passphrase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pki import CertificateError, CertificateKind, CheckedCertificate, check_certificate
from pki.interchange import dump_pkcs12
from setproto.ca.audit import Told, audit, told
from setproto.ca.register import Issued
from setproto.cli.ca.desk import (
    DIR,
    AsJson,
    Database,
    Directory,
    KeyPassphraseFile,
    NewFiles,
    Out,
    Which,
    answering,
    fingerprint,
    key_passphrase,
    line,
    looking,
    meant,
    moment,
    now,
)
from setproto.cli.console import complain, console
from setproto.cli.inspect import tree
from setproto.errors import UsageError
from setproto.reading import Reader
from setproto.reading.pem import blocks_in, to_pem
from setproto.roles.journal import head_from
from setproto.server import public


def list_(
    authority: Annotated[str | None, typer.Option("--ca", metavar="CA", help="What this one issued.")] = None,
    as_json: AsJson = False,
    directory: Directory = DIR,
    database: Database = None,
) -> None:
    """List every certificate that was issued here, by CA."""
    with looking(directory, database) as (_, office):
        name = None if authority is None else office.named(authority).name
        found = [issued for issued in office.certificates() if name in (None, issued.issuer)]
    at = now()
    if as_json:
        typer.echo(json.dumps([_described(issued) for issued in found], indent=2))
        return
    before = None
    for issued in found:
        if issued.issuer != before:
            typer.echo(f"{issued.issuer}:")
            before = issued.issuer
        typer.echo(f"  {line(issued, at)}")


def show(what: Which, directory: Directory = DIR, database: Database = None) -> None:
    """Show a certificate field by field, and what the register says of it."""
    with looking(directory, database) as (_, office):
        issued = meant(office, what)
    with console() as out:
        out.print(tree(Reader(()).read(issued.checked.der)), soft_wrap=True)
        out.print(Text(f"fingerprint: {fingerprint(issued.checked.der)}"))
        out.print(Text(f"issued by {issued.issuer}; {issued.state(now())}"))
        if issued.revocation is not None:
            reason = "" if issued.revocation.reason is None else f", {issued.revocation.reason.value}"
            out.print(Text(f"revoked {issued.revocation.at:%Y-%m-%d %H:%M:%S}{reason}"))


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="CHAIN.pem…", help="A certificate, then others of its chain.")],
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="As of this time; else now.")] = None,
    directory: Directory = DIR,
    database: Database = None,
) -> None:
    """Validate the first certificate of each file, with the newest CRLs and BCIs of this hierarchy.

    Exit status 1 if one is refused; the line says which certificate of its chain, by which rule, and where that is
    written.
    """
    with answering():
        when = moment(at)
        chains = [(file, blocks_in(file)) for file in files]
    with looking(directory, database) as (_, office):
        validator = office.validator()
    refused = False
    for file, (leaf, *others) in chains:
        try:
            checked = check_certificate(leaf)
            brand = "" if checked.kind is CertificateKind.ROOT else checked.name.organization
            valid = validator.validate(leaf, kind=checked.kind, brand=brand, at=when, extra=others)
        except CertificateError as refusal:
            complain(f"{file}: REFUSED: {refusal}")
            refused = True
        else:
            typer.echo(f"{file}: good: {checked.printable}, until {valid.not_after:%Y-%m-%d}")
    raise typer.Exit(1 if refused else 0)


def export(
    what: Annotated[
        str | None, typer.Argument(metavar="[CERT.pem|SERIAL]", help="Only this one, with its chain.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="KEY.pem", help="Its encrypted key: writes PKCS#12 too.")
    ] = None,
    out: Out = Path(),
    directory: Directory = DIR,
    database: Database = None,
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """Write what everybody may have: root.pem, cas.pem, crls.pem and bcis.pem; or one certificate.

    The PKCS#12 file has the passphrase of the key.
    """
    with answering():
        if what is not None:
            _export_one(what, key, out, directory, database, key_passphrase_file)
            return
        if key is not None:
            raise UsageError("--key needs its certificate")
    with looking(directory, database) as (_, office):
        files = public.contents(office)
    with answering():
        public.write(files, out)
    for name in files:
        typer.echo(f"written: {out / name}")


def log(
    verify_it: Annotated[bool, typer.Option("--verify", help="Check all of it against what there is.")] = False,
    head: Annotated[
        str | None, typer.Option("--head", metavar="N:HASH", help="A head noted before: the log must lead to it.")
    ] = None,
    as_json: AsJson = False,
    directory: Directory = DIR,
    database: Database = None,
) -> None:
    """Print the log: everything that was issued, revoked and published, and its head, to be noted elsewhere.

    With --verify print the head only, after every hash has been checked and the log compared with the registers.
    """
    with looking(directory, database) as (transaction, office):
        noted = None if head is None else head_from(head)
        if verify_it or noted is not None:
            end = audit(transaction, office, noted)
            entries = []
        else:
            entries = list(told(transaction))
    if verify_it or noted is not None:
        typer.echo(f"the log is whole, and nothing is otherwise than it says; head: {end}")
    elif as_json:
        typer.echo(json.dumps([_entry(one) for one in entries], indent=2))
    else:
        for one in entries:
            typer.echo(
                f"{one.entry.number} {one.entry.at:%Y-%m-%d %H:%M:%S} {one.entry.what} {one.number} {one.noted.about}"
            )


# --- the parts of the above ---------------------------------------------------------------------


def _export_one(
    what: str, key: Path | None, out: Path, directory: Path, database: str | None, key_passphrase_file: Path | None
) -> None:
    with looking(directory, database) as (_, office):
        issued = meant(office, what)
        chain = () if issued.checked.kind is CertificateKind.ROOT else office.chain(issued.issuer)
        suite = office.hierarchy.key_suite
    called = f"{issued.serial:X}"
    names = [f"{called}.pem", f"{called}-chain.pem", *([] if key is None else [f"{called}.p12"])]
    with NewFiles(out, names) as files:
        if key is not None:
            pem = key.read_bytes()
            passphrase = key_passphrase(key_passphrase_file, new=False).encode()
            name = issued.checked.name.common_name or " ".join(issued.checked.name.units)
            p12 = dump_pkcs12(issued.checked.der, pem, chain, suite=suite, passphrase=passphrase, name=name)
            files.write(f"{called}.p12", p12, 0o600)
        files.write(f"{called}.pem", to_pem("CERTIFICATE", issued.checked.der))
        files.write(f"{called}-chain.pem", b"".join(to_pem("CERTIFICATE", der) for der in chain))
    for name in names:
        typer.echo(f"written: {out / name}")


def _described(issued: Issued) -> dict[str, str | None]:
    checked: CheckedCertificate = issued.checked
    revocation = issued.revocation
    return {
        "serial": f"{issued.serial:X}",
        "issuer": issued.issuer,
        "kind": checked.kind.value,
        "subject": checked.certificate.subject.rfc4514_string(),
        "not_before": checked.not_before.isoformat(),
        "not_after": checked.not_after.isoformat(),
        "state": issued.state(now()),
        "revoked": None if revocation is None else revocation.at.isoformat(),
        "reason": None if revocation is None or revocation.reason is None else revocation.reason.value,
    }


def _entry(one: Told) -> dict[str, str | int]:
    return {
        "entry": one.entry.number,
        "time": one.entry.at.isoformat(),
        "what": one.entry.what,
        "number": one.number,
        "about": one.noted.about,
        "digest": one.noted.digest.hex(),
        "hash": one.entry.hash.hex(),
    }
