"""Cardholders, merchants and gateways are certified (set-protocol.md §6.11 to 6.13; CR-*, MR-*, PX-13)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from pki import key_suite, thumbprint
from pki.der import decode, encode, tlv
from pki.suites import public_key_der
from setproto.card import Card
from setproto.crypto.possession import private_key_from, private_key_octets
from setproto.errors import ErrorCode as E
from setproto.market import ACQUIRER_BIN, BRAND
from setproto.messages.codes import RequestType, Wants
from setproto.messages.common import PartyID, Role, Thumbs
from setproto.messages.oids import ID_CERT_INQ_REQ_TBS, ID_PINIT_RES_DATA
from setproto.messages.registration import PANData0, PANOnly, RegFormItem
from setproto.messages.wrapper import unwrap, wrap
from setproto.roles.applicant import Applicant
from setproto.roles.authority.ports import Verdict
from setproto.roles.party import decoded
from setproto.roles.ports import Outgoing
from vectors.recipes.flows import OTHER_SUITES, UNKNOWN, Book, Played, flipped, party_group, played
from vectors.recipes.office import ACCOUNT, ANSWERS, CARD, FORM, OTHER_CARD, Office
from vectors.recipes.registration_hands import Draft, answered, ca_of, draft, inquiry, reg_form_req
from vectors.recipes.registration_rules import (
    answer_rules,
    cert_req_rules,
    certified_inquiry,
    early_inquiry,
    init_req_rules,
    inquiry_rules,
    reg_form_req_rules,
    renewal_rules,
)

ROLES: Final = {Role.cardholder: "card", Role.merchant: "shop", Role.gateway: "gateway"}
SECRETS: Final = (CARD.pan.reveal().encode(), ANSWERS["Password"].encode())
COVERS: Final = {
    "CardCInitReq": ("rule 6.11.2", "CR-1"),
    "CardCInitRes": ("rule 6.11.4", "CR-1", "CR-3", "CR-4"),
    "RegFormReq": ("rule 6.11.6", "CR-1", "CR-15", "CR-16"),
    "RegFormRes": ("rule 6.11.8", "CR-1", "CR-5"),
    "Me-AqCInitReq": ("rule 6.12", "MR-2"),
    "Me-AqCInitRes": ("rule 6.12", "MR-2"),
    "CertReq": ("rule 6.11.11", "CR-1", "CR-17", "CR-19", "MR-5", "MR-6"),
    "CertRes": ("rule 6.11.14", "CR-1", "CR-6", "MR-7", "MR-8"),
    "CertInqReq": ("rule 6.11.15", "CR-1"),
    "CertInqRes": ("rule 6.11.15", "CR-1"),
}


def ca_group(office: Office, role: Role, transcript: list[dict[str, str]], **policy: Any) -> dict[str, Any]:
    """A CA as it is now."""
    ca, register = office.cas[role], office.registers[role]
    group = party_group(
        ca.party.role.name,
        ca,
        transcript,
        verdict=(office.bank.verdicts or [Verdict.APPROVED])[0].name,
        form=encode(FORM).hex(),
        account_field=encode(ACCOUNT).hex() if role is not Role.cardholder else None,
        referred="999999",
        acquirer_bin=ACQUIRER_BIN,
        certified_keys=sorted(key.hex() for key in register._keys),
        certified={str(serial): der.hex() for serial, der in sorted(register._certificates.items())},
        **policy,
    )
    authority = ca._authority
    group["keys"] |= {
        "authority_key": private_key_octets(authority._key).hex(),
        "authority_certificate": authority.checked.der.hex(),
        "authority_chain": [der.hex() for der in authority.chain[1:]],
        "secret_key": bytes(32).hex(),
    }
    return group


def applicant_group(applicant: Applicant, transcript: list[dict[str, str]]) -> dict[str, Any]:
    """An applicant as it is now."""
    subject, role = applicant._subject, applicant.party.role
    policy: dict[str, Any] = {
        "applicant": role.name,
        "brand": BRAND,
        "request_type": applicant._request_type.name,
        "lid_ee": applicant._lid_ee.hex(),
    }
    if not isinstance(subject, Card):
        policy |= {"id_data": encode(subject.id_data).hex(), "account": subject.account}
    group = party_group("applicant", applicant, transcript, **policy)
    group["keys"] = {"vault_key": bytes(range(32)).hex()}
    if isinstance(subject, Card):
        group["keys"] |= {"brand": BRAND, "pan": subject.pan.reveal(), "expiry": subject.expiry.reveal()}
    return group


def play(suite: str) -> Book:
    """All three registrations in p256, that of a cardholder in the other suites."""
    book = Book("registration", suite)
    for role in ROLES if suite == "p256" else (Role.cardholder,):
        story(book, suite, role)
    if suite == "p256":
        verdicts(book)
        waiting(book)
        for role, wanted in RENEWALS.items():
            for request_type in wanted:
                renewal(book, role, request_type)
    return book


def story(book: Book, suite: str, role: Role) -> None:
    """One registration that is decided at the second asking."""
    office = Office.open(suite)
    applicant = office.applicant(role, lid_ee=b"registration")
    office.bank.verdicts = [Verdict.PENDING]
    seen: list[tuple[bool, str]] = []
    for act in (applicant.start, lambda: applicant.apply(ANSWERS), applicant.inquire):
        for message in office.steps(applicant, act()):
            by_applicant = message.name.endswith("Req")
            if suite != "p256" and message.name not in ("CertReq", "CertRes"):
                seen.append((by_applicant, message.data.hex()))
                continue  # what is signed and sealed there is covered by areas of its own; the files are large
            if by_applicant:
                transcript = [{"received" if mine else "sent": data} for mine, data in seen]
                group = ca_group(office, role, transcript)
            else:
                transcript = [{"sent" if mine else "received": data} for mine, data in seen]
                group = applicant_group(applicant, transcript)
            book.group(group, SECRETS)
            name = f"{ROLES[role]}-{message.name.lower().replace('-', '')}"
            book.good(name, message.data, f"a genuine {message.name} of a {role.name}", COVERS[message.name])
            deviate(book, office, applicant, message.name, message.data, name, every=suite == "p256")
            seen.append((by_applicant, message.data.hex()))


RENEWALS: Final = {
    Role.cardholder: (RequestType.cardRenewalSig,),
    Role.merchant: (RequestType.merRenewalBoth, RequestType.merInitialEnc),
}
"""Requests that are signed with a certified key."""


def renewal(book: Book, role: Role, request_type: RequestType) -> None:
    """Somebody who has certificates asks for more; decided at the second asking."""
    office = Office.open(book.suite)
    first = office.applicant(role, lid_ee=b"registration")
    seen: list[dict[str, str]] = []

    def play(acting: Applicant, *acts: Callable[[], Outgoing], watch: bool = False) -> None:
        for act in acts:
            for message in office.steps(acting, act()):
                if watch and message.name in ("CertReq", "CertInqReq"):
                    book.group(ca_group(office, role, list(seen)), SECRETS)
                    name = f"{ROLES[role]}-{request_type.name.lower()}-{message.name.lower()}"
                    if message.name == "CertReq":
                        renewal_rules(book, office, acting, message.data, name, other)
                    elif request_type.wants is Wants.ENC:
                        certified_inquiry(book, office, acting, message.data, name)
                seen.append({"received" if message.name.endswith("Req") else "sent": message.data.hex()})

    play(first, first.start, lambda: first.apply(ANSWERS))
    other = None
    if role is Role.cardholder:
        somebody = office.applicant(role, subject=OTHER_CARD, lid_ee=b"somebody else")
        play(somebody, somebody.start, lambda: somebody.apply(ANSWERS))
        other = somebody.certified().credentials.signer
    again = office.applicant(
        role, lid_ee=b"renewal", request_type=request_type, certified=first.certified().credentials
    )
    office.bank.verdicts = [Verdict.PENDING]
    play(again, again.start, lambda: again.apply(ANSWERS), again.inquire, watch=True)


def deviate(
    book: Book, office: Office, applicant: Applicant, message: str, data: bytes, sibling: str, *, every: bool
) -> None:
    """What is wrong with a message of this name."""
    if message not in ("CardCInitReq", "Me-AqCInitReq"):
        code = E.decryptionFailure if message in ("RegFormReq", "CertReq") else E.signatureFailure
        if message in ("CertRes", "CertInqRes") and applicant.party.role is Role.cardholder:
            code = E.decryptionFailure
        book.bad(
            f"{sibling}-bit", flipped(data), code, sibling, "the last octet but nineteen", ("PX-10",), flags=("Wire",)
        )
    if not every:
        return
    if message == "CertReq":
        cert_req(book, office, applicant, sibling)
        cert_req_rules(book, office, applicant, sibling)
        early_inquiry(book, office, applicant, sibling)
    elif message == "RegFormReq":
        form_req(book, office, applicant, sibling)
        reg_form_req_rules(book, office, applicant, data, sibling)
    elif message.endswith("Res"):
        answers(book, office, applicant, message, data, sibling)
        answer_rules(book, office, applicant, message, data, sibling)
    elif message == "CertInqReq":
        suite = key_suite(book.suite)
        book.bad(
            f"{sibling}-other-key",
            inquiry(office, applicant, suite.generate_signature_key()),
            E.signatureFailure,
            sibling,
            "signed with another key than the one that waits",
            ("rule 6.11.15",),
        )
        inquiry_rules(book, office, applicant, sibling)
    else:
        if message == "Me-AqCInitReq":
            init_req_rules(book, data, sibling)
        wire = unwrap(data)
        assert wire.type is not None
        body = decoded(wire.type.body, wire.body)
        for name, changes, reason, mutation in (
            ("rrpid", {"rrpid": bytes(20)}, E.unknownRRPID, "RRPID is not the header's"),
            ("brand", {"brand_id": "Other"}, E.invalidCertificate, "of another brand"),
        ):
            book.bad(
                f"{sibling}-{name}",
                wrap(wire.type, encode(replace(body, **changes)), wire.header),
                reason,
                sibling,
                mutation,
                ("rule 6.11.2",),
            )


CHALLENGES: Final = {"CardCInitRes": "chall_ee", "Me-AqCInitRes": "chall_ee", "RegFormRes": "chall_ee2"}


def answers(book: Book, office: Office, applicant: Applicant, message: str, data: bytes, sibling: str) -> None:
    """What CAs could answer, with their own keys."""
    changes: dict[str, tuple[dict[str, Any], E, str]] = {
        "challenge": ({CHALLENGES.get(message, "chall_ee3"): bytes(20)}, E.challengeMismatch, "another challenge"),
        "request": ({"request_digest": bytes(32)}, E.wrapperMsgMismatch, "hashes another request"),
        "label": ({"lid_ee": b"somebody"}, E.unknownLID, "another LID-EE"),
        "thumbs": ({"thumbs": Thumbs(cert_thumbs=[bytes(32)])}, E.thumbsMismatch, "other Thumbs"),
        "type": ({"head": {"type": ID_PINIT_RES_DATA}}, E.wrongRecipient, "signed as another type"),
        "recipient": (
            {"head": {"recipient": PartyID(role=Role.cardholder, brand=BRAND, name="somebody")}},
            E.wrongRecipient,
            "signed for another recipient",
        ),
        "sender": (
            {"head": {"sender": PartyID(role=Role.cardholder_ca, brand=BRAND, name="Some other CA")}},
            E.wrongRecipient,
            "signed in the name of another CA",
        ),
        "suite": ({"head": {"suite": "rsa3072"}}, E.wrongRecipient, "signed for another suite"),
    }
    if message.startswith("Cert"):
        changes["lid-ca"] = ({"lid_ca": bytes(20)}, E.unknownLID, "another LID-CA")
    for name, (fields, code, mutation) in changes.items():
        book.bad(
            f"{sibling}-{name}",
            answered(office, applicant, data, **fields),
            code,
            sibling,
            mutation,
            ("rule 6.11.4", "CR-4", "CR-5", "CR-6"),
        )
    if message in ("CardCInitRes", "Me-AqCInitRes"):
        book.bad(
            f"{sibling}-cae",
            answered(office, applicant, data, cae_thumb=bytes(32)),
            E.missingCertificate,
            sibling,
            "CAEThumb of no certificate",
            ("CR-3", "CR-9", "MR-2", "MR-4"),
        )
        own = thumbprint(ca_of(office, applicant).credentials.signer.certificate)
        book.bad(
            f"{sibling}-cae-kind",
            answered(office, applicant, data, cae_thumb=own),
            E.invalidCertificate,
            sibling,
            "CAEThumb of the CA's signature certificate",
            ("CR-3", "CR-9", "MR-2", "MR-4"),
        )


def form_req(book: Book, office: Office, applicant: Applicant, sibling: str) -> None:
    """§6.11 step 6."""
    for name, changes, code, mutation in (
        ("reserved", {"request_type": RequestType.cardInitialEnc}, E.messageNotSupported, "a reserved RequestType"),
        ("merchants", {"request_type": RequestType.merInitialSig}, E.messageNotSupported, "a merchant's RequestType"),
        ("label", {"lid_ee": b"somebody"}, E.wrongRecipient, "LID-EE of another applicant"),
        ("account-digest", {"account_digest": bytes(32)}, E.signatureFailure, "another link to the account data"),
        ("no-number", {"pan_only": b"4111"}, E.decodingFailure, "account data that is none"),
        (
            "check-digit",
            {"pan_only": encode(PANOnly(pan="4111111111111112".ljust(19), ex_nonce=bytes(32)))},
            E.decodingFailure,
            "a number with a wrong check digit",
        ),
    ):
        book.bad(
            f"{sibling}-{name}",
            reg_form_req(office, applicant, **changes),
            code,
            sibling,
            mutation,
            ("rule 6.11.6", "CR-16"),
        )


def cert_req(book: Book, office: Office, applicant: Applicant, sibling: str) -> None:
    """§6.11 step 11, §6.13."""
    suite = key_suite(book.suite)

    def new_key() -> bytes:
        return public_key_der(suite.generate_signature_key().public_key())

    genuine = draft(office, applicant)
    rules: dict[str, tuple[Callable[[Draft], Draft], E | str, str, tuple[str, ...]]] = {
        "chall-ca": (lambda d: d.but(chall_ca=bytes(20)), E.challengeMismatch, "another Chall-CA", ("PX-13", "MR-N2")),
        "lid-ca": (lambda d: d.but(lid_ca=bytes(20)), E.unknownLID, "LID-CA of no registration", ("PX-13",)),
        "form": (lambda d: d.but(reg_form_id=8), E.wrapperMsgMismatch, "another form", ("rule 6.11.11",)),
        "unproved": (
            lambda d: d.but(public_key_s=new_key()),
            E.signatureFailure,
            "a key of which possession is not shown",
            ("PX-13",),
        ),
        "other-key": (
            lambda d: replace(d, new_key=suite.generate_signature_key()),
            E.signatureFailure,
            "signed with another key",
            ("PX-13",),
        ),
        "unsigned": (
            lambda d: replace(d, signed=tlv(0x30, tlv(0x04, d.content))),
            E.decodingFailure,
            "not signed",
            ("PX-13",),
        ),
        "not-a-key": (lambda d: d.but(public_key_s=b"not a key"), E.decodingFailure, "a key that is none", ("PX-13",)),
        "key-of-other-suite": (
            lambda d: d.but(public_key_s=public_key_der(key_suite("ed25519").generate_signature_key().public_key())),
            E.decodingFailure,
            "a key of another suite",
            ("PX-13",),
        ),
        "recipient": (
            lambda d: d.head(recipient=replace(d.request.head.recipient, name="Other CA")),
            E.wrongRecipient,
            "for another CA",
            ("PX-6",),
        ),
        "type": (lambda d: d.head(type=ID_CERT_INQ_REQ_TBS), E.wrongRecipient, "of another type", ("PX-6",)),
        "version": (lambda d: d.head(version=1), E.wrongRecipient, "of another version", ("PX-6",)),
        "suite": (lambda d: d.head(suite="ed25519"), E.wrongRecipient, "of another suite", ("PX-6",)),
        "sender": (
            lambda d: d.head(sender=replace(d.sender, name="abababab")),
            E.wrongRecipient,
            "in another name than the header's",
            ("PX-6", "MR-N2"),
        ),
        "unlinked": (
            lambda d: replace(d.but(account_digest=None), linked=False),
            E.signatureFailure,
            "account data without a link",
            ("CR-19",),
        ),
        "no-account": (
            lambda d: replace(d, account=None),
            E.signatureFailure,
            "a link without account data",
            ("CR-19",),
        ),
        "extension": (
            lambda d: d.but(extensions=[UNKNOWN]),
            E.unrecognizedExtension,
            "an unknown critical extension",
            ("rule 4.1.12",),
        ),
        "form-unanswered": (
            lambda d: d.but(reg_form=[RegFormItem(field_name="Name", field_value="Ada")]),
            "CertStatusCode.regFormAnswerMalformed",
            "a required answer is missing",
            ("rule 6.11.11",),
        ),
        "ca-key": (
            lambda d: d.but(public_key_s=public_key_der(ca_of(office, applicant)._authority._key.public_key())),
            E.signatureFailure,
            "the CA's own key",
            ("CR-18", "PX-13"),
        ),
    }
    if applicant.party.role is Role.cardholder:
        rules |= {
            "back-key": (
                lambda d: d.but(ca_back_key_data=None),
                E.wrapperMsgMismatch,
                "no key for the answer",
                ("rule 6.11.13",),
            ),
            "label": (lambda d: d.but(lid_ee=b"somebody"), E.wrongRecipient, "LID-EE of another applicant", ("PX-6",)),
            "pan-swapped": (
                swapped,
                "CertStatusCode.invalidBIN",
                "a card of another BIN than the form was for",
                ("rule 6.11.11", "CR-17"),
            ),
        }
    else:
        rules |= {
            "key-proof": (
                lambda d: d.but(key_proof=bytes(32)),
                E.challengeMismatch,
                "possession of the key-exchange key is not shown",
                ("PX-13", "MR-6"),
            ),
            "exchange-key": (
                lambda d: d.but(public_key_e=public_key_der(suite.generate_exchange_key().public_key())),
                E.wrapperMsgMismatch,
                "another key-exchange key than was announced",
                ("PX-13", "MR-6"),
            ),
        }
    for name, (change, code, mutation, covers) in rules.items():
        if name == "extension" and not hasattr(genuine.request, "extensions"):
            continue
        book.bad(f"{sibling}-{name}", change(genuine).data(), code, sibling, mutation, covers)


def swapped(draft_: Draft) -> Draft:
    """The same request about another card."""
    assert draft_.account is not None
    account = decode(PANData0, draft_.account)
    return replace(draft_, account=encode(replace(account, pan=OTHER_CARD.pan.reveal().ljust(19))))


def verdicts(book: Book) -> None:
    """What the bank decides."""
    for role, verdict, code in (
        (Role.cardholder, Verdict.REFUSED, "CertStatusCode.rejectedByIssuer"),
        (Role.merchant, Verdict.REFUSED, "CertStatusCode.rejectedByAquirer"),
    ):
        office = Office.open(book.suite)
        applicant = office.ready(role)
        data = applicant.apply(ANSWERS).data
        office.bank.verdicts = [verdict]
        book.group(ca_group(office, role, []), SECRETS)
        book.bad(f"{ROLES[role]}-refused", data, code, f"{ROLES[role]}-certreq", "the bank refuses", ("rule 6.13",))
    office = Office.open(book.suite)
    applicant = office.ready(Role.cardholder)
    data = applicant.apply(ANSWERS).data
    with_key = ca_group(office, Role.cardholder, [])
    spki = public_key_der(key_of(applicant))
    with_key["policy"]["certified_keys"] = [hashlib.sha256(spki).hexdigest()]
    book.group(with_key, SECRETS)
    book.bad(
        "card-key-twice",
        data,
        "CertStatusCode.rejectedByCA",
        "card-certreq",
        "the CA has certified this key before",
        ("CR-18", "PX-13"),
    )


def waiting(book: Book) -> None:
    """The bank has not decided: what the CA itself has against a key counts all the same."""
    office = Office.open(book.suite)
    first, second = office.ready(Role.cardholder), office.ready(Role.cardholder)
    office.bank.verdicts = [Verdict.PENDING, Verdict.PENDING]
    group = ca_group(office, Role.cardholder, [])
    made = draft(office, second)
    data, spki = made.data(), made.request.public_key_s
    assert spki is not None
    group["policy"]["certified_keys"] = [hashlib.sha256(spki).hexdigest()]
    book.group(group, SECRETS)
    code, mutation = "CertStatusCode.rejectedByCA", "the CA has certified this key before, and the bank has not decided"
    book.bad("card-key-twice-pending", data, code, "card-certreq", mutation, ("CR-18", "PX-13"))
    applied = draft(office, first)
    office.cas[Role.cardholder].handle(applied.data())
    again = replace(draft(office, second).but(public_key_s=applied.request.public_key_s), new_key=applied.new_key)
    book.group(ca_group(office, Role.cardholder, []), SECRETS)
    mutation = "somebody else waits for a certificate of this key"
    book.bad("card-key-claimed", again.data(), code, "card-certreq", mutation, ("CR-18", "PX-13"))


def key_of(applicant: Applicant) -> Any:
    """The public key that is to be certified."""
    key = applicant._records.opened(applicant.enrolment()).signature_key
    assert key is not None
    return private_key_from(key).public_key()


def build() -> Iterable[Played]:
    """One file a suite."""
    return played("registration", play, ("p256", *OTHER_SUITES))
