"""What the operator of a gateway looks at: `setproto gateway`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from setproto.bank import records
from setproto.cli import app
from setproto.roles.ports import AdviceKind
from setproto.server.gateway import LINK
from setproto.store.sql import SQLStore
from tests.bank.people import make_bank
from tests.bank.wire import Connected, advice, connected, on_disk

CONFIG = """
listen = "127.0.0.1:1"
database = "sqlite:///gateway.db"
link_database = "sqlite:///link.db"
acquirer_bin = "412345"
bank = "127.0.0.1:2"
token_key = "{key}"
link_key = "{key}"
keys = {{ directory = ".", name = "gateway", passphrase_file = "passphrase" }}
trust = {{ directory = ".", suite = "p256" }}
"""


def gateway(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["gateway", *arguments, "--config", str(folder / "gateway.toml")])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a gateway's configuration is."""
    file = tmp_path / "gateway.toml"
    file.touch(0o600)
    file.write_text(CONFIG.format(key="00" * 32))
    return tmp_path


@pytest.fixture
def line(folder: Path) -> Iterator[Connected]:
    """That gateway on the line to a bank that answers."""
    till = make_bank(on_disk(folder))
    store = SQLStore(f"sqlite:///{folder / 'link.db'}", LINK)
    with connected(till, store=store) as made:
        yield made
    store.close()
    till.bank.close()


def test_nothing_waits_when_all_is_well(folder: Path, line: Connected) -> None:
    line.buy(10_000)
    found = gateway(folder, "waiting")
    assert (found.exit_code, found.output) == (0, "")


def test_what_the_bank_refused_is_listed_with_its_reference_until_somebody_has_looked(
    folder: Path, line: Connected
) -> None:
    request, _ = line.buy(10_000)
    line.link.advise(advice(AdviceKind.CAPTURE, request, 10_001))  # more than it approved
    with line.store.transaction() as transaction:
        payment = records.find_payment(transaction, request.reference)
    assert payment is not None
    digits = request.reference.hex()[:16]
    found = gateway(folder, "waiting")
    assert (found.exit_code, found.output) == (1, f"for a person: {digits} CAPTURE of {payment.rrn}: 13\n")
    refused = gateway(folder, "done", "no such")
    assert (refused.exit_code, "nothing waits for a person" in refused.output) == (2, True)
    assert gateway(folder, "done", digits).output == "done: 1\n"
    assert json.loads(gateway(folder, "waiting", "--json").output) == {"reversals": [], "for_a_person": []}
    assert gateway(folder, "done", digits).exit_code == 2


def test_a_reversal_that_has_not_reached_the_bank_is_listed(folder: Path, line: Connected) -> None:
    request, _ = line.buy(10_000)
    line.link.close()
    with line.store.transaction() as transaction:
        payment = records.find_payment(transaction, request.reference)
        assert payment is not None
        reversal = records.QueuedReversal(
            name=payment.name, reference=request.reference, payment=payment, reason="68", queued=0
        )
        records.queue(transaction, reversal)
    found = gateway(folder, "waiting")
    assert (found.exit_code, found.output) == (0, f"for the bank: reversal of {payment.rrn}\n")


def test_looking_makes_no_database(folder: Path) -> None:
    found = gateway(folder, "waiting")
    assert (found.exit_code, "there is no database" in found.output) == (2, True)
    assert not (folder / "link.db").exists()
