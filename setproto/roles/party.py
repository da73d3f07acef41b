"""What every role does with every message: §4.1 of set-protocol.md, once.

:class:`Party` opens, verifies and checks what comes in, in one fixed order, as the entry in ``messages.registry`` says.
What comes out of :meth:`Party.receive` is a :class:`Received`: its body was signed by the party that it names, for this
party, in this suite and version, and agrees with the header.  Role modules see nothing else, so the processing rules
in them start from verified values.

A :class:`Party` needs no keys of its own; an applicant for its first certificate has none.  What needs keys is in
``endpoint.Endpoint``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from cryptography import x509

from pki import CertificateError, CertificateKind, PathValidator, ValidatedCertificate, thumbprint
from pki.der import DecodingFailure as NotDER
from pki.der import decode, encode
from setproto.crypto.cms import Enclosed, Verified, verify
from setproto.crypto.digests import digest, equal
from setproto.crypto.signed import MAX_CRLS
from setproto.errors import (
    CertificateRefused,
    DecodingFailure,
    ErrorCode,
    ProtocolError,
    RRPIDConflict,
    SignatureFailure,
    WrongRecipient,
)
from setproto.messages.common import VERSION, BodyHead, PartyID, Role, Thumbs, TransIDs, seal_context, unknown_critical
from setproto.messages.error import BAD_WRAPPER_LIMIT, Error, ErrorTBS
from setproto.messages.oids import ID_ERROR_TBS
from setproto.messages.registry import MessageType, Operator
from setproto.messages.wrapper import MessageHeader, MessageIDs, Wire, check_date, header, unwrap, wrap
from setproto.roles.answers import ANSWERS, AnswerRecord, answer_key, keep_answer
from setproto.roles.credentials import EXCHANGE_KINDS, SIGNATURE_KINDS, by_thumbprint, party_of
from setproto.roles.ports import Clock, Event, EventKind, Outgoing, RandomBytes, Reply, Store, Transaction
from setproto.roles.recording import REFUSED, Recorder

B = TypeVar("B")

ENCLOSED_CRLS: Final = 64 * 1024
"""Octets of CRLs that are enclosed in a message at most; larger ones have to be fetched another way."""


@dataclass(frozen=True)
class Received(Generic[B]):
    """A message whose protection was checked in full (plain ones: as far as they have any)."""

    body: B
    digest: bytes
    """Stands for the content of the message, whatever envelope it came in: what a response hashes, and what
    tells a repetition from a conflict."""
    signer: ValidatedCertificate | None
    """None only for a message that nobody with a certificate signed."""
    sender: PartyID | None
    certificates: tuple[bytes, ...]
    """Certificates that came along: untrusted."""
    baggage: Any
    """The decoded baggage, or what else came along, if the message has such."""
    parts: dict[x509.ObjectIdentifier, bytes]
    """Digests of the parts of a dual signature, empty for other messages."""

    def signed_by(self) -> ValidatedCertificate:
        """The signer's certificate.  SignatureFailure if nobody signed."""
        if self.signer is None:
            raise SignatureFailure("not signed")
        return self.signer


@dataclass(frozen=True)
class Sent:
    """A message that was made, and the digest of its content, which the response to it must hash."""

    outgoing: Outgoing
    content: bytes
    body: bytes
    """DER, before protection."""


class Party(ABC):
    """One party on the wire."""

    def __init__(
        self,
        party: PartyID,
        validator: PathValidator,
        store: Store,
        *,
        clock: Clock,
        random: RandomBytes,
        held: Sequence[bytes] = (),
        journal: bool = False,
    ) -> None:
        """``held``: certificates (DER) of others that this party has and peers need not send again.

        ``journal``: whether everything received, sent and decided is recorded in the store (``recording``).
        """
        self.party = party
        self.suite = validator.suite
        self.validator = validator
        self.store = store
        self.clock = clock
        self.random = random
        self.held = tuple(held)
        self.recorder = Recorder(self) if journal else None
        self._thumbs: tuple[tuple[int, tuple[bytes, ...]], Thumbs | None] | None = None
        """What was concluded last, and from which generation of CRLs and which certificates held."""

    # --- certificates -----------------------------------------------------------------------------

    @property
    def own_certificates(self) -> tuple[bytes, ...]:
        """This party's own certificates (DER), and those that a peer needs to believe them; none without keys."""
        return ()

    @property
    def thumbs(self) -> Thumbs | None:
        """Thumbprints of what this party holds: certificates of others, CRLs, the BrandCRLIdentifier (§4.3)."""
        of = (self.validator.generation, self.held)
        if self._thumbs is None or self._thumbs[0] != of:
            self._thumbs = (of, self._thumbs_now())
        return self._thumbs[1]

    def _thumbs_now(self) -> Thumbs | None:
        revocation = self.validator.revocation(self.party.brand)
        held = [thumbprint(der) for der in self.held[:32]]
        crls = [thumbprint(der) for der in revocation.crls[:32]]
        bci = [] if revocation.bci is None else [thumbprint(revocation.bci)]
        if not (held or crls or bci):
            return None
        return Thumbs(cert_thumbs=held or None, crl_thumbs=crls or None, brand_crl_id_thumbs=bci or None)

    def validated(self, certificate: bytes, kind: CertificateKind, others: Sequence[bytes]) -> ValidatedCertificate:
        """A certificate of this party's brand and suite, valid now.  CertificateRefused otherwise."""
        try:
            return self.validator.validate(
                certificate, kind=kind, brand=self.party.brand, at=self.clock(), extra=others
            )
        except CertificateError as refusal:
            raise refused(refusal) from None

    def learn(self, revocation: Enclosed, certificates: Sequence[bytes]) -> None:
        """``take_in`` for this party's validator."""
        take_in(self.validator, revocation, certificates)

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
            header_digest=None if over is None else over.digest,
        )

    def plain(self, message_type: MessageType[B], over: MessageHeader, body: B) -> Sent:
        """A message without any protection."""
        encoded = encode(body)
        return self.sent(message_type, over, encoded, content_of(message_type, encoded, over), encoded)

    def sent(
        self,
        message_type: MessageType[Any],
        over: MessageHeader,
        protected: bytes,
        content: bytes,
        body: bytes,
        unsealed: bytes | None = None,
    ) -> Sent:
        """A protected body in its wrapper.  ``unsealed``: the same without its seal, if it has one."""
        data = wrap(message_type, protected, over)
        evidence = None
        if self.recorder is not None:
            evidence = data if unsealed is None else wrap(message_type, unsealed, over)
        to = message_type.recipient_from(self.party.role)
        return Sent(Outgoing(to, message_type.name, data, evidence), content, body)

    def begun(self, transaction: Transaction, outgoing: Outgoing) -> Outgoing:
        """A message with which this party begins something, once it is recorded."""
        if self.recorder is not None:
            self.recorder.began(transaction, outgoing)
        return outgoing

    def context(
        self,
        content_type: x509.ObjectIdentifier,
        sender: PartyID,
        recipient: PartyID,
        xid: bytes | None,
        rrpid: bytes | None,
    ) -> bytes:
        """What a sealed object is bound to, in DER."""
        return seal_context(content_type, self.suite, sender, recipient, xid, rrpid)

    def error(self, failure: ProtocolError, wire: Wire | None, data: bytes, to: Role | None) -> Outgoing:
        """An Error about a message that could not be processed (§4.1)."""
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
        return Outgoing(to, "Error", wrap(None, encode(self._error(body)), over))

    def _error(self, body: ErrorTBS) -> Error:
        """The unsigned form, for a party without a certificate (§2.20)."""
        return Error(unsigned_error=body)

    @property
    def unknown(self) -> PartyID:
        """Whom an Error is addressed to if the message it is about did not say who sent it."""
        return PartyID(role=self.party.role, brand=self.party.brand, name="unknown")

    # --- on the way in ----------------------------------------------------------------------------

    def receive(self, wire: Wire, message_type: MessageType[B], addressed_to: PartyID | None = None) -> Received[B]:
        """Steps 9 to 12 of §4.1: decrypt, verify, compare with the header, look for critical extensions.

        ``addressed_to`` is the name under which this party asked, where that is not the one of its certificate.
        """
        received = self._open(wire, message_type, addressed_to or self.party)
        self.agree(wire, message_type, received)
        return received

    def _open(self, wire: Wire, message_type: MessageType[B], me: PartyID) -> Received[B]:
        """Take the protection off.  Messages that need a key for that are opened by those who have one."""
        if message_type.operator is Operator.PLAIN:
            body = decoded(message_type.body, wire.body)
            content = content_digest(message_type, wire.body, wire.header_digest)
            return Received(body, content, None, None, (), None, {})
        if message_type.operator is Operator.S:
            return self.read_signed(wire, message_type, wire.body, me)
        raise ProtocolError("no key to open it with", code=ErrorCode.messageNotSupported)

    def read_signed(
        self, wire: Wire, message_type: MessageType[B], signed: bytes, me: PartyID, carried: bytes | None = None
    ) -> Received[B]:
        """A SignedData by the peer of this message, checked in full; ``carried`` is the baggage that it links to."""
        verified = self.verified(message_type, signed)
        body = decoded(message_type.body, verified.content)
        sender = party_of(verified.signer, message_type.sender_to(self.party.role))
        self.check_head(body.head, message_type.content_type, sender, me, wire)  # type: ignore[attr-defined]
        baggage: Any = None
        if carried is not None:
            if not equal(baggage_digest(message_type, carried), body.baggage_digest):  # type: ignore[attr-defined]
                raise SignatureFailure("the baggage is not the one that was signed")
            if message_type.baggage is None:
                raise TypeError(f"{message_type.name} has no baggage type")
            baggage = decoded(message_type.baggage, carried)
        content = content_digest(message_type, verified.content, wire.header_digest)
        return Received(body, content, verified.signer, sender, verified.certificates, baggage, {})

    def verified(self, message_type: MessageType[Any], signed: bytes) -> Verified:
        """A SignedData of this message's type by a party that may send it."""
        return verify(
            signed,
            content_type=message_type.content_type,
            certify=self.certify(message_type.sender_to(self.party.role)),
            learn=self.learn,
        )

    def agree(self, wire: Wire, message_type: MessageType[B], received: Received[B]) -> None:
        """Steps 11 and 12 of §4.1.  ProtocolError if header and message disagree or an extension is not known."""
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

        Never raises for anything the peer sent.  Nothing is changed before the message is verified;
        the state changes and the answers that announce them commit in one transaction; a refused message changes
        nothing.
        """
        wire: Wire | None = None
        try:
            wire = unwrap(data)
            if wire.critical is not None:
                oid = wire.critical.dotted_string
                raise ProtocolError("critical wrapper extension", code=ErrorCode.unrecognizedExtension, oid=oid)
            if wire.type is None:
                reply = Reply(events=(self.read_error(wire),))
                if self.recorder is not None:
                    self.recorder.declined(data, reply, "Error")
                return reply
            wire.type.sender_to(self.party.role)
            return self.decide(data, wire, self.read(wire))
        except ProtocolError as failure:
            reply = self.refuse(failure, wire, data)
            if self.recorder is not None:
                self.recorder.declined(data, reply, REFUSED)
            return reply

    @abstractmethod
    def read(self, wire: Wire) -> Received[Any]:
        """Receive the message: everything that needs no more than keys and certificates, so that others can use the
        store meanwhile.  What a role must look up for it, it looks up again in ``process``."""

    def decide(self, data: bytes, wire: Wire, received: Received[Any]) -> Reply:
        """Apply the rules to a verified message, and record what came of it: one transaction."""
        with self.store.transaction() as transaction:
            return self.settle(data, wire, received, transaction)

    def settle(self, data: bytes, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        """``process``, and write down in the same transaction what came of it."""
        reply = self.process(wire, received, transaction)
        if self.recorder is not None:
            self.recorder.handled(transaction, data, wire, reply)
        return reply

    @abstractmethod
    def process(self, wire: Wire, received: Received[Any], transaction: Transaction) -> Reply:
        """Apply the rules to a message: each role has its own table of handlers."""

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
        to = self._author(wire.type) if wire is not None and wire.type is not None else None
        return Reply((self.error(failure, wire, data, to),), (event,))

    def _author(self, message_type: MessageType[Any]) -> Role:
        """Who must have sent such a message, whether to the right address or not."""
        try:
            return message_type.sender_to(self.party.role)
        except ProtocolError:
            return message_type.sender


def refused(refusal: CertificateError) -> CertificateRefused:
    """What is said on the wire about a certificate, CRL or BrandCRLIdentifier that is refused."""
    return CertificateRefused(
        f"{refusal.subject}: {refusal.rule} ({refusal.source})",
        code=ErrorCode[refusal.code],
        thumb=refusal.thumbprint,
    )


def take_in(validator: PathValidator, revocation: Enclosed, certificates: Sequence[bytes]) -> None:
    """Take in CRLs and a BrandCRLIdentifier that came with a message (§6.9), whoever sent it: each is signed by the CA
    that made it.  CertificateRefused if one is forged.

    What is older than what is known is dropped, and so is what comes from a CA to which no root that is trusted here
    leads: while a root is replaced, the peer may trust one more, or one less.
    """
    adding = [(validator.add_crl, crl) for crl in revocation.crls]
    if revocation.bci is not None:
        adding.append((validator.add_bci, revocation.bci))
    for add, data in adding:
        try:
            add(data, certificates)
        except CertificateError as refusal:
            if refusal.code != "missingCertificate":
                raise refused(refusal) from None


def lacking(revocation: Enclosed, peer_holds: Thumbs | None) -> Enclosed:
    """What of this the peer does not have, as far as it said; CRLs that are too large for a message left out."""
    crl_thumbs = set((peer_holds.crl_thumbs if peer_holds else None) or ())
    bci_thumbs = set((peer_holds.brand_crl_id_thumbs if peer_holds else None) or ())
    crls: list[bytes] = []
    room = ENCLOSED_CRLS
    for crl in revocation.crls:
        if len(crls) < MAX_CRLS and thumbprint(crl) not in crl_thumbs and len(crl) <= room:
            crls.append(crl)
            room -= len(crl)
    missing = revocation.bci is not None and thumbprint(revocation.bci) not in bci_thumbs
    return Enclosed(tuple(crls), revocation.bci if missing else None)


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


def content_of(message_type: MessageType[Any], body: bytes, over: MessageHeader) -> bytes:
    """The content digest of a body that travels under this header."""
    return content_digest(message_type, body, over.digest)


def content_digest(message_type: MessageType[Any], body: bytes, header: bytes) -> bytes:
    """What stands for a message's content: the digest of its body with zeros where the header's digest is.

    So a request that is sent again under a header of now has the same content, and gets the same answer.
    """
    return digest(message_type.name, body.replace(header, bytes(len(header)), 1))


def same_purchase(one: TransIDs, other: TransIDs) -> bool:
    """XID and both local identifiers are equal; language, date and PaySysID are not identity (§4.4)."""
    return (one.xid, one.lid_c, one.lid_m) == (other.xid, other.lid_c, other.lid_m)


__all__ = [
    "Party",
    "Received",
    "Sent",
    "baggage_digest",
    "content_digest",
    "content_of",
    "decoded",
    "lacking",
    "refused",
    "same_purchase",
    "take_in",
]
