"""The code lists of set-protocol.md §5: what responses say.  Names are SET's; numbers are SET's where they are known.

Errors, which stop the processing of a message, are in ``setproto.errors.ErrorCode``; the codes here are answers.
"""

from __future__ import annotations

import enum

from pki.der import value_set


@value_set(int)
class CompletionCode(enum.IntEnum):
    """PRes and InqRes (§5.2)."""

    meaninglessRatio = 0
    orderRejected = 1
    orderReceived = 2
    orderNotReceived = 3
    authorizationPerformed = 4
    capturePerformed = 5
    creditPerformed = 6


@value_set(int)
class AuthCode(enum.IntEnum):
    """AuthRes (§5.3)."""

    approved = 0
    unspecifiedFailure = 1
    declined = 2
    noReply = 3
    callIssuer = 4
    amountError = 5
    expiredCard = 6
    invalidTransaction = 7
    systemError = 8
    piPreviouslyUsed = 9
    recurringTooSoon = 10
    recurringExpired = 11
    piAuthMismatch = 12
    installRecurMismatch = 13
    captureNotSupported = 14
    signatureRequired = 15
    cardMerchBrandMismatch = 16


@value_set(int)
class CapCode(enum.IntEnum):
    """CapRes, per item (§5.5)."""

    success = 0
    unspecifiedFailure = 1
    duplicateRequest = 2
    authExpired = 3
    authDataMissing = 4
    invalidAuthData = 5
    capTokenMissing = 6
    invalidCapToken = 7
    batchUnknown = 8
    batchClosed = 9
    unknownXID = 10
    unknownLID = 11
    # SET leaves a capture above the authorised amount to brand policy and names no code for it.
    amountError = 100


@value_set(int)
class AuthRevCode(enum.IntEnum):
    """AuthRevRes (§5.4)."""

    approved = 0
    unspecifiedFailure = 1
    noReply = 2
    amountError = 3
    expiredCard = 4
    invalidTransaction = 5
    systemError = 6
    missingCapToken = 7
    invalidCapToken = 8
    invalidAmount = 9


@value_set(int)
class CapRevOrCredCode(enum.IntEnum):
    """CapRevRes, CredRes and CredRevRes, per item (§5.6; its numbers from 3 up are unconfirmed)."""

    success = 0
    unspecifiedFailure = 1
    duplicateRequest = 2
    originalProcessed = 3
    originalNotFound = 4
    capPurged = 5
    missingCapData = 6
    missingCapToken = 7
    invalidCapToken = 8
    batchUnknown = 9
    batchClosed = 10
    # As for CapCode: more than may be given back.
    amountError = 100


@value_set(int)
class PCertCode(enum.IntEnum):
    """PCertRes, per brand (§5.7)."""

    success = 0
    unspecifiedFailure = 1
    brandNotSupported = 2
    unknownBIN = 3


@value_set(int)
class BatchOperation(enum.IntEnum):
    """What BatchAdminReq does (§5.8)."""

    open = 0
    purge = 1
    close = 2


@value_set(int)
class BAStatus(enum.IntEnum):
    """What BatchAdminRes says (§5.8)."""

    success = 0
    unspecifiedFailure = 1
    brandNotSupported = 2
    unknownBIN = 3
    batchIDUnavailable = 4
    batchAlreadyOpen = 5
    unknownBatchID = 6
    brandBatchMismatch = 7
    totalsOutOfBalance = 8
    unknownStartingPoint = 9
    stopItemDetail = 10
    unknownBatchOperation = 11


@value_set(int)
class CloseStatus(enum.IntEnum):
    """Who closed a batch (§5.8)."""

    closedByMerchant = 0
    closedByAcquirer = 1


@value_set(int)
class TransmissionStatus(enum.IntEnum):
    """How far a closed batch has gone toward the acquirer (§5.8)."""

    pending = 0
    inProgress = 1
    batchRejectedByAcquirer = 2
    completedSuccessfully = 3
    completedWithItemErrors = 4


@value_set(int)
class AmtType(enum.IntEnum):
    """Which way money goes, seen from the cardholder (§5.8)."""

    credit = 0
    debit = 1


@value_set(int)
class TransactionStatus(enum.IntEnum):
    """Of one item of a batch (§5.8)."""

    success = 0
    unspecifiedFailure = 1


@value_set(int)
class AcqCardCode(enum.IntEnum):
    """What an acquirer's message to a cardholder is about (§5.9)."""

    messageOfDay = 0
    accountInfo = 1
    callCustomerService = 2


_WORDS: tuple[tuple[enum.IntEnum, str], ...] = (
    (CompletionCode.meaninglessRatio, "the amount of the purchase is zero"),
    (CompletionCode.orderRejected, "the merchant cannot process the order"),
    (CompletionCode.orderReceived, "the order was received; nothing more to report yet"),
    (CompletionCode.orderNotReceived, "the merchant knows of no such order"),
    (CompletionCode.authorizationPerformed, "the payment was presented for authorisation"),
    (CompletionCode.capturePerformed, "the payment was captured"),
    (CompletionCode.creditPerformed, "money was given back"),
    (AuthCode.approved, "approved"),
    (AuthCode.declined, "the issuer declined"),
    (AuthCode.noReply, "the issuer did not answer"),
    (AuthCode.callIssuer, "the issuer wants to be called"),
    (AuthCode.amountError, "the amount is not acceptable"),
    (AuthCode.expiredCard, "the card has expired"),
    (AuthCode.invalidTransaction, "not allowed for this card or merchant"),
    (AuthCode.piPreviouslyUsed, "this payment instruction was authorised before"),
    (AuthCode.piAuthMismatch, "order and payment instruction do not belong together"),
    (AuthCode.cardMerchBrandMismatch, "card and merchant are of different brands"),
    (CapCode.success, "captured"),
    (CapCode.duplicateRequest, "captured before"),
    (CapCode.invalidCapToken, "the capture token does not fit"),
    (CapCode.amountError, "more than was authorised"),
    (AuthRevCode.approved, "reversed"),
    (AuthRevCode.invalidAmount, "not less than was authorised, or less than was captured"),
    (CapRevOrCredCode.success, "done"),
    (CapRevOrCredCode.originalNotFound, "there is no such capture or credit"),
    (CapRevOrCredCode.originalProcessed, "its batch is closed: too late to take it back"),
    (CapRevOrCredCode.amountError, "more than was captured"),
    (BAStatus.success, "done"),
    (BAStatus.totalsOutOfBalance, "merchant and gateway add up to different totals"),
)

TEXT: dict[tuple[type[enum.IntEnum], int], str] = {(type(code), int(code)): words for code, words in _WORDS}
"""What to tell people, by list and number (codes of different lists are equal as integers); a code that is missing
here is shown by its name."""


def text(code: enum.IntEnum) -> str:
    """The code in words."""
    return TEXT.get((type(code), int(code)), code.name)


class Wants(enum.Enum):
    """Which certificates a registration is about."""

    SIG = "signature"
    ENC = "key exchange"
    BOTH = "signature and key exchange"


@value_set(int)
class RequestType(enum.IntEnum):
    """Who registers for what (§5.10).  Cardholders have signature certificates only: the other four are reserved."""

    cardInitialSig = 1
    cardInitialEnc = 2
    cardInitialBoth = 3
    merInitialSig = 4
    merInitialEnc = 5
    merInitialBoth = 6
    pgwyInitialSig = 7
    pgwyInitialEnc = 8
    pgwyInitialBoth = 9
    cardRenewalSig = 10
    cardRenewalEnc = 11
    cardRenewalBoth = 12
    merRenewalSig = 13
    merRenewalEnc = 14
    merRenewalBoth = 15
    pgwyRenewalSig = 16
    pgwyRenewalEnc = 17
    pgwyRenewalBoth = 18

    @property
    def wants(self) -> Wants:
        """Which certificates."""
        return (Wants.SIG, Wants.ENC, Wants.BOTH)[(self - 1) % 3]

    @property
    def renewal(self) -> bool:
        """Whether certificates are replaced."""
        return self >= RequestType.cardRenewalSig

    @property
    def applicant(self) -> int:
        """0 a cardholder, 1 a merchant, 2 a gateway: the numbers of ``Role``."""
        return (self - 1) // 3 % 3

    @property
    def signed_by_certified_key(self) -> bool:
        """Whether the request is signed with a key that has a certificate: to renew one, or to add a key-exchange
        key to a signature key (§6.7)."""
        return self.renewal or self.wants is Wants.ENC


@value_set(int)
class CertStatusCode(enum.IntEnum):
    """CertRes and CertInqRes (§5.10; numbers are unconfirmed there, and rejectedByAquirer is SET's spelling)."""

    requestComplete = 1
    invalidLanguage = 2
    invalidBIN = 3
    sigValidationFail = 4
    decryptionError = 5
    requestInProgress = 6
    rejectedByIssuer = 7
    requestPended = 8
    rejectedByAquirer = 9
    regFormAnswerMalformed = 10
    rejectedByCA = 11
    unableToEncryptCertRes = 12
