"""The verifier in ``examples/node-verifier``, which is not ours: objects of this library, and the vectors.

It is written in JavaScript from ``vectors/README.md`` and ``vectors/setproto.asn1`` and shares no code with this
package, so where both agree the documents say enough.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pki.der import encode
from setproto.conformance.files import parse
from setproto.conformance.harness import Case, Outcome, Runner, cases
from setproto.crypto.cms import Recipient, seal
from setproto.crypto.dual import Part
from setproto.crypto.possession import private_key_octets
from setproto.market import Market
from setproto.messages.common import Role
from setproto.messages.oids import ID_OI_DATA, ID_PI_DATA, ID_PI_SEALS, ID_PRES_DATA
from setproto.messages.purchase import PURCHASE, PIData
from tests.roles.scenes import before, exchange_of, taken_apart

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "node-verifier"
SUITES = ("p256", "rsa3072", "ed25519", "mldsa65")
OPS = ("cms.verify", "cms.open", "dual.verify", "chain.validate")
REQUIRED = (20, 19)
"""Version of Node that the packages need."""


def node_version() -> tuple[int, ...]:
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return (0,)
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(number) for number in told.strip().lstrip("v").split("."))


class Verifier:
    """The process behind its pipe: one request, one answer."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["node", "adapter.js"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, op: str, **members: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"id": "1", "op": op, **members}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the verifier has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            assert self._process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if node_version() < REQUIRED:
        pytest.skip("Node 20.19 or newer, with npm, is not here")
    folder = tmp_path_factory.mktemp("node") / "verifier"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    flags = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        ["npm", "install", *flags], cwd=folder, capture_output=True, text=True, env={**os.environ, "CI": "1"}
    )
    if done.returncode:
        pytest.skip(f"npm install: {done.stderr.strip()[-200:]}")
    return folder


@pytest.fixture(scope="module")
def verifier(installed: Path) -> Iterator[Verifier]:
    started = Verifier(installed)
    yield started
    started.close()


# --- what this library makes ----------------------------------------------------------------------


def trust_of(market: Market) -> dict[str, Any]:
    validator = market.tree.validator(market.clock())
    revocation = validator.revocation(market.tree.brand)
    assert revocation.bci is not None
    lists = {
        "roots": validator.roots,
        "certificates": validator.known,
        "crls": revocation.crls,
        "bcis": (revocation.bci,),
    }
    return {name: [der.hex() for der in ders] for name, ders in lists.items()}


def now_of(market: Market) -> str:
    return market.clock().strftime("%Y-%m-%dT%H:%M:%SZ")


def valid(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["result"] == "valid", answer
    outputs: dict[str, Any] = answer["outputs"]
    return outputs


def refused(answer: dict[str, Any]) -> str:
    assert answer["result"] == "invalid", answer
    reason: str = answer["reason"]
    return reason


@pytest.mark.parametrize("suite", SUITES)
def test_it_judges_what_this_library_makes(verifier: Verifier, suite: str) -> None:
    scene = before("AuthReq", Market.open(suite))
    market = scene.market
    trust, now, brand = trust_of(market), now_of(market), market.tree.brand
    merchant = market.merchant.credentials
    signed = merchant.signer.sign(b"content", ID_PRES_DATA, certificates=merchant.chain)
    asked = {
        "suite": suite,
        "content_type": ID_PRES_DATA.dotted_string,
        "signed": signed.hex(),
        "kind": "merchant signature",
        "brand": brand,
        "trust": trust,
    }
    told = valid(verifier.ask("cms.verify", now=now, input=asked))
    validated = market.gateway.certify(Role.merchant)(merchant.signer.certificate, merchant.chain)
    assert told == {"content": b"content".hex(), "signer_thumbprint": validated.thumbprint.hex()}
    forged = signed.replace(b"content", b"contend").hex()
    assert refused(verifier.ask("cms.verify", now=now, input={**asked, "signed": forged})) == "signatureFailure"
    assert refused(verifier.ask("cms.verify", now=now, input={**asked, "signed": signed.hex() + "00"})) == (
        "decodingFailure"
    )
    other_kind = {**asked, "kind": "gateway signature"}
    assert refused(verifier.ask("cms.verify", now=now, input=other_kind)) == "invalidCertificate"
    withheld = {**asked, "trust": {**trust, "bcis": []}}
    assert refused(verifier.ask("cms.verify", now=now, input=withheld)) == "missingCertificate"
    assert refused(verifier.ask("cms.verify", now="2055-01-01T00:00:00Z", input=asked)) == "expiredCertificate"

    key = market.gateway.exchange_key()
    for context in (b"context", b""):
        sealed = seal(b"content", Recipient(exchange_of(market.gateway)), context=context)
        keys = {"private_key": private_key_octets(key.private_key).hex(), "certificate": key.certificate.hex()}
        given = {"suite": suite, "sealed": sealed.hex(), "context": context.hex(), "keys": keys}
        assert valid(verifier.ask("cms.open", now=now, input=given)) == {"content": b"content".hex()}
        elsewhere = {**given, "context": b"elsewhere".hex()}
        assert refused(verifier.ask("cms.open", now=now, input=elsewhere)) == "decryptionFailure"

    preq = scene.sent["PReq"].data
    paid = taken_apart(market, preq)
    contents = {
        ID_OI_DATA: (encode(paid.oi_data), paid.oi_salt),
        ID_PI_DATA: (encode(PIData(pi_head=paid.link.pi_head, pan_data=paid.pan_data)), paid.link.pi_salt),
        ID_PI_SEALS: (encode(paid.seals), paid.seals.rrpid),
    }
    parts = [Part(oid, content, salt) for oid, (content, salt) in contents.items()]
    cardholder = market.cardholder.credentials
    whole = PURCHASE.sign(cardholder.signer, parts, certificates=cardholder.chain)
    for shown in ((ID_OI_DATA, ID_PI_SEALS), (ID_PI_DATA, ID_PI_SEALS)):
        view = {
            **{name: asked[name] for name in ("suite", "brand", "trust")},
            "kind": "cardholder signature",
            "parts": [
                {"type": oid.dotted_string, "content": contents[oid][0].hex(), "salt": contents[oid][1].hex()}
                for oid in shown
            ],
            "digests": {oid.dotted_string: value.hex() for oid, value in whole.digests.items() if oid not in shown},
            "signature": whole.signature.hex(),
        }
        digests = {oid.dotted_string: value.hex() for oid, value in whole.digests.items()}
        assert valid(verifier.ask("dual.verify", now=now, input=view)) == {"digests": digests}
        changed = {**view, "digests": dict.fromkeys(view["digests"], "00" * 32)}
        assert refused(verifier.ask("dual.verify", now=now, input=changed)) == "signatureFailure"


def test_it_says_what_it_can_do(verifier: Verifier) -> None:
    hello = verifier.ask("hello", protocol=1)
    assert (set(hello["ops"]), set(hello["suites"])) == (set(OPS), set(SUITES))
    for op in ("message.receive", "cms.sign"):
        assert verifier.ask(op, now="2026-01-15T12:00:00Z", input={"suite": "p256"}) == {
            "id": "1",
            "result": "unsupported",
        }


# --- the vectors ----------------------------------------------------------------------------------


def known_answers() -> tuple[Case, ...]:
    files = sorted((ROOT / "vectors" / "v1").glob("*.json"))
    return tuple(case for path in files for case in cases(parse(json.loads(path.read_text()))) if case.op in OPS)


def test_it_agrees_with_every_vector(installed: Path) -> None:
    asked = known_answers()
    if not asked:
        pytest.skip("no vectors of these operations in vectors/v1")
    with Runner(["node", str(installed / "adapter.js")], timeout=60) as runner:
        run = runner.run(asked, seed=1)
    wrong = [result for result in run.results if result.outcome is not Outcome.PASS]
    assert not wrong, "\n".join(f"{item.case.id}: {item.verdict.outcome} {item.verdict.detail}" for item in wrong)
