"""Do merchant, gateway and bank agree?  Read from their files and from the bank's account, to the cent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pki.der import decode
from setproto.bank import Account, MemoryIssuer
from setproto.card import PAN, Card, CardExpiry
from setproto.market import BRAND
from setproto.messages.codes import AmtType, AuthCode
from setproto.messages.common import PartyID, Role
from setproto.roles import cardholder
from setproto.roles.cardholder import PaymentCard
from setproto.roles.cardholder import State as Told
from setproto.roles.gateway import batches
from setproto.roles.gateway import records as at_gateway
from setproto.roles.merchant import records as at_merchant
from setproto.roles.operations import OpState
from setproto.roles.ports import Advice, AdviceKind, AuthorizationDecision, AuthorizationRequest
from setproto.store.sql import SQLStore
from tests.faults.kill.material import NAMES

GATEWAY = PartyID(role=Role.gateway, brand=BRAND, name=NAMES[Role.gateway])
STANDING = (OpState.GRANTED, OpState.REVERSED)
"""What was granted once.  While nothing is under way, the rest was refused."""


@dataclass
class Bank:
    """The issuer, in the driver: it is never killed, but its answers may be lost with the gateway that asked."""

    account: Account
    issuer: MemoryIssuer
    decided: dict[bytes, tuple[AuthorizationRequest, AuthorizationDecision]] = field(default_factory=dict)
    told: dict[bytes, Advice] = field(default_factory=dict)
    repeated: int = 0

    @classmethod
    def of(cls, card: PaymentCard, opening: Any) -> Bank:
        account = Account(card.card.pan, card.card.expiry, card.card_secret, opening)
        return cls(account, MemoryIssuer([account]))

    def __call__(self, name: str, *question: Any) -> Any:
        """What a gateway asks by wire."""
        if name == "advise":
            kind, reference, authorization, amount = question
            return self._advise(Advice(AdviceKind[kind], reference, authorization, amount))
        reference, brand, pan, expiry, amount, merchant_id, xid, stain = question
        card = Card(brand, PAN(pan), CardExpiry(expiry))
        return self._authorize(AuthorizationRequest(reference, card, amount, merchant_id, xid, stain))

    def _authorize(self, request: AuthorizationRequest) -> tuple[int, str | None]:
        decision = self.issuer.authorize(request)
        self.repeated += request.reference in self.decided
        first = self.decided.setdefault(request.reference, (request, decision))
        assert first == (request, decision), "one reference, two authorisations"
        return int(decision.code), decision.approval_code

    def _advise(self, advice: Advice) -> None:
        self.repeated += advice.reference in self.told
        assert self.told.setdefault(advice.reference, advice) == advice, "one reference, two advices"
        self.issuer.advise(advice)

    def approvals(self) -> dict[bytes, int]:
        """XID → how many authorisations were approved."""
        counts: dict[bytes, int] = {}
        for request, decision in self.decided.values():
            if decision.code is AuthCode.approved:
                counts[request.xid] = counts.get(request.xid, 0) + 1
        return counts


# --- what was done, in one shape for merchant and gateway -----------------------------------------


def operations(record: Any) -> dict[bytes, Any]:
    """Authorisation → (state, amount, {capture: (state, amount, batch, {credit: (state, amount)})})."""
    return {
        a.auth_rrpid: (
            a.state,
            a.amount,
            {
                c.number: (
                    c.state,
                    c.amount,
                    c.batch_id,
                    {g.number: (g.state, g.amount) for g in c.credits if g.state is not OpState.REFUSED},
                )
                for c in a.captures
                if c.state is not OpState.REFUSED
            },
        )
        for a in record.authorizations
        if a.state is not OpState.REFUSED
    }


def money(record: Any) -> tuple[Any, ...]:
    """What stands: changes if, and only if, something was done."""
    return tuple((a.auth_rrpid, a.amount, tuple(map(_taken, _live(a.captures)))) for a in _live(record.authorizations))


def _taken(capture: Any) -> tuple[Any, ...]:
    return capture.number, tuple(credit.number for credit in _live(capture.credits))


def told(record: at_merchant.PurchaseRecord) -> Told:
    """What a cardholder must know who asked after everything was done."""
    if record.state is at_merchant.State.REJECTED:
        return Told.REJECTED
    standing = _live(record.authorizations)
    captures = [c for a in standing for c in _live(a.captures)]
    if any(_live(c.credits) for c in captures):
        return Told.CREDITED
    if captures:
        return Told.CAPTURED
    if standing:
        return Told.AUTHORIZED
    refused = any(a.state is OpState.REFUSED for a in record.authorizations)
    return Told.DECLINED if refused else Told.RECEIVED


def _live(all_of_them: Any) -> list[Any]:
    return [operation for operation in all_of_them if operation.state is OpState.GRANTED]


# --- the audit ------------------------------------------------------------------------------------


@dataclass
class Books:
    """The three stores as they are on disk."""

    merchant: dict[bytes, at_merchant.PurchaseRecord]
    gateway: dict[bytes, at_gateway.PurchaseRecord]
    cardholder: dict[bytes, cardholder.Purchase]
    entries: dict[tuple[str, bytes], bytes]
    """Of the gateway."""

    @classmethod
    def read(cls, folder: Path) -> Books:
        dumps = {role: _dump(folder, role) for role in (Role.merchant, Role.gateway, Role.cardholder)}
        bought = [decode(at_merchant.PurchaseRecord, value) for value in _table(dumps[Role.merchant], "purchases")]
        paid = [decode(at_gateway.PurchaseRecord, value) for value in _table(dumps[Role.gateway], "purchases")]
        known = [decode(cardholder.Purchase, value) for value in _table(dumps[Role.cardholder], "purchases")]
        return cls(
            {record.trans_ids.xid: record for record in bought},
            {record.trans_ids.xid: record for record in paid},
            {record.shop.trans_ids.xid: record for record in known if record.shop is not None},
            dumps[Role.gateway],
        )

    def audit(self, bank: Bank) -> None:
        """While nothing is under way: AssertionError names whatever does not agree."""
        assert set(self.gateway) <= set(self.merchant), "the gateway knows a purchase that the merchant does not"
        for xid, record in self.merchant.items():
            assert record.outstanding is None, "not at rest"
            mine = operations(record)
            theirs = operations(self.gateway[xid]) if xid in self.gateway else {}
            assert mine == theirs, f"merchant and gateway disagree about {xid.hex()}"
            self._audit_limits(record)
        self._audit_bank(bank)
        self._audit_batches()

    def _audit_limits(self, record: at_merchant.PurchaseRecord) -> None:
        standing = _live(record.authorizations)
        assert all(a.state in (*STANDING, OpState.REFUSED) for a in record.authorizations)
        assert record.purch_amt is not None or not standing
        assert sum(a.amount.value for a in standing) <= (record.purch_amt.value if record.purch_amt else 0)
        for authorization in standing:
            captures = _live(authorization.captures)
            assert sum(c.amount.value for c in captures) <= authorization.amount.value
            for capture in captures:
                assert sum(g.amount.value for g in _live(capture.credits)) <= capture.amount.value

    def _audit_bank(self, bank: Bank) -> None:
        """What the bank holds, took and gave, per authorisation; and no authorisation that nobody knows of."""
        expected: dict[bytes, tuple[int, ...]] = {}
        for record in self.gateway.values():
            for a in (a for a in record.authorizations if a.state in STANDING):
                captures = _live(a.captures)
                captured = sum(c.amount.value for c in captures)
                credited = sum(g.amount.value for c in captures for g in _live(c.credits))
                reference = at_gateway.bank_reference(GATEWAY, record.merchant, a.auth_rrpid)
                expected[reference] = (a.amount.value - captured, captured, credited)
        account = bank.account
        found = {key: (account.held[key], account.captured[key], account.credited[key]) for key in account.held}
        differ = {key.hex(): (found.get(key), expected.get(key)) for key in {*found, *expected}}
        differ = {key: pair for key, pair in differ.items() if pair[0] != pair[1]}
        assert not differ, f"bank and gateway disagree (held, captured, credited): {differ}"
        approvals = bank.approvals()
        for xid, record in self.gateway.items():
            assert approvals.get(xid, 0) == record.generation, "an authorisation too many or too few"

    def _audit_batches(self) -> None:
        """Every batch holds exactly what was put in it and stands, and its totals are the sums of that."""
        standing: dict[tuple[int, int], tuple[Any, AmtType]] = {}
        for place in (place for record in self.gateway.values() for place in _places(record)):
            assert place[0] not in standing, "two things in one place of a batch"
            standing[place[0]] = place[1]
        found: dict[tuple[int, int], tuple[Any, AmtType]] = {}
        for value in _table(self.entries, batches.BATCHES):
            batch = decode(batches.BatchRecord, value)
            items = {}
            for number in range(1, batch.next_sequence):
                stored = self.entries[batches.ITEMS, batches.item_key(batch, number)]
                if stored:
                    detail = decode(batches.TransactionDetail, stored)
                    items[batch.batch_id, number] = (detail.transaction_amt, detail.transaction_amt_type)
            found.update(items)
            sums = {kind: [a.amount for a, t in items.values() if t is kind] for kind in AmtType}
            totals = batch.totals
            if totals is None:
                assert not items
                continue
            assert totals.transaction_count_debit == len(sums[AmtType.debit])
            assert totals.transaction_count_credit == len(sums[AmtType.credit])
            assert totals.transaction_total_amt_debit.amount == sum(sums[AmtType.debit])
            assert totals.transaction_total_amt_credit.amount == sum(sums[AmtType.credit])
        assert found == standing, "batches and purchases disagree"

    def audit_cardholder(self) -> None:
        """After everybody asked: the cardholder knows what the merchant knows."""
        for xid, record in self.cardholder.items():
            assert record.state is told(self.merchant[xid]), f"the cardholder does not know about {xid.hex()}"


def _places(record: at_gateway.PurchaseRecord) -> Iterator[tuple[tuple[int, int], tuple[Any, AmtType]]]:
    for authorization in record.authorizations:
        for capture in _live(authorization.captures):
            yield (capture.batch_id, capture.batch_sequence_num), (capture.amount, AmtType.debit)
            for credit in _live(capture.credits):
                yield (credit.batch_id, credit.batch_sequence_num), (credit.amount, AmtType.credit)


def _dump(folder: Path, role: Role) -> dict[tuple[str, bytes], bytes]:
    store = SQLStore(f"sqlite:///{folder / role.name}.db", role.name)
    try:
        return store.dump()
    finally:
        store.close()


def _table(dump: dict[tuple[str, bytes], bytes], name: str) -> list[bytes]:
    return [value for (table, _), value in dump.items() if table == name]
