"""What fuzzing and reading have found, each with the smallest example of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pki.der import encode, tlv
from setproto.amounts import AMOUNT_LIMIT, CurrencyAmount
from setproto.errors import ErrorCode
from setproto.messages.codes import BatchOperation, CapCode
from setproto.messages.common import InstallRecurData, Recurring, Role
from setproto.messages.wrapper import MAX_MESSAGE, MessageHeader, MessageIDs
from setproto.roles.gateway import records
from setproto.roles.operations import OpState
from setproto.roles.ports import EventKind
from tests.roles_payment.scene import NOW, Money, Scene, eur, recurring, token_of


@pytest.mark.prop("PX-7")
def test_one_merchants_rrpid_does_not_stand_for_anothers_at_the_bank(scene: Scene) -> None:
    """RRPIDs travel in clear headers.  A thief used the victim's: the bank took the thief's authorisation for one
    that it had approved before, held nothing for it, and would have booked its captures on the victim's account."""
    victim, thief = scene, scene.another_cardholder().another_merchant()
    xid = victim.buy(4200)
    rrpid = victim.merchant.purchase(xid).authorizations[0].auth_rrpid
    lid_c = thief.order(9000)
    preq = thief.market.cardholder.pay(lid_c)
    honest, thief.market.merchant.random = thief.merchant.random, lambda size: rrpid
    auth_req = thief.merchant.handle(preq.data).outgoing[0]
    thief.market.merchant.random = honest
    assert thief.asks(auth_req) == "approved"
    assert thief.bank() == Money(9000)
    (stolen,) = thief.market.results
    assert thief.asks(thief.merchant.capture(stolen)) == "success"
    assert victim.bank() == Money(4200)
    assert thief.all_agree(stolen) == Money(9000, 9000)


def test_nor_at_another_gateway_of_the_same_bank(scene: Scene) -> None:
    other = Scene()
    other.market.gateway.issuer = scene.market.issuer
    other.market.issuer = scene.market.issuer
    scene.market.issuer.add(other.market.account)  # the same number: the bank knows it by the later one
    xid = scene.buy(1000)
    references = set(scene.market.issuer._decisions)
    other.buy(2000)
    assert len(set(scene.market.issuer._decisions) - references) == 1
    assert records.bank_reference(scene.market.gateway.party, scene.merchant.party, b"x") != records.bank_reference(
        other.market.gateway.party, scene.merchant.party, b"x"
    )
    assert scene.merchant.purchase(xid).authorizations


@pytest.mark.prop("PX-7")
def test_a_reversal_under_anothers_rrpid_is_told_to_the_bank(scene: Scene) -> None:
    thief = scene.another_cardholder().another_merchant()
    mine, theirs = scene.buy(4200), thief.buy(3000)
    reversal = scene.merchant.reverse(mine, eur(4000))
    scene.asks(reversal)
    from setproto.messages.wrapper import unwrap

    rrpid = unwrap(reversal.data).header.rrpid or b""
    honest, thief.market.merchant.random = thief.merchant.random, lambda size: rrpid
    request = thief.merchant.reverse(theirs, eur(100))
    thief.market.merchant.random = honest
    assert thief.asks(request) == "approved"
    assert thief.all_agree(theirs) == Money(100)


@pytest.mark.parametrize("days", [-1, 0, 367, 10**12])
def test_a_frequency_is_a_year_at_the_most(days: int) -> None:
    """With 10^12 days, agreed by cardholder and merchant, an OverflowError came out of the gateway."""
    with pytest.raises(ValueError, match="frequency"):
        recurring(days, NOW)


def test_a_frequency_that_the_wire_brings_is_looked_at(scene: Scene) -> None:
    from pki.der import DecodingFailure, decode, general_time

    good = encode(recurring(366, NOW))
    bad = good.replace(b"\x02\x02\x01\x6e", b"\x02\x02\x01\x6f")
    assert decode(InstallRecurData, good).recurring == Recurring(
        recurring_frequency=366, recurring_expiry=general_time(NOW)
    )
    with pytest.raises(DecodingFailure):
        decode(InstallRecurData, bad)


@pytest.mark.parametrize("number", [-1, 1 << 63, 10**5000], ids=["negative", "large", "unprintable"])
def test_numbers_without_end_are_refused(scene: Scene, number: int) -> None:
    """A BatchID of thousands of digits: Python refuses to print it, and that ValueError came out of the gateway."""
    honest = scene.merchant.protect

    def protect(message_type: Any, over: Any, body: Any, **how: Any) -> Any:
        octets = encode(body)
        content = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
        place = octets.index(b"\x02\x01\x4d")
        changed = _respliced(octets, place, tlv(0x02, content))

        class Raw:
            pass

        import setproto.roles.endpoint as endpoint

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(endpoint, "encode", lambda value: changed if isinstance(value, Raw) else encode(value))
            return honest(message_type, over, Raw(), **how)

    scene.merchant.protect = protect  # type: ignore[method-assign]
    request = scene.merchant.batch(77)
    reply = scene.gateway_reply(request)
    assert reply.events[0].code is ErrorCode.decodingFailure


def _respliced(octets: bytes, place: int, new: bytes) -> bytes:
    from tests.faults.fuzz.mutation import spliced, walk

    node = next(node for node in walk(octets) if node.start == place)
    return spliced(octets, node, new)


@pytest.mark.parametrize("count", [70])
def test_more_authorisations_than_a_pres_can_tell(scene: Scene, count: int) -> None:
    """A subscription that was asked for too soon, often: InqReq made the merchant fail on the 65th payload."""
    xid = scene.buy(1000, install_recur_data=recurring(28, NOW + timedelta(days=99)))
    for _ in range(count):
        assert scene.asks(scene.merchant.authorize(xid, eur(1000))) == "recurringTooSoon"
    lid_c = scene.merchant.purchase(xid).trans_ids.lid_c
    before = len(scene.market.events)
    scene.market.deliver(Role.cardholder, scene.market.cardholder.inquire(lid_c))
    assert EventKind.RESULT in [event.kind for _, event in scene.market.events[before:]]


def test_an_error_about_a_large_header_stays_small(scene: Scene) -> None:
    """An Error quotes the header, and its own repeats the identifiers: from 256 KiB it made 480."""
    good = scene.merchant.header(bytes(20), MessageIDs())
    octets = encode(good)
    for place in (b"\x80\x14" + bytes(20), b"\x30\x00"):
        inside = b"\x80" if place[0] == 0x80 else b"\x30"
        filling = tlv(0x80, bytes(100_000))
        new = tlv(0x80, bytes(100_000)) if inside == b"\x80" else tlv(0x30, filling)
        changed = _respliced(octets, octets.index(place), new)
        reply = scene.market.gateway.handle(tlv(0x30, changed, b"\xa6\x02\x30\x00"))
        assert reply.events[0].code is ErrorCode.badMessageHeader
        assert len(reply.outgoing[0].data) < 30_000 < MAX_MESSAGE
    with pytest.raises(ValueError, match="RRPID"):
        replace_header(good, rrpid=bytes(21))


def replace_header(header: MessageHeader, **changes: Any) -> MessageHeader:
    return replace(header, **changes)


# --- amounts as large as they get -----------------------------------------------------------------

HUGE = CurrencyAmount(currency=978, amount=AMOUNT_LIMIT, amt_exp10=-2)


def rich() -> Scene:
    scene = Scene()
    scene.market.account.opening = replace(HUGE, amt_exp10=6)
    return scene


def huge(scene: Scene, **how: Any) -> bytes:
    """A purchase of the largest amount that can be written down."""
    order = scene.market.order(str(HUGE), b"a continent", **how)
    lid_c, first = scene.market.cardholder.start(order)
    scene.market.deliver(Role.cardholder, first)
    scene.market.deliver(Role.cardholder, scene.market.cardholder.pay(lid_c))
    return scene.market.result(lid_c).xid


def test_a_batch_that_can_count_no_further_takes_no_more() -> None:
    """Captured, credited, captured: the sum of the debits came to more than an amount can be."""
    scene = rich()
    first, second = huge(scene), huge(scene)
    assert scene.asks(scene.merchant.capture(first)) == "success"
    assert scene.asks(scene.merchant.capture(second, batch_id=1)) == "batchUnknown"
    assert scene.asks(scene.merchant.capture(second)) == "success"
    assert scene.merchant.purchase(second).authorizations[0].captures[-1].batch_id == 2
    assert scene.asks(scene.merchant.credit(first)) == "success"
    assert scene.asks(scene.merchant.credit(second)) == "success"


def test_recurring_payments_that_can_count_no_further() -> None:
    scene = rich()
    xid = huge(scene, install_recur_data=recurring(1, NOW + timedelta(days=99)))
    scene.wait(days=1)
    assert scene.asks(scene.merchant.authorize(xid, HUGE)) == "amountError"
    assert scene.asks(scene.merchant.reverse(xid, HUGE.with_amount(HUGE.amount - 100))) == "approved"
    assert scene.asks(scene.merchant.authorize(xid, eur(101))) == "amountError"
    assert scene.asks(scene.merchant.authorize(xid, eur(100))) == "approved"


def test_a_purchase_that_can_be_written_down_no_longer_is_not_continued(scene: Scene) -> None:
    """A record is read up to a size.  A merchant that makes tens of thousands of captures of a cent locks only itself
    out, with an Error: the next request used to end in an exception that is not one of ours."""
    xid = scene.bought(4200, captured=100)
    with scene.market.gateway.store.transaction() as transaction:
        record = records.find(transaction, scene.merchant.party, xid)
        assert record is not None
        authorization = record.authorizations[0]
        one = replace(authorization.captures[0], state=OpState.REVERSED)
        many = [replace(one, number=1000 + number) for number in range(records.MAX_RECORD // len(encode(one)) + 100)]
        records.keep(transaction, record.having(replace(authorization, captures=[*authorization.captures, *many])))
    before = scene.bank()
    for request in (scene.merchant.capture(xid, eur(1)),):
        reply = scene.gateway_reply(request)
        assert [event.kind for event in reply.events] == [EventKind.REFUSED]
        assert reply.events[0].code is ErrorCode.unspecifiedFailure
    assert scene.bank() == before


def test_a_request_of_a_hundred_items(scene: Scene) -> None:
    from tests.roles_payment.scene import tokens
    from tests.roles_payment.test_captures import several

    xid = scene.buy(10_000)
    token = token_of(scene, xid)
    lie = scene.lie(lambda: scene.merchant.capture(xid), several(*[100] * 100), tokens(*[token] * 100))  # type: ignore[arg-type]
    reply = scene.gateway_reply(lie)
    assert {event.code for event in reply.events} == {CapCode.success}
    assert scene.bank() == Money(10_000, 10_000)


# --- batches and requests that overtake each other ------------------------------------------------


def test_a_purchase_goes_on_after_an_outage(scene: Scene) -> None:
    xid = scene.buy(4200)
    scene.merchant.capture(xid, eur(100))  # the gateway cannot be reached
    scene.market.clock.advance(timedelta(minutes=20))
    assert scene.asks(scene.merchant.resend(xid)) == "success"


@pytest.mark.prop("PX-9")
def test_a_capture_whose_answer_comes_after_that_to_a_purge(scene: Scene) -> None:
    """The purge was decided after the capture, and took it back; the merchant sees that whatever it hears first."""
    xid = scene.buy(4200)
    first = scene.gateway_reply(scene.merchant.capture(xid, eur(100))).outgoing[0]
    second = scene.gateway_reply(scene.merchant.batch(1, BatchOperation.purge)).outgoing[0]
    scene.merchant.handle(second.data)
    scene.merchant.handle(first.data)
    assert scene.shop(xid) == scene.gateway(xid)


@pytest.mark.prop("PX-9")
def test_a_purge_that_overtakes_a_reversal(scene: Scene) -> None:
    """The reversal finds nothing to take back, because the purge did: that does not make the capture stand."""
    xid = scene.bought(4200)
    reversal = scene.merchant.reverse_capture(xid)
    scene.asks(scene.merchant.batch(1, BatchOperation.purge))
    assert scene.asks(reversal) == "originalNotFound"
    assert scene.shop(xid) == scene.gateway(xid)


@pytest.mark.prop("PX-9")
def test_what_goes_into_a_batch_after_it_was_purged_stands(scene: Scene) -> None:
    xid = scene.buy(4200)
    assert scene.asks(scene.merchant.capture(xid, eur(100))) == "success"
    assert scene.asks(scene.merchant.batch(1, BatchOperation.purge)) == "success"
    assert scene.asks(scene.merchant.capture(xid, eur(200))) == "success"
    assert scene.shop(xid) == scene.gateway(xid)
    assert scene.bank().captured == 200
