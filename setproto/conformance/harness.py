"""Judge an implementation: ask it every vector through the pipe, and compare what it says with what is expected.

A request holds the operation, the time and the input, under an identifier that means nothing; the order is shuffled.
So the answer cannot be read off the question.  Two directions: known answers (our octets, its judgement) and generated
ones (its signatures and seals, our judgement: :mod:`setproto.conformance.generated`).
"""

from __future__ import annotations

import base64
import enum
import fnmatch
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from setproto.conformance.files import Expected, VectorFile, vectors_of
from setproto.conformance.process import Breach, Crash, Hang, Process, Trouble, Written
from setproto.scan import scan

PROTOCOL: Final = 1
START: Final = 60.0
"""Seconds for an implementation to start and say hello."""
_LOGGED: Final = 256
"""Characters that a member of a request has at least if it may be repeated on standard error, whatever is in it."""
GIVE_UP: Final = 20
"""Requests in a row without an answer, after which the rest is left out."""


class Outcome(enum.StrEnum):
    """What became of one vector."""

    PASS = "pass"  # noqa: S105  # not a password
    FAIL = "fail"
    """The other result, other outputs, or something released that must not be."""
    WRONG_REASON = "wrong_reason"
    """Refused, as it must be, but for another reason."""
    UNSUPPORTED = "unsupported"
    """The implementation said hello with what this needs, but answered that it cannot."""
    SKIPPED = "skipped"
    """Not asked: its hello does not have what this needs, or the run was given up."""
    HANG = "hang"
    CRASH = "crash"
    HARNESS_ERROR = "harness_error"
    """No judgement: what came was not an answer by the protocol."""


FAILURES: Final = frozenset({Outcome.FAIL, Outcome.HANG, Outcome.CRASH, Outcome.HARNESS_ERROR})
"""What fails a run; with ``strict`` a wrong reason and an operation that was promised and is missing fail it too."""
STRICT_FAILURES: Final = FAILURES | {Outcome.WRONG_REASON, Outcome.UNSUPPORTED}


class NotSound(Exception):
    """The run says nothing about the implementation: bad vectors, no hello, nothing to judge."""


@dataclass(frozen=True)
class Verdict:
    """An outcome and why; ``accepted``: what is invalid was taken for valid, the worst there is."""

    outcome: Outcome
    detail: str = ""
    accepted: bool = False


PASSED: Final = Verdict(Outcome.PASS)


@dataclass(frozen=True)
class Case:
    """One question, and how its answer is judged."""

    id: str
    area: str
    suite: str | None
    op: str
    now: str
    input: Mapping[str, Any] = field(repr=False)
    judge: Callable[[Mapping[str, Any], bool], Verdict] = field(repr=False)
    """Of an answer whose result is valid or invalid; the flag says whether to be strict."""
    features: frozenset[str] = frozenset()
    must_not_release: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Hello:
    """What an implementation says of itself."""

    name: str
    version: str
    suites: frozenset[str]
    features: frozenset[str]
    ops: frozenset[str]

    def lacks(self, case: Case) -> str:
        """What it does not claim to have and the case needs; empty if it should be asked."""
        if case.op not in self.ops:
            return f"operation {case.op}"
        if case.suite is not None and case.suite not in self.suites:
            return f"suite {case.suite}"
        missing = sorted(case.features - self.features)
        return f"feature {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Result:
    """The verdict on one case."""

    case: Case
    verdict: Verdict
    milliseconds: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """Shorthand."""
        return self.verdict.outcome


@dataclass(frozen=True)
class Run:
    """One implementation against a set of cases; ``results`` are in the order of the cases, not that of the run."""

    command: str
    hello: Hello
    seed: int
    strict: bool
    results: tuple[Result, ...]
    seconds: float
    restarts: int

    @property
    def failing(self) -> frozenset[Outcome]:
        """The outcomes that fail this run."""
        return STRICT_FAILURES if self.strict else FAILURES


# --- known answers --------------------------------------------------------------------------------


def cases(file: VectorFile) -> Iterator[Case]:
    """The cases of a vector file."""
    for vector in vectors_of([file]):
        expected = vector.test.expected
        yield Case(
            id=vector.id,
            area=file.area,
            suite=file.suite,
            op=vector.group.type,
            now=vector.group.now,
            input=vector.input(),
            judge=_known(expected, vector.test.intermediate or {}),
            features=frozenset(vector.test.features),
            must_not_release=tuple(map(bytes.fromhex, expected.must_not_release)),
        )


def _known(expected: Expected, intermediate: Mapping[str, Any]) -> Callable[[Mapping[str, Any], bool], Verdict]:
    def judge(answer: Mapping[str, Any], strict: bool) -> Verdict:
        reason, wanted = answer.get("reason"), expected.reason
        if answer["result"] != expected.result:
            if answer["result"] == "valid":
                return Verdict(Outcome.FAIL, f"accepted; it is to be refused: {wanted}", accepted=True)
            return Verdict(Outcome.FAIL, f"refused ({reason}); it is valid")
        if answer["result"] == "invalid" and answer.get("outputs"):
            return Verdict(Outcome.FAIL, f"outputs in a refusal: {', '.join(sorted(answer['outputs']))}")
        differing = _differing("output", expected.outputs, answer.get("outputs") or {}, every=True)
        differing = differing or _differing(
            "intermediate value", intermediate, answer.get("intermediate") or {}, every=False
        )
        if differing:
            return Verdict(Outcome.FAIL, differing)
        tolerated = () if strict else expected.alternatives
        if reason != wanted and reason not in tolerated:
            return Verdict(Outcome.WRONG_REASON, f"reason {reason} instead of {wanted}")
        return PASSED

    return judge


def _differing(what: str, wanted: Mapping[str, Any], found: Mapping[str, Any], *, every: bool) -> str:
    for name, value in wanted.items():
        if name not in found:
            if every:
                return f"{what} {name} is missing"
        elif found[name] != value:
            return f"{what} {name} is {_short(found[name])} instead of {_short(value)}"
    return ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:64]}… ({len(text)} characters)"


def select(
    all_cases: Iterable[Case], areas: Sequence[str], suites: Sequence[str], patterns: Sequence[str]
) -> tuple[Case, ...]:
    """The cases of these areas and suites whose id matches one of the patterns (``*`` and ``?``); empty: every one."""
    return tuple(
        case
        for case in all_cases
        if (not areas or case.area in areas)
        and (not suites or case.suite in suites)
        and (not patterns or any(fnmatch.fnmatchcase(case.id, pattern) for pattern in patterns))
    )


# --- the run --------------------------------------------------------------------------------------


class Runner:
    """One implementation; started when asked for the first time, and again after whatever ends it."""

    def __init__(self, command: Sequence[str], *, timeout: float, start_timeout: float = START) -> None:
        """``timeout``: seconds for an answer; ``start_timeout``: for the hello."""
        self._command, self._timeout, self._start_timeout = command, timeout, start_timeout
        self._process: Process | None = None
        self._hello: Hello | None = None
        self.restarts = 0

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()

    def hello(self) -> Hello:
        """What the implementation says of itself.  NotSound if it does not say it, or not as the protocol has it."""
        try:
            self._started()
        except Trouble as trouble:
            raise NotSound(f"no hello: {trouble}") from None
        if self._hello is None:
            raise NotSound("no hello")
        return self._hello

    def run(
        self,
        chosen: Sequence[Case],
        *,
        seed: int,
        strict: bool = False,
        progress: Callable[[Result], None] = lambda _: None,
    ) -> Run:
        """Ask all cases, in an order that follows from ``seed``.  NotSound if there is no hello or nothing to ask."""
        hello, begun = self.hello(), time.monotonic()
        chance = random.Random(seed)  # noqa: S311  # the order of questions, not a secret
        results: dict[str, Result] = {}
        asked: dict[str, str] = {}
        silent = 0
        for case in chance.sample(chosen, len(chosen)):
            lacking = hello.lacks(case)
            if lacking or silent >= GIVE_UP:
                verdict = Verdict(Outcome.SKIPPED, f"does not claim {lacking}" if lacking else "given up before")
                result = Result(case, verdict)
            else:
                identifier = f"{chance.getrandbits(64):016x}"
                asked[identifier] = case.id
                result = self._asked(case, identifier, strict)
                silent = silent + 1 if result.outcome in (Outcome.HANG, Outcome.CRASH) else 0
            results[case.id] = result
            progress(result)
            self._blame(asked, results)
        if self._process is not None:
            self._process.finish()
            self._blame(asked, results)
        if all(result.outcome in (Outcome.SKIPPED, Outcome.UNSUPPORTED) for result in results.values()):
            raise NotSound(f"{hello.name} supports nothing of what was to be asked: nothing was judged")
        return Run(
            " ".join(self._command),
            hello,
            seed,
            strict,
            tuple(results[case.id] for case in chosen),
            time.monotonic() - begun,
            self.restarts,
        )

    def _started(self) -> Process:
        """The running process, whose hello is that of the first."""
        if self._process is not None:
            return self._process
        try:
            process = Process(self._command)
        except OSError as failure:
            raise Crash(f"cannot be started: {failure.strerror or failure}") from None
        try:
            hello = read_hello(process.ask({"op": "hello", "protocol": PROTOCOL}, self._start_timeout))
            if self._hello is not None:
                self.restarts += 1
                if hello != self._hello:
                    raise Breach("after a restart its hello is another")
        except Trouble:
            process.kill()
            raise
        self._hello = hello
        self._process = process
        return process

    def _asked(self, case: Case, identifier: str, strict: bool) -> Result:
        begun = time.monotonic()
        request = {"id": identifier, "op": case.op, "now": case.now, "input": case.input}
        try:
            process = self._started()
        except Trouble as trouble:
            return Result(case, Verdict(Outcome.CRASH, f"no hello after a restart: {trouble}"))
        try:
            verdict = judged(case, process.ask(request, self._timeout), strict)
        except Trouble as trouble:
            verdict = Verdict(_OUTCOMES[type(trouble)], str(trouble))
            self._process = None
        leaked = released(case, process.written)
        if leaked:
            detail = f"{verdict.detail}; {leaked}" if verdict.accepted else leaked
            verdict = replace(verdict, outcome=Outcome.FAIL, detail=detail)
        return Result(case, verdict, (time.monotonic() - begun) * 1000)

    def _blame(self, asked: Mapping[str, str], results: dict[str, Result]) -> None:
        """A request that was answered twice is one that was not answered by the protocol."""
        if self._process is None:
            return
        for identifier in self._process.repeated:
            name = asked[identifier]
            if not results[name].verdict.accepted:
                verdict = Verdict(Outcome.HARNESS_ERROR, "answered more than once")
                results[name] = replace(results[name], verdict=verdict)
        self._process.repeated.clear()


_OUTCOMES: Final = {Hang: Outcome.HANG, Crash: Outcome.CRASH, Breach: Outcome.HARNESS_ERROR}


def read_hello(answer: Mapping[str, Any]) -> Hello:
    """The answer to hello.  Breach if it is not one."""
    words = [answer.get(name) for name in ("name", "version")]
    lists = [answer.get(name) for name in ("suites", "features", "ops")]
    if not all(isinstance(word, str) and word for word in words):
        raise Breach("name and version in hello are not both text")
    if not all(isinstance(items, list) and all(isinstance(item, str) for item in items) for items in lists):
        raise Breach("suites, features and ops in hello are not all lists of text")
    name, version = (str(word) for word in words)
    suites, features, ops = (frozenset(items or ()) for items in lists)
    return Hello(name[:100], version[:100], suites, features, ops)


def judged(case: Case, answer: Mapping[str, Any], strict: bool) -> Verdict:
    """The verdict on an answer."""
    result = answer.get("result")
    if result == "unsupported":
        return Verdict(Outcome.UNSUPPORTED, str(answer.get("reason") or "")[:200])
    if result not in ("valid", "invalid"):
        return Verdict(Outcome.HARNESS_ERROR, "the result is neither valid nor invalid nor unsupported")
    for name in ("outputs", "intermediate"):
        if not isinstance(answer.get(name), dict | None):
            return Verdict(Outcome.HARNESS_ERROR, f"{name} is not an object")
    reason = answer.get("reason")
    if not isinstance(reason, str | None):
        return Verdict(Outcome.HARNESS_ERROR, "the reason is not text")
    return case.judge(answer, strict)


# --- what must not come out -----------------------------------------------------------------------


def released(case: Case, written: Written) -> str:
    """Where something that must not come out stands in what was written: as it is, in hexadecimal, base64 or JSON.

    A card number is looked for in every encoding that :mod:`setproto.scan` knows.  Standard error may repeat long
    members of the request to the letter, as a log of what came in does.
    """
    stderr = bytes(written.stderr)
    secrets = [secret.hex() for secret in case.must_not_release]
    if stderr and secrets:
        for text in sorted(set(_texts(case.input)), key=len, reverse=True):
            if len(text) >= _LOGGED and any(secret in text for secret in secrets):
                stderr = stderr.replace(text.encode(), b"")
    places = {"standard output": _readings(bytes(written.stdout)), "standard error": _readings(stderr)}
    for secret in case.must_not_release:
        for place, blobs in places.items():
            if any(_stands_in(secret, blob) for blob in blobs):
                return f"released on {place}: {_named(secret)}"
    return ""


def _readings(data: bytes) -> list[bytes]:
    """The octets, and the texts in every line that is JSON, without its escapes."""
    readings = [data]
    for line in data.splitlines():
        try:
            readings.append("\n".join(_texts(json.loads(line))).encode(errors="surrogatepass"))
        except (ValueError, RecursionError):
            continue
    return readings


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield name
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _stands_in(secret: bytes, blob: bytes) -> bool:
    if not secret or not blob:
        return False
    if secret in blob or secret.hex().encode() in blob.lower():
        return True
    if any(text in blob for text in _base64(secret)):
        return True
    digits = secret.decode("ascii", "replace")
    return 12 <= len(digits) <= 19 and digits.isascii() and digits.isdigit() and bool(scan([blob], digits).hits)


def _base64(secret: bytes) -> Iterator[bytes]:
    """What is sure to stand in base64 wherever the secret begins in it, in both alphabets."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + secret)
        certain = text[-(-8 * before // 6) : 8 * (before + len(secret)) // 6]
        if len(certain) >= 10:  # shorter texts occur by chance
            yield certain
            yield certain.translate(bytes.maketrans(b"+/", b"-_"))


def _named(secret: bytes) -> str:
    return f"{len(secret)} octets that begin with {secret[:4].hex()}"
