"""The other direction: the implementation signs and seals with keys made for this run, and we verify and open.

Keys and certificates are new each time, so that nothing can be known beforehand.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from cryptography.x509 import ObjectIdentifier

from pki import (
    BrandTree,
    CertificateError,
    CertificateKind,
    Credential,
    PathValidator,
    ValidatedCertificate,
    build_brand_tree,
)
from setproto.conformance.harness import PASSED, Case, Outcome, Verdict
from setproto.crypto.cms import ID_DATA, RecipientKey, unseal, verify
from setproto.crypto.dual import Part, View
from setproto.crypto.possession import private_key_octets
from setproto.errors import CertificateRefused, ErrorCode, SetError
from setproto.messages.oids import ID_OI_DATA, ID_PI_DATA, ID_PI_SEALS
from setproto.messages.purchase import PURCHASE

AREA: Final = "generated"
NOW: Final = datetime.datetime(2026, 1, 15, 12, tzinfo=datetime.UTC)
OPS: Final = ("cms.sign", "cms.seal", "dual.sign")

_CONTENTS: Final = {"empty": b"", "short": b"EUR 1,200", "long": bytes(range(256)) * 200}
Outputs = Mapping[str, Any]


@dataclass(frozen=True)
class Party:
    """A merchant, whose keys the implementation is lent, and its brand."""

    suite: str
    tree: BrandTree
    validator: PathValidator
    credential: Credential

    @property
    def signing(self) -> dict[str, str]:
        """``keys`` of a request that signs."""
        return _keys(self.credential.signature_key, self.credential.signature_certificate)

    def certify(self, certificate: bytes, others: Sequence[bytes]) -> ValidatedCertificate:
        """The trust decision: a valid merchant certificate, and this one."""
        if certificate != self.credential.signature_certificate:
            raise CertificateRefused("not the certificate that was to be used", code=ErrorCode.invalidCertificate)
        try:
            return self.validator.validate(
                certificate, kind=CertificateKind.MERCHANT_SIGNATURE, brand=self.tree.brand, at=NOW, extra=others
            )
        except CertificateError as refusal:
            raise CertificateRefused(str(refusal), code=ErrorCode.invalidCertificate) from None


@cache
def party(suite: str) -> Party:
    """The party of a suite: the same one for every implementation of a run."""
    tree = build_brand_tree(suite, now=NOW)
    return Party(suite, tree, tree.validator(NOW), tree.issue_merchant("M1", "Shop", "412345"))


def _keys(key: Any, certificate: bytes | None) -> dict[str, str]:
    return {"private_key": private_key_octets(key).hex(), "certificate": (certificate or b"").hex()}


def cases(suites: Iterable[str]) -> Iterator[Case]:
    """What an implementation is asked to make in each of these suites."""
    for suite in suites:
        yield from _signing(suite)
        yield from _sealing(suite)
        yield from _dual(suite)


def _case(suite: str, name: str, op: str, given: dict[str, Any], check: Callable[[Outputs], None]) -> Case:
    def judge(answer: Mapping[str, Any], strict: bool) -> Verdict:
        if answer["result"] != "valid":
            return Verdict(Outcome.FAIL, f"not made: {answer.get('reason')}")
        try:
            check(answer.get("outputs") or {})
        except SetError as refusal:
            return Verdict(Outcome.FAIL, f"what it made is refused: {refusal}")
        except _Wrong as wrong:
            return Verdict(Outcome.FAIL, str(wrong))
        return PASSED

    now = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Case(f"{AREA}::{name}.{suite}", AREA, suite, op, now, {"suite": suite, **given}, judge)


class _Wrong(Exception):
    """What was made is not what was asked for."""


def _octets(outputs: Outputs, name: str) -> bytes:
    value = outputs.get(name)
    try:
        return bytes.fromhex(value)  # type: ignore[arg-type]  # whatever it is
    except (TypeError, ValueError):
        raise _Wrong(f"output {name} is not hexadecimal") from None


def _signing(suite: str) -> Iterator[Case]:
    lent = party(suite)

    def case(name: str, content: bytes, content_type: ObjectIdentifier, certificates: Sequence[bytes]) -> Case:
        def check(outputs: Outputs) -> None:
            verified = verify(_octets(outputs, "signed"), content_type=content_type, certify=lent.certify)
            if verified.content != content:
                raise _Wrong("other content was signed")
            if set(verified.certificates) != {lent.credential.signature_certificate, *certificates}:
                raise _Wrong("the certificates enclosed are not those that were given")

        given = {
            "keys": lent.signing,
            "content": content.hex(),
            "content_type": content_type.dotted_string,
            "certificates": [der.hex() for der in certificates],
        }
        return _case(suite, f"sign-{name}", "cms.sign", given, check)

    for name, content in _CONTENTS.items():
        yield case(name, content, ID_DATA, ())
    yield case("with-chain", _CONTENTS["short"], ID_OI_DATA, lent.credential.chain)


def _sealing(suite: str) -> Iterator[Case]:
    lent = party(suite)
    certificate = lent.credential.exchange_certificate or b""
    key = RecipientKey(lent.credential.exchange_key, certificate, suite)
    seen: set[bytes] = set()

    def case(name: str, content: bytes, context: bytes) -> Case:
        def check(outputs: Outputs) -> None:
            sealed = _octets(outputs, "sealed")
            if sealed in seen:
                raise _Wrong("the same seal twice: its keys are not fresh")
            seen.add(sealed)
            if unseal(sealed, key, context=context).content != content:
                raise _Wrong("other content was sealed")

        given = {"certificate": certificate.hex(), "context": context.hex(), "content": content.hex()}
        return _case(suite, f"seal-{name}", "cms.seal", given, check)

    for name, content in _CONTENTS.items():
        yield case(name, content, b"context of a seal")
    yield case("again", _CONTENTS["short"], b"context of a seal")
    yield case("long-context", _CONTENTS["short"], bytes(range(200)))


def _dual(suite: str) -> Iterator[Case]:
    lent = party(suite)

    def case(name: str, contents: Sequence[bytes]) -> Case:
        types = (ID_PI_DATA, ID_OI_DATA, ID_PI_SEALS)
        parts = {oid: Part(oid, content, os.urandom(32)) for oid, content in zip(types, contents, strict=True)}
        digests = {oid: PURCHASE.digest(part, suite) for oid, part in parts.items()}

        def check(outputs: Outputs) -> None:
            wanted = {oid.dotted_string: value.hex() for oid, value in digests.items()}
            if outputs.get("digests") != wanted:
                raise _Wrong("the digests of the parts are others")
            signature = _octets(outputs, "signature")
            for shown in ((ID_OI_DATA, ID_PI_SEALS), (ID_PI_DATA, ID_PI_SEALS)):  # the merchant's view, the gateway's
                hidden = {oid: value for oid, value in digests.items() if oid not in shown}
                view = View(tuple(parts[oid] for oid in shown), hidden, signature)
                PURCHASE.verify(view, suite=suite, certify=lent.certify)

        given = {
            "keys": lent.signing,
            "parts": [
                {"type": part.type.dotted_string, "content": part.content.hex(), "salt": part.salt.hex()}
                for part in parts.values()
            ],
        }
        return _case(suite, f"dual-{name}", "dual.sign", given, check)

    yield case("short", (b"payment", b"order", b"seals"))
    yield case("same-content", (b"one", b"one", b"one"))
    yield case("long", (_CONTENTS["long"], b"", _CONTENTS["short"]))
