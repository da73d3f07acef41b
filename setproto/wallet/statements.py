"""What the bank says of a card's account (trade.md T14), to whoever shows the card's certificate by signing."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

from pki import check_certificate
from pki.der import DecodingFailure, decode, encode, general_time
from setproto.crypto.digests import DIGEST_SIZE, equal
from setproto.errors import SignatureFailure, Unreachable, UsageError
from setproto.messages.statement import ID_STATEMENT_REQUEST, Statement, StatementAnswer, StatementRequest
from setproto.wallet.items import Wallet

__all__ = ["Bank", "ask_statement"]

MEDIA_TYPE: Final = "application/cms"
"""RFC 7193."""


class Bank(Protocol):
    """The way to a bank (``setproto.client.HTTPTransport``)."""

    def request(self, method: str, path: str, data: bytes, media_type: str) -> tuple[int, str, bytes]:
        """Status, media type and content of an answer.  Unreachable if there is none."""


def ask_statement(wallet: Wallet, label: str, bank: Bank, since: datetime) -> Statement:
    """The statement of a card's account since an aware time.

    The bank is the one that the card's certificate names.  Its answer has no signature: believe it as far as the
    connection.  UsageError if the card is not registered; Unreachable; SignatureFailure if the answer is to another
    request.
    """
    credentials, _, _ = wallet.card(label).paid_with()
    signer, now = credentials.signer, wallet.clock()
    units = check_certificate(signer.certificate).name.units
    if not units:
        raise UsageError(f"the certificate of {label} names no bank")
    request = StatementRequest(
        bank=units[0], nonce=wallet.random(DIGEST_SIZE), since=general_time(since), time=general_time(now)
    )
    signed = signer.sign(encode(request), ID_STATEMENT_REQUEST, certificates=credentials.chain)
    status, _, data = bank.request("POST", "/statement", signed, MEDIA_TYPE)
    if status != 200:
        raise Unreachable(f"the bank answers {status} without a statement")
    try:
        answer = decode(StatementAnswer, data)
    except DecodingFailure:
        raise Unreachable("the bank's answer is not a statement") from None
    if answer.bank != request.bank or not equal(answer.nonce, request.nonce):
        raise SignatureFailure("a statement that was not asked for")
    return answer.statement
