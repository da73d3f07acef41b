"""The merchant's requests to its gateway: sent again until they are answered, and told once."""

from __future__ import annotations

from collections.abc import Callable

from setproto.client import HTTPTransport
from setproto.errors import Unreachable
from setproto.market import Market
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
        self.meanwhile: Callable[[], None] = lambda: None

    def post(self, data: bytes, media_type: str) -> bytes:
        self.asked.append(data)
        if len(self.asked) == 1:
            self.meanwhile()
        return self.market.gateway.handle(data).outgoing[0].data


def opened() -> tuple[Market, Line, Shop, bytes]:
    """A shop of which one order is authorised."""
    market = Market.open("p256")
    line = Line(market)
    shop = Shop(market.merchant, line, Catalogue.model_construct(), Talk(market.merchant, Metrics()), capture_now=False)
    return market, line, shop, market.buy("EUR 42.00", b"one book", capture=False).xid


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
