"""Whether a card may pay: the issuer's checks in their order (bank.md §8)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, insert, select

from setproto.bank.booking import Refused
from setproto.bank.codes import APPROVED, MEANINGS
from setproto.bank.ledger import hold
from setproto.bank.messages import FormatError, Message, read_set_data, valid_number
from setproto.bank.tables import ACCOUNTS, CARDS, ENROLMENTS, PAYMENTS
from setproto.bank.vault import CardVault
from setproto.card import TRANS_STAIN_SIZE, CardSecret, trans_stain
from setproto.crypto.digests import equal

DAY: Final = 86_400
ELECTRONIC: Final = "810"
"""DE 22 of a payment over the Internet, which must prove the wallet."""
NO_REASON_TO_DECLINE: Final = "85"
UNANSWERED: Final = "91"
# Made once: making a statement costs more than the database does.
_CARD: Final = (
    select(CARDS, ACCOUNTS.c.currency)
    .join(ACCOUNTS, ACCOUNTS.c.id == CARDS.c.account_id)
    .where(CARDS.c.handle == bindparam("of"))
)
_ENROLLED: Final = select(ENROLMENTS).where(ENROLMENTS.c.card_id == bindparam("of")).order_by(ENROLMENTS.c.id.desc())
_NOTE: Final = insert(PAYMENTS).returning(PAYMENTS.c.id)


@dataclass(frozen=True)
class Rules:
    """What this issuer refuses by itself."""

    blocked_categories: frozenset[str] = frozenset()
    """Merchant category codes (DE 18)."""
    suspect_above: int | None = None
    """Minor units from which on a payment is suspected to be fraud."""
    hold_days: int = 7


@dataclass(frozen=True)
class Approved:
    """What goes into the response of an approval, and the payment as it was written down."""

    code: str
    approval: str | None
    payment: int | None = field(default=None)


class Issuer:
    """Decides on cards in the database."""

    def __init__(self, vault: CardVault, rules: Rules) -> None:
        self._vault = vault
        self._rules = rules

    def card(self, connection: Connection, number: str) -> Any:
        """The card with its account.  Refused with 14 or 56 if there is none."""
        if not valid_number(number):
            raise Refused("14")
        found = connection.execute(_CARD, {"of": self._vault.handle(number)}).one_or_none()
        if found is None:
            raise Refused("56")
        return found

    def authorise(self, connection: Connection, request: Message, at: int, today: str) -> Approved:
        """Check, hold, and write down, a decline too.  Refused with the code of what is wrong.

        ``today``: YYYYMM."""
        amount, currency = int(request[4]), int(request[49])
        card = self.card(connection, request[2])
        xid = b""
        try:
            self._check_card(card, request, today)
            xid = self._check_set_data(connection, card, request)
            self._check_limits(connection, card, amount, currency, at)
            if card.scripted and (code := f"{amount % 100:02d}") in MEANINGS and code not in (APPROVED, "68"):
                raise Refused(code)
            if amount and not hold(connection, card.account_id, amount):
                raise Refused("51")
        except Refused as refused:
            self._note(connection, card, request, at, xid, code=refused.code)
            raise
        if not amount:
            return Approved(NO_REASON_TO_DECLINE, None)
        approval = f"{secrets.randbelow(10**6):06d}"
        payment = self._note(connection, card, request, at, xid, code=APPROVED, approval=approval)
        return Approved(APPROVED, approval, payment)

    def _check_card(self, card: Any, request: Message, today: str) -> None:
        if card.status != APPROVED:
            raise Refused(card.status)
        _, expiry, _ = self._vault.open_card(card.sealed)
        if expiry.reveal() < today:
            raise Refused("54")
        if not equal(expiry.reveal()[2:].encode(), request[14].encode()):
            raise Refused("14")  # not what is printed on it: whoever asks does not have the card
        if request[18] in self._rules.blocked_categories:
            raise Refused("57")

    def _check_set_data(self, connection: Connection, card: Any, request: Message) -> bytes:
        """The XID, once TransStain shows that a wallet enrolled for this card made the payment."""
        if request[22] != ELECTRONIC:
            return b""
        if not card.electronic:
            raise Refused("57")
        try:
            data = read_set_data(request.get(126) or "00")
        except FormatError:
            raise Refused("30") from None
        xid, stain = data.get(1, b""), data.get(2, b"")
        if len(stain) != TRANS_STAIN_SIZE:
            raise Refused("63")
        for row in connection.execute(_ENROLLED, {"of": card.id}):
            secret = CardSecret(self._vault.open(row.sealed, row.cardholder))
            if equal(trans_stain(xid, secret), stain):
                return xid
        raise Refused("63")

    def _check_limits(self, connection: Connection, card: Any, amount: int, currency: int, at: int) -> None:
        if currency != card.currency:
            raise Refused("13")
        if card.limit_payment is not None and amount > card.limit_payment:
            raise Refused("61")
        if card.limit_day is not None or card.limit_count is not None:
            # One at a time per account: what is counted must not change before the hold.
            connection.execute(select(ACCOUNTS.c.id).where(ACCOUNTS.c.id == card.account_id).with_for_update())
            columns = PAYMENTS.c
            row = connection.execute(
                select(func.count(), func.coalesce(func.sum(columns.amount), 0)).where(
                    columns.card_id == card.id,
                    columns.at > at - DAY,
                    columns.code == APPROVED,
                    columns.state != "REVERSED",
                )
            ).one()
            if card.limit_day is not None and row[1] + amount > card.limit_day:
                raise Refused("61")
            if card.limit_count is not None and row[0] >= card.limit_count:
                raise Refused("65")
        if self._rules.suspect_above is not None and amount > self._rules.suspect_above:
            raise Refused("59")

    def _note(
        self,
        connection: Connection,
        card: Any,
        request: Message,
        at: int,
        xid: bytes,
        *,
        code: str,
        approval: str | None = None,
    ) -> int:
        good = code == APPROVED
        row = {
            "origin": request.key,
            "rrn": request[37],
            "card_id": card.id,
            "account_id": card.account_id,
            "merchant_id": request[42].strip(),
            "currency": int(request[49]),
            "xid": xid.hex(),
            "code": code,
            "approval": approval,
            "state": "APPROVED" if good else "DECLINED",
            "at": at,
            "expires": at + self._rules.hold_days * DAY,
            "open": good,
            "amount": int(request[4]),
        }
        number: int = connection.execute(_NOTE, row).scalar_one()
        return number
