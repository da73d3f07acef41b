"""Registration messages made by hand: what applicants and CAs could send that do not keep to the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pki import key_suite
from pki.der import encode
from setproto.card import Card
from setproto.crypto.cms import Enclosed, SecretKey, Signer, seal
from setproto.crypto.possession import private_key_from
from setproto.errors import ErrorCode
from setproto.messages.codes import CertStatusCode
from setproto.messages.common import PartyID, Role
from setproto.messages.oids import ID_PAN_ONLY
from setproto.messages.registration import (
    CertInqReqData,
    CertReqData,
    CertResWire,
    KeySigned,
    PANOnly,
    RegFormReqData,
)
from setproto.messages.registry import CERT_INQ_REQ, CERT_INQ_RES, CERT_REQ, CERT_RES, REG_FORM_REQ
from setproto.messages.wrapper import MessageHeader, MessageIDs, header, header_digest, unwrap, wrap
from setproto.roles import applicant as applicants
from setproto.roles.applicant import Applicant, State
from setproto.roles.authority import CertificateAuthority
from setproto.roles.authority.ports import Verdict
from setproto.roles.party import Party
from setproto.roles.ports import EventKind, Outgoing, Reply
from setproto.roles.registration import account_digest, account_kind, seal_pair, sign_with_keys
from setproto.store import MemoryStore
from tests.registration.office import ANSWERS, Office
from tests.roles.scenes import exchange_of
from vectors.recipes.registration_hands import (
    KIND,
    said,
)

# --- what came of it ------------------------------------------------------------------------------


def kept(party: Party) -> dict[tuple[str, bytes], bytes]:
    """What a party has stored."""
    assert isinstance(party.store, MemoryStore)
    return party.store.dump()


def ca_of(office: Office, applicant: Applicant) -> CertificateAuthority:
    return office.cas[applicant.party.role]


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


@dataclass(frozen=True)
class Draft:
    """A CertReq in parts.  The header names ``sender``; ``request`` is completed by what depends on other parts."""

    office: Office
    applicant: Applicant
    request: CertReqData
    account: bytes | None
    new_key: Any | None
    certified: Signer | None
    sender: PartyID
    signed: KeySigned | bytes | None = None
    """Instead of the right signatures."""
    linked: bool = True
    """Whether account_digest is made to fit."""

    def but(self, **changes: Any) -> Draft:
        """With other fields in the request."""
        return replace(self, request=replace(self.request, **changes))

    def head(self, **changes: Any) -> Draft:
        """With other fields in its head."""
        return self.but(head=replace(self.request.head, **changes))

    @property
    def over(self) -> MessageHeader:
        return header(self.request.request_date.as_datetime(), self.sender, self.request.rrpid, MessageIDs())

    @property
    def content(self) -> bytes:
        """What is signed."""
        changes: dict[str, Any] = {
            "head": replace(self.request.head, header_digest=header_digest(encode(self.over), None))
        }
        if self.linked and self.account is not None:
            changes["account_digest"] = account_digest(account_kind(self.applicant.party.role), self.account)
        return encode(replace(self.request, **changes))

    def data(self, ca: CertificateAuthority | None = None) -> bytes:
        """The message, for the applicant's CA or another."""
        to = ca or ca_of(self.office, self.applicant)
        content = self.content
        if isinstance(self.signed, bytes):
            signed = self.signed
        elif self.signed is not None:
            signed = encode(replace(self.signed, content=content))
        else:
            signed = sign_with_keys(CERT_REQ, content, self.applicant.suite, self.new_key, self.certified)
        kind = account_kind(self.applicant.party.role)
        extra = None if self.account is None else (kind, self.account)
        pair = seal_pair(self.applicant, CERT_REQ, self.over, to.party, exchange_of(to), signed, extra)
        return wrap(CERT_REQ, pair, self.over)


def draft(office: Office, applicant: Applicant, answers: Mapping[str, str] | None = None) -> Draft:
    """The parts of what the applicant could send now: it has its form."""
    record = applicant.enrolment()
    assert record.form is not None
    assert record.ca is not None
    secrets, request, account = applicant._request(record, record.form, record.ca, answers or ANSWERS)
    new_key = None if secrets.signature_key is None else private_key_from(secrets.signature_key)
    certified = None if applicant._certified is None else applicant._certified.signer
    return Draft(office, applicant, request, account, new_key, certified, applicant._applying_as(record))


def reg_form_req(office: Office, applicant: Applicant, pan_only: bytes | None = None, **changes: Any) -> bytes:
    """The RegFormReq of a cardholder, with other contents."""
    ca, card = ca_of(office, applicant), applicant._subject
    assert isinstance(card, Card)
    rrpid = changes.pop("rrpid", None) or applicant.random(20)
    account = pan_only or encode(PANOnly.of(card.pan, applicant.random(32)))
    over = applicant.header(rrpid, MessageIDs())
    body = RegFormReqData(
        head=applicant.head(REG_FORM_REQ.content_type, ca.party, over),
        rrpid=rrpid,
        lid_ee=applicant._lid_ee,
        chall_ee2=applicant.random(20),
        request_type=applicant._request_type,
        language="en",
        account_digest=account_digest(ID_PAN_ONLY, account),
        thumbs=applicant.thumbs,
    )
    content = encode(replace(body, **changes))
    pair = seal_pair(applicant, REG_FORM_REQ, over, ca.party, exchange_of(ca), content, (ID_PAN_ONLY, account))
    return wrap(REG_FORM_REQ, pair, over)


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


def answer_of(office: Office, applicant: Applicant, data: bytes) -> bytes:
    """The CA's answer to a request, not delivered yet."""
    (answer,) = ca_of(office, applicant).handle(data).outgoing
    assert answer.name != "Error"
    return answer.data


def answered(
    office: Office,
    applicant: Applicant,
    data: bytes,
    *,
    by: CertificateAuthority | None = None,
    also: Sequence[bytes] = (),
    head: Mapping[str, Any] | None = None,
    clear: bool = False,
    revocation: Enclosed | None = None,
    **changes: Any,
) -> bytes:
    """An answer of the CA with other fields, signed by the CA's own key, or by that of another one.

    ``revocation`` is enclosed instead of what the CA knows.  The applicant must be able to read the genuine answer.
    """
    ca, wire = by or ca_of(office, applicant), unwrap(data)
    assert wire.type is not None
    received = said(applicant, data)
    body = replace(received.body, **changes)
    over = ca.header(body.rrpid, MessageIDs())
    body = replace(
        body,
        head=replace(
            ca.head(wire.type.content_type, received.body.head.recipient, over),
            **(head or {}),
        ),
    )
    own = ca_of(office, applicant).credentials.own_certificates
    enclosed = (*also, *(der for der in received.certificates if by is None or der not in own))
    if revocation is None:
        signed = ca.sign(wire.type, encode(body), also=enclosed, inform=True)
    else:
        everything = (*ca.credentials.own_certificates, *enclosed)
        signed = ca.credentials.signer.sign(
            encode(body), wire.type.content_type, certificates=everything, revocation=revocation
        )
    if wire.type not in (CERT_RES, CERT_INQ_RES):
        return wrap(wire.type, signed, over)
    record = applicant.enrolment()
    secrets = applicant._opened(record)
    if secrets.back_key is None or clear:
        return wrap(wire.type, encode(CertResWire(signed=signed)), over)
    assert record.form is not None
    assert record.ca is not None
    context = ca.context(wire.type.content_type, record.ca, applicant._applying_as(record), None, body.rrpid)
    sealed = seal(signed, SecretKey(secrets.back_key, record.form.lid_ca), context=context)
    return wrap(wire.type, encode(CertResWire(sealed=sealed)), over)


def inquiry(office: Office, applicant: Applicant, key: Any | None, certified: Signer | None = None) -> bytes:
    """CertInqReq about an applicant's registration, signed with these keys."""
    record, ca = applicant.enrolment(), ca_of(office, applicant)
    assert record.form is not None
    sender, rrpid = applicant._applying_as(record), applicant.random(20)
    over = header(office.clock(), sender, rrpid, MessageIDs())
    body = CertInqReqData(
        head=replace(applicant.head(CERT_INQ_REQ.content_type, ca.party, over), sender=sender),
        rrpid=rrpid,
        lid_ee=applicant._lid_ee,
        chall_ee3=applicant.random(20),
        lid_ca=record.form.lid_ca,
    )
    signed = sign_with_keys(CERT_INQ_REQ, encode(body), applicant.suite, key, certified)
    return wrap(CERT_INQ_REQ, signed, over)


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
