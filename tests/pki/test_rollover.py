"""The change of the root: a new one is trusted if and only if the current one has committed to its key (PX-19)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from pki import (
    BrandTree,
    CertificateError,
    CertificateKind,
    Credential,
    PathValidator,
    ValidatedCertificate,
    build_brand_tree,
    check_bci,
    check_crl,
    create_root,
)
from pki.extensions import HashedRootKey, to_extension
from pki.hierarchy import CRL_LIFE
from pki.names import ca_name, root_name
from tests.pki.conftest import NOW
from tests.pki.forging import Draft, serial_of

K = CertificateKind
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def trusting(*roots: bytes, like: BrandTree) -> PathValidator:
    """A validator that starts with the first root and is shown the others, and knows all CAs of ``like``."""
    validator = PathValidator([like.root_certificate], suite=like.suite.name)
    for root in roots:
        validator.add_root(root)
    validator.add_intermediates(like.ca_certificates)
    return validator


def publish(tree: BrandTree, validator: PathValidator, at: datetime) -> None:
    crls = tree.crls(at)
    bci = tree.bci(crls, at)
    for crl in crls:
        validator.add_crl(crl)
    validator.add_bci(bci)


def validate(validator: PathValidator, credential: Credential, at: datetime, *extra: bytes) -> ValidatedCertificate:
    return validator.validate(
        credential.signature_certificate, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at, extra=extra
    )


def refuse(validator: PathValidator, root: bytes, rule: str) -> None:
    before = validator.roots
    with pytest.raises(CertificateError, match=rule) as refusal:
        validator.add_root(root)
    assert refusal.value.code == "invalidCertificate"
    assert validator.roots == before


@pytest.mark.prop("PX-19")
def test_the_successor_is_trusted_beside_its_predecessor(suite_tree: BrandTree, at: datetime) -> None:
    after = suite_tree.roll_over(at)
    validator = trusting(like=suite_tree)
    assert validator.roots == (suite_tree.root_der,)
    assert validator.add_root(after.root_der)
    assert not validator.add_root(after.root_der)
    assert not validator.add_root(suite_tree.root_der)
    assert validator.roots == (suite_tree.root_der, after.root_der)


# --- if and only if ---


MADE = build_brand_tree("p256", now=NOW)


@pytest.mark.prop("PX-19")
@settings(deadline=None)
@given(
    name=st.sampled_from([root_name("XX", "SET Root"), root_name("XX", "Other Root")]),
    committed=st.booleans(),
    days=st.integers(0, 4000),
    octets=st.binary(min_size=20, max_size=20),
)
def test_the_key_decides_and_nothing_else(name: x509.Name, committed: bool, days: int, octets: bytes) -> None:
    """A root with any name, start, serial number and successor of its own."""
    tree = MADE
    root = create_root(
        tree.suite,
        name,
        tree.next_root_key if committed else tree.suite.generate_signature_key(),
        tree.suite.generate_signature_key().public_key(),
        not_before=NOW + days * DAY,
        random_bytes=lambda _: octets,
    )
    validator = trusting(like=tree)
    der = root.certificate.public_bytes(Encoding.DER)
    if committed:
        assert validator.add_root(der)
    else:
        refuse(validator, der, "no trusted root has committed")


@pytest.mark.prop("PX-19")
def test_a_commitment_to_itself_is_none(tree: BrandTree, at: datetime) -> None:
    """What a root says of its own successor is heard once it is trusted, not before."""
    stranger = build_brand_tree("p256", now=tree.now)
    refuse(trusting(like=tree), stranger.roll_over(at).root_der, "no trusted root has committed")
    refuse(trusting(like=tree), stranger.root_der, "no trusted root has committed")


@pytest.mark.prop("PX-19")
def test_the_committed_key_alone_does_not_make_a_root(tree: BrandTree, at: datetime) -> None:
    """Once the new root is published, everybody knows its key and can put it into a certificate of his own."""
    after = tree.roll_over(at)
    validator = trusting(like=tree)
    draft = Draft.of(after.root_certificate)
    draft.serial = 5
    mine = tree.suite.generate_signature_key()
    unsigned = draft.signed_with(tree.suite, mine)
    refuse(validator, unsigned, "has not signed itself")
    # Signed by the old root it is no root's signature either.
    refuse(validator, draft.signed(tree.root), "has not signed itself")
    assert validator.add_root(draft.signed(after.root))


@pytest.mark.prop("PX-19")
def test_a_commitment_is_fulfilled_once(tree: BrandTree, at: datetime) -> None:
    """The thief of the present root's key makes a twin of it that commits to a successor of his own."""
    second = tree.roll_over(at)
    validator = trusting(second.root_der, like=tree)
    thief = tree.suite.generate_signature_key()
    twin = create_root(
        tree.suite, second.root_certificate.subject, tree.next_root_key, thief.public_key(), not_before=at
    ).certificate.public_bytes(Encoding.DER)
    refuse(validator, twin, "another root with this key")
    heir = create_root(
        tree.suite,
        second.root_certificate.subject,
        thief,
        tree.suite.generate_signature_key().public_key(),
        not_before=at,
    ).certificate.public_bytes(Encoding.DER)
    refuse(validator, heir, "no trusted root has committed")
    holder = tree.issue_cardholder(bytes(20))
    publish(tree, validator, at)
    validate(validator, holder, at, twin, heir)
    assert validator.roots == (tree.root_der, second.root_der)
    assert validator.add_root(second.roll_over(at).root_der)


@pytest.mark.prop("PX-19")
def test_only_a_root_of_the_suite_is_a_successor(
    tree: BrandTree, at: datetime, suite_trees: Callable[[str], BrandTree]
) -> None:
    validator = trusting(like=tree)
    refuse(validator, tree.brand_ca.chain[0], "not a root")
    refuse(validator, suite_trees("ed25519").root_der, "not of suite p256")
    refuse(validator, b"", "not the DER")
    # A brand CA that holds the committed key is none: the commitment is to a root.
    brand_ca = tree.root.issue_authority(
        K.BRAND_CA, tree.brand_ca.certificate.subject, tree.next_root_key, not_before=tree.now
    )
    refuse(validator, brand_ca.chain[0], "not a root")
    # Nor is a root that says too little: the profile holds for it as for the first.
    draft = Draft.of(tree.roll_over(at).root_certificate)
    bare = draft.drop(to_extension(HashedRootKey(bytes(32))).oid).signed_with(tree.suite, tree.next_root_key)
    refuse(validator, bare, "missing")


@pytest.mark.prop("PX-19")
def test_three_generations_and_none_may_be_skipped(tree: BrandTree, at: datetime) -> None:
    second = tree.roll_over(at)
    third = second.roll_over(at + DAY)
    validator = trusting(like=tree)
    refuse(validator, third.root_der, "no trusted root has committed")
    assert validator.add_root(second.root_der)
    assert validator.add_root(third.root_der)
    assert validator.roots == (tree.root_der, second.root_der, third.root_der)
    # Nor back: whoever starts with the second does not trust the first.
    refuse(trusting(like=second), tree.root_der, "no trusted root has committed")


# --- in messages ---


@pytest.mark.prop("PX-19")
def test_it_comes_with_a_message(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    """Two generations at once, in the wrong order, among the certificates; strangers' roots are ignored."""
    second = tree.roll_over(at)
    third = second.roll_over(at)
    stranger = build_brand_tree("p256", now=tree.now)
    validator = trusting(like=tree)
    publish(tree, validator, tree.now)
    validate(validator, cardholder, at, stranger.root_der, third.root_der)
    assert validator.roots == (tree.root_der,)
    fresh = tree.issue_cardholder(bytes(20))  # not in the cache
    validate(validator, fresh, at, third.root_der, stranger.root_der, second.root_der)
    assert set(validator.roots) == {tree.root_der, second.root_der, third.root_der}


@pytest.mark.prop("PX-19")
def test_it_comes_with_revocation_data(tree: BrandTree, at: datetime) -> None:
    after = tree.roll_over(at)
    crls = after.crls(at)
    validator = PathValidator([tree.root_certificate], suite="p256")
    with pytest.raises(CertificateError, match="no certificate of the issuer"):
        validator.add_crl(crls[0])
    validator.add_crl(crls[0], [after.root_der])
    assert after.root_der in validator.roots
    other = PathValidator([tree.root_certificate], suite="p256")
    other.add_bci(after.bci(crls, at), [after.root_der, after.brand_ca.chain[0]])
    assert after.root_der in other.roots


# --- both in use ---


@pytest.mark.prop("PX-19")
def test_old_and_new_certificates_under_old_and_new_roots(tree: BrandTree, now: datetime) -> None:
    """Before, during and after the change: whoever has seen the new root, and whoever has only that."""
    before = tree.issue_cardholder(bytes(20))
    veteran = tree.validator(now)
    validate(veteran, before, now + DAY)

    at = now + 10 * DAY
    after = tree.roll_over(at)
    later = after.issue_cardholder(bytes(range(20)))
    assert later.chain[-1] == after.brand_ca.chain[0] != tree.brand_ca.chain[0]
    # Who has not seen the new root still understands the old chains, and new ones with the old brand CA's certificate.
    for credential in (before, later):
        assert validate(veteran, credential, at).chain[-1] == tree.brand_ca.chain[0]

    assert veteran.add_root(after.root_der)
    veteran.add_intermediates(after.ca_certificates)
    publish(after, veteran, at)
    novice = after.validator(at)
    for validator in (veteran, novice):
        for credential in (before, later):
            validate(validator, credential, at + DAY)


@pytest.mark.prop("PX-19")
def test_when_the_old_root_has_ended_only_the_new_one_holds(
    tree: BrandTree, cardholder: Credential, now: datetime
) -> None:
    draft = Draft.of(tree.root_certificate)
    draft.not_after = end = now + 20 * DAY
    short = x509.load_der_x509_certificate(draft.signed(tree.root))
    at = now + 10 * DAY
    after = tree.roll_over(at)
    crls = after.crls(at)
    bci = after.bci(crls, at)
    validator = PathValidator([short], suite="p256")
    validator.add_intermediates(tree.ca_certificates)
    for crl in crls[1:]:
        validator.add_crl(crl)
    validator.add_bci(bci)
    assert validate(validator, cardholder, end).chain[-1] == tree.brand_ca.chain[0]
    with pytest.raises(CertificateError, match="expired"):
        validate(validator, cardholder, end + SECOND)
    # It was switched off meanwhile: the commitment still holds, and is the only way to the new root.
    assert validator.add_root(after.root_der)
    validator.add_crl(crls[0])
    validator.add_certificate(after.brand_ca.chain[0])
    assert validate(validator, cardholder, end + SECOND).chain[-1] == after.brand_ca.chain[0]


@pytest.mark.prop("PX-15", "PX-19")
def test_the_list_of_crls_names_both_roots(tree: BrandTree, cardholder: Credential, now: datetime) -> None:
    """A chain to the old root needs the old root's CRL to be listed, and held, as before."""
    at = now + 10 * DAY
    after = tree.roll_over(at)
    for missing, other in ((0, tree.brand_ca), (-1, after.brand_ca)):
        crls = after.crls(at)
        del crls[missing]
        validator = trusting(after.root_der, like=tree)
        validator.add_intermediates(after.ca_certificates)
        for crl in crls:
            validator.add_crl(crl)
        validator.add_bci(after.bci(crls, at))
        assert validate(validator, cardholder, at).chain[-1] == other.chain[0]


def test_the_trees_share_what_they_must_not_forget(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    numbers = [check_crl(crl).number for crl in tree.crls(tree.now)]
    after = tree.roll_over(at)
    assert [check_crl(crl).number for crl in after.crls(at)] == [1, *(number + 1 for number in numbers[1:]), 2]
    assert check_bci(tree.bci(tree.crls(at), at)).number < check_bci(after.bci(after.crls(at), at)).number
    tree.cca.revoke(serial_of(cardholder.signature_certificate), at)
    with pytest.raises(CertificateError, match="revoked"):
        validate(after.validator(at), cardholder, at)
    # The old root publishes as long as its certificate lasts.
    last = tree.root_certificate.not_valid_after_utc
    long = dataclasses.replace(after, brand_ca=after.root, cca=after.root, mca=after.root, pca=after.root)
    assert len(long.crls(last - CRL_LIFE)) == len(long.authorities) + 1
    assert len(long.crls(last - CRL_LIFE + SECOND)) == len(long.authorities)


def test_a_ca_is_renewed_under_its_own_name_and_key_only(tree: BrandTree, now: datetime) -> None:
    draft = Draft.of(tree.cca.certificate)
    draft.serial, draft.not_after = 7, draft.not_after - DAY
    renewed = tree.cca.with_certificate(
        x509.load_der_x509_certificate(draft.signed(tree.brand_ca)), tree.brand_ca.chain
    )
    assert renewed.register is tree.cca.register
    assert renewed.chain[1:] == tree.cca.chain[1:]
    assert renewed.chain[0] != tree.cca.chain[0]
    draft.subject = ca_name("XX", "Marque", "Other CA")
    with pytest.raises(CertificateError, match="of another CA"):
        tree.cca.with_certificate(x509.load_der_x509_certificate(draft.signed(tree.brand_ca)), tree.brand_ca.chain)
    with pytest.raises(CertificateError, match="do not match"):
        tree.cca.with_certificate(tree.mca.certificate, tree.brand_ca.chain)


@pytest.mark.prop("PX-19")
def test_the_cas_speak_under_the_new_root(at: datetime) -> None:
    after = build_brand_tree("p256", now=NOW, geo=True).roll_over(at)
    assert after.geo is not None
    for ca, kind in (
        (after.brand_ca, K.BRAND_CA_SIGNATURE),
        (after.geo, K.GEO_CA_SIGNATURE),
        (after.pca, K.GATEWAY_CA_SIGNATURE),
    ):
        spoken = after.issue_ca_messages(ca).signature_certificate
        assert after.validator(at).validate(spoken, kind=kind, brand="Marque", at=at).not_before == at


def test_a_root_signs_no_messages(tree: BrandTree) -> None:
    with pytest.raises(ValueError, match="offline"):
        tree.issue_ca_messages(tree.root)
