"""Bad input: every handler gets damaged messages, outside and behind the protection (issue 3, point 4).

The outcome is always a refusal or a well-formed message, never an exception, never a changed state, never memory
growth.  About 100,000 mutants in a normal run; ``SETPROTO_FUZZ=1000000`` makes that many, ``SETPROTO_FUZZ_SEED=n``
others.  A mutant that fails is printed with its seed and in hexadecimal.
"""

from __future__ import annotations

import os
import resource
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from setproto.messages.registry import TRADE, Operator
from setproto.roles.ports import EventKind
from tests.faults.fuzz import atheris_target, mutation
from tests.faults.fuzz.captured import KINDS, bodies, cases, others, rng_of
from tests.faults.fuzz.wallet import Wallet

TOTAL = int(os.environ.get("SETPROTO_FUZZ", "100000"))
SEED = os.environ.get("SETPROTO_FUZZ_SEED", "1")
SCALE = TOTAL / 100_000

OUTER_EACH = round(3_000 * SCALE)
RESIGNED_EACH = round(500 * SCALE)
BAGGAGE_EACH = round(120 * SCALE)
WALLET_EACH = round(350 * SCALE)
MEMORY = round(20_000 * SCALE)

RESIGNED = [entry.name for entry in TRADE if entry.operator not in (Operator.PLAIN, Operator.DUAL)]
BAGGAGE = [entry.name for entry in TRADE if entry.operator is Operator.ENCB]
WALLET_PARTS = ["pi_head", "pan_data", "pi_oi_link", "oi_data", "seals", "everything"]


# What a library says about a damaged certificate is no exception in earnest, and is none here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Attribute's length must be:UserWarning"),
]


@contextmanager
def named(*seed: object) -> Iterator[list[bytes]]:
    """What fails inside is reported with the seed and the last mutant."""
    mutants: list[bytes] = []
    try:
        yield mutants
    except AssertionError as failure:
        pytest.fail(f"{failure}\nseed {'/'.join(map(str, seed))}\nmutant {mutants[-1].hex()}")


def resident() -> int:
    """The most memory that this process has had, in octets."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_normal_run_has_a_hundred_thousand_mutants() -> None:
    planned = (
        OUTER_EACH * len(KINDS)
        + RESIGNED_EACH * len(RESIGNED)
        + BAGGAGE_EACH * len(BAGGAGE)
        + WALLET_EACH * len(WALLET_PARTS)
        + MEMORY
    )
    assert planned >= TOTAL


@pytest.mark.parametrize("kind", KINDS)
def test_the_messages_that_are_damaged_are_good(kind: str) -> None:
    """Undamaged, each is accepted: what is refused below is refused because of the damage."""
    case = cases()[kind]
    case.restore()
    try:
        kinds = {event.kind for event in case.to.handle(case.data).events}
        assert EventKind.REFUSED not in kinds
        if kind != "Error":
            assert case.to.store._tables != case.tables  # type: ignore[attr-defined]
    finally:
        case.restore()


@pytest.mark.prop("PX-10", "PX-17")
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_messages(kind: str) -> None:
    """Octets, lengths, TLVs, headers, other messages' parts.  Nothing that is authenticated gets through."""
    case, pieces = cases()[kind], others()
    case.restore()
    authenticated = kind not in ("PInitReq", "Error")
    for number in range(OUTER_EACH):
        seed = (SEED, "outer", kind, number)
        mutant = mutation.outer(rng_of(*seed), case.data, pieces)
        with named(*seed) as mutants:
            mutants.append(mutant)
            reply = case.deliver(mutant)
            if authenticated and mutant != case.data:
                kinds = {event.kind for event in reply.events}
                harmless = kinds <= {EventKind.REFUSED, EventKind.ERROR_RECEIVED, EventKind.REPEATED}
                # A whole other message is good by itself; and what is not signed, certificates that nobody
                # needs among it, may change as long as all that is signed is there.
                assert harmless or mutant in pieces or case.keeps_what_is_signed(mutant), f"accepted: {kinds}"


@pytest.mark.prop("PX-7", "PX-10")
@pytest.mark.slow
@pytest.mark.parametrize("kind", RESIGNED)
def test_bodies_of_dishonest_senders(kind: str) -> None:
    """The body is damaged, then signed and sealed with the sender's real keys: the fuzz reaches the rules."""
    case, pieces = cases()[kind], bodies()
    case.restore()
    protected = case.protected
    assert protected is not None
    for number in range(RESIGNED_EACH):
        seed = (SEED, "resigned", kind, number)
        body = mutation.inner(rng_of(*seed), protected.body, pieces)
        with named(*seed) as mutants:
            mutants.append(protected.again(body, protected.baggage))
            case.deliver(mutants[-1])
    assert len(case.codes) > 2, "everything was refused at the door"


@pytest.mark.prop("PX-7")
@pytest.mark.slow
@pytest.mark.parametrize("kind", BAGGAGE)
def test_baggage_of_dishonest_senders(kind: str) -> None:
    """Tokens and payment instructions damaged, and linked to a signed body all the same."""
    case = cases()[kind]
    case.restore()
    protected = case.protected
    assert protected is not None
    assert protected.baggage is not None
    pieces = [entry.protected.baggage for entry in cases().values() if entry.protected and entry.protected.baggage]
    for number in range(BAGGAGE_EACH):
        seed = (SEED, "baggage", kind, number)
        baggage = mutation.inner(rng_of(*seed), protected.baggage, pieces)
        with named(*seed) as mutants:
            mutants.append(protected.again(protected.body, baggage))
            case.deliver(mutants[-1])


@pytest.mark.prop("PX-7", "PX-11")
@pytest.mark.slow
@pytest.mark.parametrize("part", WALLET_PARTS)
def test_payment_instructions_of_dishonest_cardholders(part: str) -> None:
    """What is inside the seals is damaged, then sealed and signed with the real keys of the cardholder."""
    wallet = Wallet()
    for number in range(WALLET_EACH):
        seed = (SEED, "wallet", part, number)
        with named(*seed) as mutants:
            mutants.append(wallet.preq(rng_of(*seed), part))
            wallet.deliver(mutants[-1])


@pytest.mark.slow
def test_memory_stays_bounded() -> None:
    """20,000 mutants to everybody, oversized and deep ones among them: a few tens of megabytes at the most."""
    everybody, pieces = list(cases().values()), others()
    choices: tuple[Callable[..., bytes], ...] = (mutation.outer,) * 197 + (mutation.oversized,) * 2 + (mutation.nested,)
    for case in everybody:  # warm: caches of certificates and of the walker are no growth
        case.restore()
        case.deliver(case.data[:-1])
        mutation.walk(case.data)
    before = resident()
    for number in range(MEMORY):
        seed = (SEED, "memory", number)
        rng = rng_of(*seed)
        case = rng.choice(everybody)
        with named(*seed) as mutants:
            mutants.append(rng.choice(choices)(rng, case.data, pieces))
            case.restore()
            case.deliver(mutants[-1])
    assert resident() - before < 48 << 20


@pytest.mark.slow
def test_refused_messages_leave_nothing_behind() -> None:
    """Octet for octet, by the allocator: messages of a quarter to one megabyte, refused, are forgotten."""
    everybody, pieces = list(cases().values()), others()

    def refuse(first: int, last: int) -> None:
        for number in range(first, last):
            rng = rng_of(SEED, "forgotten", number)
            case = everybody[number % len(everybody)]
            case.restore()
            case.deliver(mutation.oversized(rng, case.data, pieces))

    refuse(0, 100)
    tracemalloc.start()
    try:
        refuse(100, 150)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        refuse(150, 400)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4 << 20
    assert peak - before < 16 << 20


def test_the_target_for_longer_runs_takes_every_message(tmp_path: Path) -> None:
    atheris_target.seeds(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == set(KINDS)
    for file in tmp_path.iterdir():
        atheris_target.main(["--once", str(file)])
    atheris_target.target(b"")


def test_messages_above_the_cap_are_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is looked at first."""
    from setproto.messages import wrapper

    monkeypatch.setattr(wrapper, "decode", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(Exception, match="at most"):
        wrapper.unwrap(bytes(wrapper.MAX_MESSAGE + 1))
