"""The clock of a server jumps while wallets buy: what is too old or expired is refused, and nothing is paid twice."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.faults.processes.street import Street, street

SHIFTED = "tests.faults.processes.shifted"
HOUR, YEARS = 3600, 12 * 365 * 86_400


def jump(shop: Street, role: str, seconds: int) -> None:
    """From now on, while everything goes on running."""
    shop.config(role).with_name("clock").write_text(str(seconds))


def test_the_clock_jumps(tmp_path: Path) -> None:
    with street(tmp_path / "shop", 1) as shop:
        for role in ("merchant", "gateway"):
            shop.stop(role)
            shop.start(role, program=SHIFTED)
            shop.wait(role)
        shop.go("wallet-1")
        with shop.busy(Random(0)):
            shop.wait_until_bought(5)
            for role, seconds in (("merchant", HOUR), ("gateway", -HOUR), ("gateway", YEARS)):
                jump(shop, role, seconds)
                shop.wait_until_refused()
                before = shop.bought()
                jump(shop, role, 0)
                shop.wait_until_bought(before + 3)
        shop.stop_wallets()
        assert shop.settled().paid()
