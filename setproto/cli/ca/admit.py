"""``setproto ca waiting``, ``approve``, ``refuse``: merchants and gateways that applied to the CA's server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from setproto.ca import admission
from setproto.ca.admission import Admission
from setproto.ca.office import Office
from setproto.ca.registrar import Operator, certificate_authority
from setproto.cli.ca.desk import DIR, AsJson, Database, Directory, PassphraseFile, now, unlocked
from setproto.cli.ca.options import Acquirer, BrandName, City, CountryNumber, ShownAs
from setproto.cli.ca.work import brand_meant
from setproto.cli.console import printable
from setproto.errors import UsageError
from setproto.messages.common import Role
from setproto.roles.authority.ports import Approval, BusinessApplication
from setproto.store.sql import SQLStore

Reference = Annotated[
    str, typer.Argument(metavar="REFERENCE", help="As setproto ca waiting lists it, or its first digits.")
]


def waiting(
    as_json: AsJson = False,
    brand: BrandName = None,
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """List merchants and gateways that have applied and were neither approved nor refused."""
    with _applications(directory, database, passphrase_file, brand) as (_, _, found):
        told = [_told(one) for one in found]
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    for one in told:
        answers = ", ".join(f"{name} {value}" for name, value in one["answers"].items())
        kind = f"{one['role']}{' (renewal)' if one['renewal'] else ''}"
        said = f"{one['reference']} {kind} {one['name']}, BIN {one['bin']}, account {one['account']}, {answers}"
        typer.echo(printable(said))


def approve(
    reference: Reference,
    acquirer: Acquirer,
    shown_as: ShownAs = "",
    city: City = "",
    country_number: CountryNumber = 999,
    brand: BrandName = None,
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Have a merchant or a gateway certified, with its next inquiry.  What its certificate says of it stands here."""
    with _applications(directory, database, passphrase_file, brand) as (store, country, found):
        one = _meant(found, reference)
        admitted = Admission(acquirer=acquirer)
        if one.party.role is Role.merchant:
            admitted = Admission(acquirer=acquirer, shown_as=shown_as, city=city, country=country_number)
        admission.approval(one, admitted, country)
        with store.transaction() as transaction:
            admission.require_new(Office(transaction, now()), one)
            admission.decide(transaction, one, admitted)
    typer.echo(f"approved: {one.party.name}")


def refuse(
    reference: Reference,
    reason: Annotated[str, typer.Option("--reason", help="For the applicant to read.")],
    brand: BrandName = None,
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Turn a merchant or a gateway away."""
    with _applications(directory, database, passphrase_file, brand) as (store, _, found):
        one = _meant(found, reference)
        with store.transaction() as transaction:
            admission.decide(transaction, one, Admission(refusal=reason))
    typer.echo(f"refused: {one.party.name}")


@contextmanager
def _applications(
    directory: Path, database: str | None, passphrase_file: Path | None, brand: str | None
) -> Iterator[tuple[SQLStore, str, list[BusinessApplication]]]:
    """The store, the country of the brand, and what waits there."""
    with unlocked(directory, database, passphrase_file) as (store, vault):
        with store.transaction() as transaction:
            hierarchy = Office(transaction, now(), vault).hierarchy
        chosen = brand_meant(hierarchy, brand)
        country = hierarchy.country_of(chosen)
        found: list[BusinessApplication] = []
        for role in (Role.merchant, Role.gateway):
            operator = Operator(Approval(country, ""))  # is asked nothing here
            ca, _ = certificate_authority(store, vault, role, chosen.name, operator, clock=now, random=os.urandom)
            found += [one for one in ca.waiting() if isinstance(one, BusinessApplication)]
        yield store, country, found


def _meant(found: list[BusinessApplication], reference: str) -> BusinessApplication:
    meant = [one for one in found if one.reference.hex().startswith(reference.lower())]
    if len(meant) != 1:
        raise UsageError(
            f"{'several applications begin with' if meant else 'nothing waits that is'} {reference[:40]!r}"
        )
    return meant[0]


def _told(one: BusinessApplication) -> dict[str, Any]:
    return {
        "reference": one.reference.hex(),
        "role": one.party.role.name,
        "renewal": one.request_type.renewal,
        "name": one.party.name,
        "bin": one.acquirer_bin,
        "account": one.account,
        "answers": dict(one.answers),
    }
