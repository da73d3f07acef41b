"""The dual signature: one signature, several readers."""

from __future__ import annotations

import dataclasses
import doctest
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from pki.der import tlv
from setproto.crypto import dual
from setproto.crypto.cms import Signer, verify
from setproto.crypto.dual import MIN_SALT, DualSignature, Form, Part, VerifiedView, View
from setproto.crypto.suites import deterministic, suite
from setproto.errors import SignatureFailure
from tests.crypto import material
from tests.crypto.material import Party, party, trust_anything

PURCHASE, OI, PI, DELIVERY, OTHER = (x509.ObjectIdentifier(f"2.25.2000.{n}") for n in range(1, 6))
FORM = Form(PURCHASE, (OI, PI))
SALT_OI, SALT_PI, SALT_DELIVERY = (bytes([n]) * 32 for n in range(3))
ORDER = Part(OI, b"one apple, EUR 1", SALT_OI)
PAYMENT = Part(PI, b"PAN 4000000000000002", SALT_PI)


def signed(who: Party) -> DualSignature:
    return FORM.sign(who.signer, [ORDER, PAYMENT])


def check(view: View, who: Party, *, form: Form = FORM, suite: str | None = None) -> VerifiedView:
    return form.verify(view, suite=suite or who.suite, certify=who.certify)


# --- what verifies --------------------------------------------------------------------------------


def test_each_reader_verifies_its_part_alone(who: Party) -> None:
    both = signed(who)
    for part in (ORDER, PAYMENT):
        verified = check(both.view(part.type), who)
        assert verified[part.type] == part.content
        assert (verified.contents, verified.signer) == ({part.type: part.content}, who.trusted)


def test_both_readers_find_out_that_their_parts_belong_together(who: Party) -> None:
    both = signed(who)
    merchant, gateway = check(both.view(OI), who), check(both.view(PI), who)
    assert merchant.digests == gateway.digests == both.digests
    assert set(merchant.digests) == {OI, PI}
    again = FORM.sign(who.signer, [ORDER, Part(PI, b"PAN 4000000000000002", bytes([9]) * 32)])
    assert check(again.view(OI), who).digests != gateway.digests


def test_a_view_holds_nothing_of_the_other_part_but_its_digest(who: Party) -> None:
    view = signed(who).view(OI)
    assert view.parts == (ORDER,)
    assert set(view.hidden) == {PI}
    everything = view.signature + b"".join(view.hidden.values())
    assert PAYMENT.content not in everything
    assert ORDER.content not in view.signature
    assert SALT_PI not in everything
    assert [len(value) for value in view.hidden.values()] == [32]


def test_a_digest_is_bound_to_form_type_suite_salt_and_content() -> None:
    """Written out: SHA-256 over a SEQUENCE of label, form, type, suite, salt and content."""
    framed = tlv(
        0x30,
        tlv(0x0C, b"setproto/2 dual part"),
        *(tlv(0x04, part) for part in (material.oid(PURCHASE), material.oid(OI), b"p256", ORDER.salt, ORDER.content)),
    )
    assert FORM.digest(ORDER, "p256") == hashlib.sha256(framed).digest()
    others = [
        Form(OTHER, (OI, PI)).digest(ORDER, "p256"),
        FORM.digest(Part(PI, ORDER.content, ORDER.salt), "p256"),
        FORM.digest(ORDER, "rsa3072"),
        FORM.digest(Part(OI, ORDER.content, SALT_PI), "p256"),
        FORM.digest(Part(OI, ORDER.content + b"0", ORDER.salt), "p256"),
        FORM.digest(Part(OI, ORDER.content[1:], ORDER.salt + ORDER.content[:1]), "p256"),
    ]
    assert len({FORM.digest(ORDER, "p256"), *others}) == 7


def test_what_is_signed_is_the_suite_and_the_digests_in_the_order_of_the_form(alice: Party) -> None:
    both = signed(alice)
    parts = [tlv(0x30, material.oid(oid), tlv(0x04, both.digests[oid])) for oid in (OI, PI)]
    to_be_signed = tlv(0x30, b"\x02\x01\x01", tlv(0x0C, b"p256"), tlv(0x30, *parts))
    assert FORM.to_be_signed(both.digests, "p256") == to_be_signed
    assert verify(both.signature, content_type=PURCHASE, certify=alice.certify, content=to_be_signed)
    reverse = FORM.sign(alice.signer, [PAYMENT, ORDER])
    assert reverse.digests == both.digests


@pytest.mark.prop("PX-3")
def test_a_hidden_part_cannot_be_guessed_even_if_signing_is_deterministic(alice: Party) -> None:
    """A dictionary needs the salt: the same parts under another salt have unrelated digests and signatures."""
    signer = Signer(alice.signing_key, alice.certificate, deterministic(suite("p256")))
    one = FORM.sign(signer, [ORDER, PAYMENT])
    two = FORM.sign(signer, [ORDER, dataclasses.replace(PAYMENT, salt=SALT_DELIVERY)])
    assert one == FORM.sign(signer, [ORDER, PAYMENT])
    assert one.digests[OI] == two.digests[OI]
    assert one.digests[PI] != two.digests[PI]
    assert MIN_SALT * 8 >= 128


@pytest.mark.prop("PX-3")
@pytest.mark.parametrize("size", [0, 1, 15])
def test_a_short_salt_is_refused(size: int) -> None:
    with pytest.raises(SignatureFailure, match="at least 16 octets"):
        Part(PI, b"PAN", bytes(size))
    Part(PI, b"PAN", bytes(16))


def test_certificates_go_with_the_signature(alice: Party, mallory: Party) -> None:
    both = FORM.sign(alice.signer, [ORDER, PAYMENT], certificates=[mallory.certificate])
    seen = []

    def certify(certificate: bytes, others: Any) -> Any:
        seen.extend(others)
        return alice.certify(certificate, others)

    FORM.verify(both.view(OI), suite="p256", certify=certify)
    assert set(seen) == {alice.certificate, mallory.certificate}


def test_three_parts_have_three_readers(who: Party) -> None:
    form = Form(OTHER, (OI, PI, DELIVERY))
    delivery = Part(DELIVERY, b"1 Street", SALT_DELIVERY)
    whole = form.sign(who.signer, [delivery, ORDER, PAYMENT])
    verified = [check(whole.view(oid), who, form=form) for oid in form.part_types]
    assert [view.contents for view in verified] == [{part.type: part.content} for part in (ORDER, PAYMENT, delivery)]
    assert verified[0].digests == verified[1].digests == verified[2].digests
    assert set(whole.view(PI).hidden) == {OI, DELIVERY}
    one_missing = dataclasses.replace(whole.view(PI), hidden={OI: whole.digests[OI]})
    swapped = dataclasses.replace(whole.view(PI), hidden={OI: whole.digests[DELIVERY], DELIVERY: whole.digests[OI]})
    for view in (one_missing, swapped):
        with pytest.raises(SignatureFailure):
            check(view, who, form=form)
    with pytest.raises(SignatureFailure):
        check(whole.view(PI), who, form=FORM)
    with pytest.raises(SignatureFailure):  # the same parts in another order are another form
        check(whole.view(PI), who, form=Form(OTHER, (PI, OI, DELIVERY)))


def test_a_reader_may_see_several_parts(who: Party) -> None:
    form = Form(OTHER, (OI, PI, DELIVERY))
    delivery = Part(DELIVERY, b"1 Street", SALT_DELIVERY)
    whole = form.sign(who.signer, [ORDER, PAYMENT, delivery])
    carrier = whole.view(DELIVERY, OI)
    assert set(carrier.hidden) == {PI}
    verified = check(carrier, who, form=form)
    assert verified.contents == {DELIVERY: delivery.content, OI: ORDER.content}
    assert verified.digests == whole.digests
    with pytest.raises(KeyError):
        verified[PI]
    everything = check(whole.view(*form.part_types), who, form=form)
    assert set(everything.contents) == set(form.part_types)
    for wrong in (
        dataclasses.replace(carrier, parts=carrier.parts[:1]),
        dataclasses.replace(carrier, parts=(carrier.parts[0], dataclasses.replace(ORDER, content=b"two apples"))),
        dataclasses.replace(carrier, parts=(*carrier.parts, PAYMENT)),
        dataclasses.replace(carrier, parts=(), hidden=whole.digests),
    ):
        with pytest.raises(SignatureFailure):
            check(wrong, who, form=form)


def test_the_example_in_the_documentation_runs() -> None:
    result = doctest.testmod(dual)
    assert result.failed == 0
    assert result.attempted >= 10


# --- what does not --------------------------------------------------------------------------------


def with_part(view: View, **change: Any) -> View:
    (part,) = view.parts
    return dataclasses.replace(view, parts=(dataclasses.replace(part, **change),))


CHANGES: dict[str, Callable[[DualSignature, DualSignature], View]] = {
    "content changed": lambda both, _: with_part(both.view(OI), content=b"two apples, EUR 1"),
    "content of the other part": lambda both, _: with_part(both.view(OI), content=PAYMENT.content, salt=PAYMENT.salt),
    "salt changed": lambda both, _: with_part(both.view(OI), salt=SALT_DELIVERY),
    "salt moved into content": lambda both, _: with_part(
        both.view(OI), salt=ORDER.salt[:-1], content=ORDER.salt[-1:] + ORDER.content
    ),
    "part under the type of the other": lambda both, _: View(
        (dataclasses.replace(ORDER, type=PI),), {OI: both.digests[PI]}, both.signature
    ),
    "parts swapped": lambda both, _: View(
        (dataclasses.replace(ORDER, type=PI),), {OI: both.digests[OI]}, both.signature
    ),
    "part of a type outside the form": lambda both, _: with_part(both.view(OI), type=OTHER),
    "hidden digest replaced": lambda both, other: dataclasses.replace(both.view(OI), hidden={PI: other.digests[PI]}),
    "hidden digest cut": lambda both, _: dataclasses.replace(both.view(OI), hidden={PI: both.digests[PI][:-1]}),
    "hidden digest empty": lambda both, _: dataclasses.replace(both.view(OI), hidden={PI: b""}),
    "hidden digest is that of the visible part": lambda both, _: dataclasses.replace(
        both.view(OI), hidden={PI: both.digests[OI]}
    ),
    "hidden digest missing": lambda both, _: dataclasses.replace(both.view(OI), hidden={}),
    "hidden digest under another type": lambda both, _: dataclasses.replace(
        both.view(OI), hidden={OTHER: both.digests[PI]}
    ),
    "one hidden digest too many": lambda both, _: dataclasses.replace(
        both.view(OI), hidden={PI: both.digests[PI], OTHER: bytes(32)}
    ),
    "visible part among the hidden": lambda both, _: dataclasses.replace(both.view(OI), hidden=both.digests),
    "no part": lambda both, _: View((), both.digests, both.signature),
    "part twice": lambda both, _: View((ORDER, ORDER), {PI: both.digests[PI]}, both.signature),
    "part twice for the hidden one": lambda both, _: View((ORDER, ORDER), {}, both.signature),
    "another part of its type in front": lambda both, _: View(
        (dataclasses.replace(ORDER, content=b"two apples"), ORDER), {}, both.signature
    ),
    "both parts, one hidden as well": lambda both, _: View((ORDER, PAYMENT), {PI: both.digests[PI]}, both.signature),
    "signature of another signing": lambda both, other: dataclasses.replace(both.view(OI), signature=other.signature),
    "view of another signature": lambda both, other: dataclasses.replace(other.view(OI), parts=both.view(OI).parts),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_view_is_refused(who: Party, change: str) -> None:
    other = FORM.sign(
        who.signer, [Part(OI, b"another order", SALT_DELIVERY), Part(PI, b"another payment", SALT_DELIVERY)]
    )
    with pytest.raises(SignatureFailure):
        check(CHANGES[change](signed(who), other), who)


def test_a_salt_too_short_is_refused_in_a_view_as_well(alice: Party) -> None:
    view = signed(alice).view(OI)
    with pytest.raises(SignatureFailure, match="at least 16 octets"):
        with_part(view, salt=bytes(15))


@pytest.mark.prop("PX-6")
def test_a_part_of_another_form_is_refused(who: Party) -> None:
    for form in (Form(OTHER, (OI, PI)), Form(PURCHASE, (PI, OI)), Form(PURCHASE, (OI, PI, DELIVERY))):
        with pytest.raises(SignatureFailure):
            check(signed(who).view(OI), who, form=form)


@pytest.mark.prop("PX-6")
def test_an_ordinary_signature_is_no_dual_signature(alice: Party) -> None:
    both = signed(alice)
    to_be_signed = FORM.to_be_signed(both.digests, "p256")
    enclosed = alice.signer.sign(to_be_signed, PURCHASE)
    retyped = alice.signer.sign(to_be_signed, OTHER, detached=True)
    for signature in (enclosed, retyped):
        with pytest.raises(SignatureFailure):
            check(dataclasses.replace(both.view(OI), signature=signature), alice)


@pytest.mark.parametrize("other", material.SUITES)
def test_the_suite_is_the_verifiers_own(who: Party, other: str) -> None:
    if other != who.suite:
        with pytest.raises(SignatureFailure):
            check(signed(who).view(OI), who, suite=other)


def test_a_signer_of_another_suite_is_refused_though_it_signs_what_is_asked(who: Party) -> None:
    """The digests and what is signed name the verifier's suite; the signature itself is of another."""
    other = party("ed25519" if who.suite != "ed25519" else "p256")
    digests = {part.type: FORM.digest(part, who.suite) for part in (ORDER, PAYMENT)}
    signature = other.signer.sign(FORM.to_be_signed(digests, who.suite), PURCHASE, detached=True)
    with pytest.raises(SignatureFailure, match="another suite"):
        check(View((ORDER,), {PI: digests[PI]}, signature), other, suite=who.suite)


def test_another_signer_is_refused_by_the_trust_decision(alice: Party, mallory: Party) -> None:
    both = signed(mallory)
    assert FORM.verify(both.view(OI), suite="p256", certify=trust_anything("p256")).signer.der == mallory.certificate
    with pytest.raises(Exception, match="not the certificate of this party"):
        check(both.view(OI), alice)


# --- the signer's side ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [ORDER],
        [ORDER, ORDER],
        [ORDER, PAYMENT, ORDER],
        [ORDER, Part(OTHER, b"x", SALT_PI)],
        [ORDER, PAYMENT, Part(OTHER, b"x", SALT_PI)],
    ],
    ids=["none", "one", "one twice", "one of two twice", "unknown", "one too many"],
)
def test_exactly_one_part_of_each_type_is_signed(alice: Party, parts: list[Part]) -> None:
    with pytest.raises(ValueError, match="part"):
        FORM.sign(alice.signer, parts)


@pytest.mark.parametrize("types", [(), (OI,), (OI, OI), (OI, PI, OI)])
def test_a_form_has_two_or_more_different_parts(types: tuple[x509.ObjectIdentifier, ...]) -> None:
    with pytest.raises(ValueError, match="two or more"):
        Form(PURCHASE, types)


def test_repr_shows_no_content_and_no_salt(alice: Party) -> None:
    both = signed(alice)
    for value in (PAYMENT, both, both.view(PI), check(both.view(PI), alice)):
        assert "4000000000000002" not in repr(value)
        assert repr(SALT_PI)[2:-1] not in repr(value)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_hidden_digest_of_another_length_is_refused(who: Party, size: int) -> None:
    """Its length is written before it is known: another would move what comes after it."""
    view = signed(who).view(OI)
    with pytest.raises(SignatureFailure, match="a digest of 32 octets"):
        check(dataclasses.replace(view, hidden={PI: (view.hidden[PI] + b"!")[:size]}), who)
