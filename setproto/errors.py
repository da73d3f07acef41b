"""Every error that a caller can meet, and the code that stands for it on the wire.

One registry: :class:`ErrorCode` is SET's list (Book 2, Error message; Annex of codes), and each
exception names its code, so the exception, the number in an Error message and the ``reason`` of a
test vector are one entry.  Business outcomes (declined, amountError …) are not errors: they travel in
the code fields of ordinary responses, see ``setproto.messages.codes``.
"""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """What an Error message says.  1–22 are SET's; from 100 on they are this project's."""

    unspecifiedFailure = 1
    messageNotSupported = 2
    decodingFailure = 3
    invalidCertificate = 4
    expiredCertificate = 5
    revokedCertificate = 6
    missingCertificate = 7
    signatureFailure = 8
    badMessageHeader = 9
    wrapperMsgMismatch = 10
    versionTooOld = 11
    versionTooNew = 12
    unrecognizedExtension = 13
    messageTooBig = 14
    signatureRequired = 15
    messageTooOld = 16
    messageTooNew = 17
    thumbsMismatch = 18
    unknownRRPID = 19
    unknownXID = 20
    unknownLID = 21
    challengeMismatch = 22
    # SET names no code for these (set-protocol.md §4.2, §8.3; the first is "unconfirmed" there).
    rrpidConflict = 100
    """An RRPID seen before came again with other content; the first result stands."""
    decryptionFailure = 101
    """A sealed object does not open here: one code for every cause."""
    wrongRecipient = 102
    """The signed body names another recipient, sender, type or suite."""


class SetError(Exception):
    """Base of all errors of the library.  ``str()`` is fit for people and logs: it holds no card data."""

    code: ErrorCode = ErrorCode.unspecifiedFailure

    def __init__(self, detail: str = "", *, thumb: bytes | None = None, oid: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.thumb = thumb
        """ErrorThumb: thumbprint of the offending certificate, or the digest a signature failed over."""
        self.oid = oid
        """ErrorOID: the critical extension that is not known."""

    def __str__(self) -> str:
        return f"{self.code.name}: {self.detail}" if self.detail else self.code.name


class UsageError(SetError):
    """The caller's own mistake, not the peer's: wrong state, wrong argument, unknown name."""


class Unreachable(SetError):
    """A server gave no answer.  What it was sent may have arrived or not; sending it again is harmless."""


class UnknownSuite(UsageError):
    """A suite name that is not on the allow-list."""


class ProtocolError(SetError):
    """Something the peer sent, or failed to send.  Raised with a code of its own class or an explicit one."""

    def __init__(
        self,
        detail: str = "",
        *,
        code: ErrorCode | None = None,
        thumb: bytes | None = None,
        oid: str | None = None,
    ) -> None:
        super().__init__(detail, thumb=thumb, oid=oid)
        if code is not None:
            self.code = code


class DecodingFailure(ProtocolError):
    """Not the DER encoding of what was expected."""

    code = ErrorCode.decodingFailure


class MessageTooBig(ProtocolError):
    """Longer than the local limit; refused before parsing."""

    code = ErrorCode.messageTooBig


class SignatureFailure(ProtocolError):
    """A signature, a signed digest or a linkage does not hold."""

    code = ErrorCode.signatureFailure


class DecryptionFailure(ProtocolError):
    """A sealed object does not open.  Deliberately without any detail: every cause looks alike, so that the
    opener is no oracle (Bleichenbacher 1998; CVE-2026-69247 in the library below)."""

    code = ErrorCode.decryptionFailure

    def __init__(self) -> None:
        super().__init__("the object does not open")


class WrongRecipient(ProtocolError):
    """A signed body was made for another recipient, sender, type or suite (set-protocol.md W-3, PX-6)."""

    code = ErrorCode.wrongRecipient


class RRPIDConflict(ProtocolError):
    """Same sender and RRPID, other content (set-protocol.md §4.2)."""

    code = ErrorCode.rrpidConflict


class CertificateRefused(ProtocolError):
    """A certificate chain was refused: ``code`` says invalid, expired, revoked or missing."""
