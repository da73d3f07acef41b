"""The tables: messages, codes and errors are those of SET where SET has them (set-protocol.md §2.3, §5)."""

from __future__ import annotations

import enum

import pytest

from setproto import errors
from setproto.errors import ErrorCode, ProtocolError, SetError
from setproto.messages import codes, oids
from setproto.messages.codes import (
    AcqCardCode,
    AmtType,
    AuthCode,
    AuthRevCode,
    BAStatus,
    BatchOperation,
    CapCode,
    CapRevOrCredCode,
    CertStatusCode,
    CloseStatus,
    CompletionCode,
    PCertCode,
    RequestType,
    TransactionStatus,
    TransmissionStatus,
    Wants,
)
from setproto.messages.common import Role
from setproto.messages.registry import ERROR_TAG, MESSAGES, RESPONSES, MessageType, Operator
from setproto.messages.wrapper import unwrap
from tests.messages.registrations import every_message
from tests.roles.scenes import LONG_STORY

# Typed off set-protocol.md §2.3: the tags, and who sends what to whom.  C, M, P are the parties of a purchase, c, m and
# p the CAs that certify them, g and b the CAs above these.
TAGS = {
    "PInitReq": (0, "CM"),
    "PInitRes": (1, "MC"),
    "PReq": (2, "CM"),
    "PRes": (3, "MC"),
    "InqReq": (4, "CM"),
    "InqRes": (5, "MC"),
    "AuthReq": (6, "MP"),
    "AuthRes": (7, "PM"),
    "AuthRevReq": (8, "MP"),
    "AuthRevRes": (9, "PM"),
    "CapReq": (10, "MP"),
    "CapRes": (11, "PM"),
    "CapRevReq": (12, "MP"),
    "CapRevRes": (13, "PM"),
    "CredReq": (14, "MP"),
    "CredRes": (15, "PM"),
    "CredRevReq": (16, "MP"),
    "CredRevRes": (17, "PM"),
    "PCertReq": (18, "MP"),
    "PCertRes": (19, "PM"),
    "BatchAdminReq": (20, "MP"),
    "BatchAdminRes": (21, "PM"),
    "CardCInitReq": (22, "Cc"),
    "CardCInitRes": (23, "cC"),
    "Me-AqCInitReq": (24, "Mm Pp"),
    "Me-AqCInitRes": (25, "mM pP"),
    "RegFormReq": (26, "Cc"),
    "RegFormRes": (27, "cC"),
    "CertReq": (28, "Cc Mm Pp"),
    "CertRes": (29, "cC mM pP"),
    "CertInqReq": (30, "Cc Mm Pp"),
    "CertInqRes": (31, "cC mM pP"),
}
REGISTRATION = {name for name, (tag, _) in TAGS.items() if tag >= 22}


def _names(text: str) -> list[str]:
    return text.split()


# §5.1: names in order, numbers from 1.
ERRORS = _names(
    """
    unspecifiedFailure messageNotSupported decodingFailure invalidCertificate expiredCertificate
    revokedCertificate missingCertificate signatureFailure badMessageHeader wrapperMsgMismatch versionTooOld
    versionTooNew unrecognizedExtension messageTooBig signatureRequired messageTooOld messageTooNew
    thumbsMismatch unknownRRPID unknownXID unknownLID challengeMismatch
    """
)
# §5.2, §5.3, §5.5: numbers from 0.
COMPLETION = _names(
    """
    meaninglessRatio orderRejected orderReceived orderNotReceived authorizationPerformed capturePerformed
    creditPerformed
    """
)
AUTH = _names(
    """
    approved unspecifiedFailure declined noReply callIssuer amountError expiredCard invalidTransaction
    systemError piPreviouslyUsed recurringTooSoon recurringExpired piAuthMismatch installRecurMismatch
    captureNotSupported signatureRequired cardMerchBrandMismatch
    """
)
CAP = _names(
    """
    success unspecifiedFailure duplicateRequest authExpired authDataMissing invalidAuthData capTokenMissing
    invalidCapToken batchUnknown batchClosed unknownXID unknownLID
    """
)
# §5.4, §5.6 to §5.9, likewise.
OTHERS: dict[type[enum.IntEnum], str] = {
    AuthRevCode: """
        approved unspecifiedFailure noReply amountError expiredCard invalidTransaction systemError missingCapToken
        invalidCapToken invalidAmount
    """,
    CapRevOrCredCode: """
        success unspecifiedFailure duplicateRequest originalProcessed originalNotFound capPurged missingCapData
        missingCapToken invalidCapToken batchUnknown batchClosed
    """,
    PCertCode: "success unspecifiedFailure brandNotSupported unknownBIN",
    BatchOperation: "open purge close",
    BAStatus: """
        success unspecifiedFailure brandNotSupported unknownBIN batchIDUnavailable batchAlreadyOpen unknownBatchID
        brandBatchMismatch totalsOutOfBalance unknownStartingPoint stopItemDetail unknownBatchOperation
    """,
    CloseStatus: "closedByMerchant closedByAcquirer",
    TransmissionStatus: """
        pending inProgress batchRejectedByAcquirer completedSuccessfully completedWithItemErrors
    """,
    AmtType: "credit debit",
    TransactionStatus: "success unspecifiedFailure",
    AcqCardCode: "messageOfDay accountInfo callCustomerService",
}
# §5.10: numbers from 1.  Initial before renewal; cardholder, merchant, gateway; signature, key exchange, both.
REQUESTS = [
    who + when + what
    for when in ("Initial", "Renewal")
    for who in ("card", "mer", "pgwy")
    for what in ("Sig", "Enc", "Both")
]
CERT_STATUS = _names(
    """
    requestComplete invalidLanguage invalidBIN sigValidationFail decryptionError requestInProgress rejectedByIssuer
    requestPended rejectedByAquirer regFormAnswerMalformed rejectedByCA unableToEncryptCertRes
    """
)
CODE_LISTS: tuple[type[enum.IntEnum], ...] = (CompletionCode, AuthCode, CapCode, *OTHERS, RequestType, CertStatusCode)
PARTY = dict(zip(Role, "CMPcmpgb", strict=True))


def pairs(kind: MessageType[object]) -> list[tuple[Role, Role]]:
    return [(kind.sender, kind.recipient), *kind.further]


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=repr)
def test_a_message_has_its_number_and_its_parties_from_set(kind: MessageType[object]) -> None:
    assert TAGS[kind.name] == (kind.tag, " ".join(PARTY[sender] + PARTY[to] for sender, to in pairs(kind)))


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=repr)
def test_whoever_sends_and_whoever_gets_a_message_know_each_other(kind: MessageType[object]) -> None:
    for sender, to in pairs(kind):
        assert (kind.recipient_from(sender), kind.sender_to(to)) == (to, sender)
    for stranger in set(Role) - {to for _, to in pairs(kind)}:
        with pytest.raises(ProtocolError, match=f"{kind.name} is not for this role") as refusal:
            kind.sender_to(stranger)
        assert refusal.value.code is ErrorCode.messageNotSupported


def test_error_has_its_number_from_set() -> None:
    assert ERROR_TAG == 999


def test_every_message_is_another() -> None:
    kinds = list(MESSAGES.values())
    for unique in ("tag", "name", "content_type"):
        assert len({getattr(kind, unique) for kind in kinds}) == len(kinds) == len(TAGS) == 32
    assert [kind.tag for kind in kinds] == list(MESSAGES)
    assert {kind.name for kind in kinds} == set(TAGS)
    assert set(TAGS) - REGISTRATION == set(LONG_STORY)
    assert {message.kind.name for message in every_message()} == REGISTRATION


def test_a_response_answers_the_request_before_it() -> None:
    assert {MESSAGES[tag].name: answer.name for tag, answer in RESPONSES.items()} == {
        name: name.removesuffix("Req") + "Res" for name in TAGS if name.endswith("Req")
    }
    for tag, answer in RESPONSES.items():
        assert pairs(MESSAGES[tag]) == [(to, sender) for sender, to in pairs(answer)]


# Typed off §1.8; of the choices there this protocol has one each (docs/adr).
REGISTRATION_OPERATORS = {
    Operator.PLAIN: "CardCInitReq Me-AqCInitReq",
    Operator.S: "CardCInitRes Me-AqCInitRes RegFormRes",
    Operator.EXH: "RegFormReq",
    Operator.ENCX: "CertReq",
    Operator.ENCK: "CertRes CertInqRes",
    Operator.SELF: "CertInqReq",
}


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=repr)
def test_a_message_is_protected_as_its_parties_need(kind: MessageType[object]) -> None:
    """What the gateway sends or gets is sealed, but for certificates; whatever is not the first message is signed."""
    if kind.name in REGISTRATION:
        assert kind.name in REGISTRATION_OPERATORS[kind.operator].split()
        assert kind.baggage is None
        return
    secret = Role.gateway in (kind.sender, kind.recipient) and kind.name not in ("PCertReq", "PCertRes")
    assert (kind.operator in (Operator.ENC, Operator.ENCB)) is secret
    assert (kind.operator is Operator.PLAIN) is (kind.name == "PInitReq")
    assert (kind.baggage is not None) is (kind.operator in (Operator.ENCB, Operator.DUAL))


def test_a_message_of_a_registration_has_an_rrpid_and_is_about_no_purchase() -> None:
    for message in every_message():
        assert message.kind.locate(message.body) == (message.body.rrpid, None)
        assert unwrap(message.data).header.rrpid == message.body.rrpid


def test_identifiers_are_our_own_and_all_different() -> None:
    found = {value for name, value in vars(oids).items() if name.startswith("ID_")}
    assert found == set(oids.NAMES)
    assert len(found) == len(set(oids.NAMES.values())) == sum(name.startswith("ID_") for name in vars(oids))
    assert all(oid.dotted_string.startswith(oids.ARC + ".0.") for oid in found)
    # A version 4 UUID (RFC 9562): random, but for six bits.
    number = int(oids.ARC.removeprefix("2.25."))
    assert number >> 76 & 0xF == 4
    assert number >> 62 & 0b11 == 0b10


@pytest.mark.parametrize(
    ("found", "expected", "start"),
    [
        (ErrorCode, ERRORS, 1),
        (CompletionCode, COMPLETION, 0),
        (AuthCode, AUTH, 0),
        (CapCode, CAP, 0),
        *((codes_, _names(text), 0) for codes_, text in OTHERS.items()),
        (RequestType, REQUESTS, 1),
        (CertStatusCode, CERT_STATUS, 1),
    ],
)
def test_codes_are_sets(found: type[enum.IntEnum], expected: list[str], start: int) -> None:
    assert {code.name: code.value for code in found if code.value < 100} == {
        name: number for number, name in enumerate(expected, start)
    }


@pytest.mark.parametrize("request_type", RequestType)
def test_a_request_says_who_wants_what(request_type: RequestType) -> None:
    """As its name does."""
    name = request_type.name
    applicants = {"card": Role.cardholder, "mer": Role.merchant, "pgwy": Role.gateway}
    wants = {"Sig": Wants.SIG, "Enc": Wants.ENC, "Both": Wants.BOTH}
    assert request_type.applicant == next(role for start, role in applicants.items() if name.startswith(start))
    assert request_type.wants is next(what for end, what in wants.items() if name.endswith(end))
    assert request_type.renewal is ("Renewal" in name)
    # §6.7: the old key signs a renewal; the signature key that there is signs for a key-exchange key.
    assert request_type.signed_by_certified_key is ("Renewal" in name or name.endswith("Enc"))


def test_codes_of_our_own_begin_at_100() -> None:
    lists = (ErrorCode, *CODE_LISTS)
    ours = {(of.__name__, code.name): code.value for of in lists for code in of if code.value >= 100}
    assert ours == {
        ("ErrorCode", "rrpidConflict"): 100,
        ("ErrorCode", "decryptionFailure"): 101,
        ("ErrorCode", "wrongRecipient"): 102,
        ("CapCode", "amountError"): 100,
        ("CapRevOrCredCode", "amountError"): 100,
    }


def test_no_list_of_codes_is_forgotten() -> None:
    found = {value for value in vars(codes).values() if isinstance(value, type) and issubclass(value, enum.IntEnum)}
    assert found == set(CODE_LISTS)


def test_every_code_can_be_shown() -> None:
    for code in (code for of in CODE_LISTS for code in of):
        assert codes.text(code)
    assert codes.text(AuthCode.declined) == "the issuer declined"
    assert codes.text(AuthCode.systemError) == "systemError"
    assert codes.text(CapCode.duplicateRequest) == "captured before"  # equal to declined as an integer
    assert codes.text(CapRevOrCredCode.duplicateRequest) == "duplicateRequest"
    assert len({codes.text(code) for code in (AuthCode.approved, CapCode.success, AuthRevCode.approved)}) == 3


def _exceptions(base: type[SetError] = SetError) -> list[type[SetError]]:
    return [base, *(inner for cls in base.__subclasses__() for inner in _exceptions(cls))]


def test_exceptions_and_codes_are_one_registry() -> None:
    expected = {
        "DecodingFailure": ErrorCode.decodingFailure,
        "MessageTooBig": ErrorCode.messageTooBig,
        "SignatureFailure": ErrorCode.signatureFailure,
        "DecryptionFailure": ErrorCode.decryptionFailure,
        "WrongRecipient": ErrorCode.wrongRecipient,
        "RRPIDConflict": ErrorCode.rrpidConflict,
    }
    ours = {cls.__name__: cls for cls in _exceptions() if cls.__module__ == errors.__name__}
    assert {name: ours[name].code for name in expected} == expected
    own = [cls.code for cls in ours.values() if "code" in vars(cls) and cls is not SetError]
    assert len(own) == len(set(own)), "one code, one exception"


def test_an_error_says_its_code_in_words() -> None:
    assert str(ProtocolError(code=ErrorCode.unknownXID)) == "unknownXID"
    assert str(ProtocolError("which one?", code=ErrorCode.unknownXID)) == "unknownXID: which one?"
    assert str(errors.DecryptionFailure()) == "decryptionFailure: the object does not open"
    failure = errors.CertificateRefused("x", code=ErrorCode.revokedCertificate, thumb=b"t", oid="1.2")
    assert (failure.code, failure.thumb, failure.oid) == (ErrorCode.revokedCertificate, b"t", "1.2")
