"""Gateway and bank over real TCP: what the book asks for when the wire is good, and when it is not (bank.md §5)."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from setproto.amounts import CurrencyAmount
from setproto.bank import records
from setproto.bank.connection import LinkConfig
from setproto.bank.dialects import DIALECTS, Dialect
from setproto.bank.host import serve
from setproto.bank.link import ISO8583Link
from setproto.bank.messages import Codec, Message
from setproto.card import PAN
from setproto.errors import UsageError
from setproto.messages.codes import AuthCode
from setproto.roles.ports import Advice, AdviceKind, AuthorizationRequest, NoReply
from setproto.store import MemoryStore
from setproto.store.sql import SQLStore
from tests.bank.people import NOW, OPENING, PAN_CREDIT, PAN_DEBIT, PAN_POOR, PAN_SCRIPTED, VAULT_KEY, make_bank
from tests.bank.wire import Connected, advice, connected, euros, on_disk

PATIENCE = 20.0
"""Seconds that something may take on a busy machine; a test that holds does not wait for them."""


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Connected]:
    till = make_bank(on_disk(tmp_path))
    with connected(till) as made:
        yield made
    till.bank.close()


@pytest.fixture
def lossy(tmp_path: Path) -> Iterator[Connected]:
    """Where answers are not waited for long."""
    till = make_bank(on_disk(tmp_path))
    with connected(till, timeout=0.5) as made:
        yield made
    till.bank.close()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.01)


def of(*mtis: str) -> Callable[[bytes], bool]:
    return lambda message: message[:4].decode() in mtis


def dropping(chosen: Callable[[bytes], bool]) -> Callable[[bytes], list[bytes]]:
    return lambda message: [] if chosen(message) else [message]


# --- a good wire --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, b"k" * 16], ids=["no MAC", "MAC"])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_B8_the_whole_life_of_a_payment(tmp_path: Path, dialect: Dialect, key: bytes | None) -> None:
    till = make_bank(on_disk(tmp_path))
    with connected(till, dialect=dialect, mac_key=key) as line:
        request, decision = line.buy(10_000)
        assert decision.code is AuthCode.approved
        assert decision.approval_code
        assert till.available() == OPENING - 10_000
        for kind, amount in (
            (AdviceKind.CAPTURE, 4_000),
            (AdviceKind.REVERSAL, 6_000),
            (AdviceKind.CREDIT, 1_000),
            (AdviceKind.CREDIT_REVERSAL, 1_000),
            (AdviceKind.CAPTURE_REVERSAL, 4_000),
            (AdviceKind.REVERSAL, 0),
        ):
            line.link.advise(advice(kind, request, amount, f"{amount}"))
            if kind is AdviceKind.REVERSAL:
                assert till.available() == OPENING - amount
        assert till.available() == OPENING
        assert line.link.authorize(line.request(OPENING + 1)).code is AuthCode.declined
        assert line.settled()
    till.bank.close()


def test_the_same_reference_gets_the_same_answer(line: Connected) -> None:
    request, decision = line.buy(10_000)
    assert line.link.authorize(request) == decision
    assert line.restart().authorize(request) == decision
    assert line.till.available() == OPENING - 10_000
    poor, declined = line.buy(1, PAN_POOR)
    assert line.link.authorize(poor) == declined
    assert declined.code is AuthCode.declined


def test_another_payment_under_the_same_reference_gets_no_answer(line: Connected) -> None:
    """What was decided on one is not told of the other, whichever part of it differs."""
    request, decision = line.buy(10_000)
    others = (
        line.request(9_000, reference=request.reference),
        line.request(10_000, PAN_CREDIT, reference=request.reference),
        line.request(10_000, reference=request.reference, merchant="another"),
    )
    for other in others:
        with pytest.raises(NoReply):
            line.link.authorize(other)
    assert line.link.authorize(request) == decision
    assert line.settled()


# --- several at once ----------------------------------------------------------------------------


def test_requests_of_one_line_are_handled_at_once(line: Connected) -> None:
    both, handle = threading.Barrier(2), line.till.bank.handle

    def watched(request: Message) -> Message | None:
        both.wait(PATIENCE)
        return handle(request)

    assert line.link.ready()
    line.till.bank.handle = watched  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        decisions = list(pool.map(line.link.authorize, [line.request(1_000), line.request(2_000)]))
    assert [decision.code for decision in decisions] == [AuthCode.approved] * 2
    assert line.till.available() == OPENING - 3_000
    assert line.settled()


def test_what_is_being_asked_is_not_asked_again(line: Connected) -> None:
    """Two threads ask the same; the second finds that the first is waiting, and both get its answer."""
    request, handle, arrived, joined = line.request(1_000), line.till.bank.handle, threading.Event(), threading.Event()

    class Noticed(dict[object, object]):
        def setdefault(self, key: object, value: object = None) -> object:
            found = super().setdefault(key, value)
            if found is not value:
                joined.set()
            return found

    def slow(message: Message) -> Message | None:
        arrived.set()
        assert joined.wait(PATIENCE)
        return handle(message)

    assert line.link.ready()
    assert line.link._line.connection is not None
    line.link._line.connection._waiting = Noticed()  # type: ignore[assignment]
    line.till.bank.handle = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(line.link.authorize, request)
        assert arrived.wait(PATIENCE)
        second = pool.submit(line.link.authorize, request)
        assert first.result(PATIENCE) == second.result(PATIENCE)
    assert line.till.available() == OPENING - 1_000
    assert line.settled()


def test_an_advice_is_told_once(line: Connected) -> None:
    request, _ = line.buy(10_000)
    capture = advice(AdviceKind.CAPTURE, request, 4_000)
    line.link.advise(capture)
    sent = len(line.wire.passed)
    line.link.advise(capture)
    line.restart().advise(capture)
    assert not [message for message in line.wire.passed[sent:] if of("0220", "0221")(message)]
    assert line.till.available() == OPENING - 10_000
    assert line.settled()


def test_sign_on_comes_first(line: Connected) -> None:
    line.buy(1)
    kinds = [message[:4] for message in line.wire.passed]
    assert kinds == [b"0800", b"0810", b"0100", b"0110"]
    codec = Codec(lambda: NOW)
    raw = codec.encode(line.till.request(1_000))
    line.wire.send_raw(len(raw).to_bytes(2, "big") + raw)  # without a sign-on
    assert line.till.available() == OPENING - 1


def test_an_idle_line_is_kept_up_by_echoes(tmp_path: Path) -> None:
    till = make_bank(on_disk(tmp_path))
    with connected(till, idle=0.05) as line:
        assert line.link.ready()
        until(lambda: sum(b"301" in message[-3:] for message in line.wire.passed) >= 4)
        line.wire.to_gateway = dropping(of("0810"))  # the bank has died without a word
        until(lambda: line.link._line.connection is not None and not line.link._line.connection.open)
    till.bank.close()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"amount": 100, "merchant": "a merchant with a long name"}, AuthCode.invalidTransaction),
        ({"amount": 10**12}, AuthCode.amountError),
        ({"amount": 100, "merchant": "shop-9"}, AuthCode.declined),
    ],
)
def test_what_does_not_fit_on_the_line(line: Connected, request_: dict[str, object], code: AuthCode) -> None:
    assert line.link.authorize(line.request(**request_)).code is code  # type: ignore[arg-type]
    assert line.till.available() == OPENING


def test_fractions_of_a_cent_are_refused(line: Connected) -> None:
    request = line.request(100)
    finer = CurrencyAmount(currency=978, amount=1, amt_exp10=-3)
    assert line.link.authorize(replace(request, amount=finer)).code is AuthCode.amountError
    coarser = CurrencyAmount(currency=978, amount=1, amt_exp10=2)
    assert line.link.authorize(replace(request, amount=coarser)).code is AuthCode.approved
    assert line.till.available() == OPENING - 10_000


def test_a_terminal_has_eight_characters(line: Connected) -> None:
    with pytest.raises(UsageError, match="eight"):
        line.another(terminal="GW1")


def test_B12_T63_the_wallet_pays_with_another_card(line: Connected) -> None:
    _, first = line.buy(5_000, PAN_POOR)
    assert first.code is AuthCode.declined
    request, second = line.buy(5_000, PAN_DEBIT)
    assert second.code is AuthCode.approved
    line.link.advise(advice(AdviceKind.CAPTURE, request, 5_000))
    assert (line.till.available(PAN_POOR), line.till.available()) == (0, OPENING - 5_000)
    assert line.till.bank.statement("holder of 1881", NOW).lines[0].code == "51"
    assert line.settled()


# --- no answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["0100", "0110"])
def test_B4_a_time_out_leaves_no_hold(lossy: Connected, lost: str) -> None:
    """The request or its answer is lost: the reversal reaches the bank, and asking again is a new payment."""
    spoil = dropping(of(lost))
    lossy.wire.to_bank = lossy.wire.to_gateway = spoil
    request = lossy.request(10_000)
    with pytest.raises(NoReply):
        lossy.link.authorize(request)
    until(lambda: lossy.link.waiting() == 0)
    assert lossy.till.available() == OPENING
    lossy.wire.to_bank = lossy.wire.to_gateway = None
    assert lossy.link.authorize(request).code is AuthCode.approved
    assert lossy.till.available() == OPENING - 10_000
    assert lossy.settled()


def test_the_reversal_is_queued_before_the_gateway_is_told(lossy: Connected) -> None:
    lossy.wire.to_gateway = dropping(of("0110", "0430"))
    with pytest.raises(NoReply):
        lossy.buy(10_000)
    assert lossy.link.waiting() == 1


def test_until_the_reversal_has_arrived_the_payment_is_not_asked_for_again(lossy: Connected) -> None:
    lossy.wire.to_gateway = dropping(of("0110", "0430"))
    request = lossy.request(10_000)
    for _ in range(2):
        with pytest.raises(NoReply):
            lossy.link.authorize(request)
    assert sum(of("0100", "0101")(message) for message in lossy.wire.passed) == 1
    until(lambda: any(of("0421")(message) for message in lossy.wire.passed))
    lossy.wire.to_gateway = None
    assert lossy.link.authorize(request).code is AuthCode.approved
    assert lossy.till.available() == OPENING - 10_000


def test_B4_an_approval_that_comes_late_is_reversed(lossy: Connected) -> None:
    """Even by a bank that has answered the reversal with 25 and approved after that."""
    kept: list[bytes] = []

    def hold_back(message: bytes) -> list[bytes]:
        if of("0110")(message):
            kept.append(message)
            return []
        return [message, *kept] if of("0430")(message) else [message]

    lossy.wire.to_gateway = hold_back
    with pytest.raises(NoReply):
        lossy.buy(10_000)
    until(lambda: sum(of("0420")(message) for message in lossy.wire.passed) == 2)
    until(lambda: lossy.link.waiting() == 0)
    assert lossy.till.available() == OPENING
    assert lossy.settled()


def test_a_scripted_card_answers_late_or_never(tmp_path: Path) -> None:
    """bank.md §6: xx.68 a late approval, xx.91 no answer."""
    till = make_bank(on_disk(tmp_path), late=0.7)
    with connected(till, timeout=0.4) as line:
        for amount in (10_68, 10_91):
            with pytest.raises(NoReply):
                line.buy(amount, PAN_SCRIPTED)
            until(lambda: line.link.waiting() == 0)
        until(lambda: sum(of("0110")(message) for message in line.wire.passed) == 1)
        until(lambda: sum(of("0430")(message) for message in line.wire.passed) >= 3)
        assert till.available(PAN_SCRIPTED) == OPENING
        assert line.settled()
    till.bank.close()


def test_a_malfunction_is_no_answer(line: Connected) -> None:
    """96: the bank rolled back, or not; nobody knows."""
    with pytest.raises(NoReply):
        line.buy(10_96, PAN_SCRIPTED)
    until(lambda: line.link.waiting() == 0)
    assert line.till.available(PAN_SCRIPTED) == OPENING


def test_an_answer_about_something_else_is_no_answer(line: Connected) -> None:
    def dearer(message: bytes) -> list[bytes]:
        return [message.replace(f"{10_000:012d}".encode(), f"{1:012d}".encode())] if of("0110")(message) else [message]

    line.wire.to_gateway = dearer
    with pytest.raises(NoReply):
        line.buy(10_000)
    until(lambda: line.link.waiting() == 0)
    assert line.till.available() == OPENING


def test_a_partial_approval_is_a_decline_and_is_reversed(line: Connected) -> None:
    line.wire.to_gateway = lambda message: [
        message.replace(b"00GW000001", b"10GW000001") if of("0110")(message) else message
    ]
    _, decision = line.buy(10_000)
    assert (decision.code, decision.approval_code) == (AuthCode.declined, None)
    until(lambda: line.link.waiting() == 0)
    assert line.till.available() == OPENING


# --- the wire breaks ----------------------------------------------------------------------------


def test_a_cut_line_is_made_again(line: Connected) -> None:
    line.buy(1_000)
    line.wire.cut()
    until(lambda: line.link._line.connection is not None and not line.link._line.connection.open)
    line.buy(1_000)
    line.host.cut()
    until(lambda: line.link._line.connection is not None and not line.link._line.connection.open)
    line.buy(1_000)
    assert line.till.available() == OPENING - 3_000
    assert line.settled()


def test_without_a_line_nothing_is_asked(line: Connected) -> None:
    line.wire.up = False
    request = line.request(1_000)
    with pytest.raises(NoReply):
        line.link.authorize(request)
    assert not line.link.ready()
    assert line.link.waiting() == 0  # nothing was sent, so there is nothing to reverse
    line.wire.up = True
    assert line.link.authorize(request).code is AuthCode.approved


@pytest.mark.parametrize("when", ["0100", "0110"])
def test_a_line_that_breaks_in_between(line: Connected, when: str) -> None:
    broken = threading.Event()

    def breaking(message: bytes) -> list[bytes]:
        if of(when)(message) and not broken.is_set():
            broken.set()
            line.wire.cut()
            return []
        return [message]

    line.wire.to_bank = line.wire.to_gateway = breaking
    request = line.request(10_000)
    with pytest.raises(NoReply):
        line.link.authorize(request)
    until(lambda: line.link.waiting() == 0)
    assert line.till.available() == OPENING
    assert line.link.authorize(request).code is AuthCode.approved
    assert line.till.available() == OPENING - 10_000
    assert line.settled()


@pytest.mark.parametrize("lost", ["0220", "0230"])
def test_an_advice_without_an_answer_is_repeated_under_its_name(lossy: Connected, lost: str) -> None:
    request, _ = lossy.buy(10_000)
    lossy.wire.to_bank = lossy.wire.to_gateway = dropping(of(lost))
    capture = advice(AdviceKind.CAPTURE, request, 10_000)
    with pytest.raises(NoReply):
        lossy.link.advise(capture)
    lossy.wire.to_bank = lossy.wire.to_gateway = None
    lossy.restart().advise(capture)
    first, repeat = (m for m in lossy.wire.passed if of("0220", "0221")(m))
    assert (first[:4], repeat[:4]) == (b"0220", b"0221")
    assert first[4:] == repeat[4:]
    lossy.link.advise(advice(AdviceKind.CREDIT, request, 10_000))
    assert lossy.till.available() == OPENING
    assert lossy.settled()


def test_between_two_sendings_some_time_passes(tmp_path: Path) -> None:
    till = make_bank(on_disk(tmp_path))
    with connected(till, timeout=0.4, retries=(60.0,)) as line:
        request, _ = line.buy(10_000)
        line.wire.to_bank = dropping(of("0220", "0221"))
        capture = advice(AdviceKind.CAPTURE, request, 10_000)
        for _ in range(3):
            with pytest.raises(NoReply):
                line.link.advise(capture)
        assert sum(of("0220", "0221")(message) for message in line.wire.passed) == 1
        line.wire.to_bank = None
        line.wire.cut()  # and when the line is made anew, at once
        until(lambda: line.link._line.connection is not None and not line.link._line.connection.open)
        line.link.advise(capture)
        assert line.settled()
    till.bank.close()


def test_duplicates_and_reordering_change_nothing(line: Connected) -> None:
    def twice() -> Callable[[bytes], list[bytes]]:
        held: list[bytes] = []

        def spoil(message: bytes) -> list[bytes]:
            late, held[:] = held[:], [message]
            return [message, message, *late]

        return spoil

    line.wire.to_bank, line.wire.to_gateway = twice(), twice()
    request, decision = line.buy(10_000)
    assert decision.code is AuthCode.approved
    line.link.advise(advice(AdviceKind.CAPTURE, request, 4_000))
    line.link.advise(advice(AdviceKind.CREDIT, request, 1_000))
    assert line.till.available() == OPENING - 9_000
    assert line.settled()


GARBAGE = [b"", b"\x00\x00", b"\xff\xff" + b"x" * 100, b"\x00\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"\x00"]


@pytest.mark.parametrize("octets", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_disturbs_nobody(line: Connected, octets: bytes) -> None:
    assert line.link.ready()
    line.wire.send_raw(octets)
    line.wire.to_gateway = lambda message: [b"garbage", message, b"0110"]
    line.wire.to_bank = lambda message: [b"garbage", message]
    _, decision = line.buy(10_000)
    assert decision.code is AuthCode.approved
    assert line.till.available() == OPENING - 10_000


# --- restarts -----------------------------------------------------------------------------------


def test_B4_a_gateway_that_dies_while_it_waits(lossy: Connected) -> None:
    """Killed between writing the request down and writing the answer down: the next process reverses it."""
    lossy.wire.to_gateway = dropping(of("0110"))
    request = lossy.request(10_000)
    dying = lossy.link
    dying._give_up = lambda *arguments: None  # type: ignore[method-assign]
    with pytest.raises(NoReply):
        dying.authorize(request)
    assert lossy.till.available() == OPENING - 10_000
    lossy.wire.to_gateway = None
    lossy.restart()
    until(lambda: lossy.till.available() == OPENING)
    until(lossy.settled)
    assert lossy.link.authorize(request).code is AuthCode.approved
    assert lossy.till.available() == OPENING - 10_000


def test_a_restart_goes_on_with_the_numbers(line: Connected) -> None:
    line.buy(100)
    line.restart()
    line.buy(100)
    codec = Codec(lambda: NOW)
    stans = {codec.decode(message)[11] for message in line.wire.passed if of("0100")(message)}
    assert len(stans) == 2
    assert line.till.available() == OPENING - 200


def test_trace_numbers_wrap_and_skip_zero() -> None:
    store = MemoryStore()
    with store.transaction() as transaction:
        assert records.reserve_stans(transaction, "GW000001", 2) == ["000001", "000002"]
        records.reserve_stans(transaction, "GW000001", 999_995)
        assert records.reserve_stans(transaction, "GW000001", 4) == ["999998", "999999", "000001", "000002"]
        assert records.reserve_stans(transaction, "GW000002", 1) == ["000001"]


def test_two_gateways_on_one_store(line: Connected) -> None:
    """Each has its terminal; what one asked for, the other can capture, under the first one's terminal."""
    request, _ = line.buy(10_000)
    other = line.another(terminal="GW000002")
    assert other.authorize(request).code is AuthCode.approved  # the same answer
    other.advise(advice(AdviceKind.CAPTURE, request, 10_000))
    own = line.request(500)
    assert other.authorize(own).code is AuthCode.approved
    line.link.advise(advice(AdviceKind.CAPTURE, own, 500))
    assert line.till.available() == OPENING - 10_500
    assert line.settled()


def test_two_gateways_tell_the_same_at_once(line: Connected) -> None:
    """Neither asked for the payment; one tells between two steps of the other: it has one name all the same."""
    request, _ = line.buy(10_000)
    told = advice(AdviceKind.CAPTURE, request, 10_000)
    slow, quick = line.another(terminal="GW000002"), line.another(terminal="GW000003")
    name = slow._requests.name

    def interrupted(terminal: str | None = None) -> records.Name:
        if terminal is not None:
            quick.advise(told)
        return name(terminal)

    slow._requests.name = interrupted  # type: ignore[method-assign]
    slow.advise(told)
    assert line.link.manual() == []
    assert line.till.available() == OPENING - 10_000
    assert line.settled()


def left_unanswered(lossy: Connected) -> tuple[AuthorizationRequest, ISO8583Link]:
    """What a gateway was killed waiting for, before it could give it up; and another process of it."""
    lossy.wire.to_gateway = dropping(of("0110"))
    request = lossy.request(10_000)
    lossy.link._reversals.give_up = lambda *arguments: None  # type: ignore[method-assign]
    with pytest.raises(NoReply):
        lossy.link.authorize(request)
    lossy.wire.to_gateway = None
    return request, lossy.another(terminal="GW000002")


def test_a_gateway_takes_up_what_another_left(lossy: Connected) -> None:
    """The first died waiting; the merchant's repetition reaches the second, which repeats under the same name."""
    request, other = left_unanswered(lossy)
    assert other.authorize(request).code is AuthCode.approved
    lossy.restart()  # the first comes back: there is nothing to reverse any more
    assert lossy.till.available() == OPENING - 10_000
    assert lossy.settled()


def named(message: bytes) -> str:
    """The trace number."""
    return Codec(lambda: NOW).decode(message)[11]


def test_a_reversal_that_is_not_answered_holds_up_its_own_payment_only(tmp_path: Path) -> None:
    """Asked for again, the second payment is reversed and approved, though the first one's reversal goes nowhere."""
    till = make_bank(on_disk(tmp_path))
    with connected(till, timeout=0.5, retries=(600.0,)) as line:
        line.wire.to_gateway = dropping(of("0110", "0430"))
        first, second = line.request(10_000), line.request(2_000)
        for request in (first, second):
            with pytest.raises(NoReply):
                line.link.authorize(request)
        until(lambda: sum(map(of("0430"), line.wire.passed)) == 2)
        stan = named(next(message for message in line.wire.passed if of("0420")(message)))
        line.wire.to_gateway = dropping(lambda message: of("0430")(message) and named(message) == stan)
        assert line.link.authorize(second).code is AuthCode.approved
        with pytest.raises(NoReply):
            line.link.authorize(first)
        assert till.available() == OPENING - 2_000
        assert line.link.waiting() == 1
    till.bank.close()


# --- what a merchant has given up ---------------------------------------------------------------


def test_what_never_was_approved_need_not_be_taken_back(line: Connected) -> None:
    poor, _ = line.buy(1, PAN_POOR)
    for request in (poor, line.request(10_000)):
        line.link.advise(advice(AdviceKind.REVERSAL, request, 0))
    assert not [message for message in line.wire.passed if of("0420", "0421")(message)]
    assert line.settled()


def test_what_another_process_left_unanswered_is_taken_back(lossy: Connected) -> None:
    """It was killed while it waited, and the merchant's reversal comes to a second process of the gateway."""
    request, other = left_unanswered(lossy)
    other.advise(advice(AdviceKind.REVERSAL, request, 0))
    until(lossy.settled)
    assert lossy.till.available() == OPENING


# --- for a person -------------------------------------------------------------------------------


def test_what_the_bank_refuses_although_it_cannot_is_listed(line: Connected) -> None:
    request, _ = line.buy(10_000)
    line.till.bank.engine.dispose()
    stranger = Advice(AdviceKind.CAPTURE, b"r" * 40, b"unknown", euros(5))
    line.link.advise(stranger)
    line.link.advise(advice(AdviceKind.CAPTURE_REVERSAL, request, 5))  # of a capture that never was
    line.link.advise(advice(AdviceKind.CAPTURE, request, 10_001))  # 13
    assert len(line.link.manual()) == 3
    assert line.till.sound()


def test_a_reversal_that_is_too_old_goes_to_a_person(lossy: Connected) -> None:
    lossy.wire.to_gateway = dropping(of("0110", "0430"))
    with pytest.raises(NoReply):
        lossy.buy(10_000)
    lossy.link.close()
    lossy.till.clock.now = lossy.till.clock.now.replace(month=12)
    lossy.restart()
    until(lambda: lossy.link.waiting() == 0)
    assert len(lossy.link.manual()) == 1


def test_B6_totals_agree_or_name_the_payments(line: Connected) -> None:
    first, _ = line.buy(10_000)
    second, _ = line.buy(500)
    line.link.advise(advice(AdviceKind.CAPTURE, first, 10_000))
    line.link.advise(advice(AdviceKind.CAPTURE, second, 500))
    line.link.advise(advice(AdviceKind.CREDIT, first, 100))
    assert line.link.reconcile("shop-1", 978, "1122") == []
    # The gateway believes in a capture that the bank refused.
    with line.store.transaction() as transaction:
        record = records.find_advice(transaction, second.reference + b"CAPTURE/1")
        assert record is not None
        name = records.Name(terminal="GW000001", stan="999999", sent="1122093000")
        wrong = records.AdviceRecord(**{**vars(record), "name": name})
        records.keep_advice(transaction, second.reference + b"CAPTURE/2", wrong)
        records.put_in_day(transaction, "1122", second.reference + b"CAPTURE/2")
        payment = records.find_payment(transaction, second.reference)
        assert payment is not None
    assert line.link.reconcile("shop-1", 978, "1122") == [payment.rrn]


def test_B6_at_cutover_the_totals_of_the_day_are_compared(line: Connected) -> None:
    """The bank begins another day and tells its gateways; they ask what the old one came to (bank.md §5, rule 7)."""
    request, _ = line.buy(10_000)
    line.link.advise(advice(AdviceKind.CAPTURE, request, 10_000))
    line.till.clock.advance(timedelta(days=1))
    line.till.bank.close_day()
    line.host.cutover(line.till.clock().date())
    until(lambda: any(map(of("0510"), line.wire.passed)))
    assert any(map(of("0830"), line.wire.passed))
    line.link.advise(advice(AdviceKind.CREDIT, request, 500))  # on the new day, which is not over
    line.host.cutover(line.till.clock().date())
    until(lambda: sum(map(of("0830"), line.wire.passed)) == 2)
    assert sum(map(of("0500"), line.wire.passed)) == 1
    assert line.settled()


def test_B6_so_they_are_after_a_reversal_that_took_its_time(lossy: Connected) -> None:
    request, _ = lossy.buy(10_000)
    lossy.link.advise(advice(AdviceKind.CAPTURE, request, 10_000))
    lossy.wire.to_gateway = dropping(of("0110", "0430"))
    with pytest.raises(NoReply):
        lossy.buy(5_000)
    until(lambda: any(map(of("0421"), lossy.wire.passed)))
    lossy.wire.to_gateway = None
    until(lambda: lossy.link.waiting() == 0)
    lossy.till.clock.advance(timedelta(days=1))
    lossy.host.cutover(lossy.till.clock().date())
    until(lambda: any(map(of("0510"), lossy.wire.passed)))


def test_B6_totals_that_differ_are_for_a_person(line: Connected) -> None:
    request, _ = line.buy(10_000)
    line.link.advise(advice(AdviceKind.CAPTURE, request, 10_000))
    with line.store.transaction() as transaction:  # it believes in another amount than the bank booked
        record = records.find_advice(transaction, request.reference + b"CAPTURE/1")
        assert record is not None
        records.keep_advice(transaction, request.reference + b"CAPTURE/1", replace(record, amount=9_000))
    line.till.clock.advance(timedelta(days=1))
    line.host.cutover(line.till.clock().date())
    until(lambda: len(line.link.manual()) == 1)
    assert "totals of a day" in line.link.manual()[0]


def test_a_cutover_that_was_not_answered_by_the_bank_is_gone_on_with(lossy: Connected) -> None:
    """The bank hears of no totals at first; and an advice that is on its way has to arrive before."""
    request, _ = lossy.buy(10_000)
    lossy.link.advise(advice(AdviceKind.CAPTURE, request, 1_000))
    lossy.wire.to_gateway = dropping(of("0230", "0510"))
    with pytest.raises(NoReply):
        lossy.link.advise(advice(AdviceKind.CAPTURE, request, 2_000, "2"))
    lossy.till.clock.advance(timedelta(days=1))
    lossy.host.cutover(lossy.till.clock().date())
    until(lambda: any(map(of("0830"), lossy.wire.passed)))
    lossy.wire.to_gateway = dropping(of("0510"))
    until(lambda: advised(lossy, advice(AdviceKind.CAPTURE, request, 2_000, "2")))
    until(lambda: any(map(of("0510"), lossy.wire.passed)))
    lossy.wire.to_gateway = None
    lossy.restart()
    until(lambda: sum(map(of("0510"), lossy.wire.passed)) >= 2)
    assert lossy.settled()


def advised(line: Connected, one: Advice) -> bool:
    try:
        line.link.advise(one)
    except NoReply:
        return False
    return True


# --- secrecy ------------------------------------------------------------------------------------


def test_no_card_number_in_clear_at_rest(tmp_path: Path) -> None:
    """P1, 3.5.1: neither the bank's database nor the link's has the digits, in any of the usual writings."""
    till = make_bank(on_disk(tmp_path))
    store = SQLStore(f"sqlite:///{tmp_path / 'link.db'}", "link")
    with connected(till, store=store) as line:
        request, _ = line.buy(10_000)
        line.link.advise(advice(AdviceKind.CAPTURE, request, 10_000))
        line.buy(OPENING)
    till.bank.close()
    store.close()
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    data = b"".join(path.read_bytes() for path in files)
    assert len(data) > 10_000
    assert b"shop-1" in data  # the search finds what is there
    digits = PAN(PAN_DEBIT).reveal()
    for secret in (digits.encode(), bytes.fromhex(digits), digits.encode("utf-16-le"), b"s" * 32, b"203012"):
        assert secret not in data


# --- TLS ----------------------------------------------------------------------------------------


def test_mutual_tls(tmp_path: Path) -> None:
    """bank.md §1: whoever has no certificate of the line's authority is not listened to."""
    server, client = contexts(tmp_path)
    till = make_bank(on_disk(tmp_path))
    host = serve(till.bank, "127.0.0.1", 0, tls=server)
    store = MemoryStore()
    config = LinkConfig(VAULT_KEY, tls=client, server_name="bank.test", pause=0.0, timeout=10.0)
    link = ISO8583Link(host.address, store, till.clock, config=config)
    plain = ISO8583Link(host.address, store, till.clock, config=LinkConfig(VAULT_KEY, timeout=2.0))
    unknown = ssl.create_default_context(cafile=tmp_path / "root.pem")
    stranger = ISO8583Link(host.address, store, till.clock, config=replace(config, tls=unknown, timeout=2.0))
    assert link.ready()
    assert not plain.ready()
    assert not stranger.ready()
    for one in (link, plain, stranger):
        one.close()
    host.close()
    till.bank.close()


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server and a client need, of an authority made for this test."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "line authority")])

    def certificate(name: x509.Name, key: ec.EllipticCurvePrivateKey, host: str | None) -> x509.Certificate:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(root_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return made.sign(root_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(certificate(root_name, root_key, None).public_bytes(pem))
    made = []
    for host, purpose in (("bank.test", ssl.Purpose.CLIENT_AUTH), ("gateway.test", ssl.Purpose.SERVER_AUTH)):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{host}.pem").write_bytes(private + certificate(name, key, host).public_bytes(pem))
        context = ssl.create_default_context(purpose, cafile=folder / "root.pem")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(folder / f"{host}.pem")
        made.append(context)
    return made[0], made[1]
