"""What the parties need to start again after they were killed: files that the driver writes once.

One folder for everybody: keys and certificates of each role, CA certificates, CRLs, and ``config.json``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import Credential, PathValidator, build_brand_tree
from pki.keystore import dump_unencrypted_for_tests, load_unencrypted_for_tests
from pki.profiles import Use
from pki.suites import key_suite
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret, cardholder_name, unique_cardholder_id
from setproto.crypto.cms import RecipientKey, Signer
from setproto.crypto.suites import suite
from setproto.market import ACQUIRER_BIN, BRAND, TEST_CARD
from setproto.messages.common import PartyID, Role
from setproto.roles.cardholder import Cardholder, PaymentCard
from setproto.roles.credentials import Credentials
from setproto.roles.endpoint import Endpoint
from setproto.roles.gateway import Gateway
from setproto.roles.merchant import Merchant
from setproto.roles.ports import Issuer, Store

SUITE = "p256"
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
EXPIRY = "203012"
NAMES = {Role.merchant: "shop-of-the-fault-tests", Role.gateway: "gateway-of-the-fault-tests"}


# --- writing ------------------------------------------------------------------------------------


def write(folder: Path) -> PaymentCard:
    """Certify a cardholder, a merchant and a gateway, and write down all that they need.  The card, for its issuer."""
    tree = build_brand_tree(SUITE, now=NOW - timedelta(days=1), brand=BRAND)
    card_secret, nonce = os.urandom(32), os.urandom(32)
    card = _card(card_secret, nonce)
    name = unique_cardholder_id(card.card.pan, card.card.expiry, card.pan_secret)
    issued = {
        Role.cardholder: tree.issue_cardholder(name),
        Role.merchant: tree.issue_merchant(NAMES[Role.merchant], "Corner Bookshop", ACQUIRER_BIN),
        Role.gateway: tree.issue_gateway(NAMES[Role.gateway]),
    }
    for role, credential in issued.items():
        _write_party(folder, role, credential)
    (folder / "root.der").write_bytes(tree.root_certificate.public_bytes(Encoding.DER))
    _write_all(folder, "ca", tree.ca_certificates)
    crls = tree.crls(NOW)
    _write_all(folder, "crl", crls)
    (folder / "bci.der").write_bytes(tree.bci(crls, NOW))
    config = {"card_secret": card_secret.hex(), "nonce": nonce.hex(), "token_key": os.urandom(32).hex()}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return card


def _write_party(folder: Path, role: Role, credential: Credential) -> None:
    name = role.name
    assert credential.signature_key is not None
    (folder / f"{name}-sign.pem").write_bytes(dump_unencrypted_for_tests(credential.signature_key))
    (folder / f"{name}-sign.der").write_bytes(credential.signature_certificate)
    if credential.exchange_key is not None and credential.exchange_certificate is not None:
        (folder / f"{name}-exchange.pem").write_bytes(dump_unencrypted_for_tests(credential.exchange_key))
        (folder / f"{name}-exchange.der").write_bytes(credential.exchange_certificate)
    _write_all(folder, f"{name}-chain", credential.chain)


def _write_all(folder: Path, name: str, ders: Any) -> None:
    for number, der in enumerate(ders):
        (folder / f"{name}-{number}.der").write_bytes(der)


def _card(card_secret: bytes, nonce: bytes) -> PaymentCard:
    secret = CardSecret(card_secret)
    return PaymentCard(Card(BRAND, PAN(TEST_CARD), CardExpiry(EXPIRY)), secret, PANSecret.derive(secret, nonce, BRAND))


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """The folder, read; certificates and CRLs once, also for those that are forked later."""

    folder: Path

    def party(self, role: Role, store: Store, issuer: Issuer) -> Endpoint:
        """The role as a new process has it: from the files alone."""
        common: dict[str, Any] = {"clock": lambda: NOW, "random": os.urandom}
        credentials, validator = self._credentials(role), self._validator
        if role is Role.cardholder:
            return Cardholder(credentials, self._payment_card(), validator, store, **common)
        if role is Role.merchant:
            cert_pe = (self.folder / "gateway-exchange.der").read_bytes()
            held = self._all("gateway-chain")
            return Merchant(credentials, validator, store, cert_pe=cert_pe, held=held, **common)
        token_key = bytes.fromhex(self._config()["token_key"])
        return Gateway(credentials, issuer, validator, store, token_key=token_key, acquirer_bin=ACQUIRER_BIN, **common)

    def _config(self) -> dict[str, str]:
        config: dict[str, str] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return config

    def _payment_card(self) -> PaymentCard:
        config = self._config()
        return _card(bytes.fromhex(config["card_secret"]), bytes.fromhex(config["nonce"]))

    def _credentials(self, role: Role) -> Credentials:
        def read(name: str) -> bytes:
            return (self.folder / f"{role.name}-{name}").read_bytes()

        def key(name: str, use: Use) -> Any:
            return load_unencrypted_for_tests(read(name), key_suite(SUITE), use)

        signer = Signer(key("sign.pem", Use.SIGN), read("sign.der"), suite(SUITE))
        exchange = None
        if role is not Role.cardholder:
            exchange = RecipientKey(key("exchange.pem", Use.EXCHANGE), read("exchange.der"), SUITE)
        return Credentials(self._party_id(role), signer, exchange, self._all(f"{role.name}-chain"))

    def _party_id(self, role: Role) -> PartyID:
        if role is not Role.cardholder:
            return PartyID(role=role, brand=BRAND, name=NAMES[role])
        card = self._payment_card()
        name = cardholder_name(card.card.pan, card.card.expiry, card.pan_secret)
        return PartyID(role=role, brand=BRAND, name=name)

    @cached_property
    def _validator(self) -> PathValidator:
        root = x509.load_der_x509_certificate((self.folder / "root.der").read_bytes())
        validator = PathValidator([root], suite=SUITE)
        for der in self._all("ca"):
            validator.add_certificate(der)
        for der in self._all("crl"):
            validator.add_crl(der)
        validator.add_bci((self.folder / "bci.der").read_bytes())
        return validator

    def _all(self, name: str) -> tuple[bytes, ...]:
        return tuple(path.read_bytes() for path in sorted(self.folder.glob(f"{name}-?.der")))
