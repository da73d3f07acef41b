"""The operations that make something: a signed object, a sealed one, a dual signature."""

from __future__ import annotations

from typing import Any

from cryptography.x509 import ObjectIdentifier, load_der_x509_certificate

from setproto.crypto.cms import Recipient, Signer, seal
from setproto.crypto.dual import Part
from setproto.crypto.possession import private_key_from
from setproto.crypto.suites import suite
from setproto.messages.purchase import PURCHASE


class _Given:
    """A key-exchange certificate that whoever asks has already decided to trust."""

    def __init__(self, der: bytes, suite_name: str) -> None:
        self.der, self.suite = der, suite_name
        self.public_key: Any = load_der_x509_certificate(der).public_key()


def _signer(given: dict[str, Any]) -> Signer:
    keys = given["keys"]
    key = private_key_from(bytes.fromhex(keys["private_key"]))
    return Signer(key, bytes.fromhex(keys["certificate"]), suite(given["suite"]))


def cms_sign(given: dict[str, Any]) -> dict[str, Any]:
    """Sign ``content`` as ``content_type``; ``certificates`` are enclosed beside the signer's."""
    signed = _signer(given).sign(
        bytes.fromhex(given["content"]),
        ObjectIdentifier(given["content_type"]),
        certificates=map(bytes.fromhex, given.get("certificates", ())),
    )
    return {"signed": signed.hex()}


def cms_seal(given: dict[str, Any]) -> dict[str, Any]:
    """Seal ``content`` in ``context`` to the key of ``certificate``."""
    recipient = Recipient(_Given(bytes.fromhex(given["certificate"]), given["suite"]))
    sealed = seal(bytes.fromhex(given["content"]), recipient, context=bytes.fromhex(given["context"]))
    return {"sealed": sealed.hex()}


def dual_sign(given: dict[str, Any]) -> dict[str, Any]:
    """Sign the parts of a purchase with one signature."""
    parts = [
        Part(ObjectIdentifier(part["type"]), bytes.fromhex(part["content"]), bytes.fromhex(part["salt"]))
        for part in given["parts"]
    ]
    made = PURCHASE.sign(_signer(given), parts)
    digests = {oid.dotted_string: value.hex() for oid, value in made.digests.items()}
    return {"signature": made.signature.hex(), "digests": digests}


OPS = {"cms.sign": cms_sign, "cms.seal": cms_seal, "dual.sign": dual_sign}
