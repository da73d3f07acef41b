"""A statement from the bank (trade.md T14): asked for under the card's certificate, and only believed if asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from pki import CertificateKind
from pki.der import decode, encode, general_time
from setproto.amounts import CurrencyAmount
from setproto.crypto.cms import verify
from setproto.errors import SignatureFailure, Unreachable, UsageError
from setproto.messages.statement import (
    ID_STATEMENT_REQUEST,
    Statement,
    StatementAnswer,
    StatementLine,
    StatementRequest,
)
from setproto.wallet.statements import ask_statement
from tests.wallet.world import BRAND, FULL, Street, card, create


@dataclass
class Bank:
    """Answers whoever shows a certificate of its own."""

    street: Street
    change: Callable[[StatementAnswer], StatementAnswer] = lambda answer: answer
    status: int = 200
    asked: list[StatementRequest] = field(default_factory=list)
    holders: list[str] = field(default_factory=list)

    def request(self, method: str, path: str, data: bytes, media_type: str) -> tuple[int, str, bytes]:
        assert (method, path, media_type) == ("POST", "/statement", "application/cms")
        now, validator = self.street.office.clock(), self.street.trust.validator()
        verified = verify(
            data,
            content_type=ID_STATEMENT_REQUEST,
            certify=lambda der, extra: validator.validate(
                der, kind=CertificateKind.CARDHOLDER_SIGNATURE, brand=BRAND, at=now, extra=extra
            ),
        )
        self.asked.append(decode(StatementRequest, verified.content))
        self.holders.append(verified.signer.party_id)
        line = StatementLine(
            date=general_time(now), kind="held", amount=money("26.50"), credit=False, merchant="Shop", rrn="1", xid=b""
        )
        told = Statement(
            card="1111",
            balance=money("1000.00"),
            overdrawn=False,
            held=money("26.50"),
            available=money("973.50"),
            lines=[line],
        )
        answer = StatementAnswer(
            bank=self.asked[-1].bank, nonce=self.asked[-1].nonce, time=general_time(now), statement=told
        )
        return self.status, "application/octet-stream", encode(self.change(answer))


def money(text: str) -> CurrencyAmount:
    return CurrencyAmount.of(f"EUR {text}")


def test_a_statement(tmp_path: Path) -> None:
    street = Street.open()
    bank = Bank(street)
    since = street.office.clock() - timedelta(days=30)
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        wallet.add_card("bare", card("5555555555554444"))
        with pytest.raises(UsageError, match="is not registered"):
            ask_statement(wallet, "bare", bank, since)
        item = street.registered(wallet, "full", FULL, "EUR 1000.00")
        told = ask_statement(wallet, "full", bank, since)
        assert (told.available, told.lines[0].kind) == (money("973.50"), "held")
        assert (bank.asked[0].bank, bank.asked[0].since.as_datetime()) == ("Issuing Bank", since)
        assert bank.holders == [item.paid_with()[0].party.name]

        bank.change = lambda answer: replace(answer, nonce=bytes(32))
        with pytest.raises(SignatureFailure, match="not asked for"):
            ask_statement(wallet, "full", bank, since)
        bank.change = lambda answer: replace(answer, bank="Another Bank")
        with pytest.raises(SignatureFailure, match="not asked for"):
            ask_statement(wallet, "full", bank, since)
        bank.status = 403
        with pytest.raises(Unreachable, match="403"):
            ask_statement(wallet, "full", bank, since)
        assert len({request.nonce for request in bank.asked}) == len(bank.asked)
