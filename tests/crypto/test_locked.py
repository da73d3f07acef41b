"""Keys from passphrases, several derived at once; the rest of ``locked`` is tested with the wallet's vault."""

from __future__ import annotations

import subprocess
import sys


def test_two_derivations_at_once_do_not_wait_for_each_other_for_ever() -> None:
    """In a process of its own: what hangs in there could not be ended."""
    script = """
from concurrent.futures import ThreadPoolExecutor
from setproto.crypto.locked import Cost
cost = Cost(memory=1 << 10, passes=1, lanes=4)
with ThreadPoolExecutor(4) as pool:
    keys = {key for key in pool.map(lambda _: cost.derive(b"passphrase", bytes(16)), range(200))}
print(len(keys))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"
