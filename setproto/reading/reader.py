"""The walker: a message, or whatever is in one, as a tree; and a list of every object met on the way.

Sealed objects are opened where one of the reader's keys fits.  The context that opening needs is built from what is
around them, header and names or the record they are kept in, as the roles build it (``reading.keys``).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from typing import Any, Final

from cryptography.x509 import ObjectIdentifier

from pki import CertificateError
from pki.der import DecodingFailure as NotDER
from pki.der import decode, encode
from setproto.crypto.cms import SecretKey, unseal
from setproto.crypto.dual import Part
from setproto.errors import DecryptionFailure, SetError
from setproto.messages.common import Role
from setproto.messages.error import Error
from setproto.messages.oids import ID_OI_DATA, ID_PAN_ONLY, ID_PI_DATA, ID_PI_SEALS
from setproto.messages.payment import (
    ACQ_BACK_ALG,
    AuthRevReqData,
    AuthRevResData,
    CapReqData,
    CapRevOrCredReqData,
    CapTokenSeq,
    EncB,
)
from setproto.messages.purchase import PI, PURCHASE, OIData, PANData, PIData, PIOILink, PISeals, PReq
from setproto.messages.registration import CA_ALG, CertReqData, CertResWire, KeySigned, SealedPair
from setproto.messages.registry import AUTH_REV_RES, REG_FORM_REQ, MessageType, Operator
from setproto.messages.wrapper import MAX_MESSAGE, Wire
from setproto.reading.certificates import bci_node, certificate_node, crl_node, is_certificate, summary
from setproto.reading.cms import SealedObject, read_sealed, read_signed
from setproto.reading.found import BODIES, NOTES, SEALED_FIELDS, Around, DualTBS, Found, Kind, NotReadable, open_wrapper
from setproto.reading.keys import AnyOpener, BackKeyOpener, CardMessageOpener
from setproto.reading.values import Node, Show, octets, oid_name, value_node
from setproto.reading.values import fields as field_nodes
from setproto.roles import endpoint
from setproto.roles.registration import account_kind

Within = tuple[Any, ...]
"""The values around a value, from the outside in."""
MAX_DEPTH: Final = 40
"""Values within values that are read: no message or record comes near, but octets can be made that would."""


class Reader:
    """Reads with the keys of whoever looks; ``found`` grows with every object met.

    It remembers what its owner would: keys that came in a payment instruction, and which authorisation a reversal
    is about, which the answer to the reversal does not say outside its seal.
    """

    def __init__(self, openers: Sequence[AnyOpener] = (), show: Show = Show.HIDDEN) -> None:
        self.openers = list(openers)
        self.show = show
        self.found: list[Found] = []
        self._reversals: dict[bytes | None, bytes] = {}
        """RRPID of an AuthRevReq → that of the authorisation."""

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
        for attempt in (self._cms, self.message, certificate_node, crl_node, bci_node, self._note):
            try:
                node = attempt(data)
            except (SetError, CertificateError):
                continue
            if node is not None:
                return node
        raise NotReadable(f"not a message, certificate, CRL or CMS object ({len(data):,} octets)")

    def message(self, data: bytes, within: Within = ()) -> Node:
        """The tree of a wire message.  ProtocolError or NotReadable if it is none."""
        wire = open_wrapper(data)
        name = "Error" if wire.type is None else wire.type.name
        head = Node("header", "", field_nodes(wire.header, self.show, self._special))
        return Node(name, f"{len(data):,} octets", (head, self._body(wire, within)))

    def _cms(self, data: bytes) -> Node | None:
        return self._signed("", data) or self._sealed("", data)

    def _note(self, data: bytes, within: Within = ()) -> Node | None:
        for of_type in (*dict.fromkeys(BODIES.values()), *NOTES):
            try:
                value: Any = decode(of_type, data, limit=MAX_MESSAGE)
            except NotDER:
                continue
            head = getattr(value, "head", None)
            if head is None or BODIES.get(head.type) is of_type:
                return self._value(of_type.__name__, value, within)
        return None

    # --- messages, by operator --------------------------------------------------------------------

    def _body(self, wire: Wire, within: Within) -> Node:
        if wire.type is None:
            return self._value("error", self._decode(Error, wire.body), within)
        message: MessageType[Any] = wire.type
        ids = wire.header.message_ids
        around = Around(wire.header.sender, ids.xid, wire.header.rrpid)
        within = (*within, around)
        if message.operator is Operator.PLAIN:
            return self._plain("body", message.body, wire.body, within)
        if message.operator is Operator.S:
            return self._signed("body", wire.body, within) or self._refuse(message)
        if message.operator is Operator.DUAL:
            return self._purchase(wire, within)
        if message.operator is Operator.SELF:
            return self._key_signed("body", wire.body, message.body, within) or self._refuse(message)
        if message.operator is Operator.ENCK:
            return self._cert_res(message, wire, within)
        if wire.header.sender is None:
            raise NotReadable("a sealed message names its sender")
        if message.operator in (Operator.EXH, Operator.ENCX):
            return self._pair(message, wire, within)
        if message.operator is Operator.ENC:
            return self._sealed("body", wire.body, within, message.content_type) or self._refuse(message)
        outer = self._decode(EncB, wire.body)
        first = len(self.found)
        sealed = self._sealed("enc", outer.enc, within, message.content_type) or self._refuse(message)
        body = self._body_since(first, message)
        if message is AUTH_REV_RES:  # its CapToken is that of the authorisation, not of this request
            rrpid = body.auth_rrpid if isinstance(body, AuthRevResData) else self._reversals.get(around.rrpid)
            around = replace(around, rrpid=rrpid)
        if message.baggage is None:
            raise NotReadable(f"{message.name}: no baggage is known")
        baggage = self._value("baggage", self._decode(message.baggage, outer.baggage), (*within, around, body))
        return Node("body", "EncB", (sealed, baggage))

    def _body_since(self, first: int, message: MessageType[Any]) -> Any:
        """The body of this message, if it was opened since that place in ``found``; or None."""
        title = oid_name(message.content_type)
        bodies = (entry.data for entry in self.found[first:] if entry.kind is Kind.PLAIN and entry.name == title)
        data = next(bodies, None)
        return None if data is None else self._decode(message.body, data)

    def _pair(self, message: MessageType[Any], wire: Wire, within: Within) -> Node:
        """RegFormReq, CertReq: the message, and account data in a seal of its own."""
        pair = self._decode(SealedPair, wire.body)
        sealed = self._sealed("sealed", pair.sealed, within, message.content_type) or self._refuse(message)
        if pair.sealed_account is None:
            return Node("body", "SealedPair", (sealed,))
        role = Role.cardholder if wire.header.sender is None else wire.header.sender.role
        kind = ID_PAN_ONLY if message is REG_FORM_REQ else account_kind(role)
        account = self._sealed("sealed_account", pair.sealed_account, within, kind) or self._refuse(message)
        return Node("body", "SealedPair", (sealed, account))

    def _cert_res(self, message: MessageType[Any], wire: Wire, within: Within) -> Node:
        """CertRes: signed, or signed and sealed under a key that the applicant made."""
        body = self._decode(CertResWire, wire.body)
        if body.signed is not None:
            inside = self._signed("signed", body.signed, within)
        else:
            inside = self._sealed("sealed", body.sealed or b"", within, message.content_type)
        return Node("body", "CertRes", (inside or self._refuse(message),))

    def _key_signed(self, name: str, data: bytes, of_type: type, within: Within) -> Node | None:
        """What an applicant signs with the key to be certified, or one that is; None if it is none of that."""
        try:
            signed = decode(KeySigned, data, limit=MAX_MESSAGE)
        except NotDER:
            return None
        nodes = [self._plain("content", of_type, signed.content, within)]
        for field in ("by_new_key", "by_certified_key"):
            signature = getattr(signed, field)
            if signature is not None:
                nodes.append(
                    self._signed(field, signature, (*within, signed), signed.content) or Node(field, octets(signature))
                )
        return Node(name, "KeySigned", tuple(nodes))

    def _purchase(self, wire: Wire, within: Within) -> Node:
        """PReq: the order in clear, the payment sealed, one signature over both."""
        preq = self._decode(PReq, wire.body)
        oi_data = self._decode(OIData, preq.oi.oi_data)
        suite = oi_data.head.suite
        order = PURCHASE.digest(Part(ID_OI_DATA, preq.oi.oi_data, preq.oi.oi_salt), suite)
        digests = {ID_OI_DATA: order, ID_PI_DATA: preq.oi.hpi_data}
        payment = Node("pi", "PI", self._payment(preq.pi, (*within, oi_data), (digests, suite)))
        details = (
            self._plain("oi_data", OIData, preq.oi.oi_data, within),
            Node("oi_salt", octets(preq.oi.oi_salt)),
            Node("hpi_data", octets(preq.oi.hpi_data)),
        )
        return Node("body", "PReq", (payment, Node("oi", "OI", details)))

    def _payment(
        self, pi: PI, within: Within, known: tuple[dict[ObjectIdentifier, bytes], str] | None = None
    ) -> tuple[Node, ...]:
        """A payment instruction; ``known``: digests of its parts and suite, where the reader's side has them."""
        seals = self._decode(PISeals, pi.seals)
        first = len(self.found)
        sealed = self._value("seals", seals, within)
        if known is None:
            opened = {entry.name: entry.content for entry in self.found[first:] if entry.kind is Kind.SEALED}
            known = self._payment_digests(opened.get("PI-OILink"), opened.get("PANData"))
        content = None
        if known is not None:
            digests, suite = known
            seals_digest = PURCHASE.digest(endpoint.seals_part(pi, seals), suite)
            content = PURCHASE.to_be_signed({**digests, ID_PI_SEALS: seals_digest}, suite)
        signature = self._signed("pi_signature", pi.pi_signature, within, content)
        return (sealed, signature or Node("pi_signature", octets(pi.pi_signature)))

    def _payment_digests(
        self, link_der: bytes | None, pan_data_der: bytes | None
    ) -> tuple[dict[ObjectIdentifier, bytes], str] | None:
        """The digests of order and payment as the gateway gets them, once it has opened both seals."""
        if link_der is None or pan_data_der is None:
            return None
        link, pan_data = self._decode(PIOILink, link_der), self._decode(PANData, pan_data_der)
        pi_data, suite = encode(PIData(pi_head=link.pi_head, pan_data=pan_data)), link.pi_head.head.suite
        hpi_data = PURCHASE.digest(Part(ID_PI_DATA, pi_data, link.pi_salt), suite)
        return {ID_OI_DATA: link.hoi_data, ID_PI_DATA: hpi_data}, suite

    def _tokens(self, name: str, tokens: CapTokenSeq, within: Within) -> Node:
        """One token per item of the request: whose authorisation it is for, the item in its place says."""
        items: Sequence[Any] = ()
        match within[-1] if within else None:
            case CapReqData() as body:
                items = body.cap_item_seq
            case CapRevOrCredReqData() as body:
                items = body.item_seq
            case AuthRevReqData() as body:
                items = (body,)
        content_type = SEALED_FIELDS[CapTokenSeq, "tokens"]
        nodes = []
        for number, token in enumerate(tokens.tokens):
            # Without its item nothing is known about a token: the header is the request's, not the authorisation's.
            place: Within = (items[number],) if number < len(items) else ()
            title = f"[{number}]"
            nodes.append(self._sealed(title, token, place, content_type) or Node(title, octets(token)))
        return Node(name, "CapTokenSeq", tuple(nodes))

    # --- CMS objects ------------------------------------------------------------------------------

    def _signed(self, name: str, data: bytes, within: Within = (), detached: bytes | None = None) -> Node | None:
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
            inside = (self._content(read.content_type, read.content, (*within, read)),)
        elif detached is not None and within and isinstance(within[-1], KeySigned):
            inside = (Node("content", "detached: the request beside it"),)
        elif detached is not None:
            inside = (self._value("content", self._decode(DualTBS, detached), within),)
        else:
            inside = (Node("content", "detached"),)
        algorithm = f"{oid_name(read.signature_algorithm)} with {oid_name(read.digest_algorithm)}"
        certificates = tuple(Node(f"[{number}]", summary(der)) for number, der in enumerate(read.certificates))
        details = (
            Node("signer", by),
            Node("algorithm", algorithm),
            Node("signature", octets(read.signature)),
            Node("certificates", f"{len(certificates)} items", certificates),
            *((Node("crls", f"{len(read.revocation)} items"),) if read.revocation else ()),
        )
        return Node(name or "SignedData", f"SignedData, {title}, {len(data):,} octets", (*inside, *details))

    def _sealed(
        self, name: str, data: bytes, within: Within = (), expected: ObjectIdentifier | None = None
    ) -> Node | None:
        """An AuthEnvelopedData, opened if a key fits; None if it is none.

        ``expected``: the type that its context has to name in this place.
        """
        read = read_sealed(data)
        if read is None:
            return None
        named = expected or (None if read.context is None else read.context.type)
        title = "unknown content" if named is None else oid_name(named)
        content, context = self._open(data, read, within, named)
        self.found.append(Found(Kind.SEALED, title, data, content, read.recipient, context=context))
        bound = () if read.context is None else (self._value("context", read.context, within),)
        details = (Node("recipient", f"{read.recipient_kind}, key {octets(read.recipient)}"), *bound)
        if content is None:
            inside = Node("content", f"closed: {read.size:,} octets, AES-256-GCM")
        else:
            inside = self._content(named, content, (*within, read))
        return Node(
            name or "AuthEnvelopedData", f"AuthEnvelopedData, {title}, {len(data):,} octets", (*details, inside)
        )

    def _open(
        self, data: bytes, read: SealedObject, within: Within, named: ObjectIdentifier | None
    ) -> tuple[bytes | None, bytes]:
        """(content, context) under the first key that opens the object; (None, b"") if none does."""
        around = place_of(within)
        for opener in self.openers:
            if opener.key.identifier != read.recipient:
                continue
            context = opener.context(around, named, read.context)
            if context is None:
                continue
            try:
                return unseal(data, opener.key, context=context).content, context
            except DecryptionFailure:
                continue
        return None, b""

    def _content(self, content_type: ObjectIdentifier | None, content: bytes, within: Within) -> Node:
        if len(within) > MAX_DEPTH:
            return Node("content", octets(content))
        node = self._signed("content", content, within)
        if node is not None:
            return node
        of_type = None if content_type is None else BODIES.get(content_type)
        if content_type is None or of_type is None:
            return Node("content", octets(content))
        if of_type is CertReqData:
            node = self._key_signed("content", content, of_type, within)
            if node is not None:
                return node
        return self._plain("content", of_type, content, within, oid_name(content_type))

    # --- values -----------------------------------------------------------------------------------

    def _plain(self, name: str, of_type: type, data: bytes, within: Within, title: str = "") -> Node:
        value = self._decode(of_type, data)
        self.found.append(Found(Kind.PLAIN, title or of_type.__name__, data, data))
        self._remember(value)
        return self._value(name, value, within)

    def _remember(self, value: Any) -> None:
        match value:
            case AuthRevReqData():
                self._reversals[value.auth_rev_rr_tags.rrpid] = value.auth_rrpid
            case CertReqData():
                back_key = value.ca_back_key_data
                if back_key is not None and back_key.ca_alg_id == CA_ALG:
                    key = SecretKey(back_key.ca_key, value.lid_ca)
                    self._know(BackKeyOpener(key, value.head.sender, value.head.suite))
            case PIOILink():
                back = value.pi_head.acq_back_key_data
                if back is not None and back.acq_back_alg == ACQ_BACK_ALG:
                    self._know(CardMessageOpener.of(back, value.pi_head.trans_ids.xid))

    def _know(self, opener: BackKeyOpener | CardMessageOpener) -> None:
        """Remember a key that came in a message."""
        if all(known.key.private_key != opener.key.private_key for known in self.openers):
            self.openers.append(opener)

    def _value(self, name: str, value: Any, within: Within = ()) -> Node:
        node = value_node(name, value, self.show, self._special, within)
        return replace(node, text=type(value).__name__) if node.children and not node.text else node

    def _special(self, name: str, value: Any, within: Within) -> Node | None:
        """What is an object of its own, or holds some."""
        if len(within) > MAX_DEPTH:
            return Node(name, "nested too deeply") if is_dataclass(value) else None
        if isinstance(value, PI):
            return Node(name, "PI", self._payment(value, within))
        if isinstance(value, CapTokenSeq):
            return self._tokens(name, value, within)
        return self._nested(name, value, within) if isinstance(value, bytes) else None

    def _nested(self, name: str, data: bytes, within: Within) -> Node | None:
        """Octets inside a value, where they are an object of their own."""
        if len(data) < 64 or data[:1] != b"\x30":
            return None
        if is_certificate(data):
            return Node(name, f"Certificate, {summary(data)}")
        expected = SEALED_FIELDS.get((type(within[-1]), name)) if within else None
        node = self._signed(name, data, within) or self._sealed(name, data, within, expected)
        if node is not None:
            return node
        for attempt in (self.message, self._note):
            try:
                inner = attempt(data, within)
            except SetError:
                continue
            if inner is not None:
                return Node(name, f"{inner.name}, {len(data):,} octets", inner.children)
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


def place_of(within: Within) -> Around:
    """Where an object stands, from the values around it: the innermost that say something count."""
    place = Around()
    for value in within:
        trans_ids = getattr(value, "trans_ids", None)
        xid = getattr(value, "xid", None) if trans_ids is None else trans_ids.xid
        rrpid = getattr(value, "auth_rrpid", None)
        match value:
            case Around():
                place = value
            case PISeals():
                place = replace(place, sender=value.cardholder, rrpid=value.rrpid)
            case _:
                place = replace(place, xid=xid or place.xid, rrpid=rrpid or place.rrpid)
    return place
