"""The other direction: what an implementation makes is verified, and every mistake in it is found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from setproto.conformance import generated
from setproto.conformance.harness import Outcome, Run, Runner
from setproto.crypto.suites import SUITES

ROOT = Path(__file__).resolve().parent.parent.parent


def run(mode: str, *suites: str) -> Run:
    command = ["/usr/bin/env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.conformance.making", mode]
    with Runner(command, timeout=20) as runner:
        return runner.run(list(generated.cases(suites)), seed=1)


def failures(found: Run) -> dict[str, str]:
    wrong = [result for result in found.results if result.outcome is not Outcome.PASS]
    assert all(result.outcome is Outcome.FAIL for result in wrong)
    return {result.case.id.removeprefix("generated::"): result.verdict.detail for result in wrong}


def test_what_we_make_is_accepted_in_every_suite() -> None:
    found = run("right", *SUITES)
    assert failures(found) == {}
    assert len(found.results) == 12 * len(SUITES)
    assert {(result.case.suite, result.case.op) for result in found.results} == {
        (suite, op) for suite in SUITES for op in generated.OPS
    }


SIGN = ("sign-empty.p256", "sign-short.p256", "sign-long.p256", "sign-with-chain.p256")
SEAL = ("seal-empty.p256", "seal-short.p256", "seal-long.p256", "seal-again.p256", "seal-long-context.p256")
DUAL = ("dual-short.p256", "dual-same-content.p256", "dual-long.p256")
REFUSED = "what it made is refused: "


@pytest.mark.parametrize(
    ("mode", "names", "why"),
    [
        ("sign_as_data", SIGN[3:], REFUSED + "signatureFailure: signed content of another type"),
        ("sign_alone", SIGN[3:], "the certificates enclosed are not those that were given"),
        ("sign_something", SIGN, "other content was signed"),
        ("sign_loudly", SIGN, "output signed is not hexadecimal"),
        ("seal_without_context", SEAL, REFUSED + "decryptionFailure"),
        ("dual_unsalted", DUAL, "the digests of the parts are others"),
        ("dual_boasting", DUAL, REFUSED + "signatureFailure"),
        ("refuse", DUAL, "not made: unspecifiedFailure"),
    ],
)
def test_a_mistake_is_found(mode: str, names: tuple[str, ...], why: str) -> None:
    found = failures(run(mode, "p256"))
    assert set(found) == set(names)
    assert all(detail.startswith(why) for detail in found.values())


def test_a_seal_that_comes_again_is_found() -> None:
    found = failures(run("seal_once", "p256"))
    assert set(found) in ({"seal-short.p256"}, {"seal-again.p256"})
    assert set(found.values()) == {"the same seal twice: its keys are not fresh"}
