"""Health, metrics and logs: enough to run a shop by, and nothing secret."""

from __future__ import annotations

import base64
import json

import pytest

from setproto.client import PAYMENT
from setproto.scan import scan
from tests.server.buyer import ADA, Bought, Buyer
from tests.server.running import Running

ROLES = ("bank", "ca", "gateway", "merchant")


@pytest.fixture(scope="module")
def buyer(shop: Running) -> Buyer:
    return shop.buyer()


@pytest.fixture(scope="module")
def bought(buyer: Buyer) -> Bought:
    return buyer.buy()


@pytest.mark.parametrize("role", ROLES)
def test_every_server_says_how_it_is(shop: Running, role: str) -> None:
    expected = {"role": role, "status": "ok", "process": shop.pid(role)}
    assert shop.client(role).json("GET", "/health") == expected


def test_metrics_count_messages_and_purchases(shop: Running, bought: Bought) -> None:
    merchant, gateway, ca = (metrics(shop, role) for role in ("merchant", "gateway", "ca"))
    assert merchant['setproto_requests_total{message="PReq",outcome="answered"}'] >= 1
    assert merchant['setproto_purchases_total{outcome="approved",step="authorization"}'] >= 1
    assert merchant['setproto_request_seconds_count{message="PReq"}'] >= 1
    assert gateway['setproto_requests_total{message="AuthReq",outcome="answered"}'] >= 1
    assert ca['setproto_purchases_total{outcome="requestComplete",step="certification"}'] >= 1
    assert merchant["process_resident_memory_bytes"] > 0


def test_metrics_have_no_series_that_a_peer_can_multiply(shop: Running, bought: Bought) -> None:
    client = shop.client("merchant")
    before = len(metrics(shop, "merchant"))
    for number in range(20):
        client.request("POST", "/set", bytes([number]) * 50, PAYMENT)
        client.request("GET", f"/orders/{number:02x}/receipt?xid={number:040x}")
        client.request("GET", f"/nothing/{number}")
    assert len(metrics(shop, "merchant")) - before < 40  # the series of a receipt, and of what is unreadable
    assert bought.xid.hex() not in client.request("GET", "/metrics")[2].decode()


def metrics(shop: Running, role: str) -> dict[str, float]:
    status, _, body = shop.client(role).request("GET", "/metrics")
    assert status == 200
    lines = (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_every_line_of_a_log_is_an_object_with_its_time_and_role(shop: Running, bought: Bought) -> None:
    for role in ROLES:
        lines = [json.loads(line) for line in shop.log(role).splitlines()]
        assert lines
        assert all(line["role"] == role and line["timestamp"].endswith("Z") for line in lines)
    (preq,) = (
        line
        for line in map(json.loads, shop.log("merchant").splitlines())
        if line.get("message") == "PReq" and line.get("xid") == bought.xid.hex()
    )
    assert (preq["outcome"], preq["authorization"]) == ("answered", "approved")


def test_a_refusal_is_logged_with_its_reason(shop: Running, buyer: Buyer) -> None:
    order = buyer.order()
    _, message = buyer.role.start(order)
    forged = message.data.replace(order.lid_m, bytes(len(order.lid_m)))
    buyer.merchant.post(forged, PAYMENT)
    refused = [json.loads(line) for line in shop.log("merchant").splitlines() if '"refused"' in line]
    assert {"PInitReq": "unknownLID"}.items() <= {
        line["message"]: line["code"] for line in refused if "code" in line
    }.items()


def test_T67_logs_and_databases_hold_no_card_number(shop: Running, bought: Bought) -> None:
    files = {
        str(path.relative_to(shop.directory)): path.read_bytes() for path in shop.directory.rglob("*") if path.is_file()
    }
    assert {"merchant/merchant.db", "bank/bank.log", "gateway/link.db"} <= files.keys()
    found = scan(files, ADA[0])
    assert found.bytes_scanned > 100_000
    assert found.hits == ()


def test_logs_hold_no_octets_of_messages(shop: Running, buyer: Buyer) -> None:
    bought = buyer.start(buyer.order())
    preq = buyer.role.pay(bought.lid_c).data
    buyer.pay(bought)
    middle = preq[len(preq) // 2 :][:24]
    for role in ROLES:
        log = shop.log(role).encode()
        for written in (middle, middle.hex().encode(), base64.b64encode(middle)[:28], repr(middle)[2:-1].encode()):
            assert written not in log
