"""One message delivered to one party: the operation ``message.receive``.

The party is built from what the vector gives: keys, trust, policy, and its state.  Other implementations rebuild the
state from the transcript; this one loads ``x-setproto-state``.  A business refusal of a request (declined, a card that
has expired, a form filled in wrongly) is "invalid" too: its reason is the code of the answer, ``AuthCode.declined``.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography import x509

from pki import Authority, MemoryRegister, MerchantData, MerchantName, PathValidator
from pki.der import decode
from setproto.amounts import CurrencyAmount
from setproto.bank import Account, MemoryIssuer
from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret
from setproto.crypto.cms import RecipientKey, SecretKey, Signer
from setproto.crypto.possession import private_key_from
from setproto.crypto.suites import suite
from setproto.messages.codes import RequestType
from setproto.messages.common import PartyID, Role
from setproto.messages.payment import AcqCardCodeMsg
from setproto.messages.registration import IDData, ReferralData, RegField, RegFormData
from setproto.messages.registry import PREQ, RESPONSES
from setproto.messages.wrapper import Wire, unwrap
from setproto.roles.applicant import Applicant
from setproto.roles.authority import CertificateAuthority
from setproto.roles.authority.ports import Application, Approval, CardApplication, Decision, Form, Verdict
from setproto.roles.cardholder import Cardholder, PaymentCard
from setproto.roles.credentials import Credentials
from setproto.roles.enrolment import Business
from setproto.roles.gateway import Gateway
from setproto.roles.merchant import Merchant
from setproto.roles.party import Party
from setproto.roles.ports import Advice, AuthorizationDecision, AuthorizationRequest, Event, EventKind, NoReply, Reply
from setproto.store import MemoryStore

_FINE: Final = frozenset({"approved", "success", "requestComplete", "requestPended", "requestInProgress"})
"""Codes of an answer that does what was asked, or will."""


def octets(value: str) -> bytes:
    """From hexadecimal digits."""
    return bytes.fromhex(value)


# --- what a party has -----------------------------------------------------------------------------


def validator_of(suite_name: str, trust: Mapping[str, Any]) -> PathValidator:
    """Trusts the roots, knows the certificates, has the CRLs and the BrandCRLIdentifiers."""
    roots = [x509.load_der_x509_certificate(octets(root)) for root in trust["roots"]]
    validator = PathValidator(roots, suite=suite_name)
    for certificate in trust["certificates"]:
        validator.add_certificate(octets(certificate))
    for crl in trust["crls"]:
        validator.add_crl(octets(crl))
    for bci in trust["bcis"]:
        validator.add_bci(octets(bci))
    return validator


def store_of(state: Mapping[str, Mapping[str, str]]) -> MemoryStore:
    """A store with this content."""
    store = MemoryStore()
    with store.transaction() as transaction:
        for table, rows in state.items():
            for key, value in rows.items():
                transaction.put(table, octets(key), octets(value))
    return store


def credentials_of(suite_name: str, keys: Mapping[str, Any]) -> Credentials:
    """Keys and certificates, under the name that ``party`` says."""
    exchange = None
    if keys.get("exchange_key"):
        certificate = octets(keys["exchange_certificate"])
        exchange = RecipientKey(private_key_from(octets(keys["exchange_key"])), certificate, suite_name)
    key = private_key_from(octets(keys["signature_key"]))
    signer = Signer(key, octets(keys["signature_certificate"]), suite(suite_name))
    party = decode(PartyID, octets(keys["party"]))
    return Credentials(party, signer, exchange, tuple(map(octets, keys["chain"])))


class Bank:
    """The issuer behind a gateway: decides by its accounts, or as it is told to; advice is taken note of."""

    def __init__(self, policy: Mapping[str, Any]) -> None:
        self._issuer = MemoryIssuer(
            Account(
                PAN(account["pan"]),
                CardExpiry(account["expiry"]),
                CardSecret(octets(account["card_secret"])),
                CurrencyAmount.of(account["available"]),
            )
            for account in policy["accounts"]
        )
        self._silent = policy.get("bank") == "silent"

    def authorize(self, request: AuthorizationRequest) -> AuthorizationDecision:
        """As its accounts say."""
        if self._silent:
            raise NoReply
        return self._issuer.authorize(request)

    def advise(self, advice: Advice) -> None:
        """It has happened already."""


class Desk:
    """Forms and entitlement at a CA, as the policy says."""

    def __init__(self, policy: Mapping[str, Any]) -> None:
        self._policy = policy

    def find(self, request_type: RequestType, bin_number: str, language: str) -> Form | ReferralData:
        """The one form; for the BIN that is ``referred``, a referral."""
        if bin_number == self._policy["referred"]:
            return ReferralData(reason="not our card", referral_url_seq=["https://example.com/"])
        field = self._policy.get("account_field")
        account = None if field is None else decode(RegField, octets(field))
        return Form(decode(RegFormData, octets(self._policy["form"])), account)

    def decide(self, application: Application) -> Decision:
        """The verdict, for anybody."""
        verdict = Verdict[self._policy["verdict"]]
        if verdict is not Verdict.APPROVED:
            return Decision(verdict, ee_message="please be patient")
        bank = "Issuing Bank" if isinstance(application, CardApplication) else "Acquiring Bank"
        if isinstance(application, CardApplication) or application.party.role is not Role.merchant:
            return Decision(verdict, approval=Approval("XX", bank))
        name = MerchantName(language="en", name="Corner Bookshop", city="Capital", country_name="XX")
        data = MerchantData(
            mer_id=self._policy.get("known_as", application.party.name),
            mer_acquirer_bin=self._policy["acquirer_bin"],
            mer_name_seq=(name,),
            mer_country=999,
        )
        return Decision(verdict, approval=Approval("XX", bank, merchant_data=data))


# --- parties --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Given:
    """The members of ``input`` that every party needs."""

    suite: str
    keys: Mapping[str, Any]
    policy: Mapping[str, Any]
    validator: PathValidator
    store: MemoryStore
    now: datetime

    @property
    def credentials(self) -> Credentials:
        return credentials_of(self.suite, self.keys)

    @property
    def common(self) -> dict[str, Any]:
        return {"clock": lambda: self.now, "random": os.urandom}

    @property
    def held(self) -> tuple[bytes, ...]:
        return tuple(map(octets, self.policy.get("held", ())))

    @property
    def card(self) -> Card:
        keys = self.keys
        return Card(keys["brand"], PAN(keys["pan"]), CardExpiry(keys["expiry"]))


def _cardholder(given: _Given) -> Party:
    keys = given.keys
    secrets = CardSecret(octets(keys["card_secret"])), PANSecret(octets(keys["pan_secret"]))
    card = PaymentCard(given.card, *secrets)
    return Cardholder(given.credentials, card, given.validator, given.store, held=given.held, **given.common)


def _merchant(given: _Given) -> Party:
    cert_pe = octets(given.policy["cert_pe"])
    return Merchant(given.credentials, given.validator, given.store, cert_pe=cert_pe, held=given.held, **given.common)


def _gateway(given: _Given) -> Party:
    message = given.policy.get("card_message")
    return Gateway(
        given.credentials,
        Bank(given.policy),
        given.validator,
        given.store,
        token_key=octets(given.keys["token_key"]),
        acquirer_bin=given.policy["acquirer_bin"],
        card_message=None if message is None else decode(AcqCardCodeMsg, octets(message)),
        held=given.held,
        **given.common,
    )


def _authority(given: _Given) -> Party:
    register, desk = MemoryRegister(), Desk(given.policy)
    for number, digest in enumerate(given.policy["certified_keys"], 1):
        register.add(-number, octets(digest), b"")
    for serial, certificate in given.policy["certified"].items():
        register._certificates[int(serial)] = octets(certificate)
    authority = Authority(
        x509.load_der_x509_certificate(octets(given.keys["authority_certificate"])),
        private_key_from(octets(given.keys["authority_key"])),
        superior_chain=tuple(map(octets, given.keys["authority_chain"])),
        register=register,
    )
    return CertificateAuthority(
        given.credentials,
        authority,
        lambda transaction: register,
        desk,
        desk,
        given.validator,
        given.store,
        secret_key=octets(given.keys["secret_key"]),
        held=given.held,
        **given.common,
    )


def _applicant(given: _Given) -> Party:
    keys, policy = given.keys, given.policy
    subject: Card | Business
    if "pan" in keys:
        subject = given.card
    else:
        role = Role[policy["applicant"]]
        subject = Business(role, decode(IDData, octets(policy["id_data"])), policy.get("account"))
    return Applicant(
        subject,
        RequestType[policy["request_type"]],
        given.validator,
        given.store,
        brand=policy["brand"],
        lid_ee=octets(policy["lid_ee"]),
        vault=SecretKey(octets(keys["vault_key"]), b"vault"),
        **given.common,
    )


ROLES: Final[dict[str, Callable[[_Given], Party]]] = {
    "cardholder": _cardholder,
    "merchant": _merchant,
    "gateway": _gateway,
    "cardholder_ca": _authority,
    "merchant_ca": _authority,
    "gateway_ca": _authority,
    "applicant": _applicant,
}


def party_of_input(given: Mapping[str, Any]) -> Party:
    """The party that the message is for, in the state that it is in."""
    state = given.get("x-setproto-state") or given["policy"].get("x-setproto-state") or {}
    now = datetime.fromisoformat(given["now"].replace("Z", "+00:00"))
    validator = validator_of(given["suite"], given["trust"])
    return ROLES[given["role"]](_Given(given["suite"], given["keys"], given["policy"], validator, store_of(state), now))


# --- what comes of it -----------------------------------------------------------------------------


def code_name(code: enum.IntEnum) -> str:
    """``AuthCode.declined``."""
    return f"{type(code).__name__}.{code.name}"


def _name(event: Event) -> str:
    return event.kind.name if event.code is None else code_name(event.code)


def _business_refusal(wire: Wire, reply: Reply) -> str | None:
    """The code by which a request was answered, if it was answered and refused."""
    if wire.type is None or wire.type.tag not in RESPONSES:
        return None
    names, kinds = [answer.name for answer in reply.outgoing], [event.kind for event in reply.events]
    if wire.type is PREQ and (names, kinds) == (["PRes"], [EventKind.ORDER_RECEIVED]):
        return "CompletionCode.orderRejected"
    codes = [event.code for event in reply.events if event.code is not None]
    return next((code_name(code) for code in codes if code.name not in _FINE), None)


def content_of(party: Party) -> list[tuple[bytes, ...]]:
    """Everything that it has stored."""
    if not isinstance(party.store, MemoryStore):
        raise TypeError("a party behind the pipe keeps its state in memory")
    return sorted((table.encode(), key, value) for (table, key), value in party.store.dump().items())


def receive(given: Mapping[str, Any]) -> dict[str, Any]:
    """Deliver ``wire``.  RuntimeError if a refused message left anything in the store: that is a crash."""
    party, data = party_of_input(given), octets(given["wire"])
    before = content_of(party)
    reply = party.handle(data)
    refused = next((event for event in reply.events if event.kind is EventKind.REFUSED), None)
    if refused is not None:
        if content_of(party) != before:
            raise RuntimeError("a refused message changed the state")
        return {"result": "invalid", "reason": "" if refused.code is None else refused.code.name}
    reason = _business_refusal(unwrap(data), reply)
    if reason is not None:
        return {"result": "invalid", "reason": reason}
    return {"answers": [answer.name for answer in reply.outgoing], "events": [_name(event) for event in reply.events]}


OPS: Final = {"message.receive": receive}
