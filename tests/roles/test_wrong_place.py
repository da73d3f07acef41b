"""Every signed structure and every message, handed to everybody for whom it was not made (PX-6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pki.der import decode, encode
from setproto.crypto.cms import Recipient, seal, unseal
from setproto.errors import ErrorCode
from setproto.market import Market
from setproto.messages.common import PartyID, Role
from setproto.messages.payment import EncB
from setproto.messages.purchase import PReq
from setproto.messages.registry import ERROR_TAG, MESSAGES, MessageType, Operator
from setproto.messages.wrapper import MessageIDs, header, unwrap, wrap
from setproto.roles.party import baggage_digest
from setproto.roles.ports import EventKind, Reply
from tests.roles.scenes import (
    KIND,
    LONG_STORY,
    Scene,
    another_gateway,
    another_merchant,
    assert_refused,
    before,
    exchange_of,
    opened,
    preq_again,
    read_error,
    remade,
    signed_again,
    state,
    taken_apart,
    whole,
)


def assert_nothing_came_of_it(market: Market, reply: Reply, kept: object) -> None:
    """Refused or, at most, reported to people: no answer but an Error, no change."""
    assert {event.kind for event in reply.events} <= {EventKind.REFUSED, EventKind.ERROR_RECEIVED}
    assert {message.name for message in reply.outgoing} <= {"Error"}
    assert state(market) == kept


def signed_structures(scene: Scene) -> Iterator[tuple[str, bytes]]:
    """Every SignedData of a purchase, opened where it was sealed, and what else a message body can be."""
    market = scene.market
    for name, message in scene.sent.items():
        wire = unwrap(message.data)
        kind = KIND[name]
        if kind.operator is Operator.S:
            yield name, wire.body
        elif kind.operator is Operator.DUAL:
            yield name + " signature", decode(PReq, wire.body).pi.pi_signature
            yield name, wire.body
            yield "OIData", decode(PReq, wire.body).oi.oi_data
        elif kind.operator is Operator.PLAIN:
            yield name, wire.body
        else:
            receiver = market.parties[kind.recipient]
            sealed = decode(EncB, wire.body).enc if kind.operator is Operator.ENCB else wire.body
            sender = wire.header.sender
            assert sender is not None
            context = receiver.context(
                kind.content_type, sender, receiver.party, wire.header.message_ids.xid, wire.header.rrpid
            )
            yield name + " signed", unseal(sealed, receiver.exchange_key(), context=context).content
            yield name, wire.body
            if kind.operator is Operator.ENCB:
                yield name + " sealed", sealed
                yield name + " baggage", decode(EncB, wire.body).baggage


@pytest.mark.prop("PX-6")
def test_every_signed_structure_under_every_other_message_tag_at_every_role() -> None:
    scene = whole(goes_on=True)
    market = scene.market
    kept = state(market)
    structures = list(signed_structures(scene))
    assert len(structures) >= 50
    headers = {name: unwrap(message.data).header for name, message in scene.sent.items()}
    tried = 0
    for origin, body in structures:
        for kind in MESSAGES.values():
            if kind.name == origin:
                continue
            # Under the header it came with, and under the one that the receiver expects.
            own = headers.get(origin.split(" ")[0], headers["PReq"])
            for over in {own, headers.get(kind.name, own)}:
                for party in market.parties.values():
                    tried += 1
                    assert_nothing_came_of_it(market, party.handle(wrap(kind, body, over)), kept)
        assert_nothing_came_of_it(market, market.merchant.handle(wrap(None, body, headers["PRes"])), kept)
    assert tried > 6000


@pytest.mark.prop("PX-6")
@pytest.mark.parametrize("name", LONG_STORY)
def test_a_message_at_a_party_of_another_role(name: str) -> None:
    scene = whole(goes_on=True)
    kept = state(scene.market)
    for role, party in scene.market.parties.items():
        if role is not scene.sent[name].to:
            assert_refused(party.handle(scene.sent[name].data), ErrorCode.messageNotSupported)
    assert state(scene.market) == kept


@pytest.mark.prop("PX-6")
@pytest.mark.parametrize("name", [name for name in LONG_STORY if name != "PInitReq"])
def test_a_message_at_another_party_of_the_same_role(name: str) -> None:
    """Surreptitious forwarding: the sealed ones do not open, the signed ones name their recipient."""
    scene = before(name)
    market = scene.market
    to = KIND[name].recipient
    if to is Role.cardholder:
        # Another wallet of the same kind does not even know the RRPID; with the same records, the name still differs.
        other = PartyID(role=to, brand=market.tree.brand, name="another")
        data = remade(scene, to=other)
        kept = state(market)
        assert_refused(market.cardholder.handle(data), ErrorCode.wrongRecipient)
        assert state(market) == kept
        return
    stranger = another_merchant(market) if to is Role.merchant else another_gateway(market)
    stranger.store = market.stores[to]  # it even has the same records
    kept = state(market)
    sealed = KIND[name].operator in (Operator.ENC, Operator.ENCB)
    code = ErrorCode.decryptionFailure if sealed else ErrorCode.wrongRecipient
    reply = stranger.handle(scene.data)
    assert [event.code for event in reply.events] == [code]
    assert state(market) == kept


@pytest.mark.prop("PX-6")
@pytest.mark.parametrize("name", [name for name in LONG_STORY if name not in ("PInitReq", "PReq")])
@pytest.mark.parametrize(
    ("field", "new"),
    [
        ("type", KIND["PReq"].content_type),
        ("version", 1),
        ("version", 3),
        ("suite", "ed25519"),
        ("sender", PartyID(role=Role.merchant, brand="Marque", name="another")),
        ("recipient", PartyID(role=Role.merchant, brand="Marque", name="another")),
    ],
    ids=["type", "older", "newer", "suite", "sender", "recipient"],
)
def test_a_signed_body_says_what_it_is_from_whom_for_whom(name: str, field: str, new: object) -> None:
    scene = before(name)
    data, kept = remade(scene, head={field: new}), state(scene.market)
    reply = scene.receiver.handle(data)
    assert [event.code for event in reply.events] == [ErrorCode.wrongRecipient]
    assert state(scene.market) == kept


@pytest.mark.prop("PX-6")
@pytest.mark.parametrize("field", ["type", "version", "suite", "recipient"])
def test_an_order_says_what_it_is_and_for_whom(field: str) -> None:
    scene = before("PReq")
    paid, kept = taken_apart(scene.market, scene.data), state(scene.market)
    new = {
        "type": KIND["PRes"].content_type,
        "version": 1,
        "suite": "ed25519",
        "recipient": another_merchant(scene.market).party,
    }[field]
    data = preq_again(scene.market, paid, head={field: new})
    assert_refused(scene.market.merchant.handle(data), ErrorCode.wrongRecipient)
    assert state(scene.market) == kept


@pytest.mark.prop("PX-10")
@pytest.mark.parametrize("name", [name for name in LONG_STORY if name != "PInitReq"])
def test_the_header_is_under_the_signature(name: str) -> None:
    """Another date, software name or revision: the body says which header it was signed under."""
    scene = before(name)
    wire, kept = unwrap(scene.data), state(scene.market)
    for field, new in (("sw_ident", "evil 1.0"), ("revision", 1)):
        data = wrap(wire.type, wire.body, replace(wire.header, **{field: new}))
        reply = scene.receiver.handle(data)
        assert [event.code for event in reply.events] == [ErrorCode.wrapperMsgMismatch]
    assert state(scene.market) == kept
    assert EventKind.REFUSED not in {event.kind for event in scene.deliver().events}


@pytest.mark.parametrize("name", [name for name in LONG_STORY if name not in ("PInitReq", "PReq")])
def test_the_sender_of_the_header_is_the_signer(name: str) -> None:
    scene = before(name)
    other = another_merchant(scene.market).party
    rrpid, trans_ids = KIND[name].locate(opened(scene.market, name, scene.data).body)
    over = header(scene.market.clock(), other, rrpid, MessageIDs.of(trans_ids))
    kept = state(scene.market)
    if KIND[name].operator in (Operator.ENC, Operator.ENCB):
        moved = wrap(KIND[name], unwrap(scene.data).body, over)
        expected = ErrorCode.decryptionFailure
    else:
        moved = remade(scene, over=over)
        expected = ErrorCode.wrapperMsgMismatch
    assert [event.code for event in scene.receiver.handle(moved).events] == [expected]
    assert state(scene.market) == kept


def test_the_sender_of_a_sealed_messages_header_is_its_signer() -> None:
    """Sealed right, in the name that the header gives, but signed by somebody else: two merchants, one message."""
    scene = before("AuthReq")
    market = scene.market
    partner = another_merchant(market)
    received, kind = opened(market, "AuthReq", scene.data), KIND["AuthReq"]
    rrpid, ids = kind.locate(received.body)
    over = header(market.clock(), partner.party, rrpid, MessageIDs.of(ids))
    baggage = encode(received.baggage)
    head = market.merchant.head(kind.content_type, market.gateway.party, over)
    body = replace(received.body, head=head, baggage_digest=baggage_digest(kind, baggage))
    own = market.merchant.credentials
    signed = own.signer.sign(encode(body), kind.content_type, certificates=own.own_certificates)
    context = partner.context(kind.content_type, partner.party, market.gateway.party, scene.xid, rrpid)
    enc = seal(signed, Recipient(exchange_of(market.gateway)), context=context)
    kept = state(market)
    data = wrap(kind, encode(EncB(enc=enc, baggage=baggage)), over)
    assert_refused(market.gateway.handle(data), ErrorCode.wrapperMsgMismatch)
    assert state(market) == kept


def test_a_pinit_res_is_for_the_wallet_that_asked_and_for_no_certificate() -> None:
    scene = before("PInitRes")
    body = opened(scene.market, "PInitRes", scene.data).body
    data = signed_again(scene.market.merchant, KIND["PInitRes"], body, scene.market.cardholder.party)
    kept = state(scene.market)
    assert_refused(scene.market.cardholder.handle(data), ErrorCode.wrongRecipient)
    assert state(scene.market) == kept


def test_an_unknown_message_is_not_supported_by_anybody() -> None:
    scene = before("AuthReq")
    wire = unwrap(scene.data)
    unknown: MessageType[object] = replace(KIND["AuthReq"], tag=22)  # after the last one that SET has
    data = wrap(unknown, wire.body, wire.header)
    for party in scene.market.parties.values():
        reply = party.handle(data)
        assert [event.code for event in reply.events] == [ErrorCode.messageNotSupported]
        assert read_error(reply.outgoing[0]).error_code == ErrorCode.messageNotSupported
    assert ERROR_TAG not in MESSAGES
