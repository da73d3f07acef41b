"""docs/shop.md names every key of every configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from setproto.server import config
from setproto.settings import Table

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "shop.md"


@pytest.mark.parametrize(
    "table",
    [
        config.ServerConfig,
        config.MerchantConfig,
        config.GatewayConfig,
        config.BankConfig,
        config.CAConfig,
        *(config.Limits, config.TLS, config.Trust, config.Keys, config.Operator, config.Bank),
    ],
)
def test_every_key_is_explained(table: type[Table]) -> None:
    explained = set(re.findall(r"`\[?([a-z0-9_]+)\]?`", DOCUMENT.read_text()))
    assert set(table.model_fields) <= explained
