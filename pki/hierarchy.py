"""A whole brand tree in one call: for tests, vectors, benchmarks and demonstrations.

Every time is derived from ``now``; keys come from OpenSSL's generator, serial numbers
from ``random_bytes``.

Source: set-protocol.md section 6.1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.authority import Authority, RandomBytes, create_root
from pki.extensions import CardCertRequired, MerchantData, MerchantName, PrivateExtension
from pki.names import ca_name, cardholder_name, gateway_name, merchant_name, root_name
from pki.path import PathValidator
from pki.profiles import CertificateKind
from pki.suites import (
    ExchangePrivateKey,
    ExchangePublicKey,
    KeySuite,
    SignaturePrivateKey,
    SignaturePublicKey,
    key_suite,
)

__all__ = ["BrandTree", "Credential", "build_brand_tree"]

_DAY = timedelta(days=1)
CRL_LIFE = 30 * _DAY


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Credential:
    """A party's private keys and certificates.  Its ``repr`` shows no key.

    Certificates are DER; ``chain`` holds those of the CAs from the issuer up to, not including, the
    root.  A cardholder has no key-exchange pair: both exchange fields are None.  Where the caller
    brought the public key, the private key is None, since nobody here knows it.
    """

    signature_key: SignaturePrivateKey | None
    signature_certificate: bytes
    exchange_key: ExchangePrivateKey | None
    exchange_certificate: bytes | None
    chain: tuple[bytes, ...]

    def __repr__(self) -> str:
        name = x509.load_der_x509_certificate(self.signature_certificate).subject.rfc4514_string()
        return f"<Credential {name}, keys redacted>"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandTree:
    """The authorities of one brand, as ``build_brand_tree`` makes them, and what they issue.

    ``cca``, ``mca``, ``pca``: the cardholder, merchant and payment gateway CA; ``geo`` may be None.
    """

    suite: KeySuite
    now: datetime
    brand: str
    country: str
    root: Authority
    brand_ca: Authority
    geo: Authority | None
    cca: Authority
    mca: Authority
    pca: Authority
    next_root_key: SignaturePrivateKey = field(repr=False)

    @property
    def authorities(self) -> tuple[Authority, ...]:
        """All of them, the root first."""
        geo = () if self.geo is None else (self.geo,)
        return (self.root, self.brand_ca, *geo, self.cca, self.mca, self.pca)

    @property
    def root_certificate(self) -> x509.Certificate:
        """The trust anchor."""
        return self.root.certificate

    @property
    def root_der(self) -> bytes:
        """The trust anchor in DER."""
        return _der(self.root.certificate)

    @property
    def ca_certificates(self) -> list[bytes]:
        """The certificates of all CAs below the root, in DER."""
        return [authority.chain[0] for authority in self.authorities[1:]]

    def issue_cardholder(
        self,
        unique_cardholder_id: bytes,
        public_key: SignaturePublicKey | None = None,
        *,
        issuer: str = "Issuing Bank",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Credential:
        """A cardholder's signature certificate; with a fresh key unless a public one is given.

        ``unique_cardholder_id``: 20 to 32 octets.  ``not_after`` should not be later than the card's.
        """
        key = None if public_key is not None else self.suite.generate_signature_key()
        certificate = self.cca.issue(
            CertificateKind.CARDHOLDER_SIGNATURE,
            cardholder_name(self.country, self.brand, issuer, unique_cardholder_id),
            key.public_key() if key is not None else _given(public_key),
            not_before=not_before or self.now,
            not_after=not_after,
        )
        return Credential(
            signature_key=key,
            signature_certificate=_der(certificate),
            exchange_key=None,
            exchange_certificate=None,
            chain=self.cca.chain,
        )

    def issue_merchant(
        self,
        mer_id: str,
        name: str,
        acquirer_bin: str,
        *,
        acquirer: str = "Acquiring Bank",
        city: str = "Capital",
        mer_country: int = 999,
        signature_public_key: SignaturePublicKey | None = None,
        exchange_public_key: ExchangePublicKey | None = None,
    ) -> Credential:
        """A merchant's two certificates, for signatures and for key exchange, with fresh keys unless given.

        ``mer_id`` 1..30 characters, ``name`` as on the cardholder's statement 1..50, ``acquirer_bin``
        six digits, ``mer_country`` ISO 3166 numeric (999: none, for tests).
        """
        merchant = MerchantData(
            mer_id=mer_id,
            mer_acquirer_bin=acquirer_bin,
            mer_name_seq=(MerchantName(language="en", name=name, city=city, country_name=self.country),),
            mer_country=mer_country,
        )
        return self._pair(
            self.mca,
            merchant_name(self.country, self.brand, acquirer, name),
            (CertificateKind.MERCHANT_SIGNATURE, (merchant,), signature_public_key),
            (CertificateKind.MERCHANT_EXCHANGE, (merchant,), exchange_public_key),
        )

    def issue_gateway(
        self,
        gateway_id: str,
        *,
        acquirer: str = "Acquiring Bank",
        card_cert_required: bool = True,
        signature_public_key: SignaturePublicKey | None = None,
        exchange_public_key: ExchangePublicKey | None = None,
    ) -> Credential:
        """A payment gateway's two certificates, with fresh keys unless given.  ``gateway_id`` 1..64 characters."""
        return self._pair(
            self.pca,
            gateway_name(self.country, self.brand, acquirer, gateway_id),
            (CertificateKind.GATEWAY_SIGNATURE, (), signature_public_key),
            (CertificateKind.GATEWAY_EXCHANGE, (CardCertRequired(card_cert_required),), exchange_public_key),
        )

    def issue_ca_messages(self, ca: Authority) -> Credential:
        """The message certificates of the CCA, MCA or PCA, issued by the CA's superior."""
        kinds = {
            CertificateKind.CARDHOLDER_CA: (
                CertificateKind.CARDHOLDER_CA_SIGNATURE,
                CertificateKind.CARDHOLDER_CA_EXCHANGE,
            ),
            CertificateKind.MERCHANT_CA: (
                CertificateKind.MERCHANT_CA_SIGNATURE,
                CertificateKind.MERCHANT_CA_EXCHANGE,
            ),
            CertificateKind.GATEWAY_CA: (
                CertificateKind.GATEWAY_CA_SIGNATURE,
                CertificateKind.GATEWAY_CA_EXCHANGE,
            ),
        }
        signature, exchange = kinds[ca.kind]
        return self._pair(
            self.geo or self.brand_ca, ca.certificate.subject, (signature, (), None), (exchange, (), None)
        )

    def crls(self, at: datetime) -> list[bytes]:
        """A new CRL of every authority, the root first, valid for 30 days from ``at``; DER."""
        return [authority.crl(at, at + CRL_LIFE).public_bytes(Encoding.DER) for authority in self.authorities]

    def validator(self, at: datetime) -> PathValidator:
        """A validator that trusts this root and knows all CAs and their CRLs as of ``at``."""
        validator = PathValidator([self.root_certificate], suite=self.suite.name)
        for certificate in self.ca_certificates:
            validator.add_certificate(certificate)
        for crl in self.crls(at):
            validator.add_crl(crl)
        return validator

    def _pair(
        self,
        issuer: Authority,
        subject: x509.Name,
        signature: tuple[CertificateKind, Sequence[PrivateExtension], SignaturePublicKey | None],
        exchange: tuple[CertificateKind, Sequence[PrivateExtension], ExchangePublicKey | None],
    ) -> Credential:
        signature_kind, signature_extensions, signature_public = signature
        exchange_kind, exchange_extensions, exchange_public = exchange
        signature_key = None if signature_public is not None else self.suite.generate_signature_key()
        exchange_key = None if exchange_public is not None else self.suite.generate_exchange_key()
        signature_certificate = issuer.issue(
            signature_kind,
            subject,
            signature_key.public_key() if signature_key is not None else _given(signature_public),
            not_before=self.now,
            extensions=signature_extensions,
        )
        exchange_certificate = issuer.issue(
            exchange_kind,
            subject,
            exchange_key.public_key() if exchange_key is not None else _given(exchange_public),
            not_before=self.now,
            extensions=exchange_extensions,
        )
        return Credential(
            signature_key=signature_key,
            signature_certificate=_der(signature_certificate),
            exchange_key=exchange_key,
            exchange_certificate=_der(exchange_certificate),
            chain=issuer.chain,
        )


def build_brand_tree(
    suite: KeySuite | str,
    *,
    now: datetime,
    brand: str = "Marque",
    geo: bool = False,
    country: str = "XX",
    random_bytes: RandomBytes = os.urandom,
) -> BrandTree:
    """Root, brand CA, optional geo-political CA, and the three CAs of end entities, valid from ``now``.

    ``now`` is aware; ``country`` two capital letters ("XX" is no country).  UnknownSuiteError for an
    unknown suite; ValueError or CertificateError for names that a certificate could not hold.
    """
    suite = suite if isinstance(suite, KeySuite) else key_suite(suite)
    now = now.replace(microsecond=0)
    next_root_key = suite.generate_signature_key()
    root = create_root(
        suite,
        root_name(country, "SET Root"),
        suite.generate_signature_key(),
        next_root_key.public_key(),
        not_before=now,
        random_bytes=random_bytes,
    )

    def subordinate(superior: Authority, kind: CertificateKind, description: str) -> Authority:
        subject = ca_name(country, brand, description)
        return superior.issue_authority(kind, subject, suite.generate_signature_key(), not_before=now)

    brand_ca = subordinate(root, CertificateKind.BRAND_CA, "Brand CA")
    geo_ca = subordinate(brand_ca, CertificateKind.GEO_CA, "Geo-political CA") if geo else None
    superior = geo_ca or brand_ca
    return BrandTree(
        suite=suite,
        now=now,
        brand=brand,
        country=country,
        root=root,
        brand_ca=brand_ca,
        geo=geo_ca,
        cca=subordinate(superior, CertificateKind.CARDHOLDER_CA, "Cardholder CA"),
        mca=subordinate(superior, CertificateKind.MERCHANT_CA, "Merchant CA"),
        pca=subordinate(superior, CertificateKind.GATEWAY_CA, "Payment Gateway CA"),
        next_root_key=next_root_key,
    )


def _given(public_key: SignaturePublicKey | ExchangePublicKey | None) -> SignaturePublicKey:
    if public_key is None:
        raise ValueError("no public key")
    # ``Authority.issue`` checks what sort of key it is; the type here is only for the checker.
    return public_key  # type: ignore[return-value]


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
