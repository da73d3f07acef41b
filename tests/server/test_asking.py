"""The merchant's requests to its gateway: sent again until they are answered, and told once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cryptography import x509

from setproto.client import HTTPTransport
from setproto.errors import Unreachable
from setproto.market import Market
from setproto.messages.common import Role
from setproto.messages.registry import AUTH_REQ, AUTH_REV_REQ
from setproto.messages.wrapper import unwrap
from setproto.server.config import GIVE_UP_SECONDS
from setproto.server.merchant import Shop
from setproto.server.metrics import Metrics
from setproto.server.talk import Talk
from setproto.shop.catalogue import Catalogue


class Line(HTTPTransport):
    """The way to the gateway of a market; ``meanwhile`` happens while the first request is under way."""

    def __init__(self, market: Market) -> None:
        super().__init__("http://127.0.0.1:1")
        self.market = market
        self.asked: list[bytes] = []
        self.is_down = False
        self.meanwhile: Callable[[], None] = lambda: None

    def post(self, data: bytes, media_type: str) -> bytes:
        self.asked.append(data)
        if self.is_down:
            raise Unreachable("cut")
        if len(self.asked) == 1:
            self.meanwhile()
        return self.market.gateway.handle(data).outgoing[0].data


def opened() -> tuple[Market, Line, Shop, bytes]:
    """A shop of which one order is authorised."""
    market, line, shop = again(Market.open("p256"))
    return market, line, shop, market.buy("EUR 42.00", b"one book", capture=False).xid


def again(market: Market) -> tuple[Market, Line, Shop]:
    """A process of the shop."""
    line = Line(market)
    talk = Talk(market.merchant, Metrics())
    return market, line, Shop(market.merchant, line, Catalogue.model_construct(), talk, capture_now=False)


def ordered(market: Market, shop: Shop) -> bytes:
    """An order for which a wallet pays, and which the gateway does not answer: the XID."""
    lid_c, pinit_req = market.cardholder.start(market.order("EUR 42.00", b"one book"))
    market.deliver(Role.cardholder, pinit_req)
    answered = shop.answer(market.cardholder.pay(lid_c).data)
    assert answered.data is None, "the order is taken, and that is all that can be said"
    return market.result(lid_c).xid


def test_what_is_being_asked_is_not_asked_again_meanwhile() -> None:
    market, line, shop, xid = opened()
    line.meanwhile = shop.ask_again
    (event,) = shop.ask(market.merchant.capture(xid))
    assert event.code is not None
    assert (len(line.asked), event.code.name) == (1, "success")


def test_what_got_no_answer_is_asked_again_and_then_no_more() -> None:
    market, line, shop, xid = opened()

    def fail() -> None:
        raise Unreachable("cut")

    line.meanwhile = fail
    assert shop.ask(market.merchant.capture(xid)) == ()
    for _ in range(3):
        shop.ask_again()
    assert len(line.asked) == 2
    assert line.asked[0] == line.asked[1]
    assert market.merchant.purchase(xid).outstanding is None


def test_what_the_gateway_refuses_for_good_is_given_up() -> None:
    """The gateway knows that the card was revoked, and the merchant does not.  An Error changes nothing (PX-17), so
    the merchant asks again until its patience ends."""
    market, line, shop, _ = opened()
    serial = x509.load_der_x509_certificate(market.cardholder.credentials.signer.certificate).serial_number
    market.tree.cca.revoke(serial, market.clock())
    for crl in market.tree.crls(market.clock()):
        market.gateway.validator.add_crl(crl)
    xid = ordered(market, shop)
    for _ in range(3):
        shop.ask_again()
    assert [unwrap(data).type for data in line.asked] == [AUTH_REQ] * 4
    assert market.merchant.purchase(xid).outstanding is not None
    market.clock.advance(timedelta(seconds=GIVE_UP_SECONDS + 1))
    for _ in range(3):
        shop.ask_again()
    assert [unwrap(data).type for data in line.asked[4:]] == [AUTH_REV_REQ]
    assert (market.merchant.purchase(xid).outstanding, market.merchant.purchase(xid).has_failed) == (None, True)


def test_what_was_given_up_is_taken_back_after_a_restart_too() -> None:
    market, line, shop, _ = opened()
    line.is_down = True
    xid = ordered(market, shop)
    market.clock.advance(timedelta(seconds=GIVE_UP_SECONDS + 1))
    shop.ask_again()
    _, line, shop = again(market)
    shop.find_waiting()
    for _ in range(3):
        shop.ask_again()
    assert [unwrap(data).type for data in line.asked] == [AUTH_REV_REQ]
    assert market.merchant.purchase(xid).outstanding is None
