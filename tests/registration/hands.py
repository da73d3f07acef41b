"""Registration messages made by hand: what applicants and CAs could send that do not keep to the rules."""

from __future__ import annotations

from typing import Any

import pytest

from pki import key_suite
from setproto.errors import ErrorCode
from setproto.messages.codes import CertStatusCode
from setproto.messages.common import Role
from setproto.roles import applicant as applicants
from setproto.roles.applicant import Applicant
from setproto.roles.authority.ports import Verdict
from setproto.roles.enrolment import State
from setproto.roles.party import Party
from setproto.roles.ports import EventKind, Outgoing, Reply
from setproto.store import MemoryStore
from tests.registration.office import ANSWERS, Office
from vectors.recipes.registration_hands import (  # noqa: F401 the tests take them from here
    KIND,
    Draft,
    answer_of,
    answered,
    ca_of,
    draft,
    inquiry,
    reg_form_req,
    said,
)

# --- what came of it ------------------------------------------------------------------------------


def kept(party: Party) -> dict[tuple[str, bytes], bytes]:
    """What a party has stored."""
    assert isinstance(party.store, MemoryStore)
    return party.store.dump()


def assert_refused(office: Office, party: Party, data: bytes, code: ErrorCode) -> None:
    """An Error with this code is the answer; nobody has stored or certified anything, and the bank was not asked."""
    before = (office.state(), kept(party), len(office.bank.asked))
    reply = party.handle(data)
    (event,) = reply.events
    assert (event.kind, event.code) == (EventKind.REFUSED, code), event
    assert [message.name for message in reply.outgoing] == ["Error"]
    assert (office.state(), kept(party), len(office.bank.asked)) == before


def assert_declined(office: Office, role: Role, data: bytes, code: CertStatusCode) -> Reply:
    """A CertRes with this status is the answer; nothing was certified, and the bank was not asked."""
    before = (office.certified(role), len(office.bank.asked))
    reply = office.cas[role].handle(data)
    (event,) = reply.events
    assert (event.kind, event.code) == (EventKind.CERTIFICATION, code), event
    assert [message.name for message in reply.outgoing] == ["CertRes"]
    assert (office.certified(role), len(office.bank.asked)) == before
    return reply


def assert_completes(office: Office, applicant: Applicant) -> None:
    """The genuine request still works."""
    office.deliver(applicant, applicant.apply(ANSWERS))
    assert applicant.enrolment().state is State.COMPLETE


# --- requests -------------------------------------------------------------------------------------


def use_keys(patch: pytest.MonkeyPatch, suite: str, *, signature: Any = None, exchange: Any = None) -> None:
    """Applicants no longer make fresh keys: they take these."""
    genuine = key_suite(suite)

    class Keys:
        @staticmethod
        def generate_signature_key() -> Any:
            return signature or genuine.generate_signature_key()

        @staticmethod
        def generate_exchange_key() -> Any:
            return exchange or genuine.generate_exchange_key()

    patch.setattr(applicants, "key_suite", lambda name: Keys)


# --- answers --------------------------------------------------------------------------------------


# --- stories --------------------------------------------------------------------------------------

STORIES = {
    Role.cardholder: ("CardCInitReq", "CardCInitRes", "RegFormReq", "RegFormRes"),
    Role.merchant: ("Me-AqCInitReq", "Me-AqCInitRes"),
    Role.gateway: ("Me-AqCInitReq", "Me-AqCInitRes"),
}
ENDING = ("CertReq", "CertRes", "CertInqReq", "CertInqRes")
PLACES = [(role, name) for role, story in STORIES.items() for name in (*story, *ENDING)]
"""Every message of a registration that the bank decides at the second asking, in order."""
ANSWERS_OF_CAS = [(role, name) for role, name in PLACES if name.endswith("Res")]


def named(place: tuple[Role, str]) -> str:
    """How a place is called in the list of tests."""
    return f"{place[0].name}-{place[1]}"


def before(office: Office, role: Role, name: str) -> tuple[Applicant, bytes]:
    """A new applicant, and the message: everything before it has been delivered."""
    applicant = office.applicant(role)
    office.bank.verdicts = [Verdict.PENDING] if name.startswith("CertInq") else []
    for act in (applicant.start, lambda: applicant.apply(ANSWERS), applicant.inquire):
        for message in office.steps(applicant, act()):
            if message.name == name:
                return applicant, message.data
    raise AssertionError(f"no {name} for a {role.name}")


def receiver(office: Office, applicant: Applicant, name: str) -> Party:
    """Who gets this message."""
    return applicant if name.endswith("Res") else ca_of(office, applicant)


def finish(office: Office, applicant: Applicant, name: str, data: bytes) -> None:
    """The rest of the story, undisturbed."""
    if name.endswith("Res"):
        for message in applicant.handle(data).outgoing:
            office.deliver(applicant, message)
    else:
        office.deliver(applicant, Outgoing(KIND[name].recipient_from(applicant.party.role), name, data))
    if applicant.enrolment().state is State.FORM_RECEIVED:
        office.deliver(applicant, applicant.apply(ANSWERS))
    if applicant.enrolment().state is State.PENDING:
        office.deliver(applicant, applicant.inquire())
    assert applicant.enrolment().state is State.COMPLETE
    assert applicant.certified().credentials.signer.certificate in office.certified(applicant.party.role)[1]
