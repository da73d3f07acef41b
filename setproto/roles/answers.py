"""What was answered to which request, so that a repetition gets the same answer (set-protocol.md §4.2; PX-9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pki.der import encode, sequence
from setproto.messages.common import PartyID, Role
from setproto.roles.ports import Outgoing, Transaction

ANSWERS: Final = "answers"
"""Table of the answers given: the idempotency record of every role."""


@sequence
class Answer:
    """One message that was sent."""

    to: Role | None
    name: str
    data: bytes


@sequence
class AnswerRecord:
    """What a request contained and what was sent because of it."""

    content: bytes
    answers: list[Answer]

    def outgoing(self) -> tuple[Outgoing, ...]:
        """The same messages, octet for octet."""
        return tuple(Outgoing(answer.to, answer.name, answer.data) for answer in self.answers)


def answer_key(sender: PartyID | None, rrpid: bytes) -> bytes:
    """(sender, RRPID), the key of an idempotency record; a plain request has no sender."""
    return (b"" if sender is None else sender.der) + rrpid


def keep_answer(transaction: Transaction, key: bytes, content: bytes, outgoing: Iterable[Outgoing]) -> None:
    """Store what was sent, in the transaction that does what it announces."""
    answers = [Answer(to=message.to, name=message.name, data=message.data) for message in outgoing]
    transaction.put(ANSWERS, key, encode(AnswerRecord(content=content, answers=answers)))
