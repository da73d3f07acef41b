"""Bodies of the registration messages: an applicant and its CA (set-protocol.md §2.15–2.19).

The applicant, a cardholder, a merchant or a gateway, is called the end entity (EE).  What SET leaves out or leaves
open and is mandatory here (§8.1 W-5, W-11, W-12): every body names sender and recipient, every response hashes the
request, Chall-CA comes back in CertReq, and a merchant or gateway shows with ``key_proof`` that it can open what is
sealed to the key-exchange key that it wants certified.
"""

from __future__ import annotations

from typing import Annotated, Final

from cryptography.x509 import ObjectIdentifier

from pki.der import Default, Implicit, Redacted, Size, sequence
from pki.extensions import AES256_GCM
from setproto.card import PAN, Card, CardExpiry, CardSecret
from setproto.messages.codes import CertStatusCode, RequestType
from setproto.messages.common import (
    RRPID,
    BodyHead,
    Challenge,
    Date,
    Digest,
    Language,
    LocalID,
    Nonce,
    Sealed,
    Signed,
    Text40,
    Thumbs,
    check_numbers,
)
from setproto.messages.purchase import PAN_FIELD

MAX_FIELDS: Final = 64
"""Fields of one registration form."""
MAX_TEXT: Final = 4096
"""Characters of policy texts, reasons and messages; SET fixes no limit for most of them."""
CA_ALG: Final = AES256_GCM
"""AES-256-GCM: the one algorithm under which a CA answers a cardholder."""

Text = Annotated[str, Size(min=1, max=MAX_TEXT)]
URL = Annotated[str, Size(min=1, max=512)]


def _check_texts(*texts: str | None, limit: int = MAX_TEXT) -> None:
    if any(text is not None and not 1 <= len(text) <= limit for text in texts):
        raise ValueError(f"a text has 1 to {limit} characters")


# --- account data: sealed apart from everything else (PU-10, CR-16) --------------------------------


@sequence
class PANOnly(Redacted):
    """The PAN, to find the form by; padded to one length (PX-3)."""

    pan: Annotated[str, Size.exact(PAN_FIELD)]
    ex_nonce: Nonce

    @classmethod
    def of(cls, pan: PAN, ex_nonce: bytes) -> PANOnly:
        """``ex_nonce``: 32 fresh random octets."""
        return cls(pan=pan.reveal().ljust(PAN_FIELD), ex_nonce=ex_nonce)

    def read(self) -> PAN:
        """The PAN, in a type that redacts itself.  ValueError if it is none."""
        return PAN(self.pan.rstrip(" "))


@sequence
class PANData0(Redacted):
    """The account that a cardholder registers, and its half of PANSecret."""

    pan: Annotated[str, Size.exact(PAN_FIELD)]
    card_expiry: Annotated[str, Size.exact(6)]
    card_secret: Nonce
    ex_nonce: Nonce

    @classmethod
    def of(cls, card: Card, card_secret: CardSecret, ex_nonce: bytes) -> PANData0:
        """``ex_nonce``: 32 fresh random octets."""
        return cls(
            pan=card.pan.reveal().ljust(PAN_FIELD),
            card_expiry=card.expiry.reveal(),
            card_secret=card_secret.reveal(),
            ex_nonce=ex_nonce,
        )

    def card(self, brand: str) -> Card:
        """The card, in types that redact themselves.  ValueError if PAN or expiry is not well-formed."""
        return Card(brand, PAN(self.pan.rstrip(" ")), CardExpiry(self.card_expiry))

    def secret(self) -> CardSecret:
        """CardSecret, in a type that redacts itself."""
        return CardSecret(self.card_secret)


@sequence
class AcctData(Redacted):
    """The answer to AcctDataField: what identifies a merchant's or gateway's account at its acquirer."""

    acct_identification: Annotated[str, Size(min=1, max=74)]
    ex_nonce: Nonce


@sequence
class SealedPair:
    """RegFormReq and CertReq on the wire: the message, and account data in a seal of its own.

    The message holds the digest of the account data, which is SET's ``L(t, p)``.
    """

    sealed: Sealed
    sealed_account: Annotated[Sealed | None, Implicit(0)] = None


@sequence
class KeySigned:
    """What an applicant signs: the content, and detached SignedData over it by each key that it has to be signed with.

    ``by_new_key`` proves possession of the signature key to be certified; ``by_certified_key`` is by the key of the
    certificate that is renewed.  In SET they are two SignerInfos of one object, the first with a null name.
    """

    content: bytes
    by_new_key: Annotated[Signed | None, Implicit(0)] = None
    by_certified_key: Annotated[Signed | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        if self.by_new_key is None and self.by_certified_key is None:
            raise ValueError("not signed")


@sequence
class CertResWire:
    """CertRes on the wire: signed, or signed and then sealed under CABackKey (EncK)."""

    signed: Annotated[Signed | None, Implicit(0)] = None
    sealed: Annotated[Sealed | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        if (self.signed is None) == (self.sealed is None):
            raise ValueError("either signed or sealed")


# --- forms ----------------------------------------------------------------------------------------


@sequence
class RegField:
    """One field of a form."""

    field_id: Annotated[ObjectIdentifier | None, Implicit(0)] = None
    field_name: Annotated[str, Size(min=1, max=128)]
    field_desc: Annotated[str | None, Implicit(1)] = None
    field_len: Annotated[int | None, Implicit(2)] = None
    """Characters at most."""
    field_required: Annotated[bool, Default(False)] = False
    field_invisible: Annotated[bool, Implicit(3), Default(False)] = False
    """Not shown while it is typed, like a passphrase."""

    def __post_init__(self) -> None:
        _check_texts(self.field_desc)
        if self.field_len is not None and not 1 <= self.field_len <= MAX_TEXT:
            raise ValueError("a field has room for 1 to 4096 characters")


@sequence
class RegTemplate:
    """A form."""

    reg_form_id: int
    brand_logo_url: Annotated[str | None, Implicit(0)] = None
    card_logo_url: Annotated[str | None, Implicit(1)] = None
    reg_field_seq: Annotated[list[RegField], Size(min=1, max=MAX_FIELDS)]

    def __post_init__(self) -> None:
        check_numbers(self)
        _check_texts(self.brand_logo_url, self.card_logo_url, limit=512)
        names = [field.field_name for field in self.reg_field_seq]
        if len(set(names)) != len(names):
            raise ValueError("two fields of one name")


@sequence
class RegFormData:
    """A form and the policy under which the CA certifies, shown together; without a template nothing is asked."""

    reg_template: Annotated[RegTemplate | None, Implicit(0)] = None
    policy_text: Text


@sequence
class ReferralData:
    """Where to go instead; the URLs are in order of preference."""

    reason: Annotated[str | None, Implicit(0)] = None
    referral_url_seq: Annotated[list[URL] | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        _check_texts(self.reason)
        if self.referral_url_seq is not None and not 1 <= len(self.referral_url_seq) <= 16:
            raise ValueError("1 to 16 URLs")


@sequence
class RegFormOrReferral:
    """A form to fill in, or a referral."""

    reg_form_data: Annotated[RegFormData | None, Implicit(0)] = None
    referral_data: Annotated[ReferralData | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        if (self.reg_form_data is None) == (self.referral_data is None):
            raise ValueError("either a form or a referral")


@sequence
class RegFormItem:
    """One answer."""

    field_name: Annotated[str, Size(min=1, max=128)]
    field_value: Annotated[str, Size(min=0, max=MAX_TEXT)]


# --- who applies ----------------------------------------------------------------------------------


@sequence
class MerchantAcquirerID:
    """A merchant at an acquirer."""

    merchant_bin: Annotated[str, Size.exact(6)]
    merchant_id: Annotated[str, Size(min=1, max=30)]


@sequence
class AcquirerID:
    """A gateway of an acquirer; ``acquirer_business_id``, optional in SET, is the gateway's identifier here."""

    acquirer_bin: Annotated[str, Size.exact(6)]
    acquirer_business_id: Annotated[str, Size(min=1, max=32)]


@sequence
class IDData:
    """Under which name a merchant or a gateway wants to be certified."""

    merchant_acquirer_id: Annotated[MerchantAcquirerID | None, Implicit(0)] = None
    acquirer_id: Annotated[AcquirerID | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        if (self.merchant_acquirer_id is None) == (self.acquirer_id is None):
            raise ValueError("either a merchant or a gateway")
        if not (self.bin.isascii() and self.bin.isdigit()):
            raise ValueError("a BIN is six digits")

    @property
    def bin(self) -> str:
        """The acquirer's BIN."""
        return self.merchant_acquirer_id.merchant_bin if self.merchant_acquirer_id else self._acquirer.acquirer_bin

    @property
    def name(self) -> str:
        """merID, or the gateway's identifier: the name that the certificates will have."""
        if self.merchant_acquirer_id:
            return self.merchant_acquirer_id.merchant_id
        return self._acquirer.acquirer_business_id

    @property
    def _acquirer(self) -> AcquirerID:
        if self.acquirer_id is None:
            raise ValueError("either a merchant or a gateway")
        return self.acquirer_id


# --- messages -------------------------------------------------------------------------------------


@sequence
class CardCInitReq:
    """Plain: asks the cardholder CA for its key-exchange certificate."""

    rrpid: RRPID
    lid_ee: LocalID
    chall_ee: Challenge
    brand_id: Text40
    thumbs: Annotated[Thumbs | None, Implicit(0)] = None


@sequence
class CardCInitResData:
    """No LID-CA yet: the CA remembers nothing until it has seen a RegFormReq, so this request costs it no memory."""

    head: BodyHead
    request_digest: Digest
    rrpid: RRPID
    lid_ee: LocalID
    chall_ee: Challenge
    cae_thumb: Digest
    """Thumbprint of the CA's key-exchange certificate."""
    thumbs: Annotated[Thumbs | None, Implicit(0)] = None


@sequence
class MeAqCInitReq:
    """Plain: a merchant or gateway asks for its form."""

    rrpid: RRPID
    lid_ee: LocalID
    chall_ee: Challenge
    request_type: RequestType
    id_data: IDData
    brand_id: Text40
    language: Language
    public_key_e: Annotated[bytes | None, Implicit(0)] = None
    """The key-exchange key to be certified (SubjectPublicKeyInfo), present if one is: the answer tests it."""
    thumbs: Annotated[Thumbs | None, Implicit(1)] = None


@sequence
class MeAqCInitResData:
    """The form, and the challenges that CertReq has to answer."""

    head: BodyHead
    request_digest: Digest
    rrpid: RRPID
    lid_ee: LocalID
    chall_ee: Challenge
    lid_ca: LocalID
    chall_ca: Challenge
    request_type: RequestType
    reg_form_or_referral: RegFormOrReferral
    acct_data_field: Annotated[RegField | None, Implicit(0)] = None
    cae_thumb: Digest
    sealed_key_challenge: Annotated[Sealed | None, Implicit(1)] = None
    """32 octets sealed to ``public_key_e``."""
    thumbs: Annotated[Thumbs | None, Implicit(2)] = None


@sequence
class RegFormReqData:
    """Sealed, not signed: nobody vouches for it yet."""

    head: BodyHead
    rrpid: RRPID
    lid_ee: LocalID
    chall_ee2: Challenge
    request_type: RequestType
    language: Language
    account_digest: Digest
    thumbs: Annotated[Thumbs | None, Implicit(0)] = None


@sequence
class RegFormResData:
    """The form for this card."""

    head: BodyHead
    request_digest: Digest
    rrpid: RRPID
    lid_ee: LocalID
    chall_ee2: Challenge
    lid_ca: LocalID
    chall_ca: Challenge
    cae_thumb: Digest
    request_type: RequestType
    reg_form_or_referral: RegFormOrReferral
    thumbs: Annotated[Thumbs | None, Implicit(0)] = None


@sequence
class CABackKeyData(Redacted):
    """A key with which the CA answers a cardholder, who has no key-exchange key."""

    ca_alg_id: ObjectIdentifier
    ca_key: Nonce


@sequence
class CertReqData:
    """The request: what the new key signs, and the old one if there is one."""

    head: BodyHead
    rrpid: RRPID
    lid_ee: LocalID
    chall_ee3: Challenge
    lid_ca: LocalID
    chall_ca: Challenge
    """Mandatory: SET has it optional, and so no proof to the CA that the request is fresh (MR-N2, W-11)."""
    request_type: RequestType
    request_date: Date
    id_data: Annotated[IDData | None, Implicit(0)] = None
    reg_form_id: int
    reg_form: Annotated[list[RegFormItem] | None, Implicit(1)] = None
    ca_back_key_data: Annotated[CABackKeyData | None, Implicit(2)] = None
    public_key_s: Annotated[bytes | None, Implicit(3)] = None
    public_key_e: Annotated[bytes | None, Implicit(4)] = None
    key_proof: Annotated[bytes | None, Implicit(5)] = None
    """What was sealed to ``public_key_e``."""
    ee_thumb: Annotated[bytes | None, Implicit(6)] = None
    """Thumbprint of the certificate whose key signs beside the new one."""
    account_digest: Annotated[bytes | None, Implicit(7)] = None
    thumbs: Annotated[Thumbs | None, Implicit(8)] = None

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.public_key_s is None and self.public_key_e is None:
            raise ValueError("at least one key is to be certified")
        if (self.public_key_e is None) != (self.key_proof is None):
            raise ValueError("a key-exchange key comes with its proof")
        if self.reg_form is not None and not 1 <= len(self.reg_form) <= MAX_FIELDS:
            raise ValueError(f"1 to {MAX_FIELDS} answers")
        sized = (self.key_proof, self.ee_thumb, self.account_digest)
        if any(octets is not None and len(octets) != 32 for octets in sized):
            raise ValueError("proofs, thumbprints and digests have 32 octets")


@sequence
class FailedItem:
    """What is wrong with one answer; ``item_number`` counts the fields of the form from 1."""

    item_number: int
    item_reason: Annotated[str, Size(min=1, max=128)]

    def __post_init__(self) -> None:
        check_numbers(self)


@sequence
class CaMsg:
    """What a wallet shows with a new certificate."""

    card_logo_url: Annotated[str | None, Implicit(0)] = None
    brand_logo_url: Annotated[str | None, Implicit(1)] = None
    card_currency: Annotated[int | None, Implicit(2)] = None
    cardholder_msg: Annotated[str | None, Implicit(3)] = None

    def __post_init__(self) -> None:
        _check_texts(self.card_logo_url, self.brand_logo_url, limit=512)
        _check_texts(self.cardholder_msg)
        if self.card_currency is not None and not 1 <= self.card_currency <= 999:
            raise ValueError("a currency is 1 to 999")


@sequence
class CertStatus(Redacted):
    """How the registration stands.  Nonce-CCA, the CA's half of PANSecret, comes with a cardholder's certificate."""

    cert_status_code: CertStatusCode
    nonce_cca: Annotated[bytes | None, Implicit(0)] = None
    ee_message: Annotated[str | None, Implicit(1)] = None
    ca_msg: Annotated[CaMsg | None, Implicit(2)] = None
    failed_item_seq: Annotated[list[FailedItem] | None, Implicit(3)] = None

    def __post_init__(self) -> None:
        _check_texts(self.ee_message)
        if self.nonce_cca is not None and len(self.nonce_cca) != 32:
            raise ValueError("Nonce-CCA has 32 octets")
        if self.failed_item_seq is not None and not 1 <= len(self.failed_item_seq) <= MAX_FIELDS:
            raise ValueError(f"1 to {MAX_FIELDS} items")


@sequence
class CertResData:
    """The answer: both certificates of a merchant or gateway under one signature, which hashes the request (W-12)."""

    head: BodyHead
    request_digest: Digest
    rrpid: RRPID
    lid_ee: LocalID
    chall_ee3: Challenge
    lid_ca: LocalID
    cert_status: CertStatus
    cert_thumbs: Annotated[list[bytes] | None, Implicit(0)] = None
    """Of the new certificates, which are enclosed: signature, then key exchange."""
    thumbs: Annotated[Thumbs | None, Implicit(1)] = None

    def __post_init__(self) -> None:
        thumbs = self.cert_thumbs
        if thumbs is not None and (not 1 <= len(thumbs) <= 2 or any(len(thumb) != 32 for thumb in thumbs)):
            raise ValueError("one or two certificates, by thumbprints of 32 octets")
        if (self.cert_status.cert_status_code is CertStatusCode.requestComplete) != (self.cert_thumbs is not None):
            raise ValueError("certificates come exactly with requestComplete")


@sequence
class CertInqReqData:
    """How does my request stand?  Signed with the key whose certification is asked about."""

    head: BodyHead
    rrpid: RRPID
    lid_ee: LocalID
    chall_ee3: Challenge
    lid_ca: LocalID
