"""Area chains: certificates, chains, CRLs, BrandCRLIdentifiers, roots that follow each other (README section 1).

All of it for p256; for the other suites what their algorithms and keys are part of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki import CertificateType, create_root
from pki.der import tlv
from pki.extensions import CERTIFICATE_TYPE, HASHED_ROOT_KEY, HashedRootKey, to_extension
from pki.suites import key_suite
from vectors.recipes.common import Case, File, note
from vectors.recipes.drafts import SECOND, UNKNOWN, Cases, Draft, bci_of, crl_of, good_chain, serial
from vectors.recipes.keys import BEGIN, CAS, NOW, SUITES, Pair, World, world
from vectors.recipes.profiles import add_profiles, oid, parts, put, raw, signed_part

LEAVES: Final = (
    ("cardholder", "cardholder signature"),
    ("merchant", "merchant signature"),
    ("merchantExchange", "merchant key exchange"),
    ("gateway", "gateway signature"),
    ("gatewayExchange", "gateway key exchange"),
    ("cardholderCAMessages", "cardholder CA message signature"),
    ("cardholderCAMessagesExchange", "cardholder CA key exchange"),
    ("cardholderCA", "cardholder CA"),
    ("merchantCA", "merchant CA"),
    ("gatewayCA", "gateway CA"),
    ("geoCA", "geo-political CA"),
    ("brandCA", "brand CA"),
)
"""Who has a certificate, and of what kind."""

NOTES: Final = {
    "Profile": note(
        "PROFILE", "A certificate breaks its profile, and is signed by the right CA.", "Rights that nobody granted."
    ),
    "Chain": note(
        "CHAIN", "The chain does not lead to a trusted root by the rules.", "Impersonation.", "RFC 5280 section 6.1"
    ),
    "Date": note("VALIDITY", "The time is outside some validity.", "Old keys are used."),
    "CRL": note("REVOCATION", "Revocation is not known, or known.", "A stolen key is used.", "RFC 5280 section 6.3"),
    "BCI": note("REVOCATION", "The brand's list of CRLs is not there or asks for more.", "CRLs are withheld.", "PX-15"),
    "Rollover": note("TRUST", "A new root that no root has committed to.", "A false root is trusted."),
}


def build() -> Iterable[File]:
    """One file a suite."""
    return [_file(name) for name in SUITES]


def _flipped(der: bytes) -> bytes:
    return der[:-7] + bytes((der[-7] ^ 1,)) + der[-6:]


def _file(name: str) -> File:
    of = world(name)
    file = File("chains", name, [f"Certificates and their chains in the suite {name}"], NOTES)
    group = file.group("chain.validate", trust=of.trust())
    full = name == "p256"
    leaves = LEAVES if full else LEAVES[:1] + LEAVES[4:5]
    positives = {
        called: good_chain(group, of, called, kind, "-".join(kind.lower().split()), f"A {kind} certificate")
        for called, kind in leaves
    }
    _common(Cases(file, group, of, positives["cardholder"]))
    if full:
        _whole(Cases(file, group, of, positives["cardholder"]), positives)
        add_profiles(Cases(file, group, of, positives["cardholder"]), positives)
    return file


def _common(to: Cases) -> None:
    """For every suite."""
    of = to.of
    own = of.certificate(to.leaf)
    to.bad(
        "signature-flipped",
        "One bit of the certificate's signature",
        "Chain",
        lambda: {"certificate": _flipped(own).hex()},
    )
    to.draft(
        "stranger-signed",
        "Signed with a key that is not the CA's",
        lambda draft: None,
        "Chain",
        key=of.loose["stranger"],
    )
    to.draft(
        "expired",
        "Ended a second ago",
        lambda draft: draft.lives(BEGIN, NOW - SECOND),
        "Date",
        reason="expiredCertificate",
    )
    to.revocation("revoked", "On its CA's CRL", "CRL", to.issuer, "revokedCertificate", revoked=[serial(own)])
    to.bad(
        "crl-forged",
        "The signature of the CA's CRL",
        "CRL",
        lambda: to.crls(**{to.issuer: _flipped(of.crls[3])}),
        covers=["PX-15"],
    )
    to.bad(
        "bci-forged",
        "The signature of the BrandCRLIdentifier",
        "BCI",
        lambda: to.bci(_flipped(of.bci)),
        covers=["PX-15"],
    )
    other = "ed25519" if of.suite != "ed25519" else "p256"
    to.draft(
        "key-of-another-suite",
        "A sound key of another suite",
        lambda draft: setattr(draft, "public_key", world(other).pairs["cardholder"].key.public_key()),
    )
    to.bad(
        "certificate-of-another-suite",
        "A cardholder of another suite, under a root of it",
        "Chain",
        lambda: {"certificate": world(other).certificate("cardholder").hex()},
    )
    if of.suite == "rsa3072":
        to.draft(
            "rsa-2048",
            "A key of 2048 bits",
            lambda draft: setattr(draft, "public_key", rsa.generate_private_key(65537, 2048).public_key()),
        )
        pss = tlv(0x30, tlv(0x30, oid("1.2.840.113549.1.1.10")), parts(signed_part(own)[6])[1])
        raw(to, "rsa-key-for-pss", "A key that is marked as id-RSASSA-PSS", put(6, pss))
        to.draft(
            "rsa-exponent-3",
            "The public exponent 3",
            lambda draft: setattr(draft, "public_key", _exponent_3(draft.public_key)),
        )
    if of.suite == "p256":
        to.draft(
            "p384",
            "A key on P-384",
            lambda draft: setattr(draft, "public_key", ec.derive_private_key(7, ec.SECP384R1()).public_key()),
        )


def _exponent_3(key: rsa.RSAPublicKey) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(3, key.public_numbers().n).public_key()


def _usage(*bits: str) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in bits for name in names})


def _named(name: x509.Name, oid: x509.ObjectIdentifier, value: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) if one.oid == oid else one for one in name])


def _whole(to: Cases, positives: Mapping[str, Case]) -> None:
    """What does not depend on the suite."""
    of, group, own = to.of, to.group, to.of.certificate(to.leaf)
    kind = "cardholder signature"

    def draft(change: Callable[[Draft], object]) -> Callable[[], bytes]:
        def made() -> bytes:
            taken = Draft.of(own)
            change(taken)
            return taken.signed(of.suite, of.pairs[to.issuer].key)

        return made

    def good(label: str, comment: str, certificate: Callable[[], bytes] | None = None, **more: Any) -> Case:
        return good_chain(group, of, to.leaf, kind, label, comment, certificate, **more)

    good("first-second", "Valid from this very second", draft(lambda d: d.lives(NOW, d.end)))
    good("last-second", "Valid until this very second", draft(lambda d: d.lives(BEGIN, NOW)))
    good("unknown-extension", "An unknown extension that is not critical", draft(lambda d: d.put(UNKNOWN, False)))
    good(
        "another-revoked",
        "The CRL has another serial number",
        trust=lambda: to.crls(cardholderCA=crl_of(of, "cardholderCA", revoked=[serial(own) ^ 1]))["trust"],
    )
    good(
        "crl-newer-than-the-list",
        "A CRL that was published after the BrandCRLIdentifier",
        trust=lambda: to.crls(cardholderCA=crl_of(of, "cardholderCA", number=9))["trust"],
    )
    good(
        "crl-last-second",
        "A CRL until this very second",
        trust=lambda: to.crls(cardholderCA=crl_of(of, "cardholderCA", end=NOW))["trust"],
    )
    good(
        "bci-last-second",
        "A BrandCRLIdentifier until this very second",
        trust=lambda: to.bci(bci_of(of, of.crls, end=NOW))["trust"],
    )
    good(
        "chain-along",
        "The CA certificates come along, none is known",
        extra=[of.certificate(ca).hex() for ca in CAS[1:]],
        trust=lambda: {"certificates": []},
    )
    good(
        "impostor-beside",
        "A certificate in the CA's name with another key is there too",
        extra=lambda: [_impostor(of).hex()],
    )
    plain = group.file.group("chain.validate", trust={**of.trust(), "bcis": []}, policy={"require_bci": False})
    unlisted = good_chain(plain, of, to.leaf, kind, "bci-not-required", "By policy no BrandCRLIdentifier is needed")
    replace(to, group=plain, good=unlisted).revocation(
        "revoked-without-bci",
        "Revoked, by the same policy",
        "CRL",
        to.issuer,
        "revokedCertificate",
        revoked=[serial(own)],
    )

    # The end entity's certificate, signed by its CA.
    to.draft("not-yet-valid", "Begins in a second", lambda d: d.lives(NOW + SECOND, d.end), "Date")
    to.draft(
        "key-period-over",
        "The private key's period ended a second ago",
        lambda d: d.put(x509.PrivateKeyUsagePeriod(BEGIN, NOW - SECOND), False),
        "Date",
        reason="expiredCertificate",
    )
    to.draft(
        "key-period-to-come",
        "The private key's period begins in a second",
        lambda d: d.put(x509.PrivateKeyUsagePeriod(NOW + SECOND, d.end), False),
        "Date",
    )
    to.draft(
        "key-period-missing",
        "A message signature certificate without the period",
        lambda d: d.drop(x509.PrivateKeyUsagePeriod.oid),
    )
    to.draft(
        "key-period-too-long",
        "The period ends after the certificate",
        lambda d: d.put(x509.PrivateKeyUsagePeriod(d.begin, d.end + SECOND), False),
    )
    to.draft("unknown-critical", "An unknown extension that is critical", lambda d: d.put(UNKNOWN, True))
    to.draft(
        "extended-key-usage",
        "A restriction that nobody here enforces",
        lambda d: d.put(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    )
    to.draft(
        "name-constraints",
        "Name constraints",
        lambda d: d.put(x509.NameConstraints([x509.DNSName("example.org")], None), True),
    )
    to.draft("key-usage-missing", "No keyUsage", lambda d: d.drop(x509.KeyUsage.oid))
    to.draft(
        "key-usage-too-much",
        "Signatures and key encipherment",
        lambda d: d.put(_usage("digital_signature", "key_encipherment"), True),
    )
    to.draft("key-usage-not-critical", "keyUsage is not critical", lambda d: d.put(_usage("digital_signature"), False))
    to.draft("basic-constraints-missing", "No basicConstraints", lambda d: d.drop(x509.BasicConstraints.oid))
    to.draft("says-ca", "basicConstraints says CA", lambda d: d.put(x509.BasicConstraints(True, 0), True))
    to.draft("other-policy", "Another policy", lambda d: d.put(_policy("2.23.42.5.1"), True))
    to.draft("any-policy", "anyPolicy is not the SET policy", lambda d: d.put(_policy("2.5.29.32.0"), True))
    to.draft("policy-missing", "No certificatePolicies", lambda d: d.drop(x509.CertificatePolicies.oid))
    to.draft("type-missing", "No certificateType", lambda d: d.drop(CERTIFICATE_TYPE))
    to.draft(
        "two-types",
        "Cardholder and merchant at once",
        lambda d: d.put(to_extension(CertificateType.CARD | CertificateType.MER), True),
    )
    to.draft(
        "type-not-critical",
        "certificateType is not critical",
        lambda d: d.put(to_extension(CertificateType.CARD), False),
    )
    to.draft(
        "hashed-root-key",
        "A root's extension in an end entity",
        lambda d: d.put(to_extension(HashedRootKey(bytes(32))), True),
    )
    to.draft("subject-key-missing", "No subjectKeyIdentifier", lambda d: d.drop(x509.SubjectKeyIdentifier.oid))
    to.draft("authority-key-missing", "No authorityKeyIdentifier", lambda d: d.drop(x509.AuthorityKeyIdentifier.oid))
    to.draft(
        "authority-key-of-another",
        "authorityKeyIdentifier names no CA at hand",
        lambda d: d.put(x509.AuthorityKeyIdentifier(bytes(20), None, None), False),
        "Chain",
        reason="missingCertificate",
    )
    to.draft(
        "issuer-of-another-name",
        "The issuer's name is no CA's at hand",
        lambda d: setattr(d, "issuer", _named(d.issuer, NameOID.COUNTRY_NAME, "YY")),
        "Chain",
        reason="missingCertificate",
    )
    to.draft(
        "brand-of-another",
        "The CA certifies for another brand, which is not the one asked for",
        lambda d: setattr(d, "subject", _named(d.subject, NameOID.ORGANIZATION_NAME, "Marquee")),
    )
    to.draft(
        "name-not-a-pseudonym",
        "The cardholder's name in clear",
        lambda d: setattr(d, "subject", _named(d.subject, NameOID.COMMON_NAME, "Jo Bloggs")),
    )
    to.draft(
        "issued-by-the-brand-ca",
        "A cardholder's certificate by the brand CA",
        _by_brand_ca(of),
        "Chain",
        key=of.pairs["brandCA"].key,
        covers=["rule 6.6.6"],
    )
    to.draft(
        "issued-by-the-merchant-ca",
        "A cardholder's certificate by the merchant CA",
        _issued_by(of, "merchantCA"),
        "Chain",
        key=of.pairs["merchantCA"].key,
        covers=["rule 6.6.6"],
    )
    to.draft(
        "issued-by-an-end-entity",
        "A cardholder's certificate by another cardholder",
        _issued_by(of, "otherCardholder"),
        "Chain",
        key=of.pairs["otherCardholder"].key,
        reason="missingCertificate",
        alternatives=["invalidCertificate"],
    )
    to.bad(
        "other-kind",
        "A cardholder's certificate where a merchant's is needed",
        "Chain",
        lambda: {"kind": "merchant signature"},
    )
    to.bad("exchange-for-signature", "The kind of use is another", "Chain", lambda: {"kind": "merchant key exchange"})
    to.bad(
        "other-brand",
        "The transaction is of another brand",
        "Chain",
        lambda: {"brand": "Marquee"},
        covers=["rule 6.6.7"],
    )
    to.bad("trailing-octet", "An octet after the certificate", "Profile", lambda: {"certificate": own.hex() + "00"})
    to.bad(
        "too-large",
        "A certificate of more than 65,536 octets",
        "Profile",
        lambda: {"certificate": "3083010001" + "00" * 65537},
    )
    to.bad(
        "too-many-extra", "17 certificates come along", "Chain", lambda: {"extra": [of.certificate("geoCA").hex()] * 17}
    )
    # The CAs above.
    to.bad(
        "root-unknown",
        "The root that is trusted is another, of the same name",
        "Chain",
        lambda: {"trust": {"roots": [_other_root(of).hex()], "crls": [], "bcis": []}},
        reason="missingCertificate",
    )
    to.bad(
        "ca-missing",
        "The CA's certificate is not there",
        "Chain",
        lambda: {
            "trust": {
                "certificates": [of.certificate(ca).hex() for ca in CAS[1:] if ca != to.issuer],
                "crls": [crl.hex() for crl in of.crls[:3]],
            }
        },
        reason="missingCertificate",
    )
    for called, above in (("brandCA", "root"), ("geoCA", "brandCA"), ("cardholderCA", "geoCA")):
        label = called.lower()
        to.bad(
            f"{label}-expired",
            f"The certificate of the {called} ended a second ago",
            "Date",
            partial(to.ca, called, above, lambda d: d.lives(BEGIN, NOW - SECOND)),
            reason="expiredCertificate",
        )
        to.revocation(
            f"{label}-revoked",
            f"The {called} is on the CRL of the CA above",
            "CRL",
            above,
            "revokedCertificate",
            revoked=[serial(of.certificate(called))],
        )
    to.bad(
        "path-too-short",
        "The brand CA allows no CA below it",
        "Chain",
        lambda: to.ca("brandCA", "root", lambda d: d.put(x509.BasicConstraints(True, 0), True)),
    )
    # CRLs.
    for ca in ("root", "brandCA", "geoCA", "cardholderCA"):
        to.bad(
            f"crl-missing-{ca.lower()}",
            f"There is no CRL of the {ca}",
            "CRL",
            partial(to.crls, **{ca: None}),
            reason="missingCertificate",
            covers=["PX-15", "rule 6.6.10"],
        )
    missing = "missingCertificate"
    to.revocation("crl-expired", "nextUpdate was a second ago", "CRL", to.issuer, missing, end=NOW - SECOND)
    to.revocation("crl-not-yet-valid", "thisUpdate is in a second", "CRL", to.issuer, missing, begin=NOW + SECOND)
    to.revocation(
        "revoked-with-reason",
        "Revoked, with a reason",
        "CRL",
        to.issuer,
        "revokedCertificate",
        revoked=[serial(own)],
        because=x509.ReasonFlags.key_compromise,
    )
    invalid = "invalidCertificate"
    to.revocation(
        "crl-of-a-stranger",
        "Signed with a key that is not the CA's",
        "CRL",
        to.issuer,
        invalid,
        key=of.loose["stranger"],
    )
    to.revocation(
        "crl-of-the-ca-above",
        "Signed by the geo-political CA in the name of another",
        "CRL",
        to.issuer,
        invalid,
        key=of.pairs["geoCA"].key,
    )
    to.revocation("crl-delta", "A delta CRL", "CRL", to.issuer, invalid, extra=[(x509.DeltaCRLIndicator(1), True)])
    to.revocation(
        "crl-unknown-extension",
        "An extension that a CRL here has not",
        "CRL",
        to.issuer,
        invalid,
        extra=[(UNKNOWN, False)],
    )
    to.revocation("crl-without-number", "No cRLNumber", "CRL", to.issuer, invalid, numbered=False)
    to.bad(
        "crl-number-twice",
        "Two CRLs with one number and different contents",
        "CRL",
        lambda: {
            "trust": {"crls": [*(crl.hex() for crl in of.crls), crl_of(of, to.issuer, number=1, revoked=[1]).hex()]}
        },
    )
    to.bad(
        "older-crl-after-newer",
        "The CRL that revokes, and after it the older one",
        "CRL",
        lambda: {
            "trust": {"crls": [crl_of(of, to.issuer, revoked=[serial(own)]).hex(), *(crl.hex() for crl in of.crls)]}
        },
        reason="revokedCertificate",
        covers=["PX-15"],
    )
    # The brand's list.
    to.bad("bci-missing", "There is no BrandCRLIdentifier", "BCI", to.bci, reason=missing, covers=["PX-15"])
    dated: tuple[tuple[str, str, dict[str, datetime]], ...] = (
        ("bci-expired", "Its notAfter was a second ago", {"end": NOW - SECOND}),
        ("bci-not-yet-valid", "Its notBefore is in a second", {"begin": NOW + SECOND}),
    )

    def listing(crls: Callable[[], Iterable[bytes]], **how: Any) -> dict[str, Any]:
        return to.bci(bci_of(of, crls(), **how))

    for label, comment, how in dated:
        to.bad(label, comment, "BCI", partial(listing, lambda: of.crls, **how), reason=missing, covers=["PX-15"])

    def newer(ca: str) -> list[bytes]:
        return [crl if called != ca else crl_of(of, ca, number=2) for called, crl in zip(CAS, of.crls, strict=True)]

    def without(ca: str) -> list[bytes]:
        return [crl for called, crl in zip(CAS, of.crls, strict=True) if called != ca]

    for ca in ("root", "cardholderCA"):
        to.bad(
            f"bci-names-a-newer-crl-{ca.lower()}",
            f"The {ca} has a newer CRL than the one at hand",
            "BCI",
            partial(listing, partial(newer, ca)),
            reason=missing,
            covers=["PX-15"],
        )
        to.bad(
            f"bci-without-{ca.lower()}",
            f"The list does not name the {ca}",
            "BCI",
            partial(listing, partial(without, ca)),
            reason=missing,
            covers=["PX-15"],
        )
    to.bad(
        "bci-of-a-stranger",
        "Signed with a key that is not the brand CA's",
        "BCI",
        lambda: to.bci(bci_of(of, of.crls, key=of.loose["stranger"])),
        covers=["PX-15"],
    )
    to.bad(
        "bci-number-twice",
        "Two lists with one number and different contents",
        "BCI",
        lambda: to.bci(of.bci, bci_of(of, of.crls[:3], number=1)),
        covers=["PX-15"],
    )
    _rollover(to)


def _policy(dotted: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(dotted), None)])


def _issued_by(of: World, ca: str) -> Callable[[Draft], None]:
    def change(draft: Draft) -> None:
        certificate = x509.load_der_x509_certificate(of.certificate(ca))
        draft.issuer = certificate.subject
        ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        draft.put(x509.AuthorityKeyIdentifier(ski.digest, None, None), False)

    return change


def _by_brand_ca(of: World) -> Callable[[Draft], None]:
    return _issued_by(of, "brandCA")


def _impostor(of: World) -> bytes:
    draft = Draft.of(of.certificate("cardholderCA"))
    draft.serial, draft.public_key = 70, of.loose["stranger"].public_key()
    return draft.signed(of.suite, of.loose["stranger"])


def _root(of: World, key: Any, following: Any) -> bytes:
    made = create_root(
        key_suite(of.suite),
        of.tree.root.certificate.subject,
        key,
        following.public_key(),
        not_before=BEGIN,
        random_bytes=lambda size: b"\x17" * size,
    )
    return made.certificate.public_bytes(Encoding.DER)


def _other_root(of: World) -> bytes:
    return _root(of, of.loose["stranger"], of.pairs["otherGateway"].key)


def _rollover(to: Cases) -> None:
    """A new root: committed to by the old one, and otherwise."""
    of = to.of
    following = of.pairs["otherGateway"].key

    def moved(new: bytes, key: Any) -> dict[str, Any]:
        """Everything under a new root: a brand CA certified by it, a CRL of it, and a list that names that."""
        draft = Draft.of(of.certificate("brandCA"))
        root = x509.load_der_x509_certificate(new)
        ski = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        draft.put(x509.AuthorityKeyIdentifier(ski.digest, None, None), False)
        draft.serial = 71
        below = draft.signed(of.suite, key)
        rooted = replace(of, pairs={**of.pairs, "root": Pair(key, new)})
        crls = [crl_of(rooted, "root", number=1), *of.crls[1:]]
        others = (of.certificate(name) for name in CAS[2:])
        return {
            "extra": [new.hex()],
            "trust": {
                "certificates": [below.hex(), *(other.hex() for other in others)],
                "crls": [crl.hex() for crl in crls],
                "bcis": [bci_of(of, crls).hex()],
            },
        }

    committed, uncommitted = of.loose["nextRoot"], of.loose["stranger"]
    group = to.group
    good = good_chain(
        group,
        of,
        to.leaf,
        "cardholder signature",
        "new-root-along",
        "A new root comes along, whose key the trusted one has committed to",
        extra=lambda: [_root(of, committed, following).hex()],
        trust=lambda: moved(_root(of, committed, following), committed)["trust"],
    )
    turned = replace(to, good=good)
    turned.bad(
        "new-root-not-committed",
        "Nobody has committed to the new root's key",
        "Rollover",
        lambda: moved(_root(of, uncommitted, following), uncommitted),
        reason="missingCertificate",
        covers=["rule 6.8"],
    )

    def unsigned() -> dict[str, Any]:
        new = _flipped(_root(of, committed, following))
        return {**moved(new, committed), "extra": [new.hex()]}

    turned.bad(
        "new-root-not-self-signed",
        "The new root has not signed itself",
        "Rollover",
        unsigned,
        reason="missingCertificate",
        covers=["rule 6.8"],
    )

    def uncommitting() -> dict[str, Any]:
        draft = Draft.of(_root(of, committed, following))
        draft.drop(HASHED_ROOT_KEY)
        return {"extra": [draft.signed(of.suite, committed).hex()]}

    turned.bad(
        "new-root-without-commitment",
        "The new root commits to no key in its turn",
        "Rollover",
        uncommitting,
        covers=["rule 6.8"],
    )
    turned.bad(
        "new-root-withheld",
        "The new root is not there",
        "Rollover",
        lambda: {"extra": []},
        reason="missingCertificate",
        covers=["rule 6.8"],
    )

    def thief() -> dict[str, Any]:
        """The new root is trusted; whoever has its key makes another certificate for it, with a successor of his."""
        present = _root(of, committed, following)
        false = _root(of, committed, uncommitted)
        successor = _root(of, uncommitted, following)
        changed = moved(successor, uncommitted)
        trust = {**changed["trust"], "roots": [of.certificate("root").hex(), present.hex()]}
        return {"extra": [false.hex(), successor.hex()], "trust": trust}

    turned.bad(
        "new-root-with-a-trusted-key",
        "A second root with the key of a trusted one commits to the thief's successor",
        "Rollover",
        thief,
        reason="missingCertificate",
        covers=["rule 6.8"],
    )
