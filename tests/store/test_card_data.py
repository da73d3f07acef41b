"""Card data is in no file that a store writes, in no encoding: not in the database, not beside it (PX-1)."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from setproto.market import TEST_CARD, Market
from setproto.messages.common import InstallRecurData, Role
from setproto.scan import scan
from setproto.store.sql import SQLStore

EXPIRY = "203012"


def spellings(secret: bytes) -> list[bytes]:
    """A secret as it is, and as it would look in text."""
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)]


def bought(folder: Path) -> tuple[Market, dict[Role, SQLStore]]:
    """Purchases of every kind that leaves something behind, in stores on disk that are still open."""
    market = Market.open(expiry=EXPIRY)
    stores = {role: SQLStore(f"sqlite:///{folder / role.name}.db", role.name) for role in market.parties}
    for role, party in market.parties.items():
        party.store = stores[role]
    for number in range(3):
        market.buy(f"EUR {number + 1}.00", b"an order that should be found")
    # Instalments: the gateway keeps nothing, the merchant keeps a token with the account data inside (PANToken).
    order = market.order(
        "EUR 30.00",
        b"an order that should be found",
        install_recur_data=InstallRecurData(install_total_trans=3),
        first_amount="EUR 10.00",
    )
    lid_c, pinit_req = market.cardholder.start(order)
    market.deliver(Role.cardholder, pinit_req)
    market.deliver(Role.cardholder, market.cardholder.pay(lid_c))
    xid = market.result(lid_c).xid
    market.deliver(Role.merchant, market.merchant.authorize(xid, order.amount.with_amount(1000)))
    assert market.merchant.purchase(xid).auth_token is not None
    return market, stores


@pytest.mark.prop("PX-1")
def test_no_card_data_in_any_file(tmp_path: Path) -> None:
    market, stores = bought(tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for role, store in stores.items():
        assert {f"{role.name}.db", f"{role.name}.db-wal", f"{role.name}.db-shm"} <= set(files)
        store.close()
    files |= {f"{path.name}, closed": path.read_bytes() for path in tmp_path.iterdir()}

    everything = b"".join(files.values())
    assert b"an order that should be found" in everything, "the scan looks where the records are"
    assert scan(files, TEST_CARD).hits == ()
    secrets = {
        "expiry": [
            EXPIRY.encode(),
            EXPIRY.encode("utf-16-le"),
            EXPIRY.encode("utf-16-be"),
            EXPIRY.encode().hex().encode(),
        ],
        "CardSecret": spellings(market.card.card_secret.reveal()),
        "PANSecret": spellings(market.card.pan_secret.reveal()),
    }
    found = {
        (name, where)
        for name, written in secrets.items()
        for where, octets in files.items()
        if any(spelling in octets for spelling in written)
    }
    assert found == set()


@pytest.mark.parametrize("written", [TEST_CARD.encode(), bytes.fromhex(TEST_CARD), TEST_CARD.encode("utf-16-le")])
def test_the_scan_would_find_it(tmp_path: Path, written: bytes) -> None:
    store = SQLStore(f"sqlite:///{tmp_path / 'leak.db'}", "leak")
    with store.transaction() as transaction:
        transaction.put("records", b"key", b"before" + written + b"after")
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    store.close()
    assert {hit.where for hit in scan(files, TEST_CARD).hits} == {"leak.db-wal"}
    closed = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {hit.where for hit in scan(closed, TEST_CARD).hits} == {"leak.db"}
