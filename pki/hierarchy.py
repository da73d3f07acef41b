"""A whole brand tree in one call: for tests, vectors, benchmarks and demonstrations.

Every time is derived from ``now``; keys come from OpenSSL's generator, serial numbers
from ``random_bytes``.

Sources: set-protocol.md sections 6.1, 6.8 and 6.9.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.authority import Authority, RandomBytes, create_root
from pki.extensions import (
    AES256_GCM,
    CardCertRequired,
    MerchantData,
    MerchantName,
    PrivateExtension,
    Tunneling,
)
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
"""Of CRLs and BrandCRLIdentifiers."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Credential:
    """A party's private keys and certificates.  Its ``repr`` shows no key.

    Certificates are DER; ``chain`` holds those of the CAs from the issuer up to, not including, the
    root.  Cardholders, brand CAs and geo-political CAs have no key-exchange pair: both exchange fields are
    None.  Where the caller
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
    old_root: Authority | None = None
    """The root before this one (6.8); its certificates and CRLs go on until it ends."""

    @property
    def authorities(self) -> tuple[Authority, ...]:
        """All of them, the root first; not the old root."""
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
        """The message certificates of a CA, issued by its superior.  ValueError for a root, which has none."""
        if ca.kind is CertificateKind.ROOT:
            raise ValueError("a root is offline and signs no messages")
        signature, exchange = _MESSAGE_KINDS[ca.kind]
        superior = {CertificateKind.BRAND_CA: self.root, CertificateKind.GEO_CA: self.brand_ca}.get(
            ca.kind, self.geo or self.brand_ca
        )
        if exchange is not None:
            # A cardholder has no key-exchange key: its CA says with which cipher it can answer all the same.
            cardholders = ca.kind is CertificateKind.CARDHOLDER_CA
            tunneling = (Tunneling(tunneling=True, algorithms=(AES256_GCM,)),) if cardholders else ()
            return self._pair(superior, ca.certificate.subject, (signature, (), None), (exchange, tunneling, None))
        key = self.suite.generate_signature_key()
        certificate = superior.issue(signature, ca.certificate.subject, key.public_key(), not_before=self.now)
        return Credential(
            signature_key=key,
            signature_certificate=_der(certificate),
            exchange_key=None,
            exchange_certificate=None,
            chain=superior.chain,
        )

    def crls(self, at: datetime) -> list[bytes]:
        """A new CRL of every authority, the root first, valid for 30 days from ``at``; DER.

        That of the old root comes last, as long as its certificate lasts.
        """
        publishers = list(self.authorities)
        if self.old_root is not None and at + CRL_LIFE <= self.old_root.certificate.not_valid_after_utc:
            publishers.append(self.old_root)
        return [authority.crl(at, at + CRL_LIFE).public_bytes(Encoding.DER) for authority in publishers]

    def bci(self, crls: Sequence[bytes], at: datetime) -> bytes:
        """The brand CA's new BrandCRLIdentifier over ``crls``, valid for as long as they are; DER."""
        return self.brand_ca.brand_crl_identifier(crls, at=at, not_after=at + CRL_LIFE)

    def validator(self, at: datetime) -> PathValidator:
        """A validator that trusts this root and knows all CAs, and new CRLs and a BrandCRLIdentifier as of ``at``."""
        crls = self.crls(at)
        return self.validator_with(crls, self.bci(crls, at))

    def validator_with(self, crls: Sequence[bytes], bci: bytes) -> PathValidator:
        """The same with what has been published: all parties of a brand know the same CRLs, as a rule."""
        validator = PathValidator([self.root_certificate], suite=self.suite.name)
        for certificate in self.ca_certificates:
            validator.add_certificate(certificate)
        for crl in crls[: len(self.authorities)]:  # not that of the old root, which is not trusted here
            validator.add_crl(crl)
        validator.add_bci(bci)
        return validator

    def roll_over(self, at: datetime) -> BrandTree:
        """The tree under a new root, valid from ``at``, whose key the old one has committed to (6.8).

        The new root commits to a fresh key in its turn, and certifies the brand CA's name and key; all other
        certificates stay, as do all registers.  What was issued before and what is issued from now on are both
        valid under either root, as long as it lasts.
        """
        at = at.replace(microsecond=0)
        next_root_key = self.suite.generate_signature_key()
        root = create_root(
            self.suite, self.root.certificate.subject, self.next_root_key, next_root_key.public_key(), not_before=at
        )
        certificate = root.issue(
            CertificateKind.BRAND_CA,
            self.brand_ca.certificate.subject,
            self.brand_ca.certificate.public_key(),  # type: ignore[arg-type]  # ``issue`` checks its sort
            not_before=at,
        )
        brand_ca = self.brand_ca.with_certificate(certificate, ())
        geo = self.geo and self.geo.with_certificate(self.geo.certificate, brand_ca.chain)
        superior_chain = (geo or brand_ca).chain
        cca, mca, pca = (ca.with_certificate(ca.certificate, superior_chain) for ca in (self.cca, self.mca, self.pca))
        return replace(
            self,
            now=at,
            root=root,
            brand_ca=brand_ca,
            geo=geo,
            cca=cca,
            mca=mca,
            pca=pca,
            next_root_key=next_root_key,
            old_root=self.root,
        )

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


_K = CertificateKind
_MESSAGE_KINDS: Mapping[CertificateKind, tuple[CertificateKind, CertificateKind | None]] = {
    _K.BRAND_CA: (_K.BRAND_CA_SIGNATURE, None),
    _K.GEO_CA: (_K.GEO_CA_SIGNATURE, None),
    _K.CARDHOLDER_CA: (_K.CARDHOLDER_CA_SIGNATURE, _K.CARDHOLDER_CA_EXCHANGE),
    _K.MERCHANT_CA: (_K.MERCHANT_CA_SIGNATURE, _K.MERCHANT_CA_EXCHANGE),
    _K.GATEWAY_CA: (_K.GATEWAY_CA_SIGNATURE, _K.GATEWAY_CA_EXCHANGE),
}


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
