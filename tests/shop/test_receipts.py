"""Receipts: made from the merchant's books, verified by anyone with the root, forged by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki import CertificateKind
from pki.der import DecodingFailure, decode, encode
from setproto.crypto.cms import verify
from setproto.errors import CertificateRefused, ProtocolError, SignatureFailure, WrongRecipient
from setproto.market import Market
from setproto.messages.codes import CompletionCode
from setproto.messages.common import Role
from setproto.messages.receipt import ID_RECEIPT, Receipt, sign, verify_receipt
from setproto.roles.merchant import records
from setproto.roles.party import refused
from setproto.shop import books

MARKET = Market.open("p256")


def receipt_of(market: Market, xid: bytes) -> Receipt | None:
    merchant = market.merchant
    with merchant.store.transaction() as transaction:
        record = records.purchase(transaction, xid)
        gateway = merchant.gateway_id(transaction)
        return books.receipt(transaction, record, merchant.party, gateway, market.clock())


def certify(certificate: bytes, others: Sequence[bytes]) -> Any:
    from pki import CertificateError

    validator, kind = MARKET.tree.validator(MARKET.clock()), CertificateKind.MERCHANT_SIGNATURE
    try:
        return validator.validate(certificate, kind=kind, brand="Marque", at=MARKET.clock(), extra=others)
    except CertificateError as refusal:
        raise refused(refusal) from None


@pytest.fixture(scope="module")
def receipt() -> Receipt:
    found = receipt_of(MARKET, MARKET.buy("EUR 42.00", b"one book", capture=False).xid)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def signed(receipt: Receipt) -> bytes:
    own = MARKET.merchant.credentials
    return sign(receipt, own.signer, own.chain)


def test_T64_a_receipt_says_what_was_ordered_and_what_stands(receipt: Receipt, signed: bytes) -> None:
    verified = verify_receipt(signed, certify)
    assert verified.receipt == receipt
    assert verified.signer.party_id == receipt.merchant.name
    assert receipt.description == b"one book"
    assert receipt.completion_code is CompletionCode.authorizationPerformed
    assert [str(sum_) for sum_ in (receipt.amount, receipt.authorized, receipt.captured, receipt.credited)] == [
        "EUR 42.00",
        "EUR 42.00",
        "EUR 0.00",
        "EUR 0.00",
    ]
    assert receipt.cardholder == MARKET.cardholder.party
    assert receipt.gateway == MARKET.gateway.party


def test_a_later_receipt_says_what_became_of_the_money() -> None:
    bought = MARKET.buy("EUR 10.00", b"a pen")
    captured = receipt_of(MARKET, bought.xid)
    MARKET.deliver(Role.merchant, MARKET.merchant.credit(bought.xid))
    credited = receipt_of(MARKET, bought.xid)
    assert captured is not None
    assert credited is not None
    assert (captured.completion_code, credited.completion_code) == (
        CompletionCode.capturePerformed,
        CompletionCode.creditPerformed,
    )
    assert str(credited.credited) == "EUR 10.00"


def test_there_is_no_receipt_for_what_was_declined_or_taken_back() -> None:
    poor = Market.open("p256", balance="EUR 1.00")
    assert receipt_of(poor, poor.buy("EUR 2.00", b"too dear").xid) is None
    undone = MARKET.buy("EUR 3.00", b"cancelled", capture=False)
    MARKET.deliver(Role.merchant, MARKET.merchant.reverse(undone.xid))
    assert receipt_of(MARKET, undone.xid) is None


def test_T60_a_customer_has_one_code_and_another_customer_another(receipt: Receipt) -> None:
    again = receipt_of(MARKET, MARKET.buy("EUR 1.00", b"one more", capture=False).xid)
    assert again is not None
    assert again.customer_code == receipt.customer_code
    with MARKET.merchant.store.transaction() as transaction:
        other = books.customer_code(transaction, replace(receipt.cardholder, name="somebody else"))
    assert other != receipt.customer_code


@given(data=st.data())
def test_an_altered_receipt_is_refused(signed: bytes, data: Any) -> None:
    place = data.draw(st.integers(0, len(signed) - 1))
    altered = bytearray(signed)
    altered[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        verify_receipt(bytes(altered), certify)


def test_a_receipt_in_the_name_of_another_merchant_is_refused(receipt: Receipt) -> None:
    own = MARKET.merchant.credentials
    forged = replace(receipt, merchant=replace(receipt.merchant, name="another shop"))
    with pytest.raises(SignatureFailure, match="not from its signer"):
        verify_receipt(sign(forged, own.signer, own.chain), certify)


def test_a_receipt_of_another_version_is_refused(receipt: Receipt) -> None:
    own = MARKET.merchant.credentials
    with pytest.raises(WrongRecipient, match="version"):
        verify_receipt(sign(replace(receipt, version=3), own.signer, own.chain), certify)


def test_only_merchants_write_receipts(receipt: Receipt) -> None:
    for other in (MARKET.cardholder.credentials, MARKET.gateway.credentials):
        with pytest.raises(CertificateRefused):
            verify_receipt(sign(receipt, other.signer, other.chain), certify)


def test_a_receipt_agrees_with_itself(receipt: Receipt) -> None:
    with pytest.raises(ValueError, match="not that of the description"):
        replace(receipt, description=b"another book")
    with pytest.raises(ValueError, match="from a merchant to a cardholder"):
        replace(receipt, cardholder=receipt.gateway)
    content = encode(receipt).replace(b"one book", b"two book")
    with pytest.raises(DecodingFailure):
        decode(Receipt, content)


def test_a_receipt_holds_no_card_data(signed: bytes) -> None:
    content = verify(signed, content_type=ID_RECEIPT, certify=certify).content
    assert MARKET.card.card.pan.reveal().encode() not in content
    assert MARKET.card.card.expiry.reveal().encode() not in content
