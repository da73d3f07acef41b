"""What ``vectors/README.md`` says, against the code: its octets, its lists, and its formulas written down once more.

The formulas for signed and sealed objects and the dual signature are held by ``examples/node-verifier``; here are the
digests that it does not need.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path

from pki import CertificateKind, thumbprint
from pki.der import encode
from pki.profiles import PROFILES, Use
from pki.suites import SUITES as KEY_SUITES
from setproto.card import PAN, CardExpiry, CardSecret, PANSecret, cardholder_name, trans_stain
from setproto.crypto import recipients, signed
from setproto.crypto.digests import digest
from setproto.crypto.suites import SUITES
from setproto.errors import ErrorCode
from setproto.messages.oids import ID_PI_TBS
from setproto.messages.registry import MESSAGES
from setproto.messages.wrapper import unwrap
from tests.roles.scenes import before, opened

README = (Path(__file__).parents[2] / "vectors" / "README.md").read_text()
OCTETS = README.replace(" ", "")


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    head = (size,) if size < 128 else (0x81, size) if size < 256 else (0x82, size >> 8, size & 255)
    return bytes((tag, *head)) + content


def framed(label: str, *parts: bytes) -> bytes:
    """As the README has it."""
    return tlv(0x30, tlv(0x0C, f"setproto/2 {label}".encode()) + b"".join(tlv(0x04, part) for part in parts))


def test_every_algorithm_identifier_is_written_down() -> None:
    for suite in SUITES.values():
        of_certificates = KEY_SUITES[suite.name].x509_algorithm
        for identifier in (suite.digest_algorithm, *suite.signature_algorithms, of_certificates):
            assert f"`{identifier.hex()}`" in README
    for identifier in (recipients._AES256_WRAP, recipients._HKDF_SHA256, recipients._ML_KEM_768):
        assert identifier.hex() in README
    for identifier in (recipients._EC_PUBLIC_KEY, recipients._X25519):
        assert f"`{identifier.hex()}`" in README
    for identifier in (recipients._ECDH_X963_SHA256, recipients._ECDH_HKDF_SHA256):
        assert f"`{identifier.hex().replace(recipients._AES256_WRAP.hex(), '')}‖WRAP`" in OCTETS


def test_the_examples_are_what_the_code_makes() -> None:
    assert digest("HODInput", b"ab").hex() in README
    assert framed("HODInput", b"ab").hex() in OCTETS
    attributes = signed._signed_attributes(SUITES["p256"], (bytes(32),), ID_PI_TBS, b"").hex()
    assert attributes.removesuffix("00" * 32) in OCTETS.replace("\n", "")


def test_every_reason_kind_and_operation_is_in_the_lists() -> None:
    _, _, reasons = README.partition("## 6. Reasons")
    assert {code.name for code in ErrorCode} <= set(re.findall(r"`(\w+)`", reasons))
    _, _, kinds = README.partition("**Kinds.**")
    for kind, profile in PROFILES.items():
        name = kind.value.replace("merchant CA key", "cardholder CA key").replace("gateway CA key", "cardholder CA key")
        name = re.sub(r"^(merchant|gateway) CA message", "cardholder CA message", name)
        assert f"`{name}`" in kinds or name == CertificateKind.CARDHOLDER_CA_EXCHANGE, name
        assert (profile.path_length is None) == (profile.use is not Use.ISSUE)


def test_header_content_and_baggage_are_digested_as_described() -> None:
    scene = before("AuthRes")
    market, request, response = scene.market, scene.sent["AuthReq"], scene.sent["AuthRes"]
    asked, answered = (opened(market, message.name, message.data) for message in (request, response))
    wire = unwrap(request.data)
    covered = hashlib.sha256(framed("MessageHeader", wire.header_der)).digest()
    assert asked.body.head.header_digest == covered
    content = encode(asked.body).replace(covered, bytes(32), 1)
    assert answered.body.request_digest == hashlib.sha256(framed("AuthReq", content)).digest()
    baggage = encode(asked.baggage)
    assert asked.body.baggage_digest == hashlib.sha256(framed("AuthReq baggage", baggage)).digest()
    assert {kind.name for kind in MESSAGES.values()} >= {"PInitReq", "Me-AqCInitReq"}


def test_what_is_made_of_card_secrets_is_described() -> None:
    secret, nonce, xid = CardSecret(bytes(range(32))), bytes(32), bytes(range(20))
    pan_secret = PANSecret.derive(secret, nonce, "Märque")
    ikm, info = secret.reveal() + nonce, framed("PANSecret", "Märque".encode())
    key = hmac.digest(hmac.digest(bytes(32), ikm, "sha256"), info + b"\x01", "sha256")
    assert pan_secret.reveal() == key
    named = hmac.digest(key, framed("UniqueCardholderID", b"4111111111111111", b"203012"), "sha256")
    assert (
        cardholder_name(PAN("4111111111111111"), CardExpiry("203012"), pan_secret) == base64.b64encode(named).decode()
    )
    assert trans_stain(xid, secret) == hmac.digest(secret.reveal(), framed("TransStain", xid), "sha256")[:20]


def test_thumbprints_and_identifiers_are_not_framed() -> None:
    certificate = before("PInitReq").market.merchant.credentials.signer.certificate
    # A certificate of more than 256 octets: 30 82 xx xx, then the signed part, 30 82 xx xx.
    size = 4 + int.from_bytes(certificate[6:8], "big")
    assert thumbprint(certificate) == hashlib.sha256(certificate[4 : 4 + size]).digest()


def test_every_name_that_the_vectors_use_is_explained() -> None:
    unexplained = set()
    for path in (Path(__file__).parents[2] / "vectors" / "v1").glob("*.json"):
        for group in json.loads(path.read_text())["testGroups"]:
            for test in group["tests"]:
                names = {*group["keys"], *group["policy"], *test["input"], *test["expected"]["outputs"]}
                names |= {name for name in test.get("intermediate") or () if not name.startswith("digest_")}
                unexplained |= {name for name in names if not name.startswith("x-") and f"`{name}`" not in README}
    assert not unexplained
