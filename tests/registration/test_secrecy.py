"""Who can find out what from a registration (set-protocol.md §9.2: CR-2, CR-7 to CR-16; §9.3: MR-1, 3, 4).

The spy is the one of ``tests.secrecy``: it has all traffic, tries every key that it has on every sealed object, and
goes on with what comes out; a CABackKey that it finds is tried on every answer.  What it cannot do: break a cipher, and
act.  Those who act are in ``test_refusals`` and ``test_refused_answers``.

The expiry is looked for beside the PAN only, in the plaintexts: alone it is in the certificate's own end (§6.2).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from pki.der import DecodingFailure, decode, encode
from pki.suites import public_key_der
from setproto.card import Card
from setproto.crypto.possession import private_key_from
from setproto.errors import ErrorCode
from setproto.messages.codes import RequestType
from setproto.messages.common import PartyID, Role, SealContext
from setproto.messages.oids import ID_CERT_INQ_REQ_TBS
from setproto.messages.registration import AcctData, KeySigned, PANData0, PANOnly, RegFormReqData
from setproto.messages.registry import CERT_INQ_RES, CERT_RES
from setproto.messages.wrapper import unwrap
from setproto.roles.applicant import Applicant
from setproto.roles.authority.issuing import nonce_cca
from setproto.roles.authority.ports import Verdict
from setproto.scan import encodings_of, scan
from tests.registration.hands import assert_refused, draft, kept
from tests.registration.office import ANSWERS, CARD, OTHER_CARD, OTHER_SHOP, Office
from tests.secrecy.memory import octets
from tests.secrecy.scan import Scanner, needles, octet_forms
from tests.secrecy.spy import Loot, Opening, Sealed, Spy, content_key, leaves, sealed_in, with_shared_key
from tests.secrecy.world import raw_private_forms

SUITES = ("p256", "ed25519", "mldsa65")
every_suite = pytest.mark.parametrize("suite", [*SUITES, pytest.param("rsa3072", marks=pytest.mark.slow)])
CA_KEYS = {Role.cardholder: "CCA", Role.merchant: "MCA", Role.gateway: "PCA"}


@dataclass(frozen=True)
class Day:
    """What happened at an office in a day."""

    office: Office
    applicants: tuple[Applicant, ...]

    @property
    def traffic(self) -> list[bytes]:
        return [message.data for message in self.office.wire]

    @property
    def holders(self) -> list[Applicant]:
        return [each for each in self.applicants if each.party.role is Role.cardholder]

    @property
    def contexts(self) -> tuple[bytes, ...]:
        """What the answers under CABackKey are bound to: all of it stands in the headers and in public names."""
        ca = self.office.cas[Role.cardholder].party
        found = set()
        for message in self.office.wire:
            if message.name in ("CertRes", "CertInqRes"):
                for kind in (CERT_RES, CERT_INQ_RES):
                    for holder in self.holders:
                        rrpid = unwrap(message.data).header.rrpid
                        found.add(context_of(kind.content_type, self.office.tree.suite.name, ca, holder.party, rrpid))
        return tuple(sorted(found))

    def key(self, role: Role) -> Any:
        return self.office.cas[role].exchange_key().private_key

    def nonce(self, holder: Applicant) -> bytes:
        return nonce_cca(self.office.cas[Role.cardholder]._secret_key, holder.form().lid_ca)

    def scanner(self, holder: Applicant) -> Scanner:
        certified, card = holder.certified(), holder._subject
        assert isinstance(card, Card)
        assert certified.pan_secret is not None
        assert certified.card_secret is not None
        return Scanner(
            card.pan.reveal(), card.expiry.reveal(), certified.pan_secret.reveal(), certified.card_secret.reveal()
        )

    def secrets(self, holder: Applicant) -> dict[str, bytes]:
        """Everything secret of a cardholder but card and private key."""
        own, certified = holder._records.opened(holder.enrolment()), holder.certified()
        assert certified.pan_secret is not None
        return {
            "CardSecret": own.card_secret or b"",
            "CABackKey": own.back_key or b"",
            "PANSecret": certified.pan_secret.reveal(),
            "Nonce-CCA": self.nonce(holder),
        }


def context_of(content_type: Any, suite: str, sender: PartyID, recipient: PartyID, rrpid: bytes | None) -> bytes:
    return encode(
        SealContext(
            type=content_type, version=2, suite=suite, sender=sender, recipient=recipient, xid=None, rrpid=rrpid
        )
    )


@cache
def day(suite: str = "p256") -> Day:
    """Two cards (one is renewed, one waits), merchants, a gateway; refusals, a wrong form, a repetition."""
    office = Office.open(suite)
    first = office.register(office.applicant())
    renewed = office.applicant(request_type=RequestType.cardRenewalSig, certified=first.certified().credentials)
    office.register(renewed)
    office.bank.verdicts = [Verdict.PENDING]
    waiting = office.register(office.applicant(subject=OTHER_CARD))
    office.deliver(waiting, waiting.inquire())
    corrected = office.register(office.applicant(subject=OTHER_CARD), {"Name": "x" * 50})
    office.deliver(corrected, corrected.apply(ANSWERS))
    office.deliver(corrected, replace(office.wire[-2]))  # the CertReq again
    businesses = [office.register(office.applicant(Role.merchant, subject=who)) for who in (None, OTHER_SHOP)]
    businesses.append(office.register(office.applicant(Role.gateway)))
    office.bank.verdicts = [Verdict.REFUSED]
    office.register(office.applicant(subject=CARD))
    # Refused messages, and the Errors about them.
    ready = office.ready()
    for deviant in (draft(office, ready).but(chall_ca=bytes(20)), draft(office, ready).head(type=ID_CERT_INQ_REQ_TBS)):
        reply = office.cas[Role.cardholder].handle(deviant.data())
        office.wire += reply.outgoing
        office.events += reply.events
    return Day(office, (first, renewed, waiting, corrected, *businesses))


class RegistrationSpy(Spy):
    """Knows to what an answer under CABackKey is bound, and tries every CABackKey that it finds."""

    def __init__(self, there: Day, *loot: Loot, content_keys: tuple[bytes, ...] = ()) -> None:
        self.contexts = there.contexts
        super().__init__(there.traffic, loot, content_keys, there.office.tree.suite.name)

    def openings(self, sealed: Sealed, before: int = 0) -> Iterator[Opening]:
        if sealed.info_tag != 0xA2:
            return
        for key in self.back_keys:
            opening = with_shared_key(sealed, key, self.contexts)
            if opening is not None:
                yield opening

    def finds(self, secret: bytes) -> bool:
        """Whether these octets are in anything that it has, however they are written."""
        wanted = needles(octet_forms(secret))
        return any(needle in blob for blob in self.known for needle in wanted)

    def finds_card(self, card: Card) -> bool:
        return bool(scan(self.known, card.pan.reveal()).hits)


@cache
def objects(suite: str) -> dict[Sealed, tuple[bytes, bytes]]:
    """Every sealed object of the day → (content key, plaintext)."""
    there = day(suite)
    private = [there.key(role) for role in CA_KEYS]
    private += [
        private_key_from(each._records.opened(each.enrolment()).exchange_key or b"")
        for each in there.applicants
        if each.party.role is not Role.cardholder
    ]
    spy = RegistrationSpy(there, Loot(tuple(private), back_keys=back_keys(there)))
    found = {}
    for blob in there.traffic:
        for sealed in sealed_in(blob):
            keys = [content_key(sealed, key) for key in private]
            keys += [opening[2] for opening in spy.openings(sealed)]
            (key,) = {key for key in keys if key is not None} or {None}
            if key is not None:
                found[sealed] = (key, sealed.open(key) or b"")
    return found


def back_keys(there: Day) -> tuple[bytes, ...]:
    return tuple(there.secrets(holder)["CABackKey"] for holder in there.holders)


def kind(plain: bytes) -> type | None:
    """What account data or message a plaintext is."""
    for cls in (PANOnly, PANData0, AcctData, RegFormReqData, KeySigned):
        try:
            decode(cls, plain)
        except DecodingFailure:
            continue
        return cls
    return None


ACCOUNT = (PANOnly, PANData0)


# --- what is searched, finds ----------------------------------------------------------------------


@pytest.mark.prop("CR-9", "CR-11", "CR-12", "CR-13", "CR-14", "CR-15", "MR-4")
@every_suite
def test_with_honest_cas_the_spy_learns_nothing(suite: str) -> None:
    there = day(suite)
    spy = RegistrationSpy(there)
    assert spy.opened == {}
    assert len(spy.sealed) > 20
    for holder in there.holders:
        assert there.scanner(holder).hits(spy.known) == set()
        assert not any(spy.finds(secret) for secret in there.secrets(holder).values())
    for card in (CARD, OTHER_CARD):
        assert not spy.finds_card(card)


@pytest.mark.prop("CR-15", "MR-4")
@every_suite
@pytest.mark.parametrize("role", [Role.merchant, Role.gateway])
def test_the_other_cas_are_no_help(suite: str, role: Role) -> None:
    there = day(suite)
    spy = RegistrationSpy(there, Loot((there.key(role), there.office.cas[role].credentials.signer.private_key)))
    assert spy.opened, "its own applicants' requests"
    assert {kind(plain) for plain in spy.learned} <= {AcctData, KeySigned}
    for holder in there.holders:
        assert there.scanner(holder).hits(spy.known) == set()
        assert not any(spy.finds(secret) for secret in there.secrets(holder).values())


@pytest.mark.prop("CR-15")
@every_suite
def test_a_corrupt_cardholder_ca_learns_all_that_it_was_sent(suite: str) -> None:
    """The search and the spy do find what can be found."""
    there = day(suite)
    spy = RegistrationSpy(there, Loot((there.key(Role.cardholder),)))
    assert spy.finds_card(CARD)
    assert spy.finds_card(OTHER_CARD)
    for holder in there.holders:
        secrets = there.secrets(holder)
        assert spy.finds(secrets["CardSecret"])
        assert spy.finds(secrets["CABackKey"])
        assert spy.finds(secrets["Nonce-CCA"]), "the answer is open to whoever has read the request"
        assert not spy.finds(secrets["PANSecret"]), "it is never sent"
    accounts = [plain for plain in spy.learned if kind(plain) is PANData0]
    assert any(there.scanner(there.holders[0]).expiry_hits([plain]) for plain in accounts)


@pytest.mark.prop("CR-15", "CR-12")
@every_suite
def test_other_cardholders_are_no_help(suite: str) -> None:
    there = day(suite)
    first, *others = there.holders
    loot = [
        Loot(
            (private_key_from(other._records.opened(other.enrolment()).signature_key or b""),),
            back_keys=(there.secrets(other)["CABackKey"],),
            notes=tuple(kept(other).values()),
        )
        for other in others
        if other._subject is not CARD
    ]
    spy = RegistrationSpy(there, *loot)
    assert spy.opened
    assert not spy.finds_card(CARD)
    assert not any(spy.finds(secret) for secret in there.secrets(first).values())


# --- content keys ---------------------------------------------------------------------------------


@pytest.mark.prop("CR-7", "CR-19", "MR-3")
@every_suite
def test_every_content_key_is_for_one_object(suite: str) -> None:
    """So it fixes receiver and content, and has encrypted nothing before."""
    found = objects(suite)
    keys = [key for key, _ in found.values()]
    assert len(set(keys)) == len(keys) > 20
    for sealed, (key, _) in found.items():
        assert [other for other in found if other.open(key) is not None] == [sealed]


@pytest.mark.prop("CR-16", "PX-3")
@every_suite
def test_the_content_keys_of_all_messages_reveal_no_card(suite: str) -> None:
    """The account data has a seal of its own: whoever loses every other key has still not lost it."""
    there = day(suite)
    keys = tuple(key for key, plain in objects(suite).values() if kind(plain) not in ACCOUNT)
    spy = RegistrationSpy(there, content_keys=keys)
    assert {kind(plain) for plain in spy.learned} >= {RegFormReqData, KeySigned}
    for holder in there.holders:
        hits = there.scanner(holder).hits(spy.known)
        assert hits == set()
        assert not spy.finds(there.secrets(holder)["CardSecret"])
        assert spy.finds(there.secrets(holder)["CABackKey"]), "which is in the message"


@pytest.mark.prop("CR-16")
@every_suite
def test_the_content_key_of_account_data_opens_that_and_nothing_else(suite: str) -> None:
    there = day(suite)
    accounts = [(key, plain) for key, plain in objects(suite).values() if kind(plain) in ACCOUNT]
    assert len(accounts) >= 10
    for key, plain in accounts:
        assert RegistrationSpy(there, content_keys=(key,)).learned == {plain}


@pytest.mark.prop("CR-8", "CR-10", "CR-13", "MR-3")
@pytest.mark.parametrize("suite", SUITES)
def test_losing_other_content_keys_does_not_give_this_one(suite: str) -> None:
    """Every key but one, and, for an answer to a cardholder, but that of the request that holds the key for it."""
    there, found = day(suite), objects(suite)
    requests = {sealed for sealed, (_, plain) in found.items() if kind(plain) is KeySigned}
    answers = [sealed for sealed in found if sealed.info_tag == 0xA2]
    assert answers
    for sealed, (_, plain) in found.items():
        spared = {sealed, *(requests if sealed in answers else ())}
        keys = tuple(key for other, (key, _) in found.items() if other not in spared)
        spy = RegistrationSpy(there, content_keys=keys)
        assert plain not in spy.learned
        assert sealed.raw not in spy.opened


@pytest.mark.prop("CR-10", "CR-13")
@pytest.mark.parametrize("suite", SUITES)
def test_nonce_cca_is_under_its_own_key_only(suite: str) -> None:
    there, found = day(suite), objects(suite)
    for holder in there.holders:
        nonce = there.nonce(holder)
        spared = {sealed for sealed, (_, plain) in found.items() if nonce in plain or kind(plain) is KeySigned}
        assert any(nonce in plain for _, plain in found.values())
        spy = RegistrationSpy(there, content_keys=tuple(key for s, (key, _) in found.items() if s not in spared))
        assert not spy.finds(nonce)


# --- what everybody keeps and says ----------------------------------------------------------------


@pytest.mark.prop("CR-2", "MR-1")
@every_suite
def test_no_private_key_is_in_a_message_or_in_a_plaintext(suite: str) -> None:
    there = day(suite)
    everything = [*there.traffic, *(plain for _, plain in objects(suite).values())]
    joined = b"\xff\x00".join(everything)
    for key in private_keys(there):
        for form in raw_private_forms(key).values():
            assert form not in joined
            assert form.hex().encode() not in joined.lower()
    public = private_keys(there)[0].public_key()
    assert public_key_der(public) in joined, "the search finds what is there"


def private_keys(there: Day) -> list[Any]:
    found = []
    for each in there.applicants:
        secrets = each._records.opened(each.enrolment())
        found += [private_key_from(octets_) for octets_ in (secrets.signature_key, secrets.exchange_key) if octets_]
    for ca in there.office.cas.values():
        found += [ca.credentials.signer.private_key, ca.exchange_key().private_key, ca._authority._key]
    return found


@pytest.mark.prop("CR-12", "CR-13", "CR-14", "PX-3")
@every_suite
def test_no_store_holds_card_data_or_secrets_in_the_clear(suite: str) -> None:
    """Not the CAs', where requests waited and were refused, and not the applicants'."""
    there = day(suite)
    stores = [store.dump() for store in there.office.stores.values()] + [kept(each) for each in there.applicants]
    blobs = [part for dump in stores for (_, key), value in dump.items() for part in (key, value)]
    assert len(blobs) > 50
    for card in (CARD, OTHER_CARD):
        assert scan(blobs, card.pan.reveal()).hits == ()
    for holder in there.holders:
        assert there.scanner(holder).hits(blobs) == set()
        for secret in there.secrets(holder).values():
            wanted = needles(octet_forms(secret))
            assert not any(needle in blob for blob in blobs for needle in wanted)
    for key in private_keys(there):
        assert not any(form in blob for form in raw_private_forms(key).values() for blob in blobs)


@pytest.mark.prop("CR-15", "PX-3")
@every_suite
def test_nothing_that_is_said_shows_a_card(suite: str, caplog: pytest.LogCaptureFixture) -> None:
    """Events, Errors, representations of everybody and everything, and logs at the lowest level."""
    with caplog.at_level(logging.DEBUG):
        day.__wrapped__(suite)
    there = day(suite)
    request = draft(there.office, there.office.ready())
    said = [repr(event) for event in there.office.events] + [message.message for message in caplog.records]
    said += [repr(each) for each in (*there.applicants, *there.office.cas.values(), *there.office.bank.asked)]
    said += [repr(each.enrolment()) for each in there.applicants] + [
        repr(each.certified()) for each in there.applicants
    ]
    said += [repr(request.request.ca_back_key_data), repr(decode(PANData0, request.account or b""))]
    said += [repr(holder._records.opened(holder.enrolment())) for holder in there.holders]
    assert any("REFUSED" in text for text in said)
    blobs = [text.encode() for text in said]
    for holder in there.holders:
        assert there.scanner(holder).hits(blobs) == set()
        wanted = {needle for secret in there.secrets(holder).values() for needle in (secret.hex(), repr(secret)[2:-1])}
        assert not any(needle in text for needle in wanted for text in said)


@pytest.mark.prop("CR-15")
def test_what_goes_wrong_says_nothing_about_the_card() -> None:
    office = Office.open()
    ready = office.ready()
    wrong = replace(draft(office, ready), account=CARD.pan.reveal().encode())
    assert_refused(office, office.cas[Role.cardholder], wrong.data(), ErrorCode.decodingFailure)
    reply = office.cas[Role.cardholder].handle(wrong.data())
    blobs = [repr(reply).encode(), *(message.data for message in reply.outgoing)]
    assert scan(blobs, CARD.pan.reveal()).hits == ()


@pytest.mark.prop("CR-15")
def test_once_answered_a_ca_holds_no_card_in_memory() -> None:
    """But for the bank's own note of what it was asked: everything that hangs on the CA's object."""
    office = Office.open()
    ca = office.cas[Role.cardholder]
    office.register(office.applicant())
    office.bank.asked.clear()
    assert scan(octets(ca), CARD.pan.reveal()).hits == ()


@pytest.mark.parametrize("encoding", encodings_of(CARD.pan.reveal()))
def test_the_search_finds_a_card_in_every_encoding(encoding: str) -> None:
    there = day()
    (planted, *_) = encodings_of(CARD.pan.reveal())[encoding]
    victim = there.traffic[3]
    damaged = [*there.traffic[:3], victim[:100] + planted + victim[100:], *there.traffic[4:]]
    assert any(hit.where == "#3" for hit in scan(damaged, CARD.pan.reveal()).hits)
    assert scan(there.traffic, CARD.pan.reveal()).hits == ()


# --- guesses and links ----------------------------------------------------------------------------


@pytest.mark.prop("PX-3")
def test_nothing_links_two_registrations_of_one_card() -> None:
    """Whoever lost every content key but those of account data can still not tell one card from two: no value of eight
    octets or more is in both registrations of one card that is not in those of another card, too."""
    office = Office.open()
    runs = [office.register(office.applicant(subject=card)) for card in (CARD, CARD, OTHER_CARD)]
    seen = []
    starts = [index for index, message in enumerate(office.wire) if message.name == "CardCInitReq"]
    assert len(starts) == len(runs)
    for run, start in zip(runs, starts, strict=True):
        inside = Day(replace(office, wire=office.wire[start : start + 6]), (run,))
        spy = RegistrationSpy(inside, Loot((inside.key(Role.cardholder),)))
        plains = {plain for plain in spy.learned if kind(plain) not in ACCOUNT}
        seen.append({leaf for blob in {*inside.traffic, *plains} for leaf in leaves(blob) if len(leaf) >= 8})
    one, again, other = seen
    assert one & again - other == set()
    assert one & other, "certificates, names and dates"
