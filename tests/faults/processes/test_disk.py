"""The disk is full for one server while wallets buy: what cannot be written down does not happen."""

from __future__ import annotations

import re
import resource
from functools import partial
from pathlib import Path
from random import Random

from tests.faults.processes.street import Street, street

ROOM = 100_000
"""Octets by which any file of that server may grow beyond what its database has."""


def impatient(made: Street) -> None:
    """Nobody waits long for a server that cannot answer."""
    made.change("merchant", "[keys]", "gateway_seconds = 2\n\n[keys]")
    bank = re.search("^bank = .*$", made.config("gateway").read_text(), re.MULTILINE)
    assert bank is not None
    made.change("gateway", bank[0], f"{bank[0]}\nbank_seconds = 1")


def test_the_disk_is_full(tmp_path: Path) -> None:
    with street(tmp_path / "shop", 1, changed=impatient) as shop:
        shop.go("wallet-1")
        with shop.busy(Random(0)):
            shop.wait_until_bought(5)
            for role in ("merchant", "gateway", "bank"):
                shop.stop(role)
                most = max(file.stat().st_size for file in (shop.directory / role).iterdir()) + ROOM
                shop.start(role, before=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most)))
                shop.wait(role)
                shop.wait_until_refused()
                before = shop.bought()
                shop.stop(role)
                shop.start(role)
                shop.wait(role)
                shop.wait_until_bought(before + 3)
        shop.stop_wallets()
        assert shop.settled().paid()
