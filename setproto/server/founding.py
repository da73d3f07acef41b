"""A whole shop in a new directory: hierarchy, keys, certificates, configurations, accounts.

Everything is made beside the directory and put in its place by one renaming, so there is a whole shop or none.  Paths
in the configurations are relative, so the directory can be moved.  What is secret is drawn at random and lies in files
that only their owner may read.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pki.keystore import dump_private_key
from setproto.ca import parties
from setproto.ca.office import Office
from setproto.ca.parties import Wanted
from setproto.card import PAN, CardExpiry
from setproto.errors import UsageError
from setproto.reading.pem import blocks_in, to_pem
from setproto.server import bank, public
from setproto.server.config import BankConfig, load
from setproto.server.stores import create_private, open_store
from setproto.settings import read_secret
from setproto.shop import catalogue

__all__ = ["CARDS", "ROLES", "SHOP_FILE", "SampleCard", "found"]

SHOP_FILE: Final = "shop.toml"
ROLES: Final = ("bank", "ca", "gateway", "merchant")
"""In the order in which they are started."""
BRAND: Final = "Marque"
ISSUER: Final = "Issuing Bank"
ACQUIRER: Final = "Acquiring Bank"
ACQUIRER_BIN: Final = "411111"
SHOP: Final = "Corner Bookshop"
MERCHANT: Final = "M-1001"


@dataclass(frozen=True)
class SampleCard:
    """A card of a number that is published for tests; no bank issues it.  ``balance`` in cents, when it is opened."""

    number: str
    expiry: str
    holder: str
    balance: int


CARDS: Final = (
    SampleCard("4111111111111111", "203012", "Ada Lovelace", 1_000_00),
    SampleCard("5555555555554444", "203012", "Ada Lovelace", 250_00),
    SampleCard("4000000000000002", "203012", "Ada Lovelace", 0),
)

_HIERARCHY: Final = """\
suite = "{suite}"
country = "XX"

[root]
name = "Example Root"

[[brand]]
name = "Marque"
brand_ca = {{ name = "Brand CA" }}
cardholder_ca = {{ name = "Cardholder CA" }}
merchant_ca = {{ name = "Merchant CA" }}
gateway_ca = {{ name = "Payment Gateway CA" }}
"""

_SHOP: Final = """\
# Where the shop is, for wallets.  Paths are relative to this file.
[shop]
brand = "Marque"
suite = "{suite}"
root = "public/root.pem"
crls = "public/crls.pem"
bcis = "public/bcis.pem"

[servers]
ca = "http://127.0.0.1:{ca}"
bank = "http://127.0.0.1:{bank}"
merchant = "http://127.0.0.1:{merchant}"
"""

_CA: Final = """\
listen = "127.0.0.1:{ca}"
database = "{database}"
brand = "Marque"
bank_name = "Issuing Bank"
passphrase_file = "passphrase"
public = "../public"

[bank]
url = "http://127.0.0.1:{bank}"
secret = "{bank_secret}"
"""

_BANK: Final = """\
listen = "127.0.0.1:{bank}"
iso8583 = "127.0.0.1:{link}"
database = "{database}"
name = "Issuing Bank"
brand = "Marque"
acquirer = "411111"
vault_key = "{vault_key}"
secret = "{bank_secret}" # shown by the CA

[trust]
directory = "../public"
suite = "{suite}"
"""

_GATEWAY: Final = """\
listen = "127.0.0.1:{gateway}"
database = "{database}"
link_database = "{link_database}"
acquirer_bin = "411111"
token_key = "{token_key}"
link_key = "{link_key}"
bank = "127.0.0.1:{link}"

[keys]
directory = "."
name = "gateway"
passphrase_file = "passphrase"

[trust]
directory = "../public"
suite = "{suite}"
"""

_MERCHANT: Final = """\
listen = "127.0.0.1:{merchant}"
database = "{database}"
gateway = "http://127.0.0.1:{gateway}"
gateway_certificate = "../gateway/gateway-public.pem"
catalogue = "catalogue.toml"
capture = "shipment" # or "sale": take the money with the authorisation

[keys]
directory = "."
name = "merchant"
passphrase_file = "passphrase"

[trust]
directory = "../public"
suite = "{suite}"

[operator] # for setproto merchant
listen = "127.0.0.1:{operator}"
secret = "{operator_secret}"
"""
_CONFIGURATIONS: Final = {"ca": _CA, "bank": _BANK, "gateway": _GATEWAY, "merchant": _MERCHANT}
_PORTS: Final = ("ca", "bank", "link", "gateway", "merchant", "operator")


def found(
    directory: Path,
    at: datetime,
    *,
    suite: str = "p256",
    database: str | None = None,
    port: int = 0,
    cards: Sequence[SampleCard] = CARDS,
) -> None:
    """Make the shop; everything begins at the aware time ``at``.

    ``database``: a URL of PostgreSQL for all of it, in place of a file of SQLite for each server.  ``port``: the first
    of six; 0: any that are free.  ``cards``: what the bank opens.  UsageError if there is something in the directory;
    StoreError if the database cannot be used.
    """
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty, and there is no {SHOP_FILE} in it")
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)  # of one who did not get to the end
    fresh.mkdir(mode=0o700)
    values = {"suite": suite, **_ports(port)}
    values |= {
        name: secrets.token_hex(32) for name in ("bank_secret", "vault_key", "token_key", "link_key", "operator_secret")
    }
    for role in ROLES:
        (fresh / role).mkdir(mode=0o700)
        own = {"database": database or f"sqlite:///{role}.db", "link_database": database or "sqlite:///link.db"}
        _write(fresh / role / f"{role}.toml", _CONFIGURATIONS[role].format(**values, **own).encode())
        _write(fresh / role / "passphrase", secrets.token_hex(32).encode())
    _write(fresh / "merchant" / "catalogue.toml", catalogue.EXAMPLE.encode())
    _certify(fresh, database or f"sqlite:///{fresh / 'ca' / 'ca.db'}", _HIERARCHY.format(**values), at)
    _open_accounts(fresh, at, cards)
    _write(fresh / SHOP_FILE, _SHOP.format(**values).encode(), 0o644)
    fresh.replace(directory)


def _certify(directory: Path, database: str, declaration: str, at: datetime) -> None:
    """The hierarchy, and the certificates of the shop and the gateway under it."""
    store = open_store(database, "ca")
    try:
        with store.transaction() as transaction:
            passphrase = read_secret(directory / "ca" / "passphrase")
            # Clocks differ: what is issued now is valid since an hour ago.
            office = Office.found(transaction, declaration, passphrase, at - timedelta(hours=1))
            hierarchy = office.hierarchy
            brand = hierarchy.brand_named(BRAND)
            gateway = parties.gateway(
                hierarchy, brand, gateway_id="gateway-1", acquirer=ACQUIRER, card_cert_required=True
            )
            chain = _issue(office, gateway, directory / "gateway", "gateway")
            public_part = [*blocks_in(directory / "gateway" / "gateway-exchange.pem"), *chain]
            _write(directory / "gateway" / "gateway-public.pem", _pem(public_part))
            shop = parties.merchant(
                hierarchy,
                brand,
                mer_id=MERCHANT,
                name=SHOP,
                acquirer=ACQUIRER,
                acquirer_bin=ACQUIRER_BIN,
                city="Capital",
                mer_country=999,
                language="en",
            )
            _issue(office, shop, directory / "merchant", "merchant")
            public.write(public.contents(office), directory / "public")
    finally:
        store.close()


def _open_accounts(directory: Path, at: datetime, cards: Sequence[SampleCard]) -> None:
    """The bank's first customers."""
    config = load(BankConfig, directory / "bank" / "bank.toml")
    create_private(config.database)
    opened = bank.opened(config, public.validator(config.trust.directory, config.trust.suite), lambda: at)
    try:
        opened.open_merchant(MERCHANT, SHOP)
        for card in cards:
            opened.open_card(PAN(card.number), CardExpiry(card.expiry), card.balance, holder=card.holder)
    finally:
        opened.close()


def _issue(office: Office, wanted: list[Wanted], directory: Path, name: str) -> tuple[bytes, ...]:
    """Make keys and certify them; the files as ``setproto ca issue`` writes them."""
    suite = office.hierarchy.key_suite
    chain: tuple[bytes, ...] = ()
    passphrase = read_secret(directory / "passphrase").encode()
    for one in wanted:
        key = suite.generate_exchange_key() if one.use == "exchange" else suite.generate_signature_key()
        certificate, chain = office.issue(one, key.public_key())
        _write(directory / f"{name}-{one.use}.key.pem", dump_private_key(key, passphrase))
        _write(directory / f"{name}-{one.use}.pem", _pem([certificate]))
    _write(directory / f"{name}-chain.pem", _pem(chain))
    return chain


def _pem(ders: Iterable[bytes]) -> bytes:
    return b"".join(to_pem("CERTIFICATE", der) for der in ders)


def _write(path: Path, data: bytes, mode: int = 0o600) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)


def _ports(first: int) -> dict[str, int]:
    """A port for each name, all different."""
    if first:
        return {name: first + number for number, name in enumerate(_PORTS)}
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in _PORTS]
        return {name: one.getsockname()[1] for name, one in zip(_PORTS, sockets, strict=True)}
