"""The vectors of ``message.receive``: they hold, and the operation says what a party did."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from setproto.conformance.adapter.roles import receive
from setproto.errors import ErrorCode
from setproto.messages.registry import MESSAGES
from setproto.messages.wrapper import unwrap
from vectors.recipes.flows import OTHER_SUITES, Played, holds, outcome

AREAS = [
    *(f"{area}.p256" for area in ("payment", "privacy", "purchase", "recurring", "registration", "replay")),
    *(f"{area}.{suite}" for area in ("purchase", "registration") for suite in OTHER_SUITES),
]


def load(area: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(files("vectors").joinpath("v1", f"{area}.json").read_text())
    return read


def cases_of(file: dict[str, Any]) -> list[dict[str, Any]]:
    return [test for group in file["testGroups"] for test in group["tests"]]


def test_a_file_in_which_every_expectation_is_right_holds() -> None:
    """That all do is seen through the pipe (``tests/conformance/test_ours.py``)."""
    assert holds(load("privacy.p256"))


def test_a_file_in_which_one_expectation_is_wrong_does_not_hold() -> None:
    file = load("privacy.p256")
    cases_of(file)[-1]["expected"]["reason"] = ErrorCode.signatureFailure.name
    assert not holds(file)


def test_every_message_type_is_delivered_to_its_receiver() -> None:
    found = set()
    for area in AREAS:
        for test in cases_of(load(area)):
            if test["expected"]["result"] == "valid":
                wire = unwrap(bytes.fromhex(test["input"]["wire"]))
                found.add(None if wire.type is None else wire.type.name)
    assert found == {None, *(kind.name for kind in MESSAGES.values())}


def test_more_than_half_are_refused_and_each_refusal_has_its_sibling() -> None:
    tests = [test for area in AREAS for test in cases_of(load(area))]
    good = {test["tcId"] for test in tests if test["expected"]["result"] == "valid"}
    bad = [test for test in tests if test["expected"]["result"] == "invalid"]
    assert len(tests) >= 400
    assert len(bad) > len(good)
    assert all(test["derived_from"] in good for test in bad)
    assert len({(test["derived_from"], test["mutation"]) for test in bad}) == len(bad)


def test_what_is_stored_is_kept_while_it_holds_and_made_again_when_it_does_not() -> None:
    stored = load("privacy.p256")
    fresh = {**stored, "testGroups": []}
    remade = load("privacy.p256")
    kept = Played("privacy.p256.json", lambda: remade).whole(stored)
    assert kept["testGroups"] is stored["testGroups"]
    cases_of(stored)[0]["expected"]["outputs"] = {}
    assert Played("privacy.p256.json", lambda: remade).whole(stored) is remade
    assert Played("privacy.p256.json", lambda: remade).whole(fresh) is remade
    assert Played("privacy.p256.json", lambda: remade).whole(None) is remade


def test_a_message_to_another_state_is_refused() -> None:
    """The state is what decides: the same PRes to a cardholder who has asked for nothing."""
    group = next(group for group in load("purchase.p256")["testGroups"] if group["role"] == "cardholder")
    test = group["tests"][0]
    assert outcome(group, test)["result"] == "valid"
    forgetful = {**group, "policy": {**group["policy"], "x-setproto-state": {}}}
    assert outcome(forgetful, test)["reason"] == "unknownRRPID"


def test_a_refusal_that_leaves_something_behind_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from setproto.roles.merchant import Merchant
    from setproto.roles.ports import Reply

    genuine = Merchant.handle

    def leaves_something(self: Merchant, data: bytes) -> Reply:
        with self.store.transaction() as transaction:
            transaction.put("left", b"", b"")
        return genuine(self, data)

    monkeypatch.setattr(Merchant, "handle", leaves_something)
    group = next(group for group in load("purchase.p256")["testGroups"] if group["role"] == "merchant")
    test = next(test for test in group["tests"] if test["expected"]["result"] == "invalid")
    given = {name: group[name] for name in ("now", "role", "trust", "keys", "policy")} | test["input"]
    with pytest.raises(RuntimeError, match="changed the state"):
        receive(given)
