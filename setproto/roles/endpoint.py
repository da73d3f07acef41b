"""What every role does with every message: §4.1 of set-protocol.md, once.

:class:`Endpoint` protects bodies on the way out and, on the way in, opens, verifies and checks them in one fixed
order, as the entry in ``messages.registry`` says.  What comes out of :meth:`Endpoint.receive` is a
:class:`Received`: its body was signed by the party that it names, for this party, in this suite and version, and
agrees with the header.  Role modules see nothing else, so the processing rules in them start from verified values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from cryptography import x509

from pki import CertificateError, CertificateKind, PathValidator, ValidatedCertificate, thumbprint
from pki.der import DecodingFailure as NotDER
from pki.der import decode, encode, sequence
from setproto.crypto.cms import Recipient, RecipientKey, Signer, seal, unseal, verify
from setproto.crypto.digests import digest, equal
from setproto.crypto.dual import Part, View
from setproto.errors import (
    CertificateRefused,
    DecodingFailure,
    ErrorCode,
    ProtocolError,
    RRPIDConflict,
    SignatureFailure,
    WrongRecipient,
)
from setproto.messages.common import VERSION, BodyHead, PartyID, Role, SealContext, Thumbs, TransIDs, unknown_critical
from setproto.messages.error import BAD_WRAPPER_LIMIT, Error, ErrorTBS
from setproto.messages.oids import ID_ERROR_TBS, ID_OI_DATA, ID_PI_DATA, ID_PI_SEALS
from setproto.messages.payment import EncB
from setproto.messages.purchase import PI, PURCHASE, PISeals, PReq
from setproto.messages.registry import MessageType, Operator
from setproto.messages.wrapper import MessageHeader, MessageIDs, Wire, check_date, header, header_digest, unwrap, wrap
from setproto.roles.ports import Clock, Event, EventKind, Outgoing, RandomBytes, Reply, Store, Transaction

B = TypeVar("B")

SIGNATURE_KINDS = {
    Role.cardholder: CertificateKind.CARDHOLDER_SIGNATURE,
    Role.merchant: CertificateKind.MERCHANT_SIGNATURE,
    Role.gateway: CertificateKind.GATEWAY_SIGNATURE,
}
EXCHANGE_KINDS = {
    Role.merchant: CertificateKind.MERCHANT_EXCHANGE,
    Role.gateway: CertificateKind.GATEWAY_EXCHANGE,
}


@dataclass(frozen=True)
class Credentials:
    """A party's own keys and certificates.  The keys redact themselves."""

    party: PartyID
    signer: Signer
    exchange: RecipientKey | None
    """None for a cardholder, who has no key-exchange key."""
    chain: tuple[bytes, ...]
    """CA certificates (DER) that a peer needs besides the party's own, root left out."""

    @property
    def suite(self) -> str:
        """The suite, fixed by the certificates."""
        return self.signer.suite.name

    @property
    def own_certificates(self) -> tuple[bytes, ...]:
        """Everything a peer may need, in DER."""
        exchange = () if self.exchange is None else (self.exchange.certificate,)
        return (self.signer.certificate, *exchange, *self.chain)


@dataclass(frozen=True)
class Received(Generic[B]):
    """A message whose protection was checked in full (plain ones: as far as they have any)."""

    body: B
    digest: bytes
    """Stands for the content of the message, whatever envelope it came in: what a response hashes, and what
    tells a repetition from a conflict."""
    signer: ValidatedCertificate | None
    """None only for a plain message."""
    sender: PartyID | None
    certificates: tuple[bytes, ...]
    """Certificates that came along: untrusted."""
    baggage: Any
    """The decoded baggage, if the message has one."""
    parts: dict[x509.ObjectIdentifier, bytes]
    """Digests of the parts of a dual signature, empty for other messages."""

    def signed_by(self) -> ValidatedCertificate:
        """The signer's certificate.  SignatureFailure if nobody signed."""
        if self.signer is None:
            raise SignatureFailure("not signed")
        return self.signer


ANSWERS: Final = "answers"
"""Table of the answers given: the idempotency record of every role."""


@sequence
class Answer:
    """One message that was sent."""

    to: Role | None
    name: str
    data: bytes


@sequence
class AnswerRecord:
    """What a request contained and what was sent because of it."""

    content: bytes
    answers: list[Answer]

    def outgoing(self) -> tuple[Outgoing, ...]:
        """The same messages, octet for octet."""
        return tuple(Outgoing(answer.to, answer.name, answer.data) for answer in self.answers)


def answer_key(sender: PartyID | None, rrpid: bytes) -> bytes:
    """(sender, RRPID), the key of an idempotency record; a plain request has no sender."""
    return (b"" if sender is None else encode(sender)) + rrpid


def keep_answer(transaction: Transaction, key: bytes, content: bytes, outgoing: Iterable[Outgoing]) -> None:
    """Store what was sent, in the transaction that does what it announces."""
    answers = [Answer(to=message.to, name=message.name, data=message.data) for message in outgoing]
    transaction.put(ANSWERS, key, encode(AnswerRecord(content=content, answers=answers)))


@dataclass(frozen=True)
class Sent:
    """A message that was made, and the digest of its content, which the response to it must hash."""

    outgoing: Outgoing
    content: bytes


def by_thumbprint(thumb: bytes, certificates: Iterable[bytes]) -> bytes:
    """The certificate (DER) with this thumbprint.  CertificateRefused (missingCertificate) if it is not among them."""
    for certificate in certificates:
        try:
            if thumbprint(certificate) == thumb:
                return certificate
        except CertificateError as refusal:
            raise CertificateRefused(refusal.rule, code=ErrorCode.invalidCertificate) from None
    raise CertificateRefused("not supplied and not known", code=ErrorCode.missingCertificate, thumb=thumb)


class Endpoint:
    """One party on the wire."""

    def __init__(
        self,
        credentials: Credentials,
        validator: PathValidator,
        store: Store,
        *,
        clock: Clock,
        random: RandomBytes,
        held: Sequence[bytes] = (),
    ) -> None:
        """``held``: certificates (DER) of others that this party has and peers need not send again."""
        self.credentials = credentials
        self.party = credentials.party
        self.suite = credentials.suite
        self.validator = validator
        self.store = store
        self.clock = clock
        self.random = random
        self.held = tuple(held)

    # --- names, certificates ----------------------------------------------------------------------

    @property
    def thumbs(self) -> Thumbs | None:
        """Thumbprints of what this party holds."""
        return Thumbs(cert_thumbs=[thumbprint(der) for der in self.held]) if self.held else None

    def validated(self, certificate: bytes, kind: CertificateKind, others: Sequence[bytes]) -> ValidatedCertificate:
        """A certificate of this party's brand and suite, valid now.  CertificateRefused otherwise."""
        try:
            return self.validator.validate(
                certificate, kind=kind, brand=self.party.brand, at=self.clock(), extra=others
            )
        except CertificateError as refusal:
            raise CertificateRefused(
                f"{refusal.subject}: {refusal.rule} ({refusal.source})",
                code=ErrorCode[refusal.code],
                thumb=refusal.thumbprint,
            ) from None

    def certify(self, role: Role) -> Callable[[bytes, Sequence[bytes]], ValidatedCertificate]:
        """The trust decision for a signature by a party in this role."""
        kind = SIGNATURE_KINDS[role]
        return lambda certificate, others: self.validated(certificate, kind, others)

    def exchange_certificate(self, thumb: bytes, owner: PartyID, enclosed: Sequence[bytes]) -> ValidatedCertificate:
        """The valid key-exchange certificate with this thumbprint, if it is ``owner``'s."""
        found = by_thumbprint(thumb, (*enclosed, *self.held))
        certificate = self.validated(found, EXCHANGE_KINDS[owner.role], enclosed)
        if party_of(certificate, owner.role) != owner:
            raise CertificateRefused("key-exchange certificate of another party", code=ErrorCode.invalidCertificate)
        return certificate

    def own_exchange_thumb(self) -> bytes:
        """Thumbprint of this party's key-exchange certificate."""
        return thumbprint(self.exchange_key().certificate)

    def exchange_key(self) -> RecipientKey:
        """This party's key-exchange key."""
        if self.credentials.exchange is None:
            raise TypeError("a cardholder has no key-exchange key")
        return self.credentials.exchange

    # --- on the way out ---------------------------------------------------------------------------

    def header(self, rrpid: bytes | None, ids: MessageIDs, *, anonymous: bool = False) -> MessageHeader:
        """A header for a message of now; ``anonymous`` leaves the sender out."""
        return header(self.clock(), None if anonymous else self.party, rrpid, ids)

    def head(self, content_type: x509.ObjectIdentifier, recipient: PartyID, over: MessageHeader | None) -> BodyHead:
        """First field of a body to be signed: ``over`` is the header it travels under, if any."""
        return BodyHead(
            type=content_type,
            version=VERSION,
            suite=self.suite,
            sender=self.party,
            recipient=recipient,
            header_digest=None if over is None else header_digest(encode(over), None),
        )

    def protect(
        self,
        message_type: MessageType[B],
        over: MessageHeader,
        body: B,
        *,
        recipient: ValidatedCertificate | None = None,
        baggage: bytes | None = None,
        peer_holds: Thumbs | None = None,
        also: Sequence[bytes] = (),
    ) -> Sent:
        """The body, protected as its entry in the registry says, wrapped under its header and ready to be sent.

        ``recipient`` is the key-exchange certificate to seal to, for messages that are sealed; ``also`` are
        certificates to enclose beside this party's own.  Those that the peer holds are left out.
        """
        encoded = encode(body)
        content = content_digest(message_type, encoded, header_digest(encode(over), None))
        operator = message_type.operator
        if operator is not Operator.PLAIN:
            encoded = self.credentials.signer.sign(
                encoded, message_type.content_type, certificates=self._to_enclose(also, peer_holds)
            )
        if operator in (Operator.ENC, Operator.ENCB):
            if recipient is None:
                raise TypeError(f"{message_type.name} is sealed to somebody")
            to = party_of(recipient, message_type.recipient)
            context = self.context(message_type.content_type, self.party, to, over.message_ids.xid, over.rrpid)
            encoded = seal(encoded, Recipient(recipient), context=context)
        if operator is Operator.ENCB:
            if baggage is None:
                raise TypeError(f"{message_type.name} carries baggage")
            encoded = encode(EncB(enc=encoded, baggage=baggage))
        return self.sent(message_type, over, encoded, content)

    def sent(self, message_type: MessageType[Any], over: MessageHeader, encoded: bytes, content: bytes) -> Sent:
        """A protected body in its wrapper."""
        data = wrap(message_type, encoded, over)
        return Sent(Outgoing(message_type.recipient, message_type.name, data), content)

    def _to_enclose(self, also: Sequence[bytes], peer_holds: Thumbs | None) -> list[bytes]:
        known = set(peer_holds.cert_thumbs) if peer_holds else set()
        wanted = (*self.credentials.own_certificates, *also)
        return [der for der in wanted if not known or thumbprint(der) not in known]

    def context(
        self,
        content_type: x509.ObjectIdentifier,
        sender: PartyID,
        recipient: PartyID,
        xid: bytes | None,
        rrpid: bytes | None,
    ) -> bytes:
        """What a sealed object is bound to, in DER."""
        return encode(
            SealContext(
                type=content_type,
                version=VERSION,
                suite=self.suite,
                sender=sender,
                recipient=recipient,
                xid=xid,
                rrpid=rrpid,
            )
        )

    def error(self, failure: ProtocolError, wire: Wire | None, data: bytes, to: Role | None) -> Outgoing:
        """A signed Error about a message that could not be processed (§4.1)."""
        recipient = wire.header.sender if wire else None
        if recipient is None:  # it did not say, or could not be read
            recipient = self.unknown
        over = self.header(wire.header.rrpid if wire else None, wire.header.message_ids if wire else MessageIDs())
        body = ErrorTBS(
            head=self.head(ID_ERROR_TBS, recipient, over),
            error_code=failure.code,
            error_nonce=self.random(32),
            error_oid=None if failure.oid is None else x509.ObjectIdentifier(failure.oid),
            error_thumb=failure.thumb,
            message_header=wire.header_der if wire else None,
            bad_wrapper=None if wire else data[:BAD_WRAPPER_LIMIT],
        )
        signed = self.credentials.signer.sign(encode(body), ID_ERROR_TBS, certificates=self.credentials.chain)
        return Outgoing(to, "Error", wrap(None, encode(Error(signed_error=signed)), over))

    @property
    def unknown(self) -> PartyID:
        """Whom an Error is addressed to if the message it is about did not say who sent it."""
        return PartyID(role=self.party.role, brand=self.party.brand, name="unknown")

    # --- on the way in ----------------------------------------------------------------------------

    def receive(self, wire: Wire, message_type: MessageType[B], addressed_to: PartyID | None = None) -> Received[B]:
        """Steps 9 to 12 of §4.1: decrypt, verify, compare with the header, look for critical extensions.

        ``addressed_to`` is the name under which this party asked, where that is not the one of its certificate.
        """
        me = addressed_to or self.party
        if message_type.operator is Operator.PLAIN:
            received = self._receive_plain(wire, message_type)
        elif message_type.operator is Operator.DUAL:
            received = self._receive_dual(wire, message_type, me)
        else:
            received = self._receive_signed(wire, message_type, me)
        rrpid, trans_ids = message_type.locate(received.body)
        if rrpid != wire.header.rrpid:
            raise ProtocolError("RRPID of header and message differ", code=ErrorCode.unknownRRPID)
        if MessageIDs.of(trans_ids) != wire.header.message_ids:
            raise ProtocolError("identifiers of header and message differ", code=ErrorCode.wrapperMsgMismatch)
        if wire.header.sender != received.sender:
            raise ProtocolError("sender of header and message differ", code=ErrorCode.wrapperMsgMismatch)
        unknown = unknown_critical(received.body)
        if unknown is not None:
            raise ProtocolError("critical extension", code=ErrorCode.unrecognizedExtension, oid=unknown.dotted_string)
        return received

    def _receive_plain(self, wire: Wire, message_type: MessageType[B]) -> Received[B]:
        body = decoded(message_type.body, wire.body)
        content = content_digest(message_type, wire.body, wire.header_digest)
        return Received(body, content, None, None, (), None, {})

    def _receive_signed(self, wire: Wire, message_type: MessageType[B], me: PartyID) -> Received[B]:
        signed, baggage = wire.body, None
        if message_type.operator is Operator.ENCB:
            outer = decoded(EncB, wire.body)
            signed, baggage = outer.enc, outer.baggage
        if message_type.operator is not Operator.S:
            if wire.header.sender is None:
                raise ProtocolError("a sealed message names its sender", code=ErrorCode.badMessageHeader)
            context = self.context(
                message_type.content_type,
                wire.header.sender,
                self.party,
                wire.header.message_ids.xid,
                wire.header.rrpid,
            )
            signed = unseal(signed, self.exchange_key(), context=context).content
        verified = verify(signed, content_type=message_type.content_type, certify=self.certify(message_type.sender))
        body = decoded(message_type.body, verified.content)
        sender = party_of(verified.signer, message_type.sender)
        self.check_head(body.head, message_type.content_type, sender, me, wire)  # type: ignore[attr-defined]
        carried: Any = None
        if baggage is not None:
            if not equal(baggage_digest(message_type, baggage), body.baggage_digest):  # type: ignore[attr-defined]
                raise SignatureFailure("the baggage is not the one that was signed")
            if message_type.baggage is None:
                raise TypeError(f"{message_type.name} has no baggage type")
            carried = decoded(message_type.baggage, baggage)
        content = content_digest(message_type, verified.content, wire.header_digest)
        return Received(body, content, verified.signer, sender, verified.certificates, carried, {})

    def _receive_dual(self, wire: Wire, message_type: MessageType[B], me: PartyID) -> Received[B]:
        preq = decoded(PReq, wire.body)
        seals = decoded(PISeals, preq.pi.seals)
        order = Part(ID_OI_DATA, preq.oi.oi_data, preq.oi.oi_salt)
        view = View((order, seals_part(preq.pi, seals)), {ID_PI_DATA: preq.oi.hpi_data}, preq.pi.pi_signature)
        verified = PURCHASE.verify(view, suite=self.suite, certify=self.certify(message_type.sender))
        body = decoded(message_type.body, verified[ID_OI_DATA])
        sender = party_of(verified.signer, message_type.sender)
        self.check_head(body.head, message_type.content_type, sender, me, wire)  # type: ignore[attr-defined]
        if seals.cardholder != sender or seals.rrpid != wire.header.rrpid:
            raise ProtocolError("order and payment instruction differ", code=ErrorCode.wrapperMsgMismatch)
        content = digest(message_type.name, *(verified.digests[oid] for oid in PURCHASE.part_types))
        return Received(body, content, verified.signer, sender, (), preq.pi, dict(verified.digests))

    def check_head(
        self,
        head: BodyHead,
        content_type: x509.ObjectIdentifier,
        signer: PartyID,
        recipient: PartyID,
        under: Wire | None,
    ) -> None:
        """The signed body is what it is taken for, by its signer, for this recipient (W-3, PX-6), and travelled
        ``under`` this header (PX-10); None for a part that has no header of its own."""
        if head.version != VERSION or head.suite != self.suite or head.type != content_type:
            raise WrongRecipient("signed for another type, version or suite")
        if head.sender != signer:
            raise WrongRecipient("the signer is not the sender that the body names")
        if head.recipient != recipient:
            raise WrongRecipient("signed for somebody else")
        if head.header_digest != (None if under is None else under.header_digest):
            raise ProtocolError("the header is not the one that was signed", code=ErrorCode.wrapperMsgMismatch)

    def read_error(self, wire: Wire) -> Event:
        """An Error from a peer: a hint for people.  It never changes state (§4.1; PX-17)."""
        error = decoded(Error, wire.body)
        if error.unsigned_error is not None:
            return Event(EventKind.ERROR_RECEIVED, code=_error_code(error.unsigned_error), detail="unsigned")
        sender = wire.header.sender
        if sender is None or error.signed_error is None:
            raise ProtocolError("a signed Error names its sender", code=ErrorCode.badMessageHeader)
        verified = verify(error.signed_error, content_type=ID_ERROR_TBS, certify=self.certify(sender.role))
        body = decoded(ErrorTBS, verified.content)
        addressee = body.head.recipient if body.head.recipient.name == self.unknown.name else self.party
        self.check_head(body.head, ID_ERROR_TBS, party_of(verified.signer, sender.role), addressee, wire)
        return Event(EventKind.ERROR_RECEIVED, code=_error_code(body), detail=f"signed by {sender}")

    # --- handling ---------------------------------------------------------------------------------

    def handle(self, data: bytes) -> Reply:
        """Process one message: bytes in; messages to send and events out.

        Never raises for anything the peer sent.  The state changes and the answers that announce them commit in
        one transaction; a refused message changes nothing.
        """
        wire: Wire | None = None
        try:
            wire = unwrap(data)
            if wire.critical is not None:
                oid = wire.critical.dotted_string
                raise ProtocolError("critical wrapper extension", code=ErrorCode.unrecognizedExtension, oid=oid)
            if wire.type is None:
                return Reply(events=(self.read_error(wire),))
            if wire.type.recipient is not self.party.role:
                raise ProtocolError("not for this role", code=ErrorCode.messageNotSupported)
            with self.store.transaction() as transaction:
                return self.process(wire, transaction)
        except ProtocolError as failure:
            return self.refuse(failure, wire, data)

    def process(self, wire: Wire, transaction: Transaction) -> Reply:
        """Receive the message and apply its rules: each role has its own table of handlers."""
        raise NotImplementedError

    def once(self, transaction: Transaction, wire: Wire, received: Received[Any], act: Callable[[], Reply]) -> Reply:
        """Do what a request asks, or, if it was done before, give the same answer again (§4.2; PX-9).

        The key is (sender, RRPID).  It is looked up only now, after authentication, so that forged requests
        neither occupy nor probe an RRPID.  RRPIDConflict if the content is another than the first time; a request
        that is new must also be recent.
        """
        key = answer_key(received.sender, wire.header.rrpid or b"")
        stored = transaction.get(ANSWERS, key)
        if stored is not None:
            record = decode(AnswerRecord, stored)
            if not equal(record.content, received.digest):
                raise RRPIDConflict("this RRPID was used for something else")
            return Reply(record.outgoing(), (Event(EventKind.REPEATED),))
        check_date(wire, self.clock())
        reply = act()
        keep_answer(transaction, key, received.digest, reply.outgoing)
        return reply

    def refuse(self, failure: ProtocolError, wire: Wire | None, data: bytes) -> Reply:
        """What to do about a message that is refused: answer with Error, unless it was one.

        An Error about something that could not be read goes back where that came from.
        """
        event = Event(EventKind.REFUSED, code=failure.code, detail=failure.detail)
        if wire is not None and wire.type is None:
            return Reply(events=(event,))  # never answer an Error with an Error
        to = wire.type.sender if wire is not None and wire.type is not None else None
        return Reply((self.error(failure, wire, data, to),), (event,))


def _error_code(body: ErrorTBS) -> ErrorCode:
    """The code as a name; a number that is not known here is an unspecified failure."""
    try:
        return ErrorCode(body.error_code)
    except ValueError:
        return ErrorCode.unspecifiedFailure


def decoded(cls: type[B], data: bytes) -> B:
    """Decode, or DecodingFailure as this library's own error."""
    try:
        return decode(cls, data)
    except NotDER as failure:
        raise DecodingFailure(str(failure)) from None


def baggage_digest(message_type: MessageType[Any], baggage: bytes) -> bytes:
    """The link from a signed body to its baggage: SET's DD(b)."""
    return digest(message_type.name + " baggage", baggage)


def content_digest(message_type: MessageType[Any], body: bytes, header: bytes) -> bytes:
    """What stands for a message's content: the digest of its body with zeros where the header's digest is.

    So a request that is sent again under a header of now has the same content, and gets the same answer.
    """
    return digest(message_type.name, body.replace(header, bytes(len(header)), 1))


def seals_part(pi: PI, seals: PISeals) -> Part:
    """The sealed objects as a part of the dual signature; the RRPID, fresh in every request, is the salt."""
    return Part(ID_PI_SEALS, pi.seals, seals.rrpid)


def same_purchase(one: TransIDs, other: TransIDs) -> bool:
    """XID and both local identifiers are equal; language, date and PaySysID are not identity (§4.4)."""
    return (one.xid, one.lid_c, one.lid_m) == (other.xid, other.lid_c, other.lid_m)


def party_of(certificate: ValidatedCertificate, role: Role) -> PartyID:
    """How the holder of a certificate is named on the wire.  The certificate's kind must be of that role."""
    if certificate.kind not in (SIGNATURE_KINDS[role], EXCHANGE_KINDS.get(role)):
        raise CertificateRefused("certificate of another role", code=ErrorCode.invalidCertificate)
    return PartyID(role=role, brand=certificate.brand, name=certificate.party_id)


__all__ = [
    "Credentials",
    "Endpoint",
    "Received",
    "Sent",
    "answer_key",
    "baggage_digest",
    "by_thumbprint",
    "decoded",
    "keep_answer",
    "party_of",
    "same_purchase",
    "seals_part",
]
