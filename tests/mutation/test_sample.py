"""A few of the mutants, each of which a vector notices.  ``make mutants`` tries all of them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest

from tests.mutation.__main__ import reasons, render
from tests.mutation.mutants import CHECKING, MODULES, ROOT, Mutant, install, mutants
from tests.mutation.running import Question, Verdict, differs, questions, refusals


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    every = list(mutants())
    assert len(every) >= 120
    assert len({mutant.name for mutant in every}) == len(every)
    assert {mutant.module for mutant in every} == set(MODULES)
    assert CHECKING


def test_reasons_are_of_mutants_that_exist() -> None:
    names = {mutant.name for mutant in mutants()}
    assert set(reasons()) <= names
    assert all(len(reason) > 20 for reason in reasons().values())


def test_the_vectors_that_reasons_name_are_there() -> None:
    ids = {question.id.rsplit(".", 1)[0] if "." in question.id else question.id for question in questions()}
    named = {name for reason in reasons().values() for name in re.findall(r"[a-z]+::[a-z0-9-]+", reason)}
    assert len(named) > 10
    assert named <= ids


NOTICED = (
    "pki.bci:BCIStore.add: if signer is None",
    "setproto.crypto.signed:verify: chosen.verify(signer.public_key",
    "setproto.crypto.signed:_check_attributes: if oid in seen",
    "setproto.messages.wrapper:MessageIDs.__post_init__: if self.xid is not None",
    "setproto.roles.gateway:Gateway._check_merchant: if tags.mer_term_ids",
    "setproto.roles.gateway.authorization:_check_amount: if amount.currency",
    "setproto.roles.merchant:Merchant._on_preq: if body.brand_id != self.party.brand",
    "setproto.roles.authority:CertificateAuthority._check_brand: if brand",
)
"""How the names of some mutants begin."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own: switches are put in as the library is imported."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.mutation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def test_checks_that_are_taken_out_are_noticed() -> None:
    found = run(*(part for name in NOTICED for part in ("--only", name)))
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count(": noticed by ") == len(found.stdout.splitlines()) >= len(NOTICED)
    assert all(f" {name}" in found.stdout for name in NOTICED)


def test_without_its_vector_one_is_not() -> None:
    """The command says so, and fails; with it, it does not."""
    one = ("--only", NOTICED[2], "--within", "signed::")
    assert run(*one).returncode == 0
    found = run(*one, "--without", "attribute-twice")
    assert found.returncode == 1
    assert ": NOT NOTICED" in found.stdout
    assert f"no reason is given: {NOTICED[2]}" in found.stdout


def test_switches_come_before_the_library_or_not_at_all() -> None:
    """Here the library has been imported without switches: a run that could notice nothing is refused."""
    importlib.import_module("setproto.roles.party")
    with pytest.raises(RuntimeError, match="too late"):
        install()


def test_a_vector_that_the_library_does_not_pass_stops_the_run() -> None:
    asked = questions()[0]
    wrong = Question(asked.id, asked.request, {**asked.expected, "result": "neither"})
    with pytest.raises(RuntimeError, match="do not pass"):
        refusals([wrong])


def test_answers_are_compared_by_result_reason_and_outputs() -> None:
    refused = {"result": "invalid", "reason": "signatureFailure", "alternatives": ["decodingFailure"]}
    taken = {"result": "valid", "outputs": {"content": "00"}}
    assert differs({"result": "invalid", "reason": "signatureFailure"}, refused) is None
    assert differs({"result": "invalid", "reason": "decodingFailure"}, refused) is None
    assert differs({"result": "invalid", "reason": "missingCertificate"}, refused) is not None
    assert differs({"result": "valid"}, refused) is not None
    assert differs({"result": "valid", "outputs": {"content": "00", "more": "01"}}, taken) is None
    assert differs({"result": "valid", "outputs": {"content": "01"}}, taken) == "other outputs: content"


def test_the_report_says_what_is_left() -> None:
    one, other = Mutant("pki.bci", 0, "f", "if x"), Mutant("pki.bci", 1, "f", "if y")
    text = render(
        {one: Verdict("a::b", "valid instead of invalid"), other: Verdict(None)}, {other.name: "as good as x"}
    )
    assert "2 mutants, 1 noticed, 1 not, of which 1 for a stated reason" in text
    assert "| `pki.bci` | 2 | 1 |" in text
    assert f"* `{other.name}`: as good as x" in text
