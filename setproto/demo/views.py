"""What can be seen of a purchase: each message from outside, and what merchant and gateway made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pki.der import decode
from setproto.crypto.dual import Part
from setproto.market import Delivery, Market
from setproto.messages.common import Role
from setproto.messages.oids import ID_OI_DATA
from setproto.messages.payment import AuthResData, CapTokenData, EncB
from setproto.messages.purchase import PI, PURCHASE, OIData, PANData, PIOILink, PISeals, PReq
from setproto.messages.registry import AUTH_REQ, MESSAGES, PREQ
from setproto.reading import Found, Kind, Opener, Reader, mask_pan, open_wrapper
from setproto.roles.endpoint import seals_part

_PROTECTION = {message.name: message.operator.value for message in MESSAGES.values()}


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


@dataclass(frozen=True)
class Fact:
    """One thing to know about the purchase, as merchant and gateway know it."""

    about: str
    merchant: str
    gateway: str
    hidden: bool = False
    """Whether one of the two has it sealed only."""


def openers(market: Market) -> dict[Role, tuple[Opener, ...]]:
    """The keys with which each party opens what is sealed to it."""
    merchant, gateway = market.merchant, market.gateway
    return {
        Role.cardholder: (),
        Role.merchant: (Opener(merchant.exchange_key(), merchant.party),),
        Role.gateway: (Opener(gateway.exchange_key(), gateway.party), Opener(gateway.token_key, gateway.party)),
    }


def everyone(market: Market) -> tuple[Opener, ...]:
    """All keys there are."""
    return tuple(opener for keys in openers(market).values() for opener in keys)


def objects(data: bytes, keys: Iterable[Opener]) -> list[Found]:
    """Every object in a message, opened as far as these keys reach."""
    reader = Reader(tuple(keys))
    reader.message(data)
    return reader.found


def steps(market: Market, deliveries: Iterable[Delivery]) -> list[Step]:
    """The messages in order, each read with nobody's keys, with each party's and with all."""
    keys = openers(market)
    owners = {opener.key.identifier: role for role, mine in keys.items() for opener in mine}
    signers = {party.credentials.signer.certificate: role for role, party in market.parties.items()}
    result = []
    for n, delivery in enumerate(deliveries, 1):
        data, name = delivery.message.data, delivery.message.name
        found = objects(data, everyone(market))
        anyone = _readable(objects(data, ()))
        opens = {
            role: tuple(name for name in _readable(objects(data, mine)) if name not in anyone)
            for role, mine in keys.items()
        }
        signed = tuple(
            (entry.name, signers[entry.certificate])
            for entry in found
            if entry.kind is Kind.SIGNED and entry.certificate is not None
        )
        sealed = tuple(
            (entry.name, owners[entry.party], len(entry.data)) for entry in found if entry.kind is Kind.SEALED
        )
        result.append(
            Step(
                n,
                name,
                delivery.sender,
                delivery.message.to,
                len(data),
                _PROTECTION.get(name, "signed"),
                signed,
                sealed,
                anyone,
                {role: names for role, names in opens.items() if names},
            )
        )
    return result


def _readable(found: Iterable[Found]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.name for entry in found if entry.kind is Kind.PLAIN))


class _Notes:
    """What one party could read in all its messages: type name → octets, the first of each."""

    def __init__(self, market: Market, role: Role) -> None:
        self.found: list[Found] = []
        for delivery in market.deliveries:
            if role in (delivery.sender, delivery.message.to):
                self.found.extend(objects(delivery.message.data, openers(market)[role]))

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
    forwarded = decode(PI, decode(EncB, _body(market, AUTH_REQ.name)).baggage)
    oi_data = decode(OIData, merchant["OIData"])
    link, pan_data = decode(PIOILink, gateway["PI-OILink"]), decode(PANData, gateway["PANData"])
    answer = decode(AuthResData, merchant["AuthResTBS"])
    token = decode(CapTokenData, gateway["CapTokenData"])
    hoi_data = PURCHASE.digest(Part(ID_OI_DATA, preq.oi.oi_data, preq.oi.oi_salt), market.suite)
    hpi_data = market.gateway.open_pi(forwarded, oi_data.trans_ids).hpi_data
    here, there = (_seals(pi, market.suite) for pi in (preq.pi, forwarded))
    head, response = link.pi_head, answer.auth_res_payload.auth_header
    authorized = market.merchant.purchase(xid).authorization
    asked = "" if authorized is None else str(authorized.amount)
    code = response.auth_code.name
    return [
        Fact("card number", merchant.closed("PANData"), mask_pan(pan_data.pan), hidden=True),
        Fact("expiry, PANSecret", "in the same sealed object", "opened; not shown here", hidden=True),
        Fact("what was bought", f'"{order.decode()}"', f"only its digest {_short(head.inputs.hod)}", hidden=True),
        Fact("amount", asked, str(head.inputs.purch_amt)),
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
