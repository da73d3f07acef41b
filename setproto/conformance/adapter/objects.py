"""The operations on single objects, which need no state: verify, open, validate, decode (vectors/README.md section 5).

Each gets the members of ``input`` and ``now``, and returns the outputs; refusals are the library's exceptions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography.x509 import ObjectIdentifier, load_der_x509_certificate

from pki import CertificateError, CertificateKind, PathValidator, ValidatedCertificate
from pki.der import DecodingFailure as NotDER
from pki.der import decode
from setproto.crypto.cms import NOTHING, Enclosed, RecipientKey, unseal, verify
from setproto.crypto.dual import Part, View
from setproto.crypto.possession import private_key_from
from setproto.crypto.suites import suite
from setproto.errors import CertificateRefused, DecodingFailure, ErrorCode, ProtocolError
from setproto.messages.common import PartyID, unknown_critical
from setproto.messages.error import Error
from setproto.messages.purchase import PURCHASE
from setproto.messages.registry import Operator
from setproto.messages.wrapper import unwrap
from setproto.roles.party import take_in

Given = dict[str, Any]
_octets = bytes.fromhex


def moment(given: Given) -> datetime:
    """The time for every judgement."""
    return datetime.fromisoformat(given["now"])


def validator(given: Given) -> PathValidator:
    """A validator with the trust of the request.  CertificateError if revocation data in it is refused."""
    suite(given["suite"])
    trust, policy = given["trust"], given.get("policy") or {}
    made = PathValidator(
        [load_der_x509_certificate(_octets(root)) for root in trust["roots"]],
        suite=given["suite"],
        require_bci=policy.get("require_bci", True),
    )
    made.add_intermediates(map(_octets, trust.get("certificates", ())))
    extra = _extra(given)
    for crl in trust.get("crls", ()):
        made.add_crl(_octets(crl), extra)
    for bci in trust.get("bcis", ()):
        made.add_bci(_octets(bci), extra)
    return made


def _extra(given: Given) -> list[bytes]:
    return [_octets(certificate) for certificate in given.get("extra", ())]


def _certify(given: Given, judge: PathValidator) -> Callable[[bytes, Sequence[bytes]], ValidatedCertificate]:
    def certify(certificate: bytes, others: Sequence[bytes]) -> ValidatedCertificate:
        try:
            return judge.validate(
                certificate,
                kind=CertificateKind(given["kind"]),
                brand=given["brand"],
                at=moment(given),
                extra=[*others, *_extra(given)],
            )
        except CertificateError as refusal:
            raise CertificateRefused(refusal.rule, code=ErrorCode[refusal.code]) from None

    return certify


def _learn(judge: PathValidator) -> Callable[[Enclosed, Sequence[bytes]], None]:
    return lambda revocation, certificates: take_in(judge, revocation or NOTHING, certificates)


def cms_verify(given: Given) -> Given:
    """A signed object."""
    judge = validator(given)
    verified = verify(
        _octets(given["signed"]),
        content_type=ObjectIdentifier(given["content_type"]),
        certify=_certify(given, judge),
        content=_octets(given["content"]) if "content" in given else None,
        learn=_learn(judge),
    )
    return {"content": verified.content.hex(), "signer_thumbprint": verified.signer.thumbprint.hex()}


@lru_cache(maxsize=64)
def _private_key(octets: bytes) -> Any:
    """Loading checks an RSA key anew each time, which is slow; the keys of the vectors are few and public."""
    return private_key_from(octets)


def cms_open(given: Given) -> Given:
    """A sealed object."""
    keys = given["keys"]
    suite(given["suite"])
    key = RecipientKey(_private_key(_octets(keys["private_key"])), _octets(keys["certificate"]), given["suite"])
    return {"content": unseal(_octets(given["sealed"]), key, context=_octets(given["context"])).content.hex()}


def dual_verify(given: Given) -> Given:
    """A view of a purchase's dual signature."""
    parts = tuple(
        Part(ObjectIdentifier(part["type"]), _octets(part["content"]), _octets(part["salt"])) for part in given["parts"]
    )
    hidden = {ObjectIdentifier(oid): _octets(value) for oid, value in given["digests"].items()}
    view = View(parts, hidden, _octets(given["signature"]))
    seen = PURCHASE.verify(view, suite=given["suite"], certify=_certify(given, validator(given)))
    return {"digests": {oid.dotted_string: value.hex() for oid, value in seen.digests.items()}}


def chain_validate(given: Given) -> Given:
    """A certificate and its chain."""
    valid = validator(given).validate(
        _octets(given["certificate"]),
        kind=CertificateKind(given["kind"]),
        brand=given["brand"],
        at=moment(given),
        extra=_extra(given),
    )
    return {"party_id": valid.party_id, "thumbprint": valid.thumbprint.hex()}


def _party(party: PartyID | None) -> Given | None:
    return None if party is None else {"role": party.role.name, "brand": party.brand, "name": party.name}


def message_decode(given: Given) -> Given:
    """The wrapper and header of a message, and its body where that is plain; critical extensions of both."""
    wire = unwrap(_octets(given["wire"]))
    critical = wire.critical
    if wire.type is None or wire.type.operator is Operator.PLAIN:
        try:
            body = decode(Error if wire.type is None else wire.type.body, wire.body)
        except NotDER as failure:
            raise DecodingFailure(str(failure)) from None
        critical = critical or unknown_critical(body)
    if critical is not None:
        raise ProtocolError("critical extension", code=ErrorCode.unrecognizedExtension, oid=critical.dotted_string)
    rrpid = wire.header.rrpid
    return {
        "name": "Error" if wire.type is None else wire.type.name,
        "rrpid": None if rrpid is None else rrpid.hex(),
        "sender": _party(wire.header.sender),
    }


OPS: dict[str, Callable[[Given], Given]] = {
    "cms.verify": cms_verify,
    "cms.open": cms_open,
    "dual.verify": dual_verify,
    "chain.validate": chain_validate,
    "message.decode": message_decode,
}
