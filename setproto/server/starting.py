"""From a configuration file to a server at work: one function for each role."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from setproto.ca.office import Office
from setproto.ca.registrar import certificate_authority, registration_key
from setproto.ca.vault import Vault
from setproto.client import HTTPTransport
from setproto.messages.common import Role
from setproto.roles.authority.ports import Approval
from setproto.roles.gateway import Gateway
from setproto.roles.merchant import Merchant
from setproto.server import ca as ca_server
from setproto.server import gateway as gateway_server
from setproto.server import merchant as merchant_server
from setproto.server import public, standin
from setproto.server.config import CAConfig, GatewayConfig, MerchantConfig, ServerConfig, load
from setproto.server.http import Server, run
from setproto.server.keys import load_credentials
from setproto.server.metrics import Metrics
from setproto.server.stores import open_store
from setproto.server.talk import Talk
from setproto.settings import read_secret
from setproto.shop import catalogue

__all__ = ["SERVERS", "bank", "ca", "gateway", "merchant"]


def now() -> datetime:
    """The time by the machine's clock."""
    return datetime.now(UTC)


def ca(file: Path) -> None:
    """The cardholders' CA."""
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
    desk = ca_server.BankDesk(
        Approval(country, config.bank_name),
        config.brand,
        registration_key(vault, name),
        HTTPTransport(config.bank.url, verify=config.bank.verify),
        config.bank.secret.get_secret_value(),
    )
    role, _ = certificate_authority(store, vault, Role.cardholder, config.brand, desk, clock=now, random=os.urandom)
    publisher = ca_server.Publisher(store, vault, now, (role.validator,), config.public)
    server = Server("ca", config.limits, store, Metrics())
    run(ca_server.application(role, publisher, server), [config.listen], config.tls)


def bank(file: Path) -> None:
    """The bank."""
    config = load(ServerConfig, file)
    server = Server("bank", config.limits, open_store(config.database, "bank"), Metrics())
    run(standin.application(server), [config.listen], config.tls)


def gateway(file: Path) -> None:
    """The payment gateway."""
    config = load(GatewayConfig, file)
    store, validator = (
        open_store(config.database, "gateway"),
        public.validator(config.trust.directory, config.trust.suite),
    )
    host, port = config.bank
    role = Gateway(
        load_credentials(config.keys, Role.gateway, validator, now()),
        standin.Link(f"http://{host}:{port}"),
        validator,
        store,
        token_key=bytes.fromhex(config.token_key.get_secret_value()),
        acquirer_bin=config.acquirer_bin,
        clock=now,
        random=os.urandom,
    )
    server = Server("gateway", config.limits, store, Metrics())
    run(gateway_server.application(role, server), [config.listen], config.tls)


def merchant(file: Path) -> None:
    """The shop."""
    config = load(MerchantConfig, file)
    store, validator = (
        open_store(config.database, "merchant"),
        public.validator(config.trust.directory, config.trust.suite),
    )
    cert_pe, *held = public.certificates(config.gateway_certificate)
    role = Merchant(
        load_credentials(config.keys, Role.merchant, validator, now()),
        validator,
        store,
        cert_pe=cert_pe,
        clock=now,
        random=os.urandom,
        held=held,
        category=config.category,
    )
    metrics = Metrics()
    shop = merchant_server.Shop(
        role,
        HTTPTransport(config.gateway, verify=config.gateway_verify, timeout=config.gateway_seconds),
        catalogue.parse(config.catalogue.read_text(encoding="utf-8"), str(config.catalogue)),
        Talk(role, metrics),
        capture_now=config.capture == "sale",
    )
    server = Server("merchant", config.limits, store, metrics)
    run(merchant_server.application(shop, server, config), [config.listen, config.operator.listen], config.tls)


SERVERS: Final = {"ca": ca, "bank": bank, "gateway": gateway, "merchant": merchant}
"""Role → how it is served.  Errors: those of what it reads, and OSError if an address cannot be had."""
