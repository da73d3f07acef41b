"""What ``openssl speed`` says of the same algorithms: another program's stopwatch, beside ours.

It is the machine's own OpenSSL, often not the version that ``cryptography`` carries; both are named in the report.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from typing import Final

_NAMES: Final = {"p256": "ecdsap256", "rsa3072": "rsa3072", "ed25519": "ed25519", "mldsa65": "ML-DSA-65"}
"""Suite → what ``openssl speed`` calls its signature."""
_FIELDS: Final = {"+F2": 3, "+F4": 3, "+F6": 4, "+F10": 3}
"""Kind of line (RSA, ECDSA, EdDSA; and signatures of providers, where key generation comes first) → where signatures
per second stand; verifications per second are next to them."""


def parse(output: str) -> tuple[float, float] | None:
    """Signatures and verifications per second, from what ``openssl speed -mr`` prints for one algorithm."""
    for line in output.splitlines():
        fields = line.split(":")
        place = _FIELDS.get(fields[0])
        if place is not None:
            try:
                sign, verify = map(float, fields[place : place + 2])
            except ValueError:
                return None
            # Until 1.1.1 these were seconds per operation, which nobody measures in hours.
            return (sign, verify) if min(sign, verify) > 1 else None
    return None


def version() -> str | None:
    """What the openssl command says that it is; None if there is none."""
    command = shutil.which("openssl")
    if command is None:
        return None
    return subprocess.run([command, "version"], capture_output=True, text=True, check=False).stdout.strip() or None


def speed(suites: Iterable[str]) -> dict[str, float]:
    """Operations per second by id (``raw.sign.p256``); nothing for what this machine's openssl does not know."""
    command = shutil.which("openssl")
    found: dict[str, float] = {}
    for suite in suites if command else ():
        done = subprocess.run(
            [str(command), "speed", "-mr", "-seconds", "1", _NAMES[suite]],
            capture_output=True,
            text=True,
            check=False,
        )
        rates = parse(done.stdout) if done.returncode == 0 else None
        if rates is not None:
            found |= {f"raw.sign.{suite}": rates[0], f"raw.verify.{suite}": rates[1]}
    return found
