"""What a certificate for a party must say: its kind, its name and its private extensions.

Source: set-protocol.md sections 6.3 to 6.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from pki import CardCertRequired, CertificateKind, CheckedCertificate, MerchantData, MerchantName
from pki.extensions import CertificateType, PrivateExtension
from pki.names import cardholder_name, gateway_name, merchant_name
from setproto.ca.config import Brand, Hierarchy
from setproto.errors import UsageError

__all__ = ["ISSUERS", "Wanted", "again", "cardholder", "gateway", "merchant"]

_K = CertificateKind
ISSUERS = {
    _K.CARDHOLDER_SIGNATURE: "cardholder-ca",
    _K.MERCHANT_SIGNATURE: "merchant-ca",
    _K.MERCHANT_EXCHANGE: "merchant-ca",
    _K.GATEWAY_SIGNATURE: "gateway-ca",
    _K.GATEWAY_EXCHANGE: "gateway-ca",
}
"""Kind of a party's certificate → which CA of the brand issues it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One certificate to be issued."""

    kind: CertificateKind
    subject: x509.Name
    extensions: tuple[PrivateExtension, ...] = ()

    @property
    def use(self) -> str:
        """``signature`` or ``exchange``."""
        return "exchange" if "exchange" in self.kind.value else "signature"


def cardholder(
    hierarchy: Hierarchy, brand: Brand, *, issuer: str, unique_id: bytes, card_name: str | None = None
) -> list[Wanted]:
    """``issuer``: the bank's name; ``unique_id``: 20 to 32 octets, which tell nobody the card number (6.4)."""
    try:
        subject = cardholder_name(hierarchy.country_of(brand), brand.name, issuer, unique_id, card_name=card_name)
    except ValueError as failure:
        raise UsageError(str(failure)) from None
    return [Wanted(_K.CARDHOLDER_SIGNATURE, subject)]


def merchant(
    hierarchy: Hierarchy,
    brand: Brand,
    *,
    mer_id: str,
    name: str,
    acquirer: str,
    acquirer_bin: str,
    city: str,
    mer_country: int,
    language: str,
) -> list[Wanted]:
    """``name`` as on the cardholder's statement; ``mer_country`` ISO 3166 numeric.  UsageError for what cannot be."""
    country = hierarchy.country_of(brand)
    try:
        names = MerchantName(language=language, name=name, city=city, country_name=country)
        data = MerchantData(
            mer_id=mer_id, mer_acquirer_bin=acquirer_bin, mer_name_seq=(names,), mer_country=mer_country
        )
        subject = merchant_name(country, brand.name, acquirer, name)
    except ValueError as failure:
        raise UsageError(str(failure)) from None
    return [Wanted(kind, subject, (data,)) for kind in (_K.MERCHANT_SIGNATURE, _K.MERCHANT_EXCHANGE)]


def gateway(
    hierarchy: Hierarchy, brand: Brand, *, gateway_id: str, acquirer: str, card_cert_required: bool
) -> list[Wanted]:
    """``card_cert_required``: whether cardholders must have certificates.  UsageError for what cannot be."""
    try:
        subject = gateway_name(hierarchy.country_of(brand), brand.name, acquirer, gateway_id)
    except ValueError as failure:
        raise UsageError(str(failure)) from None
    return [
        Wanted(_K.GATEWAY_SIGNATURE, subject),
        Wanted(_K.GATEWAY_EXCHANGE, subject, (CardCertRequired(card_cert_required),)),
    ]


def again(old: CheckedCertificate) -> list[Wanted]:
    """The same certificate once more, for another key."""
    extensions = tuple(value for value in old.private_extensions if not isinstance(value, CertificateType))
    return [Wanted(old.kind, old.certificate.subject, extensions)]
