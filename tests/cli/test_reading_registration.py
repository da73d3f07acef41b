"""The reader shows registration, too, and opens what is sealed in it for whoever has the key."""

from __future__ import annotations

import pytest

from setproto.crypto.cms import BareRecipientKey
from setproto.crypto.possession import private_key_from
from setproto.messages.common import Role
from setproto.messages.registry import MESSAGES
from setproto.reading import Kind, Reader
from setproto.reading.keys import AnyOpener, Opener
from setproto.reading.values import oid_name
from setproto.roles.applicant import Applicant
from setproto.roles.authority.ports import Verdict
from tests.cli.conftest import PAN
from tests.cli.test_demo import EVERY_SUITE
from tests.registration.office import ANSWERS, Office


def registered(office: Office, role: Role) -> Applicant:
    office.bank.verdicts = [Verdict.PENDING]
    applicant = office.register(office.applicant(role), ANSWERS)
    office.deliver(applicant, applicant.inquire())
    return applicant


@pytest.mark.parametrize("suite", EVERY_SUITE)
def test_every_message_of_a_registration_is_shown_and_everything_sealed_in_it_opens(suite: str) -> None:
    office = Office.open(suite)
    people = [registered(office, role) for role in (Role.cardholder, Role.merchant, Role.gateway)]
    keys: list[AnyOpener] = [Opener(ca.exchange_key(), ca.party) for ca in office.cas.values()]
    for applicant in people:
        exchange = applicant._records.opened(applicant.enrolment()).exchange_key
        if exchange is not None:
            keys.append(Opener(BareRecipientKey(private_key_from(exchange), suite), applicant.party))
    reader, names = Reader(keys), set()
    for message in office.wire:
        first = len(reader.found)
        node = reader.message(message.data)
        names.add(node.name)
        assert not any(PAN in part.text for part in node.walk())
        for entry in reader.found[first:]:
            assert entry.kind is Kind.PLAIN or entry.content is not None, (node.name, entry.name)
            assert entry.name != "unknown content"
    kinds = [message for message in MESSAGES.values() if message.tag >= 22]
    assert names == {message.name for message in kinds}
    sealed = {entry.name for entry in reader.found if entry.kind is Kind.SEALED}
    assert sealed >= {"PANOnly", "PANData0", "AcctData", "KeyChallenge", "CertReqTBS", "CertResTBS", "CertInqResTBS"}
    bodies = {entry.name for entry in reader.found if entry.kind is Kind.PLAIN}
    titles = {oid_name(message.content_type) for message in kinds} - {"CertReqTBS", "CertInqReqTBS", "Me-AqCInitReq"}
    assert bodies >= titles | {"CertReqData", "CertInqReqData", "MeAqCInitReq"}


def test_a_stranger_sees_no_more_than_the_wire_shows() -> None:
    office = Office.open()
    registered(office, Role.cardholder)
    reader = Reader()
    for message in office.wire:
        reader.message(message.data)
    closed = {entry.name for entry in reader.found if entry.kind is Kind.SEALED and entry.content is None}
    assert closed >= {"PANOnly", "PANData0", "CertReqTBS", "CertResTBS"}
    assert not {entry.name for entry in reader.found if entry.kind is Kind.SEALED and entry.content is not None}


def test_a_brand_crl_identifier_is_shown_with_what_it_lists() -> None:
    office = Office.open(geo=True)
    now = office.clock()
    crls = office.tree.crls(now)
    node = Reader().read(office.tree.bci(crls, now))
    assert node.name == "BrandCRLIdentifier"
    listed = node.find("crl_identifier_seq")
    assert listed is not None
    assert len(listed.children) == len(crls)
    assert any("Merchant CA" in child.text for child in listed.children)
