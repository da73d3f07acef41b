"""Two gateways on one PostgreSQL, one of them killed at any moment: a merchant that comes to either is served once.

``SETPROTO_KILLS`` and ``SETPROTO_SEED`` as in ``test_killed``.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from random import Random

from tests.faults.processes.proxy import Proxy, proxy
from tests.faults.processes.street import Street, street
from tests.store.conftest import postgresql, url

__all__ = ["postgresql", "url"]

SEED = os.environ.get("SETPROTO_SEED") or os.urandom(4).hex()
KILLS = int(os.environ.get("SETPROTO_KILLS", "30")) // 10


def second(made: Street, line: Proxy) -> None:
    """Another gateway on the same database, with a terminal and an address of its own; the merchant comes to both."""
    first = made.config("gateway").read_text()
    with socket.create_server(("127.0.0.1", 0)) as free:
        host, port = free.getsockname()
    listen = made.url("gateway").removeprefix("http://")
    line.lead_to((host, int(listen.rpartition(":")[2])), (host, port))
    written = first.replace(f'listen = "{listen}"', f'listen = "{host}:{port}"\nterminal = "GW000002"')
    made.config("gateway-2").touch(0o600)
    made.config("gateway-2").write_text(written)
    made.change("merchant", f'gateway = "http://{listen}"', f'gateway = "http://{line.address[0]}:{line.address[1]}"')


def test_two_gateways_on_one_database(tmp_path: Path, postgresql: str) -> None:
    print(f"SETPROTO_SEED={SEED}")
    rng = Random(SEED)
    database = f"postgresql+psycopg:///postgres{postgresql}"
    servers = ("bank", "ca", "gateway", "gateway-2", "merchant")
    with (
        proxy() as line,
        street(
            tmp_path / "shop",
            database=database,
            servers=servers,
            changed=lambda made: second(made, line),
        ) as shop,
    ):
        for name in shop.wallets:
            shop.go(name, SEED)
        with shop.busy(Random(SEED)):
            for _ in range(KILLS):
                shop.wait_until_bought(shop.bought() + 5)
                time.sleep(rng.uniform(0.0, 0.1))
                name = rng.choice(("gateway", "gateway-2"))
                shop.stop(name)
                shop.wait_until_bought(shop.bought() + 2)  # the other one serves
                shop.go(name)
                shop.wait(name)
        shop.stop_wallets()
        ledgers = shop.settled()
        assert all('"message": "AuthReq"' in shop.log(name) for name in ("gateway", "gateway-2"))
    print(f"{len(ledgers.wallets)} payments, {len(ledgers.paid())} approved")
    assert ledgers.paid()
