"""Our adapter with one check of the library taken out: ``python -m tests.conformance.broken MODE``."""

from __future__ import annotations

import sys
from typing import Any

from setproto.conformance import adapter
from setproto.crypto import signed
from setproto.crypto.suites import Suite


def no_signatures() -> None:
    """Every signature of a message is good; those of certificates are still looked at."""
    Suite.verify = lambda *_: None  # type: ignore[method-assign]


def no_attributes() -> None:
    """What is signed is taken as it comes, whatever its attributes say."""
    signed._check_attributes = lambda *_: None  # type: ignore[assignment]


def vague() -> None:
    """One reason for everything."""
    right = adapter.answer

    def answer(request: dict[str, Any], ops: dict[str, Any]) -> dict[str, Any]:
        answered = right(request, ops)
        return answered if answered.get("result") != "invalid" else {**answered, "reason": "unspecifiedFailure"}

    adapter.answer = answer


if __name__ == "__main__":
    {"no-signatures": no_signatures, "no-attributes": no_attributes, "vague": vague}[sys.argv[1]]()
    adapter.serve(sys.stdin.buffer, sys.stdout.buffer)
