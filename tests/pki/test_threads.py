"""Two threads at once: between looking at what is held and replacing it, another thread has its turn."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pki import (
    BrandTree,
    CertificateError,
    CertificateKind,
    Credential,
    PathValidator,
    check_bci,
    check_crl,
    create_root,
)
from pki.bci import BCIStore
from pki.revocation import CRLStore

DAY = timedelta(days=1)


class Emptied(OrderedDict[object, object]):
    """What is put in is dropped at once, as by other threads that fill the cache."""

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, value)
        super().__delitem__(key)


class Interrupted(dict[object, object]):
    """Starts another thread when something is about to be put in, and waits for it as long as is sensible."""

    def __init__(self, held: dict[object, object], other: Callable[[], object]) -> None:
        super().__init__(held)
        self.thread = threading.Thread(target=other)

    def __setitem__(self, key: object, value: object) -> None:
        if self.thread.ident is None:
            self.thread.start()
            self.thread.join(timeout=0.2)  # with a lock it cannot end yet
        super().__setitem__(key, value)


@pytest.mark.prop("PX-12")
def test_an_older_crl_does_not_come_back(tree: BrandTree, at: datetime) -> None:
    issuer = tree.cca.checked
    first, second, third = (check_crl(tree.cca.crl(at, at + DAY).public_bytes(Encoding.DER)) for _ in range(3))
    store = CRLStore()
    store.add(first, [issuer])
    store._crls = held = Interrupted(store._crls, lambda: store.add(third, [issuer]))  # type: ignore[arg-type, assignment]
    store.add(second, [issuer])
    held.thread.join()
    assert store.newest(issuer) is third


@pytest.mark.prop("PX-15")
def test_an_older_bci_does_not_come_back(tree: BrandTree, at: datetime) -> None:
    issuer = tree.brand_ca.checked
    crls = tree.crls(at)
    first, second, third = (check_bci(tree.bci(crls, at)) for _ in range(3))
    store = BCIStore()
    store.add(first, [issuer])
    store._held = held = Interrupted(store._held, lambda: store.add(third, [issuer]))  # type: ignore[arg-type, assignment]
    store.add(second, [issuer])
    held.thread.join()
    assert [one.bci for one in store.of_brand("Marque")] == [third]


@pytest.mark.prop("PX-19")
def test_a_commitment_is_fulfilled_once(tree: BrandTree, at: datetime) -> None:
    one, two = (
        create_root(
            tree.suite,
            tree.root_certificate.subject,
            tree.next_root_key,
            tree.suite.generate_signature_key().public_key(),
            not_before=at,
        ).certificate.public_bytes(Encoding.DER)
        for _ in range(2)
    )
    validator = PathValidator([tree.root_certificate], suite="p256")

    def late() -> None:
        with suppress(CertificateError):
            validator.add_root(two)

    validator._roots = held = Interrupted(validator._roots, late)  # type: ignore[arg-type, assignment]
    validator.add_root(one)
    held.thread.join()
    assert validator.roots == (tree.root_der, one)


def test_an_entry_that_another_thread_dropped_costs_nothing(
    tree: BrandTree, cardholder: Credential, at: datetime
) -> None:
    validator, leaf = tree.validator(at), cardholder.signature_certificate
    validator._cache = Emptied()  # type: ignore[assignment]
    for _ in range(2):
        found = validator.validate(leaf, kind=CertificateKind.CARDHOLDER_SIGNATURE, brand="Marque", at=at)
        assert found.der == leaf
