"""Area chains, the profiles: one certificate, CRL or BrandCRLIdentifier that breaks its own, genuinely signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pki import check_certificate, check_crl
from pki.bci import sign_bci
from pki.der import encode, tlv
from pki.extensions import (
    CERTIFICATE_TYPE,
    HASHED_ROOT_KEY,
    MERCHANT_DATA,
    TUNNELING,
)
from pki.signed import elements
from pki.suites import key_suite
from vectors.recipes.common import Case
from vectors.recipes.drafts import LIFE, SECOND, UNKNOWN, Cases, Draft, bci_of, crl_of, good_chain
from vectors.recipes.keys import BEGIN, CAS, NOW, Pair, World, world

VERSION, SERIAL, ALGORITHM, VALIDITY, SUBJECT = 0, 1, 2, 4, 5
"""Places in the signed part of a certificate; those of a BrandCRLIdentifier stand in brand_list."""
SHA384: Final = bytes.fromhex("300a06082a8648ce3d040303")
"""ecdsa-with-SHA384: sound, and of no suite."""
THUMB: Final = encode(x509.ObjectIdentifier("2.23.42.3.0.0"))


def oid(dotted: str) -> bytes:
    """The DER of an object identifier."""
    return encode(x509.ObjectIdentifier(dotted))


def parts(der: bytes) -> list[bytes]:
    """The elements of a SEQUENCE."""
    return [encode(element) for element in elements(der)]


def signed_part(der: bytes) -> list[bytes]:
    """The fields of what is signed in a certificate, a CRL or a BrandCRLIdentifier."""
    return parts(parts(der)[0])


def assembled(
    of: World, fields: Sequence[bytes], key: Any, *, algorithm: bytes | None = None, unused: int = 0
) -> bytes:
    """These fields, signed with this key."""
    tbs, suite = tlv(0x30, *fields), key_suite(of.suite)
    signature = of.signing.sign(key, tbs)
    return tlv(0x30, tbs, algorithm or suite.x509_algorithm, tlv(0x03, bytes((unused,)), signature))


@dataclass(frozen=True)
class Profiles:
    """Deviations from the good certificates of several parties."""

    to: Cases
    positives: Mapping[str, Case]

    def of(self, leaf: str, issuer: str) -> Cases:
        """Deviations from the certificate of this party by this CA."""
        return replace(self.to, good=self.positives[leaf], leaf=leaf, issuer=issuer)


def raw(to: Cases, label: str, comment: str, change: Callable[[list[bytes]], object], **how: Any) -> None:
    """The certificate with other fields in DER, which no certificate builder would write."""

    def made() -> dict[str, str]:
        fields = signed_part(to.of.certificate(to.leaf))
        change(fields)
        return {"certificate": assembled(to.of, fields, to.of.pairs[to.issuer].key, **how).hex()}

    to.bad(label, comment, "Profile", made)


def put(place: int, value: bytes) -> Callable[[list[bytes]], object]:
    """Another field at this place."""
    return lambda fields: fields.__setitem__(place, value)


def private(oid: x509.ObjectIdentifier, value: bytes, critical: bool = False) -> Callable[[Draft], None]:
    """Another value of a private extension."""
    return lambda draft: draft.put(x509.UnrecognizedExtension(oid, value), critical)


def add_profiles(to: Cases, positives: Mapping[str, Case]) -> None:
    """All of them."""
    profiles = Profiles(to, positives)
    _certificates(profiles)
    _merchant_data(profiles.of("merchant", "merchantCA"))
    _names(profiles.of("merchant", "merchantCA"))
    _roots(to)
    _crls(to)
    _brand_lists(to)
    _chains(profiles)


def _certificates(profiles: Profiles) -> None:
    to = profiles.to
    merchant = profiles.of("merchant", "merchantCA")
    exchange = profiles.of("merchantExchange", "merchantCA")
    ca = profiles.of("cardholderCA", "geoCA")
    raw(to, "version-2", "Version 2 with extensions", put(VERSION, bytes.fromhex("a003020101")))
    raw(to, "unique-identifier", "A unique identifier of the issuer", lambda f: f.insert(7, bytes.fromhex("81020001")))
    raw(to, "serial-zero", "Serial number zero", put(SERIAL, bytes.fromhex("020100")))
    raw(to, "serial-negative", "A negative serial number", put(SERIAL, bytes.fromhex("0201ff")))
    raw(to, "serial-of-21-octets", "A serial number of 21 octets", put(SERIAL, tlv(0x02, b"\x01" * 21)))
    raw(
        exchange,
        "validity-of-no-length",
        "notBefore is notAfter, and now",
        put(VALIDITY, tlv(0x30, *2 * (tlv(0x17, b"260115120000Z"),))),
    )
    raw(
        to,
        "inner-algorithm-differs",
        "The algorithm inside the signature is another than outside",
        put(ALGORITHM, SHA384),
    )

    def sha384() -> dict[str, str]:
        fields = signed_part(to.of.certificate(to.leaf))
        fields[ALGORITHM] = SHA384
        tbs = tlv(0x30, *fields)
        signing = ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
        signature = to.of.pairs[to.issuer].key.sign(tbs, signing)
        return {"certificate": tlv(0x30, tbs, SHA384, tlv(0x03, b"\0", signature)).hex()}

    to.bad("algorithm-of-no-suite", "Signed by the right CA with ECDSA and SHA-384", "Profile", sha384)
    to.draft(
        "type-empty",
        "certificateType without a bit",
        private(CERTIFICATE_TYPE, bytes.fromhex("030100"), True),
    )
    to.draft(
        "type-with-a-bit-too-many",
        "Cardholder, and the bit 10, which means nothing",
        private(CERTIFICATE_TYPE, bytes.fromhex("0303058020"), True),
    )
    to.draft(
        "type-not-der",
        "Cardholder, with a zero bit that DER leaves out",
        private(CERTIFICATE_TYPE, bytes.fromhex("03020680"), True),
    )
    ca.draft("ca-path-length-one", "A CA of end entities that allows another CA below it", _path_length(1))
    ca.draft("ca-path-length-missing", "A CA of end entities without a path length", _path_length(None))
    for size in (0, 65):
        to.draft(
            f"subject-key-of-{size}-octets",
            f"A subjectKeyIdentifier of {size} octets",
            _subject_key(size),
        )
    to.draft(
        "authority-key-empty",
        "An authorityKeyIdentifier with nothing in it",
        lambda d: d.put(x509.AuthorityKeyIdentifier(None, None, None), False),
    )
    to.draft(
        "authority-key-and-serial",
        "The authorityKeyIdentifier names the issuer's certificate too",
        lambda d: d.put(_authority(d, [x509.DirectoryName(d.issuer)], 1), False),
    )
    ca.draft(
        "self-issued",
        "A CA with the name of the CA above",
        lambda d: setattr(d, "subject", d.issuer),
    )
    to.draft(
        "name-without-unit",
        "A cardholder's name without organizationalUnitName",
        lambda d: setattr(d, "subject", _without(d.subject, NameOID.ORGANIZATIONAL_UNIT_NAME)),
    )
    merchant.draft(
        "name-without-common-name",
        "A merchant's name without commonName",
        lambda d: setattr(d, "subject", _without(d.subject, NameOID.COMMON_NAME)),
    )
    gateway = profiles.of("gatewayExchange", "gatewayCA")
    gateway.draft(
        "tunneling-without-algorithm",
        "tunneling with an empty list of algorithms",
        private(TUNNELING, bytes.fromhex("30023000")),
    )


def _path_length(length: int | None) -> Callable[[Draft], None]:
    return lambda draft: draft.put(x509.BasicConstraints(True, length), True)


def _subject_key(size: int) -> Callable[[Draft], None]:
    return lambda draft: draft.put(x509.SubjectKeyIdentifier(bytes(size)), False)


def _without(name: x509.Name, oid: x509.ObjectIdentifier) -> x509.Name:
    return x509.Name([one for one in name if one.oid != oid])


def _authority(draft: Draft, issuer: list[x509.GeneralName], number: int) -> x509.AuthorityKeyIdentifier:
    (held,) = (value for value, _ in draft.extensions if isinstance(value, x509.AuthorityKeyIdentifier))
    return x509.AuthorityKeyIdentifier(held.key_identifier, issuer, number)


def _text(value: str) -> bytes:
    return tlv(0x1A, value.encode("ascii"))


def _bmp(value: str) -> bytes:
    return tlv(0x1E, value.encode("utf-16-be"))


def _names(to: Cases) -> None:
    """A merchant's name, which has country, brand, acquirer and merchant, in DER that no name builder would write."""
    dotted = {"country": "2.5.4.6", "locality": "2.5.4.7", "brand": "2.5.4.10", "unit": "2.5.4.11", "own": "2.5.4.3"}

    def pair(kind: str, value: str, tag: int = 0x0C) -> bytes:
        return tlv(0x30, oid(dotted[kind]), tlv(tag, value.encode()))

    def part(kind: str, value: str, tag: int = 0x0C) -> bytes:
        return tlv(0x31, pair(kind, value, tag))

    def name(label: str, comment: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
        def changed(fields: list[bytes]) -> None:
            fields[SUBJECT] = tlv(0x30, *change(parts(fields[SUBJECT])))

        raw(to, f"name-{label}", comment, changed)

    name("without-country", "No countryName", lambda n: n[1:])
    name("of-two-countries", "Two countryNames", lambda n: [n[0], *n])
    name("country-in-small-letters", "countryName xx", lambda n: [part("country", "xx", 0x13), *n[1:]])
    name("country-of-three-letters", "countryName XXX", lambda n: [part("country", "XXX", 0x13), *n[1:]])
    name("of-two-brands", "Two organizationNames", lambda n: [*n[:2], part("brand", "Marque"), *n[2:]])
    name("of-three-units", "Three organizationalUnitNames", lambda n: [*n[:3], *2 * (part("unit", "More"),), n[3]])
    name("twice-its-own", "Two commonNames", lambda n: [*n, part("own", "shop-2")])
    name("out-of-order", "commonName before organizationalUnitName", lambda n: [*n[:2], n[3], n[2]])
    name("with-a-place", "A localityName", lambda n: [*n[:2], part("locality", "Oldtown"), *n[2:]])
    both = tlv(0x31, *sorted((pair("unit", "Acquirer"), pair("unit", "Other"))))
    name("with-two-units-in-one-set", "Two organizationalUnitNames in one SET", lambda n: [*n[:2], both, n[3]])
    name("unit-of-65-characters", "65 characters", lambda n: [*n[:2], part("unit", "x" * 65), n[3]])
    name("unit-empty", "No character", lambda n: [*n[:2], part("unit", ""), n[3]])
    name("unit-not-printable", "A control character", lambda n: [*n[:2], part("unit", "Bank\x07"), n[3]])
    name("unit-with-a-blank-first", "A blank first", lambda n: [*n[:2], part("unit", " Bank"), n[3]])


def _merchant_data(to: Cases) -> None:
    """merchantData that breaks one rule each time."""

    def name(*fields: bytes, tag: int = 0x30) -> bytes:
        return tlv(tag, *(fields or (_text("en"), _text("Corner Bookshop"), _text("Oldtown"), _text("XX"))))

    def data(
        label: str,
        comment: str,
        *,
        mer_id: bytes = _text("shop-1"),
        number: bytes = tlv(0x12, b"411111"),
        names: Sequence[bytes] | None = None,
        country: int = 840,
        flag: bytes = bytes.fromhex("010100"),
    ) -> None:
        listed = tlv(0x30, *([name()] if names is None else names))
        to.draft(
            f"merchant-{label}",
            comment,
            private(MERCHANT_DATA, tlv(0x30, mer_id, number, listed, encode(country), flag)),
        )

    data("may-see-card-numbers", "merAuthFlag is TRUE, its default: the acquirer may give card numbers", flag=b"")
    data("id-of-31-characters", "A merID of 31 characters", mer_id=_text("s" * 31))
    data("id-empty", "A merID of no character", mer_id=_text(""))
    data("id-not-printable", "A control character in merID", mer_id=_text("shop\x071"))
    data("id-in-two-encodings", "A merID in ASCII as BMPString: a second encoding of one value", mer_id=_bmp("shop-1"))
    data("bin-of-five-digits", "A merAcquirerBIN of five digits", number=tlv(0x12, b"41111"))
    data("bin-with-a-blank", "A blank, which a NumericString may have, in merAcquirerBIN", number=tlv(0x12, b"4111 1"))
    data("bin-of-another-type", "merAcquirerBIN as VisibleString", number=_text("411111"))
    data("without-a-name", "No merchant name", names=[])
    data("with-17-names", "17 merchant names", names=[name()] * 17)
    data("country-zero", "merCountry 0", country=0)
    data("country-of-four-digits", "merCountry 1000", country=1000)
    data(
        "language-not-ascii",
        "A language tag that is not ASCII",
        names=[name(_bmp("\u00e9n"), _text("Corner Bookshop"), _text("Oldtown"), _text("XX"))],
    )
    data(
        "name-beyond-the-first-plane",
        "A surrogate pair, which BMPString has not",
        names=[name(_text("en"), _bmp("Bookshop \U0001f4d6"), _text("Oldtown"), _text("XX"))],
    )
    data("name-not-a-sequence", "A merchant name as SET", names=[name(tag=0x31)])
    data("name-without-a-field", "A merchant name with nothing in it", names=[bytes.fromhex("3000")])
    data(
        "name-of-three-fields",
        "A merchant name without a country",
        names=[name(_text("en"), _text("Corner Bookshop"), _text("Oldtown"))],
    )
    data(
        "name-with-a-field-too-many",
        "A merchant name with an optional field that there is not",
        names=[name(_text("en"), _text("Corner Bookshop"), _text("Oldtown"), tlv(0xA2, _text("x")), _text("XX"))],
    )


def _roots(to: Cases) -> None:
    """Trusted roots that are none."""
    of = to.of

    def root(label: str, comment: str, change: Callable[[Draft], object]) -> None:
        def made() -> dict[str, Any]:
            draft = Draft.of(of.certificate("root"))
            change(draft)
            return {"trust": {"roots": [draft.signed(of.suite, of.pairs["root"].key).hex()]}}

        to.bad(label, comment, "Profile", made, covers=["rule 6.8"])

    root(
        "root-of-two-keys",
        "The two key identifiers of the trusted root differ",
        lambda d: d.put(x509.AuthorityKeyIdentifier(bytes(20), None, None), False),
    )
    for label, comment, algorithm, digest in (
        ("of-20-octets", "hashedRootKey has 20 octets", "2.16.840.1.101.3.4.2.1", bytes(20)),
        ("of-sha512", "hashedRootKey says SHA-512", "2.16.840.1.101.3.4.2.3", bytes(32)),
    ):
        value = tlv(0x30, tlv(0x30, b"\x02\x01\0", tlv(0x30, oid(algorithm)), tlv(0x30, THUMB), tlv(0x04, digest)))
        root(f"root-key-hash-{label}", comment, private(HASHED_ROOT_KEY, value, True))
    to.bad(
        "root-not-a-root",
        "A brand CA is given as the trusted root",
        "Chain",
        lambda: {
            "trust": {
                "roots": [of.certificate("brandCA").hex()],
                "certificates": [of.certificate(name).hex() for name in CAS[2:]],
            }
        },
        covers=["rule 6.6.1"],
    )
    foreign = world("ed25519")
    to.bad(
        "root-of-another-suite",
        "Of two trusted roots one is of another suite",
        "Chain",
        lambda: {"trust": {"roots": [of.certificate("root").hex(), foreign.certificate("root").hex()]}},
    )

    def known(called: str, comment: str, certificate: bytes) -> None:
        ders = [*(of.certificate(name) for name in CAS[1:]), certificate]
        to.bad(called, comment, "Chain", lambda: {"trust": {"certificates": [der.hex() for der in ders]}})

    known("ca-not-a-ca", "A merchant's certificate is among those of the CAs", of.certificate("merchant"))
    known("ca-a-root", "A root is among the CAs that are known and not trusted", of.certificate("root"))
    known("ca-of-another-suite", "A CA of another suite is among them", foreign.certificate("cardholderCA"))
    to.bad(
        "extra-too-large",
        "A certificate of more than 65,536 octets comes along",
        "Chain",
        lambda: {"extra": ["3083010001" + "00" * 65537]},
    )


def _crls(to: Cases) -> None:
    """CRLs of the right CA that break their profile."""
    of = to.of
    ca = of.certificate(to.issuer)
    ski = x509.load_der_x509_certificate(ca).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    subject = x509.load_der_x509_certificate(ca).subject

    def crl(
        label: str,
        comment: str,
        *,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] | None = None,
        entry: tuple[x509.ExtensionType, bool] | None = None,
        change: Callable[[list[bytes]], object] = lambda fields: None,
    ) -> None:
        def made() -> dict[str, Any]:
            builder = x509.CertificateRevocationListBuilder(subject, BEGIN, BEGIN + LIFE)
            usual = ((x509.AuthorityKeyIdentifier(ski.digest, None, None), False), (x509.CRLNumber(2), False))
            for value, critical in usual if extensions is None else extensions:
                builder = builder.add_extension(value, critical)
            if entry is not None:
                revoked = x509.RevokedCertificateBuilder(7, BEGIN).add_extension(*entry).build()
                builder = builder.add_revoked_certificate(revoked)
            key = of.pairs[to.issuer].key
            whole = key_suite(of.suite).sign_crl(builder, key).public_bytes(Encoding.DER)
            fields = signed_part(whole)
            change(fields)
            return to.crls(**{to.issuer: assembled(of, fields, key)})

        to.bad(f"crl-{label}", comment, "CRL", made, covers=["PX-15"])

    own = x509.AuthorityKeyIdentifier(ski.digest, None, None)
    number = x509.CRLNumber(2)
    tied = x509.AuthorityKeyIdentifier(ski.digest, [x509.DirectoryName(subject)], 1)
    crl("entry-with-a-date", "An entry has an invalidityDate", entry=(x509.InvalidityDate(BEGIN), False))
    crl(
        "entry-critical",
        "The reason of an entry is critical",
        entry=(x509.CRLReason(x509.ReasonFlags.key_compromise), True),
    )
    crl(
        "entry-of-another-issuer",
        "An entry for a certificate of another CA",
        entry=(
            x509.CertificateIssuer(
                [x509.DirectoryName(x509.load_der_x509_certificate(of.certificate("geoCA")).subject)]
            ),
            True,
        ),
    )
    crl(
        "entry-to-remove",
        "An entry with removeFromCRL, which belongs to delta CRLs",
        entry=(x509.CRLReason(x509.ReasonFlags.remove_from_crl), False),
    )
    crl("without-an-end", "No nextUpdate", change=lambda fields: fields.pop(4))
    crl(
        "of-no-length",
        "nextUpdate is thisUpdate, and now",
        change=lambda fields: fields.__setitem__(slice(3, 5), 2 * [tlv(0x17, b"260115120000Z")]),
    )
    crl("version-1", "Version 1 with extensions", change=lambda fields: fields.__setitem__(0, bytes.fromhex("020100")))
    crl("number-critical", "cRLNumber is critical", extensions=[(own, False), (number, True)])
    crl("unknown-for-number", "An unknown extension in place of cRLNumber", extensions=[(own, False), (UNKNOWN, False)])
    crl("unknown-for-authority", "No authorityKeyIdentifier", extensions=[(number, False), (UNKNOWN, False)])
    crl(
        "authority-empty",
        "An authorityKeyIdentifier with nothing in it",
        extensions=[(x509.AuthorityKeyIdentifier(None, None, None), False), (number, False)],
    )
    crl(
        "authority-and-serial",
        "The authorityKeyIdentifier names the issuer's certificate too",
        extensions=[(tied, False), (number, False)],
    )
    crl("number-of-21-octets", "A cRLNumber of 21 octets", extensions=[(own, False), (x509.CRLNumber(1 << 160), False)])
    crl("number-negative", "A negative cRLNumber", change=lambda fields: fields.__setitem__(-1, _negative(fields[-1])))

    def of_merchant() -> dict[str, Any]:
        listing = crl_of(of, "merchant")
        return {
            "extra": [of.certificate("merchant").hex()],
            "trust": {"crls": [*(held.hex() for held in of.crls), listing.hex()]},
        }

    to.bad(
        "crl-of-a-merchant",
        "A CRL that a merchant has signed in its own name",
        "CRL",
        of_merchant,
        reason="missingCertificate",
        covers=["PX-15"],
    )


def _negative(extensions: bytes) -> bytes:
    """The cRLNumber 2 as -2."""
    before, after = extensions.split(bytes.fromhex("0403020102"))
    return before + bytes.fromhex("04030201fe") + after


BRAND_FIELDS: Final = ("version", "algorithm", "issuer", "authority", "number", "brand", "begin", "end", "crls")
"""Of the signed part of a BrandCRLIdentifier."""


def _brand_lists(to: Cases) -> None:
    """BrandCRLIdentifiers of the right key that break their profile, and of others."""
    of = to.of

    def listing(label: str, comment: str, *, unused: int = 0, **instead: bytes) -> None:
        def made() -> dict[str, Any]:
            fields = dict(zip(BRAND_FIELDS, signed_part(of.bci), strict=True)) | instead
            key = of.pairs["brandCA"].key
            return to.bci(assembled(of, list(fields.values()), key, unused=unused))

        to.bad(f"bci-{label}", comment, "BCI", made, covers=["PX-15"])

    fields = dict(zip(BRAND_FIELDS, signed_part(of.bci), strict=True))
    now = tlv(0x18, b"20260115120000Z")
    listing("version-1", "Version 1", version=bytes.fromhex("020101"))
    listing("number-negative", "A negative sequenceNum", number=bytes.fromhex("0201ff"))
    listing("number-of-21-octets", "A sequenceNum of 21 octets", number=tlv(0x02, b"\x01" * 21))
    listing("of-no-length", "notBefore is notAfter, and now", begin=now, end=now)
    listing("brand-not-printable", "A control character in brandID", brand=tlv(0x0C, b"Marque\x07"))
    listing("of-another-brand", "The brand CA lists for another brand than its own", brand=tlv(0x0C, b"Marquee"))
    listing(
        "issuer-twice", "An issuer is listed twice", crls=tlv(0x30, *parts(fields["crls"]), parts(fields["crls"])[0])
    )
    listing("empty", "No CRL is listed", crls=bytes.fromhex("3000"))
    listing("inner-algorithm-differs", "The algorithm inside the signature is another", algorithm=SHA384)
    listing("unused-bits", "The BIT STRING of the signature says that a bit is unused", unused=1)

    def of_geo() -> dict[str, Any]:
        geo = of.certificate("geoCA")
        read = x509.load_der_x509_certificate(geo)
        ski = read.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        issued = {**fields, "issuer": read.subject.public_bytes(), "authority": tlv(0x04, ski.digest)}
        mine = assembled(of, list(issued.values()), of.pairs["geoCA"].key)
        return to.bci(of.bci, mine)

    to.bad(
        "bci-of-a-geo-political-ca",
        "A list that the geo-political CA has signed in its own name",
        "BCI",
        of_geo,
        reason="missingCertificate",
        covers=["PX-15"],
    )


def _chains(profiles: Profiles) -> None:
    """Chains that hold link by link."""
    to = profiles.to
    of = to.of

    def mixed() -> dict[str, Any]:
        """The CA is certified for another brand, and certifies the cardholder for this one."""
        ca = Draft.of(of.certificate(to.issuer))
        ca.subject = _with(ca.subject, NameOID.ORGANIZATION_NAME, "Marquee")
        ca.serial = 73
        der = ca.signed(of.suite, of.pairs["geoCA"].key)
        leaf = Draft.of(of.certificate(to.leaf))
        leaf.issuer = ca.subject
        crls = [*of.crls[:3], crl_of(of, to.issuer, issuer=ca.subject)]
        above = (of.certificate(name) for name in CAS[1:3])
        return {
            "certificate": leaf.signed(of.suite, of.pairs[to.issuer].key).hex(),
            "trust": {
                "certificates": [der.hex(), *(one.hex() for one in above)],
                "crls": [crl.hex() for crl in crls],
                "bcis": [bci_of(of, crls).hex()],
            },
        }

    to.bad("chain-of-two-brands", "The CA is of another brand", "Chain", mixed, covers=["rule 6.6.7"])

    def impostor() -> dict[str, Any]:
        """A CRL of somebody with a CA's name and key identifier, whose certificate nobody signed."""
        ca = Draft.of(of.certificate(to.issuer))
        ca.serial, ca.public_key = 74, of.loose["stranger"].public_key()
        ca.put(x509.SubjectKeyIdentifier(b"\x4a" * 20), False)
        false = Pair(of.loose["stranger"], ca.signed(of.suite, of.loose["stranger"]))
        listing = crl_of(replace(of, pairs={**of.pairs, "impostor": false}), "impostor")
        return {
            "extra": [false.certificate.hex()],
            "trust": {"crls": [*(held.hex() for held in of.crls), listing.hex()]},
        }

    to.bad(
        "crl-of-an-impostor",
        "A CRL of a CA whose certificate the CA above has not signed",
        "CRL",
        impostor,
        covers=["PX-15"],
    )

    def six() -> dict[str, Any]:
        """A geo-political CA under another one."""
        upper = Draft.of(of.certificate("geoCA"))
        lower = Draft.of(of.certificate("geoCA"))
        unit = NameOID.ORGANIZATIONAL_UNIT_NAME
        upper.subject = _with(upper.subject, unit, "Upper Region")
        upper.serial, upper.public_key = 75, of.pairs["otherGateway"].key.public_key()
        upper.put(x509.SubjectKeyIdentifier(b"\x4b" * 20), False)
        upper.put(x509.BasicConstraints(True, 1), True)
        lower.issuer, lower.serial = upper.subject, 76
        lower.put(x509.AuthorityKeyIdentifier(b"\x4b" * 20, None, None), False)
        ders = [
            upper.signed(of.suite, of.pairs["brandCA"].key),
            lower.signed(of.suite, of.pairs["otherGateway"].key),
        ]
        others = [of.certificate(name) for name in ("brandCA", to.issuer)]
        return {"trust": {"certificates": [der.hex() for der in (*ders, *others)], "crls": [], "bcis": []}}

    to.bad("chain-of-six", "A geo-political CA under another", "Chain", six, covers=["rule 6.6.4"])
    _brand_keys(to)


def _with(name: x509.Name, oid: x509.ObjectIdentifier, value: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) if one.oid == oid else one for one in name])


def _brand_keys(to: Cases) -> None:
    """A brand CA with a second key, which signs the list."""
    of = to.of

    def second(end: datetime, revoked: bool = False) -> dict[str, Any]:
        ca = Draft.of(of.certificate("brandCA"))
        key = of.pairs["otherGateway"].key
        ca.serial, ca.public_key = 77, key.public_key()
        ca.put(x509.SubjectKeyIdentifier(b"\x4d" * 20), False)
        ca.lives(BEGIN, end)
        der = ca.signed(of.suite, of.pairs["root"].key)
        crls = list(of.crls)
        if revoked:
            crls[0] = crl_of(of, "root", revoked=[77])
        signer = check_certificate(der)
        listing = sign_bci(
            signer, key, [check_crl(crl) for crl in of.crls], number=1, not_before=BEGIN, not_after=BEGIN + LIFE
        )
        return {
            "trust": {
                "certificates": [*(of.certificate(name).hex() for name in CAS[1:]), der.hex()],
                "crls": [crl.hex() for crl in crls],
                "bcis": [listing.hex()],
            }
        }

    good = good_chain(
        to.group,
        of,
        to.leaf,
        "cardholder signature",
        "bci-by-a-second-key",
        "The list is signed with another key of the brand CA, which has a certificate of its own",
        trust=lambda: second(BEGIN + LIFE)["trust"],
    )
    keyed = replace(to, good=good)
    for label, comment, change in (
        ("expired", "That certificate ended a second ago", partial(second, NOW - SECOND)),
        ("revoked", "That certificate is revoked", partial(second, BEGIN + LIFE, revoked=True)),
    ):
        keyed.bad(f"bci-by-a-key-{label}", comment, "BCI", change, reason="missingCertificate", covers=["PX-15"])
