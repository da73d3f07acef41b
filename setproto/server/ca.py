"""The CAs of a brand as a server: registration over the wire, with the bank's word for every card, and the
operator's for every merchant and gateway (``setproto.ca.admission``).

What the CA publishes is renewed in time, and written where the other servers read it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from starlette.routing import Router

from pki import MerchantData, PathValidator, check_bci, check_crl
from setproto.ca.admission import AdmissionDesk
from setproto.ca.office import Office
from setproto.ca.registrar import Desk, Operator, certificate_authority, registration_key
from setproto.ca.vault import Vault
from setproto.card import PANSecret, cardholder_name
from setproto.client import REGISTRATION, REGISTRATION_INITIATION, HTTPTransport
from setproto.errors import Unreachable
from setproto.messages.common import Role
from setproto.roles.authority import CertificateAuthority
from setproto.roles.authority.issuing import nonce_cca
from setproto.roles.authority.ports import Application, Approval, CardApplication, Decision, Verdict
from setproto.roles.ports import Clock, Store
from setproto.server import public
from setproto.server.config import CAConfig, load
from setproto.server.http import Server, now, run
from setproto.server.metrics import Metrics
from setproto.server.stores import look, open_store
from setproto.server.talk import Talk
from setproto.settings import read_secret

__all__ = ["BankDesk", "Publisher", "application", "serve"]

_LOG: Final = structlog.get_logger()
PUBLISH_SECONDS: Final = 600.0


@dataclass(frozen=True)
class BankDesk(Operator):
    """Shows the form of the operator, and approves whom the issuing bank knows as the holder of the card."""

    brand: str
    registration_key: bytes = field(repr=False)
    bank: HTTPTransport
    secret: str = field(repr=False)

    def decide(self, application: Application) -> Decision:
        """Ask the bank, and enrol the card with it: from now on it knows the secret and the certificate's name."""
        if not isinstance(application, CardApplication):
            return Decision(Verdict.REFUSED, "only cardholders are certified here")
        card = application.card
        nonce = nonce_cca(self.registration_key, application.reference)
        pan_secret = PANSecret.derive(application.card_secret, nonce, self.brand)
        about = {
            "pan": card.pan.reveal(),
            "expiry": card.expiry.reveal(),
            "name": application.answers.get("Name", ""),
        }
        enrolment = {
            **about,
            "card_secret": application.card_secret.reveal().hex(),
            "cardholder": cardholder_name(card.pan, card.expiry, pan_secret),
        }
        try:
            if self._ask("/cards/verify", about).get("verified") is not True:
                return Decision(Verdict.REFUSED, "the bank does not know this card under this name")
            if self._ask("/cards/enrol", enrolment).get("enrolled") is not True:
                return Decision(Verdict.REFUSED, "the bank does not enrol this card")
        except Unreachable as failure:
            _LOG.warning("bank", failure=failure.detail)
            return Decision(Verdict.IN_PROGRESS, "the bank does not answer now; ask again later")
        return Decision(Verdict.APPROVED, approval=self.approval)

    def _ask(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        answer = self.bank.json("POST", path, form, {"authorization": f"Bearer {self.secret}"})
        return answer if isinstance(answer, dict) else {}


@dataclass(frozen=True)
class Publisher:
    """Renews CRLs and BrandCRLIdentifiers when two thirds of their time are over."""

    store: Store
    vault: Vault
    clock: Clock
    validators: tuple[PathValidator, ...]
    directory: Path

    def publish(self) -> None:
        """Renew what has to be renewed, write all of it where others read it, and learn what others have revoked."""
        with self.store.transaction() as transaction:
            office = Office(transaction, self.clock(), self.vault)
            revocation = office.hierarchy.revocation
            crls = [check_crl(crl).next_update for crl in office.crls().values()]
            bcis = [check_bci(bci).not_after for bci in office.bcis().values()]
            late = min(crls) - office.at < timedelta(days=revocation.crl_days) / 3
            if late:
                for name in office.publishers():
                    office.publish_crl(name)
            if late or min(bcis) - office.at < timedelta(days=revocation.bci_days) / 3:
                for brand in office.hierarchy.brand:
                    office.publish_bci(brand.name)
            files = public.contents(office)
        public.write(files, self.directory)
        for validator in self.validators:
            public.learn(validator, self.directory)


def application(cas: Mapping[str, CertificateAuthority], publisher: Publisher, server: Server) -> Router:
    """The ASGI application.  ``cas``: path → who answers there."""
    media_types = (REGISTRATION, REGISTRATION_INITIATION)
    routes = [server.messages(media_types, Talk(ca, server.metrics).answer, under) for under, ca in cas.items()]
    return server.app(routes, {PUBLISH_SECONDS: publisher.publish})


def serve(file: Path) -> None:
    """Serve by a configuration file until SIGINT or SIGTERM.  Errors: those of what it reads, and OSError for an
    address that cannot be had."""
    config = load(CAConfig, file)
    store = open_store(config.database, "ca")
    with store.transaction() as transaction:
        suite = Office(transaction, now()).hierarchy.key_suite
    passphrase = read_secret(config.passphrase_file)
    with store.transaction() as transaction:
        vault = Vault.open(transaction, passphrase, suite)
        office = Office(transaction, now(), vault)
        name = office.named(f"{config.brand}/cardholder-ca").name
        country = office.hierarchy.country_of(office.hierarchy.brand_named(config.brand))
    bank = HTTPTransport(config.bank.url, verify=config.bank.verify)
    secret = config.bank.secret.get_secret_value()

    def open_account(data: MerchantData) -> None:
        form = {"merchant": data.mer_id, "name": data.mer_name_seq[0].name}
        bank.json("POST", "/merchants/open", form, {"authorization": f"Bearer {secret}"})

    issuer = BankDesk(Approval(country, config.bank_name), config.brand, registration_key(vault, name), bank, secret)
    operator = AdmissionDesk(store, country, open_account)
    desks: dict[str, tuple[Role, Desk]] = {
        "": (Role.cardholder, issuer),
        "/merchants": (Role.merchant, operator),
        "/gateways": (Role.gateway, operator),
    }
    cas = {
        under: certificate_authority(store, vault, role, config.brand, desk, clock=now, random=os.urandom)[0]
        for under, (role, desk) in desks.items()
    }
    publisher = Publisher(store, vault, now, tuple(ca.validator for ca in cas.values()), config.public)
    server = Server("ca", config.limits, Metrics(), lambda: look(store))
    run(application(cas, publisher, server), [config.listen], config.tls, config.limits)
