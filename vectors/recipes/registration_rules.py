"""Registration: what the forms of the messages rule out, and rules that only one of the three registrations shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Name, NameAttribute, ObjectIdentifier, SubjectKeyIdentifier
from cryptography.x509.oid import NameOID

from pki import key_suite, thumbprint
from pki.der import encode, tlv
from pki.extensions import MERCHANT_DATA, TUNNELING, Tunneling, to_extension
from pki.suites import key_identifier, public_key_der
from setproto.crypto.parts import ID_DATA, ID_SIGNED_DATA
from setproto.crypto.possession import private_key_from
from setproto.crypto.signed import (
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    PROTECTION,
    Signer,
    algorithm_protection,
    attribute,
    oid_tlv,
)
from setproto.crypto.suites import SHA512, suite
from setproto.errors import ErrorCode as E
from setproto.market import ACQUIRER_BIN
from setproto.messages.codes import CertStatusCode, RequestType
from setproto.messages.common import PartyID, Role
from setproto.messages.oids import ID_CERT_INQ_REQ_TBS, ID_CERT_REQ_TBS
from setproto.messages.purchase import PAN_FIELD
from setproto.messages.registration import (
    AcquirerID,
    CaMsg,
    CertResWire,
    CertStatus,
    FailedItem,
    IDData,
    KeySigned,
    MerchantAcquirerID,
    PANOnly,
    ReferralData,
    RegFormOrReferral,
)
from setproto.messages.wrapper import unwrap, wrap
from setproto.roles.applicant import Applicant
from setproto.roles.authority import CertificateAuthority
from setproto.roles.party import decoded
from vectors.recipes.drafts import Draft as Certificate
from vectors.recipes.flows import Book, under
from vectors.recipes.hands import forced
from vectors.recipes.office import CARD, Office
from vectors.recipes.registration_hands import Draft, answered, ca_of, draft, inquiry, reg_form_req, said

AES128_CBC: Final = ObjectIdentifier("2.16.840.1.101.3.4.1.2")
ED25519: Final = suite("ed25519").signature_algorithms[0]
REFERRED: Final = "9999990000000006"
"""A number of the BIN that the CAs refer elsewhere."""
GATEWAYS_NAME: Final = AcquirerID(acquirer_bin="411111", acquirer_business_id="shop-1")


# --- CertReq --------------------------------------------------------------------------------------


def proof(
    key: Any,
    name: str,
    content: bytes,
    *,
    outer: Any = ID_SIGNED_DATA,
    versions: tuple[int, int] = (3, 3),
    inner: Any = ID_CERT_REQ_TBS,
    enclosed: bytes = b"",
    certificates: bytes = b"",
    sid: bytes | None = None,
    listed: bytes | None = None,
    digest_algorithm: bytes | None = None,
    algorithm: bytes | None = None,
    more: bytes = b"",
) -> bytes:
    """A proof of possession, any part of which can be replaced; what is signed is always as it should be."""
    chosen = suite(name)
    attributes = sorted(
        (
            attribute(CONTENT_TYPE, oid_tlv(ID_CERT_REQ_TBS)),
            attribute(MESSAGE_DIGEST, tlv(0x04, chosen.digest(content))),
            attribute(PROTECTION, algorithm_protection(chosen, chosen.signature_algorithms[0])),
        )
    )
    info = tlv(
        0x30,
        bytes((2, 1, versions[1])),
        tlv(0x80, key_identifier(key.public_key()) if sid is None else sid),
        digest_algorithm or chosen.digest_algorithm,
        tlv(0xA0, *attributes, more),
        algorithm or chosen.signature_algorithms[0],
        tlv(0x04, chosen.sign(key, tlv(0x31, *attributes))),
    )
    data = tlv(
        0x30,
        bytes((2, 1, versions[0])),
        tlv(0x31, listed or chosen.digest_algorithm),
        tlv(0x30, oid_tlv(inner), enclosed),
        certificates,
        tlv(0x31, info),
    )
    return tlv(0x30, oid_tlv(outer), tlv(0xA0, data))


PROOFS: Final[dict[str, tuple[dict[str, Any], E, str]]] = {
    "outer-type": ({"outer": ID_DATA}, E.decodingFailure, "the proof says that it is id-data"),
    "version": ({"versions": (1, 3)}, E.decodingFailure, "a proof of version 1"),
    "signer-version": ({"versions": (3, 1)}, E.decodingFailure, "a proof with a SignerInfo of version 1"),
    "inner-type": ({"inner": ID_CERT_INQ_REQ_TBS}, E.signatureFailure, "a proof with another eContentType"),
    "enclosed": ({"enclosed": tlv(0xA0, tlv(0x04, b"other"))}, E.signatureFailure, "a proof that encloses content"),
    "certificates": ({"certificates": b"\xa0\x00"}, E.decodingFailure, "a proof with a set of certificates, if empty"),
    "sid": ({"sid": bytes(20)}, E.signatureFailure, "a proof whose signer identifier is of another key"),
    "listed-digest": ({"listed": SHA512}, E.signatureFailure, "the proof lists another hash"),
    "digest": ({"digest_algorithm": SHA512}, E.signatureFailure, "the proof's SignerInfo names another hash"),
    "algorithm": ({"algorithm": ED25519}, E.signatureFailure, "the proof names a signature algorithm of another suite"),
    "attributes": (
        {"more": attribute(ID_DATA, b"\x05\x00")},
        E.signatureFailure,
        "the proof shows an attribute that is not signed",
    ),
}


def compressed(key: Any) -> bytes:
    """SubjectPublicKeyInfo with a compressed point."""
    spki = public_key_der(key)
    long = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    short = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    at = spki.index(long)
    algorithm = spki[2 : at - 3]
    return tlv(0x30, algorithm, tlv(0x03, b"\0", short))


def cert_req_rules(book: Book, office: Office, applicant: Applicant, sibling: str) -> None:
    """Of every applicant's CertReq."""
    genuine = draft(office, applicant)
    new: Any = genuine.new_key
    content = genuine.content
    covers = ("PX-13",)
    for name, (how, code, mutation) in PROOFS.items():
        forged = KeySigned(content=content, by_new_key=proof(new, book.suite, content, **how))
        book.bad(f"{sibling}-proof-{name}", replace(genuine, signed=forged).data(), code, sibling, mutation, covers)
    other = spare(office, applicant.party.role)
    mine = Signer(other.signature_key, other.signature_certificate, suite(book.suite))
    forms: dict[str, tuple[Draft, E | str, str]] = {
        "key-in-another-encoding": (
            genuine.but(public_key_s=compressed(new.public_key())),
            E.decodingFailure,
            "the key with a compressed point: it would look like another key",
        ),
        "form-negative": (genuine.but(reg_form_id=-1), E.decodingFailure, "a negative number of a form"),
        "keyless": (
            genuine.but(public_key_s=None, public_key_e=None, key_proof=None),
            E.decodingFailure,
            "no key to be certified",
        ),
        "answers-empty": (genuine.but(reg_form=[]), E.decodingFailure, "an empty list of answers"),
        "thumb-short": (genuine.but(ee_thumb=bytes(31)), E.decodingFailure, "a thumbprint of 31 octets"),
        "thumb-of-nothing": (
            genuine.but(ee_thumb=bytes(32)),
            E.signatureFailure,
            "EEThumb, and no certificate that signs",
        ),
        "certified-key-too": (
            replace(genuine.but(ee_thumb=thumbprint(mine.certificate)), certified=mine),
            E.signatureFailure,
            "signed with a certified key too, which a first request is not",
        ),
        "rrpid": (replace(genuine, header_rrpid=bytes(20)), E.unknownRRPID, "RRPID is not the header's"),
    }
    if genuine.request.public_key_e is None:
        forms["proof-of-no-key"] = (
            genuine.but(key_proof=bytes(32)),
            E.decodingFailure,
            "the proof for a key-exchange key, and no such key",
        )
        forms["type-reserved"] = (
            genuine.but(request_type=RequestType.cardInitialBoth),
            E.wrapperMsgMismatch,
            "another RequestType than the form was for",
        )
        forms["named"] = (
            genuine.but(id_data=IDData(acquirer_id=GATEWAYS_NAME)),
            E.wrapperMsgMismatch,
            "a cardholder who applies for a name",
        )
        back = genuine.request.ca_back_key_data
        forms["back-algorithm"] = (
            genuine.but(ca_back_key_data=forced(back, ca_alg_id=AES128_CBC)),
            "CertStatusCode.unableToEncryptCertRes",
            "an answer under AES-128-CBC is asked for",
        )
    else:
        assert genuine.request.id_data is not None
        held = private_key_from(applicant._records.opened(applicant.enrolment()).exchange_key or b"")
        forms["one-key"] = (
            replace(genuine.but(public_key_s=genuine.request.public_key_e), new_key=held),
            "CertStatusCode.rejectedByCA",
            "one key for signatures and for key exchange",
        )
        forms["nameless"] = (genuine.but(id_data=None), E.wrapperMsgMismatch, "no name to be certified")
        forms["without-account"] = (
            replace(genuine.but(account_digest=None), account=None),
            E.wrapperMsgMismatch,
            "the account that was asked for is not there",
        )
        for name, id_data, mutation in _other_names(genuine.request.id_data):
            named = PartyID(role=genuine.sender.role, brand=genuine.sender.brand, name=id_data.name)
            request = replace(genuine.but(id_data=id_data).head(sender=named), sender=named)
            forms[name] = (request, E.wrapperMsgMismatch, mutation)
    for name, (made, refusal, mutation) in forms.items():
        book.bad(f"{sibling}-{name}", made.data(), refusal, sibling, mutation, covers)


def _other_names(held: IDData) -> list[tuple[str, IDData, str]]:
    """Another name, and the same in another role."""
    merchant = MerchantAcquirerID(merchant_bin="411111", merchant_id="shop-2")
    if held.merchant_acquirer_id is not None:
        gateway = IDData(acquirer_id=GATEWAYS_NAME)
        other = IDData(merchant_acquirer_id=merchant)
    else:
        gateway = IDData(merchant_acquirer_id=replace(merchant, merchant_id=held.name))
        other = IDData(acquirer_id=replace(GATEWAYS_NAME, acquirer_business_id="gateway-2"))
    return [
        ("other-name", other, "another name than the form was for"),
        ("role", gateway, "a name of another role"),
    ]


# --- requests for a form, and inquiries -----------------------------------------------------------


def reg_form_req_rules(book: Book, office: Office, applicant: Applicant, data: bytes, sibling: str) -> None:
    """Of a cardholder's RegFormReq."""
    covers = ("rule 6.11.6",)
    book.bad(
        f"{sibling}-senderless",
        under(data, sender=None),
        E.badMessageHeader,
        sibling,
        "the header names no sender",
        covers,
        flags=("Wire",),
    )
    elsewhere = encode(PANOnly(pan=REFERRED.ljust(PAN_FIELD), ex_nonce=bytes(32)))
    asked = reg_form_req(office, applicant, elsewhere)
    book.good(f"{sibling}-referred", asked, "a card of a BIN that is certified elsewhere: a referral", covers)
    made = reg_form_req(office, applicant, header_rrpid=bytes(20))
    book.bad(f"{sibling}-rrpid", made, E.unknownRRPID, sibling, "RRPID is not the header's", covers)


def init_req_rules(book: Book, data: bytes, sibling: str) -> None:
    """Of a Me-AqCInitReq, which is plain."""
    wire = unwrap(data)
    assert wire.type is not None
    body = decoded(wire.type.body, wire.body)
    mine = body.id_data
    key = "merchant_acquirer_id" if mine.merchant_acquirer_id is not None else "acquirer_id"
    number = "merchant_bin" if mine.merchant_acquirer_id is not None else "acquirer_bin"
    both = IDData(merchant_acquirer_id=MerchantAcquirerID(merchant_bin="411111", merchant_id=mine.name))
    signature_only = RequestType.merInitialSig if key == "merchant_acquirer_id" else RequestType.pgwyInitialSig
    rules: dict[str, tuple[dict[str, Any], E, str]] = {
        "cardholders": (
            {"request_type": RequestType.cardInitialBoth},
            E.messageNotSupported,
            "a RequestType of cardholders",
        ),
        "role": ({"id_data": _other_names(mine)[1][1]}, E.messageNotSupported, "a name of another role"),
        "unasked-key": (
            {"request_type": signature_only},
            E.decodingFailure,
            "a key-exchange key, and a RequestType for a signature key alone",
        ),
        "two-names": (
            {"id_data": forced(both, acquirer_id=GATEWAYS_NAME)},
            E.decodingFailure,
            "a merchant's name and a gateway's",
        ),
        "bin": (
            {"id_data": forced(mine, **{key: replace(getattr(mine, key), **{number: "4111 1"})})},
            E.decodingFailure,
            "a BIN with a blank",
        ),
    }
    for name, (changes, code, mutation) in rules.items():
        made = wrap(wire.type, encode(forced(body, **changes)), wire.header)
        book.bad(f"{sibling}-{name}", made, code, sibling, mutation, ("rule 6.12",))


def inquiry_rules(book: Book, office: Office, applicant: Applicant, sibling: str) -> None:
    """Of a CertInqReq, and a CertReq when the registration was decided."""
    held = applicant._records.opened(applicant.enrolment()).signature_key
    assert held is not None
    key = private_key_from(held)
    covers = ("rule 6.11.15",)
    other = replace(ca_of(office, applicant).party, name="Other CA")
    book.bad(
        f"{sibling}-recipient",
        inquiry(office, applicant, key, recipient=other),
        E.wrongRecipient,
        sibling,
        "for another CA",
        covers,
    )
    book.bad(
        f"{sibling}-rrpid",
        inquiry(office, applicant, key, header_rrpid=bytes(20)),
        E.unknownRRPID,
        sibling,
        "RRPID is not the header's",
        covers,
    )
    again = draft(office, applicant).data()
    before = sibling.replace("certinqreq", "certreq")
    book.bad(
        f"{before}-decided", again, E.unknownLID, before, "another request when the first one waits", ("rule 6.11.11",)
    )


def early_inquiry(book: Book, office: Office, applicant: Applicant, sibling: str) -> None:
    """Before anything was applied for."""
    key = key_suite(book.suite).generate_signature_key()
    book.bad(
        f"{sibling.replace('certreq', 'certinqreq')}-early",
        inquiry(office, applicant, key),
        E.unknownLID,
        sibling.replace("certreq", "certinqreq"),
        "nothing was applied for",
        ("rule 6.11.15",),
    )


def renewal_rules(
    book: Book, office: Office, applicant: Applicant, data: bytes, name: str, another: Signer | None = None
) -> None:
    """A CertReq that is signed with a certified key: a renewal, or one for a key-exchange key alone.

    ``another`` has been certified by the same CA for another card."""
    covers = ("rule 6.13", "PX-13")
    book.good(name, data, f"a genuine CertReq: {applicant._request_type.name}", covers)
    genuine = draft(office, applicant)
    somebody = spare(office, applicant.party.role)
    other = Signer(somebody.signature_key, somebody.signature_certificate, suite(book.suite))
    named = thumbprint(other.certificate)
    both = genuine.request.public_key_s is not None
    forms: dict[str, tuple[Draft, E | str, str]] = {
        "other-thumb": (genuine.but(ee_thumb=named), E.signatureFailure, "EEThumb of another certificate"),
        "of-another": (
            replace(genuine.but(ee_thumb=named), certified=other),
            "CertStatusCode.rejectedByCA",
            "signed with the certified key of somebody else",
        ),
    }
    if another is not None:
        forms["of-another-card"] = (
            replace(genuine.but(ee_thumb=thumbprint(another.certificate)), certified=another),
            "CertStatusCode.rejectedByCA",
            "signed with the certified key of another card",
        )
    if both:
        forms["uncertified"] = (
            replace(genuine, certified=None),
            E.signatureFailure,
            "not signed with the certified key",
        )
        forms["unproved"] = (
            replace(genuine, new_key=None),
            E.signatureFailure,
            "the new key has not signed",
        )
    if genuine.request.public_key_e is not None:
        key = key_suite(book.suite).generate_signature_key()
        asked = replace(genuine.but(public_key_s=public_key_der(key.public_key())), new_key=key)
        forms["other-keys"] = (
            replace(genuine.but(public_key_s=None), new_key=None) if both else asked,
            E.wrapperMsgMismatch,
            "no signature key, where one is asked for" if both else "a signature key, where none is asked for",
        )
    for label, (made, code, mutation) in forms.items():
        book.bad(f"{name}-{label}", made.data(), code, name, mutation, covers)


def certified_inquiry(book: Book, office: Office, applicant: Applicant, data: bytes, name: str) -> None:
    """A CertInqReq with no new key to sign it: it is signed with the certified one."""
    book.good(name, data, "a genuine CertInqReq, signed with the certified key", ("rule 6.11.15",))
    somebody = spare(office, applicant.party.role)
    other = Signer(somebody.signature_key, somebody.signature_certificate, suite(book.suite))
    made = inquiry(office, applicant, None, other)
    book.bad(f"{name}-of-another", made, E.unknownLID, name, "by somebody else with a certificate", ("rule 6.11.15",))


# --- answers --------------------------------------------------------------------------------------


def answer_rules(book: Book, office: Office, applicant: Applicant, message: str, data: bytes, sibling: str) -> None:
    """Of every answer, and of each kind."""
    book.bad(
        f"{sibling}-outstanding",
        under(data, rrpid=bytes(20)),
        E.unknownRRPID,
        sibling,
        "RRPID of no request",
        ("rule 6.11.4",),
        flags=("Wire",),
    )

    def bad(name: str, code: E, mutation: str, **how: Any) -> None:
        made = answered(office, applicant, data, **how)
        book.bad(f"{sibling}-{name}", made, code, sibling, mutation, ("rule 6.11.4", "PX-6"))

    if message in ("RegFormRes", "Me-AqCInitRes"):
        form_rules(book, office, applicant, message, data, sibling)
    if message == "RegFormRes":
        bad("other-ca", E.signatureFailure, "from another CA of the brand than was asked", by=second_ca(office))
    if message == "CardCInitRes":
        offer = without_tunneling(office, applicant)
        bad(
            "no-tunneling",
            E.invalidCertificate,
            "the CA's key-exchange certificate names no algorithm to answer under",
            also=[offer],
            cae_thumb=thumbprint(offer),
        )
        other = without_tunneling(office, applicant, AES128_CBC)
        bad(
            "other-tunneling",
            E.invalidCertificate,
            "it names another algorithm, AES-128-CBC",
            also=[other],
            cae_thumb=thumbprint(other),
        )
    if message in ("CertRes", "CertInqRes"):
        status_rules(bad, applicant, message)
        body = said(applicant, data).body
        if body.cert_thumbs is not None:
            certificate_rules(bad, office, applicant, said(applicant, data), message)


def form_rules(book: Book, office: Office, applicant: Applicant, message: str, data: bytes, sibling: str) -> None:
    """What a form can be."""
    body = said(applicant, data).body
    form = body.reg_form_or_referral.reg_form_data
    template = form.reg_template
    first = template.reg_field_seq[0]

    def bad(name: str, of: str, mutation: str, value: Any) -> None:
        made = answered(office, applicant, data, reg_form_or_referral=value)
        book.bad(f"{sibling}-{name}", made, E.decodingFailure, of, mutation, ("rule 6.11.8",))

    def templated(**changes: Any) -> Any:
        filled = forced(form, reg_template=forced(template, **changes))
        return forced(body.reg_form_or_referral, reg_form_data=filled)

    def field(**changes: Any) -> Any:
        return templated(reg_field_seq=[forced(first, **changes), *template.reg_field_seq[1:]])

    referral = ReferralData(reason="not our card", referral_url_seq=["https://example.com/"])
    away = RegFormOrReferral(referral_data=referral)
    made = answered(office, applicant, data, reg_form_or_referral=away)
    book.good(f"{sibling}-referral", made, "a referral instead of a form", ("rule 6.11.8",))
    bad("description-empty", sibling, "a description of a field of no character", field(field_desc=""))
    bad("length-zero", sibling, "a field that takes no character", field(field_len=0))
    bad("form-negative", sibling, "a negative number of the form", templated(reg_form_id=-1))
    bad("logo-long", sibling, "a URL of 513 characters", templated(brand_logo_url="h" * 513))
    bad("field-twice", sibling, "two fields of one name", templated(reg_field_seq=[first, first]))
    bad("form-and-referral", sibling, "a form, and a referral too", forced(away, reg_form_data=form))
    for name, mutation, changes in (
        ("reason-empty", "a reason of no character", {"reason": ""}),
        ("without-urls", "an empty list of URLs", {"referral_url_seq": []}),
    ):
        bad(
            f"referral-{name}", f"{sibling}-referral", mutation, forced(away, referral_data=forced(referral, **changes))
        )
    typed = answered(office, applicant, data, request_type=RequestType.cardRenewalSig)
    covers = ("rule 6.11.8",)
    book.bad(f"{sibling}-request-type", typed, E.wrapperMsgMismatch, sibling, "a form for another RequestType", covers)
    if message == "Me-AqCInitRes":
        unsealed = answered(office, applicant, data, sealed_key_challenge=None)
        mutation = "no challenge for the key-exchange key"
        book.bad(f"{sibling}-unchallenged", unsealed, E.wrapperMsgMismatch, sibling, mutation, ("PX-13",))


Bad = Callable[..., None]


def status_rules(bad: Bad, applicant: Applicant, message: str) -> None:
    """What a CertRes can say, complete or not."""
    waiting = CertStatus(cert_status_code=CertStatusCode.requestPended, ee_message="please be patient")
    wrong = E.decodingFailure
    if message == "CertRes":
        for name, mutation, changes in (
            ("message-empty", "a message of no character", {"ee_message": ""}),
            ("nonce-short", "a Nonce-CCA of 31 octets", {"nonce_cca": bytes(31)}),
            ("no-failed-items", "an empty list of what failed", {"failed_item_seq": []}),
            ("currency-zero", "currency 0", {"ca_msg": forced(CaMsg(), card_currency=0)}),
            ("logo-empty", "a URL of no character", {"ca_msg": forced(CaMsg(), card_logo_url="")}),
            (
                "wallet-message-empty",
                "a message for the wallet of no character",
                {"ca_msg": forced(CaMsg(), cardholder_msg="")},
            ),
            (
                "item-negative",
                "a negative number of a field",
                {"failed_item_seq": [forced(FailedItem(item_number=1, item_reason="?"), item_number=-1)]},
            ),
        ):
            bad(name, wrong, mutation, cert_status=forced(waiting, **changes))
        bad("thumbs-of-waiting", wrong, "certificates, although the request waits", cert_thumbs=[bytes(32)])
        bad("header", E.unknownRRPID, "RRPID is not the header's", rrpid=bytes(20), header_rrpid=_asked(applicant))
        if isinstance(applicant._subject, type(CARD)):
            open_nonce = forced(waiting, nonce_cca=bytes(32))
            bad(
                "nonce-in-clear",
                E.signatureFailure,
                "Nonce-CCA in a CertRes in clear",
                cert_status=open_nonce,
                clear=True,
            )
            bad(
                "signed-and-sealed",
                wrong,
                "in clear and sealed",
                wired=lambda signed, sealed: forced(CertResWire(signed=signed), sealed=sealed),
            )
            sealed_as = bytes.fromhex("020104")
            bad(
                "seal-version",
                E.decryptionFailure,
                "a KEKRecipientInfo of version 3",
                wired=lambda signed, sealed: CertResWire(sealed=_first(sealed, sealed_as, bytes.fromhex("020103"))),
            )
            form = applicant.enrolment().form
            assert form is not None
            held = form.lid_ca
            bad(
                "seal-identifier",
                E.decryptionFailure,
                "a KEKRecipientInfo that names another key",
                wired=lambda signed, sealed: CertResWire(sealed=_first(sealed, held, bytes(len(held)))),
            )
        else:
            bad(
                "sealed",
                E.messageNotSupported,
                "sealed with a key, where none was given",
                wired=lambda signed, sealed: CertResWire(sealed=sealed),
            )


def _asked(applicant: Applicant) -> bytes:
    return applicant.enrolment().asked.rrpid


def _first(octets: bytes, old: bytes, new: bytes) -> bytes:
    """With the first occurrence after the outer layers replaced."""
    at = octets.index(old, 30)
    return octets[:at] + new + octets[at + len(old) :]


def certificate_rules(bad: Bad, office: Office, applicant: Applicant, received: Any, message: str) -> None:
    """The certificates that come at the end."""
    body, by_thumb = received.body, {thumbprint(der): der for der in received.certificates}
    thumbs, missing = list(body.cert_thumbs), E.missingCertificate
    decoding = E.decodingFailure
    bad("thumb-unknown", missing, "a certificate is not there", cert_thumbs=[bytes(32), *thumbs[1:]])
    bad("thumb-short", decoding, "a thumbprint of 31 octets", cert_thumbs=[bytes(31), *thumbs[1:]])
    bad("three-thumbs", decoding, "three certificates", cert_thumbs=(thumbs * 3)[:3])
    bad("without-thumbs", decoding, "complete, without certificates", cert_thumbs=None)
    if len(thumbs) == 2:
        bad("one-of-two", missing, "one certificate, where two were asked for", cert_thumbs=thumbs[:1])
    else:
        bad("two-of-one", missing, "two certificates, where one was asked for", cert_thumbs=thumbs * 2)
        bare = forced(body.cert_status, nonce_cca=None)
        bad("without-nonce", decoding, "no Nonce-CCA with a cardholder's certificate", cert_status=bare)
    issuer = ca_of(office, applicant)._authority._key

    def other(change: Callable[[Certificate], object]) -> bytes:
        made = Certificate.of(by_thumb[thumbs[0]])
        change(made)
        made.serial += 1
        return made.signed(applicant.suite, issuer)

    stranger = key_suite(applicant.suite).generate_signature_key().public_key()
    somebody = spare(office, applicant.party.role).signature_certificate
    renamed = other(lambda made: _rename(made, somebody))
    rekeyed = other(lambda made: setattr(made, "public_key", stranger))
    for name, der, mutation in (
        ("other-key", rekeyed, "the certificate is of another key"),
        ("other-name", renamed, "the certificate is in another name"),
    ):
        bad(name, E.invalidCertificate, mutation, also=[der], cert_thumbs=[thumbprint(der), *thumbs[1:]])


def _rename(made: Certificate, other: bytes) -> None:
    """Another party's name: a merchant's stands in an extension."""
    found = Certificate.of(other)
    made.subject = found.subject
    for value, critical in found.extensions:
        if value.oid == MERCHANT_DATA:
            made.put(value, critical)


# --- other CAs ------------------------------------------------------------------------------------


def without_tunneling(office: Office, applicant: Applicant, *algorithms: ObjectIdentifier) -> bytes:
    """Another key-exchange certificate of the CA, genuine, with another ``tunneling`` or none."""
    exchange = ca_of(office, applicant).credentials.exchange
    assert exchange is not None
    made = Certificate.of(exchange.certificate)
    made.drop(TUNNELING)
    if algorithms:
        made.put(to_extension(Tunneling(tunneling=True, algorithms=algorithms)), False)
    made.serial += 1
    return made.signed(applicant.suite, office.tree.brand_ca._key)


def second_ca(office: Office) -> CertificateAuthority:
    """Another cardholder CA of the brand."""
    ca, key = office.cas[Role.cardholder], office.tree.suite.generate_signature_key()
    made = Certificate.of(ca.credentials.signer.certificate)
    unit = NameOID.ORGANIZATIONAL_UNIT_NAME
    made.subject = Name([NameAttribute(unit, "Second CA") if one.oid == unit else one for one in made.subject])
    made.public_key, made.serial = key.public_key(), made.serial + 1
    made.put(SubjectKeyIdentifier(key_identifier(key.public_key())), False)
    signer = Signer(key, made.signed(ca.suite, office.tree.brand_ca._key), suite(ca.suite))
    own = replace(ca.credentials, party=replace(ca.party, name="Second CA"), signer=signer)
    return office.on_the_store_of(ca, own)


def spare(office: Office, role: Role) -> Any:
    """Somebody else's keys and certificates, in the same role and brand."""
    if role is Role.cardholder:
        return office.tree.issue_cardholder(bytes(range(20)))
    if role is Role.merchant:
        return office.tree.issue_merchant("shop-2", "Other Bookshop", ACQUIRER_BIN)
    return office.tree.issue_gateway("gateway-2")
