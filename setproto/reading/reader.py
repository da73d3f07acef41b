"""The walker: a message, or whatever is in one, as a tree; and a list of every object met on the way.

Sealed objects are opened where one of the reader's keys fits.  The context that opening needs is built from the
header and the names, as the roles build it (``roles.endpoint.Endpoint.context``); only for a key whose owner is not
known, or an object without a message around it, is it the one that the object claims.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cryptography.x509 import ObjectIdentifier

from pki import CertificateError
from pki.der import DecodingFailure as NotDER
from pki.der import decode, encode
from setproto.crypto.cms import SecretKey, unseal
from setproto.crypto.dual import Part
from setproto.errors import DecryptionFailure, ProtocolError, SetError
from setproto.messages.error import Error
from setproto.messages.oids import (
    ID_CAP_TOKEN_DATA,
    ID_OI_DATA,
    ID_PAN_DATA,
    ID_PI_DATA,
    ID_PI_OI_LINK,
    ID_PI_SEALS,
)
from setproto.messages.payment import AuthResBaggage, CapReqData, CapTokenSeq, EncB
from setproto.messages.purchase import PI, PURCHASE, OIData, PANData, PIData, PIOILink, PISeals, PReq
from setproto.messages.registry import MessageType, Operator
from setproto.messages.wrapper import MAX_MESSAGE, Wire
from setproto.reading.certificates import certificate_node, crl_node, is_certificate, summary
from setproto.reading.cms import SealedObject, read_sealed, read_signed
from setproto.reading.found import BODIES, NAMES_OF, NOTES, Around, DualTBS, Found, Kind, NotReadable, open_wrapper
from setproto.reading.keys import Opener
from setproto.reading.values import Node, Show, octets, oid_name, value_node
from setproto.reading.values import fields as field_nodes
from setproto.roles import endpoint


class Reader:
    """Reads with the keys of whoever looks; ``found`` grows with every object met."""

    def __init__(self, openers: Sequence[Opener] = (), show: Show = Show.HIDDEN) -> None:
        self.openers = tuple(openers)
        self.show = show
        self.found: list[Found] = []

    # --- the ways in ------------------------------------------------------------------------------

    def read(self, data: bytes) -> Node:
        """The tree of whatever this is.  NotReadable if it is nothing known."""
        if not data:
            raise NotReadable("empty")
        with warnings.catch_warnings():
            # What the X.509 parser remarks about a damaged certificate is no news to whoever looks into it.
            warnings.simplefilter("ignore")
            return self._read(data)

    def _read(self, data: bytes) -> Node:
        for attempt in (self._cms, self.message, certificate_node, crl_node, self._note):
            try:
                node = attempt(data)
            except (SetError, CertificateError):
                continue
            if node is not None:
                return node
        raise NotReadable(f"not a message, certificate, CRL or CMS object ({len(data):,} octets)")

    def message(self, data: bytes) -> Node:
        """The tree of a wire message.  ProtocolError or NotReadable if it is none."""
        wire = open_wrapper(data)
        name = "Error" if wire.type is None else wire.type.name
        head = Node("header", "", field_nodes(wire.header, self.show, self._nested))
        return Node(name, f"{len(data):,} octets", (head, self._body(wire)))

    def _cms(self, data: bytes) -> Node | None:
        return self._signed("", data) or self._sealed("", data, None)

    def _note(self, data: bytes) -> Node | None:
        for of_type in (*dict.fromkeys(BODIES.values()), *NOTES):
            try:
                value: Any = decode(of_type, data, limit=MAX_MESSAGE)
            except NotDER:
                continue
            head = getattr(value, "head", None)
            if head is None or BODIES.get(head.type) is of_type:
                return self._value(of_type.__name__, value)
        return None

    # --- messages, by operator --------------------------------------------------------------------

    def _body(self, wire: Wire) -> Node:
        if wire.type is None:
            error = self._decode(Error, wire.body)
            return self._value("error", error)
        message: MessageType[Any] = wire.type
        if message.operator is Operator.PLAIN:
            return self._plain("body", message.body, wire.body)
        if message.operator is Operator.S:
            return self._signed("body", wire.body) or self._refuse(message)
        if message.operator is Operator.DUAL:
            return self._purchase(wire)
        if message.operator is Operator.ENC:
            around = self._around(wire, wire.body)
            return self._sealed("body", wire.body, around, message.content_type) or self._refuse(message)
        outer = self._decode(EncB, wire.body)
        around = self._around(wire, outer.enc)
        sealed = self._sealed("enc", outer.enc, around, message.content_type) or self._refuse(message)
        return Node("body", "EncB", (sealed, self._baggage(wire, outer.baggage, around)))

    def _baggage(self, wire: Wire, baggage: bytes, around: Around) -> Node:
        """What travels beside a sealed body: a payment instruction, or capture tokens."""
        of_type = wire.type.baggage if wire.type is not None else None
        if of_type is PI:
            pi = self._decode(PI, baggage)
            return Node("baggage", "PI", self._payment(pi, around.xid, around.suite, None))
        if of_type is AuthResBaggage:
            token = self._decode(AuthResBaggage, baggage).cap_token
            # Sealed by the gateway to itself, under the XID and RRPID of the authorisation that this answers.
            children = () if token is None else (self._sealed("cap_token", token, around, ID_CAP_TOKEN_DATA),)
            return Node("baggage", "AuthResBaggage", tuple(child for child in children if child is not None))
        body = self._last(CapReqData)
        tokens = []
        for number, token in enumerate(self._decode(CapTokenSeq, baggage).tokens):
            place = None
            if body is not None and number < len(body.cap_item_seq):
                item = body.cap_item_seq[number]
                # The gateway that the request is for made the token.
                place = Around(body.head.recipient, around.suite, item.trans_ids.xid, item.auth_rrpid)
            tokens.append(
                self._sealed(f"[{number}]", token, place, ID_CAP_TOKEN_DATA) or Node(f"[{number}]", octets(token))
            )
        return Node("baggage", "CapTokenSeq", tuple(tokens))

    def _purchase(self, wire: Wire) -> Node:
        """PReq: the order in clear, the payment sealed, one signature over both."""
        preq = self._decode(PReq, wire.body)
        oi_data = self._decode(OIData, preq.oi.oi_data)
        suite = oi_data.head.suite
        order = PURCHASE.digest(Part(ID_OI_DATA, preq.oi.oi_data, preq.oi.oi_salt), suite)
        digests = {ID_OI_DATA: order, ID_PI_DATA: preq.oi.hpi_data}
        payment = Node("pi", "PI", self._payment(preq.pi, oi_data.trans_ids.xid, suite, digests))
        details = (
            self._plain("oi_data", OIData, preq.oi.oi_data),
            Node("oi_salt", octets(preq.oi.oi_salt)),
            Node("hpi_data", octets(preq.oi.hpi_data)),
        )
        return Node("body", "PReq", (payment, Node("oi", "OI", details)))

    def _payment(
        self, pi: PI, xid: bytes | None, suite: str, digests: dict[ObjectIdentifier, bytes] | None
    ) -> tuple[Node, ...]:
        """A payment instruction; ``digests`` of the parts are those of the reader's side, if it has them."""
        seals = self._decode(PISeals, pi.seals)
        around = Around(seals.cardholder, suite, xid, seals.rrpid)
        first = len(self.found)
        sealed = [
            self._sealed(name, data, around, kind) or Node(name, octets(data))
            for name, kind, data in (
                ("sealed_pi", ID_PI_OI_LINK, seals.sealed_pi),
                ("sealed_pan", ID_PAN_DATA, seals.sealed_pan),
            )
        ]
        if digests is None:
            opened = {entry.name: entry.content for entry in self.found[first:] if entry.kind is Kind.SEALED}
            digests = self._payment_digests(opened.get("PI-OILink"), opened.get("PANData"), suite)
        content = None
        if digests is not None:
            seals_digest = PURCHASE.digest(endpoint.seals_part(pi, seals), suite)
            content = PURCHASE.to_be_signed({**digests, ID_PI_SEALS: seals_digest}, suite)
        head = tuple(self._value(name, getattr(seals, name)) for name in ("cardholder", "rrpid"))
        signature = self._signed("pi_signature", pi.pi_signature, content)
        return (
            Node("seals", "PISeals", (*head, *sealed)),
            signature or Node("pi_signature", octets(pi.pi_signature)),
        )

    def _payment_digests(
        self, link_der: bytes | None, pan_data_der: bytes | None, suite: str
    ) -> dict[ObjectIdentifier, bytes] | None:
        """The digests of order and payment as the gateway gets them, once it has opened both seals."""
        if link_der is None or pan_data_der is None:
            return None
        link, pan_data = self._decode(PIOILink, link_der), self._decode(PANData, pan_data_der)
        pi_data = encode(PIData(pi_head=link.pi_head, pan_data=pan_data))
        hpi_data = PURCHASE.digest(Part(ID_PI_DATA, pi_data, link.pi_salt), suite)
        return {ID_OI_DATA: link.hoi_data, ID_PI_DATA: hpi_data}

    # --- CMS objects ------------------------------------------------------------------------------

    def _signed(self, name: str, data: bytes, detached: bytes | None = None) -> Node | None:
        """A SignedData; None if it is none.  ``detached``: what it signs, where that is not inside."""
        read = read_signed(data)
        if read is None:
            return None
        title = oid_name(read.content_type)
        content = detached if read.content is None else read.content
        self.found.append(
            Found(Kind.SIGNED, title, data, content, read.signer, read.content is None, certificate=read.certificate)
        )
        by = "unknown" if read.certificate is None else summary(read.certificate)
        inside: tuple[Node, ...]
        if read.content is not None:
            inside = (self._content(read.content_type, read.content),)
        elif detached is not None:
            inside = (self._value("content", self._decode(DualTBS, detached)),)
        else:
            inside = (Node("content", "detached"),)
        algorithm = f"{oid_name(read.signature_algorithm)} with {oid_name(read.digest_algorithm)}"
        certificates = tuple(Node(f"[{number}]", summary(der)) for number, der in enumerate(read.certificates))
        details = (
            Node("signer", by),
            Node("algorithm", algorithm),
            Node("signature", octets(read.signature)),
            Node("certificates", f"{len(certificates)} items", certificates),
        )
        return Node(name or "SignedData", f"SignedData, {title}, {len(data):,} octets", (*inside, *details))

    def _sealed(
        self, name: str, data: bytes, around: Around | None, context_type: ObjectIdentifier | None = None
    ) -> Node | None:
        """An AuthEnvelopedData, opened if a key fits; None if it is none.

        ``context_type``: the type that its context has to name in this place.
        """
        read = read_sealed(data)
        if read is None:
            return None
        named = context_type or (None if read.context is None else read.context.type)
        title = "unknown content" if named is None else oid_name(named)
        content, context = self._open(data, read, around, named)
        self.found.append(Found(Kind.SEALED, title, data, content, read.recipient, context=context))
        bound = () if read.context is None else (self._value("context", read.context),)
        details = (Node("recipient", f"{read.recipient_kind}, key {octets(read.recipient)}"), *bound)
        if content is None:
            inside = Node("content", f"closed: {read.size:,} octets, AES-256-GCM")
        else:
            inside = self._content(named, content)
        return Node(
            name or "AuthEnvelopedData", f"AuthEnvelopedData, {title}, {len(data):,} octets", (*details, inside)
        )

    def _open(
        self, data: bytes, read: SealedObject, around: Around | None, named: ObjectIdentifier | None
    ) -> tuple[bytes | None, bytes]:
        """(content, context) under the first key that opens the object; (None, b"") if none does."""
        for opener in self.openers:
            shared = isinstance(opener.key, SecretKey)
            if opener.key.identifier != read.recipient:
                continue
            claimed = read.context
            if around is not None and opener.owner is not None and named is not None:
                place = replace(around, sender=opener.owner) if shared else around
                claimed = place.context(named, opener.owner)
            if claimed is None:
                continue
            context = encode(claimed)
            try:
                return unseal(data, opener.key, context=context).content, context
            except DecryptionFailure:
                continue
        return None, b""

    def _content(self, content_type: ObjectIdentifier | None, content: bytes) -> Node:
        node = self._signed("content", content)
        if node is not None:
            return node
        of_type = None if content_type is None else BODIES.get(content_type)
        if content_type is None or of_type is None:
            return Node("content", octets(content))
        return self._plain("content", of_type, content, oid_name(content_type))

    # --- values -----------------------------------------------------------------------------------

    def _plain(self, name: str, of_type: type, data: bytes, title: str = "") -> Node:
        value = self._decode(of_type, data)
        self.found.append(Found(Kind.PLAIN, title or of_type.__name__, data, data))
        return self._value(name, value)

    def _value(self, name: str, value: Any) -> Node:
        node = value_node(name, value, self.show, self._nested)
        return replace(node, text=type(value).__name__) if node.children and not node.text else node

    def _nested(self, name: str, data: bytes) -> Node | None:
        """Octets inside a value, where they are an object of their own."""
        if len(data) < 64 or data[:1] != b"\x30":
            return None
        if is_certificate(data):
            return Node(name, f"Certificate, {summary(data)}")
        node = self._signed(name, data) or self._sealed(name, data, None)
        if node is not None:
            return node
        for attempt in (self._message_inside, self._note):
            try:
                inner = attempt(data)
            except (ProtocolError, NotReadable):
                continue
            if inner is not None:
                return Node(name, f"{inner.name}, {len(data):,} octets", inner.children)
        return None

    def _message_inside(self, data: bytes) -> Node | None:
        return self.message(data)

    @staticmethod
    def _around(wire: Wire, enc: bytes) -> Around:
        sealed = read_sealed(enc)
        if wire.header.sender is None or sealed is None or sealed.context is None:
            raise NotReadable("a sealed message names its sender and its context")
        return Around(wire.header.sender, sealed.context.suite, wire.header.message_ids.xid, wire.header.rrpid)

    def _last(self, of_type: type[CapReqData]) -> CapReqData | None:
        """The body that was read last, if it is of this type."""
        for entry in reversed(self.found):
            if entry.kind is Kind.PLAIN:
                return self._decode(of_type, entry.data) if entry.name == NAMES_OF[of_type] else None
        return None

    @staticmethod
    def _decode(of_type: type[Any], data: bytes) -> Any:
        try:
            return decode(of_type, data, limit=MAX_MESSAGE)
        except NotDER as failure:
            raise NotReadable(str(failure)) from None

    @staticmethod
    def _refuse(message: MessageType[Any]) -> Node:
        raise NotReadable(f"{message.name}: the body is not {message.operator.value}")
