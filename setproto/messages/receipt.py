"""The electronic receipt: what a merchant signs about a purchase that was approved (trade.md T55, T64, T66).

It says who ordered what from whom, for how much, through which gateway, and what has become of the money so far; so a
later receipt for the same purchase may say more (captured, given back).  It holds no card data: the customer is named
as in the certificate that ordered, and by the merchant's own code.  It is no message of SET, whose PRes tells shares of
an amount only, to whoever asked; a receipt stands for itself, and anyone with the root certificate can check it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.x509 import ObjectIdentifier

from pki.der import DecodingFailure as NotDER
from pki.der import decode, encode, sequence
from setproto.amounts import CurrencyAmount
from setproto.crypto.cms import Signer, TrustedCertificate, verify
from setproto.crypto.digests import digest, equal
from setproto.errors import DecodingFailure, SignatureFailure, WrongRecipient
from setproto.messages.codes import AuthCode, CompletionCode
from setproto.messages.common import VERSION, XID, Date, Digest, LocalID, PartyID, Role, Text40
from setproto.messages.oids import ARC

__all__ = ["ID_RECEIPT", "MEDIA_TYPE", "Receipt", "VerifiedReceipt", "description_digest", "sign", "verify_receipt"]

ID_RECEIPT: Final = ObjectIdentifier(f"{ARC}.0.120")
"""Content type of a receipt."""
MEDIA_TYPE: Final = "application/cms"
"""RFC 7193."""


@sequence
class Receipt:
    """One purchase as its merchant has it in its books at ``date``."""

    version: int
    xid: XID
    lid_m: LocalID
    merchant: PartyID
    cardholder: PartyID
    """As in the certificate that signed the order."""
    gateway: PartyID
    customer_code: Text40
    """The merchant's own number for this customer."""
    description_digest: Digest
    description: bytes
    """The order description, octet for octet as both signed it."""
    amount: CurrencyAmount
    """What was ordered."""
    hod: Digest
    """The digest of order and amount in the dual signature."""
    date: Date
    completion_code: CompletionCode
    auth_code: AuthCode
    authorized: CurrencyAmount
    captured: CurrencyAmount
    credited: CurrencyAmount

    def __post_init__(self) -> None:
        if self.merchant.role is not Role.merchant or self.cardholder.role is not Role.cardholder:
            raise ValueError("a receipt is from a merchant to a cardholder")
        if not equal(self.description_digest, description_digest(self.description)):
            raise ValueError("the digest is not that of the description")


@dataclass(frozen=True)
class VerifiedReceipt:
    """A receipt whose signature was verified under a certificate that the caller's policy accepted."""

    receipt: Receipt
    signer: Any
    """What ``certify`` returned."""


def description_digest(description: bytes) -> bytes:
    """What stands for an order description: 32 octets."""
    return digest("OrderDescription", description)


def sign(receipt: Receipt, signer: Signer, chain: Sequence[bytes]) -> bytes:
    """The DER of a SignedData over the receipt, with the certificates (DER) that prove the signer's."""
    return signer.sign(encode(receipt), ID_RECEIPT, certificates=chain)


def verify_receipt(data: bytes, certify: Callable[[bytes, Sequence[bytes]], TrustedCertificate]) -> VerifiedReceipt:
    """Verify a receipt; ``certify`` decides whether a certificate is one of a merchant, as for ``cms.verify``.

    DecodingFailure if it is no receipt, SignatureFailure if the signature does not hold, WrongRecipient if the receipt
    names another merchant than its signer or is of another version.
    """
    verified = verify(data, content_type=ID_RECEIPT, certify=certify)
    try:
        receipt = decode(Receipt, verified.content)
    except (NotDER, ValueError):
        raise DecodingFailure("not a receipt") from None
    signer = verified.signer
    if receipt.version != VERSION:
        raise WrongRecipient("a receipt of another version")
    if (receipt.merchant.brand, receipt.merchant.name) != (signer.brand, signer.party_id):
        raise SignatureFailure("the receipt is not from its signer")
    return VerifiedReceipt(receipt, signer)
