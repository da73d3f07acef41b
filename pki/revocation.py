"""Certificate revocation lists: their profile, and a store that never goes back.

A CRL here is version 2, complete (no delta, no partition by distribution point), signed
by the CA whose certificates it lists, with cRLNumber and authorityKeyIdentifier and no
other extension.  So whether a certificate is revoked is one question: is its serial number
on the list of its issuer's key?  A delta or partitioned CRL would make that answer wrong, which
is why every other extension is refused here.

Sources: RFC 5280 section 5; set-protocol.md section 6.9.  Which CRLs are the current ones of a
brand is said by the BrandCRLIdentifier (pki/bci.py).
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from pki import der
from pki.checking import CheckedCertificate, reading
from pki.errors import CertificateError
from pki.profiles import CA_KINDS
from pki.signed import MAX_CRL, signed_shape
from pki.suites import KeySuite, suite_of_algorithms

__all__ = ["MAX_ISSUERS", "CRLStore", "CheckedCRL", "check_crl"]

MAX_ISSUERS = 4096
"""CAs in one store: far above any real tree, and only CAs that a trusted root leads to get a place (path.py)."""
_SOURCE = "RFC 5280 section 5"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCRL:
    """A CRL that fulfils the profile.  Its signature is **not** checked; ``CRLStore.add`` does that.

    ``issuer``: the issuer's name in DER; ``printable``: issuer and number for people; ``number``: cRLNumber;
    ``revoked``: the serial numbers on it.
    """

    der: bytes
    crl: x509.CertificateRevocationList
    suite: KeySuite
    issuer: bytes
    authority_key_identifier: bytes
    number: int
    this_update: datetime
    next_update: datetime
    revoked: frozenset[int]
    printable: str


def check_crl(data: bytes) -> CheckedCRL:
    """Read ``data`` (DER, at most 8 MiB).  CertificateError("invalidCertificate") names the broken rule."""
    shape = signed_shape(data, limit=MAX_CRL)
    suite = suite_of_algorithms(shape.outer_algorithm, shape.inner_algorithm)
    with reading("CRL"):
        crl = x509.load_der_x509_crl(data)
        issuer_text = crl.issuer.rfc4514_string()
        this_update, next_update = crl.last_update_utc, crl.next_update_utc
        extensions = list(crl.extensions)
        revoked = []
        for entry in crl:
            revoked.append(entry.serial_number)
            for extension in entry.extensions:
                # A reason changes nothing; certificateIssuer would make the list one of another CA.
                if extension.oid != CRLEntryExtensionOID.CRL_REASON or extension.critical:
                    raise _refuse("entries have no extension but the reason")
                if getattr(extension.value, "reason", None) is x509.ReasonFlags.remove_from_crl:
                    raise _refuse("removeFromCRL belongs in delta CRLs")
    if next_update is None or this_update >= next_update:
        raise _refuse("nextUpdate present and after thisUpdate")
    found = {extension.oid: extension.value for extension in extensions}
    number = found.get(ExtensionOID.CRL_NUMBER)
    aki = found.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    if (
        len(found) != 2
        or any(extension.critical for extension in extensions)
        or not isinstance(number, x509.CRLNumber)
        or not isinstance(aki, x509.AuthorityKeyIdentifier)
        or aki.key_identifier is None
        or aki.authority_cert_issuer is not None
    ):
        raise _refuse("extensions cRLNumber and authorityKeyIdentifier, not critical, and no others")
    if not 0 <= number.crl_number < 1 << 159:
        raise _refuse("cRLNumber of at most 20 octets")
    return CheckedCRL(
        der=data,
        crl=crl,
        suite=suite,
        # Version 2 puts the version first: version, algorithm, issuer.  signed_shape found the INTEGER.
        issuer=der.encode(shape.fields[2]),
        authority_key_identifier=aki.key_identifier,
        number=number.crl_number,
        this_update=this_update,
        next_update=next_update,
        revoked=frozenset(revoked),
        printable=f"CRL {number.crl_number} of {issuer_text}",
    )


def _refuse(rule: str) -> CertificateError:
    return CertificateError("invalidCertificate", f"CRL: {rule}", _SOURCE)


class CRLStore:
    """The newest CRL of every issuer.

    CRLs are kept by the *key* that verified them together with the issuer's name, not by the name
    alone.  So a made-up CA certificate that carries a real CA's name can fill a place of its own
    and never displace, or outnumber, the real CA's list: the store needs to trust nobody.
    """

    def __init__(self) -> None:
        self._crls: dict[tuple[bytes, bytes], CheckedCRL] = {}
        self._generation = 0
        self._lock = threading.Lock()

    @property
    def generation(self) -> int:
        """Grows whenever a CRL is added or replaced; what was concluded under another value is stale."""
        return self._generation

    def newest(self, issuer: CheckedCertificate) -> CheckedCRL | None:
        """The newest CRL of this issuer, whether still current or not; None if there is none."""
        return self._crls.get((issuer.subject, issuer.key_digest))

    def listed(self, crls: Container[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
        """Those held whose issuer, as (name in DER, key identifier), is in ``crls``; DER."""
        held = list(self._crls.values())
        return tuple(crl.der for crl in held if (crl.issuer, crl.authority_key_identifier) in crls)

    def holds(self, data: bytes) -> bool:
        """Whether exactly this CRL is held."""
        return any(crl.der == data for crl in list(self._crls.values()))

    def add(self, new: CheckedCRL, issuers: Iterable[CheckedCertificate]) -> CheckedCRL:
        """Take in a CRL that one of ``issuers`` has signed; returns the newest CRL of that issuer.

        An older CRL than the one held changes nothing, so an attacker who replays it gains nothing.
        CertificateError: "missingCertificate" if none of ``issuers`` is the CRL's issuer by name and
        key identifier; "invalidCertificate" if no such issuer's key verifies it, or it has the number
        of the one held but other contents (RFC 5280 section 5.2.3).
        """
        named = [
            issuer
            for issuer in issuers
            if issuer.kind in CA_KINDS
            and issuer.subject == new.issuer
            and issuer.subject_key_identifier == new.authority_key_identifier
        ]
        if not named:
            raise CertificateError(
                "missingCertificate", "no certificate of the CRL's issuer", _SOURCE, subject=new.printable
            )
        signer = next((issuer for issuer in named if _verifies(new, issuer)), None)
        if signer is None:
            raise CertificateError(
                "invalidCertificate", "signature of a CRL", "RFC 5280 section 6.3.3", subject=new.printable
            )
        place = (signer.subject, signer.key_digest)
        with self._lock:  # two at a time must not leave the older one
            held = self._crls.get(place)
            if held is not None and new.number <= held.number:
                # ECDSA signs the same contents differently each time: what counts is what is signed.
                if new.number == held.number and new.crl.tbs_certlist_bytes != held.crl.tbs_certlist_bytes:
                    raise CertificateError(
                        "invalidCertificate",
                        "two different CRLs with one number",
                        "RFC 5280 section 5.2.3",
                        subject=new.printable,
                    )
                return held
            if held is None and len(self._crls) >= MAX_ISSUERS:
                raise CertificateError("invalidCertificate", "too many issuers of CRLs", "pki/revocation.py")
            self._crls[place] = new
            self._generation += 1
        return new


def _verifies(crl: CheckedCRL, issuer: CheckedCertificate) -> bool:
    # A key is of exactly its suite (check_certificate), so equal suites mean a key of the right type.
    return crl.suite is issuer.suite and crl.crl.is_signature_valid(issuer.public_key)  # type: ignore[arg-type]
