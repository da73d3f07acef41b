"""Every rule of a chain, broken alone: what the refusal says, and whom it blames.

One row a rule.  A row breaks a chain at each level named, in every suite; its *sibling* does nearly the same
and must validate, so that it is the rule that refuses and not some accident of the forgery.  All chains have the
geo-political CA, CRLs and a BrandCRLIdentifier.

Two merchants' certificates cannot be told from each other's by validation if a CA swaps what it certifies:
who is who is what the CA vouches for.  What anybody else swaps breaks the signature.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, get_args

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, mldsa, rsa, x448, x25519
from cryptography.x509.oid import NameOID

from pki import SUITES, Authority, CertificateError, CertificateKind, PathValidator
from pki import der as codec
from pki.errors import ErrorCode
from pki.extensions import MERCHANT_DATA
from pki.names import cardholder_name, merchant_name
from pki.path import MAX_EXTRA
from pki.signed import MAX_CERTIFICATE, MAX_CRL, elements, signed_shape
from tests.pki import chains
from tests.pki.chains import AT, BRAND, NOW, Chain, Fault, usage
from tests.pki.forging import Draft, key_of

K = CertificateKind
ROOT, BRAND_CA, GEO_CA, CA, LEAF = range(5)
EVERY, ISSUED, ISSUERS, CAS, PASSING = (
    (ROOT, BRAND_CA, GEO_CA, CA, LEAF),
    (BRAND_CA, GEO_CA, CA, LEAF),
    (ROOT, BRAND_CA, GEO_CA, CA),
    (BRAND_CA, GEO_CA, CA),
    (ROOT, BRAND_CA, GEO_CA),
)
RFC, SET = "RFC 5280 section ", "set-protocol.md section "
BOOK = "SET Book 2, certificate profile"
RULE, BCI, PATH, CRL_PATH = SET + "6.6 rule ", SET + "6.9", RFC + "6.1.3", RFC + "6.3.3"
INVALID: ErrorCode = "invalidCertificate"
EXPIRED: ErrorCode = "expiredCertificate"
REVOKED: ErrorCode = "revokedCertificate"
MISSING: ErrorCode = "missingCertificate"


def itself(level: int) -> int:
    return level


def the_leaf(level: int) -> int:
    return LEAF


def the_one_below(level: int) -> int:
    return level + 1


def the_issuer(level: int) -> int:
    return level - 1


class Refusals(NamedTuple):
    """What a program is told when it takes in certificates, then CRLs and lists, then asks for the verdict."""

    certificates: list[CertificateError]
    lists: list[CertificateError]
    verdict: list[CertificateError]


def present(chain: Chain) -> Refusals:
    """What is refused is left out, and the rest is tried without it.  All empty if the chain is good."""
    refusals = Refusals([], [], [])

    def attempt(step: Callable[[], object], told: list[CertificateError]) -> None:
        try:
            step()
        except CertificateError as refusal:
            told.append(refusal)

    root, *between = chain.certificates[:-1]
    assert root is not None
    try:
        validator = PathValidator([x509.load_der_x509_certificate(root)], suite=chain.suite.name)
    except CertificateError as refusal:
        refusals.certificates.append(refusal)
        return refusals
    for der in filter(None, (*between, *chain.more)):
        attempt(partial(validator.add_certificate, der), refusals.certificates)
    for der in filter(None, (*chain.crls, *chain.older)):
        attempt(partial(validator.add_crl, der), refusals.lists)
    for der in chain.bci:
        attempt(partial(validator.add_bci, der), refusals.lists)
    attempt(lambda: validator.validate(chain.leaf, kind=chain.kind, brand=chain.brand, at=chain.at), refusals.verdict)
    return refusals


def assert_good(chain: Chain) -> None:
    assert present(chain) == Refusals([], [], [])


def name_of(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


# --- faults that only this table has ---


def untouched(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: None)


def crl_untouched(chain: Chain, level: int) -> None:
    chain.publish(level)


def one_bit_more(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(usage("digital_signature", "content_commitment"), True))


def bits_as_they_are(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(usage("digital_signature"), True))


def as_a_merchant(chain: Chain, level: int) -> None:
    good = Chain.good(chain.suite.name, geo=True, kind=K.MERCHANT_SIGNATURE)
    chain.kind, chain.authorities, chain.certificates, chain.crls = (
        *(good.kind, good.authorities, good.certificates, good.crls),
    )
    chain.bci = [chains.bci_of(chain)]


def key_period_last_second(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(x509.PrivateKeyUsagePeriod(NOW, AT), False))


def key_period_first_second(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: draft.put(x509.PrivateKeyUsagePeriod(AT, draft.not_after), False))


def self_issued(chain: Chain, level: int) -> None:
    chain.change(level, lambda draft: setattr(draft, "issuer", draft.subject), by=chain.authorities[level])


def circle(chain: Chain, level: int) -> None:
    """Two CAs that certify each other, and no root above them."""
    above = chain.authorities[level - 1]

    def certified_from_below(draft: Draft) -> None:
        below = chain.authorities[level].certificate
        ski = below.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        draft.issuer = below.subject
        draft.put(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), False)

    draft = Draft.of(above.certificate)
    certified_from_below(draft)
    chain.certificates[level - 1] = draft.signed(chain.authorities[level])


def ca_as_ca(chain: Chain, level: int) -> None:
    chains.ca_as_leaf(chain, level)
    chain.kind = K.CARDHOLDER_CA


def splice(chain: Chain, other: bytes, which: Callable[[list[bytes]], int]) -> bytes:
    """The end entity's certificate with one field of the signed part taken from ``other``."""
    ours, theirs = (
        [codec.encode(field) for field in signed_shape(der, limit=MAX_CERTIFICATE).fields]
        for der in (chain.leaf, other)
    )
    place = which(ours)
    ours[place] = theirs[place]
    whole = [codec.encode(item) for item in elements(chain.leaf)]
    return codec.tlv(0x30, codec.tlv(0x30, *ours), *whole[1:])


def other_merchant(chain: Chain) -> bytes:
    """Another merchant of the same CA: another name, another merID."""
    draft = Draft.of(chain.leaf)
    draft.serial += 1
    draft.subject = chains.other_name(draft.subject, NameOID.COMMON_NAME, "Other Shop!")
    for index, (value, critical) in enumerate(draft.extensions):
        if value.oid == MERCHANT_DATA:
            changed = value.public_bytes().replace(b"M-1", b"M-2")
            draft.extensions[index] = (x509.UnrecognizedExtension(MERCHANT_DATA, changed), critical)
    return draft.signed(chain.authorities[-1])


def subject_of_another(chain: Chain, level: int) -> None:
    as_a_merchant(chain, level)
    chain.certificates[level] = splice(chain, other_merchant(chain), lambda fields: 5)


def merchant_data_of_another(chain: Chain, level: int) -> None:
    as_a_merchant(chain, level)
    chain.certificates[level] = chain.leaf.replace(b"M-1", b"M-2")


def wholly_another(chain: Chain, level: int) -> None:
    as_a_merchant(chain, level)
    chain.certificates[level] = other_merchant(chain)


# --- the table ---


@dataclass(frozen=True, kw_only=True)
class Row:
    """``blames``: from the level of the fault, that of the certificate whose name and thumbprint the refusal gives."""

    fault: Fault
    levels: tuple[int, ...] = (LEAF,)
    sibling: Fault = untouched
    code: ErrorCode = INVALID
    rule: str
    source: str
    blames: Callable[[int], int] = itself


ROWS = [
    # roles, brands, uses, policies: 6.6 rules 5 to 9
    Row(fault=chains.wrong_role, rule="not a merchant signature certificate", source=RULE + "6"),
    Row(fault=chains.wrong_issuer_kind, sibling=as_a_merchant, rule="issued by a cardholder CA", source=RULE + "6"),
    Row(fault=chains.two_roles, rule="no kind has this", source=SET + "6.3"),
    Row(fault=chains.no_role, rule="certificateType missing", source=BOOK),
    Row(
        fault=chains.ca_as_leaf,
        sibling=ca_as_ca,
        rule="not a cardholder signature",
        source=RULE + "6",
        blames=the_issuer,
    ),
    Row(fault=chains.wrong_brand, rule="another brand", source=RULE + "7"),
    Row(fault=chains.mixed_brands, rule="mixes brands", source=RULE + "7", blames=the_issuer),
    Row(fault=one_bit_more, sibling=bits_as_they_are, rule="keyUsage is not that", source=SET + "6.3"),
    Row(fault=chains.no_cert_sign, levels=ISSUERS, rule="keyUsage is not that", source=SET + "6.3"),
    Row(fault=chains.no_crl_sign, levels=ISSUERS, rule="keyUsage is not that", source=SET + "6.3"),
    Row(
        fault=chains.other_policy,
        levels=EVERY,
        sibling=chains.one_more_policy,
        rule="SET root policy",
        source=RULE + "8",
    ),
    Row(
        fault=chains.any_policy, levels=EVERY, sibling=chains.one_more_policy, rule="SET root policy", source=RULE + "8"
    ),
    Row(fault=chains.no_policy, levels=EVERY, rule="certificatePolicies missing", source=BOOK),
    Row(
        fault=chains.unknown_critical,
        levels=EVERY,
        sibling=chains.unknown_harmless,
        rule="critical or restrictive",
        source=RFC + "4.2",
    ),
    Row(
        fault=chains.unenforced,
        levels=EVERY,
        sibling=chains.unknown_harmless,
        rule="critical or restrictive",
        source=RFC + "4.2",
    ),
    Row(fault=chains.other_suite, rule="not a key of suite", source="architecture section 3.3"),
    # time: 6.6 rule 3
    Row(fault=chains.expired, levels=EVERY, sibling=chains.last_second, code=EXPIRED, rule="^expired$", source=PATH),
    Row(fault=chains.not_yet_valid, levels=EVERY, sibling=chains.first_second, rule="not yet valid", source=PATH),
    Row(
        fault=chains.key_period_over,
        sibling=key_period_last_second,
        code=EXPIRED,
        rule="private key usage period",
        source=RULE + "3",
    ),
    Row(
        fault=chains.key_period_to_come,
        sibling=key_period_first_second,
        rule="private key usage period",
        source=RULE + "3",
    ),
    # the chain: 6.6 rules 1, 2 and 4
    Row(fault=chains.bad_signature, levels=ISSUED, rule="signature failure", source=PATH),
    Row(fault=chains.stranger_signed, levels=ISSUED, rule="signature failure", source=PATH),
    Row(fault=subject_of_another, sibling=as_a_merchant, rule="signature failure", source=PATH),
    Row(fault=merchant_data_of_another, sibling=wholly_another, rule="signature failure", source=PATH),
    Row(fault=chains.missing, levels=CAS, code=MISSING, rule="no chain", source=PATH, blames=the_leaf),
    Row(fault=chains.wrong_authority_key, levels=ISSUED, code=MISSING, rule="no chain", source=PATH, blames=the_leaf),
    Row(fault=chains.issuer_misnamed, levels=ISSUED, code=MISSING, rule="no chain", source=PATH, blames=the_leaf),
    Row(fault=circle, levels=(GEO_CA, CA), rule="more than 5 certificates", source=RULE + "4", blames=the_leaf),
    Row(fault=self_issued, levels=CAS, rule="only a root names itself", source=SET + "6.6"),
    Row(
        fault=chains.path_too_short,
        levels=PASSING,
        sibling=chains.path_just_long_enough,
        rule="path length",
        source=PATH,
    ),
    Row(fault=chains.no_ca, levels=ISSUERS, rule="no kind has this|keyUsage is not", source=SET + "6.3"),
    Row(fault=chains.leaf_as_ca, rule="not the certificate of a subordinate CA", source=RULE + "6"),
    # revocation: 6.6 rule 10
    Row(
        fault=chains.revoked,
        levels=EVERY,
        sibling=chains.another_revoked,
        code=REVOKED,
        rule="revoked",
        source=CRL_PATH,
    ),
    Row(
        fault=chains.revoked_with_reason,
        levels=ISSUED,
        sibling=chains.another_revoked,
        code=REVOKED,
        rule="revoked",
        source=CRL_PATH,
    ),
    Row(
        fault=chains.older_crl_replayed,
        levels=ISSUED,
        sibling=chains.another_revoked,
        code=REVOKED,
        rule="revoked",
        source=CRL_PATH,
    ),
    Row(fault=chains.no_crl, levels=ISSUERS, code=MISSING, rule="CRL missing", source=RULE + "10"),
    Row(
        fault=chains.crl_expired,
        levels=ISSUERS,
        sibling=chains.crl_last_second,
        code=MISSING,
        rule="CRL expired",
        source=CRL_PATH,
        blames=the_one_below,
    ),
    Row(
        fault=chains.crl_not_yet_valid,
        levels=ISSUERS,
        sibling=chains.crl_first_second,
        code=MISSING,
        rule="CRL not yet valid",
        source=CRL_PATH,
        blames=the_one_below,
    ),
]

CRL_ROWS = [
    # refused when they are taken in, in the name of the authority at the level; the chain then lacks a CRL
    Row(fault=chains.crl_by_a_stranger, rule="signature of a CRL", source=CRL_PATH),
    Row(fault=chains.crl_by_another_ca, rule="signature of a CRL", source=CRL_PATH),
    Row(fault=chains.crl_bad_signature, rule="signature of a CRL", source=CRL_PATH),
    Row(fault=chains.crl_of_another_name, code=MISSING, rule="no certificate of the issuer", source=PATH),
    Row(fault=chains.crl_unknown_critical, rule="and no others", source=RFC + "5"),
    Row(fault=chains.crl_unknown_harmless, rule="and no others", source=RFC + "5"),
    Row(fault=chains.crl_delta, rule="and no others", source=RFC + "5"),
    Row(fault=chains.crl_of_attribute_certificates, rule="and no others", source=RFC + "5"),
    Row(fault=chains.crl_without_key_identifier, rule="and no others", source=RFC + "5"),
]

BCI_ROWS = [
    Row(fault=chains.no_bci, levels=(ROOT,), code=MISSING, rule="no current", source=BCI, blames=the_leaf),
    Row(
        fault=chains.bci_expired,
        levels=(ROOT,),
        sibling=chains.bci_last_second,
        code=MISSING,
        rule="no current",
        source=BCI,
        blames=the_leaf,
    ),
    Row(
        fault=chains.bci_not_yet_valid,
        levels=(ROOT,),
        sibling=chains.bci_first_second,
        code=MISSING,
        rule="no current",
        source=BCI,
        blames=the_leaf,
    ),
    Row(
        fault=chains.bci_lists_newer_crl,
        levels=ISSUERS,
        sibling=chains.bci_lists_older_crl,
        code=MISSING,
        rule="CRL older than",
        source=BCI,
    ),
    Row(fault=chains.bci_without_issuer, levels=ISSUERS, code=MISSING, rule="not in the Brand", source=BCI),
]


def of(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row.fault.__name__ for row in rows])


every_suite = pytest.mark.parametrize("suite", sorted(SUITES))


def broken(suite: str, fault: Fault, level: int) -> Chain:
    chain = Chain.good(suite, geo=True)
    chain.bci = [chains.bci_of(chain)]
    fault(chain, level)
    return chain


def assert_says(refusal: CertificateError, row: Row, chain: Chain, level: int) -> None:
    assert refusal.code == row.code, refusal
    assert re.search(row.rule, refusal.rule), refusal
    assert refusal.source == row.source, refusal
    blamed = chain.der(row.blames(level))
    assert refusal.subject.startswith(name_of(blamed)), refusal
    tbs = x509.load_der_x509_certificate(blamed).tbs_certificate_bytes
    assert refusal.thumbprint == hashlib.sha256(tbs).digest(), refusal


@pytest.mark.prop("PX-12")
@every_suite
@of(ROWS)
def test_each_rule_refuses_alone(row: Row, suite: str) -> None:
    for level in row.levels:
        assert_good(broken(suite, row.sibling, level))
        chain = broken(suite, row.fault, level)
        refusals = present(chain)
        first, *_ = (*refusals.certificates, *refusals.verdict)
        assert_says(first, row, chain, level)


@pytest.mark.prop("PX-12")
@every_suite
@of(CRL_ROWS)
def test_a_crl_that_is_refused_is_none(row: Row, suite: str) -> None:
    for level in ISSUERS:
        assert_good(broken(suite, crl_untouched, level))
        chain = broken(suite, row.fault, level)
        none, (taking,), (judging,) = present(chain)
        assert not none
        assert (taking.code, taking.source) == (row.code, row.source), taking
        assert re.search(row.rule, taking.rule), taking
        assert taking.subject.startswith("CRL ") == ("and no others" not in row.rule)  # a form unread has no name yet
        assert taking.thumbprint is None
        assert (judging.code, judging.rule, judging.source) == (MISSING, "CRL missing", RULE + "10")
        assert judging.subject.startswith(name_of(chain.der(level)))


@pytest.mark.prop("PX-15")
@every_suite
@of(BCI_ROWS)
def test_each_rule_of_the_brand_crl_identifier_refuses_alone(row: Row, suite: str) -> None:
    for level in row.levels:
        assert_good(broken(suite, row.sibling, level))
        chain = broken(suite, row.fault, level)
        none, nothing, (refusal,) = present(chain)
        assert not none + nothing
        assert_says(refusal, row, chain, level)


def test_every_code_is_in_the_tables() -> None:
    assert {row.code for row in ROWS} == set(get_args(ErrorCode))


# --- keys ---


def weak(make: Callable[[], Any]) -> Any | None:
    """A key that ``cryptography`` will not even make cannot come in a certificate that it reads, either."""
    try:
        return make().public_key()
    except (UnsupportedAlgorithm, ValueError):
        return None


KEYS: list[tuple[str, str, Callable[[], Any]]] = [
    ("rsa3072", "RSA of 1024 bits", lambda: rsa.generate_private_key(65537, 1024)),
    ("rsa3072", "RSA of 2048 bits", lambda: rsa.generate_private_key(65537, 2048)),
    ("rsa3072", "RSA of 3064 bits", lambda: rsa.generate_private_key(65537, 3064)),
    ("rsa3072", "RSA with exponent 3", lambda: rsa.generate_private_key(3, 3072)),
    ("p256", "P-192", lambda: ec.generate_private_key(ec.SECP192R1())),
    ("p256", "P-224", lambda: ec.generate_private_key(ec.SECP224R1())),
    ("p256", "P-384", lambda: ec.generate_private_key(ec.SECP384R1())),
    ("p256", "secp256k1", lambda: ec.generate_private_key(ec.SECP256K1())),
    ("p256", "brainpoolP256r1", lambda: ec.generate_private_key(ec.BrainpoolP256R1())),
    ("ed25519", "X25519", x25519.X25519PrivateKey.generate),
    ("ed25519", "Ed448", ed448.Ed448PrivateKey.generate),
    ("ed25519", "X448", x448.X448PrivateKey.generate),
    ("mldsa65", "ML-DSA-44", mldsa.MLDSA44PrivateKey.generate),
    ("mldsa65", "ML-DSA-87", mldsa.MLDSA87PrivateKey.generate),
]


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize(("suite", "make"), [(s, m) for s, _, m in KEYS], ids=[name for _, name, _ in KEYS])
def test_keys_that_are_weak_or_of_another_sort(suite: str, make: Callable[[], Any]) -> None:
    """Neither validated in a certificate, for which the CA is to blame, nor certified."""
    key = weak(make)
    if key is None:
        pytest.skip("not in this build of OpenSSL")
    chain = broken(suite, lambda c, i: c.change(i, lambda draft: setattr(draft, "public_key", key)), LEAF)
    *_, (refusal,) = present(chain)
    row = Row(fault=untouched, rule=f"not a key of suite {suite}", source="architecture section 3.3")
    assert_says(refusal, row, chain, LEAF)
    name = x509.load_der_x509_certificate(chain.leaf).subject
    ca = chain.authorities[-1]
    with pytest.raises(CertificateError, match=f"not a key of suite {suite}") as issuing:
        ca.issue(K.CARDHOLDER_SIGNATURE, name, key, not_before=NOW)
    assert (issuing.value.code, issuing.value.source) == (INVALID, "architecture section 3.3")
    assert issuing.value.subject.startswith(ca.certificate.subject.rfc4514_string())


# --- absurd sizes: refused before anything is parsed that could take long ---


def padded(chain: Chain, octets: int) -> None:
    filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.98"), bytes(octets))
    chain.change(LEAF, lambda draft: draft.put(filler, False))


def many_extensions(chain: Chain, count: int) -> None:
    def change(draft: Draft) -> None:
        for i in range(count):
            draft.extensions.append((x509.UnrecognizedExtension(x509.ObjectIdentifier(f"2.25.{1000 + i}"), b""), False))

    chain.change(LEAF, change)


def a_million_extensions(chain: Chain) -> None:
    """Spliced in; the signature does not matter any more."""
    fields = [codec.encode(field) for field in signed_shape(chain.leaf, limit=MAX_CERTIFICATE).fields]
    _, *rest = (codec.encode(item) for item in elements(chain.leaf))
    extension = codec.tlv(0x30, bytes.fromhex("0602690a"), codec.tlv(0x04))
    fields[-1] = codec.tlv(0xA3, codec.tlv(0x30, extension * 1_000_000))
    chain.certificates[LEAF] = codec.tlv(0x30, codec.tlv(0x30, *fields), *rest)


def serial_number(chain: Chain, octets: int) -> None:
    """The greatest positive serial number of so many octets; longer ones the builder does not make."""
    fields = [codec.encode(field) for field in signed_shape(chain.leaf, limit=MAX_CERTIFICATE).fields]
    _, *rest = (codec.encode(item) for item in elements(chain.leaf))
    fields[1] = codec.tlv(0x02, b"\x7f" + b"\xff" * (octets - 1))
    chain.certificates[LEAF] = codec.tlv(0x30, codec.tlv(0x30, *fields), *rest)


@pytest.mark.parametrize(
    ("fault", "sibling", "rule", "source"),
    [
        (lambda c: padded(c, MAX_CERTIFICATE), lambda c: padded(c, MAX_CERTIFICATE // 2), "not the DER", RFC + "4.1"),
        (a_million_extensions, lambda c: many_extensions(c, 300), "not the DER", RFC + "4.1"),
    ],
    ids=["a giant certificate", "a million extensions"],
)
def test_a_certificate_has_a_greatest_size(
    fault: Callable[[Chain], None], sibling: Callable[[Chain], None], rule: str, source: str
) -> None:
    good, bad = (broken("p256", untouched, LEAF) for _ in range(2))
    sibling(good)
    assert_good(good)
    fault(bad)
    *_, (refusal,) = present(bad)
    assert (refusal.code, refusal.source, refusal.subject) == (INVALID, source, "")  # too large to be read: no name
    assert rule in refusal.rule


def test_a_serial_number_has_at_most_20_octets() -> None:
    for octets, rule in ((20, "signature failure"), (21, "serial number"), (1000, "serial number")):
        chain = broken("p256", untouched, LEAF)
        serial_number(chain, octets)
        *_, (refusal,) = present(chain)
        assert refusal.code == INVALID
        assert rule in refusal.rule
        assert refusal.source == (PATH if octets == 20 else RFC + "4.1.2.2")
        assert refusal.subject.startswith(name_of(chain.leaf))


def validator_of(chain: Chain) -> PathValidator:
    root, *between = (chain.der(level) for level in range(LEAF))
    validator = PathValidator([x509.load_der_x509_certificate(root)], suite=chain.suite.name)
    validator.add_intermediates(between)
    for crl in filter(None, chain.crls):
        validator.add_crl(crl)
    for bci in chain.bci:
        validator.add_bci(bci)
    return validator


def test_what_comes_along_is_counted_and_measured() -> None:
    chain = broken("p256", untouched, LEAF)
    validator, ca = validator_of(chain), chain.der(CA)
    for extra in ((ca,) * (MAX_EXTRA + 1), (bytes(MAX_CERTIFICATE + 1),)):
        with pytest.raises(CertificateError, match=f"more than {MAX_EXTRA} certificates") as refusal:
            validator.validate(chain.leaf, kind=chain.kind, brand=BRAND, at=AT, extra=extra)
        assert (refusal.value.code, refusal.value.source) == (INVALID, "pki/path.py")
    validator.validate(chain.leaf, kind=chain.kind, brand=BRAND, at=AT, extra=(ca,) * MAX_EXTRA)


def test_a_crl_has_a_greatest_size() -> None:
    """However it gets so large: here by its signature, which otherwise would only be wrong."""
    chain = broken("p256", untouched, LEAF)
    validator = validator_of(chain)
    crl = chains.good_crl(chain.authorities[ROOT])
    tbs, algorithm, _ = (codec.encode(item) for item in elements(crl))
    for octets, rule, source in ((1000, "signature of a CRL", CRL_PATH), (MAX_CRL, "not the DER", RFC + "4.1")):
        with pytest.raises(CertificateError, match=rule) as refusal:
            validator.add_crl(codec.tlv(0x30, tbs, algorithm, codec.tlv(0x03, bytes(octets))))
        assert (refusal.value.code, refusal.value.source) == (INVALID, source)


# --- issuing: what an authority refuses to certify ---


def holder(octet: int) -> x509.Name:
    return cardholder_name("XX", BRAND, "Issuing Bank", bytes([octet]) * 20)


def twice(ca: Authority, key: Any) -> None:
    ca.issue(K.CARDHOLDER_SIGNATURE, holder(1), key, not_before=NOW)
    ca.issue(K.CARDHOLDER_SIGNATURE, holder(2), key, not_before=NOW)


def as_merchant(ca: Authority, key: Any) -> None:
    ca.issue(K.MERCHANT_SIGNATURE, merchant_name("XX", BRAND, "Bank", "Shop"), key, not_before=NOW)


def of_another_brand(ca: Authority, key: Any) -> None:
    name = cardholder_name("XX", "Marquee", "Issuing Bank", bytes(20))
    ca.issue(K.CARDHOLDER_SIGNATURE, name, key, not_before=NOW)


def with_a_telling_name(ca: Authority, key: Any) -> None:
    ca.issue(K.CARDHOLDER_SIGNATURE, merchant_name("XX", BRAND, "Bank", "Jane Doe"), key, not_before=NOW)


@pytest.mark.prop("PX-12", "CR-18")
@every_suite
@pytest.mark.parametrize(
    ("act", "by", "blames", "rule", "source"),
    [
        (twice, K.CARDHOLDER_CA, "the CA", "certified before", "set-protocol.md CR-18"),
        (as_merchant, K.CARDHOLDER_CA, "the CA", "may not issue merchant signature", RULE + "6"),
        (as_merchant, K.MERCHANT_CA, "the subject", "2.23.42.7.2 missing", BOOK),
        (of_another_brand, K.CARDHOLDER_CA, "the CA", "of another brand", RULE + "7"),
        (with_a_telling_name, K.CARDHOLDER_CA, "the subject", "unique cardholder id", RFC + "4"),
    ],
    ids=["one key twice", "role of another CA", "merchant without merchantData", "brand", "cardholder named"],
)
def test_what_a_ca_does_not_certify(
    suite: str, act: Callable[[Authority, Any], None], by: CertificateKind, blames: str, rule: str, source: str
) -> None:
    certified = chains.authority(suite, True, by)
    ca = Authority(certified.certificate, key_of(certified), superior_chain=())  # has certified nothing yet
    with pytest.raises(CertificateError, match=rule) as refusal:
        act(ca, chains.leaf_key(suite, "stranger").public_key())
    assert (refusal.value.code, refusal.value.source) == (INVALID, source)
    own = ca.certificate.subject.rfc4514_string()
    assert refusal.value.subject.startswith(own if blames == "the CA" else "CN=")
