"""The rules that a whole chain must fulfil besides those that OpenSSL checks.  Chains go from the leaf to the root.

Sources: set-protocol.md section 6.6; RFC 5280 section 6.3.3 (revocation).
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from pki.checking import CheckedCertificate
from pki.profiles import PROFILES, CertificateKind, path_depth
from pki.revocation import CheckedCRL
from pki.suites import KeySuite

__all__ = ["ALWAYS", "Span", "issuers_of", "require_signatures", "require_suite", "set_rules", "signed_by", "unrevoked"]

_X509_SOURCE = "RFC 5280 section 6.1.3"
_CRL_SOURCE = "RFC 5280 section 6.3.3"
_SET_SOURCE = "set-protocol.md section 6.6 rule "


class Span(NamedTuple):
    """The times for which something was found to hold, from ``start`` to ``end``."""

    start: datetime
    end: datetime

    def cut(self, start: datetime, end: datetime) -> Span:
        """What of it lies between two other times."""
        return Span(max(self.start, start), min(self.end, end))


ALWAYS = Span(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
"""All times."""


def require_suite(certificate: CheckedCertificate, suite: KeySuite) -> None:
    """CertificateError if it is of another suite: the strength of a chain is that of its weakest member."""
    if certificate.suite is not suite:
        raise certificate.error("invalidCertificate", f"not of suite {suite.name}", "architecture section 3.3")


def set_rules(chain: tuple[CheckedCertificate, ...], suite: KeySuite) -> None:
    """The rules of 6.6 that are about the chain; those about one certificate are its profile's."""
    brand = chain[0].name.organization
    if chain[-1].kind is not CertificateKind.ROOT:
        raise chain[0].error(
            "invalidCertificate", f"a chain of more than {path_depth()} certificates", _SET_SOURCE + "4"
        )
    for certificate in chain:
        require_suite(certificate, suite)
        if certificate.kind is not CertificateKind.ROOT and certificate.name.organization != brand:
            raise certificate.error("invalidCertificate", "the chain mixes brands", _SET_SOURCE + "7")
    for certificate, issuer in pairwise(chain):
        if issuer.kind not in PROFILES[certificate.kind].issuers:
            raise certificate.error("invalidCertificate", f"issued by a {issuer.kind}", _SET_SOURCE + "6")


def issuers_of(chain: tuple[CheckedCertificate, ...]) -> tuple[CheckedCertificate, ...]:
    """The issuer of each certificate of a chain, the root's being the root."""
    return (*chain[1:], chain[-1])


def unrevoked(chain: tuple[CheckedCertificate, ...], crls: list[CheckedCRL], at: datetime) -> Span:
    """Every certificate against the CRL of its issuer, which must be current; the times for which it is.

    ``crls``: those of the issuers, each verified under its issuer's key (``CRLStore``).  CertificateError:
    "revokedCertificate"; "missingCertificate" for a CRL that is not current.
    """
    second = at.replace(microsecond=0)  # as OpenSSL looks at certificates
    span = ALWAYS
    for certificate, crl in zip(chain, crls, strict=True):
        if second < crl.this_update:
            raise certificate.error("missingCertificate", "CRL not yet valid", _CRL_SOURCE)
        if second > crl.next_update:
            raise certificate.error("missingCertificate", "CRL expired", _CRL_SOURCE)
        if certificate.certificate.serial_number in crl.revoked:
            raise certificate.error("revokedCertificate", "revoked", _CRL_SOURCE)
        span = span.cut(crl.this_update, crl.next_update)
    return span


def signed_by(certificate: CheckedCertificate, issuer: CheckedCertificate) -> bool:
    """Whether the signature on ``certificate`` was made with the key of ``issuer``."""
    read = certificate.certificate
    return certificate.suite is issuer.suite and issuer.suite.verifies(
        read.tbs_certificate_bytes, read.signature, issuer.public_key
    )


def require_signatures(chain: tuple[CheckedCertificate, ...]) -> None:
    """CertificateError unless each certificate is signed by the next, whatever else may be wrong with it."""
    for certificate, issuer in pairwise(chain):
        if not signed_by(certificate, issuer):
            raise certificate.error("invalidCertificate", "certificate signature failure", _X509_SOURCE)
