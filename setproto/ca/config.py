"""The declaration of a hierarchy: one TOML file, every key of it checked, none unknown.

``EXAMPLE`` is a complete one, with every key and what it defaults to.

Sources: set-protocol.md sections 6.1 (hierarchy), 6.3 (validity) and 6.4 (names); the lifetimes that hold when nothing
is said are those of ``pki.profiles``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Annotated, Final, Literal

from cryptography import x509
from pydantic import AfterValidator, Field, model_validator

from pki import PROFILES, CertificateKind, KeySuite, key_suite
from pki.names import PartyName, ca_name, root_name
from setproto import settings
from setproto.errors import UsageError
from setproto.settings import Table

__all__ = ["CA", "EXAMPLE", "ROLES", "Brand", "Days", "Hierarchy", "Revocation", "Root", "parse"]

EXAMPLE: Final = files("setproto.ca").joinpath("hierarchy.toml").read_text(encoding="utf-8")
"""A declaration to start from, as ``setproto ca example`` prints it."""

_K = CertificateKind
ROLES: Final[dict[str, CertificateKind]] = {
    "brand-ca": _K.BRAND_CA,
    "geo-ca": _K.GEO_CA,
    "cardholder-ca": _K.CARDHOLDER_CA,
    "merchant-ca": _K.MERCHANT_CA,
    "gateway-ca": _K.GATEWAY_CA,
}
"""What the CAs of a brand are called here, superiors first."""


def _country(text: str) -> str:
    PartyName(text, "any", (), None)
    return text


def _name(text: str) -> str:
    PartyName("XX", "any", (text,), None)
    return text


def _organization(text: str) -> str:
    PartyName("XX", text, (), None)
    if "/" in text:  # it separates the brand from the role in the name of a CA
        raise ValueError("no / in the name of a brand")
    return text


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time with its zone is wanted, like 2026-01-01T00:00:00Z")
    return moment.astimezone(UTC).replace(microsecond=0)


Country = Annotated[str, AfterValidator(_country)]
Name = Annotated[str, AfterValidator(_name)]
Organization = Annotated[str, AfterValidator(_organization)]
Number = Annotated[int, Field(ge=1, le=36_500)]
"""Days."""


class Root(Table):
    """The root's name: its organization, and a commonName if one is wanted."""

    name: Organization
    id: Name | None = None
    country: Country | None = None


class CA(Table):
    """The name of a CA below the root: a description, and a commonName if one is wanted."""

    name: Name
    id: Name | None = None
    country: Country | None = None


class Brand(Table):
    """A brand and its CAs."""

    name: Organization
    country: Country | None = None
    brand_ca: CA
    geo_ca: CA | None = None
    cardholder_ca: CA
    merchant_ca: CA
    gateway_ca: CA

    @property
    def authorities(self) -> dict[str, CA]:
        """Role → CA, superiors first."""
        found = {role: getattr(self, role.replace("-", "_")) for role in ROLES}
        return {role: ca for role, ca in found.items() if ca is not None}

    @model_validator(mode="after")
    def _distinct(self) -> Brand:
        names = [(ca.name, ca.id, ca.country) for ca in self.authorities.values()]
        if len(set(names)) < len(names):
            raise ValueError("two CAs of one brand have the same name")
        return self


class Revocation(Table):
    """For how long revocation data are good, in days."""

    crl_days: Number = 30
    bci_days: Number = 30


class Days(Table):
    """Lives of certificates in days; None: what the profile of the kind says."""

    root: Number | None = None
    brand_ca: Number | None = None
    geo_ca: Number | None = None
    cardholder_ca: Number | None = None
    merchant_ca: Number | None = None
    gateway_ca: Number | None = None
    cardholder: Number | None = None
    merchant: Number | None = None
    gateway: Number | None = None
    messages: Number | None = None


class Hierarchy(Table):
    """A root and the brands under it."""

    suite: Literal["p256", "rsa3072", "ed25519", "mldsa65"]
    country: Country
    start: Annotated[datetime, AfterValidator(_aware)] | None = None
    root: Root
    brand: Annotated[list[Brand], Field(min_length=1)]
    revocation: Revocation = Revocation()
    days: Days = Days()

    @model_validator(mode="after")
    def _brands_differ(self) -> Hierarchy:
        names = [brand.name.casefold() for brand in self.brand]
        if len(set(names)) < len(names):
            raise ValueError("two brands have the same name")
        return self

    @property
    def key_suite(self) -> KeySuite:
        """The suite of every key."""
        return key_suite(self.suite)

    def brand_named(self, name: str) -> Brand:
        """The brand with this name.  UsageError if there is none."""
        for brand in self.brand:
            if brand.name == name:
                return brand
        raise UsageError(f"there is no brand {name!r} in this hierarchy")

    def country_of(self, brand: Brand) -> str:
        """The country of a brand's parties when they name none of their own."""
        return brand.country or self.country

    def root_subject(self) -> x509.Name:
        """The name of every root of this hierarchy, one after the other."""
        return root_name(self.root.country or self.country, self.root.name, self.root.id)

    def ca_subject(self, brand: Brand, role: str) -> x509.Name:
        """The name of a brand's CA."""
        ca = brand.authorities[role]
        return ca_name(ca.country or self.country_of(brand), brand.name, ca.name, ca.id)

    def life(self, kind: CertificateKind) -> timedelta:
        """How long a certificate of this kind is valid."""
        profile = PROFILES[kind].validity
        declared: int | None = getattr(self.days, _DAYS[kind])
        if declared is None:
            return profile
        # A certificate for key exchange lives shorter than its signature twin, in the proportion of the profiles.
        return timedelta(days=declared) * (profile / PROFILES[_TWIN.get(kind, kind)].validity)


_MESSAGES = (
    *(_K.BRAND_CA_SIGNATURE, _K.GEO_CA_SIGNATURE),
    *(_K.CARDHOLDER_CA_SIGNATURE, _K.MERCHANT_CA_SIGNATURE, _K.GATEWAY_CA_SIGNATURE),
    *(_K.CARDHOLDER_CA_EXCHANGE, _K.MERCHANT_CA_EXCHANGE, _K.GATEWAY_CA_EXCHANGE),
)
_DAYS: Final[dict[CertificateKind, str]] = {
    _K.ROOT: "root",
    **{kind: role.replace("-", "_") for role, kind in ROLES.items()},
    _K.CARDHOLDER_SIGNATURE: "cardholder",
    **dict.fromkeys((_K.MERCHANT_SIGNATURE, _K.MERCHANT_EXCHANGE), "merchant"),
    **dict.fromkeys((_K.GATEWAY_SIGNATURE, _K.GATEWAY_EXCHANGE), "gateway"),
    **dict.fromkeys(_MESSAGES, "messages"),
}
_TWIN: Final = {
    _K.MERCHANT_EXCHANGE: _K.MERCHANT_SIGNATURE,
    _K.GATEWAY_EXCHANGE: _K.GATEWAY_SIGNATURE,
    _K.CARDHOLDER_CA_EXCHANGE: _K.CARDHOLDER_CA_SIGNATURE,
    _K.MERCHANT_CA_EXCHANGE: _K.MERCHANT_CA_SIGNATURE,
    _K.GATEWAY_CA_EXCHANGE: _K.GATEWAY_CA_SIGNATURE,
}


def parse(text: str, where: str) -> Hierarchy:
    """The hierarchy that ``text`` declares.  UsageError names ``where`` and every key that is wrong."""
    return settings.parse(Hierarchy, text, where)
