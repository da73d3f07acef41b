"""Whole registrations of a cardholder, a merchant and a gateway, with everything in them laid open.

Each goes the long way: the first CertReq leaves an answer out, the second has to wait, and an inquiry brings the
certificates.  Then the certificates are renewed, and somebody is sent elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pki.der import decode
from setproto.card import PAN, Card
from setproto.messages.codes import RequestType
from setproto.messages.common import Role
from setproto.messages.registration import (
    AcctData,
    AcquirerID,
    CertInqReqData,
    CertResWire,
    IDData,
    KeySigned,
    MerchantAcquirerID,
    PANData0,
    PANOnly,
    SealedPair,
)
from setproto.messages.registry import MESSAGES, MessageType, Operator
from setproto.messages.wrapper import unwrap
from setproto.roles.applicant import Applicant
from setproto.roles.authority.ports import Verdict
from setproto.roles.enrolment import Business
from setproto.roles.ports import Outgoing
from setproto.roles.registration import open_cert_req, receive_reg_form_req
from tests.registration.office import ANSWERS, CARD, GATEWAY, INITIAL, SHOP, Office

KIND = {kind.name: kind for kind in MESSAGES.values()}
RENEWAL = {
    Role.cardholder: RequestType.cardRenewalSig,
    Role.merchant: RequestType.merRenewalBoth,
    Role.gateway: RequestType.pgwyRenewalBoth,
}
ELSEWHERE: dict[Role, Card | Business] = {
    Role.cardholder: replace(CARD, pan=PAN("9999990000000006")),
    Role.merchant: replace(
        SHOP, id_data=IDData(merchant_acquirer_id=MerchantAcquirerID(merchant_bin="999999", merchant_id="shop-1"))
    ),
    Role.gateway: replace(
        GATEWAY, id_data=IDData(acquirer_id=AcquirerID(acquirer_bin="999999", acquirer_business_id="gateway-1"))
    ),
}
"""Those whom the CA refers to somebody else."""


@dataclass(frozen=True)
class Opened:
    """A message and all that is in it: the body, and in ``more`` what carries it and what comes with it."""

    kind: MessageType[Any]
    data: bytes
    body: Any
    more: tuple[Any, ...]


@cache
def registered(role: Role, suite: str = "p256") -> tuple[Opened, ...]:
    """Every message of a registration, a renewal and a referral in this role; made once."""
    office = Office.open(suite)
    first = office.applicant(role)
    opened = list(_whole(office, first))
    again = office.applicant(role, request_type=RENEWAL[role], certified=first.certified().credentials)
    opened += _whole(office, again)
    assert again.certified()
    stranger = office.applicant(role, subject=ELSEWHERE[role])
    return (*opened, *_carried(office, stranger, stranger.start()))


def every_message() -> tuple[Opened, ...]:
    """Of all roles."""
    return tuple(message for role in INITIAL for message in registered(role))


def _whole(office: Office, applicant: Applicant) -> Iterator[Opened]:
    office.bank.verdicts.append(Verdict.PENDING)
    yield from _carried(office, applicant, applicant.start())
    for answers in ({}, ANSWERS):
        yield from _carried(office, applicant, applicant.apply(answers))
    yield from _carried(office, applicant, applicant.inquire())


def _carried(office: Office, applicant: Applicant, first: Outgoing) -> Iterator[Opened]:
    return (lay_open(office, applicant, message) for message in office.steps(applicant, first))


def lay_open(office: Office, applicant: Applicant, message: Outgoing) -> Opened:
    """A message read with the keys of whom it is for, before it is handled."""
    kind, wire, role = KIND[message.name], unwrap(message.data), applicant.party.role
    ca = office.cas[role]
    more: tuple[Any, ...] = ()
    body: Any
    if kind.operator is Operator.PLAIN:
        body = decode(kind.body, wire.body)
    elif kind.operator is Operator.S:
        body = applicant.receive(wire, kind).body
    elif kind.operator is Operator.EXH:
        received = receive_reg_form_req(ca, wire)
        body, more = received.body, (decode(SealedPair, wire.body), decode(PANOnly, received.baggage))
    elif kind.operator is Operator.ENCX:
        body, signed, account = open_cert_req(ca, wire.header.sender, wire.header.rrpid, wire.body)
        assert account is not None
        of = PANData0 if role is Role.cardholder else AcctData
        more = (decode(SealedPair, wire.body), signed, decode(of, account))
    elif kind.operator is Operator.ENCK:
        body = applicant._receive_cert_res(wire, kind, applicant.enrolment()).body
        more = (decode(CertResWire, wire.body),)
    else:
        assert kind.operator is Operator.SELF
        signed = decode(KeySigned, wire.body)
        body, more = decode(CertInqReqData, signed.content), (signed,)
    return Opened(kind, message.data, body, more)
