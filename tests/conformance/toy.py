"""A protocol of three checks with vectors for it, and implementations of it that are wrong in one way each.

Run as a script, this is an implementation: ``python toy.py MODE``.  Only the standard library, so that it starts fast.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import sys
import time
from typing import Any

KEY = bytes(range(32))
NOW = "2026-01-15T12:00:00Z"
CONTENT = b'4111111111111111 and a "caf\xc3\xa9"' + b" of coffee" * 12
GOOD, LATER = "toy::good", "toy::good-later"
BAD_MAC, EXPIRED, OTHERS = "toy::bad-mac", "toy::expired", "toy::for-others"
FEATURE, OTHER_OP = "toy::with-feature", "toy::other-op"
IDS = (GOOD, LATER, BAD_MAC, EXPIRED, OTHERS, FEATURE, OTHER_OP)


# --- the vectors ---


def mac(content: bytes) -> str:
    return hmac.digest(KEY, content, "sha256").hex()


def a_test(name: str, reason: str | None = None, **changes: Any) -> dict[str, Any]:
    given = {"content": CONTENT.hex(), "mac": mac(CONTENT), "until": "2026-02-01T00:00:00Z", "to": "us", **changes}
    expected: dict[str, Any] = {"result": "invalid", "reason": reason, "alternatives": [], "outputs": {}}
    if reason is None:
        expected |= {"result": "valid", "outputs": {"content": bytes.fromhex(given["content"]).decode()}}
    else:
        expected["must_not_release"] = [CONTENT.hex(), CONTENT[:16].hex()]
    test = {"tcId": name, "comment": name, "flags": [], "features": [], "covers": [], "input": given}
    return {**test, "expected": expected, "recipe": hashlib.sha256(name.encode()).hexdigest()}


def a_file(suite: str | None = None) -> dict[str, Any]:
    good = a_test(GOOD)
    good["intermediate"] = {"mac": good["input"]["mac"]}
    expired = a_test(EXPIRED, "expiredCertificate", until="2026-01-01T00:00:00Z")
    expired["expected"]["alternatives"] = ["invalidCertificate"]
    feature = a_test(FEATURE)
    feature["features"] = ["extra"]
    tests = [
        good,
        a_test(LATER, content=b"later".hex(), mac=mac(b"later")),
        a_test(BAD_MAC, "signatureFailure", mac="00" * 32),
        expired,
        a_test(OTHERS, "wrongRecipient", to="others"),
        feature,
    ]
    group = {"role": None, "now": NOW, "trust": {}, "keys": {"key": KEY.hex()}, "policy": {}}
    return {
        "format": 1,
        "schema": "vectors.schema.json",
        "area": "toy",
        "suite": suite,
        "numberOfTests": 7,
        "header": ["for tests"],
        "notes": {},
        "testGroups": [
            {"type": "toy.check", **group, "tests": tests},
            {"type": "toy.other", **group, "tests": [a_test(OTHER_OP)]},
        ],
    }


# --- the implementation ---


def check(given: dict[str, Any], now: str, mode: str) -> dict[str, Any]:
    """What is right, but for ``mode``."""
    content = bytes.fromhex(given["content"])
    computed = hmac.digest(bytes.fromhex(given["keys"]["key"]), content, "sha256").hex()
    reason = None
    if computed != given["mac"]:
        reason = "signatureFailure"
    elif given["until"] < now and mode != "no-dates":
        reason = "expiredCertificate"
    elif given["to"] != "us":
        reason = "wrongRecipient"
    if mode == "accept-all":
        reason = None
    if mode == "refuse-all":
        reason = "unspecifiedFailure"
    if reason is None:
        outputs = {"content": content.decode()}
        if mode == "other-outputs":
            outputs["content"] += "."
        if mode == "no-outputs":
            outputs = {}
        intermediate = {"mac": "00" if mode == "other-intermediate" else computed}
        return {"result": "valid", "reason": None, "outputs": outputs, "intermediate": intermediate}
    if mode == "wrong-reason":
        reason = "unspecifiedFailure"
    if mode == "alternative" and reason == "expiredCertificate":
        reason = "invalidCertificate"
    answer: dict[str, Any] = {"result": "invalid", "reason": reason}
    if mode == "leak-outputs":
        answer["outputs"] = {"content": content.decode()}
    if mode == "outputs":
        answer["outputs"] = {"state": "unchanged"}
    if mode == "leak-elsewhere":
        answer["x-seen"] = content.decode()
    if mode == "leak-base64":
        answer["x-seen"] = base64.b64encode(b"ab" + content).decode()
    if mode == "leak-stderr":
        sys.stderr.write(f"refusing {content.hex().upper()}\n")
    if mode == "leak-bcd":  # the number only, two digits an octet
        sys.stderr.buffer.write(bytes.fromhex("4111111111111111"))
    return answer


HELLO = {"name": "toy", "version": "1", "suites": ["p256"], "features": ["extra"], "ops": ["toy.check", "toy.other"]}


def hello(mode: str) -> dict[str, Any]:
    changes: dict[str, dict[str, Any]] = {
        "fewer-ops": {"ops": ["toy.check"]},
        "fewer-features": {"features": []},
        "fewer-suites": {"suites": ["ed25519"]},
        "nothing": {"ops": []},
        "odd-hello": {"ops": "toy.check"},
        "nameless": {"name": ""},
        "fickle": {"version": str(time.monotonic_ns())},
    }
    return {**HELLO, **changes.get(mode, {})}


def main(mode: str) -> None:
    if mode == "dead":
        sys.exit(7)
    if mode == "garbage-hello":
        print("welcome", flush=True)
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        if request["op"] == "hello":
            if mode == "no-hello":
                time.sleep(60)
            print(json.dumps(hello(mode)), flush=True)
            continue
        given = request["input"]
        late = given["until"] < request["now"]  # the one request that some of them cannot stand
        if mode == "noisy":
            sys.stderr.write("x" * (1 << 20))
        if mode == "logging":
            sys.stderr.write(line)
        if late and mode in ("crash", "fickle"):
            raise RuntimeError("expired, of all things")
        if late and mode == "signal":
            os.kill(os.getpid(), signal.SIGSEGV)
        if late and mode == "hang":
            time.sleep(60)
        if late and mode == "flood":
            while True:
                sys.stderr.write("x" * 65536)
        if late and mode == "close":
            os.close(1)
            time.sleep(60)
        if late and mode == "half-a-line":
            print('{"id": ', end="", flush=True)
            time.sleep(60)
        if late and mode == "garbage":
            print("oops", flush=True)
        if late and mode == "not-an-object":
            print("[1]", flush=True)
        if late and mode == "deep":
            print("[" * 100_000, flush=True)
        if late and mode == "long-line":
            sys.stdout.write("x" * (17 << 20))
        if mode == "crash-always" or (mode == "second" and number == 2):
            sys.exit(1)
        answer = {"id": request["id"], **check(given, request["now"], mode)}
        if late and mode == "late":
            if os.fork():  # answers when its parent is long gone
                time.sleep(60)
            time.sleep(1)
        if late and mode == "wrong-id":
            answer["id"] = "1"
        if late and mode == "no-id":
            del answer["id"]
        if late and mode == "odd-result":
            answer["result"] = "acceptable"
        if late and mode == "odd-outputs":
            answer["outputs"] = ["content"]
        if late and mode == "odd-reason":
            answer["reason"] = 5
        if late and mode == "unsupported":
            answer = {"id": request["id"], "result": "unsupported"}
        print(json.dumps(answer), flush=True)
        if late and mode == "twice":
            print(json.dumps(answer), flush=True)
        if late and mode == "stray":
            print(json.dumps({"id": "nobody's"}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
