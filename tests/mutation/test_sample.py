"""A few of the mutants, each of which a vector notices.  ``make mutants`` tries all of them."""

from __future__ import annotations

import pytest

from tests.mutation.__main__ import reasons, render
from tests.mutation.mutants import CHECKING, MODULES, Mutant, mutants
from tests.mutation.running import Question, Verdict, differs, judge_all, judge_one, questions


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


NOTICED = (
    "pki.bci:BCIStore.add: if signer is None",
    "setproto.crypto.signed:verify: chosen.verify(signer.public_key, signer_info.signature, attributes)",
    "setproto.crypto.signed:_check_attributes: if oid in seen",
    "setproto.messages.wrapper:MessageIDs.__post_init__: if self.xid is not None and len(self.xid) != XID_SIZE",
    "setproto.roles.gateway:Gateway._check_merchant: if tags.mer_term_ids.merchant_id != merchant.party_id",
    "setproto.roles.gateway.authorization:_check_amount: if amount.currency != signed.currency",
    "setproto.roles.merchant:Merchant._on_preq: if body.brand_id != self.party.brand",
    "setproto.roles.authority:CertificateAuthority._check_brand: if brand != self.party.brand",
)


@pytest.mark.parametrize("name", NOTICED)
def test_a_check_that_is_taken_out_is_noticed(name: str) -> None:
    chosen = [mutant for mutant in mutants() if mutant.name == name]
    ((_, verdict),) = judge_all(chosen, workers=1)
    assert verdict.noticed_by is not None


def test_what_is_not_there_is_noticed() -> None:
    """A vector that expects something else is one that the library itself does not pass."""
    asked = questions()
    wrong = [Question(one.id, one.request, {**one.expected, "result": "neither"}) for one in asked[:1]]
    assert judge_one(None, wrong) == Verdict(asked[0].id, f"{asked[0].expected['result']} instead of neither")


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
