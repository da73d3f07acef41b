"""What can be seen of a purchase: each message from outside, and what merchant and gateway made of them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pki import subject_key_identifier
from pki.der import decode
from setproto.amounts import CurrencyAmount, Ratio
from setproto.crypto.cms import SecretKey
from setproto.crypto.dual import Part
from setproto.errors import ErrorCode
from setproto.market import Delivery, Market
from setproto.messages import codes
from setproto.messages.common import Role
from setproto.messages.error import ErrorTBS
from setproto.messages.oids import ID_OI_DATA
from setproto.messages.payment import AuthResData, CapTokenData, EncB, PaymentInstruction
from setproto.messages.purchase import PI, PURCHASE, OIData, PANData, PIOILink, PISeals, PReq
from setproto.messages.registry import AUTH_REQ, MESSAGES, PREQ, RESPONSES
from setproto.reading import (
    AnyOpener,
    CardMessageOpener,
    Found,
    Kind,
    Opener,
    Reader,
    TokenOpener,
    mask_pan,
    open_wrapper,
)
from setproto.reading.values import oid_name
from setproto.roles import cardholder
from setproto.roles.endpoint import seals_part
from setproto.roles.gateway.instruction import open_pi

_PROTECTION: Final = {message.name: message.operator.value for message in MESSAGES.values()}
_TITLES: Final = {message.name: oid_name(message.content_type) for message in MESSAGES.values()}


@dataclass(frozen=True)
class Step:
    """One message on the wire."""

    n: int
    name: str
    sender: Role
    recipient: Role
    size: int
    protection: str
    """The operator, as the registry has it."""
    signed: tuple[tuple[str, Role], ...]
    """(what, by whom) of every signature in the message, nested ones included."""
    sealed: tuple[tuple[str, Role, int], ...]
    """(what, for whom, octets of the sealed object)."""
    anyone: tuple[str, ...]
    """What is read without any key."""
    opens: Mapping[Role, tuple[str, ...]]
    """What else a party reads, with its keys."""
    said: tuple[str, ...] = ()
    """The codes of an answer, each with the amount or the share that it is about."""
    arrived: bool = True
    """Whether it got to its recipient."""
    again: int | None = None
    """The number of the earlier message of which it is a repetition, octet for octet."""


@dataclass(frozen=True)
class Fact:
    """One thing to know about the purchase, as merchant and gateway know it."""

    about: str
    merchant: str
    gateway: str
    hidden: bool = False
    """Whether one of the two has it sealed only."""


def openers(market: Market) -> dict[Role, tuple[AnyOpener, ...]]:
    """The keys with which each party opens what is sealed to it."""
    merchant, gateway = market.merchant, market.gateway
    return {
        Role.cardholder: tuple(_back_keys(market)),
        Role.merchant: (Opener(merchant.exchange_key(), merchant.party),),
        Role.gateway: (
            Opener(gateway.exchange_key(), gateway.party),
            *(TokenOpener(key, gateway.party, gateway.suite) for key in token_keys(market)),
        ),
    }


def token_keys(market: Market) -> tuple[SecretKey, ...]:
    """The keys under which the gateway seals to itself."""
    keys = market.gateway.token_keys
    return (keys.capture, keys.authorization, keys.account)


def _back_keys(market: Market) -> Iterator[AnyOpener]:
    """What the cardholder remembers for messages of the acquirer."""
    for (table, _), value in market.stores[Role.cardholder].dump().items():
        record = decode(cardholder.Purchase, value) if table == cardholder.PURCHASES else None
        if record is not None and record.ordered is not None and record.shop is not None:
            yield CardMessageOpener(SecretKey(record.ordered.back_key, record.shop.trans_ids.xid))


def everyone(market: Market) -> tuple[AnyOpener, ...]:
    """All keys there are."""
    return tuple(opener for keys in openers(market).values() for opener in keys)


def objects(data: bytes, reader: Reader) -> list[Found]:
    """Every object in a message, opened as far as a reader's keys reach."""
    first = len(reader.found)
    reader.message(data)
    return reader.found[first:]


def steps(market: Market, deliveries: Iterable[Delivery]) -> list[Step]:
    """The messages in order, each read with nobody's keys, with each party's and with all.

    Whatever is signed is by somebody here, and whatever is sealed opens with all keys: KeyError or ValueError if not.
    """
    keys = openers(market)
    owners = {opener.key.identifier: role for role, mine in keys.items() for opener in mine}
    signers = {
        subject_key_identifier(party.credentials.signer.certificate): role for role, party in market.parties.items()
    }
    readers = {role: Reader(mine) for role, mine in keys.items()}
    nobody, all_of_them = Reader(), Reader(everyone(market))
    earlier: dict[bytes, int] = {}
    result = []
    for n, delivery in enumerate(deliveries, 1):
        data, name = delivery.message.data, delivery.message.name
        found = objects(data, all_of_them)
        closed = [entry.name for entry in found if entry.kind is Kind.SEALED and entry.content is None]
        if closed:
            raise ValueError(f"{name}: {', '.join(closed)} does not open")
        anyone = _readable(objects(data, nobody))
        opens = {
            role: tuple(name for name in _readable(objects(data, reader)) if name not in anyone)
            for role, reader in readers.items()
        }
        result.append(
            Step(
                n,
                name,
                delivery.sender,
                delivery.to,
                len(data),
                _PROTECTION.get(name, "signed"),
                tuple((entry.name, signers[entry.party]) for entry in found if entry.kind is Kind.SIGNED),
                tuple((e.name, owners[e.party], len(e.data)) for e in found if e.kind is Kind.SEALED),
                anyone,
                {role: names for role, names in opens.items() if names},
                _said(name, found),
                delivery.arrived,
                earlier.get(data),
            )
        )
        earlier.setdefault(data, n)
    return result


_ANSWERS: Final = {message.name: message for message in RESPONSES.values()}
_CODES: Final = (
    codes.CompletionCode,
    codes.AuthCode,
    codes.CapCode,
    codes.AuthRevCode,
    codes.CapRevOrCredCode,
    codes.PCertCode,
    codes.BAStatus,
    codes.TransmissionStatus,
    codes.AcqCardCode,
)


def _said(name: str, found: Iterable[Found]) -> tuple[str, ...]:
    """What an answer says; nothing for a request."""
    if name not in _ANSWERS:
        return tuple(
            ErrorCode(decode(ErrorTBS, entry.content).error_code).name
            for entry in found
            if name == "Error" and entry.kind is Kind.SIGNED and entry.content is not None
        )
    answer = _ANSWERS[name]
    inside = next(
        entry.content
        for entry in found
        if entry.kind is Kind.SIGNED and entry.content is not None and entry.name == _TITLES[name]
    )
    return tuple(_codes_in(decode(answer.body, inside)))


def _codes_in(value: Any) -> Iterator[str]:
    """Every code in a value, with the amount or the share beside it."""
    if isinstance(value, list):
        for item in value:
            yield from _codes_in(item)
    if not dataclasses.is_dataclass(value):
        return
    parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    about = next((_about(part) for part in parts if isinstance(part, CurrencyAmount | Ratio)), "")
    for part in parts:
        if isinstance(part, enum.IntEnum) and isinstance(part, _CODES):
            yield f"{part.name}{about}"
        else:
            yield from _codes_in(part)


def _about(part: CurrencyAmount | Ratio) -> str:
    return f" {part}" if isinstance(part, CurrencyAmount) else f" {part.numerator}/{part.denominator}"


def _readable(found: Iterable[Found]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.name for entry in found if entry.kind is Kind.PLAIN))


class _Notes:
    """What one party could read in all its messages: type name → octets, the first of each."""

    def __init__(self, market: Market, role: Role) -> None:
        reader = Reader(openers(market)[role])
        self.found = reader.found
        for delivery in market.deliveries:
            if role in (delivery.sender, delivery.to):
                reader.message(delivery.message.data)

    def __getitem__(self, name: str) -> bytes:
        return next(entry.data for entry in self.found if entry.kind is Kind.PLAIN and entry.name == name)

    def closed(self, name: str) -> str:
        """How an object looks to a party that cannot open it."""
        entry = next(entry for entry in self.found if entry.kind is Kind.SEALED and entry.name == name)
        if entry.content is not None:
            raise ValueError(f"{name} is open here")
        return f"sealed: {len(entry.data):,} octets that it cannot open"


def facts(market: Market, xid: bytes, order: bytes) -> list[Fact]:
    """Merchant and gateway side by side, every value out of what each of them decrypted or computed.

    ``order``: the description that the merchant noted when the order was made.
    """
    merchant, gateway = _Notes(market, Role.merchant), _Notes(market, Role.gateway)
    preq = decode(PReq, _body(market, PREQ.name))
    forwarded = decode(PaymentInstruction, decode(EncB, _body(market, AUTH_REQ.name)).baggage).pi
    if forwarded is None:
        raise ValueError("the first AuthReq of a purchase carries the PI")
    oi_data = decode(OIData, merchant["OIData"])
    link, pan_data = decode(PIOILink, gateway["PI-OILink"]), decode(PANData, gateway["PANData"])
    answer = decode(AuthResData, merchant["AuthResTBS"])
    token = decode(CapTokenData, gateway["CapTokenData"])
    hoi_data = PURCHASE.digest(Part(ID_OI_DATA, preq.oi.oi_data, preq.oi.oi_salt), market.suite)
    hpi_data = open_pi(market.gateway, forwarded, oi_data.trans_ids).hpi_data
    here, there = (_seals(pi, market.suite) for pi in (preq.pi, forwarded))
    head, response = link.pi_head, answer.auth_res_payload.auth_header
    [authorized] = market.merchant.purchase(xid).authorizations
    code = response.auth_code.name
    return [
        Fact("card number", merchant.closed("PANData"), mask_pan(pan_data.pan), hidden=True),
        Fact("expiry, PANSecret", "in the same sealed object", "opened; not shown here", hidden=True),
        Fact("what was bought", f'"{order.decode()}"', f"only its digest {_short(head.inputs.hod)}", hidden=True),
        Fact("amount", str(authorized.amount), str(head.inputs.purch_amt)),
        Fact("cardholder", oi_data.head.sender.name, head.head.sender.name),
        Fact("paid to", oi_data.merchant_id.name, head.merchant_id.name),
        Fact("paid through", oi_data.gateway_id.name, head.gateway_id.name),
        Fact("digest of order", f"{_short(hoi_data)} computed", _given(link.hoi_data, hoi_data)),
        Fact("digest of payment", _given(preq.oi.hpi_data, hpi_data), f"{_short(hpi_data)} computed"),
        Fact("digest of seals", f"{_short(here)} computed", f"{_short(there)} computed"),
        Fact("authorisation", f"{code}, {response.auth_amt}", f"{code}, {token.auth_amt}"),
        Fact("capture token", merchant.closed("CapTokenData"), f"its own, for {token.merchant_id}", hidden=True),
    ]


def _body(market: Market, name: str) -> bytes:
    """The body of a message as it travelled."""
    return open_wrapper(next(d.message.data for d in market.deliveries if d.message.name == name)).body


def _seals(pi: PI, suite: str) -> bytes:
    """The digest of the sealed objects, which both sides see."""
    return PURCHASE.digest(seals_part(pi, decode(PISeals, pi.seals)), suite)


def _short(digest: bytes) -> str:
    return digest.hex()[:12] + "…"


def _given(digest: bytes, computed: bytes) -> str:
    """A digest that came from the other side, next to the one that this side's counterpart computed."""
    return f"{_short(digest)} received; {'the same' if digest == computed else 'ANOTHER'}"
