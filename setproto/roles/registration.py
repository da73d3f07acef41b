"""What applicant and CA do alike to protect registration messages (set-protocol.md §1.5, §1.6, §2.16–2.19).

Account data never travels in the message: it has a seal of its own, and the message has its digest (CR-16).  A
CertReq is signed with the key to be certified, which proves possession of it, and, where a certificate is renewed or
a key-exchange key is added, with the key of the certificate that the applicant has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.x509 import ObjectIdentifier

from pki import ValidatedCertificate
from pki.der import encode
from setproto.crypto.cms import Recipient, Signer, seal, unseal, verify
from setproto.crypto.digests import digest, equal
from setproto.crypto.possession import check_possession, load_signature_key, prove
from setproto.errors import ErrorCode, ProtocolError, SignatureFailure
from setproto.messages.common import PartyID, Role
from setproto.messages.oids import ID_ACCT_DATA, ID_PAN_DATA0, ID_PAN_ONLY, NAMES
from setproto.messages.registration import CertReqData, KeySigned, RegFormReqData, SealedPair
from setproto.messages.registry import CERT_REQ, REG_FORM_REQ, MessageType
from setproto.messages.wrapper import MessageHeader, Wire
from setproto.roles.credentials import label_party
from setproto.roles.endpoint import Endpoint
from setproto.roles.party import Party, Received, content_digest, decoded

if TYPE_CHECKING:
    from setproto.roles.authority.ports import Decision


def account_digest(kind: ObjectIdentifier, account: bytes) -> bytes:
    """DD(p): links a message to account data of this kind, which has a nonce in it, so that nobody can test guesses."""
    return digest(NAMES[kind], account)


def account_kind(role: Role) -> ObjectIdentifier:
    """What sort of account data the CertReq of an applicant in this role carries."""
    return ID_PAN_DATA0 if role is Role.cardholder else ID_ACCT_DATA


def seal_pair(
    party: Party,
    message_type: MessageType[Any],
    over: MessageHeader,
    ca: PartyID,
    to: ValidatedCertificate,
    content: bytes,
    account: tuple[ObjectIdentifier, bytes] | None,
) -> bytes:
    """The SealedPair of a message and its account data for the CA."""
    sender = over.sender or party.party
    recipient = Recipient(to)
    context = party.context(message_type.content_type, sender, ca, None, over.rrpid)
    sealed_account = None
    if account is not None:
        kind, data = account
        sealed_account = seal(data, recipient, context=party.context(kind, sender, ca, None, over.rrpid))
    return encode(SealedPair(sealed=seal(content, recipient, context=context), sealed_account=sealed_account))


def open_pair(
    ca: Endpoint,
    message_type: MessageType[Any],
    kind: ObjectIdentifier,
    sender: PartyID | None,
    rrpid: bytes | None,
    body: bytes,
) -> tuple[bytes, bytes | None]:
    """The message and account data that this sender sealed to the CA.  DecryptionFailure if either does not open."""
    if sender is None:
        raise ProtocolError("a sealed message names its sender", code=ErrorCode.badMessageHeader)
    pair = decoded(SealedPair, body)
    key = ca.exchange_key()
    context = ca.context(message_type.content_type, sender, ca.party, None, rrpid)
    content = unseal(pair.sealed, key, context=context).content
    if pair.sealed_account is None:
        return content, None
    return content, unseal(pair.sealed_account, key, context=ca.context(kind, sender, ca.party, None, rrpid)).content


def check_account(kind: ObjectIdentifier, account: bytes | None, linked: bytes | None) -> None:
    """The account data is what the message links to, or there is none of either.  SignatureFailure otherwise."""
    if (account is None) != (linked is None):
        raise SignatureFailure("account data without a link to it, or the reverse")
    if account is not None and linked is not None and not equal(account_digest(kind, account), linked):
        raise SignatureFailure("the account data is not the one that the message links to")


def sign_with_keys(
    message_type: MessageType[Any], content: bytes, suite: str, new_key: Any | None, certified: Signer | None
) -> bytes:
    """The KeySigned of an applicant: by the key to be certified, by one that is certified, or by both."""
    by_certified = None
    if certified is not None:
        by_certified = certified.sign(content, message_type.content_type, detached=True)
    return encode(
        KeySigned(
            content=content,
            by_new_key=None if new_key is None else prove(new_key, suite, content, message_type.content_type),
            by_certified_key=by_certified,
        )
    )


def check_key_signed(
    ca: Endpoint, message_type: MessageType[Any], signed: KeySigned, new_key: bytes | None, others: Sequence[bytes] = ()
) -> ValidatedCertificate | None:
    """Every signature that is there is good, and possession of ``new_key`` (SubjectPublicKeyInfo), if any, is shown.

    The certificate of the certified key, if one signed.  SignatureFailure, CertificateRefused.
    """
    if (signed.by_new_key is None) != (new_key is None):
        raise SignatureFailure("the key to be certified has not signed, or there is none")
    if signed.by_new_key is not None and new_key is not None:
        key = load_signature_key(new_key, ca.suite)
        check_possession(signed.by_new_key, key, ca.suite, signed.content, message_type.content_type)
    if signed.by_certified_key is None:
        return None
    role = message_type.sender_to(ca.party.role)
    verified = verify(
        signed.by_certified_key,
        content_type=message_type.content_type,
        content=signed.content,
        certify=lambda certificate, enclosed: ca.certify(role)(certificate, (*enclosed, *others)),
    )
    signer: ValidatedCertificate = verified.signer
    return signer


def receive_reg_form_req(ca: Endpoint, wire: Wire) -> Received[RegFormReqData]:
    """§6.11 step 6: nobody vouches for it; ``baggage`` is the PANOnly in DER."""
    header = wire.header
    content, account = open_pair(ca, REG_FORM_REQ, ID_PAN_ONLY, header.sender, header.rrpid, wire.body)
    body = decoded(RegFormReqData, content)
    check_account(ID_PAN_ONLY, account, body.account_digest)
    sender = label_party(Role.cardholder, ca.party.brand, body.lid_ee)
    ca.check_head(body.head, REG_FORM_REQ.content_type, sender, ca.party, wire)
    digested = content_digest(REG_FORM_REQ, content, wire.header_digest)
    received = Received(body, digested, None, sender, (), account, {})
    ca.agree(wire, REG_FORM_REQ, received)
    return received


@dataclass(frozen=True)
class Came:
    """What came with a CertReq: account data in DER, and the certificate with which it was signed, too; and what the
    bank says to it once it was asked."""

    account: bytes | None
    certified: ValidatedCertificate | None
    decision: Decision | None = None

    def __repr__(self) -> str:
        return "<Came, account redacted>"


def open_cert_req(
    ca: Endpoint, sender: PartyID | None, rrpid: bytes | None, body: bytes
) -> tuple[CertReqData, KeySigned, bytes | None]:
    """Open a CertReq, which may have waited: nothing of it is verified but the link to the account data."""
    role = CERT_REQ.sender_to(ca.party.role)
    content, account = open_pair(ca, CERT_REQ, account_kind(role), sender, rrpid, body)
    signed = decoded(KeySigned, content)
    data = decoded(CertReqData, signed.content)
    check_account(account_kind(role), account, data.account_digest)
    return data, signed, account


def receive_cert_req(ca: Endpoint, wire: Wire) -> Received[CertReqData]:
    """§6.11 step 11, its first half: opened, signed by every key that must sign, and by its applicant for this CA.

    ``baggage`` is an :class:`Came`.
    """
    body, signed, account = open_cert_req(ca, wire.header.sender, wire.header.rrpid, wire.body)
    certified = check_key_signed(ca, CERT_REQ, signed, body.public_key_s)
    if body.request_type.signed_by_certified_key != (certified is not None):
        raise SignatureFailure("not signed by the key of a certificate, or by one that has no part in this")
    if (None if certified is None else certified.thumbprint) != body.ee_thumb:
        raise SignatureFailure("signed with another certificate than the one named")
    ca.check_head(body.head, CERT_REQ.content_type, applicant(ca, body), ca.party, wire)
    digested = content_digest(CERT_REQ, signed.content, wire.header_digest)
    received = Received(body, digested, certified, body.head.sender, (), Came(account, certified), {})
    ca.agree(wire, CERT_REQ, received)
    return received


def applicant(ca: Party, body: CertReqData) -> PartyID:
    """Who must have sent a CertReq: a cardholder by its label; others by the name that they want certified (W-11)."""
    role = CERT_REQ.sender_to(ca.party.role)
    if role is Role.cardholder:
        if body.id_data is not None:
            raise ProtocolError("a cardholder applies for no name", code=ErrorCode.wrapperMsgMismatch)
        return label_party(role, ca.party.brand, body.lid_ee)
    if body.id_data is None:
        raise ProtocolError("no name to be certified", code=ErrorCode.wrapperMsgMismatch)
    if (body.id_data.merchant_acquirer_id is not None) != (role is Role.merchant):
        raise ProtocolError("a name of another role", code=ErrorCode.wrapperMsgMismatch)
    return PartyID(role=role, brand=ca.party.brand, name=body.id_data.name)


__all__ = [
    "Came",
    "account_digest",
    "account_kind",
    "applicant",
    "check_key_signed",
    "open_cert_req",
    "receive_cert_req",
    "receive_reg_form_req",
    "seal_pair",
    "sign_with_keys",
]
