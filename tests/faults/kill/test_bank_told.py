"""The gateway dies while it works, and something else happens before the retry, so that the retry is decided otherwise.

The bank must have been told only what was committed: that is what the gateway's outbox is for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from setproto.messages.codes import BatchOperation
from setproto.roles.ports import Outgoing
from tests.faults.kill.books import Books
from tests.faults.kill.hosts import Died, Kill
from tests.faults.kill.world import Nobody, World

STEPS = 60
"""More than handling one request takes."""


@pytest.mark.prop("PX-9")
@pytest.mark.slow
@pytest.mark.parametrize("purge", [False, True], ids=["capture", "purge"])
def test_a_batch_is_closed_before_the_retry(tmp_path: Path, purge: bool) -> None:
    with World.open(tmp_path, 1, Nobody()) as world:
        for step in range(1, STEPS):
            journey, batch = world.begin([], "plain"), 1000 + step
            world.run(0)
            world.exchange("batch", batch, BatchOperation.open)
            world.journeys.remove(journey)  # what follows is done behind the back of its owner
            request = world.merchant("capture", journey.xid, batch_id=batch)
            if purge:
                _answered(world, request)
                request = world.merchant("batch", batch, BatchOperation.purge)
            try:
                world.gateway("handle", request.data, kill=Kill(at_step=step))
            except Died:
                world.exchange("batch", batch, BatchOperation.close)
                _answered(world, request)
                Books.read(tmp_path).audit(world.bank)
            else:
                return  # it outlived every step
    raise AssertionError("more steps than were tried")


def _answered(world: World, request: Outgoing) -> None:
    outgoing, _ = world.gateway("handle", request.data)
    world.merchant("handle", outgoing[0].data)
