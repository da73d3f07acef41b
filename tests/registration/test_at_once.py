"""What happens while a CA asks the bank: it waits in no transaction, so anything may, and what was decided counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pki import key_suite
from setproto.messages.codes import CertStatusCode
from setproto.messages.common import Role
from setproto.roles.applicant import Applicant, State
from setproto.roles.authority.ports import Application, Decision, Verdict
from setproto.roles.ports import EventKind, Reply
from tests.registration.hands import use_keys
from tests.registration.office import ANSWERS, SUBJECTS, Office
from vectors.recipes.office import Bank

each_role = pytest.mark.parametrize("role", SUBJECTS, ids=lambda role: role.name)


@dataclass
class SlowBank(Bank):
    """What happens elsewhere while it is first asked."""

    while_asked: list[Callable[[], Any]] = field(default_factory=list)

    def decide(self, application: Application) -> Decision:
        decision = super().decide(application)
        for happens in (self.while_asked.pop() for _ in tuple(self.while_asked)):
            happens()
        return decision


def opened(role: Role) -> tuple[Office, SlowBank]:
    office, bank = Office.open(), SlowBank()
    office.cas[role]._entitlement = bank
    return office, bank


def asks_twice(office: Office, bank: SlowBank, role: Role) -> Applicant:
    """Somebody whose application waits asks again while the bank is asked for his first question."""
    applicant = office.register(office.applicant(role))
    first, second = applicant.inquire(), applicant.inquire()
    bank.while_asked.append(lambda: office.deliver(applicant, second))
    office.cas[role].handle(first.data)
    return applicant


def test_nobody_waits_while_the_bank_makes_up_its_mind() -> None:
    """A transaction that was open would be waited for for ever."""
    role = Role.merchant
    office, bank = opened(role)
    held: list[bool] = []
    bank.while_asked.append(lambda: held.append(office.stores[role]._lock.locked()))
    office.register(office.applicant(role))
    assert held == [False]


@each_role
def test_another_applicant_is_served_meanwhile(role: Role) -> None:
    office, bank = opened(role)
    other = office.ready(role)
    bank.while_asked.append(lambda: office.deliver(other, other.apply(ANSWERS)))
    slow = office.register(office.applicant(role))
    assert [one.enrolment().state for one in (other, slow)] == [State.COMPLETE, State.COMPLETE]


@pytest.mark.prop("PX-9", "CR-18")
@each_role
def test_one_request_that_comes_twice_is_certified_once(role: Role) -> None:
    office, bank = opened(role)
    applicant = office.ready(role)
    request = applicant.apply(ANSWERS).data
    replies: list[Reply] = []
    bank.while_asked.append(lambda: replies.append(office.cas[role].handle(request)))
    last = office.cas[role].handle(request)
    once = office.certified(role)
    assert [event.code for event in replies[0].events] == [CertStatusCode.requestComplete]
    assert [event.kind for event in last.events] == [EventKind.REPEATED]
    assert last.outgoing[0].data == replies[0].outgoing[0].data
    assert office.certified(role) == once
    assert len(bank.asked) == 2


@pytest.mark.prop("CR-18")
@each_role
def test_two_inquiries_at_once_have_one_certificate(role: Role) -> None:
    office, bank = opened(role)
    bank.verdicts = [Verdict.PENDING]
    applicant = asks_twice(office, bank, role)
    assert applicant.enrolment().state is State.COMPLETE
    assert len(office.certified(role)[1]) == (1 if role is Role.cardholder else 2)


@pytest.mark.prop("PX-13", "CR-18")
@each_role
def test_a_key_that_is_certified_meanwhile_is_refused(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    office, bank = opened(role)
    use_keys(monkeypatch, "p256", signature=key_suite("p256").generate_signature_key())
    slow, quick = office.ready(role), office.ready(role)
    bank.while_asked.append(lambda: office.deliver(quick, quick.apply(ANSWERS)))
    office.deliver(slow, slow.apply(ANSWERS))
    assert (quick.enrolment().state, slow.enrolment().state) == (State.COMPLETE, State.REFUSED)


@each_role
def test_what_was_decided_meanwhile_counts(role: Role) -> None:
    """An answer of the bank that comes late, about what was refused since, does not certify."""
    office, bank = opened(role)
    bank.verdicts = [Verdict.PENDING, Verdict.APPROVED, Verdict.REFUSED]
    applicant = asks_twice(office, bank, role)
    assert applicant.enrolment().state is State.REFUSED
    assert office.certified(role) == (frozenset(), ())
