"""A cardholder that lies: it signs and seals, with its real keys, what no honest wallet would."""

from __future__ import annotations

import random
from typing import Any

from pki import CertificateKind
from pki.der import DecodingFailure, decode, encode, tlv
from setproto.card import trans_stain
from setproto.crypto.cms import Recipient, seal
from setproto.crypto.dual import Part
from setproto.market import Market
from setproto.messages.common import SW_IDENT, Role
from setproto.messages.oids import ID_OI_DATA, ID_PAN_DATA, ID_PI_DATA, ID_PI_OI_LINK, ID_PI_SEALS
from setproto.messages.payment import ACQ_BACK_ALG
from setproto.messages.purchase import (
    OI,
    PI,
    PURCHASE,
    AcqBackKeyData,
    OIData,
    PANData,
    PIHead,
    PIInputs,
    PISeals,
    PReq,
)
from setproto.messages.registry import PREQ
from setproto.messages.wrapper import MessageIDs, wrap
from setproto.roles.cardholder import Shop, hod_digest
from setproto.roles.ports import EventKind, Outgoing
from tests.faults.fuzz import mutation
from tests.faults.fuzz.captured import NOW, Case, bank_of, bodies, sound, well_formed


class Wallet:
    """Stands between PInitRes and PReq of one order, for ever."""

    def __init__(self, market: Market | None = None, **order: Any) -> None:
        self.market = market or Market.open("p256", now=NOW)
        agreed = self.market.order("EUR 42.00", b"one book", **order)
        self.order = agreed
        lid_c, first = self.market.cardholder.start(agreed)
        self.market.deliver(Role.cardholder, first)
        shop = self.market.cardholder.purchase(lid_c).shop
        assert shop is not None
        self.shop: Shop = shop
        self.merchant = self._case(Role.merchant)
        self.gateway = self._case(Role.gateway)

    def _case(self, role: Role) -> Case:
        endpoint, store = self.market.parties[role], self.market.stores[role]
        return Case(role.name, b"", endpoint, self.market, dict(store._tables), bank_of(self.market))

    def preq(self, rng: random.Random, part: str, change: Any = None) -> bytes:
        """A PReq of which ``part`` was damaged, and which is otherwise signed and sealed as it should be.

        ``change``: what to do to the part, instead of something random.
        """
        damage = change or (lambda octets: mutation.inner(rng, octets, bodies()))

        def maybe(name: str, octets: bytes) -> bytes:
            hit = part == name or (part == "everything" and rng.random() < 0.4)
            return damage(octets) if hit else octets

        market, shop, me = self.market, self.shop, self.market.cardholder
        rrpid, chall_c, od_salt = (rng.randbytes(size) for size in (20, 20, 32))
        over = me.header(rrpid, MessageIDs.of(shop.trans_ids))
        cert_pe = me.validated(shop.cert_pe, CertificateKind.GATEWAY_EXCHANGE, shop.pe_chain)
        order = self.order
        hod = hod_digest(order.description, order.amount, od_salt, order.install_recur_data)
        oi_data = OIData(
            head=me.head(PREQ.content_type, shop.merchant, over),
            trans_ids=shop.trans_ids,
            rrpid=rrpid,
            chall_c=chall_c,
            hod=hod,
            od_salt=od_salt,
            chall_m=shop.chall_m,
            brand_id=me.party.brand,
            merchant_id=shop.merchant,
            gateway_id=shop.gateway,
            pe_thumb=cert_pe.thumbprint,
        )
        pi_head = PIHead(
            head=me.head(ID_PI_DATA, shop.gateway, None),
            trans_ids=shop.trans_ids,
            inputs=PIInputs(hod=hod, purch_amt=order.amount),
            merchant_id=shop.merchant,
            gateway_id=shop.gateway,
            pe_thumb=cert_pe.thumbprint,
            trans_stain=trans_stain(shop.trans_ids.xid, market.card.card_secret),
            sw_ident=SW_IDENT,
            install_recur_data=order.install_recur_data,
            acq_back_key_data=AcqBackKeyData(acq_back_alg=ACQ_BACK_ALG, acq_back_key=rng.randbytes(32)),
        )
        pan_data = PANData.of(market.card.card, market.card.pan_secret, rng.randbytes(32))
        head, account = maybe("pi_head", encode(pi_head)), maybe("pan_data", encode(pan_data))
        order_part = Part(ID_OI_DATA, maybe("oi_data", encode(oi_data)), rng.randbytes(32))
        payment = Part(ID_PI_DATA, tlv(0x30, head, account), rng.randbytes(32))
        hoi_data = PURCHASE.digest(order_part, me.suite)
        link = maybe("pi_oi_link", tlv(0x30, head, tlv(0x04, payment.salt), tlv(0x04, hoi_data)))
        to, xid = Recipient(cert_pe), shop.trans_ids.xid
        seals = PISeals(
            cardholder=me.party,
            rrpid=rrpid,
            sealed_pi=seal(link, to, context=me.context(ID_PI_OI_LINK, me.party, shop.gateway, xid, rrpid)),
            sealed_pan=seal(account, to, context=me.context(ID_PAN_DATA, me.party, shop.gateway, xid, rrpid)),
        )
        sealed = Part(ID_PI_SEALS, maybe("seals", encode(seals)), rrpid)
        signed = PURCHASE.sign(me.credentials.signer, (payment, order_part, sealed), certificates=me.credentials.chain)
        preq = PReq(
            pi=PI(seals=sealed.content, pi_signature=signed.signature),
            oi=OI(oi_data=order_part.content, oi_salt=order_part.salt, hpi_data=signed.digests[ID_PI_DATA]),
        )
        return wrap(PREQ, encode(preq), over)

    def deliver(self, preq: bytes) -> list[EventKind]:
        """To the merchant, and what it makes of it to the gateway.  AssertionError as for a case."""
        reply = self.merchant.to.handle(preq)
        kinds = [event.kind for event in reply.events]
        try:
            if EventKind.REFUSED in kinds:
                assert self.merchant.to.store._tables == self.merchant.tables  # type: ignore[attr-defined]
            for message in reply.outgoing:
                well_formed(message)
                if message.name == "AuthReq":
                    kinds += [event.kind for event in self._authorize(message).events]
        finally:
            self.merchant.restore()
        return kinds

    def _authorize(self, message: Outgoing) -> Any:
        reply = self.gateway.deliver(message.data)
        sound(self.market)
        return reply


def decodes(cls: type, octets: bytes) -> bool:
    """Whether the damage left something that can be read."""
    try:
        decode(cls, octets)
    except DecodingFailure:
        return False
    return True
