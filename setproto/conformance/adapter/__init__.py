"""This library behind the pipe, as any other implementation would be: requests in, answers out, one a line.

An operation gets the members of ``input``, with ``now`` beside them, and returns the members of the answer, or its
``outputs`` alone where the answer is "valid".  Refusals are the library's own exceptions.  Anything else that is raised
is a bug: the process ends with a traceback, and the harness counts a crash.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, BinaryIO

from pki import CertificateError
from setproto import __version__
from setproto.conformance.adapter import making, objects, roles
from setproto.crypto.suites import SUITES
from setproto.errors import SetError, UnknownSuite

Operation = Callable[[dict[str, Any]], dict[str, Any]]


def operations() -> dict[str, Operation]:
    """Every operation by name."""
    return {**objects.OPS, **roles.OPS, **making.OPS}


def hello(ops: dict[str, Operation]) -> dict[str, Any]:
    """What we say of ourselves."""
    return {
        "name": "setproto",
        "version": __version__,
        "suites": list(SUITES),
        "features": [],
        "ops": sorted(ops),
    }


def answer(request: dict[str, Any], ops: dict[str, Operation]) -> dict[str, Any]:
    """The answer to one request."""
    if request["op"] == "hello":
        return hello(ops)
    identifier, operation = request["id"], ops.get(request["op"])
    if operation is None:
        return {"id": identifier, "result": "unsupported", "reason": "no such operation"}
    try:
        given = operation({**request["input"], "now": request["now"]})
    except UnknownSuite:
        return {"id": identifier, "result": "unsupported", "reason": "no such suite"}
    except SetError as refusal:
        return {"id": identifier, "result": "invalid", "reason": refusal.code.name}
    except CertificateError as refusal:
        return {"id": identifier, "result": "invalid", "reason": refusal.code}
    return {"id": identifier, **(given if "result" in given else {"result": "valid", "outputs": given})}


def serve(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Answer until the input ends."""
    ops = operations()
    for line in stdin:
        stdout.write(json.dumps(answer(json.loads(line), ops)).encode() + b"\n")
        stdout.flush()
