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
    CloseStatus,
    CompletionCode,
    PCertCode,
    TransactionStatus,
    TransmissionStatus,
)
from setproto.messages.common import Role
from setproto.messages.registry import ERROR_TAG, MESSAGES, RESPONSES, MessageType, Operator
from tests.roles.scenes import LONG_STORY

# Typed off set-protocol.md §2.3: the tags, and who sends what to whom.
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
}


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
CODE_LISTS: tuple[type[enum.IntEnum], ...] = (CompletionCode, AuthCode, CapCode, *OTHERS)
PARTY = {Role.cardholder: "C", Role.merchant: "M", Role.gateway: "P"}


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=repr)
def test_a_message_has_its_number_and_its_parties_from_set(kind: MessageType[object]) -> None:
    assert TAGS[kind.name] == (kind.tag, PARTY[kind.sender] + PARTY[kind.recipient])


def test_error_has_its_number_from_set() -> None:
    assert ERROR_TAG == 999


def test_every_message_is_another() -> None:
    kinds = list(MESSAGES.values())
    for unique in ("tag", "name", "content_type"):
        assert len({getattr(kind, unique) for kind in kinds}) == len(kinds) == len(TAGS) == 22
    assert [kind.tag for kind in kinds] == list(MESSAGES)
    assert {kind.name for kind in kinds} == set(TAGS) == set(LONG_STORY)


def test_a_response_answers_the_request_before_it() -> None:
    assert {MESSAGES[tag].name: answer.name for tag, answer in RESPONSES.items()} == {
        name: name.removesuffix("Req") + "Res" for name in TAGS if name.endswith("Req")
    }
    for tag, answer in RESPONSES.items():
        assert (MESSAGES[tag].sender, MESSAGES[tag].recipient) == (answer.recipient, answer.sender)


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=repr)
def test_a_message_is_protected_as_its_parties_need(kind: MessageType[object]) -> None:
    """What the gateway sends or gets is sealed, but for certificates; whatever is not the first message is signed."""
    secret = Role.gateway in (kind.sender, kind.recipient) and kind.name not in ("PCertReq", "PCertRes")
    assert (kind.operator in (Operator.ENC, Operator.ENCB)) is secret
    assert (kind.operator is Operator.PLAIN) is (kind.name == "PInitReq")
    assert (kind.baggage is not None) is (kind.operator in (Operator.ENCB, Operator.DUAL))


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
    ],
)
def test_codes_are_sets(found: type[enum.IntEnum], expected: list[str], start: int) -> None:
    assert {code.name: code.value for code in found if code.value < 100} == {
        name: number for number, name in enumerate(expected, start)
    }


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
