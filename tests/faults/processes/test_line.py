"""The line to the bank is cut, silent, slow or late while wallets buy: every hold belongs to a payment in the end.

``SETPROTO_KILLS`` and ``SETPROTO_SEED`` as in ``test_killed``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from sqlalchemy import func, select

from setproto.bank.tables import PAYMENTS
from setproto.server.config import GatewayConfig, load
from tests.faults.processes.proxy import Proxy, proxy
from tests.faults.processes.street import Street, street

SEED = os.environ.get("SETPROTO_SEED") or os.urandom(4).hex()
ROUNDS = int(os.environ.get("SETPROTO_KILLS", "30")) // 30
BANK_SECONDS, GATEWAY_SECONDS = 0.5, 2
"""How long the gateway waits for the bank here, and the merchant for the gateway."""


def silence(line: Proxy) -> None:
    line.silent = True


def slow(line: Proxy) -> None:
    line.delay = BANK_SECONDS / 4


def late(line: Proxy) -> None:
    line.delay = BANK_SECONDS * 1.5


FAULTS: tuple[Callable[[Proxy], None], ...] = (Proxy.cut, Proxy.break_all, silence, slow, late)


def through(line: Proxy) -> Callable[[Street], None]:
    """The gateway reaches the bank over this line, and nobody is patient."""

    def change(made: Street) -> None:
        host, port = line.address
        bank = load(GatewayConfig, made.config("gateway")).bank
        line.lead_to(bank)
        made.change(
            "gateway", f'bank = "{bank[0]}:{bank[1]}"', f'bank = "{host}:{port}"\nbank_seconds = {BANK_SECONDS}'
        )
        made.change("merchant", "[keys]", f"gateway_seconds = {GATEWAY_SECONDS}\n\n[keys]")

    return change


def test_the_line_to_the_bank(tmp_path: Path) -> None:
    print(f"SETPROTO_SEED={SEED}")
    rng = Random(SEED)
    with proxy() as line, street(tmp_path / "shop", changed=through(line)) as shop:
        for name in shop.wallets:
            shop.go(name, SEED)
        with shop.busy(Random(SEED)):
            shop.wait_until_bought(20)
            for fault in rng.sample(FAULTS * ROUNDS, len(FAULTS) * ROUNDS):
                fault(line)
                time.sleep(rng.uniform(0.2, 2 * BANK_SECONDS))
                line.mend()
                bought = shop.bought()
                line.break_all()  # what waits for its time is sent again with a new sign-on
                shop.wait_until_bought(bought + 3)
        shop.stop_wallets()
        ledgers = shop.settled()
        with shop.bank() as bank, bank.engine.begin() as connection:
            states = dict(
                row for row in connection.execute(select(PAYMENTS.c.state, func.count()).group_by(PAYMENTS.c.state))
            )
    print(f"{len(ledgers.wallets)} payments, at the bank {states}")
    assert states["APPROVED"] == len(ledgers.paid())
    assert states["REVERSED"] > 0
