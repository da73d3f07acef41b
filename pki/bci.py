"""The BrandCRLIdentifier: the brand CA's signed list of which CRLs are the current ones of its brand.

A CRL that somebody withholds looks like no CRL that was ever made; the list is what tells the two apart.
Its form, in DER, is that of a certificate or CRL, {signed part, algorithm, signature}, where the signed part is

    SEQUENCE {
        version INTEGER (2), signature AlgorithmIdentifier, issuer Name, authorityKeyIdentifier OCTET STRING,
        sequenceNum INTEGER, brandID UTF8String, notBefore GeneralizedTime, notAfter GeneralizedTime,
        crlIdentifierSeq SEQUENCE OF SEQUENCE {
            issuerName Name, authorityKeyIdentifier OCTET STRING, cRLNumber INTEGER } }

No certificate and no CRL can be taken for it, or it for one, although one key signs all three: a certificate
begins with [0], the version of a CRL is 1, and neither has an OCTET STRING after the issuer.

Deviations from SET: the algorithm is inside the signature too (RFC 5280 section 4.1.2.3); an issuer is named by
its key identifier besides its name, because a CA with a new key has two keys and two CRLs under one name; the
list is never empty, and there are no extensions.

Source: set-protocol.md section 6.9 and property PX-15.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, NamedTuple

from pki import der
from pki.checking import CheckedCertificate
from pki.errors import CertificateError
from pki.names import MAX_BRAND
from pki.profiles import CertificateKind
from pki.revocation import MAX_ISSUERS, CheckedCRL
from pki.signed import signed_shape
from pki.suites import KeySuite, SignaturePrivateKey, suite_of_algorithms

__all__ = ["MAX_BCI", "BCIStore", "CheckedBCI", "HeldBCI", "check_bci", "sign_bci"]

MAX_BCI = 64 * 1024
"""Octets.  A brand of about 400 CAs."""
_SOURCE = "set-protocol.md section 6.9"
_VERSION = 2
_MAX_NUMBER = 1 << 159  # 20 octets, as for cRLNumber (RFC 5280 section 5.2.3)

_KeyIdentifier = Annotated[bytes, der.Size(min=1, max=64)]


@der.sequence
class _CRLIdentifier:
    issuer_name: der.TLV
    authority_key_identifier: _KeyIdentifier
    crl_number: int


@der.sequence
class _ToBeSigned:
    version: int
    signature: der.TLV  # the one INTEGER before a SEQUENCE is the version: this is what signed_shape has found
    issuer: der.TLV
    authority_key_identifier: _KeyIdentifier
    sequence_num: int
    brand_id: Annotated[str, der.Size(min=1, max=MAX_BRAND)]
    not_before: der.GeneralizedTime
    not_after: der.GeneralizedTime
    crl_identifier_seq: Annotated[list[_CRLIdentifier], der.Size(min=1, max=MAX_ISSUERS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBCI:
    """A BrandCRLIdentifier of the right form.  Its signature is **not** checked; ``BCIStore.add`` does that.

    ``tbs``: the signed part.  ``issuer``: the name of the brand CA in DER.  ``number``: sequenceNum.  Times are
    aware, in UTC, both ends included.  ``crls``: (issuer's name in DER, its key identifier) → number of its CRL.
    """

    der: bytes
    tbs: bytes
    signature: bytes
    suite: KeySuite
    issuer: bytes
    authority_key_identifier: bytes
    number: int
    brand: str
    not_before: datetime
    not_after: datetime
    crls: Mapping[tuple[bytes, bytes], int]

    @property
    def printable(self) -> str:
        """Its number and brand, for people."""
        return f"BrandCRLIdentifier {self.number} of {self.brand!r}"


def check_bci(data: bytes) -> CheckedBCI:
    """Read ``data`` (DER, at most 64 KiB).  CertificateError("invalidCertificate") names the broken rule."""
    shape = signed_shape(data, limit=MAX_BCI)
    suite = suite_of_algorithms(shape.outer_algorithm, shape.inner_algorithm)
    try:
        read = der.decode(_ToBeSigned, shape.tbs, limit=MAX_BCI)
    except der.DecodingFailure:
        raise _refuse("not of the form of a BrandCRLIdentifier") from None
    if read.version != _VERSION:
        raise _refuse(f"version {_VERSION}")
    numbers = [read.sequence_num, *(entry.crl_number for entry in read.crl_identifier_seq)]
    if not all(0 <= number < _MAX_NUMBER for number in numbers):
        raise _refuse("numbers of at most 20 octets")
    not_before, not_after = read.not_before.as_datetime(), read.not_after.as_datetime()
    if not_before >= not_after:
        raise _refuse("notBefore before notAfter")
    if not read.brand_id.isprintable():
        raise _refuse("a printable brand")
    crls = {
        (der.as_received(entry.issuer_name), entry.authority_key_identifier): entry.crl_number
        for entry in read.crl_identifier_seq
    }
    if len(crls) != len(read.crl_identifier_seq):
        raise _refuse("no issuer is listed twice")
    return CheckedBCI(
        der=data,
        tbs=shape.tbs,
        signature=shape.signature,
        suite=suite,
        issuer=der.as_received(read.issuer),
        authority_key_identifier=read.authority_key_identifier,
        number=read.sequence_num,
        brand=read.brand_id,
        not_before=not_before,
        not_after=not_after,
        crls=MappingProxyType(crls),
    )


def sign_bci(
    issuer: CheckedCertificate,
    private_key: SignaturePrivateKey,
    crls: Sequence[CheckedCRL],
    *,
    number: int,
    not_before: datetime,
    not_after: datetime,
) -> bytes:
    """Make and sign one in DER; ``Authority.brand_crl_identifier`` decides what it may say.  Aware times."""

    def taken(element: bytes) -> der.TLV:
        return der.decode(_Whole, der.tlv(0x30, element)).element

    tbs = der.encode(
        _ToBeSigned(
            version=_VERSION,
            signature=taken(issuer.suite.x509_algorithm),
            issuer=taken(issuer.subject),
            authority_key_identifier=issuer.subject_key_identifier,
            sequence_num=number,
            brand_id=issuer.name.organization,
            not_before=der.general_time(not_before),
            not_after=der.general_time(not_after),
            crl_identifier_seq=[
                _CRLIdentifier(
                    issuer_name=taken(crl.issuer),
                    authority_key_identifier=crl.authority_key_identifier,
                    crl_number=crl.number,
                )
                for crl in crls
            ],
        )
    )
    signature = der.tlv(0x03, b"\0", issuer.suite.sign(tbs, private_key))
    return der.tlv(0x30, tbs, issuer.suite.x509_algorithm, signature)


@der.sequence
class _Whole:
    element: der.TLV


def _refuse(rule: str) -> CertificateError:
    return CertificateError("invalidCertificate", f"BrandCRLIdentifier: {rule}", _SOURCE)


class HeldBCI(NamedTuple):
    """A list whose signature was good, and a certificate of the key that made it."""

    bci: CheckedBCI
    signer: CheckedCertificate


class BCIStore:
    """The newest BrandCRLIdentifier of every key of every brand CA.

    They are kept by the key that verified them, as ``CRLStore`` does and for its reason: whoever has made
    a certificate with a brand CA's name displaces nothing.  Whether a key may speak for its brand at some
    time is for ``PathValidator`` to say.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[bytes, bytes], HeldBCI] = {}
        self._generation = 0
        self._lock = threading.Lock()

    @property
    def generation(self) -> int:
        """Grows whenever one is added or replaced; what was concluded under another value is stale."""
        return self._generation

    def of_brand(self, brand: str) -> list[HeldBCI]:
        """All that are held for a brand, whether still current or not: one for each key of its CA."""
        return [held for held in list(self._held.values()) if held.bci.brand == brand]

    def holds(self, data: bytes) -> bool:
        """Whether exactly this one is held."""
        return any(held.bci.der == data for held in list(self._held.values()))

    def add(self, new: CheckedBCI, issuers: Iterable[CheckedCertificate]) -> CheckedBCI:
        """Take in a list that one of ``issuers`` has signed; returns the newest one of that key.

        An older one than the one held changes nothing (6.9: "keep the newer, drop the older").
        CertificateError: "missingCertificate" if none of ``issuers`` is its brand CA by name and key
        identifier; "invalidCertificate" if no such key verifies it, the brand is not the signer's, or
        it has the number of the one held but other contents.
        """
        named = [
            issuer
            for issuer in issuers
            if issuer.kind is CertificateKind.BRAND_CA
            and issuer.subject == new.issuer
            and issuer.subject_key_identifier == new.authority_key_identifier
        ]
        if not named:
            raise CertificateError(
                "missingCertificate", "no certificate of the brand CA", _SOURCE, subject=new.printable
            )
        signer = next(
            (
                issuer
                for issuer in named
                if new.suite is issuer.suite and new.suite.verifies(new.tbs, new.signature, issuer.public_key)
            ),
            None,
        )
        if signer is None:
            raise self._invalid(new, "signature of a BrandCRLIdentifier")
        if signer.name.organization != new.brand:
            raise self._invalid(new, "the brand CA of another brand")
        place = (signer.subject, signer.key_digest)
        with self._lock:  # two at a time must not leave the older one
            held = self._held.get(place)
            if held is not None and new.number <= held.bci.number:
                # ECDSA signs the same contents differently each time: what counts is what is signed.
                if new.number == held.bci.number and new.tbs != held.bci.tbs:
                    raise self._invalid(new, "two different BrandCRLIdentifiers with one number")
                return held.bci
            if held is None and len(self._held) >= MAX_ISSUERS:
                raise self._invalid(new, "too many brand CAs")
            self._held[place] = HeldBCI(new, signer)
            self._generation += 1
        return new

    @staticmethod
    def _invalid(bci: CheckedBCI, rule: str) -> CertificateError:
        return CertificateError("invalidCertificate", rule, _SOURCE, subject=bci.printable)
