"""Error messages: what they say, and that nobody does anything because of one (§4.1, PX-17)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pki import thumbprint
from pki.der import encode, explicit, tlv
from setproto.errors import ErrorCode, ProtocolError
from setproto.market import Market
from setproto.messages.common import PartyID, Role
from setproto.messages.error import BAD_WRAPPER_LIMIT, Error, ErrorTBS
from setproto.messages.oids import ID_ERROR_TBS
from setproto.messages.registry import PINIT_REQ
from setproto.messages.wrapper import MAX_MESSAGE, header, unwrap, wrap
from setproto.roles.endpoint import Endpoint
from setproto.roles.ports import EventKind
from tests.pki.forging import serial_of
from tests.roles.scenes import (
    LONG_STORY,
    STORY,
    Scene,
    another_card,
    assert_refused,
    before,
    cardholder_with,
    read_error,
    state,
)

STRANGER = PartyID(role=Role.gateway, brand="Marque", name="stranger")


def error_from(sender: Endpoint, scene: Scene, to: PartyID, code: int = ErrorCode.unspecifiedFailure) -> bytes:
    """A genuine, signed Error about the message in hand."""
    wire = unwrap(scene.data)
    over = header(scene.market.clock(), sender.party, wire.header.rrpid, wire.header.message_ids)
    body = ErrorTBS(
        head=sender.head(ID_ERROR_TBS, to, over),
        error_code=code,
        error_nonce=bytes(32),
        message_header=wire.header_der,
    )
    signed = sender.credentials.signer.sign(encode(body), ID_ERROR_TBS, certificates=sender.credentials.chain)
    return wrap(None, encode(Error(signed_error=signed)), over)


def unsigned_error(scene: Scene, to: Endpoint, code: int = ErrorCode.unspecifiedFailure) -> bytes:
    wire = unwrap(scene.data)
    body = ErrorTBS(
        head=to.head(ID_ERROR_TBS, to.party, None), error_code=code, error_nonce=bytes(32), bad_wrapper=b"?"
    )
    return wrap(None, encode(Error(unsigned_error=body)), wire.header)


@pytest.mark.prop("PX-17")
@pytest.mark.parametrize("name", LONG_STORY)
def test_an_error_changes_nothing_whoever_signed_it(name: str) -> None:
    """At every moment of a purchase, to everybody, from everybody, signed, unsigned and forged."""
    scene = before(name)
    market, kept = scene.market, state(scene.market)
    for receiver in market.parties.values():
        for sender in market.parties.values():
            reply = receiver.handle(error_from(sender, scene, receiver.party, ErrorCode.signatureFailure))
            (event,) = reply.events
            assert (event.kind, event.code) == (EventKind.ERROR_RECEIVED, ErrorCode.signatureFailure)
            assert reply.outgoing == ()
        reply = receiver.handle(unsigned_error(scene, receiver))
        (event,) = reply.events
        assert (event.kind, event.detail, reply.outgoing) == (EventKind.ERROR_RECEIVED, "unsigned", ())
        forged = bytearray(error_from(market.merchant, scene, receiver.party))
        forged[-1] ^= 1
        reply = receiver.handle(bytes(forged))
        assert [event.kind for event in reply.events] == [EventKind.REFUSED]
        assert reply.outgoing == ()
    assert state(market) == kept
    while scene.hand is not None:
        scene.deliver()
    assert market.account.available.amount == (958_00 if name in STORY else 1000_00)


@pytest.mark.parametrize("wrong", ["recipient", "sender", "header", "role", "type", "nobody", "rubbish", "number"])
def test_an_error_that_is_not_believed_is_not_answered_either(wrong: str) -> None:
    scene = before("AuthRes")
    market = scene.market
    merchant, gateway = market.merchant, market.gateway
    good = error_from(gateway, scene, merchant.party)
    wire = unwrap(good)
    if wrong == "recipient":
        data, code = error_from(gateway, scene, STRANGER), ErrorCode.wrongRecipient
    elif wrong == "sender":
        data = wrap(None, wire.body, replace(wire.header, sender=STRANGER))
        code = ErrorCode.wrapperMsgMismatch
    elif wrong == "header":
        data, code = wrap(None, wire.body, replace(wire.header, revision=1)), ErrorCode.wrapperMsgMismatch
    elif wrong == "role":
        data = wrap(None, wire.body, replace(wire.header, sender=merchant.party))
        code = ErrorCode.invalidCertificate
    elif wrong == "type":
        inner = unwrap(scene.data)
        data, code = wrap(None, inner.body, inner.header), ErrorCode.decodingFailure
    elif wrong == "nobody":
        data, code = wrap(None, wire.body, replace(wire.header, sender=None)), ErrorCode.badMessageHeader
    elif wrong == "rubbish":
        data, code = wrap(None, b"\x30\x00", wire.header), ErrorCode.decodingFailure
    else:
        reply = merchant.handle(error_from(gateway, scene, merchant.party, 4711))
        assert [event.code for event in reply.events] == [ErrorCode.unspecifiedFailure]
        assert reply.outgoing == ()
        return
    reply = merchant.handle(data)
    assert [(event.kind, event.code) for event in reply.events] == [(EventKind.REFUSED, code)]
    assert reply.outgoing == ()


def test_an_error_names_the_offending_message() -> None:
    scene = before("AuthReq")
    wire = unwrap(scene.data)
    broken = scene.data[:-1] + bytes([scene.data[-1] ^ 1])
    body = assert_refused(scene.market.gateway.handle(broken), ErrorCode.signatureFailure)
    assert body.message_header == wire.header_der
    assert body.bad_wrapper is None
    assert body.head.recipient == scene.market.merchant.party
    assert body.head.sender == scene.market.gateway.party


def test_an_error_about_something_unreadable_quotes_its_beginning() -> None:
    market = Market.open()
    for size in (0, 1, BAD_WRAPPER_LIMIT, BAD_WRAPPER_LIMIT + 1, MAX_MESSAGE + 1):
        rubbish = b"?" * size
        code = ErrorCode.messageTooBig if size > MAX_MESSAGE else ErrorCode.decodingFailure
        reply = market.merchant.handle(rubbish)
        body = assert_refused(reply, code)
        (error,) = reply.outgoing
        assert error.to is None, "back to whoever sent it"
        assert body.bad_wrapper == rubbish[:BAD_WRAPPER_LIMIT]
        assert body.message_header is None


def test_an_error_names_the_offending_certificate() -> None:
    scene = before("AuthReq")
    market = scene.market
    certificate = market.merchant.credentials.signer.certificate
    market.tree.mca.revoke(serial_of(certificate), market.clock())
    for crl in market.tree.crls(market.clock()):
        market.gateway.validator.add_crl(crl)
    body = assert_refused(market.gateway.handle(scene.data), ErrorCode.revokedCertificate)
    assert body.error_thumb == thumbprint(certificate)


def test_errors_are_signed_over_something_unpredictable() -> None:
    scene = before("AuthReq")
    broken = scene.data[:-1] + bytes([scene.data[-1] ^ 1])
    first, second = (read_error(scene.market.gateway.handle(broken).outgoing[0]) for _ in range(2))
    assert first.error_nonce != second.error_nonce


def test_a_genuine_error_reaches_the_other_side() -> None:
    scene = before("AuthReq")
    broken = scene.data[:-1] + bytes([scene.data[-1] ^ 1])
    (error,) = scene.market.gateway.handle(broken).outgoing
    assert error.to is Role.merchant
    (event,) = scene.market.merchant.handle(error.data).events
    assert (event.kind, event.code) == (EventKind.ERROR_RECEIVED, ErrorCode.signatureFailure)
    assert event.detail == f"signed by {scene.market.gateway.party}"


@pytest.mark.parametrize("minutes", [16, -16])
def test_an_error_that_comes_too_late_or_too_early_is_not_answered(minutes: int) -> None:
    """Never answer an Error with an Error, not even one that is refused for its date."""
    market = Market.open()
    market.clock.advance(timedelta(hours=1))  # so that the CRLs are valid either way
    scene = before("AuthRes", market)
    data = error_from(scene.market.gateway, scene, scene.market.merchant.party)
    scene.market.clock.advance(timedelta(minutes=minutes))
    kept = state(scene.market)
    reply = scene.market.merchant.handle(data)
    assert [event.kind for event in reply.events] == [EventKind.ERROR_RECEIVED]
    assert reply.outgoing == ()
    assert state(scene.market) == kept


def test_parties_whose_clocks_disagree_do_not_argue_for_ever() -> None:
    """One wrong clock must not set off an endless exchange of Errors about Errors."""
    market = Market.open()
    order = market.order("EUR 42.00", b"one book")
    market.cardholder.clock = lambda: market.clock() + timedelta(minutes=20)
    _, first = market.cardholder.start(order)
    message, exchanged = first, 0
    while exchanged < 10:
        assert message.to is not None
        reply = market.parties[message.to].handle(message.data)
        if not reply.outgoing:
            break
        (message,) = reply.outgoing
        exchanged += 1
    assert exchanged <= 2


def test_an_error_is_small_whatever_it_is_about() -> None:
    """Whoever gets it must be able to read it; and nobody is made to send large answers."""
    scene = before("AuthReq")
    good = unwrap(scene.data).header
    header_der = encode(good)
    swollen = header_der.replace(tlv(0x80, good.rrpid or b""), tlv(0x80, b"?" * 150_000))
    assert len(swollen) > 150_000
    huge = tlv(0x30, tlv(0x30, swollen[2 + (header_der[1] & 0x7F if header_der[1] & 0x80 else 0) :]), explicit(6, b""))
    longest = wrap(PINIT_REQ, b"?" * 250_000, replace(good, sw_ident="x" * 256))
    for data in (huge, longest, b"?" * MAX_MESSAGE):
        (error,) = scene.market.gateway.handle(data).outgoing
        assert len(error.data) <= BAD_WRAPPER_LIMIT + 10_000


def test_a_failure_carries_its_code_and_no_secret() -> None:
    """The text of a refusal is fit for logs: no card data in any of them."""
    scene = before("AuthReq")
    market = scene.market
    pan = market.card.card.pan.reveal()
    for data in (b"", scene.data[:-1] + bytes([scene.data[-1] ^ 1]), scene.data[:100]):
        for event in market.gateway.handle(data).events:
            assert pan not in repr(event)
    guest = cardholder_with(market, another_card(market))
    assert pan not in repr((guest, market.card, market.gateway.credentials))
    assert str(ProtocolError("x", code=ErrorCode.unknownXID)) == "unknownXID: x"
