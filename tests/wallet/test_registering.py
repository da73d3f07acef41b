"""A card gets its certificate over the wire, whatever interrupts it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from setproto.card import CardSecret
from setproto.errors import Unreachable, UsageError
from setproto.messages.common import Role
from setproto.messages.registration import RegFormOrReferral
from setproto.roles.authority.ports import CardApplication, Verdict
from setproto.roles.enrolment import State
from setproto.wallet.registering import register
from tests.wallet.killing import Killed, killed_at
from tests.wallet.world import ANSWERS, EMPTY, FULL, PASSPHRASE, Street, card, create, reopen


def answers(form: RegFormOrReferral) -> Mapping[str, str]:
    return ANSWERS


def test_a_registration(tmp_path: Path) -> None:
    street = Street.open()
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        wallet.add_card("main", card())
        outcome = register(wallet, "main", street.trust, street.ca, answers)
        assert outcome.state is State.COMPLETE
        credentials, paid_with, roots = wallet.card("main").paid_with()
        asked = street.office.bank.asked[0]
        assert isinstance(asked, CardApplication)
        assert paid_with.card_secret == asked.card_secret
        assert credentials.signer.certificate in street.office.certified()[1]
        assert tuple(roots) == street.trust.roots
        with pytest.raises(UsageError, match="registered already"):
            register(wallet, "main", street.trust, street.ca, answers)


def test_killed_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called again it goes on, and the bank is asked to certify one card once for each application that it got."""
    street = Street.open()
    with create(tmp_path / "template") as vault:
        street.wallet(vault).add_card("main", card())
    for number in count():
        path = tmp_path / f"wallet-{number}"
        shutil.copy(tmp_path / "template", path)
        asked = len(street.office.bank.asked)
        vault = reopen(path)
        with killed_at(number, monkeypatch) as calls, suppress(Killed):
            register(street.wallet(vault), "main", street.trust, street.ca, answers)
        vault.close()
        with reopen(path) as vault:
            wallet = street.wallet(vault)
            if wallet.card("main").registered is None:
                assert register(wallet, "main", street.trust, street.ca, answers).state is State.COMPLETE
            _, paid_with, _ = wallet.card("main").paid_with()
        assert len(street.office.bank.asked) == asked + 1
        told = street.office.bank.asked[-1]
        assert isinstance(told, CardApplication)
        assert paid_with.card_secret == told.card_secret
        if calls[0] <= number:
            break
    assert number > 15


def test_what_the_bank_has_not_decided_is_asked_about(tmp_path: Path) -> None:
    street = Street.open()
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        wallet.add_card("main", card())
        street.office.bank.verdicts = [Verdict.PENDING]
        outcome = register(wallet, "main", street.trust, street.ca, answers)
        assert (outcome.state, outcome.said) == (State.PENDING, "please be patient")
        with pytest.raises(UsageError, match="not registered"):
            wallet.card("main").paid_with()
        assert register(wallet, "main", street.trust, street.ca, answers).state is State.COMPLETE


def test_who_is_refused_may_apply_again(tmp_path: Path) -> None:
    street = Street.open()
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        wallet.add_card("main", card())
        street.office.bank.verdicts = [Verdict.REFUSED]
        assert register(wallet, "main", street.trust, street.ca, answers).state is State.REFUSED
        assert wallet.card("main").state == "not registered"
        assert register(wallet, "main", street.trust, street.ca, answers).state is State.COMPLETE


def test_a_form_that_was_filled_in_wrongly_is_filled_in_again(tmp_path: Path) -> None:
    street = Street.open()
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        wallet.add_card("main", card())
        outcome = register(wallet, "main", street.trust, street.ca, lambda form: {"Name": "Ada"})
        assert outcome.state is State.FORM_RECEIVED
        assert register(wallet, "main", street.trust, street.ca, answers).state is State.COMPLETE


def test_an_impostor_gets_no_card_number(tmp_path: Path) -> None:
    """A CA under another root: its first answer is refused, and nothing with a card in it is sent."""
    street, impostor = Street.open(), Street.open()
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        wallet.add_card("main", card())
        with pytest.raises(UsageError, match="the answer of the CA is refused"):
            register(wallet, "main", street.trust, impostor.ca, answers)
        assert len(impostor.ca.wire) == 1
        assert impostor.office.bank.asked == []


def test_a_card_of_another_brand(tmp_path: Path) -> None:
    street = Street.open()
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        wallet.add_card("main", replace(card(), brand="Other"))
        with pytest.raises(UsageError, match="of the brand Other"):
            register(wallet, "main", street.trust, street.ca, answers)


def test_a_card_is_in_the_wallet_once(tmp_path: Path) -> None:
    street = Street.open()
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        wallet.add_card("main", card())
        with pytest.raises(UsageError, match="there is a card main already"):
            wallet.add_card("main", card(EMPTY))
        with pytest.raises(UsageError, match="already, as main"):
            wallet.add_card("other", card())
        for label in ("", " main", "x" * 41, "a\nb"):
            with pytest.raises(UsageError, match="a label has"):
                wallet.add_card(label, card(EMPTY))
        with pytest.raises(UsageError, match="no card 'none'"):
            wallet.card("none")
        assert [item.label for item in wallet.cards()] == ["main"]


def test_no_key_and_no_card_number_is_shown_or_in_the_clear(tmp_path: Path) -> None:
    street = Street.open()
    path = tmp_path / "wallet"
    with create(path) as vault:
        wallet = street.wallet(vault)
        item = street.registered(wallet, "main", FULL, "EUR 1.00")
        assert item.registered is not None
        shown = "".join(map(repr, (wallet, item, item.registered, wallet.enrolment_key(), vault, PASSPHRASE)))
        hidden = [FULL.encode(), item.registered.private_key, item.registered.card_secret, item.registered.pan_secret]
    data = path.read_bytes()
    for secret in hidden:
        assert secret not in data
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    assert CardSecret(hidden[2]) == wallet.card("main").paid_with()[1].card_secret


def test_the_ca_may_be_unreachable_at_any_message(tmp_path: Path) -> None:
    street = Street.open()
    genuine, sent = street.office.cas[Role.cardholder].handle, []
    with create(tmp_path / "wallet") as vault:
        wallet = street.wallet(vault)
        wallet.add_card("main", card())

        class Flaky:
            def post(self, data: bytes, media_type: str) -> bytes:
                """The answer to each kind of message gets lost once."""
                sent.append(data)
                (answer,) = genuine(data).outgoing
                if len(sent) in (1, 3, 6):
                    raise Unreachable("no answer")
                return answer.data

        for _ in range(3):
            with pytest.raises(Unreachable):
                register(wallet, "main", street.trust, Flaky(), answers)
        assert register(wallet, "main", street.trust, Flaky(), answers).state is State.COMPLETE
        assert sent[5] == sent[6], "the application is repeated octet for octet"
        assert wallet.card("main").registered is not None
        assert len(street.office.bank.asked) == 1
