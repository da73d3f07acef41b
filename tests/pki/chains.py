"""Chains with exactly one thing wrong: what ``test_agreement`` and ``test_rules`` put before validators.

A :class:`Chain` starts good.  A fault is a function that changes one thing in it, at one level.  Only what
is changed is made and signed again, by the honest authority above it, so that nothing else is wrong too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki import Authority, BrandTree, CertificateKind, CertificateType, MerchantData, MerchantName, build_brand_tree
from pki.extensions import CERTIFICATE_TYPE, CardCertRequired, PrivateExtension, to_extension
from pki.names import cardholder_name, gateway_name, merchant_name
from pki.suites import KeySuite, key_suite
from tests.pki.conftest import DAY, NOW
from tests.pki.forging import Draft, forged_crl, key_of, serial_of

K = CertificateKind
SECOND = timedelta(seconds=1)
AT = NOW + DAY
BRAND = "Marque"
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.99"), b"\x05\x00")

LEAVES = (
    K.CARDHOLDER_SIGNATURE,
    K.MERCHANT_SIGNATURE,
    K.MERCHANT_EXCHANGE,
    K.GATEWAY_SIGNATURE,
    K.GATEWAY_EXCHANGE,
    K.CARDHOLDER_CA_SIGNATURE,
    K.CARDHOLDER_CA_EXCHANGE,
)
"""The kinds of end entities whose chains are tried."""
LEAVES_OF_SUPERIORS = (K.BRAND_CA_SIGNATURE, K.GEO_CA_SIGNATURE)
"""Issued above the geo-political CA: their chains are the same with and without it."""

Fault = Callable[["Chain", int], object]


@cache
def tree_of(suite: str) -> BrandTree:
    """One tree a suite, with a geo-political CA; nobody revokes in it."""
    return build_brand_tree(suite, now=NOW, geo=True)


@cache
def leaf_key(suite: str, use: str) -> Any:
    """One for signatures and one for key exchange, for all end entities of a suite: each CA certifies each once.
    By any other name, a signature key of its own."""
    if use == "exchange":
        return key_suite(suite).generate_exchange_key()
    return key_suite(suite).generate_signature_key()


@cache
def superiors(suite: str, geo: bool) -> tuple[Authority, ...]:
    """The root, the brand CA and, if there is one, the geo-political CA."""
    tree = tree_of(suite)
    assert tree.geo is not None
    return (tree.root, tree.brand_ca, tree.geo) if geo else (tree.root, tree.brand_ca)


@cache
def authority(suite: str, geo: bool, kind: CertificateKind) -> Authority:
    """The CA of end entities; without a geo-political CA it has the same key, certified by the brand CA."""
    tree = tree_of(suite)
    deep = {K.CARDHOLDER_CA: tree.cca, K.MERCHANT_CA: tree.mca, K.GATEWAY_CA: tree.pca}[kind]
    if geo:
        return deep
    return tree.brand_ca.issue_authority(kind, deep.certificate.subject, key_of(deep), not_before=NOW)


@cache
def issued(suite: str, geo: bool, kind: CertificateKind) -> tuple[tuple[Authority, ...], bytes]:
    """The authorities above an end entity of this kind, the root first, and its certificate."""
    above = superiors(suite, geo)
    merchant = MerchantData(
        mer_id="M-1",
        mer_acquirer_bin="412345",
        mer_name_seq=(MerchantName(language="en", name="Corner Shop", city="Capital", country_name="XX"),),
        mer_country=999,
    )
    extensions: tuple[PrivateExtension, ...] = ()
    use = "exchange" if kind.endswith("key exchange") else "signature"
    match kind:
        case K.CARDHOLDER_SIGNATURE:
            above = (*above, authority(suite, geo, K.CARDHOLDER_CA))
            subject = cardholder_name("XX", BRAND, "Issuing Bank", bytes(20))
        case K.MERCHANT_SIGNATURE | K.MERCHANT_EXCHANGE:
            above, extensions = (*above, authority(suite, geo, K.MERCHANT_CA)), (merchant,)
            subject = merchant_name("XX", BRAND, "Acquiring Bank", "Corner Shop")
        case K.GATEWAY_SIGNATURE | K.GATEWAY_EXCHANGE:
            above = (*above, authority(suite, geo, K.GATEWAY_CA))
            extensions = (CardCertRequired(True),) if use == "exchange" else ()
            subject = gateway_name("XX", BRAND, "Acquiring Bank", "GW-1")
        case K.CARDHOLDER_CA_SIGNATURE | K.CARDHOLDER_CA_EXCHANGE:
            subject = authority(suite, geo, K.CARDHOLDER_CA).certificate.subject
        case _:
            assert kind in LEAVES_OF_SUPERIORS
            position = LEAVES_OF_SUPERIORS.index(kind) + 1
            above, subject, use = above[:position], above[position].certificate.subject, kind.value
    certificate = above[-1].issue(
        kind, subject, leaf_key(suite, use).public_key(), not_before=NOW, extensions=extensions
    )
    return above, certificate.public_bytes(Encoding.DER)


@cache
def good_crl(issuer: Authority) -> bytes:
    return forged_crl(issuer, NOW, NOW + 30 * DAY)


@dataclass(kw_only=True)
class Chain:
    """A chain to be judged: ``certificates`` from the root down, and a CRL of every issuer in it.

    Level 0 is the root, the last is the end entity.  ``None`` is what is missing.  ``more``: certificates
    that are there besides; ``older``: other CRLs that are there; ``bci``: BrandCRLIdentifiers.
    """

    suite: KeySuite
    kind: CertificateKind
    authorities: tuple[Authority, ...]
    certificates: list[bytes | None]
    crls: list[bytes | None]
    brand: str = BRAND
    at: datetime = AT
    more: list[bytes] = field(default_factory=list)
    older: list[bytes] = field(default_factory=list)
    bci: list[bytes] = field(default_factory=list)

    @classmethod
    def good(cls, suite: str, *, geo: bool = False, kind: CertificateKind = K.CARDHOLDER_SIGNATURE) -> Chain:
        above, leaf = issued(suite, geo, kind)
        return cls(
            suite=key_suite(suite),
            kind=kind,
            authorities=above,
            certificates=[*(by.certificate.public_bytes(Encoding.DER) for by in above), leaf],
            crls=[good_crl(by) for by in above],
        )

    @property
    def levels(self) -> list[str]:
        """What each level is called, the root first."""
        root, *between = (by.kind.value for by in self.authorities)
        return [root, *between[:-1], *(["issuer"] if between else []), "leaf"]

    @property
    def leaf(self) -> bytes:
        return self.der(-1)

    def der(self, level: int) -> bytes:
        der = self.certificates[level]
        assert der is not None
        return der

    def change(self, level: int, change: Callable[[Draft], object], *, by: Authority | None = None) -> None:
        """Let the authority above (or ``by``) sign another certificate for this level."""
        draft = Draft.of(self.der(level))
        change(draft)
        self.certificates[level] = draft.signed(by or self.authorities[max(level - 1, 0)])

    def publish(self, level: int, **oddities: Any) -> None:
        """Another CRL of the authority at this level, in force unless told otherwise."""
        start, end = oddities.pop("start", NOW), oddities.pop("end", NOW + 30 * DAY)
        self.crls[level] = forged_crl(self.authorities[level], start, end, **oddities)


def stranger(suite: KeySuite, like: Authority) -> Authority:
    """Signs as ``like`` with a key of its own; no certificate says that it may."""
    key = leaf_key(suite.name, "stranger")
    return cast(Authority, SimpleNamespace(certificate=like.certificate, suite=suite, _key=key))


# --- faults of certificates ---


def lives(draft: Draft, start: datetime, end: datetime) -> None:
    """Both the certificate and, if it says so, its private key live from ``start`` to ``end``."""
    draft.not_before, draft.not_after = start, end
    if any(isinstance(value, x509.PrivateKeyUsagePeriod) for value, _ in draft.extensions):
        draft.put(x509.PrivateKeyUsagePeriod(start, end), False)


def expired(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: lives(draft, NOW, AT - SECOND))


def not_yet_valid(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: lives(draft, AT + SECOND, draft.not_after))


def last_second(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: lives(draft, NOW, AT))


def first_second(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: lives(draft, AT, draft.not_after))


def outlives_its_issuer(chain: Chain, level: int) -> None:
    """Careless of whoever issued it, but no fault: the issuer's own end ends the chain."""
    chain.change(level, lambda draft: lives(draft, NOW, NOW + 9_000 * DAY))


def bad_signature(chain: Chain, level: int) -> None:
    der = bytearray(chain.der(level))
    der[-7] ^= 1
    chain.certificates[level] = bytes(der)


def stranger_signed(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: None, by=stranger(chain.suite, chain.authorities[max(level - 1, 0)]))


def missing(chain: Chain, level: int) -> None:
    chain.certificates[level] = None


def impostor_beside(chain: Chain, level: int) -> None:
    """Another certificate with the CA's name and key identifier, signed by nobody that counts."""
    copy = Draft.of(chain.der(level))
    copy.serial, copy.public_key = 70, leaf_key(chain.suite.name, "stranger").public_key()
    chain.more.append(copy.signed_with(chain.suite, leaf_key(chain.suite.name, "stranger")))


def expired_beside(chain: Chain, level: int) -> None:
    """The certificate that the CA had before, for the same key."""
    copy = Draft.of(chain.der(level))
    copy.serial = 71
    lives(copy, NOW, AT - SECOND)
    chain.more.append(copy.signed(chain.authorities[level - 1]))


def path_too_short(chain: Chain, level: int) -> None:
    length = len(chain.authorities) - level - 2
    chain.change(level, lambda draft: draft.put(x509.BasicConstraints(ca=True, path_length=length), True))


def path_just_long_enough(chain: Chain, level: int) -> None:
    length = len(chain.authorities) - level - 1
    chain.change(level, lambda draft: draft.put(x509.BasicConstraints(ca=True, path_length=length), True))


def no_ca(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(x509.BasicConstraints(ca=False, path_length=None), True))


BITS = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def usage(*bits: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{bit: bit in bits for bit in BITS})


def no_cert_sign(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(usage("crl_sign"), True))


def no_crl_sign(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(usage("key_cert_sign"), True))


def unknown_critical(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(UNKNOWN, True))


def unknown_harmless(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(UNKNOWN, False))


def unenforced(chain: Chain, level: int) -> None:
    """A restriction, not critical, that says nothing about payment."""
    chain.change(level, lambda draft: draft.put(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False))


def wrong_authority_key(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(x509.AuthorityKeyIdentifier(bytes(20), None, None), False))


def wrong_subject_key(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(x509.SubjectKeyIdentifier(bytes(20)), False))


def other_name(name: x509.Name, oid: x509.ObjectIdentifier, value: str) -> x509.Name:
    """``name`` with the first attribute of this type changed."""
    attributes = list(name)
    place = next(i for i, attribute in enumerate(attributes) if attribute.oid == oid)
    attributes[place] = x509.NameAttribute(oid, value)
    return x509.Name(attributes)


def issuer_misnamed(chain: Chain, level: int) -> None:
    chain.change(
        level, lambda draft: setattr(draft, "issuer", other_name(draft.issuer, NameOID.ORGANIZATION_NAME, "Marquee"))
    )


def subject_misnamed(chain: Chain, level: int) -> None:
    """The CA's own certificate has a name that those below do not name."""
    chain.change(level, lambda draft: setattr(draft, "subject", other_name(draft.subject, NameOID.COUNTRY_NAME, "YY")))


def policy(*dotted: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in dotted])


def other_policy(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(policy("2.23.42.5.1"), True))


def any_policy(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(policy("2.5.29.32.0"), True))


def one_more_policy(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(policy("2.23.42.5.0", "2.23.42.5.1"), True))


def no_policy(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.drop(x509.CertificatePolicies.oid))


def leaf_as_ca(chain: Chain, level: int) -> None:
    """The end entity issues a certificate of its own kind, and a CRL."""
    leaf = chain.leaf
    issuer = cast(
        Authority,
        SimpleNamespace(
            certificate=x509.load_der_x509_certificate(leaf),
            suite=chain.suite,
            _key=leaf_key(chain.suite.name, "signature"),
        ),
    )
    draft = Draft.of(leaf)
    draft.issuer, draft.serial, draft.public_key = (
        draft.subject,
        77,
        leaf_key(chain.suite.name, "stranger").public_key(),
    )
    draft.subject = cardholder_name("XX", BRAND, "Issuing Bank", bytes(range(20)))
    ski = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    draft.put(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), False)
    draft.put(x509.SubjectKeyIdentifier(bytes([7] * 20)), False)
    chain.certificates.append(draft.signed(issuer))
    chain.crls.append(forged_crl(issuer, NOW, NOW + 30 * DAY))


def ca_as_leaf(chain: Chain, level: int) -> None:
    """The cardholder CA's own certificate where a cardholder's is wanted."""
    chain.certificates.pop()
    chain.crls.pop()


# --- what RFC 5280 does not know, and SET does ---


def wrong_role(chain: Chain, level: int) -> None:
    chain.kind = K.MERCHANT_SIGNATURE


def two_roles(chain: Chain, level: int) -> None:
    roles = to_extension(CertificateType.CARD | CertificateType.MER)
    chain.change(level, lambda draft: draft.put(roles, True))


def no_role(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.drop(CERTIFICATE_TYPE))


def wrong_issuer_kind(chain: Chain, level: int) -> None:
    """The cardholder CA certifies a merchant."""
    merchant = Chain.good(chain.suite.name, geo=len(chain.authorities) == 4, kind=K.MERCHANT_SIGNATURE)
    ca = chain.authorities[-1]
    ski = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    draft = Draft.of(merchant.leaf)
    draft.issuer = ca.certificate.subject
    draft.put(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), False)
    chain.certificates[level], chain.kind = draft.signed(ca), K.MERCHANT_SIGNATURE


def wrong_brand(chain: Chain, level: int) -> None:
    chain.brand = "Marquee"


def mixed_brands(chain: Chain, level: int) -> None:
    """A CA of one brand certifies for another, which is the one asked for."""
    chain.brand = "Marquee"
    chain.change(
        level,
        lambda draft: setattr(draft, "subject", other_name(draft.subject, NameOID.ORGANIZATION_NAME, "Marquee")),
    )


def key_period_over(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(x509.PrivateKeyUsagePeriod(NOW, AT - SECOND), False))


def key_period_to_come(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(x509.PrivateKeyUsagePeriod(AT + SECOND, draft.not_after), False))


def other_suite(chain: Chain, level: int) -> None:
    """A key of another suite, sound in itself, certified by this suite's CA."""
    other = "p256" if chain.suite.name == "ed25519" else "ed25519"
    chain.change(level, lambda draft: setattr(draft, "public_key", leaf_key(other, "stranger").public_key()))


# --- faults of revocation; the level is that of the issuer, except for ``revoked`` ---


def entry(serial: int, reason: x509.ReasonFlags | None = None) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(serial_number=serial, revocation_date=NOW)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()


def revoked(chain: Chain, level: int) -> None:
    chain.publish(max(level - 1, 0), number=101, entries=(entry(serial_of(chain.der(level))),))


def revoked_with_reason(chain: Chain, level: int) -> None:
    reason = x509.ReasonFlags.key_compromise
    chain.publish(max(level - 1, 0), number=101, entries=(entry(serial_of(chain.der(level)), reason),))


def another_revoked(chain: Chain, level: int) -> None:
    chain.publish(max(level - 1, 0), number=101, entries=(entry(serial_of(chain.der(level)) ^ 1),))


def older_crl_replayed(chain: Chain, level: int) -> None:
    """The CRL that revokes is there, and an older one, still in force, which does not."""
    revoked(chain, level)
    chain.older.append(good_crl(chain.authorities[max(level - 1, 0)]))


def no_crl(chain: Chain, level: int) -> None:
    chain.crls[level] = None


def crl_expired(chain: Chain, level: int) -> None:
    chain.publish(level, end=AT - SECOND)


def crl_not_yet_valid(chain: Chain, level: int) -> None:
    chain.publish(level, start=AT + SECOND)


def crl_first_second(chain: Chain, level: int) -> None:
    chain.publish(level, start=AT)


def crl_last_second(chain: Chain, level: int) -> None:
    chain.publish(level, end=AT)


def crl_by_a_stranger(chain: Chain, level: int) -> None:
    chain.publish(level, signer=stranger(chain.suite, chain.authorities[level]))


def crl_by_another_ca(chain: Chain, level: int) -> None:
    """Signed by a CA of the chain, in the name of another: names are no proof."""
    chain.publish(level, signer=chain.authorities[level - 1])


def crl_of_another_name(chain: Chain, level: int) -> None:
    name = other_name(chain.authorities[level].certificate.subject, NameOID.COUNTRY_NAME, "YY")
    chain.publish(level, name=name)


def crl_bad_signature(chain: Chain, level: int) -> None:
    der = bytearray(good_crl(chain.authorities[level]))
    der[-7] ^= 1
    chain.crls[level] = bytes(der)


def crl_unknown_critical(chain: Chain, level: int) -> None:
    chain.publish(level, extra=(UNKNOWN, True))


def crl_unknown_harmless(chain: Chain, level: int) -> None:
    chain.publish(level, extra=(UNKNOWN, False))


def crl_delta(chain: Chain, level: int) -> None:
    chain.publish(level, extra=(x509.DeltaCRLIndicator(99), True))


def _scope(**kwargs: bool) -> x509.IssuingDistributionPoint:
    flags = dict.fromkeys(
        ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs"), False
    )
    return x509.IssuingDistributionPoint(full_name=None, relative_name=None, only_some_reasons=None, **(flags | kwargs))


def crl_of_attribute_certificates(chain: Chain, level: int) -> None:
    chain.publish(level, extra=(_scope(only_contains_attribute_certs=True), True))


def crl_without_key_identifier(chain: Chain, level: int) -> None:
    chain.publish(level, with_aki=False)


# --- faults of the BrandCRLIdentifier; the level is that of the issuer of a CRL ---


def bci_of(
    chain: Chain, crls: list[bytes] | None = None, *, start: datetime = NOW, end: datetime = NOW + 30 * DAY
) -> bytes:
    """The list that the chain's brand CA makes of these CRLs; left out, of the good one of every issuer."""
    listed = [good_crl(by) for by in chain.authorities] if crls is None else crls
    return chain.authorities[1].brand_crl_identifier(listed, at=start, not_after=end)


def no_bci(chain: Chain, level: int) -> None:
    chain.bci = []


def bci_expired(chain: Chain, level: int) -> None:
    chain.bci = [bci_of(chain, end=AT - SECOND)]


def bci_last_second(chain: Chain, level: int) -> None:
    chain.bci = [bci_of(chain, end=AT)]


def bci_not_yet_valid(chain: Chain, level: int) -> None:
    chain.bci = [bci_of(chain, start=AT + SECOND)]


def bci_first_second(chain: Chain, level: int) -> None:
    chain.bci = [bci_of(chain, start=AT)]


def _bci_with(chain: Chain, level: int, number: int) -> bytes:
    crls = [good_crl(by) for by in chain.authorities]
    crls[level] = forged_crl(chain.authorities[level], NOW, NOW + 30 * DAY, number=number)
    return bci_of(chain, crls)


def bci_lists_newer_crl(chain: Chain, level: int) -> None:
    """The brand has a newer CRL than the one at hand: somebody withholds it (PX-15)."""
    chain.bci = [_bci_with(chain, level, 101)]


def bci_lists_older_crl(chain: Chain, level: int) -> None:
    """The CRL at hand is newer than the list: it was published after it."""
    chain.bci = [_bci_with(chain, level, 99)]


def bci_without_issuer(chain: Chain, level: int) -> None:
    chain.bci = [bci_of(chain, [good_crl(by) for i, by in enumerate(chain.authorities) if i != level])]
