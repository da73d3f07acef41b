"""Any process is killed at any moment while wallets buy: wallets, merchant, gateway, CA, bank.

Afterwards the ledgers of all agree to the cent.  ``SETPROTO_KILLS=300`` kills so often, instead of 30 times;
``SETPROTO_SEED=…`` repeats who is killed and after how long: as far as processes can be repeated.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

from tests.faults.processes.street import Street, street

KILLS = int(os.environ.get("SETPROTO_KILLS", "30"))
SEED = os.environ.get("SETPROTO_SEED") or os.urandom(4).hex()
AGAIN = 0.3
"""How often a process is killed once more while it starts."""


def kill(shop: Street, rng: Random, names: list[str]) -> int:
    """Kill them, start them again, and perhaps kill one of them while it starts; how many were killed."""
    for name in names:
        shop.stop(name)
    for name in names:
        shop.go(name, SEED)
    again = rng.random() < AGAIN
    if again:
        time.sleep(rng.uniform(0.0, 1.0))
        shop.stop(names[0])
        shop.go(names[0], SEED)
    for name in names:
        if name not in shop.wallets:
            shop.wait(name)
    return len(names) + again


def test_everything_is_killed_at_any_moment(tmp_path: Path) -> None:
    print(f"SETPROTO_SEED={SEED} SETPROTO_KILLS={KILLS}")
    rng = Random(SEED)
    with street(tmp_path / "shop") as shop:
        names = ["merchant", "gateway", "bank", "ca", *shop.wallets]
        for name in shop.wallets:
            shop.go(name, SEED)
        killed = 0
        with shop.busy(Random(f"{SEED} shop")):
            while killed < KILLS:
                time.sleep(rng.uniform(0.0, 0.5))
                killed += kill(shop, rng, rng.sample(names, rng.choice((1, 1, 2, 3))))
        shop.stop_wallets()
        ledgers = shop.settled()
    paid = ledgers.paid()
    print(f"{killed} kills, {len(ledgers.wallets)} payments, {len(paid)} approved")
    assert paid
    assert any(money.captured for money in paid)
    assert any(money.credited for money in paid)
    assert len(paid) < len(ledgers.wallets)  # some were declined
    for lost in (ledgers.wallets, ledgers.merchant, ledgers.gateway, ledgers.bank):
        xid = next(xid for xid, money in ledgers.bank.items() if money == paid[0])
        kept = lost.pop(xid)
        assert ledgers.faults()  # it would have been noticed
        lost[xid] = kept
