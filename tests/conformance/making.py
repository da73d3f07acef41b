"""Our adapter with one mistake in what it makes: ``python -m tests.conformance.making MODE``."""

from __future__ import annotations

import sys
from typing import Any

from setproto.conformance import adapter
from setproto.conformance.adapter import making

_FIXED: dict[str, dict[str, Any]] = {}


def wrong(mode: str) -> dict[str, Any]:
    """The operations, one of them wrong."""
    ops = dict(making.OPS)

    def seal_without_context(given: dict[str, Any]) -> dict[str, Any]:
        return making.cms_seal({**given, "context": ""})

    def seal_once(given: dict[str, Any]) -> dict[str, Any]:
        return _FIXED.setdefault(given["content"] + given["context"] + given["suite"], making.cms_seal(given))

    def sign_as_data(given: dict[str, Any]) -> dict[str, Any]:
        return making.cms_sign({**given, "content_type": "1.2.840.113549.1.7.1"})

    def sign_alone(given: dict[str, Any]) -> dict[str, Any]:
        return making.cms_sign({**given, "certificates": []})

    def sign_something(given: dict[str, Any]) -> dict[str, Any]:
        return making.cms_sign({**given, "content": "00"})

    def sign_loudly(given: dict[str, Any]) -> dict[str, Any]:
        return {"signed": making.cms_sign(given)["signed"] + " "[: len(given["content"]) % 2] + "?"}

    def dual_unsalted(given: dict[str, Any]) -> dict[str, Any]:
        return making.dual_sign({**given, "parts": [{**part, "salt": "00" * 32} for part in given["parts"]]})

    def dual_boasting(given: dict[str, Any]) -> dict[str, Any]:
        return {**dual_unsalted(given), "digests": making.dual_sign(given)["digests"]}

    def refuse(given: dict[str, Any]) -> dict[str, Any]:
        return {"result": "invalid", "reason": "unspecifiedFailure"}

    changes = {
        "seal_without_context": ("cms.seal", seal_without_context),
        "seal_once": ("cms.seal", seal_once),
        "sign_as_data": ("cms.sign", sign_as_data),
        "sign_alone": ("cms.sign", sign_alone),
        "sign_something": ("cms.sign", sign_something),
        "sign_loudly": ("cms.sign", sign_loudly),
        "dual_unsalted": ("dual.sign", dual_unsalted),
        "dual_boasting": ("dual.sign", dual_boasting),
        "refuse": ("dual.sign", refuse),
    }
    if mode in changes:
        name, operation = changes[mode]
        ops[name] = operation
    return ops


if __name__ == "__main__":
    chosen = wrong(sys.argv[1])
    adapter.operations = lambda: chosen
    adapter.serve(sys.stdin.buffer, sys.stdout.buffer)
