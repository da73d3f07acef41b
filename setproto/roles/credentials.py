"""Who a party is: its keys and certificates, and how certificates become names on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pki import CertificateError, CertificateKind, ValidatedCertificate, thumbprint
from setproto.crypto.cms import RecipientKey, Signer
from setproto.errors import CertificateRefused, ErrorCode
from setproto.messages.common import PartyID, Role

SIGNATURE_KINDS: Final = {
    Role.cardholder: CertificateKind.CARDHOLDER_SIGNATURE,
    Role.merchant: CertificateKind.MERCHANT_SIGNATURE,
    Role.gateway: CertificateKind.GATEWAY_SIGNATURE,
    Role.cardholder_ca: CertificateKind.CARDHOLDER_CA_SIGNATURE,
    Role.merchant_ca: CertificateKind.MERCHANT_CA_SIGNATURE,
    Role.gateway_ca: CertificateKind.GATEWAY_CA_SIGNATURE,
    Role.geo_ca: CertificateKind.GEO_CA_SIGNATURE,
    Role.brand_ca: CertificateKind.BRAND_CA_SIGNATURE,
}
EXCHANGE_KINDS: Final = {
    Role.merchant: CertificateKind.MERCHANT_EXCHANGE,
    Role.gateway: CertificateKind.GATEWAY_EXCHANGE,
    Role.cardholder_ca: CertificateKind.CARDHOLDER_CA_EXCHANGE,
    Role.merchant_ca: CertificateKind.MERCHANT_CA_EXCHANGE,
    Role.gateway_ca: CertificateKind.GATEWAY_CA_EXCHANGE,
}


@dataclass(frozen=True)
class Credentials:
    """A party's own keys and certificates.  The keys redact themselves."""

    party: PartyID
    signer: Signer
    exchange: RecipientKey | None
    """None for a cardholder, who has no key-exchange key."""
    chain: tuple[bytes, ...]
    """CA certificates (DER) that a peer needs besides the party's own, root left out."""

    @property
    def suite(self) -> str:
        """The suite, fixed by the certificates."""
        return self.signer.suite.name

    @property
    def own_certificates(self) -> tuple[bytes, ...]:
        """Everything a peer may need, in DER."""
        exchange = () if self.exchange is None else (self.exchange.certificate,)
        return (self.signer.certificate, *exchange, *self.chain)


def by_thumbprint(thumb: bytes, certificates: Iterable[bytes]) -> bytes:
    """The certificate (DER) with this thumbprint.  CertificateRefused (missingCertificate) if it is not among them."""
    for certificate in certificates:
        try:
            if thumbprint(certificate) == thumb:
                return certificate
        except CertificateError as refusal:
            raise CertificateRefused(refusal.rule, code=ErrorCode.invalidCertificate) from None
    raise CertificateRefused("not supplied and not known", code=ErrorCode.missingCertificate, thumb=thumb)


def party_of(certificate: ValidatedCertificate, role: Role) -> PartyID:
    """How the holder of a certificate is named on the wire.  The certificate's kind must be of that role."""
    if certificate.kind not in (SIGNATURE_KINDS[role], EXCHANGE_KINDS.get(role)):
        raise CertificateRefused("certificate of another role", code=ErrorCode.invalidCertificate)
    return _party(role, certificate.brand, certificate.party_id)


@lru_cache(maxsize=1024)
def _party(role: Role, brand: str, name: str) -> PartyID:
    """One value for one party, so that its encoding is made once; the names are those of validated certificates."""
    return PartyID(role=role, brand=brand, name=name)


def label_party(role: Role, brand: str, label: bytes) -> PartyID:
    """How a party is named that has shown no certificate yet: by its LID-C or LID-EE."""
    return PartyID(role=role, brand=brand, name=label.hex())
