"""Any order of deliveries, losses, repetitions and restarts (set-protocol.md §9.2, §9.3; CR-17, CR-18, MR-5 to MR-8).

Two applicants at one CA, who may have the same keys; a bank that changes its mind; a network that delivers any message
at any time, never, or again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from pki import PathValidator, key_suite
from pki.der import decode
from pki.suites import public_key_der
from setproto.card import cardholder_name
from setproto.crypto.possession import private_key_from
from setproto.errors import UsageError
from setproto.messages.codes import CertStatusCode
from setproto.messages.common import Role
from setproto.roles.applicant import Applicant
from setproto.roles.authority import records
from setproto.roles.authority.ports import Verdict
from setproto.roles.authority.records import Registration
from setproto.roles.credentials import EXCHANGE_KINDS, SIGNATURE_KINDS
from setproto.roles.enrolment import State
from setproto.roles.ports import EventKind, Outgoing
from tests.registration.hands import use_keys
from tests.registration.office import ANSWERS, SUBJECTS, Office
from tests.registration.test_refusals import OTHERS

pytestmark = pytest.mark.slow

THOROUGH = os.environ.get("SETPROTO_HYPOTHESIS") == "thorough"
EXAMPLES = 1000 if THOROUGH else 20
P256 = key_suite("p256")
POOL = [P256.generate_signature_key() for _ in range(2)]
EXCHANGE_POOL = [P256.generate_exchange_key() for _ in range(3)]

ACTIONS = st.one_of(
    *[st.tuples(st.just("deliver"), st.integers(0, 5))] * 6,
    st.tuples(st.just("again"), st.integers(0, 40)),
    st.tuples(st.just("apply"), st.integers(0, 3)),
    st.tuples(st.just("apply"), st.integers(0, 3)),
    st.tuples(st.just("inquire"), st.integers(0, 1)),
    st.tuples(st.just("restart"), st.integers(0, 2)),
    st.tuples(st.just("bank"), st.integers(0, 3)),
)


@dataclass
class Run:
    """Two applicants, one CA, and what is on the wires."""

    role: Role
    same_key: bool
    office: Office = field(default_factory=Office.open)
    fresh: list[tuple[int | None, Outgoing]] = field(default_factory=list)
    """Not delivered yet: (index of the applicant it is from, or for, with the message)."""
    seen: list[tuple[int, Outgoing]] = field(default_factory=list)

    def __post_init__(self) -> None:
        subjects = (SUBJECTS[self.role], OTHERS[self.role])
        self.applicants = [self.office.applicant(self.role, subject=subject) for subject in subjects]
        self.patch = pytest.MonkeyPatch()
        self.completed: dict[bytes, list[bytes]] = {}
        for index, applicant in enumerate(self.applicants):
            self._with_keys(index)
            self.fresh.append((index, applicant.start()))

    def _with_keys(self, index: int) -> None:
        """Both applicants draw from one pool, or each has keys of its own."""
        if self.same_key:
            use_keys(self.patch, "p256", signature=POOL[0], exchange=EXCHANGE_POOL[0])
        else:
            use_keys(self.patch, "p256", signature=None, exchange=EXCHANGE_POOL[1 + index])

    @property
    def ca(self) -> Any:
        return self.office.cas[self.role]

    @cached_property
    def validator(self) -> PathValidator:
        """Of somebody else under the same root."""
        return self.office.tree.validator(self.office.clock())

    def act(self, action: str, number: int) -> None:
        if action == "deliver" and self.fresh:
            self._deliver(*self.fresh.pop(number % len(self.fresh)))
        elif action == "again" and self.seen:
            self._deliver(*self.seen[number % len(self.seen)])
        elif action == "apply":
            self._send(number % 2, "apply", ANSWERS if number < 2 else {"Name": "Ada"})
        elif action == "inquire":
            self._send(number, "inquire")
        elif action == "restart":
            if number == 2:
                self.office.restart(self.role)
            else:
                self.applicants[number] = self.office.again(self.applicants[number])
        elif action == "bank":
            self.office.bank.verdicts = [[], [Verdict.PENDING], [Verdict.IN_PROGRESS] * 2, [Verdict.REFUSED]][number]

    def _send(self, index: int, how: str, *arguments: Any) -> None:
        self._with_keys(index)
        try:
            message = getattr(self.applicants[index], how)(*arguments)
        except UsageError:
            return  # not in this state
        self.fresh.append((index, message))

    def _deliver(self, index: int, message: Outgoing) -> None:
        self.seen.append((index, message))
        to = self.ca if message.name.endswith("Req") else self.applicants[index]
        reply = to.handle(message.data)
        for answer in reply.outgoing:
            if answer.name != "Error":
                self.fresh.append((index, answer))
        self.check()

    # --- what always holds --------------------------------------------------------------------------

    @property
    def registrations(self) -> list[Registration]:
        dump = self.office.stores[self.role].dump()
        return [decode(Registration, value) for (table, _), value in dump.items() if table == records.REGISTRATIONS]

    def check(self) -> None:
        digests, issued = self.office.certified(self.role)
        keys = [key_of(der) for der in issued]
        assert len(set(keys)) == len(keys) == len(digests), "a key is certified once (CR-18)"
        of_complete = []
        for record in self.registrations:
            certificates = (record.request.certificates if record.request else None) or []
            assert (record.state is records.State.COMPLETE) == bool(certificates)
            of_complete += certificates
            earlier = self.completed.setdefault(record.lid_ca, certificates)
            assert earlier in ([], certificates), "a registration is completed once"
            self.completed[record.lid_ca] = certificates
            self.check_certificates(record, certificates)
        assert sorted(of_complete) == sorted(issued), "no certificate without a registration"

    def check_certificates(self, record: Registration, certificates: list[bytes]) -> None:
        """The keys and the name of the request, and no others (MR-5 to MR-8)."""
        if not certificates or record.request is None:
            return
        wanted = [key for key in (record.request.public_key_s, record.public_key_e) if key is not None]
        assert [key_of(der) for der in certificates] == wanted
        if record.name is not None:
            kinds = [entry for entry in _kinds(self.role) if entry is not None]
            for der, kind in zip(certificates, kinds, strict=True):
                validated = self.validator.validate(
                    der, kind=kind, brand=self.office.tree.brand, at=self.office.clock()
                )
                assert validated.party_id == record.name

    def settle(self) -> None:
        """The network delivers again, the bank decides; everybody asks until there is an answer."""
        self.office.bank.verdicts = []
        for _ in range(12):
            while self.fresh:
                self._deliver(*self.fresh.pop(0))
            for index, applicant in enumerate(self.applicants):
                state = applicant.enrolment().state
                if state in (State.INIT_SENT, State.FORM_ASKED):
                    for whose, message in list(self.seen):
                        if whose == index and message.name in ("CardCInitReq", "Me-AqCInitReq", "RegFormReq"):
                            self._deliver(whose, message)
                else:
                    self._send(index, "apply", ANSWERS)
                    self._send(index, "inquire")
        for applicant in self.applicants:
            self.check_end(applicant)

    def check_end(self, applicant: Applicant) -> None:
        """Both sides agree on how it ended."""
        record = applicant.enrolment()
        assert record.state in (State.COMPLETE, State.REFUSED)
        ours = next(each for each in self.registrations if record.form and each.lid_ca == record.form.lid_ca)
        assert ours.request is not None
        if record.state is State.REFUSED:
            assert ours.state is records.State.REFUSED
            assert ours.request.status == record.code
            return
        assert record.code == CertStatusCode.requestComplete
        certified = applicant.certified()
        assert record.certificates == ours.request.certificates
        secrets = applicant._records.opened(record)
        key = private_key_from(secrets.signature_key or b"")
        assert key_of(certified.credentials.signer.certificate) == public_key_der(key.public_key())
        if certified.pan_secret is not None:
            card: Any = applicant._subject
            assert certified.credentials.party.name == cardholder_name(card.pan, card.expiry, certified.pan_secret)
        else:
            assert certified.credentials.party.name == ours.name


def _kinds(role: Role) -> tuple[Any, Any]:
    return SIGNATURE_KINDS[role], EXCHANGE_KINDS.get(role)


def key_of(certificate: bytes) -> bytes:
    return public_key_der(x509.load_der_x509_certificate(certificate).public_key())


def run(role: Role, same_key: bool, actions: list[tuple[str, int]]) -> Run:
    happening = Run(role, same_key)
    try:
        for action in actions:
            happening.act(*action)
        happening.settle()
    finally:
        happening.patch.undo()
    return happening


@pytest.mark.prop("CR-1", "CR-17", "CR-18", "MR-5", "MR-6", "MR-7", "MR-8", "PX-9", "PX-13")
@pytest.mark.parametrize("same_key", [False, True])
@pytest.mark.parametrize("role", SUBJECTS)
def test_whatever_happens_on_the_way(role: Role, same_key: bool) -> None:
    """With one key for both, one of them at most is certified; with two, nobody is in the way of the other."""

    @settings(max_examples=EXAMPLES)
    @given(st.lists(ACTIONS, max_size=40))
    def check(actions: list[tuple[str, int]]) -> None:
        happening = run(role, same_key, actions)
        complete = [each for each in happening.applicants if each.enrolment().state is State.COMPLETE]
        if same_key:
            assert len(complete) <= 1
        elif ("bank", 3) not in actions and ("apply", 2) not in actions and ("apply", 3) not in actions:
            assert len(complete) == 2

    check()


@pytest.mark.parametrize("role", SUBJECTS)
def test_the_runs_reach_every_state(role: Role) -> None:
    """Without deviations everybody is certified; with one key, one of the two."""
    straight = [("deliver", 0)] * 12 + [("apply", 0), ("apply", 1)] + [("deliver", 0)] * 4
    for same_key, certified in ((False, 2), (True, 1)):
        happening = run(role, same_key, straight)
        states = [each.enrolment().state for each in happening.applicants]
        assert states.count(State.COMPLETE) == certified
        assert EventKind.REFUSED not in {event.kind for event in happening.office.events}
