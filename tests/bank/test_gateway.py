"""SET at the front, ISO 8583 behind: the market's purchases with a real line to a real ledger instead of the issuer in
memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from pki.der import decode, encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.bank.bank import Bank
from setproto.bank.ledger import Kind
from setproto.card import PAN, cardholder_name
from setproto.errors import SetError, UsageError
from setproto.market import Market
from setproto.messages.codes import AuthCode, CompletionCode
from setproto.messages.common import Role
from setproto.messages.statement import ID_STATEMENT_REQUEST, StatementAnswer, StatementRequest
from setproto.roles.ports import EventKind
from tests.bank.people import OPENING, PAN_DEBIT, make_bank
from tests.bank.wire import Connected, connected, on_disk

NAME = "Test Bank"


@dataclass
class Shop:
    market: Market
    line: Connected

    @property
    def bank(self) -> Bank:
        return self.line.till.bank

    def owed(self) -> int:
        return -self.bank.balance(Kind.MERCHANT_PAYABLE, owner=self.market.merchant.party.name)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A market whose gateway has a line to a bank that issued the market's card and has a contract with its shop."""
    market = Market.open()
    assert market.card.card.pan == PAN(PAN_DEBIT)
    validator = market.gateway.validator
    till = make_bank(on_disk(tmp_path), clock=market.clock, validator=validator, brand=market.tree.brand)
    card = market.card.card
    till.bank.enrol(card.pan, market.card.card_secret, cardholder_name(card.pan, card.expiry, market.card.pan_secret))
    till.bank.open_merchant(market.merchant.party.name, "Corner Bookshop")
    with connected(till, timeout=2.0) as line:
        market.gateway.issuer = line.link
        yield Shop(market, line)
        assert till.bank.audit() == []
        assert line.link.manual() == []
    till.bank.close()


def test_a_purchase_is_authorised_and_captured(shop: Shop) -> None:
    purchase = shop.market.buy("EUR 42.00", b"one book")
    assert purchase.completion_code is CompletionCode.capturePerformed
    assert shop.line.till.available() == OPENING - 4_200
    assert shop.owed() == 4_200 - 58


def test_T62_T64_a_refund_and_its_reversal(shop: Shop) -> None:
    market = shop.market
    purchase = market.buy("EUR 42.00", b"one book")
    market.deliver(Role.merchant, market.merchant.credit(purchase.xid, CurrencyAmount.of("EUR 12.00")))
    assert shop.line.till.available() == OPENING - 3_000
    market.deliver(Role.merchant, market.merchant.reverse_credit(purchase.xid))
    assert shop.line.till.available() == OPENING - 4_200


def test_a_capture_is_reversed_and_the_authorisation_after_it(shop: Shop) -> None:
    market = shop.market
    purchase = market.buy("EUR 42.00", b"one book")
    market.deliver(Role.merchant, market.merchant.reverse_capture(purchase.xid))
    assert shop.line.till.available() == OPENING - 4_200
    assert shop.owed() == 0
    market.deliver(Role.merchant, market.merchant.reverse(purchase.xid))
    assert shop.line.till.available() == OPENING


def test_a_decline_tells_the_merchant_no_reason_and_the_cardholder_one(shop: Shop) -> None:
    purchase = shop.market.buy("EUR 1000.01", b"a rare book")
    assert purchase.code is AuthCode.declined
    statement = shop.bank.statement(shop.market.cardholder.party.name, shop.market.clock() - timedelta(days=1))
    assert statement.lines[-1].code == "51"
    assert statement.lines[-1].xid == purchase.xid


def test_a_bank_that_is_away_and_comes_back(shop: Shop) -> None:
    """The merchant's AuthReq fails, and its repetition succeeds: one purchase, one hold."""
    market = shop.market
    shop.line.wire.to_gateway = lambda message: [] if message[:4] in (b"0110", b"0430") else [message]
    purchase = market.buy("EUR 42.00", b"one book")
    assert purchase.code is None
    refused = [
        event for role, event in market.events if role is Role.merchant and event.kind is EventKind.ERROR_RECEIVED
    ]
    assert refused
    shop.line.wire.to_gateway = None
    auth_req = next(d.message for d in market.deliveries if d.message.name == "AuthReq")
    market.deliver(Role.merchant, auth_req)
    assert shop.line.till.available() == OPENING - 4_200
    assert shop.line.settled()


def test_a_capture_waits_in_the_outbox_while_the_bank_is_away(shop: Shop) -> None:
    market = shop.market
    shop.line.wire.to_bank = lambda message: [] if message[:4] in (b"0220", b"0221") else [message]
    purchase = market.buy("EUR 42.00", b"one book")
    assert purchase.completion_code is CompletionCode.capturePerformed  # the gateway answers for it
    assert shop.owed() == 0
    shop.line.wire.to_bank = None
    shop.line.restart()
    market.gateway.issuer = shop.line.link
    market.gateway.tell_bank()
    assert shop.owed() == 4_200 - 58


# --- statements under a certificate -------------------------------------------------------------


def asking(shop: Shop, **changes: object) -> bytes:
    now = shop.market.clock()
    request = StatementRequest(
        bank=NAME, nonce=b"n" * 32, since=general_time(now - timedelta(days=1)), time=general_time(now)
    )
    credentials = shop.market.cardholder.credentials
    content = encode(replace(request, **changes))  # type: ignore[arg-type]
    return credentials.signer.sign(content, ID_STATEMENT_REQUEST, certificates=credentials.chain)


def test_T14_the_cardholder_asks_for_a_statement_under_his_certificate(shop: Shop) -> None:
    purchase = shop.market.buy("EUR 42.00", b"one book")
    answer = decode(StatementAnswer, shop.bank.answer_statement(asking(shop)))
    assert (answer.bank, answer.nonce) == (NAME, b"n" * 32)
    assert str(answer.statement.available) == "EUR 958.00"
    assert [(line.kind, line.xid) for line in answer.statement.lines[1:]] == [("capture", purchase.xid)]


def test_a_statement_request_is_answered_once(shop: Shop) -> None:
    request = asking(shop)
    shop.bank.answer_statement(request)
    with pytest.raises(SetError, match="answered before"):
        shop.bank.answer_statement(request)


def test_statement_requests_that_are_refused(shop: Shop) -> None:
    now = shop.market.clock()
    old = general_time(now - timedelta(minutes=6))
    signer, chain = shop.market.cardholder.credentials.signer, shop.market.cardholder.credentials.chain
    for octets, why in (
        (asking(shop, bank="Another Bank"), "another bank"),
        (asking(shop, time=old), "not of now"),
        (asking(shop)[:-1], "."),
        (b"", "."),
        (signer.sign(b"no request", ID_STATEMENT_REQUEST, certificates=chain), "."),
    ):
        with pytest.raises(SetError, match=why):
            shop.bank.answer_statement(octets)
    merchant = shop.market.merchant.credentials
    by_merchant = merchant.signer.sign(b"", ID_STATEMENT_REQUEST, certificates=merchant.chain)
    with pytest.raises(SetError):
        shop.bank.answer_statement(by_merchant)
    stranger = Market.open()
    foreign = stranger.cardholder.credentials.signer.sign(b"", ID_STATEMENT_REQUEST)
    with pytest.raises(SetError):
        shop.bank.answer_statement(foreign)


def test_a_bank_without_a_validator_answers_nobody(tmp_path: Path) -> None:
    till = make_bank(on_disk(tmp_path))
    with pytest.raises(UsageError, match="no validator"):
        till.bank.answer_statement(b"")
    till.bank.close()
