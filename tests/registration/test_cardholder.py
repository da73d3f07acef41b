"""A cardholder gets a certificate, and pays with it (set-protocol.md §2.15 to 2.19, §6.11).

These tests read as the story of a registration; what goes wrong on purpose is in ``test_refusals``.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509

from pki import CertificateKind
from pki.suites import public_key_der
from setproto.amounts import CurrencyAmount
from setproto.bank import Account, MemoryIssuer
from setproto.card import PAN, Card, PANSecret, cardholder_name
from setproto.errors import UsageError
from setproto.market import Market
from setproto.messages.codes import CertStatusCode, CompletionCode, RequestType
from setproto.messages.common import Role
from setproto.roles.applicant import Applicant
from setproto.roles.authority.issuing import end_of, nonce_cca
from setproto.roles.authority.ports import CardApplication, Verdict
from setproto.roles.cardholder import Cardholder, PaymentCard
from setproto.roles.enrolment import State
from setproto.roles.ports import EventKind
from setproto.store import MemoryStore
from tests.registration.office import ANSWERS, CARD, NOW, OTHER_CARD, SUBJECTS, Office

SUITES = ("p256", "ed25519", "mldsa65", pytest.param("rsa3072", marks=pytest.mark.slow))
MESSAGES = ["CardCInitReq", "CardCInitRes", "RegFormReq", "RegFormRes", "CertReq", "CertRes"]


def codes(office: Office) -> list[object]:
    """What was said of certificates, by the CA and by the applicant who heard it."""
    return [event.code for event in office.events if event.kind is EventKind.CERTIFICATION]


def nonce_of(office: Office, applicant: Applicant) -> bytes:
    """Nonce-CCA of a registration, as the CA derives it."""
    return nonce_cca(office.cas[Role.cardholder]._secret_key, applicant.form().lid_ca)


@pytest.mark.prop("CR-1", "CR-17", "CR-14")
@pytest.mark.parametrize("suite", SUITES)
def test_a_registration(suite: str) -> None:
    """Three questions, three answers, a certificate whose name only holder and CA can relate to the card."""
    office = Office.open(suite)
    applicant = office.applicant()
    office.deliver(applicant, applicant.start())
    assert applicant.enrolment().state is State.FORM_RECEIVED
    form = applicant.form().form.reg_form_data
    assert form is not None
    assert (form.policy_text, form.reg_template.reg_form_id if form.reg_template else 0) == ("Be good.", 7)
    office.deliver(applicant, applicant.apply(ANSWERS))
    assert applicant.enrolment().state is State.COMPLETE
    assert [message.name for message in office.wire] == MESSAGES
    assert codes(office) == [CertStatusCode.requestComplete] * 2

    (asked,) = office.bank.asked
    assert isinstance(asked, CardApplication)
    assert (asked.card, dict(asked.answers)) == (CARD, ANSWERS)

    certified = applicant.certified()
    assert certified.card_secret == asked.card_secret
    assert certified.pan_secret == PANSecret.derive(asked.card_secret, nonce_of(office, applicant), CARD.brand)
    name = cardholder_name(CARD.pan, CARD.expiry, certified.pan_secret)
    assert certified.credentials.party.name == name
    _, (issued,) = office.certified()
    assert certified.credentials.signer.certificate == issued
    validated = office.tree.validator(NOW).validate(
        issued, kind=CertificateKind.CARDHOLDER_SIGNATURE, brand=CARD.brand, at=NOW
    )
    assert public_key_der(validated.public_key) == public_key_der(certified.credentials.signer.private_key.public_key())
    assert validated.not_after <= end_of(CARD.expiry)


@pytest.mark.prop("CR-1")
def test_a_registration_below_a_geo_political_ca() -> None:
    office = Office.open(geo=True)
    certified = office.register(office.applicant()).certified()
    assert len(certified.credentials.chain) == 3


@pytest.mark.prop("PX-9")
def test_everybody_may_be_switched_off_between_any_two_messages() -> None:
    office = Office.open()
    office.restarts = True
    applicant = office.applicant()
    office.deliver(applicant, applicant.start())
    applicant = office.again(applicant)
    office.deliver(applicant, applicant.apply(ANSWERS))
    assert office.again(applicant).certified().pan_secret is not None
    assert [message.name for message in office.wire] == MESSAGES


def test_the_card_can_pay() -> None:
    """Cardholder, merchant and gateway, all registered here, make a purchase (PU-1)."""
    office = Office.open()
    market = market_of(office)
    assert market.buy("EUR 42.00", b"one book").completion_code is CompletionCode.capturePerformed
    assert market.account.available == CurrencyAmount.of("EUR 958.00")


def market_of(office: Office) -> Market:
    """A market whose three parties have the certificates that they got over the wire."""
    holder, shop, acquirer = (office.register(office.applicant(role)).certified() for role in SUBJECTS)
    assert holder.card_secret is not None
    assert holder.pan_secret is not None
    market = Market.within(office.tree, office.clock)
    card = PaymentCard(CARD, holder.card_secret, holder.pan_secret)
    account = Account(CARD.pan, CARD.expiry, card.card_secret, CurrencyAmount.of("EUR 1000.00"))
    issuer = MemoryIssuer([account])
    gateway = type(market.gateway)(
        acquirer.credentials,
        issuer,
        office.tree.validator(NOW),
        MemoryStore(),
        token_key=bytes(32),
        acquirer_bin=market.gateway._acquirer_bin,
        clock=office.clock,
        random=market.random,
    )
    merchant = type(market.merchant)(
        shop.credentials,
        office.tree.validator(NOW),
        MemoryStore(),
        cert_pe=gateway.exchange_key().certificate,
        clock=office.clock,
        random=market.random,
        held=acquirer.credentials.chain,
    )
    cardholder = Cardholder(
        holder.credentials, card, office.tree.validator(NOW), MemoryStore(), clock=office.clock, random=market.random
    )
    return replace(
        market,
        card=card,
        account=account,
        issuer=issuer,
        cardholder=cardholder,
        merchant=merchant,
        gateway=gateway,
    )


# --- renewal --------------------------------------------------------------------------------------


def test_a_certificate_is_renewed_with_the_old_key_beside_the_new_one() -> None:
    office = Office.open()
    first = office.register(office.applicant()).certified()
    renewal = office.applicant(request_type=RequestType.cardRenewalSig, certified=first.credentials)
    second = office.register(renewal).certified()
    assert office.bank.asked[-1].request_type is RequestType.cardRenewalSig
    old, new = (each.credentials.signer for each in (first, second))
    assert public_key_der(old.private_key.public_key()) != public_key_der(new.private_key.public_key())
    assert first.card_secret != second.card_secret
    assert first.credentials.party.name != second.credentials.party.name, "nobody can see that it is one card"
    assert len(office.certified()[1]) == 2


@pytest.mark.parametrize("request_type", [RequestType.cardInitialEnc, RequestType.cardRenewalBoth])
def test_a_cardholder_gets_no_key_exchange_certificate(request_type: RequestType) -> None:
    office = Office.open()
    certified = office.register(office.applicant()).certified().credentials
    with pytest.raises(UsageError, match="not for a cardholder"):
        office.applicant(request_type=request_type, certified=certified)


def test_a_renewal_needs_a_certificate_and_nothing_else_does() -> None:
    office = Office.open()
    certified = office.register(office.applicant()).certified().credentials
    with pytest.raises(UsageError, match="do not go together"):
        office.applicant(request_type=RequestType.cardRenewalSig)
    with pytest.raises(UsageError, match="do not go together"):
        office.applicant(certified=certified)


# --- decisions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.PENDING, CertStatusCode.requestPended),
        (Verdict.IN_PROGRESS, CertStatusCode.requestInProgress),
    ],
)
def test_the_bank_takes_its_time(verdict: Verdict, code: CertStatusCode) -> None:
    office = Office.open()
    office.bank.verdicts = [verdict, verdict]
    applicant = office.register(office.applicant())
    assert (applicant.enrolment().state, applicant.enrolment().code) == (State.PENDING, code)
    assert office.certified() == (frozenset(), ())
    with pytest.raises(UsageError, match="not certified"):
        applicant.certified()
    office.deliver(applicant, applicant.inquire())
    assert applicant.enrolment().state is State.PENDING
    office.deliver(applicant, applicant.inquire())
    assert applicant.enrolment().state is State.COMPLETE
    assert codes(office) == [code] * 4 + [CertStatusCode.requestComplete] * 2
    assert len({asked.reference for asked in office.bank.asked}) == 1, "one application, asked about three times"
    assert len(office.certified()[1]) == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_the_bank_refuses(at_once: bool) -> None:
    office = Office.open()
    office.bank.verdicts = [Verdict.REFUSED] if at_once else [Verdict.PENDING, Verdict.REFUSED]
    applicant = office.register(office.applicant())
    if not at_once:
        office.deliver(applicant, applicant.inquire())
    assert applicant.enrolment().state is State.REFUSED
    assert applicant.enrolment().code == CertStatusCode.rejectedByIssuer
    assert office.events[-1].detail == "please be patient"
    assert office.certified() == (frozenset(), ())
    for impossible in (lambda: applicant.apply(ANSWERS), applicant.inquire, applicant.certified):
        with pytest.raises(UsageError):
            impossible()


def test_a_cardholder_may_be_sent_elsewhere() -> None:
    office = Office.open()
    foreign = Card(CARD.brand, PAN("9999991111111112"), CARD.expiry)
    applicant = office.ready(subject=foreign)
    assert applicant.enrolment().state is State.REFERRED
    referral = applicant.form().form.referral_data
    assert referral is not None
    assert (referral.reason, referral.referral_url_seq) == ("not our card", ["https://example.com/"])
    with pytest.raises(UsageError, match="nothing to apply for"):
        applicant.apply(ANSWERS)


def test_a_form_is_corrected() -> None:
    """Each wrong answer is named by the number of its field; the next CertReq has new keys and completes."""
    office = Office.open()
    applicant = office.register(office.applicant(), {"Name": " ", "Note": "longer than ten"})
    assert applicant.enrolment().state is State.FORM_RECEIVED
    assert office.events[-1].code is CertStatusCode.regFormAnswerMalformed
    assert office.events[-1].detail == (
        "field 1: an answer is required; field 2: an answer is required; field 3: at most 10 characters"
    )
    assert office.bank.asked == []
    office.deliver(applicant, applicant.apply(ANSWERS))
    assert applicant.enrolment().state is State.COMPLETE


# --- again ----------------------------------------------------------------------------------------


@pytest.mark.prop("PX-9")
def test_who_did_not_hear_the_answer_asks_again_and_gets_the_same_certificate() -> None:
    """By sending the same CertReq, or by an inquiry: one certificate, one Nonce-CCA."""
    office = Office.open()
    applicant = office.ready()
    first = office.cas[Role.cardholder].handle(applicant.apply(ANSWERS).data)
    again = office.cas[Role.cardholder].handle(applicant.apply(ANSWERS).data)
    assert again.outgoing == first.outgoing
    assert [event.kind for event in again.events] == [EventKind.REPEATED]
    office.deliver(applicant, applicant.inquire())  # the answers above got lost
    assert applicant.enrolment().state is State.COMPLETE
    _, (issued,) = office.certified()
    certified = applicant.certified()
    assert certified.credentials.signer.certificate == issued
    assert certified.card_secret is not None
    assert certified.pan_secret == PANSecret.derive(certified.card_secret, nonce_of(office, applicant), CARD.brand)
    assert len(office.bank.asked) == 1


@pytest.mark.prop("PX-9")
def test_inquiries_after_the_end_find_the_same_end() -> None:
    office = Office.open()
    applicant = office.ready()
    office.cas[Role.cardholder].handle(applicant.apply(ANSWERS).data)
    store = applicant.store
    assert isinstance(store, MemoryStore)
    pending, found = store.dump(), set()
    for _ in range(3):
        store._tables = dict(pending)
        office.deliver(applicant, applicant.inquire())
        certified = applicant.certified()
        assert certified.pan_secret is not None
        found.add((certified.credentials.signer.certificate, certified.pan_secret.reveal()))
    assert len(found) == 1
    assert len(office.certified()[1]) == 1


def test_one_store_has_many_registrations() -> None:
    office, store = Office.open(), MemoryStore()
    both = [office.register(office.applicant(subject=card, store=store)) for card in (CARD, OTHER_CARD)]
    assert {applicant.enrolment().state for applicant in both} == {State.COMPLETE}
    assert both[0].certified().credentials.party != both[1].certified().credentials.party
    with pytest.raises(UsageError, match="has begun already"):
        both[0].start()


def test_a_certificate_names_neither_holder_nor_card() -> None:
    office = Office.open()
    certified = office.register(office.applicant()).certified()
    text = x509.load_der_x509_certificate(certified.credentials.signer.certificate).subject.rfc4514_string()
    assert ANSWERS["Name"] not in text
    assert CARD.pan.reveal() not in text
    assert CARD.pan.last_four() not in text
