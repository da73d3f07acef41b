"""What the gateway sends about payments: ISO 8583 messages of what its records say (bank.md §3), and their names."""

from __future__ import annotations

import threading
from typing import Final

from setproto.bank import records
from setproto.bank.codes import CANCELLED
from setproto.bank.connection import LinkConfig
from setproto.bank.messages import Message, original_data, replacement, set_data
from setproto.bank.records import AdviceRecord, Name, PaymentRecord, QueuedReversal
from setproto.bank.vault import CardVault
from setproto.card import PAN, CardExpiry
from setproto.roles.ports import AdviceKind, AuthorizationRequest, Clock, Store

_STAN_BLOCK: Final = 50
"""Trace numbers that are reserved at a time."""


class Requests:
    """Messages of one gateway process.  Safe for several threads."""

    def __init__(self, config: LinkConfig, vault: CardVault, store: Store, clock: Clock) -> None:
        """``store`` remembers which trace numbers were used; ``vault`` has the card numbers of the records."""
        self._config = config
        self._vault = vault
        self._store = store
        self._clock = clock
        self._stans: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    # --- names ----------------------------------------------------------------------------------

    def _stan(self, terminal: str) -> str:
        """The next trace number.  In a transaction of its own, so not to be called within another: a number that was
        handed out must not come back when something else is rolled back."""
        with self._lock:
            stans = self._stans.setdefault(terminal, [])
            if not stans:
                with self._store.transaction() as transaction:
                    stans.extend(records.reserve_stans(transaction, terminal, _STAN_BLOCK))
            return stans.pop(0)

    def name(self, terminal: str | None = None) -> Name:
        """A name for a new message of now, of this gateway's terminal or another's.  Not to be called within a
        transaction of the store."""
        terminal = terminal or self._config.terminal
        return Name(terminal=terminal, stan=self._stan(terminal), sent=f"{self._clock():%m%d%H%M%S}")

    def _head(self) -> dict[int, str]:
        """What messages have that are about no payment."""
        name = self.name()
        return {7: name.sent, 11: name.stan, 32: self._config.acquirer}

    # --- messages -------------------------------------------------------------------------------

    def network(self, function: str) -> Message:
        """0800: sign-on, echo (DE 70)."""
        return Message("0800", self._head() | {70: function})

    def authorization(self, request: AuthorizationRequest, payment: PaymentRecord) -> Message:
        """0100 of an attempt that was written down."""
        more = {
            3: "000000",
            14: request.card.expiry.reveal()[2:],
            18: self._config.category,
            22: "810",
            126: set_data(request.xid, request.trans_stain),
        }
        return Message("0100", self._common(payment, payment.name, (request.card.pan, request.card.expiry)) | more)

    def reversal(self, reversal: QueuedReversal) -> Message:
        """0420 of an authorisation that nobody knows the outcome of."""
        payment, name = reversal.payment, reversal.name
        more = {3: "000000", 39: reversal.reason, 90: self._original("0100", payment.name)}
        return Message("0420", self._common(payment, name) | more)

    def advice(self, payment: PaymentRecord, record: AdviceRecord) -> Message:
        """0220 of a capture or a refund, 0420 of what takes one back or gives (a part of) an authorisation back."""
        fields = self._common(payment, record.name) | {38: payment.approval}
        about, kind = record.about, record.kind
        if kind in (AdviceKind.CAPTURE.name, AdviceKind.CREDIT.name):
            asked = self._original("0100", about)
            processing = "000000" if kind == AdviceKind.CAPTURE.name else "200000"
            more = {3: processing, 4: f"{record.amount:012d}", 18: self._config.category, 22: "810", 90: asked}
            return Message("0220", fields | more)
        if kind == AdviceKind.REVERSAL.name:
            more = {3: "000000", 39: CANCELLED, 90: self._original("0100", about)}
            return Message("0420", fields | more | ({95: replacement(record.amount)} if record.amount else {}))
        processing = "000000" if kind == AdviceKind.CAPTURE_REVERSAL.name else "200000"
        more = {3: processing, 4: f"{record.amount:012d}", 39: CANCELLED, 90: self._original("0220", about)}
        return Message("0420", fields | more)

    def totals(self, merchant: str, currency: int, day: str, sums: dict[int, str]) -> Message:
        """0500: our totals of a settlement date (MMDD); ``sums`` as ``settlement.totals_fields`` makes them."""
        fields = {15: day, 41: self._config.terminal, 42: f"{merchant:<15}", 50: f"{currency:03d}"}
        return Message("0500", self._head() | fields | sums)

    def _original(self, mti: str, name: Name) -> str:
        return original_data(mti, name.stan, name.sent, self._config.acquirer)

    def _common(self, payment: PaymentRecord, name: Name, card: tuple[PAN, CardExpiry] | None = None) -> dict[int, str]:
        """What every message about a payment has."""
        pan = self._vault.open_card(payment.card)[0] if card is None else card[0]
        return {
            2: pan.reveal(),
            4: f"{payment.amount:012d}",
            7: name.sent,
            11: name.stan,
            12: payment.local[4:],
            13: payment.local[:4],
            25: "59",
            32: self._config.acquirer,
            37: payment.rrn,
            41: payment.name.terminal,
            42: f"{payment.merchant:<15}",
            49: f"{payment.currency:03d}",
        }
