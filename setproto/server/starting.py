"""From a configuration file to a server at work: one function for each role."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pki import PathValidator
from setproto.bank import host
from setproto.bank.link import ISO8583Link, LinkConfig
from setproto.ca.office import Office
from setproto.ca.registrar import certificate_authority, registration_key
from setproto.ca.vault import Vault
from setproto.client import HTTPTransport
from setproto.messages.common import Role
from setproto.roles.authority.ports import Approval
from setproto.roles.gateway import Gateway
from setproto.roles.merchant import Merchant
from setproto.server import bank as bank_server
from setproto.server import ca as ca_server
from setproto.server import gateway as gateway_server
from setproto.server import merchant as merchant_server
from setproto.server import public
from setproto.server.config import BankConfig, CAConfig, GatewayConfig, MerchantConfig, Trust, load, octets
from setproto.server.http import Server, run
from setproto.server.keys import load_credentials
from setproto.server.metrics import Metrics
from setproto.server.stores import look, open_store
from setproto.server.talk import Talk
from setproto.settings import read_secret
from setproto.shop import catalogue

__all__ = ["SERVERS", "bank", "ca", "gateway", "merchant"]


def now() -> datetime:
    """The time by the machine's clock."""
    return datetime.now(UTC)


def _learning(validator: PathValidator, trust: Trust) -> Callable[[], None]:
    """What takes in new CRLs, BrandCRLIdentifiers and certificates of CAs."""
    return lambda: public.learn(validator, trust.directory)


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
    server = Server("ca", config.limits, Metrics(), lambda: look(store))
    run(ca_server.application(role, publisher, server), [config.listen], config.tls)


def bank(file: Path) -> None:
    """The bank."""
    config = load(BankConfig, file)
    validator = public.validator(config.trust.directory, config.trust.suite)
    role = bank_server.opened(config, validator, now)
    server = Server("bank", config.limits, Metrics(), lambda: bank_server.look(role))
    secret = config.secret.get_secret_value()
    line = host.serve(role, *config.iso8583)
    try:
        run(
            bank_server.application(role, server, secret, _learning(validator, config.trust)),
            [config.listen],
            config.tls,
        )
    finally:
        line.close()
        role.close()


def gateway(file: Path) -> None:
    """The payment gateway."""
    config = load(GatewayConfig, file)
    store, validator = (
        open_store(config.database, "gateway"),
        public.validator(config.trust.directory, config.trust.suite),
    )
    link = ISO8583Link(
        config.bank,
        open_store(config.link_database, "link"),
        now,
        config=LinkConfig(
            octets(config.link_key), acquirer=config.acquirer_bin, terminal=config.terminal, timeout=config.bank_seconds
        ),
    )
    role = Gateway(
        load_credentials(config.keys, Role.gateway, validator, now()),
        link,
        validator,
        store,
        token_key=octets(config.token_key),
        acquirer_bin=config.acquirer_bin,
        clock=now,
        random=os.urandom,
    )
    server = Server("gateway", config.limits, Metrics(), lambda: look(store))
    link.start()
    try:
        run(gateway_server.application(role, server, _learning(validator, config.trust)), [config.listen], config.tls)
    finally:
        link.close()


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
    server = Server("merchant", config.limits, metrics, lambda: look(store))
    app = merchant_server.application(shop, server, config, _learning(validator, config.trust))
    run(app, [config.listen, config.operator.listen], config.tls)


SERVERS: Final = {"ca": ca, "bank": bank, "gateway": gateway, "merchant": merchant}
"""Role → how it is served.  Errors: those of what it reads, and OSError if an address cannot be had."""
