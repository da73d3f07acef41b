"""Signing and verifying, from the raw primitive up: CMS object, dual signature, certificate chain."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from benchmarks import openssl
from benchmarks.bound import bound
from benchmarks.measure import Case, Progress, Settings, check, measure, patience, refused
from benchmarks.raw import UNIT, Raw
from pki import CertificateKind, PathValidator, ValidatedCertificate
from setproto.crypto import cms, dual
from setproto.crypto.parts import signed_data
from setproto.errors import CertificateRefused, SignatureFailure
from setproto.market import Market
from setproto.messages.purchase import PURCHASE


def run(suites: Sequence[str], settings: Settings, progress: Progress) -> list[dict[str, Any]]:
    """The results for these suites; each suite is a group that is timed interleaved."""
    found = [result for suite in suites for result in measure(cases(suite), settings, progress)]
    stock = openssl.speed(suites)
    for result in found:
        if result["id"] in stock:
            result["openssl_ops_per_second"] = stock[result["id"]]
    return found


def cases(suite: str) -> list[Case]:
    """What is timed of a suite, everything seen to work.  BenchmarkError if something does not."""
    market = Market.open(suite)
    raw = Raw(suite)
    raw.check()
    content = os.urandom(UNIT)
    sign, verify = f"raw.sign.{suite}", f"raw.verify.{suite}"
    signature_size = len(raw.signature(content))
    return [
        Case(sign, raw.operation("sign", UNIT), floor=sign, patience=patience(suite), bytes=signature_size),
        Case(verify, raw.operation("verify", UNIT), floor=verify, bytes=signature_size),
        *_cms(market, raw, content, sign, verify),
        *_dual(market, raw, sign, verify),
        *_chain(market, verify),
    ]


def _trusting(market: Market) -> tuple[cms.Signer, Any]:
    """A signer, and the decision to trust exactly its certificate: what the chain costs is timed by itself."""
    signer = market.merchant.credentials.signer
    trusted = _validated(market, market.merchant.validator)

    def certify(certificate: bytes, others: Sequence[bytes]) -> ValidatedCertificate:
        if certificate != trusted.der:
            raise CertificateRefused("another certificate")
        return trusted

    return signer, certify


def _cms(market: Market, raw: Raw, content: bytes, sign: str, verify: str) -> list[Case]:
    signer, certify = _trusting(market)
    chosen = signer.suite

    def make() -> bytes:
        return signer.sign(content, cms.ID_DATA)

    signed = make()

    def read() -> cms.Verified:
        return cms.verify(signed, content_type=cms.ID_DATA, certify=certify)

    check(read().content == content, "a CMS signature gives back its content")
    with refused(SignatureFailure, "a CMS object with another signature"):
        cms.verify(signed[:-1] + bytes([signed[-1] ^ 1]), content_type=cms.ID_DATA, certify=certify)
    return [
        Case(f"cms.sign.{market.suite}", make, floor=sign, patience=patience(market.suite), bytes=len(signed)),
        Case(f"cms.verify.{market.suite}", read, floor=verify, bytes=len(signed)),
        Case(f"bound.cms.verify.{market.suite}", bound(raw, read), floor=verify),
        Case(f"part.cms.hash.{market.suite}", lambda: chosen.digest(content), floor=verify),
        Case(f"part.cms.read.{market.suite}", lambda: signed_data(signed), floor=verify),
    ]


def _dual(market: Market, raw: Raw, sign: str, verify: str) -> list[Case]:
    """The form of a purchase: the merchant sees the order, the gateway the two parts of the payment instruction."""
    signer, certify = _trusting(market)
    payment, order, seals = PURCHASE.part_types
    parts = [dual.Part(oid, os.urandom(UNIT), os.urandom(32)) for oid in PURCHASE.part_types]

    def make() -> dual.DualSignature:
        return PURCHASE.sign(signer, parts)

    made = make()
    views = {"order": made.view(order), "payment": made.view(payment, seals)}

    def read(name: str) -> dual.VerifiedView:
        return PURCHASE.verify(views[name], suite=market.suite, certify=certify)

    check(read("order").digests == read("payment").digests == made.digests, "both views are of one dual signature")
    check(read("order")[order] == parts[1].content, "a view gives back what it shows")
    altered = dual.View((dual.Part(order, b"another order", bytes(32)),), views["order"].hidden, made.signature)
    with refused(SignatureFailure, "a view of another order"):
        PURCHASE.verify(altered, suite=market.suite, certify=certify)
    return [
        Case(f"dual.make.{market.suite}", make, floor=sign, patience=patience(market.suite), bytes=len(made.signature)),
        *(
            Case(f"dual.verify_{name}.{market.suite}", lambda name=name: read(name), floor=verify, bytes=_size(view))
            for name, view in views.items()
        ),
        Case(f"part.dual.digest.{market.suite}", lambda: PURCHASE.digest(parts[1], market.suite), floor=sign),
        Case(f"bound.dual.make.{market.suite}", bound(raw, make), floor=sign, patience=patience(market.suite)),
        Case(f"bound.dual.verify_order.{market.suite}", bound(raw, lambda: read("order")), floor=verify),
    ]


def _size(view: dual.View) -> int:
    """Octets that a reader gets."""
    shown = sum(len(part.content) + len(part.salt) for part in view.parts)
    return shown + sum(map(len, view.hidden.values())) + len(view.signature)


def _validated(market: Market, validator: PathValidator) -> ValidatedCertificate:
    """The merchant's certificate, if the validator finds it good."""
    return validator.validate(
        market.merchant.credentials.signer.certificate,
        kind=CertificateKind.MERCHANT_SIGNATURE,
        brand=market.tree.brand,
        at=market.clock(),
    )


def _chain(market: Market, verify: str) -> list[Case]:
    """From the merchant to the root.  Cold: a validator that knows the CAs and the CRLs, and has validated nothing."""
    crls = market.tree.crls(market.clock())
    bci = market.tree.bci(crls, market.clock())

    def fresh() -> PathValidator:
        return market.tree.validator_with(crls, bci)

    warm = fresh()
    found = _validated(market, warm)
    certificate = market.merchant.credentials.signer.certificate
    check(found.der == certificate and len(found.chain) == 2, "a chain of three certificates under the root")
    check(_validated(market, warm) is found, "what was validated is remembered")
    size = len(certificate) + sum(map(len, found.chain))
    return [
        Case(
            f"chain.cold.{market.suite}",
            lambda validator: _validated(market, validator),
            prepare=fresh,
            floor=verify,
            bytes=size,
        ),
        Case(f"chain.cached.{market.suite}", lambda: _validated(market, warm), floor=verify, bytes=size),
    ]
