"""How cost grows: with processes and threads, and with everything that can become large."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from cryptography import x509

from benchmarks import workers
from benchmarks.measure import Case, Progress, Settings, check, measure
from benchmarks.purchase import Shop
from pki import BrandTree, CertificateKind, PathValidator, Revocation
from setproto.amounts import CurrencyAmount
from setproto.market import Market
from setproto.messages.codes import BatchOperation
from setproto.messages.common import Role
from setproto.roles.cardholder import Order
from setproto.roles.ports import EventKind, Store
from setproto.store import MemoryStore
from setproto.store.sql import SQLStore

_FEW: Final = 21
"""Samples of what takes long."""
_VERY_FEW: Final = 7
"""Samples of what takes half a second."""
_FIRST_SERIAL: Final = 1 << 158
"""Serial numbers of 20 octets, as large as any."""


@dataclass(frozen=True)
class Sizes:
    """How large things become."""

    captures: tuple[int, ...] = (1, 4, 16)
    order: tuple[int, ...] = (16, 1_024, 65_536)
    batch: tuple[int, ...] = (1, 10, 100)
    crl: tuple[int, ...] = (10, 1_000, 100_000)
    store: tuple[int, ...] = (0, 1_000, 5_000)


QUICK_SIZES: Final = Sizes(captures=(1, 4), batch=(1, 10), store=(0, 1_000))


def counts(cores: int) -> list[int]:
    """How many workers: 1, 2, 4, …, and as many as there are cores."""
    return sorted({1 << power for power in range(cores.bit_length()) if 1 << power <= cores} | {cores})


def run(
    suites: Sequence[str], settings: Settings, progress: Progress, sizes: Sizes | None = None
) -> list[dict[str, Any]]:
    """The results for these suites."""
    chosen = sizes or (QUICK_SIZES if settings.quick else Sizes())
    few = replace(settings, samples=min(settings.samples, _FEW))
    found = []
    for suite in suites:
        found += workers.run(suite, counts(os.cpu_count() or 1), few, progress)
        for subject in (_orders, _messages, _batches):
            found += measure(subject(suite, chosen), few, progress)
        validations, readings = _crls(suite, chosen.crl)
        found += measure(validations, few, progress)
        found += measure(readings, replace(few, samples=min(few.samples, _VERY_FEW)), progress)
        found += _stores(suite, chosen.store, few, progress)
    return found


def _growing(name: str, suite: str, runs: dict[int, Case]) -> list[Case]:
    """Cases of one kind by size, each compared with the smallest."""
    floor = f"scale.{name}.{min(runs)}.{suite}"
    return [replace(case, id=f"scale.{name}.{size}.{suite}", floor=floor) for size, case in runs.items()]


def _orders(suite: str, sizes: Sizes) -> list[Case]:
    """A purchase by the octets of the order's description."""
    shop = _open(suite)

    def order(description: bytes) -> Order:
        shop.order()  # clears the notes of the market
        return shop.market.order("EUR 42.00", description)

    return _growing(
        "order", suite, {size: Case("", shop.buy, prepare=partial(order, os.urandom(size))) for size in sizes.order}
    )


def _messages(suite: str, sizes: Sizes) -> list[Case]:
    """A message, by how many captures the purchase is delivered in: six messages and two for each."""
    shop = _open(suite)
    part = CurrencyAmount.of("EUR 1.00")

    def deliver(order: Order, captures: int) -> None:
        xid = shop.buy(order)
        for _ in range(captures):
            shop.market.deliver(Role.merchant, shop.market.merchant.capture(xid, part))

    deliver(shop.order(), max(sizes.captures))
    check(len(shop.market.deliveries) == 6 + 2 * max(sizes.captures), "so many captures make so many messages")
    return _growing(
        "messages",
        suite,
        {
            6 + 2 * count: Case("", partial(deliver, captures=count), prepare=shop.order, calls=6 + 2 * count)
            for count in sizes.captures
        },
    )


def _batches(suite: str, sizes: Sizes) -> list[Case]:
    """The gateway's account of a batch (BatchAdminReq and its answer), by how many captures are in it."""
    shop = _open(suite)
    market = shop.market
    cases = {}
    for batch_id, size in enumerate(sizes.batch, start=1):
        market.deliver(Role.merchant, market.merchant.batch(batch_id, BatchOperation.open))
        for _ in range(size):
            xid = shop.buy(shop.order())
            market.deliver(Role.merchant, market.merchant.capture(xid, batch_id=batch_id))

        def look(batch_id: int = batch_id) -> None:
            market.deliver(Role.merchant, market.merchant.batch(batch_id))

        market.events.clear()
        look()
        check(
            [event.kind for _, event in market.events] == [EventKind.BATCH] * 2,
            "gateway and merchant looked at the batch",
        )
        cases[size] = Case("", look)
    return _growing("batch", suite, cases)


def _crls(suite: str, sizes: Sequence[int]) -> tuple[list[Case], list[Case]]:
    """A CRL of so many entries: to validate a new cardholder's chain; and to read and verify the CRL, once."""
    validations, readings = {}, {}
    for size in sizes:
        tree, crls, now = _revoking(suite, size)
        validator = tree.validator_with(crls, tree.bci(crls, now))
        largest = max(crls, key=len)

        def without_crls(tree: BrandTree = tree) -> PathValidator:
            found = PathValidator([tree.root_certificate], suite=tree.suite.name)
            found.add_intermediates(tree.ca_certificates)
            return found

        def certificate(tree: BrandTree = tree) -> bytes:
            return tree.issue_cardholder(os.urandom(20)).signature_certificate

        validate = partial(validator.validate, kind=CertificateKind.CARDHOLDER_SIGNATURE, brand=tree.brand, at=now)
        check(validate(certificate()).kind is CertificateKind.CARDHOLDER_SIGNATURE, "a new chain is good")
        validations[size] = Case("", validate, prepare=certificate)
        readings[size] = Case("", partial(_read, largest), prepare=without_crls, bytes=len(largest))
    return _growing("crl", suite, validations), _growing("crl_read", suite, readings)


def _read(crl: bytes, validator: PathValidator) -> None:
    validator.add_crl(crl)


def _revoking(suite: str, size: int) -> tuple[BrandTree, list[bytes], datetime]:
    """A hierarchy whose cardholders' CA has revoked so many certificates, its CRLs, and the time."""
    market = Market.open(suite)
    revocation = Revocation(at=market.tree.now, reason=x509.ReasonFlags.cessation_of_operation)
    for number in range(size):
        market.tree.cca.register.revoke(_FIRST_SERIAL + number, revocation)
    return market.tree, market.tree.crls(market.clock()), market.clock()


def _stores(suite: str, sizes: Sequence[int], settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """A purchase by how many transactions every party has in its store already, in memory and in SQLite."""
    found = []
    with TemporaryDirectory() as folder, ExitStack() as ending:

        def on_disk(name: str) -> Store:
            store = SQLStore(f"sqlite:///{Path(folder) / name}.db", "role")
            ending.callback(store.close)
            return store

        kinds: dict[str, Callable[[str], Store]] = {"memory": lambda name: MemoryStore(), "sqlite": on_disk}
        for kind, make in kinds.items():
            cases, filled = {}, 0
            for size in sizes:
                shop = Shop(suite)
                for party in shop.market.parties.values():
                    role = party.credentials.party.role
                    party.store = _filled(make(f"{role.name}-{size}"), shop, role, size)
                    filled += 1
                    progress(f"scale.store_{kind}, filling", filled, len(sizes) * len(shop.market.parties))
                shop.check()
                cases[size] = Case("", shop.buy, prepare=shop.order)
            found += measure(_growing(f"store_{kind}", suite, cases), settings, progress)
    return found


def _filled(store: Store, shop: Shop, role: Role, size: int) -> Store:
    """The store with everything that the role has in its own, and so many transactions like the last one."""
    if not shop.market.deliveries:
        shop.check()
    entries = shop.market.stores[role].dump()
    with store.transaction() as transaction:
        for (table, key), value in entries.items():
            transaction.put(table, key, value)
            for _ in range(size):
                transaction.put(table, os.urandom(len(key)), value)
    return store


def _open(suite: str) -> Shop:
    """A shop with warm caches."""
    shop = Shop(suite)
    for _ in range(3):
        shop.check()
    return shop
