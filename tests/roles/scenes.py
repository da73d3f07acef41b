"""Purchases stopped where a test wants to step in, and messages that honest roles would never make.

A scene is a market and one purchase in it, with the next message in hand, undelivered::

    scene = before("AuthReq")           # cardholder has paid; the merchant's AuthReq is on the wire
    reply = scene.deliver()             # now the gateway has it, and scene.data is its AuthRes

Dishonest parties are played with their own real keys: their messages are opened, changed, and protected again
(``signed_again``, ``preq_again``), so that what is refused is refused for the change and nothing else.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asn1crypto import cms

from pki.der import decode
from setproto.amounts import CurrencyAmount
from setproto.bank import Account
from setproto.errors import ErrorCode
from setproto.market import TRADERS, Market
from setproto.messages.codes import AuthCode
from setproto.messages.common import Role
from setproto.messages.error import Error, ErrorTBS
from setproto.messages.wrapper import unwrap
from setproto.roles.cardholder import Cardholder
from setproto.roles.gateway import Gateway
from setproto.roles.gateway import records as gateway_records
from setproto.roles.merchant import Merchant
from setproto.roles.merchant.records import PurchaseRecord, State
from setproto.roles.operations import OpState
from setproto.roles.ports import EventKind, Outgoing, Reply
from setproto.store import MemoryStore
from vectors.recipes.hands import (  # noqa: F401 the tests take them from here
    KIND,
    LATER,
    LONG_STORY,
    OTHER_CARD,
    STORY,
    WRONG_NUMBER,
    Paid,
    Scene,
    after,
    another_card,
    another_gateway,
    another_merchant,
    before,
    begin,
    cardholder_with,
    change,
    exchange_of,
    in_the_name_of,
    market_pi,
    opened,
    pi_of,
    preq_again,
    remade,
    sealed_for,
    signed_again,
    taken_apart,
    whole,
    with_account,
)

# --- state ----------------------------------------------------------------------------------------


def snapshot(store: MemoryStore) -> dict[tuple[str, bytes], bytes]:
    return store.dump()


def restore(store: MemoryStore, saved: Mapping[tuple[str, bytes], bytes]) -> None:
    store._tables = dict(saved)


def money(account: Account) -> tuple[int, dict[bytes, CurrencyAmount], dict[bytes, CurrencyAmount]]:
    """What can be spent, in cents; what is held and what was captured, as far as it is not nothing.  They must add up.

    The first is negative where a credit was spent before it was taken back.
    """
    unit = account.opening.step

    def amounts(booked: Mapping[bytes, int]) -> dict[bytes, CurrencyAmount]:
        assert all(value >= 0 for value in booked.values()), "nothing is owed to the wrong side"
        assert all(value % unit == 0 for value in booked.values())
        return {key: account.opening.with_amount(value // unit) for key, value in booked.items() if value}

    amounts(account.credited)
    assert all(account.credited[key] <= account.captured[key] for key in account.credited)
    held, captured = amounts(account.held), amounts(account.captured)
    total = account.spendable + sum(account.held.values()) + account.charged
    assert total == account.opening.value, "money was made or lost"
    return account.spendable // unit, held, captured


def bank(account: Account) -> tuple[Any, ...]:
    """Everything that the bank has booked."""
    return money(account), dict(account.held), dict(account.captured), dict(account.credited)


def state(market: Market) -> tuple[Any, ...]:
    """Everything that anybody would still know after a crash: all stores, and the money."""
    return (*(snapshot(market.stores[role]) for role in TRADERS), bank(market.account))


class Step(enum.Enum):
    """How far a merchant has come with a purchase that is authorised once."""

    INITIALISED = enum.auto()
    REJECTED = enum.auto()
    AUTH_SENT = enum.auto()
    DECLINED = enum.auto()
    AUTHORIZED = enum.auto()
    CAP_SENT = enum.auto()
    CAPTURED = enum.auto()


def step(market: Market, xid: bytes) -> Step:
    """How far the merchant has come; its record must have everything that belongs to that, and nothing else."""
    record = market.merchant.purchase(xid)
    found = _step(record)
    assert (record.outstanding is not None) is (found in (Step.AUTH_SENT, Step.CAP_SENT))
    assert (record.ordered is None) is (found is Step.INITIALISED)
    return found


def _step(record: PurchaseRecord) -> Step:
    if record.state is not State.ORDERED:
        assert record.authorizations == []
        return Step[record.state.name]
    (authorization,) = record.authorizations
    if authorization.state is OpState.ASKED:
        assert record.outstanding == authorization.auth_rrpid
        assert (authorization.code, authorization.cap_token, authorization.captures) == (None, None, [])
        return Step.AUTH_SENT
    if authorization.state is OpState.REFUSED:
        assert authorization.code not in (None, AuthCode.approved)
        assert authorization.captures == []
        return Step.DECLINED
    assert authorization.state is OpState.GRANTED
    assert authorization.code is AuthCode.approved
    assert authorization.cap_token
    states = [capture.state for capture in authorization.captures]
    if record.outstanding is not None:
        assert states[-1] is OpState.ASKED
        return Step.CAP_SENT
    assert OpState.ASKED not in states
    return Step.CAPTURED if OpState.GRANTED in states else Step.AUTHORIZED


def gateway_purchases(market: Market) -> list[gateway_records.PurchaseRecord]:
    """Every purchase that the gateway has a record of."""
    stored = snapshot(market.stores[Role.gateway]).items()
    return [
        decode(gateway_records.PurchaseRecord, value)
        for (table, _), value in stored
        if table == gateway_records.PURCHASES
    ]


def restarted(market: Market, role: Role) -> Market:
    """The same market after one party's process was stopped and started: a new object on the old store."""
    old = market.parties[role]
    common: dict[str, Any] = {"clock": market.clock, "random": market.random, "held": old.held}
    validator, store = market.tree.validator(market.clock()), market.stores[role]
    if isinstance(old, Cardholder):
        return replace(market, cardholder=Cardholder(old.credentials, market.card, validator, store, **common))
    if isinstance(old, Merchant):
        merchant = Merchant(old.credentials, validator, store, cert_pe=old._cert_pe, category=old.category, **common)
        return replace(market, merchant=merchant)
    assert isinstance(old, Gateway)
    gateway = Gateway(
        old.credentials,
        old.issuer,
        validator,
        store,
        token_key=bytes(32),
        acquirer_bin=old._acquirer_bin,
        card_message=old._card_message,
        **common,
    )
    gateway.token_keys = old.token_keys  # the key is configuration: it does not go with the process
    return replace(market, gateway=gateway)


# --- more parties ---------------------------------------------------------------------------------


# --- reading --------------------------------------------------------------------------------------


def read_error(message: Outgoing) -> ErrorTBS:
    """The body of a signed Error, without looking at the signature."""
    wire = unwrap(message.data)
    assert wire.type is None, "not an Error"
    signed = decode(Error, wire.body).signed_error
    assert signed is not None
    content = cms.ContentInfo.load(signed)["content"]["encap_content_info"]["content"].native
    return decode(ErrorTBS, content)


def assert_refused(reply: Reply, code: ErrorCode) -> ErrorTBS:
    """The message was refused with this code, and the sender is told so in a signed Error."""
    (event,) = reply.events
    assert (event.kind, event.code) == (EventKind.REFUSED, code), event
    (answer,) = reply.outgoing
    body = read_error(answer)
    assert body.error_code == code
    return body


def assert_dropped(reply: Reply, code: ErrorCode) -> None:
    """The message was refused with this code, and nobody is told."""
    (event,) = reply.events
    assert (event.kind, event.code) == (EventKind.REFUSED, code), event
    assert reply.outgoing == ()


# --- changing -------------------------------------------------------------------------------------
