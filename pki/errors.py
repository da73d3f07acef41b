"""What certificate handling raises: one exception, with the SET error code and the rule that failed."""

from __future__ import annotations

from typing import Literal

__all__ = ["CertificateError", "ErrorCode", "KeyStoreError", "UnknownSuiteError"]

ErrorCode = Literal["invalidCertificate", "expiredCertificate", "revokedCertificate", "missingCertificate"]
"""The names of the SET error codes that speak of certificates (SET Book 2, Error message)."""


class CertificateError(Exception):
    """A certificate, a CRL or a chain is refused, or may not be issued.

    * ``code``: the SET ErrorCode to send to the peer.
    * ``rule``: the rule that failed, in a few words.
    * ``source``: where that rule is written, for example "RFC 5280 section 6.1.3".
    * ``subject``: printable name of the certificate concerned, "" if it could not be read.
    * ``thumbprint``: SHA-256 of the offending unsigned certificate (32 octets), or None; SET's ErrorThumb.
    """

    def __init__(
        self, code: ErrorCode, rule: str, source: str, *, subject: str = "", thumbprint: bytes | None = None
    ) -> None:
        super().__init__(f"{code}: {rule} ({source})" + (f" [{subject}]" if subject else ""))
        self.code: ErrorCode = code
        self.rule = rule
        self.source = source
        self.subject = subject
        self.thumbprint = thumbprint

    def about(self, subject: str, thumbprint: bytes | None) -> CertificateError:
        """The same refusal, naming the certificate; for rules that see only a part of one."""
        return type(self)(self.code, self.rule, self.source, subject=subject, thumbprint=thumbprint)


class UnknownSuiteError(CertificateError, ValueError):
    """The name of a suite, or the key or algorithm of a certificate, is on no allow-list of ours."""


class KeyStoreError(CertificateError):
    """A private key could not be read: wrong passphrase, damaged file, or a key that is not of the suite."""
