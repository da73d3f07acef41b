"""What the shop's own people do: `setproto merchant`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from setproto.messages.codes import CompletionCode
from tests.server.buyer import Bought, Buyer
from tests.server.running import Running, setproto


@pytest.fixture(scope="module")
def buyer(shop: Running) -> Buyer:
    return shop.buyer()


def merchant(shop: Running, *arguments: str) -> str:
    done = setproto("merchant", *arguments, "--data", shop.directory)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(shop: Running, bought: Bought) -> dict[str, Any]:
    (found,) = (one for one in json.loads(merchant(shop, "orders", "--json")) if one["order"] == bought.lid_m.hex())
    return dict(found)


def test_an_order_is_shipped_and_part_of_it_comes_back(shop: Running, buyer: Buyer) -> None:
    bought = buyer.buy()
    order = bought.lid_m.hex()
    assert listed(shop, bought)["status"] == "approved"
    assert "2 × Notebook" in merchant(shop, "orders")

    assert merchant(shop, "ship", order).endswith(": success\n")
    assert listed(shop, bought)["captured"] == "EUR 27.50"
    assert buyer.inquire(bought) == "success"

    assert merchant(shop, "refund", order, "--amount", "EUR 12.50").endswith(": success\n")
    receipt = buyer.receipt(bought)
    assert receipt is not None
    assert receipt.completion_code is CompletionCode.creditPerformed
    assert (str(receipt.captured), str(receipt.credited)) == ("EUR 27.50", "EUR 12.50")


def test_what_makes_no_sense_is_said(shop: Running, buyer: Buyer) -> None:
    bought = buyer.buy()
    order = bought.lid_m.hex()
    refused = setproto("merchant", "refund", order, "--data", shop.directory)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no such operation" in refused.stderr
    unpaid = buyer.order().lid_m.hex()
    assert "not paid" in setproto("merchant", "ship", unpaid, "--data", shop.directory).stderr
    assert "no such order" in setproto("merchant", "ship", "00", "--data", shop.directory).stderr


def test_a_batch_is_opened_looked_at_and_closed(shop: Running) -> None:
    for operation, ending in (("open", "still open"), ("look", "still open"), ("close", "+00:00")):
        said, when = merchant(shop, "batch", "77", operation).splitlines()
        assert said == "batch 77: success"
        assert when.startswith("    opened 20")
        assert when.endswith(ending)
    unknown = setproto("merchant", "batch", "78", "--data", shop.directory)
    assert (unknown.returncode, unknown.stdout) == (1, "batch 78: unknownBatchID\n")


def test_the_operators_interface_opens_to_the_secret_only_and_not_in_public(shop: Running) -> None:
    from setproto.client import HTTPTransport
    from setproto.server.config import MerchantConfig, load

    operator = load(MerchantConfig, shop.directory / "merchant" / "merchant.toml").operator
    host, port = operator.listen
    good = {"authorization": f"Bearer {operator.secret.get_secret_value()}"}
    with HTTPTransport(f"http://{host}:{port}") as private:
        assert private.request("GET", "/operator/orders")[0] == 401
        assert private.request("GET", "/operator/orders", headers={"authorization": "Bearer " + "0" * 64})[0] == 401
        assert private.request("GET", "/operator/orders", headers=good)[0] == 200
    assert shop.client("merchant").request("GET", "/operator/orders", headers=good)[0] == 404
