"""What is remembered between calls: little, bounded, and nothing that a stranger can make large.

Certificates come in objects that nobody has verified yet.  Two caches see them: the identifiers of certificates
(``pki.identifiers``) and their hashes (``setproto.crypto.signed``).
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import pkgutil
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from cryptography import x509

import pki
import setproto.crypto
from pki import CertificateError, identifiers, subject_key_identifier, thumbprint
from setproto.crypto import signed
from setproto.crypto.cms import Recipient, RecipientKey, verify
from setproto.errors import CertificateRefused
from tests.crypto import material
from tests.crypto.material import ORDER, Party, Trusted, forge, party

LIMIT = 16 * 1024
"""Octets of a certificate that is remembered at the most: a real one has one or two thousand, with ML-DSA-65 eight."""


def padded(size: int, mark: int = 0, *, with_ski: bool = True) -> bytes:
    """A well-formed certificate of exactly ``size`` octets.  Ed25519 signatures are of one length."""
    key = party("ed25519").signing_key

    def made(padding: int) -> bytes:
        comment = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.9"), bytes(padding))
        return material.make_certificate(
            key.public_key(), key, ski=bytes([mark]) * 20, serial=1000 + mark, extensions=[comment], with_ski=with_ski
        )

    padding = size - 500
    for _ in range(5):
        padding += size - len(made(padding))
    der = made(padding)
    assert len(der) == size
    return der


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    identifiers._identifier.cache_clear()
    identifiers._thumbprint.cache_clear()
    signed._remembered_hash.cache_clear()
    signed._template.cache_clear()
    yield
    identifiers._identifier.cache_clear()
    identifiers._thumbprint.cache_clear()
    signed._remembered_hash.cache_clear()
    signed._template.cache_clear()


def remembered() -> tuple[int, int]:
    """How many certificates are known by their identifiers, and how many by their hash."""
    return identifiers._identifier.cache_info().currsize, signed._remembered_hash.cache_info().currsize


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1_000, 1), (LIMIT - 1, 1), (LIMIT, 1), (LIMIT + 1, 0), (LIMIT * 2, 0), (60_000, 0), (500_000, 0)],
)
def test_certificates_over_16_kib_are_not_remembered(size: int, expected: int) -> None:
    der = padded(size)
    for _ in range(2):
        assert subject_key_identifier(der) == bytes(20)
        tbs = x509.load_der_x509_certificate(der).tbs_certificate_bytes
        assert thumbprint(der) == hashlib.sha256(tbs).digest()
        assert signed._certificate_hash(der) == hashlib.sha256(der).digest()
    assert remembered() == (expected, expected)
    caches = (identifiers._identifier, identifiers._thumbprint, signed._remembered_hash)
    assert [cache.cache_info().hits for cache in caches] == ([1, 1, 1] if expected else [0, 0, 0])


def test_certificates_over_16_kib_are_used_all_the_same(alice: Party) -> None:
    big, small = padded(LIMIT + 1, 1), padded(2_000, 2)
    data = alice.signer.sign(b"x", ORDER, certificates=[big, small])
    verified = verify(data, content_type=ORDER, certify=alice.certify)
    assert set(verified.certificates) == {alice.certificate, big, small}
    assert remembered() == (2, 2), "alice's and the small one, in each"
    with pytest.raises(CertificateRefused):
        verify(data, content_type=ORDER, certify=party("p256", 1).certify)


def test_recipients_with_certificates_over_16_kib_are_not_remembered() -> None:
    key = party("ed25519").exchange_key
    comment = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.9"), bytes(LIMIT))
    der = material.make_certificate(key.public_key(), party("ed25519").signing_key, extensions=[comment])
    assert len(der) > LIMIT
    expected = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    assert Recipient(Trusted(der, "ed25519", key.public_key())).identifier == expected
    assert RecipientKey(key, der, "ed25519").identifier == expected
    assert remembered() == (0, 0)


@pytest.mark.parametrize("size", [2_000, LIMIT + 1])
def test_a_certificate_without_a_key_identifier_is_refused_each_time(size: int) -> None:
    der = padded(size, with_ski=False)
    for _ in range(2):
        with pytest.raises(CertificateError, match="no subjectKeyIdentifier"):
            subject_key_identifier(der)
    assert len(thumbprint(der)) == 32


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x30\x03\x02\x01\x00"], ids=["empty", "nothing", "a number"])
def test_what_does_not_parse_is_not_remembered(der: bytes) -> None:
    for _ in range(2):
        for function in (subject_key_identifier, thumbprint):
            with pytest.raises(CertificateError):
                function(der)
    assert remembered() == (0, 0)


def test_what_certify_refuses_is_not_hashed_nor_given_a_template(alice: Party) -> None:
    """Only identifiers are read before the decision about trust."""

    def refuse(certificate: bytes, others: Sequence[bytes]) -> Trusted:
        raise CertificateRefused("nobody")

    others = [padded(2_000, n) for n in range(5)]
    data = forge(alice, b"x", ORDER, certificates=[alice.certificate, *others])
    with pytest.raises(CertificateRefused, match="nobody"):
        verify(data, content_type=ORDER, certify=refuse)
    assert remembered() == (6, 0)
    assert signed._template.cache_info().currsize == 0


def test_large_certificates_take_no_memory(alice: Party) -> None:
    """… neither refused nor accepted: a stranger with a certificate of ours may enclose what it likes."""
    big = [padded(200_000, n) for n in range(8)]
    assert len(set(big)) == 8
    refused = [forge(alice, b"x", ORDER, attributes=[], certificates=[alice.certificate, der]) for der in big]
    accepted = [alice.signer.sign(b"x", ORDER, certificates=[der]) for der in big]
    with pytest.raises(Exception, match="must be signed"):
        verify(refused[0], content_type=ORDER, certify=alice.certify)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for good, bad in zip(accepted, refused, strict=True):
            assert verify(good, content_type=ORDER, certify=alice.certify).content == b"x"
            with pytest.raises(Exception, match="must be signed"):
                verify(bad, content_type=ORDER, certify=alice.certify)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 150_000


def caches() -> dict[str, Any]:
    """Every cache of a module of ``pki`` or ``setproto.crypto``, those of methods too, by name."""
    found = {}
    for package in (pki, setproto.crypto):
        for _, module_name, _ in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            module = importlib.import_module(module_name)
            for name, value in vars(module).items():
                for inner_name, inner in ((name, value), *(vars(value).items() if isinstance(value, type) else ())):
                    if callable(getattr(inner, "cache_parameters", None)):
                        found[f"{module_name}.{inner_name}"] = inner
    return found


def test_every_cache_is_bounded() -> None:
    found = caches()
    assert {
        "pki.identifiers._identifier",
        "pki.identifiers._thumbprint",
        "setproto.crypto.signed._remembered_hash",
        "setproto.crypto.signed._template",
        "setproto.crypto.signed.oid_tlv",
    } <= set(found)
    sizes = {name: cache.cache_parameters()["maxsize"] for name, cache in found.items()}
    assert {name: size for name, size in sizes.items() if size is None or size > 1024} == {}
    # The two whose keys are certificates hold 16 MiB each at the most, and mostly the same octets.
    assert (identifiers._REMEMBERED_SIZE, signed._REMEMBERED_SIZE) == (LIMIT, LIMIT)


def test_two_certificates_are_never_taken_for_each_other() -> None:
    """What is remembered is remembered by the whole certificate."""
    one, two = padded(3_000, 1), padded(3_000, 2)
    for _ in range(2):
        assert [subject_key_identifier(der)[0] for der in (one, two)] == [1, 2]
        assert thumbprint(one) != thumbprint(two)
        assert signed._certificate_hash(one) != signed._certificate_hash(two)
    resigned = one[:-1] + bytes([one[-1] ^ 1])
    assert thumbprint(resigned) == thumbprint(one)
    assert signed._certificate_hash(resigned) != signed._certificate_hash(one)
