"""Registration messages damaged, cut short, reordered and delivered to the wrong party (PX-6, PX-9, PX-10).

Octets and bits are chosen by lot, the same in every run, from all over each message; ``SETPROTO_HYPOTHESIS=thorough``
tries every bit.
"""

from __future__ import annotations

import copy
import random

import pytest

from pki import PathValidator
from setproto.market import BRAND
from setproto.messages.common import PartyID, Role
from setproto.messages.wrapper import unwrap
from setproto.roles.applicant import Applicant
from setproto.roles.enrolment import State
from setproto.roles.ports import EventKind
from setproto.store import MemoryStore
from tests.faults.test_wire import THOROUGH, flipped
from tests.registration.hands import ANSWERS_OF_CAS, PLACES, before, finish, kept, named, receiver
from tests.registration.office import ANSWERS, SUBJECTS, Office

pytestmark = pytest.mark.slow

PLAIN = ("CardCInitReq", "Me-AqCInitReq")
PROTECTED = [place for place in PLACES if place[1] not in PLAIN]
OPEN_ANSWERS = [place for place in ANSWERS_OF_CAS if place[0] is not Role.cardholder or "Cert" not in place[1]]
"""Those that are not sealed."""
every_place = pytest.mark.parametrize("place", PLACES, ids=named)
every_protected = pytest.mark.parametrize("place", PROTECTED, ids=named)


def bits(data: bytes, seed: str, count: int = 125, within: frozenset[int] | None = None) -> list[int]:
    """One bit of ``count`` octets, of all or of those at these places."""
    lot = random.Random(seed)
    octets = sorted(range(len(data)) if within is None else within)
    if THOROUGH:
        return [8 * octet + bit for octet in octets for bit in range(8)]
    return [8 * octet + lot.randrange(8) for octet in lot.sample(octets, min(count, len(octets)))]


def revocation(office: Office, data: bytes) -> frozenset[int]:
    """Where in an answer its CRLs and BrandCRLIdentifier are: they have signatures of their own (§6.9)."""
    every = [office.cas[role].validator.revocation(BRAND) for role in SUBJECTS]
    places: set[int] = set()
    for item in {item for each in every for item in (*each.crls, each.bci) if item is not None}:
        at = data.find(item)
        if at >= 0:
            places.update(range(at, at + len(item)))
    return frozenset(places)


def outside(office: Office, data: bytes) -> frozenset[int]:
    return frozenset(range(len(data))) - revocation(office, data)


def assert_bounced(office: Office, applicant: Applicant, name: str, data: bytes, what: object) -> None:
    party = receiver(office, applicant, name)
    before_, own = office.state(), kept(applicant)
    reply = party.handle(data)
    assert [event.kind for event in reply.events] == [EventKind.REFUSED], what
    assert [message.name for message in reply.outgoing] == ["Error"], what
    assert (office.state(), kept(applicant)) == (before_, own), what


@pytest.mark.prop("PX-10")
@every_protected
def test_a_flipped_bit_is_noticed(place: tuple[Role, str]) -> None:
    office = Office.open()
    applicant, data = before(office, *place)
    for bit in bits(data, named(place), within=outside(office, data)):
        assert_bounced(office, applicant, place[1], flipped(data, bit), f"bit {bit}")
    finish(office, applicant, place[1], data)


@pytest.mark.prop("PX-10", "PX-15")
@pytest.mark.parametrize("place", OPEN_ANSWERS, ids=named)
def test_a_flipped_bit_in_revocation_data_teaches_nothing_false(place: tuple[Role, str]) -> None:
    """It makes the answer refused, or is left alone as the list of some CA that nobody knows; what is learned is
    genuine, and the answer is the genuine one."""
    office = Office.open()
    applicant, data = before(office, *place)
    own, validator = kept(applicant), applicant.validator
    genuine = {item for each in (validator, office.cas[place[0]].validator) for item in items(each)}
    inside = revocation(office, data)
    assert inside
    refused = 0
    for bit in bits(data, named(place), within=inside):
        applicant.store._tables = dict(own)
        (event,) = applicant.handle(flipped(data, bit)).events or (None,)
        if event is not None and event.kind is EventKind.REFUSED:
            refused += 1
            assert kept(applicant) == own
        assert set(items(validator)) <= genuine
    assert refused > 0
    applicant.store._tables = dict(own)
    finish(office, applicant, place[1], data)


def items(validator: PathValidator) -> tuple[bytes, ...]:
    held = validator.revocation(BRAND)
    return (*held.crls, held.bci or b"")


@pytest.mark.prop("PX-10")
@pytest.mark.parametrize("suite", ["ed25519", "mldsa65"])
@pytest.mark.parametrize("place", [place for place in PROTECTED if place[0] is not Role.gateway], ids=named)
def test_a_flipped_bit_is_noticed_in_other_suites(place: tuple[Role, str], suite: str) -> None:
    office = Office.open(suite)
    applicant, data = before(office, *place)
    for bit in bits(data, named(place) + suite, 40, outside(office, data)):
        assert_bounced(office, applicant, place[1], flipped(data, bit), f"bit {bit}")
    finish(office, applicant, place[1], data)


@pytest.mark.prop("PX-10", "CR-17", "MR-7", "MR-8")
@pytest.mark.parametrize("place", [place for place in PLACES if place[1] in PLAIN], ids=named)
def test_a_flipped_bit_in_a_plain_message_leads_to_no_other_certificate(place: tuple[Role, str]) -> None:
    """Nobody has signed it: the CA may answer another question.  Only an answer to its own is taken by the applicant,
    and what it is certified for after that is what it meant."""
    office = Office.open()
    applicant, data = before(office, *place)
    ca, role = office.cas[place[0]], place[0]
    fresh, ours, register = kept(ca), kept(applicant), office.registers[role]
    certified = copy.deepcopy(vars(register))
    went_on = 0
    for bit in bits(data, named(place)):
        ca.store._tables, applicant.store._tables = dict(fresh), dict(ours)
        vars(register).update(copy.deepcopy(certified))
        for answer in ca.handle(flipped(data, bit)).outgoing:
            reply = applicant.handle(answer.data)
            if applicant.enrolment().state is State.INIT_SENT:
                assert kept(applicant) == ours
                continue
            went_on += 1
            for message in reply.outgoing:
                office.deliver(applicant, message)
            office.deliver(applicant, applicant.apply(ANSWERS))
            assert applicant.enrolment().state is State.COMPLETE
            party = applicant.certified().credentials.party
            if role is not Role.cardholder:
                assert party == PartyID(role=role, brand=BRAND, name=SUBJECTS[role].id_data.name)
    assert went_on > 0, "the header of a plain message is not protected: this test would not notice if it were"


@pytest.mark.prop("PX-10")
@every_place
def test_a_message_cut_short_is_refused(place: tuple[Role, str]) -> None:
    office = Office.open()
    applicant, data = before(office, *place)
    lengths = random.Random(named(place)).sample(range(len(data)), 60)
    for length in [0, 1, len(data) - 1, *lengths]:
        assert_bounced(office, applicant, place[1], data[:length], f"{length} octets")
    for more in (b"\x00", data):
        assert_bounced(office, applicant, place[1], data + more, "more octets")
    finish(office, applicant, place[1], data)


@pytest.mark.prop("PX-10")
@every_place
def test_octets_inserted_left_out_and_exchanged(place: tuple[Role, str]) -> None:
    office = Office.open()
    applicant, data = before(office, *place)
    party, lot = receiver(office, applicant, place[1]), random.Random(named(place))
    fresh, ours = kept(office.cas[place[0]]), kept(applicant)
    places = sorted(outside(office, data))
    for _ in range(60):
        first, second = sorted(lot.sample(places, 2))
        for changed in (
            data[:first] + data[first + 1 :],
            data[:first] + lot.randbytes(1) + data[first:],
            data[:first]
            + data[second : second + 1]
            + data[first + 1 : second]
            + data[first : first + 1]
            + data[second + 1 :],
            data[:first] + data[second:],
        ):
            if changed == data:
                continue
            reply = party.handle(changed)  # never an exception
            if place[1] not in PLAIN:
                assert [event.kind for event in reply.events] == [EventKind.REFUSED]
                assert (kept(office.cas[place[0]]), kept(applicant)) == (fresh, ours)
            office.cas[place[0]].store._tables = dict(fresh)
            applicant.store._tables = dict(ours)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("PX-6", "PX-10")
@every_place
def test_a_message_for_somebody_else_is_refused(place: tuple[Role, str]) -> None:
    """By every CA, and by applicants of every role in every state; Me-AqCInitReq, plain, names no CA."""
    office = Office.open()
    applicant, data = before(office, *place)
    others = [before(office, *other) for other in PLACES]
    owner = receiver(office, applicant, place[1])
    parties = [*office.cas.values(), *(other for other, _ in others), applicant]
    office.bank.verdicts = []
    for party in parties:
        if party is owner or (place[1] == "Me-AqCInitReq" and party in office.cas.values()):
            continue
        settled, own = office.state(), kept(party)
        reply = party.handle(data)
        assert [event.kind for event in reply.events] == [EventKind.REFUSED]
        assert (office.state(), kept(party)) == (settled, own)
    finish(office, applicant, place[1], data)


@pytest.mark.prop("PX-9")
@pytest.mark.parametrize("role", SUBJECTS)
def test_answers_in_any_order_and_twice(role: Role) -> None:
    """Every answer ever given, delivered again in every state: what was taken once is not taken again."""
    office = Office.open()
    last = [place for place in PLACES if place[0] is role][-1]
    applicant, data = before(office, *last)
    finish(office, applicant, last[1], data)
    heard = [message.data for message in office.wire if message.name.endswith("Res")]
    settled = kept(applicant)
    for message in heard:
        reply = applicant.handle(message)
        assert [event.kind for event in reply.events] == [EventKind.REFUSED]
        assert kept(applicant) == settled
    for place in (place for place in PLACES if place[0] is role):
        other, _ = before(office, *place)
        own = kept(other)
        for message in heard:
            assert [event.kind for event in other.handle(message).events] == [EventKind.REFUSED]
            assert kept(other) == own


@pytest.mark.prop("PX-10")
def test_what_is_no_message_at_all_is_refused_by_everybody() -> None:
    office = Office.open()
    lot = random.Random("noise")
    parties = [*office.cas.values(), *(before(office, *place)[0] for place in PLACES)]
    for party in parties:
        own = kept(party)
        for data in (b"", b"\x30\x00", b"\xff" * 300_000, *(lot.randbytes(lot.randrange(2000)) for _ in range(20))):
            reply = party.handle(data)
            assert [event.kind for event in reply.events] == [EventKind.REFUSED]
        assert kept(party) == own


@pytest.mark.prop("PX-17")
def test_an_error_changes_nothing() -> None:
    """Unsigned, or signed by the CA: a hint for people."""
    for place in PLACES:
        office = Office.open()
        applicant, data = before(office, *place)
        ca = office.cas[place[0]]
        errors = [party.handle(b"noise").outgoing[0].data for party in (ca, applicant)]
        for party in (ca, applicant):
            for error in errors:
                own = kept(party)
                reply = party.handle(error)
                assert reply.outgoing == (), "no Error about an Error"
                assert kept(party) == own
        assert isinstance(applicant.store, MemoryStore)
        assert unwrap(data).type is not None
        finish(office, applicant, place[1], data)
