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
)

TEXT: dict[tuple[type[enum.IntEnum], int], str] = {(type(code), int(code)): words for code, words in _WORDS}
"""What to tell people, by list and number (codes of different lists are equal as integers); a code that is missing
here is shown by its name."""


def text(code: enum.IntEnum) -> str:
    """The code in words."""
    return TEXT.get((type(code), int(code)), code.name)
