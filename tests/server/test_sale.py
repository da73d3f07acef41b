"""A shop with ``capture = "sale"``: the money is taken with the authorisation, and a batch says how much (§4.18)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from setproto.client import PAYMENT
from setproto.messages.codes import CompletionCode
from setproto.roles.ports import EventKind
from setproto.server.founding import found
from tests.server.parts import parts
from tests.server.running import setproto


def test_a_sale_is_captured_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "shop"
    found(directory, datetime.now(UTC))
    config = directory / "merchant" / "merchant.toml"
    config.write_text(config.read_text().replace('capture = "shipment"', 'capture = "sale"'))

    def merchant(*arguments: str) -> str:
        done = setproto("merchant", *arguments, "--data", directory)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with parts(directory) as shop:
        before = shop.available()
        buyer = shop.buyer()
        bought = buyer.buy()
        receipt = buyer.receipt(bought)
        assert receipt is not None
        assert (receipt.completion_code, str(receipt.captured)) == (CompletionCode.capturePerformed, "EUR 27.50")
        path = f"/orders/{bought.lid_m.hex()}/answer?xid={bought.xid.hex()}"
        status, kind, answer = shop.client("merchant").request("GET", path)
        assert (status, kind) == (200, PAYMENT)
        assert buyer.role.handle(answer).events[0].kind is EventKind.RESULT  # signed for this buyer
        elsewhere = path.replace(bought.lid_m.hex(), "00" * 20)
        assert shop.client("merchant").request("GET", elsewhere)[0] == 404
        nothing_left = setproto("merchant", "ship", "last", "--data", directory)
        assert (nothing_left.returncode, nothing_left.stdout) == (2, "")
        assert nothing_left.stderr.endswith("there is nothing left to take: it was captured with the sale\n")
        assert merchant("refund", "last", "--amount", "EUR 12.50").endswith(": success\n")
        _, totals, _ = merchant("batch", "1").splitlines()
        assert totals == "    1 captures, EUR 27.50; 1 refunds, EUR 12.50"
        assert merchant("batch", "1", "close").splitlines()[1] == totals
        assert shop.available() == before - 1500
