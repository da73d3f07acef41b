"""Registration messages that break one rule: what applicants and CAs could send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pki.der import encode
from setproto.card import Card
from setproto.crypto.cms import Enclosed, SecretKey, Signer, seal
from setproto.crypto.possession import private_key_from
from setproto.messages.common import PartyID
from setproto.messages.oids import ID_PAN_ONLY
from setproto.messages.registration import (
    CertInqReqData,
    CertReqData,
    CertResWire,
    KeySigned,
    PANOnly,
    RegFormReqData,
)
from setproto.messages.registry import CERT_INQ_REQ, CERT_INQ_RES, CERT_REQ, CERT_RES, MESSAGES, REG_FORM_REQ
from setproto.messages.wrapper import MessageHeader, MessageIDs, header, header_digest, unwrap, wrap
from setproto.roles.applicant import Applicant
from setproto.roles.authority import CertificateAuthority
from setproto.roles.registration import account_digest, account_kind, seal_pair, sign_with_keys
from vectors.recipes.hands import exchange_of, forced
from vectors.recipes.office import ANSWERS, Office

KIND = {kind.name: kind for kind in MESSAGES.values()}


def ca_of(office: Office, applicant: Applicant) -> CertificateAuthority:
    """The CA of an applicant's role."""
    return office.cas[applicant.party.role]


# --- requests --------------------------------------------------------------------------------------


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
    header_rrpid: bytes | None = None
    """Instead of the one of the request."""

    def but(self, **changes: Any) -> Draft:
        """With other fields in the request."""
        return replace(self, request=forced(self.request, **changes))

    def head(self, **changes: Any) -> Draft:
        """With other fields in its head."""
        return self.but(head=replace(self.request.head, **changes))

    @property
    def over(self) -> MessageHeader:
        """The header that it travels under."""
        rrpid = self.header_rrpid or self.request.rrpid
        return header(self.request.request_date.as_datetime(), self.sender, rrpid, MessageIDs())

    @property
    def content(self) -> bytes:
        """What is signed."""
        changes: dict[str, Any] = {
            "head": replace(self.request.head, header_digest=header_digest(encode(self.over), None))
        }
        if self.linked and self.account is not None:
            changes["account_digest"] = account_digest(account_kind(self.applicant.party.role), self.account)
        return encode(forced(self.request, **changes))

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
    over = applicant.header(changes.pop("header_rrpid", rrpid), MessageIDs())
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


# --- answers --------------------------------------------------------------------------------------


def answer_of(office: Office, applicant: Applicant, data: bytes) -> bytes:
    """The CA's answer to a request, not delivered yet."""
    (answer,) = ca_of(office, applicant).handle(data).outgoing
    assert answer.name != "Error"
    return answer.data


def said(applicant: Applicant, data: bytes) -> Any:
    """The signed body of an answer, as its applicant reads it, and the certificates that came along."""
    wire = unwrap(data)
    assert wire.type is not None
    if wire.type in (CERT_RES, CERT_INQ_RES):
        return applicant._receive_cert_res(wire, wire.type, applicant.enrolment())
    return applicant.receive(wire, wire.type)


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
    header_rrpid: bytes | None = None,
    wired: Callable[[bytes, bytes], CertResWire] | None = None,
    **changes: Any,
) -> bytes:
    """An answer of the CA with other fields, signed by the CA's own key, or by that of another one.

    ``revocation`` is enclosed instead of what the CA knows.  ``wired`` makes a CertRes of the signed body and the
    sealed one.  The applicant must be able to read the genuine answer.
    """
    ca, wire = by or ca_of(office, applicant), unwrap(data)
    assert wire.type is not None
    received = said(applicant, data)
    body = forced(received.body, **changes)
    over = ca.header(header_rrpid or body.rrpid, MessageIDs())
    body = forced(
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
    secrets = applicant._records.opened(record)
    if clear or (secrets.back_key is None and wired is None):
        return wrap(wire.type, encode(CertResWire(signed=signed)), over)
    assert record.form is not None
    assert record.ca is not None
    context = ca.context(wire.type.content_type, record.ca, applicant._applying_as(record), None, over.rrpid)
    sealed = seal(signed, SecretKey(secrets.back_key or bytes(32), record.form.lid_ca), context=context)
    made = CertResWire(sealed=sealed) if wired is None else wired(signed, sealed)
    return wrap(wire.type, encode(made), over)


def inquiry(
    office: Office,
    applicant: Applicant,
    key: Any | None,
    certified: Signer | None = None,
    *,
    header_rrpid: bytes | None = None,
    **head: Any,
) -> bytes:
    """CertInqReq about an applicant's registration, signed with these keys; ``head``: other fields in its head."""
    record, ca = applicant.enrolment(), ca_of(office, applicant)
    assert record.form is not None
    sender, rrpid = applicant._applying_as(record), applicant.random(20)
    over = header(office.clock(), sender, header_rrpid or rrpid, MessageIDs())
    body = CertInqReqData(
        head=replace(applicant.head(CERT_INQ_REQ.content_type, ca.party, over), **{"sender": sender, **head}),
        rrpid=rrpid,
        lid_ee=applicant._lid_ee,
        chall_ee3=applicant.random(20),
        lid_ca=record.form.lid_ca,
    )
    signed = sign_with_keys(CERT_INQ_REQ, encode(body), applicant.suite, key, certified)
    return wrap(CERT_INQ_REQ, signed, over)
