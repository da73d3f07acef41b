"""Distinguished names: what SET puts into them, and nothing else.

A name is countryName, organizationName, organizationalUnitName (none, one or two) and
commonName, each in a relative name of its own, in this order.  The organizationName of
everything below the root is the brand, so that a chain cannot leave its brand.

Source: SET Book 2, certificate profile; set-protocol.md sections 6.2 and 6.4.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from pki.errors import CertificateError

__all__ = [
    "MAX_BRAND",
    "PartyName",
    "brand_of",
    "ca_name",
    "cardholder_name",
    "gateway_name",
    "merchant_name",
    "parse_name",
    "root_name",
]

_ORDER = (
    NameOID.COUNTRY_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.COMMON_NAME,
)
MAX_BRAND = 40
"""Characters of a BrandID (set-protocol.md section 2.1)."""
_MAX_TEXT = 64  # ub-organization-name, ub-organizational-unit-name, ub-common-name: RFC 5280 appendix A.1


@dataclass(frozen=True, slots=True)
class PartyName:
    """A distinguished name taken apart.  ``units`` has 0..2 entries; ``common_name`` is None if absent.

    ValueError when made if a part is missing, too long (country exactly 2 capital letters,
    brand 1..40, units and common name 1..64 characters, the common name also 1..64 octets of UTF-8)
    or holds unprintable characters.
    """

    country: str
    organization: str
    units: tuple[str, ...]
    common_name: str | None

    def __post_init__(self) -> None:
        country = self.country
        if len(country) != 2 or not (country.isascii() and country.isalpha() and country.isupper()):
            raise ValueError("countryName is two capital letters")
        if len(self.units) > 2:
            raise ValueError("at most two organizational units")
        texts = [(self.organization, MAX_BRAND), *((unit, _MAX_TEXT) for unit in self.units)]
        if self.common_name is not None:
            texts.append((self.common_name, _MAX_TEXT))
        for text, limit in texts:
            if not 1 <= len(text) <= limit or not text.isprintable() or text != text.strip():
                raise ValueError(f"a part of a name is 1 to {limit} printable characters")
        # RFC 5280 counts characters, ``cryptography`` octets: what cannot be written is not read either.
        if self.common_name is not None and len(self.common_name.encode()) > _MAX_TEXT:
            raise ValueError(f"a common name of at most {_MAX_TEXT} octets")

    def to_x509(self) -> x509.Name:
        """The name in X.509 form: PrintableString for the country, UTF8String for the rest (RFC 5280 4.1.2.4)."""
        parts = [(NameOID.COUNTRY_NAME, self.country), (NameOID.ORGANIZATION_NAME, self.organization)]
        parts += [(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in self.units]
        if self.common_name is not None:
            parts.append((NameOID.COMMON_NAME, self.common_name))
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def cardholder_name(
    country: str, brand: str, issuer: str, unique_cardholder_id: bytes, *, card_name: str | None = None
) -> x509.Name:
    """A cardholder's name: country and name of the issuing bank, and a pseudonym for the card.

    ``unique_cardholder_id``: 20 to 32 octets, a keyed hash of the account made by the caller; it
    is written in Base64, so the certificate shows neither the holder nor the card.  ``card_name``
    is the optional second unit, the promotional name of the card.
    """
    if not 20 <= len(unique_cardholder_id) <= 32:
        raise ValueError("a unique cardholder id has 20 to 32 octets")
    units = (issuer,) if card_name is None else (issuer, card_name)
    return PartyName(country, brand, units, base64.b64encode(unique_cardholder_id).decode()).to_x509()


def merchant_name(country: str, brand: str, acquirer: str, name: str) -> x509.Name:
    """A merchant's name: country and name of the acquiring bank; ``name`` as on the holder's statement."""
    return PartyName(country, brand, (acquirer,), name).to_x509()


def gateway_name(country: str, brand: str, acquirer: str, gateway_id: str) -> x509.Name:
    """A payment gateway's name: country and name of the acquirer, and the gateway's identifier."""
    return PartyName(country, brand, (acquirer,), gateway_id).to_x509()


def ca_name(country: str, brand: str, description: str, ca_id: str | None = None) -> x509.Name:
    """The name of a CA below the root, also on its message certificates."""
    return PartyName(country, brand, (description,), ca_id).to_x509()


def root_name(country: str, organization: str, ca_id: str | None = None) -> x509.Name:
    """The name of the root.  Its organization is that of the SET root, not a brand."""
    return PartyName(country, organization, (), ca_id).to_x509()


def parse_name(name: x509.Name) -> PartyName:
    """Take a distinguished name apart.  CertificateError("invalidCertificate") if it is not as above."""
    source = "SET Book 2, certificate profile"
    values: dict[x509.ObjectIdentifier, list[str]] = {oid: [] for oid in _ORDER}
    place = 0
    for rdn in name.rdns:
        attributes = list(rdn)
        if len(attributes) != 1:
            raise CertificateError("invalidCertificate", "a relative name has several values", source)
        oid, value = attributes[0].oid, attributes[0].value
        if oid not in _ORDER or not isinstance(value, str):
            raise CertificateError("invalidCertificate", "an attribute that SET names do not have", source)
        if _ORDER.index(oid) < place:
            raise CertificateError("invalidCertificate", "attributes of a name out of order", source)
        place = _ORDER.index(oid)
        values[oid].append(value)
    countries, organizations, units, common_names = values.values()
    if len(countries) != 1 or len(organizations) != 1 or len(common_names) > 1:
        raise CertificateError("invalidCertificate", "one country, one organization, at most one common name", source)
    try:
        return PartyName(countries[0], organizations[0], tuple(units), common_names[0] if common_names else None)
    except ValueError as problem:
        raise CertificateError("invalidCertificate", str(problem), source) from None


def brand_of(name: x509.Name) -> str:
    """The brand in the name of anyone below the root.  CertificateError if the name is not a SET name."""
    return parse_name(name).organization
