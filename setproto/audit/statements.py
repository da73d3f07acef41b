"""What follows from a file of evidence for somebody who trusts a root certificate and nobody else.

Every statement was signed by the party that is said to make it, under a certificate that was in force at the date which
it signed.  What is in the file and under no signature is compared with something that is (the order, by its digest), or
refused.  So a file can be made to say less, by leaving messages out, but nothing else; and whoever has not the keys of
the parties cannot make one that says anything.

Who can prove what, from its own record:

* The *merchant*: the order and its amount (the cardholder's dual signature); each approval, capture and refund (the
  gateway's answers, which hash the requests); what it asked and told itself.
* The *cardholder*: the order and its amount; that the merchant has it, and what the merchant said became of it (PRes,
  InqRes, which hash the order and the inquiry).  Nothing of the gateway's: the cardholder never hears from it.
* The *gateway*: what the merchant asked of it; that the cardholder signed a payment instruction which names the same
  order by its digest, in seals for this gateway.  Not which amount the cardholder agreed to: that is in the
  instruction, beside the card number, under one digest.

The dates are the signers' own.  That a party dates back what it signs with a certificate that is revoked later is what
the receiver's clock refuses when the message arrives (MAX_AGE), and what a file alone cannot show.

Sources: set-protocol.md section 9 (OT-4, PX-8), sections 2.7 to 2.12 and 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pki import CertificateError, PathValidator
from setproto.amounts import CurrencyAmount, Ratio
from setproto.audit.evidence import ABOUT_PURCHASES, VERSION, Evidence, load, purchases_of
from setproto.audit.witness import Witnessed, teach, validator_of, witness
from setproto.crypto.digests import equal
from setproto.crypto.dual import View
from setproto.errors import SignatureFailure, UsageError
from setproto.messages.codes import AuthCode, AuthRevCode, CapCode, CapRevOrCredCode
from setproto.messages.common import PartyID, Role
from setproto.messages.oids import ID_OI_DATA, ID_PI_DATA
from setproto.messages.purchase import PI, PURCHASE, PISeals, PResPayload
from setproto.messages.registry import (
    AUTH_REQ,
    AUTH_RES,
    AUTH_REV_RES,
    CAP_RES,
    CAP_REV_RES,
    CRED_RES,
    CRED_REV_RES,
    INQ_RES,
    MESSAGES,
    PREQ,
    PRES,
    RESPONSES,
)
from setproto.messages.wrapper import unwrap
from setproto.roles.cardholder import hod_digest
from setproto.roles.credentials import SIGNATURE_KINDS, party_of
from setproto.roles.endpoint import seals_part
from setproto.roles.party import decoded, refused, same_purchase
from setproto.roles.recording import Knowledge

_REQUEST_TAG = {response.tag: tag for tag, response in RESPONSES.items()}
_DONE = {CAP_REV_RES.tag: "capture reversed", CRED_RES.tag: "refunded", CRED_REV_RES.tag: "refund reversed"}


@dataclass(frozen=True)
class Statement:
    """One thing that one party signed.  ``facts``: name → value, in words; amounts as ``EUR 42.00``."""

    by: PartyID
    at: datetime
    """The date that ``by`` signed, in UTC."""
    what: str
    facts: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self.facts.items())
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.by}: {self.what}{': ' if facts else ''}{facts}"


@dataclass(frozen=True)
class Proved:
    """What follows from a file."""

    xid: bytes
    statements: tuple[Statement, ...]


def prove(evidence: bytes, roots: Iterable[bytes]) -> Proved:
    """The statements that follow from a file of evidence (DER) for whoever trusts these roots (DER).

    UsageError if it is no such file; ProtocolError if anything in it is not signed by whom it names, under
    certificates that were in force, or does not belong to the purchase that the file is about.
    """
    file = load(evidence)
    if file.version != VERSION:
        raise UsageError("a file of another version")
    return Proved(file.xid, tuple(_Case(file, list(roots)).statements()))


class _Case:
    """One file, verified."""

    def __init__(self, file: Evidence, roots: list[bytes]) -> None:
        self.file = file
        self.validators = [_validator(roots, known) for known in file.known]
        self.messages = [self._witnessed(item.known, item.wire) for item in file.items]
        self.order = self._order()
        self._check_parties()
        self._check_answers()

    # --- verifying --------------------------------------------------------------------------------

    def _witnessed(self, known: int, octets: bytes) -> Witnessed:
        if not 0 <= known < len(self.validators):
            raise SignatureFailure("nothing to judge a message by")
        sender = unwrap(octets).header.sender
        if sender is None:
            raise SignatureFailure("a message that nobody signed")
        seen = witness(octets, self.validators[known], sender.brand)
        if seen.type not in ABOUT_PURCHASES:
            raise SignatureFailure(f"{seen.type.name} proves nothing about a purchase")
        if not self._about(seen):
            raise SignatureFailure("a message about another purchase")
        return seen

    def _about(self, seen: Witnessed) -> list[Any]:
        return [ids for ids in purchases_of(seen.type, seen.body) if ids.xid == self.file.xid]

    def _order(self) -> Witnessed | None:
        """The PReq, if the file has one: what was ordered is what the cardholder signed."""
        orders = {seen.received.digest: seen for seen in self.messages if seen.type is PREQ}
        terms = self.file.terms
        if len(orders) > 1:
            raise SignatureFailure("two orders")
        if not orders:
            if terms is not None:
                raise SignatureFailure("an order that nobody signed")
            return None
        (order,) = orders.values()
        body = order.body
        if terms is None:
            raise SignatureFailure("the order is missing that was signed")
        hod = hod_digest(terms.description, terms.amount, body.od_salt, terms.install_recur_data)
        if not equal(hod, body.hod) or body.od_ext_oids:
            raise SignatureFailure("not the order that was signed")
        if body.merchant_id != order.recipient:
            raise SignatureFailure("ordered from another merchant")
        return order

    def _check_parties(self) -> None:
        """One cardholder, one merchant, one gateway, and one purchase of theirs."""
        ends = {end for seen in self.messages for end in (seen.received.sender, seen.recipient) if end is not None}
        if self.order is not None:
            ends.add(self.order.body.gateway_id)
        if len({end.role for end in ends}) != len(ends):
            raise SignatureFailure("parts of purchases between different parties")
        ids = [one for seen in self.messages for one in self._about(seen)]
        if not all(same_purchase(one, ids[0]) for one in ids):
            raise SignatureFailure("identifiers of different purchases")

    def _check_answers(self) -> None:
        """Every answer is to a request that is here; by whom and to whom follows from the parties, one in each role."""
        asked = {(seen.type.tag, seen.received.digest) for seen in self.messages}
        if len({seen.wire.header_der + seen.received.digest for seen in self.messages}) != len(self.messages):
            raise SignatureFailure("a message is there twice")
        for seen in self.messages:
            tag = _REQUEST_TAG.get(seen.type.tag)
            if tag is not None and (tag, seen.body.request_digest) not in asked:
                raise SignatureFailure(f"{seen.type.name} without the {MESSAGES[tag].name} that it answers")

    # --- stating ----------------------------------------------------------------------------------

    def statements(self) -> Iterable[Statement]:
        """In the order of the file, which is that of the record.  The merchant's receipt belongs here, too."""
        linked = False
        for number, seen in enumerate(self.messages):
            sender = seen.received.sender
            if sender is None:
                raise SignatureFailure("a message that nobody signed")
            if seen.type is PREQ:
                yield self._ordered(seen, sender)
            elif seen.type in (PRES, INQ_RES):
                yield from self._confirmed(seen, sender)
            elif seen.type.tag in _REQUEST_TAG:
                yield from self._answered(seen, sender)
            else:
                yield from self._asked(seen, sender)
            if seen.type is AUTH_REQ:
                instructed = self._instructed(seen, self.validators[self.file.items[number].known])
                linked = linked or bool(instructed)
                yield from instructed
        if self.file.hpi_data is not None and not linked:
            raise SignatureFailure("the digest of an instruction that nobody signed")

    def _ordered(self, seen: Witnessed, sender: PartyID) -> Statement:
        terms, body = self.file.terms, seen.body
        if terms is None:
            raise SignatureFailure("the order is missing that was signed")
        facts = {
            "order": _text(terms.description),
            "amount": str(terms.amount),
            "from": str(body.merchant_id),
            "through": str(body.gateway_id),
        }
        agreed = terms.install_recur_data
        if agreed is not None and agreed.install_total_trans is not None:
            facts["instalments"] = str(agreed.install_total_trans)
        if agreed is not None and agreed.recurring is not None:
            last = agreed.recurring.recurring_expiry.as_datetime()
            facts["recurring"] = f"every {agreed.recurring.recurring_frequency} days until {last:%Y-%m-%d}"
        return Statement(sender, seen.at, "ordered", facts)

    def _asked(self, seen: Witnessed, sender: PartyID) -> Iterable[Statement]:
        """What a request asks for; an inquiry asks for nothing."""
        body, to = seen.body, {"of": str(seen.recipient)}
        asked = f"asked ({seen.type.name})"
        if seen.type is AUTH_REQ:
            amount = body.auth_req_item.auth_req_payload.auth_req_amt
            yield Statement(sender, seen.at, asked, {"amount": str(amount), **to})
        elif (new := getattr(body, "auth_new_amt", None)) is not None:
            yield Statement(sender, seen.at, asked, {"amount": str(new), **to})
        for item in getattr(body, "cap_item_seq", ()):
            if item.trans_ids.xid == self.file.xid:
                yield Statement(sender, seen.at, asked, {"amount": str(item.cap_payload.cap_req_amt), **to})
        for item in getattr(body, "item_seq", ()):
            if item.trans_ids.xid == self.file.xid:
                yield Statement(sender, seen.at, asked, {"amount": str(item.amount), **to})

    def _answered(self, seen: Witnessed, sender: PartyID) -> Iterable[Statement]:
        """What the gateway did: the amounts are its own words."""
        body, to = seen.body, {"for": str(seen.recipient)}

        def done(what: str, good: bool, code: Any, amount: CurrencyAmount) -> Statement:
            facts = {"amount": str(amount)} if good else {"code": code.name}
            return Statement(sender, seen.at, what if good else f"not {what}", {**facts, **to})

        if seen.type is AUTH_RES:
            header, sale = body.auth_res_payload.auth_header, body.auth_res_payload.cap_res_payload
            code = header.auth_code
            yield done("approved", code is AuthCode.approved, code, header.auth_amt)
            if sale is not None:
                yield done("captured", sale.cap_code is CapCode.success, sale.cap_code, sale.cap_amt)
        elif seen.type is AUTH_REV_RES:
            code = body.auth_rev_code
            yield done("approval changed to", code is AuthRevCode.approved, code, body.auth_new_amt)
        elif seen.type is CAP_RES:
            for item in body.cap_res_item_seq:
                if item.trans_ids.xid == self.file.xid:
                    payload = item.cap_res_payload
                    yield done("captured", payload.cap_code is CapCode.success, payload.cap_code, payload.cap_amt)
        else:
            for item in body.res_item_seq:
                if item.trans_ids.xid == self.file.xid:
                    good = item.code is CapRevOrCredCode.success
                    yield done(_DONE[seen.type.tag], good, item.code, item.actual_amt)

    def _confirmed(self, seen: Witnessed, sender: PartyID) -> Iterable[Statement]:
        """What the merchant told the cardholder, in shares of the amount that was ordered."""
        for payload in seen.body.pres_payload_seq:
            facts = {"result": payload.completion_code.name, **dict(self._shares(payload)), "to": str(seen.recipient)}
            yield Statement(sender, seen.at, "confirmed", facts)

    def _shares(self, payload: PResPayload) -> Iterable[tuple[str, str]]:
        results = payload.results
        if results is None:
            return
        if results.auth_status is not None:
            yield "authorisation", results.auth_status.auth_code.name
            yield "authorised", self._part(results.auth_status.auth_ratio)
        if results.cap_status is not None:
            yield "captured", self._part(results.cap_status.cap_ratio)
        if results.cred_status_seq:
            yield "refunded", " and ".join(self._part(credit.credit_ratio) for credit in results.cred_status_seq)

    def _part(self, ratio: Ratio) -> str:
        if self.file.terms is not None:
            # A share that is no amount is said as the merchant said it.
            with suppress(ValueError):
                return str(ratio.times(self.file.terms.amount))
        return f"{ratio} of the order"

    def _instructed(self, seen: Witnessed, validator: PathValidator) -> list[Statement]:
        """The cardholder's signature as the gateway met it, at the date of the AuthReq: over digests, and the seals.

        Where the file has the order, the AuthReq must be for it: its digests are those of the merchant's own reading.
        """
        pi, digests = seen.received.baggage.pi, seen.body.auth_req_item.check_digests
        if pi is None or digests is None:
            return []  # a token of the gateway in place of the instruction
        order = self.order
        if order is not None and not (
            pi == order.received.baggage
            and equal(digests.hoi_data, order.received.parts[ID_OI_DATA])
            and equal(digests.hod2, order.body.hod)
        ):
            raise SignatureFailure("authorised for another order")
        if self.file.hpi_data is None:
            return []
        return [self._signed_instruction(seen, pi, digests.hoi_data, self.file.hpi_data, validator)]

    def _signed_instruction(
        self, seen: Witnessed, pi: PI, hoi_data: bytes, hpi_data: bytes, validator: PathValidator
    ) -> Statement:
        seals = decoded(PISeals, pi.seals)
        view = View((seals_part(pi, seals),), {ID_PI_DATA: hpi_data, ID_OI_DATA: hoi_data}, pi.pi_signature)
        kind, brand = SIGNATURE_KINDS[Role.cardholder], seals.cardholder.brand

        def certify(certificate: bytes, others: Any) -> Any:
            try:
                return validator.validate(certificate, kind=kind, brand=brand, at=seen.at, extra=others)
            except CertificateError as refusal:
                raise refused(refusal) from None

        verified = PURCHASE.verify(view, suite=validator.suite, certify=certify)
        cardholder = party_of(verified.signer, Role.cardholder)
        if cardholder != seals.cardholder:
            raise SignatureFailure("the instruction is not from its signer")
        facts = {"order": hoi_data.hex(), "amount": "sealed"}
        return Statement(cardholder, seen.at, "signed a payment instruction", facts)


def _validator(roots: list[bytes], known: Knowledge) -> PathValidator:
    validator = validator_of(roots)
    teach(validator, known)
    return validator


def _text(description: bytes) -> str:
    """An order as text, if it is text that can be shown on a line; else in hexadecimal."""
    try:
        text = description.decode()
    except UnicodeDecodeError:
        return description.hex()
    return text if text.isprintable() else description.hex()
