"""All servers on one PostgreSQL, each in a space of its own."""

from __future__ import annotations

from pathlib import Path

from tests.server.running import up
from tests.store.conftest import postgresql, url

__all__ = ["postgresql", "url"]


def test_one_url_moves_everything(tmp_path: Path, postgresql: str) -> None:
    database = f"postgresql+psycopg:///postgres{postgresql}"
    with up(tmp_path / "shop", "--database", database) as shop:
        buyer = shop.buyer()
        bought = buyer.buy()
        assert bought.outcome == "approved"
    with up(tmp_path / "shop") as again:
        receipt = again.buyer().receipt(bought)
    assert receipt is not None
    assert str(receipt.authorized) == "EUR 27.50"
    assert list((tmp_path / "shop").rglob("*.db")) == []
