"""``setproto ca register``: the registration protocol, applicant and CA in one process.

A card number is read from a file or asked for, never taken from the command line, and stays between the applicant and
its CA, as on a wire.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pki import MerchantData, MerchantName, key_suite, thumbprint
from pki.keystore import dump_private_key, load_exchange_key, load_signature_key
from setproto.ca.card_secrets import LABEL, dump_card_secrets
from setproto.ca.office import Office
from setproto.ca.registrar import Operator, certificate_authority
from setproto.card import PAN, Card, CardExpiry
from setproto.cli.ca.desk import (
    DIR,
    Database,
    Directory,
    KeyPassphraseFile,
    NewFiles,
    Out,
    PassphraseFile,
    answering,
    key_passphrase,
    now,
    say,
    unlocked,
)
from setproto.cli.ca.options import (
    Account,
    Acquirer,
    Bin,
    BrandName,
    City,
    CountryNumber,
    GatewayID,
    Issuer,
    MerchantID,
    Person,
    Prefix,
    ShownAs,
)
from setproto.cli.ca.work import brand_meant
from setproto.cli.opening import CardFile, card_data
from setproto.crypto.cms import RecipientKey, SecretKey, Signer
from setproto.crypto.suites import suite
from setproto.errors import UsageError
from setproto.messages.codes import CertStatusCode, RequestType, Wants
from setproto.messages.common import PartyID, Role
from setproto.messages.registration import AcquirerID, IDData, MerchantAcquirerID
from setproto.reading.pem import blocks_in, to_pem
from setproto.roles.applicant import Applicant
from setproto.roles.authority.ports import Approval
from setproto.roles.credentials import Credentials
from setproto.roles.endpoint import Endpoint
from setproto.roles.enrolment import Business, Certified, State, Subject
from setproto.roles.ports import EventKind, Outgoing
from setproto.store import MemoryStore

register = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run the registration protocol for a cardholder, a merchant or a gateway.",
)

Renew = Annotated[
    str | None,
    typer.Option("--renew", metavar="NAME", help="Renew the certificates in the files of this name in the same DIR."),
]


@dataclass(frozen=True)
class Place:
    """Where the hierarchy and the files are, and their passphrases."""

    directory: Path
    database: str | None
    passphrase_file: Path | None
    key_passphrase_file: Path | None
    out: Path
    name: str
    renew: str | None


@register.command()
def cardholder(
    issuer: Issuer,
    person: Person,
    card_file: CardFile = None,
    brand: BrandName = None,
    name: Prefix = "cardholder",
    renew: Renew = None,
    out: Out = Path(),
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """CardCInit, RegForm and CertReq: a certificate that shows neither the holder nor the card."""
    place = Place(directory, database, passphrase_file, key_passphrase_file, out, name, renew)
    with answering(), in_words():
        digits, expiry = card_data(card_file)
        _register(
            place,
            Role.cardholder,
            brand,
            person,
            lambda brand_name: Card(brand_name, PAN(digits), CardExpiry(expiry)),
            lambda country: Approval(country, issuer),
        )


@register.command()
def merchant(
    mer_id: MerchantID,
    shown_as: ShownAs,
    acquirer: Acquirer,
    acquirer_bin: Bin,
    city: City,
    account: Account,
    person: Person,
    country_number: CountryNumber = 999,
    brand: BrandName = None,
    name: Prefix = "merchant",
    renew: Renew = None,
    out: Out = Path(),
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """Me-AqCInit and CertReq: both certificates of a merchant."""
    place = Place(directory, database, passphrase_file, key_passphrase_file, out, name, renew)

    def approval(country: str) -> Approval:
        names = MerchantName(language="en", name=shown_as, city=city, country_name=country)
        data = MerchantData(
            mer_id=mer_id, mer_acquirer_bin=acquirer_bin, mer_name_seq=(names,), mer_country=country_number
        )
        return Approval(country, acquirer, merchant_data=data)

    with answering(), in_words():
        own = IDData(merchant_acquirer_id=MerchantAcquirerID(merchant_bin=acquirer_bin, merchant_id=mer_id))
        _register(place, Role.merchant, brand, person, lambda _: Business(Role.merchant, own, account), approval)


@register.command()
def gateway(
    gateway_id: GatewayID,
    acquirer: Acquirer,
    acquirer_bin: Bin,
    account: Account,
    person: Person,
    brand: BrandName = None,
    name: Prefix = "gateway",
    renew: Renew = None,
    out: Out = Path(),
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """Me-AqCInit and CertReq: both certificates of a payment gateway."""
    place = Place(directory, database, passphrase_file, key_passphrase_file, out, name, renew)
    with answering(), in_words():
        own = IDData(acquirer_id=AcquirerID(acquirer_bin=acquirer_bin, acquirer_business_id=gateway_id))
        _register(
            place,
            Role.gateway,
            brand,
            person,
            lambda _: Business(Role.gateway, own, account),
            lambda country: Approval(country, acquirer),
        )


# --- the parts of the above ---------------------------------------------------------------------


def _register(
    place: Place,
    role: Role,
    brand: str | None,
    person: str,
    subject: Callable[[str], Subject],
    approval: Callable[[str], Approval],
) -> None:
    """One registration: ask for the form, fill it in, write what came of it.

    The CA's commit comes before the files.  Killed in between, this leaves a certificate that nobody has the key of.
    """
    with unlocked(place.directory, place.database, place.passphrase_file) as (store, vault):
        with store.transaction() as transaction:
            hierarchy = Office(transaction, now(), vault).hierarchy
        chosen = brand_meant(hierarchy, brand)
        operator = Operator(approval(hierarchy.country_of(chosen)))
        ca, validator = certificate_authority(store, vault, role, chosen.name, operator, clock=now, random=os.urandom)
        passphrase = key_passphrase(place.key_passphrase_file, new=True)
        names = file_names(place.name, role)
        with NewFiles(place.out, names) as files:
            applicant = Applicant(
                subject(chosen.name),
                request_type(role, renewal=place.renew is not None),
                validator,
                MemoryStore(),
                brand=chosen.name,
                lid_ee=os.urandom(8),
                vault=SecretKey(os.urandom(32), b"register"),
                clock=now,
                random=os.urandom,
                certified=None
                if place.renew is None
                else _certified(place, role, chosen.name, passphrase, validator.suite),
            )
            lines = list(_converse(applicant, ca, applicant.start()))
            form = applicant.form().form.reg_form_data if applicant.enrolment().state is State.FORM_RECEIVED else None
            if form is None:
                raise UsageError("the CA sent no form")
            lines.append(f"policy: {form.policy_text}")
            lines += _converse(applicant, ca, applicant.apply({"Name": person}))
            done = applicant.certified()
            for file, data in files_of(place.name, done, passphrase).items():
                files.write(file, data, 0o600 if "key" in file or "secrets" in file else 0o644)
        for said in lines:
            typer.echo(said)
        for certificate in done.credentials.own_certificates[: 1 if role is Role.cardholder else 2]:
            say(certificate)
        for file in names:
            typer.echo(f"written: {place.out / file}")


def _converse(applicant: Applicant, ca: Endpoint, first: Outgoing) -> Iterator[str]:
    """Carry messages until there are none, a line for each.  UsageError with what was refused."""
    waiting: list[tuple[Applicant | Endpoint, Outgoing]] = [(ca, first)]
    while waiting:
        to, message = waiting.pop(0)
        yield f"{message.name}: {len(message.data):,} octets to the {to.party.role.name.replace('_', ' ')}"
        reply = to.handle(message.data)
        for event in reply.events:
            # What the CA thinks of a request, the applicant says in more words.
            said = event.kind is not EventKind.CERTIFICATION or to is applicant
            if said and event.code is not None and event.code is not CertStatusCode.requestComplete:
                raise UsageError(f"{event.code.name}: {event.detail}")
        waiting += [(applicant if to is ca else ca, answer) for answer in reply.outgoing]


def request_type(role: Role, *, renewal: bool) -> RequestType:
    """What is asked for: all certificates that there are for this role."""
    wants = Wants.SIG if role is Role.cardholder else Wants.BOTH
    return next(
        kind for kind in RequestType if (kind.applicant, kind.renewal, kind.wants) == (int(role), renewal, wants)
    )


def file_names(name: str, role: Role) -> list[str]:
    """The files that are written."""
    pairs = ["signature"] if role is Role.cardholder else ["signature", "exchange"]
    names = [f"{name}-{use}{end}" for use in pairs for end in (".pem", ".key.pem")]
    return [*names, f"{name}-chain.pem", *([f"{name}-secrets.pem"] if role is Role.cardholder else [])]


def files_of(name: str, done: Certified, passphrase: str) -> dict[str, bytes]:
    """File → what is in it; private keys under the passphrase."""
    own = done.credentials
    files = {
        f"{name}-signature.pem": to_pem("CERTIFICATE", own.signer.certificate),
        f"{name}-signature.key.pem": dump_private_key(own.signer.private_key, passphrase.encode()),
        f"{name}-chain.pem": b"".join(to_pem("CERTIFICATE", der) for der in own.chain),
    }
    if own.exchange is not None:
        files[f"{name}-exchange.pem"] = to_pem("CERTIFICATE", own.exchange.certificate)
        files[f"{name}-exchange.key.pem"] = dump_private_key(own.exchange.private_key, passphrase.encode())
    if done.card_secret is not None and done.pan_secret is not None:
        secrets = dump_card_secrets(done.card_secret, done.pan_secret, passphrase)
        files[f"{name}-secrets.pem"] = to_pem(LABEL, secrets)
    return files


def _certified(place: Place, role: Role, brand: str, passphrase: str, suite_name: str) -> Credentials | None:
    """The certificates that are renewed, with their keys, from the files that were written when they were issued."""
    if place.renew is None:
        return None

    def pair(use: str) -> tuple[bytes, bytes]:
        certificate = blocks_in(place.out / f"{place.renew}-{use}.pem")[0]
        return certificate, (place.out / f"{place.renew}-{use}.key.pem").read_bytes()

    chosen = key_suite(suite_name)
    certificate, pem = pair("signature")
    signer = Signer(load_signature_key(pem, passphrase.encode(), chosen), certificate, suite(suite_name))
    exchange = None
    if role is not Role.cardholder:
        exchange_certificate, pem = pair("exchange")
        exchange = RecipientKey(load_exchange_key(pem, passphrase.encode(), chosen), exchange_certificate, suite_name)
    chain = tuple(blocks_in(place.out / f"{place.renew}-chain.pem"))
    # Only the keys matter here: the CA takes the name from the certificate.
    return Credentials(PartyID(role=role, brand=brand, name=thumbprint(certificate).hex()), signer, exchange, chain)


@contextmanager
def in_words() -> Iterator[None]:
    """What cannot be written into a certificate or a message is the user's mistake."""
    try:
        yield
    except ValueError as failure:
        raise UsageError(str(failure)) from None
