"""A registration office: the three CAs of a brand, a bank that decides, and whoever comes to be certified."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pki import Authority, BrandTree, MemoryRegister, MerchantData, MerchantName, PathValidator, build_brand_tree
from setproto.card import PAN, Card, CardExpiry
from setproto.crypto.cms import SecretKey
from setproto.market import ACQUIRER_BIN, BRAND, TEST_CARD, Clock, credentials
from setproto.messages.codes import RequestType
from setproto.messages.common import PartyID, Role
from setproto.messages.registration import AcquirerID as GatewayID
from setproto.messages.registration import (
    IDData,
    MerchantAcquirerID,
    ReferralData,
    RegField,
    RegFormData,
    RegTemplate,
)
from setproto.roles.applicant import Applicant
from setproto.roles.authority import CertificateAuthority
from setproto.roles.authority.ports import Application, Approval, CardApplication, Decision, Form, Verdict
from setproto.roles.credentials import Credentials
from setproto.roles.enrolment import Business
from setproto.roles.ports import Event, Outgoing
from setproto.store import MemoryStore

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
CARD = Card(BRAND, PAN(TEST_CARD), CardExpiry("203012"))
OTHER_CARD = Card(BRAND, PAN("5555555555554444"), CardExpiry("203012"))
ANSWERS = {"Name": "Ada Lovelace", "Password": "sesame"}
NAME = RegField(field_name="Name", field_desc="as on the card", field_len=40, field_required=True)
PASSWORD = RegField(field_name="Password", field_invisible=True, field_required=True)
NOTE = RegField(field_name="Note", field_len=10)
FORM = RegFormData(
    reg_template=RegTemplate(reg_form_id=7, reg_field_seq=[NAME, PASSWORD, NOTE]), policy_text="Be good."
)
ACCOUNT = RegField(field_name="Account at the acquirer", field_required=True)
SHOP = Business(
    Role.merchant,
    IDData(merchant_acquirer_id=MerchantAcquirerID(merchant_bin=ACQUIRER_BIN, merchant_id="shop-1")),
    "ACC-1",
)
OTHER_SHOP = replace(
    SHOP, id_data=IDData(merchant_acquirer_id=MerchantAcquirerID(merchant_bin=ACQUIRER_BIN, merchant_id="shop-2"))
)
GATEWAY = Business(
    Role.gateway,
    IDData(acquirer_id=GatewayID(acquirer_bin=ACQUIRER_BIN, acquirer_business_id="gateway-1")),
    "ACC-2",
)
INITIAL = {
    Role.cardholder: RequestType.cardInitialSig,
    Role.merchant: RequestType.merInitialBoth,
    Role.gateway: RequestType.pgwyInitialBoth,
}
SUBJECTS: dict[Role, Card | Business] = {Role.cardholder: CARD, Role.merchant: SHOP, Role.gateway: GATEWAY}


@dataclass
class Bank:
    """Decides what it is told to, and remembers what it was asked."""

    verdicts: list[Verdict] = field(default_factory=list)
    """The next ones; APPROVED when there are none."""
    asked: list[Application] = field(default_factory=list)
    approval: Callable[[Application], Approval] | None = None

    def decide(self, application: Application) -> Decision:
        """The next verdict."""
        self.asked.append(application)
        verdict = self.verdicts.pop(0) if self.verdicts else Verdict.APPROVED
        if verdict is not Verdict.APPROVED:
            return Decision(verdict, ee_message="please be patient")
        return Decision(verdict, approval=(self.approval or approve)(application))


def approve(application: Application) -> Approval:
    """What the bank says of whom it approves."""
    if isinstance(application, CardApplication):
        return Approval("XX", "Issuing Bank")
    if application.party.role is Role.gateway:
        return Approval("XX", "Acquiring Bank")
    return Approval("XX", "Acquiring Bank", merchant_data=merchant_data(application.party.name))


def merchant_data(mer_id: str) -> MerchantData:
    """What stands in a merchant certificate."""
    name = MerchantName(language="en", name="Corner Bookshop", city="Capital", country_name="XX")
    return MerchantData(mer_id=mer_id, mer_acquirer_bin=ACQUIRER_BIN, mer_name_seq=(name,), mer_country=999)


@dataclass
class Forms:
    """One form for everybody but those whose BIN is elsewhere."""

    referred: str = "999999"

    def find(self, request_type: RequestType, bin_number: str, language: str) -> Form | ReferralData:
        """The form, or where to go instead."""
        if bin_number == self.referred:
            return ReferralData(reason="not our card", referral_url_seq=["https://example.com/"])
        return Form(FORM, None if request_type.applicant == Role.cardholder else ACCOUNT)


@dataclass
class Office:
    """Everybody on the CAs' side, and the wires."""

    tree: BrandTree
    clock: Clock
    bank: Bank
    cas: dict[Role, CertificateAuthority]
    stores: dict[Role, MemoryStore]
    registers: dict[Role, MemoryRegister]
    wire: list[Outgoing] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    tamper: Callable[[Outgoing], bytes] | None = None
    restarts: bool = False
    """Everybody is switched off and on again before every message."""

    @classmethod
    def open(cls, suite: str = "p256", *, geo: bool = False) -> Office:
        """Build the hierarchy and the three CAs."""
        clock = Clock(NOW)
        tree = build_brand_tree(suite, now=NOW - timedelta(days=1), brand=BRAND, geo=geo)
        bank, forms = Bank(), Forms()
        cas, stores, registers = {}, {}, {}
        for applicants, role, authority in (
            (Role.cardholder, Role.cardholder_ca, tree.cca),
            (Role.merchant, Role.merchant_ca, tree.mca),
            (Role.gateway, Role.gateway_ca, tree.pca),
        ):
            assert isinstance(authority.register, MemoryRegister)
            stores[applicants], registers[applicants] = MemoryStore(), authority.register
            cas[applicants] = certificate_authority(
                tree, role, authority, bank, forms, stores[applicants], registers[applicants], clock
            )
        return cls(tree, clock, bank, cas, stores, registers)

    def applicant(
        self,
        role: Role = Role.cardholder,
        *,
        subject: Card | Business | None = None,
        request_type: RequestType | None = None,
        certified: Credentials | None = None,
        lid_ee: bytes | None = None,
        store: MemoryStore | None = None,
        validator: PathValidator | None = None,
    ) -> Applicant:
        """Somebody who wants to be certified."""
        return Applicant(
            subject or SUBJECTS[role],
            request_type or INITIAL[role],
            validator or self.tree.validator(self.clock()),
            store or MemoryStore(),
            brand=BRAND,
            lid_ee=lid_ee or os.urandom(8),
            vault=SecretKey(bytes(range(32)), b"vault"),
            clock=self.clock,
            random=os.urandom,
            certified=certified,
        )

    def deliver(self, applicant: Applicant, message: Outgoing) -> None:
        """Carry a message to the CA, and what comes of it, until the wires are silent."""
        for _ in self.steps(applicant, message):
            pass

    def steps(self, applicant: Applicant, message: Outgoing) -> Iterator[Outgoing]:
        """Every message before it is delivered."""
        role, to_ca = applicant.party.role, True
        waiting = [(to_ca, message)]
        while waiting:
            to_ca, item = waiting.pop(0)
            yield item
            data = item.data if self.tamper is None else self.tamper(item)
            self.wire.append(replace(item, data=data))
            if self.restarts:
                self.restart(role)
                applicant = self.again(applicant)
            reply = (self.cas[role] if to_ca else applicant).handle(data)
            self.events += reply.events
            waiting += [(not to_ca, answer) for answer in reply.outgoing]

    def ready(self, role: Role = Role.cardholder, **how: Any) -> Applicant:
        """An applicant that has its form."""
        applicant = self.applicant(role, **how)
        self.deliver(applicant, applicant.start())
        return applicant

    def restart(self, role: Role) -> CertificateAuthority:
        """A new object on the same store, with the same keys."""
        self.cas[role] = self.on_the_store_of(self.cas[role], self.cas[role].credentials)
        return self.cas[role]

    def on_the_store_of(self, ca: CertificateAuthority, credentials: Credentials) -> CertificateAuthority:
        """A new object with these credentials, and everything else as this CA has it."""
        return CertificateAuthority(
            credentials,
            ca._authority,
            ca._register,
            ca._forms,
            ca._entitlement,
            ca.validator,
            ca.store,
            secret_key=ca._secret_key,
            clock=self.clock,
            random=ca.random,
        )

    def again(self, applicant: Applicant) -> Applicant:
        """The same registration by a new object on the same store."""
        assert isinstance(applicant.store, MemoryStore)
        return self.applicant(
            applicant.party.role,
            subject=applicant._subject,
            request_type=applicant._request_type,
            certified=applicant._certified,
            lid_ee=applicant._lid_ee,
            store=applicant.store,
        )

    def state(self) -> tuple[Any, ...]:
        """What the CAs keep, and what they have certified."""
        return tuple((self.stores[role].dump(), self.certified(role)) for role in SUBJECTS)

    def certified(self, role: Role = Role.cardholder) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
        """The keys (SHA-256) and certificates (DER) in a CA's register."""
        register = self.registers[role]
        return frozenset(register._keys), tuple(register._certificates.values())

    def register(self, applicant: Applicant, answers: dict[str, str] | None = None) -> Applicant:
        """A whole registration."""
        self.deliver(applicant, applicant.start())
        self.deliver(applicant, applicant.apply(ANSWERS if answers is None else answers))
        return applicant


def certificate_authority(
    tree: BrandTree,
    role: Role,
    authority: Authority,
    bank: Bank,
    forms: Forms,
    store: MemoryStore,
    register: MemoryRegister,
    clock: Clock,
) -> CertificateAuthority:
    """One CA of the brand."""
    issued = tree.issue_ca_messages(authority)
    validator = tree.validator(clock())
    own = PartyID(role=role, brand=BRAND, name=authority.checked.name.units[0])
    return CertificateAuthority(
        credentials(issued, own, tree.suite.name),
        authority,
        lambda transaction: register,
        forms,
        bank,
        validator,
        store,
        secret_key=bytes(32),
        clock=clock,
        random=os.urandom,
    )
