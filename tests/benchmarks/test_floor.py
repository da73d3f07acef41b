"""The floor of a purchase is counted; here the count is counted again, in other ways."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks import BenchmarkError
from benchmarks.bound import bound
from benchmarks.floor import Operation, Recorder, record, replay
from benchmarks.purchase import Shop
from benchmarks.raw import Raw
from pki.der import decode, encode
from setproto.crypto.digests import digest
from setproto.crypto.recipients import KEY_MANAGEMENT, SharedKey
from setproto.crypto.suites import Suite, suite
from setproto.messages.common import PartyID, Role


@pytest.fixture(scope="module", params=["p256", "ed25519", "mldsa65"])
def shop(request: pytest.FixtureRequest) -> Shop:
    found = Shop(request.param)
    found.check()
    return found


def bought(shop: Shop) -> Recorder:
    order = shop.order()
    return record(lambda: shop.buy(order))


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, counts: Counter[str], as_name: str) -> None:
    original: Callable[..., object] = getattr(owner, name)

    def counting(*given: object, **named: object) -> object:
        counts[as_name] += 1
        return original(*given, **named)

    monkeypatch.setattr(owner, name, counting)


def test_as_many_as_the_library_itself_asks_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()
    count_calls(monkeypatch, Suite, "sign", asked, "sign")
    count_calls(monkeypatch, Suite, "verify", asked, "verify")
    kind = type(KEY_MANAGEMENT[shop.market.suite])
    for owner, name in ((kind, "seal"), (SharedKey, "seal for itself")):
        count_calls(monkeypatch, owner, "wrap", asked, name)
        count_calls(monkeypatch, owner, "unwrap", asked, name.replace("seal", "open"))
    counts = bought(shop).counts
    seals, opens = asked["seal"], asked["open"]
    assert (counts["sign"], counts["verify"]) == (asked["sign"], asked["verify"])
    assert counts["encrypt"] == counts["wrap"] == seals + asked["seal for itself"]
    assert counts["decrypt"] == counts["unwrap"] == opens + asked["open for itself"]
    if shop.market.suite == "mldsa65":
        assert (counts["encapsulate"], counts["decapsulate"]) == (seals, opens)
    else:
        assert (counts["generate"], counts["load"], counts["agree"]) == (seals, opens, seals + opens)


def test_as_many_as_the_messages_need(shop: Shop) -> None:
    counts = bought(shop).counts
    # Every message but the first is signed once, by whoever sends it, and the order is read by merchant and gateway.
    assert counts["sign"] == len(shop.market.deliveries) - 1 == 5
    assert counts["verify"] == counts["sign"] + 1


def test_a_capture_adds_a_question_and_an_answer(shop: Shop) -> None:
    order = shop.order()
    counts, without = record(lambda: shop.buy_and_capture(order)).counts, bought(shop).counts
    assert counts["sign"] - without["sign"] == counts["verify"] - without["verify"] == 2


def test_each_purchase_performs_the_same(shop: Shop) -> None:
    one, two = bought(shop), bought(shop)
    assert one.counts == two.counts
    assert one.digests == two.digests


def test_rsa_is_counted_by_its_own_operations() -> None:
    counts = bought(Shop("rsa3072")).counts
    assert counts["transport"] == counts["untransport"] > 0
    assert not {"generate", "agree", "load"} & set(counts)


def test_the_replay_performs_what_was_recorded(shop: Shop) -> None:
    done: list[Operation] = []

    class Noting:
        def operation(self, kind: str, size: int) -> Callable[[], object]:
            return lambda: done.append(Operation(kind, size))

    recorder = bought(shop)
    bare = replay(cast(Raw, Noting()), recorder)
    assert done == []
    bare()
    assert done == recorder.operations
    replay(Raw(shop.market.suite), recorder)()  # and the suite has them all


def test_sizes_are_those_of_the_content(shop: Shop) -> None:
    operations = bought(shop).operations
    sealed = sorted(operation.size for operation in operations if operation.kind == "encrypt")
    opened = sorted(operation.size for operation in operations if operation.kind == "decrypt")
    assert set(opened) <= set(sealed)
    assert sealed[-1] > 1_000  # a signed message with its certificates
    assert all(operation.size > 200 for operation in operations if operation.kind in ("sign", "verify"))


def test_an_operation_that_is_not_known_ends_the_count() -> None:
    with pytest.raises(BenchmarkError, match="derive_private_key"):
        record(lambda: ec.derive_private_key(7, ec.SECP256R1()))
    assert sys.getprofile() is None


def test_an_operation_past_the_library_ends_the_count() -> None:
    recorder = record(lambda: AESGCM(bytes(32)).encrypt(bytes(12), b"content", None))
    assert recorder.counts == {"encrypt": 1}
    with pytest.raises(BenchmarkError, match="encrypt"):
        recorder.operations  # noqa: B018


def test_looking_at_keys_is_free() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert record(lambda: key.public_key().public_numbers()).operations == []


def test_operations_that_a_suite_does_not_have() -> None:
    with pytest.raises(BenchmarkError, match="sorcery"):
        Raw("p256").operation("sorcery")


@pytest.mark.parametrize("suite", ["p256", "ed25519"])
def test_a_raw_operation_is_that_one_operation(suite: str) -> None:
    raw = Raw(suite)
    raw.check()
    derive = "x963" if suite == "p256" else "hkdf"
    for kind in ("sign", "verify", "generate", "load", "agree", derive, "wrap", "unwrap", "encrypt", "decrypt", "hmac"):
        run = raw.operation(kind, 16)
        if isinstance(run, partial):  # which calls without the interpreter, so that nothing is seen
            run = partial(lambda it: it.func(*it.args), run)
        assert record(run).counts == {kind: 1}
    assert Operation("sign") == ("sign", 0)


def test_the_bound_has_what_is_coded_and_hashed() -> None:
    """What a run encodes, decodes and hashes is done again, once each."""
    signer = PartyID(role=Role.merchant, brand="Setcard", name="Books")

    def run() -> None:
        suite("ed25519").digest(digest("label", encode(decode(PartyID, encoded))))

    encoded = encode(signer)
    bare = bound(Raw("p256"), run)
    called: list[str] = []
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, function: called.append(function.__name__) if event == "c_call" else None)
    bare()
    sys.setprofile(before)
    known = ("encode_der", "decode_der", "openssl_sha256", "openssl_sha512", "digest")
    assert [name for name in called if name in known] == [
        "decode_der",
        "encode_der",
        "openssl_sha256",
        "digest",
        "openssl_sha512",
        "digest",
    ]
