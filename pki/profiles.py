"""The kinds of certificates, as a table: who issues each, what its key may do, what it must contain.

Deviation from SET: **every** CA has keyCertSign and cRLSign and publishes a CRL, also the
cardholder and merchant CAs.  In SET these two kept none, so nobody could learn that a
merchant's or a cardholder's key had been stolen (weakness W-13); here revocation
information is required for every certificate of a chain, without exception.  A CA's
certificate therefore has no privateKeyUsagePeriod either: SET's one year of certificate
signing would end the signing of CRLs years before the last certificate expires.  What
that period was for, that nothing issued outlives its issuer, ``pki/authority.py`` enforces.

Sources: set-protocol.md sections 6.3 to 6.6 (SET Book 2, certificate profile); RFC 5280
section 4.2; RFC 9935 (key usage of ML-KEM).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from cryptography import x509

from pki.extensions import CARD_CERT_REQUIRED, HASHED_ROOT_KEY, MERCHANT_DATA, TUNNELING, CertificateType
from pki.suites import KeySuite

__all__ = ["CA_KINDS", "PROFILES", "CertificateKind", "Profile", "Use", "kind_of", "path_depth"]


class CertificateKind(enum.StrEnum):
    """Every kind of certificate that exists here (6.3).  StrEnum: its hash is cached, see path.py."""

    ROOT = "root"
    BRAND_CA = "brand CA"
    GEO_CA = "geo-political CA"
    CARDHOLDER_CA = "cardholder CA"
    MERCHANT_CA = "merchant CA"
    GATEWAY_CA = "gateway CA"
    BRAND_CA_SIGNATURE = "brand CA message signature"
    GEO_CA_SIGNATURE = "geo-political CA message signature"
    CARDHOLDER_CA_SIGNATURE = "cardholder CA message signature"
    CARDHOLDER_CA_EXCHANGE = "cardholder CA key exchange"
    MERCHANT_CA_SIGNATURE = "merchant CA message signature"
    MERCHANT_CA_EXCHANGE = "merchant CA key exchange"
    GATEWAY_CA_SIGNATURE = "gateway CA message signature"
    GATEWAY_CA_EXCHANGE = "gateway CA key exchange"
    CARDHOLDER_SIGNATURE = "cardholder signature"
    MERCHANT_SIGNATURE = "merchant signature"
    MERCHANT_EXCHANGE = "merchant key exchange"
    GATEWAY_SIGNATURE = "gateway signature"
    GATEWAY_EXCHANGE = "gateway key exchange"


class Use(enum.Enum):
    """What the key of a certificate is for.  One key, one use."""

    ISSUE = "signs certificates and CRLs"
    SIGN = "signs messages"
    EXCHANGE = "opens envelopes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One row of the table.

    * ``issuers``: the kinds of CA that may have issued it (6.6 rule 6); the root names itself.
    * ``path_length``: for a CA the greatest allowed pathLenConstraint, which must be present; else None.
    * ``units``: fewest and most organizationalUnitNames; ``common_name``: whether one is required.
    * ``required``, ``optional``: private extensions besides certificateType; all others are refused.
    * ``validity``: life of the certificate when nothing else is asked for.
    * ``private_key_usage``: how much of that life the key may sign for; None if the kind has no such period.
    """

    kind: CertificateKind
    use: Use
    certificate_type: CertificateType
    issuers: frozenset[CertificateKind]
    path_length: int | None = None
    units: tuple[int, int] = (1, 1)
    common_name: bool = False
    required: frozenset[x509.ObjectIdentifier] = frozenset()
    optional: frozenset[x509.ObjectIdentifier] = frozenset()
    validity: timedelta
    private_key_usage: timedelta | None = None

    def key_usage(self, suite: KeySuite) -> x509.KeyUsage:
        """The key usage, exactly (6.3).  For key exchange it depends on the suite: RSA as in SET
        keyEncipherment and dataEncipherment; Diffie-Hellman keyAgreement (RFC 5480, RFC 8410);
        ML-KEM keyEncipherment alone (RFC 9935 section 5)."""
        exchange = self.use is Use.EXCHANGE
        return x509.KeyUsage(
            digital_signature=self.use is Use.SIGN,
            content_commitment=False,
            key_encipherment=exchange and not suite.agrees,
            data_encipherment=exchange and suite.name == "rsa3072",
            key_agreement=exchange and suite.agrees,
            key_cert_sign=self.use is Use.ISSUE,
            crl_sign=self.use is Use.ISSUE,
            encipher_only=False,
            decipher_only=False,
        )

    def accepts_key(self, suite: KeySuite, public_key: object) -> bool:
        """Whether the key is of the suite and of the sort that this kind needs."""
        if self.use is Use.EXCHANGE:
            return suite.accepts_exchange_key(public_key)
        return suite.accepts_signature_key(public_key)


_K, _T = CertificateKind, CertificateType
_YEAR = timedelta(days=365)
_SUPERIOR = frozenset({_K.BRAND_CA, _K.GEO_CA})


def _ca(
    kind: CertificateKind,
    bit: CertificateType,
    issuers: frozenset[CertificateKind],
    length: int,
    years: int,
) -> Profile:
    return Profile(
        kind=kind,
        use=Use.ISSUE,
        certificate_type=bit,
        issuers=issuers,
        path_length=length,
        validity=years * _YEAR,
    )


def _ca_signature(
    kind: CertificateKind, bit: CertificateType, issuers: frozenset[CertificateKind] = _SUPERIOR
) -> Profile:
    # Issued by the superior, like the CA's own certificate: whoever holds the CA's issuing key
    # cannot give itself a second name to speak under, and CCA goes on issuing nothing but card.
    return Profile(
        kind=kind,
        use=Use.SIGN,
        certificate_type=bit,
        issuers=issuers,
        validity=2 * _YEAR,
        private_key_usage=_YEAR,
    )


def _ca_exchange(
    kind: CertificateKind, bit: CertificateType, optional: frozenset[x509.ObjectIdentifier] = frozenset()
) -> Profile:
    return Profile(
        kind=kind,
        use=Use.EXCHANGE,
        certificate_type=bit,
        issuers=_SUPERIOR,
        optional=optional,
        validity=_YEAR,
    )


def _party(
    signature: CertificateKind,
    bit: CertificateType,
    issuer: CertificateKind,
    required: frozenset[x509.ObjectIdentifier] = frozenset(),
    units: tuple[int, int] = (1, 1),
) -> Profile:
    return Profile(
        kind=signature,
        use=Use.SIGN,
        certificate_type=bit,
        issuers=frozenset({issuer}),
        units=units,
        common_name=True,
        required=required,
        validity=2 * _YEAR,
        private_key_usage=_YEAR,
    )


def _party_exchange(
    exchange: CertificateKind,
    bit: CertificateType,
    issuer: CertificateKind,
    required: frozenset[x509.ObjectIdentifier],
    optional: frozenset[x509.ObjectIdentifier] = frozenset(),
) -> Profile:
    return Profile(
        kind=exchange,
        use=Use.EXCHANGE,
        certificate_type=bit,
        issuers=frozenset({issuer}),
        common_name=True,
        required=required,
        optional=optional,
        validity=_YEAR,
    )


_MERCHANT = frozenset({MERCHANT_DATA})
_TABLE = [
    Profile(
        kind=_K.ROOT,
        use=Use.ISSUE,
        certificate_type=_T.RCA,
        issuers=frozenset({_K.ROOT}),
        path_length=3,
        units=(0, 0),
        required=frozenset({HASHED_ROOT_KEY}),
        validity=12 * _YEAR,
    ),
    _ca(_K.BRAND_CA, _T.BCA, frozenset({_K.ROOT}), 2, 9),
    _ca(_K.GEO_CA, _T.GCA, frozenset({_K.BRAND_CA}), 1, 7),
    _ca(_K.CARDHOLDER_CA, _T.CCA, _SUPERIOR, 0, 5),
    _ca(_K.MERCHANT_CA, _T.MCA, _SUPERIOR, 0, 5),
    _ca(_K.GATEWAY_CA, _T.PCA, _SUPERIOR, 0, 5),
    # For the news about CRLs (2.21), which are signed and not secret: no exchange key.  A root is offline, it
    # signs no messages.
    _ca_signature(_K.BRAND_CA_SIGNATURE, _T.BCA, frozenset({_K.ROOT})),
    _ca_signature(_K.GEO_CA_SIGNATURE, _T.GCA, frozenset({_K.BRAND_CA})),
    _ca_signature(_K.CARDHOLDER_CA_SIGNATURE, _T.CCA),
    _ca_exchange(_K.CARDHOLDER_CA_EXCHANGE, _T.CCA, frozenset({TUNNELING})),
    _ca_signature(_K.MERCHANT_CA_SIGNATURE, _T.MCA),
    _ca_exchange(_K.MERCHANT_CA_EXCHANGE, _T.MCA),
    _ca_signature(_K.GATEWAY_CA_SIGNATURE, _T.PCA),
    _ca_exchange(_K.GATEWAY_CA_EXCHANGE, _T.PCA),
    _party(_K.CARDHOLDER_SIGNATURE, _T.CARD, _K.CARDHOLDER_CA, units=(1, 2)),
    _party(_K.MERCHANT_SIGNATURE, _T.MER, _K.MERCHANT_CA, _MERCHANT),
    _party_exchange(_K.MERCHANT_EXCHANGE, _T.MER, _K.MERCHANT_CA, _MERCHANT),
    _party(_K.GATEWAY_SIGNATURE, _T.PGWY, _K.GATEWAY_CA),
    _party_exchange(
        _K.GATEWAY_EXCHANGE,
        _T.PGWY,
        _K.GATEWAY_CA,
        frozenset({CARD_CERT_REQUIRED}),
        frozenset({TUNNELING}),
    ),
]

PROFILES: Mapping[CertificateKind, Profile] = MappingProxyType({profile.kind: profile for profile in _TABLE})
"""The profile of every kind."""

CA_KINDS = frozenset(kind for kind, profile in PROFILES.items() if profile.use is Use.ISSUE)
"""The kinds that issue certificates and CRLs."""

_BY_TYPE_AND_USE = {(profile.certificate_type, profile.use): profile.kind for profile in _TABLE}


def kind_of(certificate_type: CertificateType, use: Use) -> CertificateKind | None:
    """The one kind with exactly this certificateType and this use of its key, or None."""
    return _BY_TYPE_AND_USE.get((certificate_type, use))


def path_depth() -> int:
    """The most certificates that a chain can have, from the end entity to the root: 5."""
    return (PROFILES[_K.ROOT].path_length or 0) + 2
