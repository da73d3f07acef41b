"""PANSecret is made of what both sides give, and neither can choose it (set-protocol.md §3.8, W-5; PX-14, CR-20)."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from pki.der import DecodingFailure, decode, encode
from setproto.card import CardSecret, PANSecret
from setproto.crypto.digests import derive_key, mac
from setproto.market import BRAND
from setproto.messages.codes import CertStatusCode
from setproto.messages.common import Role
from setproto.messages.registration import CertStatus, PANData0, RegFormReqData
from setproto.roles import authority
from setproto.roles.applicant import Applicant
from setproto.roles.authority.issuing import nonce_cca
from setproto.roles.authority.ports import CardApplication
from tests.registration.hands import draft, kept
from tests.registration.office import ANSWERS, CARD, Office
from tests.secrecy.spy import leaves

COUNT = 2000
FIXED = bytes(range(32))


def combined(card_secret: bytes, nonce: bytes) -> bytes:
    return PANSecret.derive(CardSecret(card_secret), nonce, BRAND).reveal()


def counted(start: int = 0) -> Iterator[bytes]:
    """Values as far from random as can be."""
    return (number.to_bytes(32, "big") for number in range(start, start + COUNT))


SIDES: dict[str, Callable[[bytes], bytes]] = {
    "the CA's value": lambda value: combined(FIXED, value),
    "the cardholder's value": lambda value: combined(value, FIXED),
}


def assert_looks_random(values: list[bytes]) -> None:
    """All distinct; every bit is set in half of them, and differs in half of the neighbours, within 6 deviations."""
    assert len(set(values)) == len(values)
    bound = 6 * (len(values) / 4) ** 0.5
    numbers = [int.from_bytes(value, "big") for value in values]
    steps = [one ^ other for one, other in pairwise(numbers)]
    for bit in range(256):
        for drawn in (numbers, steps):
            ones = sum(number >> bit & 1 for number in drawn)
            assert abs(ones - len(drawn) / 2) < bound, f"bit {bit}: {ones} of {len(drawn)}"
    octets = b"".join(values)
    for octet in range(256):
        assert abs(octets.count(octet) - len(octets) / 256) < 6 * (len(octets) / 256) ** 0.5


@pytest.mark.prop("PX-14")
@pytest.mark.parametrize("side", SIDES)
def test_with_one_side_fixed_the_result_looks_random_in_the_other(side: str) -> None:
    assert_looks_random([SIDES[side](value) for value in counted()])


@pytest.mark.parametrize(
    "broken",
    [
        lambda value: value,
        lambda value: bytes(one ^ other for one, other in zip(value, FIXED, strict=True)),
        lambda value: SIDES["the CA's value"](value)[:31] + b"\0",
        lambda value: SIDES["the CA's value"](bytes(32)),
    ],
    ids=["the value itself", "SET's exclusive or", "a constant octet", "ignores the value"],
)
def test_the_test_can_tell_what_does_not(broken: Callable[[bytes], bytes]) -> None:
    with pytest.raises(AssertionError):
        assert_looks_random([broken(value) for value in counted()])


@pytest.mark.prop("PX-14")
@pytest.mark.parametrize("side", SIDES)
def test_every_bit_of_a_value_changes_half_of_the_result(side: str) -> None:
    base = int.from_bytes(SIDES[side](FIXED), "big")
    for bit in range(256):
        changed = (int.from_bytes(FIXED, "big") ^ 1 << bit).to_bytes(32, "big")
        distance = (base ^ int.from_bytes(SIDES[side](changed), "big")).bit_count()
        assert 80 < distance < 176, f"bit {bit}"


@pytest.mark.prop("PX-14")
def test_a_ca_that_knows_card_secret_cannot_force_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """W-5: under SET's exclusive or this registration would end with the PANSecret that the CA wants."""
    office, wanted, given = Office.open(), bytes(32), []

    class Dishonest(authority.CertificateAuthority):
        def _application(self, record, body, account):  # type: ignore[no-untyped-def]
            secret = decode(PANData0, account).card_secret
            monkeypatch.setattr(authority, "nonce_cca", lambda key, lid: xor(secret, wanted))
            given.append(xor(secret, wanted))
            return super()._application(record, body, account)

    office.cas[Role.cardholder].__class__ = Dishonest
    certified = office.register(office.applicant()).certified()
    assert certified.pan_secret is not None
    assert certified.card_secret is not None
    assert xor(certified.card_secret.reveal(), given[0]) == wanted, "it would have had it"
    assert certified.pan_secret.reveal() != wanted


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


@pytest.mark.prop("PX-14")
def test_a_cardholder_speaks_first() -> None:
    """CardSecret is fixed in the request, before the CA's value can be known; another one comes with another value only
    if the form is corrected, and nothing was issued then."""
    office = Office.open()
    applicant = office.ready()
    applicant.apply(ANSWERS)
    first = applicant._records.opened(applicant.enrolment()).card_secret
    office.deliver(applicant, applicant.apply(ANSWERS))
    (asked,) = office.bank.asked
    assert isinstance(asked, CardApplication)
    assert asked.card_secret.reveal() == first


@pytest.mark.prop("PX-14")
def test_the_brand_and_the_order_matter() -> None:
    one, other = os.urandom(32), os.urandom(32)
    assert combined(one, other) != combined(other, one)
    assert combined(one, other) != PANSecret.derive(CardSecret(one), other, "Other").reveal()
    for short in (b"", bytes(20), bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 octets"):
            PANSecret.derive(CardSecret(one), short, BRAND)
        with pytest.raises(ValueError, match="32 octets"):
            CardSecret(short)


# --- Nonce-CCA ------------------------------------------------------------------------------------


@pytest.mark.prop("PX-14", "CR-13")
def test_nonce_cca_never_repeats_and_cannot_be_guessed_without_the_cas_key() -> None:
    key = os.urandom(32)
    assert_looks_random([nonce_cca(key, number.to_bytes(20, "big")) for number in range(COUNT)])
    assert_looks_random([nonce_cca(number.to_bytes(32, "big"), bytes(20)) for number in range(COUNT)])


@pytest.mark.prop("PX-14", "CR-13")
def test_every_registration_has_a_nonce_cca_of_its_own() -> None:
    """Of the same card, by the same applicant, from the same CA, before and after it was switched off."""
    office, nonces = Office.open(), set()
    for _ in range(6):
        applicant = office.register(office.applicant())
        nonces.add(nonce_cca(office.cas[Role.cardholder]._secret_key, applicant.form().lid_ca))
        office.restart(Role.cardholder)
    assert len(nonces) == 6


# --- types ----------------------------------------------------------------------------------------


@pytest.mark.prop("CR-20")
def test_public_nonces_and_secret_ones_have_different_lengths() -> None:
    """Where one is expected the other does not even decode: challenges, RRPIDs and labels have 20 octets at most."""
    office = Office.open()
    applicant = office.ready()
    made = draft(office, applicant)
    account = decode(PANData0, made.account or b"")
    request = RegFormReqData(
        head=made.request.head,
        rrpid=bytes(20),
        lid_ee=applicant._lid_ee,
        chall_ee2=bytes(20),
        request_type=made.request.request_type,
        language="en",
        account_digest=bytes(32),
    )
    assert decode(RegFormReqData, encode(request)) == request
    for field in ("rrpid", "chall_ee2", "lid_ee"):
        with pytest.raises((DecodingFailure, ValueError)):
            decode(RegFormReqData, encode(replace(request, **{field: account.card_secret})))
    for field in ("rrpid", "chall_ee3", "lid_ee", "lid_ca", "chall_ca"):
        with pytest.raises((DecodingFailure, ValueError)):
            decode(type(made.request), encode(replace(made.request, **{field: account.card_secret})))
    with pytest.raises((DecodingFailure, ValueError)):
        decode(PANData0, encode(replace(account, card_secret=made.request.chall_ee3)))
    with pytest.raises(ValueError, match="32 octets"):
        CertStatus(cert_status_code=CertStatusCode.requestComplete, nonce_cca=made.request.chall_ee3)


@pytest.mark.prop("CR-20")
def test_no_public_value_of_a_registration_is_one_of_its_secrets() -> None:
    office = Office.open()
    applicant = office.register(office.applicant())
    public = {leaf for message in office.wire for leaf in leaves(message.data)}
    public |= {key for _, key in kept(applicant)}
    secrets = secrets_of(office, applicant)
    assert len(public) > 50
    assert len(set(secrets)) == 5
    assert not public & set(secrets)


def secrets_of(office: Office, applicant: Applicant) -> list[bytes]:
    own, lid_ca = applicant._records.opened(applicant.enrolment()), applicant.form().lid_ca
    nonce = nonce_cca(office.cas[Role.cardholder]._secret_key, lid_ca)
    account = mac("Account", office.cas[Role.cardholder]._secret_key, CARD.pan.reveal().encode())
    return [own.card_secret or b"", own.back_key or b"", own.pan_secret or b"", nonce, account]


@pytest.mark.prop("CR-20")
def test_what_one_key_makes_for_one_purpose_is_of_no_use_for_another() -> None:
    """The CA derives Nonce-CCA and the tags of accounts from one key: the label tells them apart."""
    lot = random.Random(1)
    for _ in range(50):
        key, text = lot.randbytes(32), lot.randbytes(20)
        made = [nonce_cca(key, text), mac("Account", key, text), derive_key("PANSecret", key, text)]
        assert len(set(made)) == 3
