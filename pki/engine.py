"""The engine of chain validation: OpenSSL, through pyOpenSSL, in this module only (docs/adr, architecture 3.8).

pyOpenSSL calls this part of itself "pending deprecation", so the engine must be replaceable in one file.
``cryptography.x509.verification`` cannot serve: it has no CRLs, no Ed25519, and no private critical extensions.

It checks signatures, dates, CA bits, path lengths and key identifiers of a chain that is given to it whole.  SET's
certificates have private *critical* extensions, and OpenSSL's flag to ignore what it does not know is all or
nothing.  So the flag is set, and ``check_certificate`` refuses every extension, critical or restricting, that is
not enforced here.

Source: RFC 5280 section 6.1.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from OpenSSL import crypto

from pki.checking import CheckedCertificate
from pki.errors import CertificateError, ErrorCode

__all__ = ["Engine"]

_SOURCE = "RFC 5280 section 6.1.3"

# OpenSSL's X509_V_ERR_* numbers (x509_vfy.h), where a code other than invalidCertificate is due.
_OPENSSL: dict[int, tuple[ErrorCode, str]] = {
    2: ("missingCertificate", "issuer certificate missing"),
    9: ("invalidCertificate", "not yet valid"),
    10: ("expiredCertificate", "expired"),
    20: ("missingCertificate", "issuer certificate missing"),
}
# X509_STRICT: no allowances for certificates that break RFC 5280.
_FLAGS = crypto.X509StoreFlags.X509_STRICT | crypto.X509StoreFlags.IGNORE_CRITICAL


class Engine:
    """OpenSSL, and its own form of the certificates for which ``lasting`` says so: they come again and again."""

    def __init__(self, lasting: Callable[[bytes], bool]) -> None:
        self._lasting = lasting
        self._known: dict[bytes, crypto.X509] = {}

    def verify(self, chain: tuple[CheckedCertificate, ...], at: datetime) -> None:
        """Return if the chain, whose last certificate is trusted, holds at ``at`` (in UTC); else CertificateError."""
        store = crypto.X509Store()
        store.set_time(at)  # pyOpenSSL reads the fields as UTC, which ``at`` is in
        store.set_flags(_FLAGS)
        store.add_cert(self._parsed(chain[-1]))
        untrusted = [self._parsed(certificate) for certificate in chain[1:-1]]
        try:
            verified = crypto.X509StoreContext(store, self._parsed(chain[0]), untrusted).get_verified_chain()
        except crypto.X509StoreContextError as refusal:
            raise _translate(refusal, chain) from None
        # OpenSSL may not have found a way of its own.
        if len(verified) != len(chain):
            raise chain[0].error("invalidCertificate", "OpenSSL verified another chain", _SOURCE)

    def _parsed(self, certificate: CheckedCertificate) -> crypto.X509:
        found = self._known.get(certificate.der)
        if found is None:
            try:
                found = crypto.X509.from_cryptography(certificate.certificate)
            except crypto.Error:  # two parsers, and this one is stricter here (string types in names, for one)
                raise certificate.error("invalidCertificate", "OpenSSL cannot read it", _SOURCE) from None
            if self._lasting(certificate.der):
                self._known[certificate.der] = found
        return found


def _translate(refusal: crypto.X509StoreContextError, chain: tuple[CheckedCertificate, ...]) -> CertificateError:
    number, depth, text = refusal.errors
    code, rule = _OPENSSL.get(number, ("invalidCertificate", f"OpenSSL {number}: {text}"))
    concerned = chain[depth] if 0 <= depth < len(chain) else chain[0]
    return concerned.error(code, rule, _SOURCE)
