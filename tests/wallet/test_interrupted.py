"""Kills between any two steps of a purchase, and losses on the wire: each order is paid at most once (money.md §6)."""

from __future__ import annotations

import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setproto.errors import SetError, Unreachable
from setproto.wallet import paying, recorder
from setproto.wallet.paying import Standing, Till
from setproto.wallet.vault import Vault
from tests.wallet.killing import Killed, killed_at
from tests.wallet.world import EMPTY, FULL, Street, create, form, reopen

NAMES = ("PInitReq", "PReq", "InqReq")


class Scene:
    """A street, and a wallet with an empty card and a full one, of which every run gets a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.street = Street.open()
        self.numbers = count()
        with create(folder / "template") as vault:
            wallet = self.street.wallet(vault)
            self.street.registered(wallet, "empty", EMPTY, "EUR 0.00")
            self.street.registered(wallet, "full", FULL, "EUR 100000.00")

    def copy(self) -> Path:
        path = self.folder / f"wallet-{next(self.numbers)}"
        shutil.copy(self.folder / "template", path)
        return path

    def till(self, vault: Vault) -> Till:
        return self.street.till(self.street.wallet(vault))

    def lose(self, *fates: tuple[int, str]) -> None:
        """The messages of these numbers, counted from now, get lost there or on their way back."""
        sent, lost = count(), dict(fates)
        self.street.server.lose = lambda name: lost.get(next(sent))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("interrupted"))


def purchase(till: Till) -> None:
    """As ``setproto buy`` does it."""
    order = till.quote(form())
    for card in ("empty", "full"):
        till.approach(order.lid_m, card)
        if till.pay(order.lid_m).standing is not Standing.DECLINED:
            break
    till.fetch_receipt(order.lid_m)


def afterwards(scene: Scene, path: Path) -> None:
    """The wallet is opened again, resumes, and pays what is not paid; then wallet, merchant and bank agree."""
    scene.lose()
    with reopen(path) as vault:
        till = scene.till(vault)
        for order in paying.orders(till._wallet):
            outcome = till.settle(order.lid_m)
            assert outcome.standing in (Standing.OPEN, Standing.DECLINED, Standing.PAID), outcome
            paid = scene.street.paid().count(order.lid_m)
            assert paid == outcome.standing.is_paid
            if not paid:
                till.approach(order.lid_m, "full")
                assert till.pay(order.lid_m).standing is Standing.PAID
            assert till.fetch_receipt(order.lid_m) is not None
            assert till.standing(paying.order(till._wallet, order.lid_m)) is Standing.PAID
        every = scene.street.paid()
        assert len(set(every)) == len(every)
        assert all(entry.receipt is not None for entry in recorder.entries(till._wallet))


def test_killed_at_every_write(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in count():
        path = scene.copy()
        scene.lose()
        vault = reopen(path)
        with killed_at(number, monkeypatch) as calls, suppress(Killed):
            purchase(scene.till(vault))
        vault.close()
        afterwards(scene, path)
        if calls[0] <= number:
            break
    assert number > 20


def test_killed_while_it_resumes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in count():
        path = scene.copy()
        scene.lose((3, "back"))
        with reopen(path) as vault, suppress(Unreachable):
            purchase(scene.till(vault))
        scene.lose((0, "back"))
        vault = reopen(path)
        with killed_at(number, monkeypatch) as calls, suppress(Killed):
            (order,) = scene.till(vault).unsettled()
            scene.till(vault).settle(order.lid_m)
        vault.close()
        afterwards(scene, path)
        if calls[0] <= number:
            break
    assert number > 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fates=st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["there", "back"])), max_size=4),
    kill=st.integers(0, 60),
    again=st.integers(0, 20),
)
def test_losses_and_kills_together(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, fates: list[tuple[int, str]], kill: int, again: int
) -> None:
    path = scene.copy()
    scene.lose(*fates)
    vault = reopen(path)
    with killed_at(kill, monkeypatch), suppress(Killed, SetError):
        purchase(scene.till(vault))
    vault.close()
    vault = reopen(path)
    with killed_at(again, monkeypatch), suppress(Killed, SetError):
        for order in scene.till(vault).unsettled():
            scene.till(vault).settle(order.lid_m)
    vault.close()
    afterwards(scene, path)
