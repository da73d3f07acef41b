"""The ``setproto ca`` commands that change something: init, issue, renew, revoke, crl, bci, rollover."""

from __future__ import annotations

import base64
import binascii
import enum
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from pki import check_bci, check_crl
from pki.interchange import load_public_key
from pki.keystore import dump_private_key
from pki.profiles import CA_KINDS
from setproto.ca import parties
from setproto.ca.config import EXAMPLE, Brand, Hierarchy, parse
from setproto.ca.office import Office
from setproto.ca.parties import ISSUERS, Wanted
from setproto.cli.ca.desk import (
    DIR,
    Database,
    Directory,
    KeyPassphraseFile,
    NewFiles,
    Out,
    PassphraseFile,
    Which,
    answering,
    ca_passphrase,
    created,
    fingerprint,
    key_passphrase,
    last_second,
    line,
    looking,
    meant,
    now,
    say,
    working,
)
from setproto.cli.ca.options import (
    Acquirer,
    Bin,
    BrandName,
    City,
    CountryNumber,
    GatewayID,
    Issuer,
    MerchantID,
    Prefix,
    ShownAs,
)
from setproto.errors import UsageError
from setproto.reading.pem import to_pem
from setproto.roles import journal

issue = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Certify somebody: a cardholder, merchant, gateway or CA."
)

SignatureKey = Annotated[
    Path | None,
    typer.Option("--public-key", metavar="FILE", help="PEM of a public key or a request; else a fresh key is made."),
]
ExchangeKey = Annotated[
    Path | None,
    typer.Option("--exchange-public-key", metavar="FILE", help="The same for the key that opens envelopes."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="DATE", help="Last day, 2027-12-31; else as declared.")]


class Reason(enum.StrEnum):
    """Why a certificate is revoked (RFC 5280 section 5.3.1): the reasons that are for ever."""

    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


# --- the hierarchy ------------------------------------------------------------------------------


def example() -> None:
    """Print a declaration to start from, with every key that there is."""
    typer.echo(EXAMPLE, nl=False)


def init(
    declaration: Annotated[Path, typer.Argument(metavar="HIERARCHY.toml", help="As setproto ca example prints it.")],
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a hierarchy: keys, certificates, CRLs and BCIs of all its CAs, in DIR/ca.db, which only you may read.

    The passphrase protects all private keys, and is asked for twice.  Who loses it loses the hierarchy.
    """
    with answering():
        try:
            text = declaration.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"{declaration}: not text") from None
        parse(text, str(declaration))
        with created(directory, database) as store:
            with store.transaction() as transaction:
                Office.require_none(transaction)
            passphrase = ca_passphrase(passphrase_file, new=True)
            with store.transaction() as transaction:
                office = Office.found(transaction, text, passphrase, now())
                names, root, head = list(office.records), office.roots()[0], journal.head(transaction)
    typer.echo(f"{', '.join(names)}: made")
    typer.echo(f"fingerprint of the root: {fingerprint(root)}")
    typer.echo(f"head of the log: {head}")


def rollover(directory: Directory = DIR, database: Database = None, passphrase_file: PassphraseFile = None) -> None:
    """Replace the root by the one that it announced, and certify the brand CAs under the new one.

    Everything issued so far stays valid, under either root.
    """
    with working(directory, database, passphrase_file) as office:
        name = office.roll_over()
        root = office.roots()[-1]
    typer.echo(f"{name}: made; the roots before it stay trusted until they end")
    typer.echo(f"fingerprint of the root: {fingerprint(root)}")


# --- certificates -------------------------------------------------------------------------------


@issue.command()
def cardholder(
    issuer: Issuer,
    unique_id: Annotated[
        str | None,
        typer.Option("--id", metavar="HEX|BASE64", help="Unique cardholder id: 20 to 32 octets; else random."),
    ] = None,
    card_name: Annotated[str | None, typer.Option("--card-name", help="What the card is called.")] = None,
    brand: BrandName = None,
    public_key: SignatureKey = None,
    until: Until = None,
    name: Prefix = "cardholder",
    out: Out = Path(),
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """A cardholder's signature certificate.  It should not outlive the card: say --until."""

    def wanted(office: Office) -> list[Wanted]:
        octets = os.urandom(32) if unique_id is None else _octets(unique_id)
        of = brand_meant(office.hierarchy, brand)
        return parties.cardholder(office.hierarchy, of, issuer=issuer, unique_id=octets, card_name=card_name)

    place = (directory, database, passphrase_file)
    _issue(wanted, {"signature": public_key}, until, name, out, place, key_passphrase_file)


@issue.command()
def merchant(
    mer_id: MerchantID,
    shown_as: ShownAs,
    acquirer: Acquirer,
    acquirer_bin: Bin,
    city: City,
    mer_country: CountryNumber = 999,
    language: Annotated[str, typer.Option("--language", help="Of name and city.")] = "en",
    brand: BrandName = None,
    public_key: SignatureKey = None,
    exchange_public_key: ExchangeKey = None,
    until: Until = None,
    name: Prefix = "merchant",
    out: Out = Path(),
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """A merchant's two certificates: for signatures, and for envelopes sealed to it."""

    def wanted(office: Office) -> list[Wanted]:
        return parties.merchant(
            office.hierarchy,
            brand_meant(office.hierarchy, brand),
            mer_id=mer_id,
            name=shown_as,
            acquirer=acquirer,
            acquirer_bin=acquirer_bin,
            city=city,
            mer_country=mer_country,
            language=language,
        )

    keys = {"signature": public_key, "exchange": exchange_public_key}
    _issue(wanted, keys, until, name, out, (directory, database, passphrase_file), key_passphrase_file)


@issue.command()
def gateway(
    gateway_id: GatewayID,
    acquirer: Acquirer,
    card_cert_required: Annotated[bool, typer.Option(help="Whether cardholders must have certificates.")] = True,
    brand: BrandName = None,
    public_key: SignatureKey = None,
    exchange_public_key: ExchangeKey = None,
    until: Until = None,
    name: Prefix = "gateway",
    out: Out = Path(),
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """A payment gateway's two certificates: for signatures, and for envelopes sealed to it."""

    def wanted(office: Office) -> list[Wanted]:
        of = brand_meant(office.hierarchy, brand)
        return parties.gateway(
            office.hierarchy, of, gateway_id=gateway_id, acquirer=acquirer, card_cert_required=card_cert_required
        )

    keys = {"signature": public_key, "exchange": exchange_public_key}
    _issue(wanted, keys, until, name, out, (directory, database, passphrase_file), key_passphrase_file)


@issue.command()
def messages(
    authority: Annotated[str, typer.Argument(metavar="CA", help="merchant-ca, Marque/merchant-ca, …")],
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """New message certificates for a CA, with new keys, which stay in the database: what it speaks with from now on."""
    with working(directory, database, passphrase_file) as office:
        name = office.named(authority).name
        made = office.issue_messages(name)
    for pair in (made.signature, made.exchange):
        if pair is not None:
            say(pair.certificate)


def renew(
    what: Which,
    public_key: SignatureKey = None,
    until: Until = None,
    name: Prefix = "",
    out: Out = Path(),
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
    key_passphrase_file: KeyPassphraseFile = None,
) -> None:
    """The same certificate again, for a new key.  The old one stays valid: revoke it if it should not.

    A CA with a new key goes on signing the CRLs of what it issued with the old one.  A root is replaced by rollover.
    """
    with looking(directory, database) as (_, office):
        number = meant(office, what).serial
        old = office.renewable(number).checked
    place = (directory, database, passphrase_file)
    if old.kind in ISSUERS:
        (use,) = (wanted.use for wanted in parties.again(old))

        def wanted(office: Office) -> list[Wanted]:
            return parties.again(office.renewable(number).checked)

        prefix = name or f"{old.kind.value.split()[0]}-renewed"
        _issue(wanted, {use: public_key}, until, prefix, out, place, key_passphrase_file)
        return
    if public_key is not None or until is not None:
        with answering():
            raise UsageError("the keys of a CA are made here, and live as long as declared")
    with working(*place) as office:
        renewed = office.renew_authority(number)
        record = office.records[renewed]
    typer.echo(f"{renewed}: made" if old.kind in CA_KINDS else f"{renewed}: new message certificates")
    if old.kind in CA_KINDS:
        say(record.certificates[0])


def revoke(
    what: Which,
    reason: Annotated[Reason | None, typer.Option("--reason", help="Why, if that is to be known.")] = None,
    directory: Directory = DIR,
    database: Database = None,
) -> None:
    """Revoke a certificate, for ever.  It takes effect with the next CRL: setproto ca crl.  Needs no passphrase."""
    with looking(directory, database) as (_, office):
        flag = None if reason is None else x509.ReasonFlags(reason.value)
        issued = office.revoke(meant(office, what).serial, flag)
    typer.echo(f"revoked: {line(issued, office.at)}")


# --- what is published --------------------------------------------------------------------------


def crl(
    authority: Annotated[str | None, typer.Option("--ca", metavar="CA", help="Of this one only.")] = None,
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """New CRLs of all CAs that still publish one, or of one CA."""
    with working(directory, database, passphrase_file) as office:
        names = office.publishers() if authority is None else [office.named(authority).name]
        made = {name: check_crl(office.publish_crl(name)) for name in names}
    for name, read in made.items():
        typer.echo(f"CRL {read.number} of {name}: {len(read.revoked)} revoked, until {read.next_update:%Y-%m-%d}")


def bci(
    brand: BrandName = None,
    directory: Directory = DIR,
    database: Database = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """A new BrandCRLIdentifier of every brand, or of one: the signed list of which CRLs are the current ones."""
    with working(directory, database, passphrase_file) as office:
        known = [one.name for one in office.hierarchy.brand]
        brands = known if brand is None else [office.hierarchy.brand_named(brand).name]
        made = [check_bci(office.publish_bci(one)) for one in brands]
    for read in made:
        typer.echo(f"BCI {read.number} of {read.brand}: {len(read.crls)} CRLs, until {read.not_after:%Y-%m-%d}")


# --- the parts of the above ---------------------------------------------------------------------


def _issue(
    wanted: Callable[[Office], list[Wanted]],
    public_keys: dict[str, Path | None],
    until: str | None,
    name: str,
    out: Path,
    place: tuple[Path, str | None, Path | None],
    key_passphrase_file: Path | None,
) -> None:
    """Issue, and write what the party gets: certificates, the chain, and encrypted keys where they were made here.

    Keys are written before the commit and certificates after it.  Killed in between, this leaves a key without a
    certificate, which is nothing, or a certificate that ``setproto ca export`` writes again; but never a certificate
    that the register does not know and that could not be revoked.
    """
    made: dict[str, bytes] = {}
    chain: tuple[bytes, ...] = ()
    with answering():
        given = {use: None if file is None else load_public_key(file.read_bytes()) for use, file in public_keys.items()}
        not_after = None if until is None else last_second(until)
        fresh = [use for use, key in given.items() if key is None]
        passphrase = key_passphrase(key_passphrase_file, new=True) if fresh else ""
        certificates, keys = [f"{name}-{use}.pem" for use in given], [f"{name}-{use}.key.pem" for use in fresh]
        with NewFiles(out, [*certificates, *keys, f"{name}-chain.pem"]) as files, working(*place) as office:
            for one in wanted(office):
                public_key = given[one.use]
                if public_key is None:
                    suite, exchange = office.hierarchy.key_suite, one.use == "exchange"
                    key = suite.generate_exchange_key() if exchange else suite.generate_signature_key()
                    files.write(f"{name}-{one.use}.key.pem", dump_private_key(key, passphrase.encode()), 0o600)
                    public_key = key.public_key()
                made[one.use], chain = office.issue(one, public_key, not_after=not_after)
        for use, certificate in made.items():
            files.write(f"{name}-{use}.pem", to_pem("CERTIFICATE", certificate))
            say(certificate)
        files.write(f"{name}-chain.pem", b"".join(to_pem("CERTIFICATE", der) for der in chain))
    for file in [*certificates, *keys, f"{name}-chain.pem"]:
        typer.echo(f"written: {out / file}")


def brand_meant(hierarchy: Hierarchy, name: str | None) -> Brand:
    """The brand that is meant.  UsageError if there are several and none was named."""
    if name is None and len(hierarchy.brand) > 1:
        raise UsageError(f"--brand is needed: {', '.join(brand.name for brand in hierarchy.brand)}")
    return hierarchy.brand[0] if name is None else hierarchy.brand_named(name)


def _octets(text: str) -> bytes:
    """Hexadecimal if it can be that, else Base64.  UsageError if it is neither."""
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) >= 20:  # the fewest that an identifier has: 32 letters from A to F are 24 octets of Base64
        return octets
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("--id is neither hexadecimal nor Base64") from None
