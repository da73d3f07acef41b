"""Merchant, gateway and cardholder are processes on SQLite files, and are killed with SIGKILL, again and again.

Nothing is lost, nothing is done twice, and whoever repeats a request gets the first answer.  ``SETPROTO_KILLS=5000``
kills more, ``SETPROTO_SEED=…`` repeats a run (as far as it goes: half of the kills are timed by the clock).
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.kill.world import EveryStep, World

KILLS = int(os.environ.get("SETPROTO_KILLS", "200"))
SEED = int(os.environ.get("SETPROTO_SEED", random.SystemRandom().randrange(2**32)))


@pytest.mark.prop("PX-7", "PX-9")
@pytest.mark.slow
def test_killed_at_any_time(tmp_path: Path) -> None:
    print(f"SETPROTO_SEED={SEED}")  # pytest shows it if the test fails
    with World.open(tmp_path, SEED) as world:
        world.run(KILLS)
        world.last_audit()
        report(world)
    assert world.kills >= KILLS
    assert world.compared >= KILLS / 2, "too few requests were repeated"


@pytest.mark.prop("PX-7", "PX-9")
@pytest.mark.slow
def test_killed_at_every_step(tmp_path: Path) -> None:
    """Each thing that a process does dies at its first step, then at its second, and so on."""
    print(f"SETPROTO_SEED={SEED}")
    with World.open(tmp_path, SEED, EveryStep()) as world:
        plain = ["capture", "credit", "reverse_credit", "reverse_capture", "reverse"]
        world.begin(plain, "plain")
        world.begin(["credit"], "sale")
        world.begin(["authorize"], "split")
        world.begin([], "other order")
        world.run(0)
        world.administrate()  # opens a batch
        world.last_audit()
        report(world)
    assert world.kills >= 200
    assert world.bank.repeated >= 10


def report(world: World) -> None:
    """For whoever runs this with ``-s``."""
    names = {role.name: host.kills for role, host in world.hosts.items()}
    print(
        f"{world.kills} kills {names}, {len(world.journeys)} orders, {len(world.answers)} requests,"
        f" {world.compared} answers compared, the bank was asked again {world.bank.repeated} times"
    )
